"""What to evaluate, frozen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.volume import AXES, axis_number
from napari_sam_med.evaluation.baselines import BASELINES
from napari_sam_med.evaluation.rules import RULES
from napari_sam_med.inference.everything import EverythingSettings
from napari_sam_med.metrics import DEFAULT_TOLERANCE_MM, check_tolerance
from napari_sam_med.prompts import STRATEGIES, Variant, check_variant


@dataclass(frozen=True)
class Case:
    """An image and its truth.

    Attributes
    ----------
    id : str
        Name in tables; no path.
    image, labels : Path
        Files or DICOM folders that ``io.read_volume`` and ``io.read_labels`` understand.
    modality : str
        Overrides what the file says ("CT", "MR"); it decides the default window.
    unite_labels : bool
        Treat all labels as one object, number 1.
    label_names : tuple of (int, str)
        Names of label values, over those of the file.
    series : str, optional
        Number or UID of the image's series, where a DICOM folder holds several.
    time : int
        Time point of a 4D image that is scored.
    """

    id: str
    image: Path
    labels: Path
    modality: str = ""
    unite_labels: bool = False
    label_names: tuple[tuple[int, str], ...] = ()
    series: str | None = None
    time: int = 0


@dataclass(frozen=True)
class EvaluationConfig:
    """One evaluation: every case × axis × slice × label × model × strategy × rule is a row.

    What is given twice counts once.

    Attributes
    ----------
    models : tuple of str
        Names in the model catalog, checkpoint files, or baselines ("ellipse", "otsu").
    strategies : tuple of str
        Names in ``prompts.STRATEGIES``.
    cases : tuple of Case
        For ``runner.iter_scores``; ``runner.iter_pair_scores`` takes volumes in memory instead.
    axes : tuple of str
        Slice axes; empty for the axis of the highest in-plane resolution of each case (of several equally fine
        ones the first in which an object is large enough).
    labels : tuple of int, optional
        Label values to score; all of them by default.
    max_slices : int, optional
        At most so many slices a case and axis, spread evenly over those that are eligible.
    window : str, optional
        Name of a window or ``LEVEL/WIDTH``; by default the one that suits the modality.
    min_pixels : int
        An object is scored in the slices where it has more labelled pixels than this (Huang et al. 2024: 50).
    seed : int
        Of all chance; each prompt has a stream of its own, so that no row depends on the others.
    rules : tuple of str
        How one candidate is chosen, see ``rules.RULES``.
    resample : bool
        Bring labels on another grid to the image's (nearest neighbour) instead of refusing them.
    variant : str
        Whether points lie as the text of Huang et al. 2024 says ("paper") or as their released code puts them ("repo").
    everything : EverythingSettings
        Grid and limits of strategy S1.
    n_clicks : int
        Clicks of the strategy "clicks", the first one included.
    target_dice : float
        Dice at which counting the clicks it takes ends.
    tolerance_mm : float
        Of the surface agreement "nsd".

    Raises
    ------
    InputError
        If a name is unknown or a number is out of range.
    """

    models: tuple[str, ...]
    strategies: tuple[str, ...] = ("S2", "S5")
    cases: tuple[Case, ...] = ()
    axes: tuple[str, ...] = ()
    labels: tuple[int, ...] | None = None
    max_slices: int | None = None
    window: str | None = None
    min_pixels: int = 50
    seed: int = 0
    rules: tuple[str, ...] = ("oracle", "score")
    resample: bool = False
    variant: Variant = "paper"
    everything: EverythingSettings = field(default_factory=EverythingSettings)
    n_clicks: int = 5
    target_dice: float = 0.9
    tolerance_mm: float = DEFAULT_TOLERANCE_MM

    def __post_init__(self) -> None:
        for name in ("models", "strategies", "rules", "labels"):
            given = getattr(self, name)
            object.__setattr__(self, name, None if given is None else tuple(dict.fromkeys(given)))
        for strategy in self.strategies:
            STRATEGIES.get(strategy)
        for rule in self.rules:
            RULES.get(rule)
        axes = tuple(dict.fromkeys(AXES[axis_number(axis)] for axis in self.axes))
        object.__setattr__(self, "axes", axes)
        _require_names(self.models)
        if not (self.models and self.strategies and self.rules):
            raise InputError("An evaluation needs at least one model, one strategy and one rule.")
        if self.max_slices is not None and self.max_slices < 1:
            raise InputError(f"The number of slices must be 1 or more; found {self.max_slices}.")
        if self.min_pixels < 0:
            raise InputError(f"The least number of pixels must be 0 or more; found {self.min_pixels}.")
        check_variant(self.variant)
        check_tolerance(self.tolerance_mm)
        if self.n_clicks < 1:
            raise InputError(f"The number of clicks must be 1 or more; found {self.n_clicks}.")
        if not 0 < self.target_dice <= 1:
            raise InputError(f"The target Dice lies above 0 and up to 1; found {self.target_dice:g}.")
        if not self.runs():
            raise InputError(
                f"The baselines {', '.join(self.models)} need a box, and {', '.join(self.strategies)} give none; "
                "choose S5, S6 or boxes."
            )

    def runs(self) -> tuple[tuple[str, str], ...]:
        """The (model, strategy) pairs that make sense: baselines need a box."""
        return tuple(
            (model, strategy)
            for model in self.models
            for strategy in self.strategies
            if model not in BASELINES or STRATEGIES.get(strategy).has_box
        )

    def describe(self) -> dict[str, Any]:
        """Plain values for ``run.json``; files by their names alone, since folders tell of people."""
        return {
            "models": [shown_name(model) for model in self.models],
            "strategies": list(self.strategies),
            "cases": [
                {
                    "id": case.id,
                    "image": case.image.name,
                    "labels": case.labels.name,
                    "modality": case.modality,
                    "unite_labels": case.unite_labels,
                    "series": case.series,
                    "time": case.time,
                }
                for case in self.cases
            ],
            "axes": list(self.axes),
            "labels": None if self.labels is None else list(self.labels),
            "max_slices": self.max_slices,
            "window": self.window,
            "min_pixels": self.min_pixels,
            "seed": self.seed,
            "rules": list(self.rules),
            "resample": self.resample,
            "variant": self.variant,
            "everything": asdict(self.everything),
            "n_clicks": self.n_clicks,
            "target_dice": self.target_dice,
            "tolerance_mm": self.tolerance_mm,
        }


def shown_name(model: str) -> str:
    """Name of a model in tables: a file without its folder."""
    return model.replace("\\", "/").rsplit("/", 1)[-1]


def _require_names(models: Iterable[str]) -> None:
    """Refuse models that tables could not tell apart."""
    known: dict[str, str] = {}
    for model in models:
        other = known.setdefault(shown_name(model), model)
        if other != model:
            raise InputError(
                f"Two models are called {shown_name(model)} ({other} and {model}), and tables go by that name; "
                "rename one of the files."
            )
