"""What the robustness lab tries, frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_sam_med.core.errors import InputError
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.degradations import DEGRADATIONS, NOISE
from napari_sam_med.prompts import STRATEGIES
from napari_sam_med.prompts.jitter import BOX_MODES, POINT_MODES

LABS = ("jitter", "padding", "degradation")
PADDINGS = (-20.0, -10.0, 10.0, 20.0, 30.0, 50.0, 75.0, 100.0)
BIN_UNITS = ("px", "%")
BINS = ((0.0, 10.0), (10.0, 20.0), (20.0, 30.0))
USUAL_DEGRADATIONS = tuple((name, each.doses) for name, each in DEGRADATIONS.items())
SINGLE_POINT = ("S2", "S6", "center")
"""Strategies with one point: moving the first or all of them is the same."""


@dataclass(frozen=True)
class Step:
    """One thing to try with one strategy.

    Attributes
    ----------
    lab : str
        "jitter", "padding" or "degradation".
    mode : str
        What is moved ("edges", "shift", "first", "all"), "box", or the kind of degradation.
    dose : float
        Middle of the bin, percent of padding, dose of the degradation.
    text : str
        The dose in words ("10-20 px", "+20 %"); "none" where nothing is changed.
    low, high : float
        Ends of the bin of a jitter; both the dose otherwise.
    seed : int, optional
        Which of several draws; None where there is no chance.
    """

    lab: str
    mode: str
    dose: float
    text: str
    low: float
    high: float
    seed: int | None = None

    @property
    def plain(self) -> bool:
        """Whether nothing is changed: the beginning of a curve."""
        return self.text == NOTHING


NOTHING = "none"


@dataclass(frozen=True)
class RobustnessConfig:
    """One visit to the lab: every case × axis × slice × label × model × strategy × step × rule is a row.

    What is given twice counts once.

    Attributes
    ----------
    evaluation : EvaluationConfig
        Models, strategies, cases, slices, rules, window and the seed of all chance.
    labs : tuple of str
        Of ``LABS``. Jitter is for strategies of one prompt, padding for those with a box, degradation for all.
    bins : tuple of (float, float)
        From how far to how far prompts are moved.
    bin_unit : {"px", "%"}
        Of the bins: pixels of the slice, or percent of the sides of the object's tight box (along the rows of its
        height, along the columns of its width), so that small objects are not asked for more than large ones.
    seeds : tuple of int
        As many draws of every jitter.
    box_modes, point_modes : tuple of str
        How prompts are moved, see :func:`prompts.jitter.jitter`: the first for strategies with a box, the second for
        the others; of those with a single point only the first of the modes is tried.
    paddings : tuple of float
        Percent by which the sides of the tight box grow or shrink.
    degradations : tuple of (str, tuple of float)
        Kinds with their doses; by default all kinds with their own.

    Raises
    ------
    InputError
        If a name is unknown, a number is out of range, or nothing is left to try.
    """

    evaluation: EvaluationConfig
    labs: tuple[str, ...] = LABS
    bins: tuple[tuple[float, float], ...] = BINS
    bin_unit: str = "px"
    seeds: tuple[int, ...] = (0, 1, 2)
    box_modes: tuple[str, ...] = BOX_MODES
    point_modes: tuple[str, ...] = POINT_MODES
    paddings: tuple[float, ...] = PADDINGS
    degradations: tuple[tuple[str, tuple[float, ...]], ...] = USUAL_DEGRADATIONS

    def __post_init__(self) -> None:
        for name in ("labs", "bins", "seeds", "box_modes", "point_modes", "paddings", "degradations"):
            object.__setattr__(self, name, tuple(dict.fromkeys(getattr(self, name))))
        _known("lab", self.labs, LABS)
        _known("unit of a jitter", (self.bin_unit,), BIN_UNITS)
        _known("way to move a box", self.box_modes, BOX_MODES)
        _known("way to move points", self.point_modes, POINT_MODES)
        for low, high in self.bins:
            if not 0 <= low <= high < float("inf"):
                raise InputError(f"A jitter runs from 0 or more to more; found {low:g}-{high:g}.")
        for padding in self.paddings:
            if not -100 < padding < float("inf"):
                raise InputError(f"A box is padded by more than -100 %; found {padding:g}.")
        for kind, doses in self.degradations:
            for dose in doses:
                DEGRADATIONS.get(kind).check(dose)
        if not any(self.steps(strategy) for _, strategy in self.evaluation.runs()):
            raise InputError(
                f"None of the strategies {', '.join(self.evaluation.strategies)} fits the labs "
                f"{', '.join(self.labs) or '(none)'}: jitter takes S2-S6 and center, padding S5 and S6."
            )

    def steps(self, strategy: str) -> tuple[Step, ...]:
        """All that is tried with a strategy; every curve begins with the step that changes nothing."""
        found: list[Step] = []
        one_prompt = STRATEGIES.get(strategy).kind == "prompt"
        has_box = STRATEGIES.get(strategy).has_box
        if "jitter" in self.labs and one_prompt:
            modes = self.box_modes if has_box else self.point_modes
            for mode in modes[:1] if strategy in SINGLE_POINT and not has_box else modes:
                found += self._jitters(mode)
        if "padding" in self.labs and one_prompt and has_box:
            found.append(_plain("padding", "box"))
            found += [_dosed("padding", "box", p, f"{p:+g} %") for p in self.paddings if p]
        if "degradation" in self.labs:
            for kind, doses in self.degradations:
                each = DEGRADATIONS.get(kind)
                found.append(_plain("degradation", kind, each.identity))
                found += [
                    _dosed("degradation", kind, d, f"{d:g} {each.unit}") for d in doses if d != each.identity
                ]
        return tuple(found)

    def _jitters(self, mode: str) -> list[Step]:
        moved = [
            Step("jitter", mode, (low + high) / 2, f"{low:g}-{high:g} {self.bin_unit}", low, high, seed)
            for low, high in self.bins
            for seed in self.seeds
        ]
        return [_plain("jitter", mode), *moved]

    def n_rows(self, n_objects: int) -> int:
        """Rows to come for so many objects in slices."""
        steps = sum(len(self.steps(strategy)) for _, strategy in self.evaluation.runs())
        return n_objects * steps * len(self.evaluation.rules)

    def describe(self) -> dict[str, Any]:
        """Plain values for ``run.json``; no folders."""
        return {
            **self.evaluation.describe(),
            "labs": list(self.labs),
            "bins": [list(limits) for limits in self.bins],
            "bin_unit": self.bin_unit,
            "seeds": list(self.seeds),
            "box_modes": list(self.box_modes),
            "point_modes": list(self.point_modes),
            "paddings_pct": list(self.paddings),
            "degradations": {kind: list(doses) for kind, doses in self.degradations},
            "noise": NOISE,
        }


def _plain(lab: str, mode: str, identity: float = 0.0) -> Step:
    return Step(lab, mode, identity, NOTHING, identity, identity)


def _dosed(lab: str, mode: str, dose: float, text: str) -> Step:
    return Step(lab, mode, dose, text, dose, dose)


def _known(what: str, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            raise InputError(f"There is no {what} called {name!r}; choose one of: {', '.join(known)}.")
