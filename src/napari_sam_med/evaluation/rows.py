"""One line of the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.factors import is_vessel_like

NAN = float("nan")


@dataclass(frozen=True, eq=False)
class ScoreRow:
    """The score of one model for one prompt on one object in one slice, or the error in its place.

    Attributes
    ----------
    case : str
    axis : str
        "axial", "coronal", "sagittal"; "" if the row is about the whole case.
    slice : int, optional
        Index along the axis, in canonical voxels.
    label : int, optional
    label_name : str
    model, strategy, rule : str
        "" where the failure came before them.
    candidate : int, optional
        Which candidate the rule chose.
        None where there was none, and where the answers to several prompts were united.
    predicted_iou : float
        The model's own guess for that candidate, the mean over united ones; NaN for baselines.
    metrics, factors : mapping of str to float
        By the names in ``METRICS`` and ``FACTORS``.
    error : str
        A sentence; "" if all went well.
    prompt : Prompt, optional
        What the model was asked, in voxels of the slice: the only or the first of several prompts, all clicks so far of
        a series; None for S1.
    mask : ndarray of bool, optional
        The chosen candidate, on the voxels of the slice, if masks were to be kept.
    prompts : tuple of Prompt
        All prompts whose answers were united.
    modality : str
        "CT", "MR", ...; "" where it is not known.
    n_candidates : int, optional
        Candidates the rule chose from.
    candidate_dices, candidate_ious : tuple of float
        Dice and predicted IoU of all of them, in the model's order, so that any rule can be applied afterwards; of
        "clicks" those of the last answer, none where the answers to several prompts were united.
    click_dices : tuple of float
        Of the strategy "clicks": Dice after each click; a perfect answer is not clicked at, and repeats to the end.
    clicks_to_target : int, optional
        The first click at which the target Dice was reached; None if it was not.
    """

    case: str
    axis: str = ""
    slice: int | None = None
    label: int | None = None
    label_name: str = ""
    model: str = ""
    strategy: str = ""
    rule: str = ""
    candidate: int | None = None
    predicted_iou: float = NAN
    metrics: Mapping[str, float] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    prompt: Prompt | None = None
    mask: NDArray[np.bool_] | None = None
    prompts: tuple[Prompt, ...] = ()
    modality: str = ""
    n_candidates: int | None = None
    candidate_dices: tuple[float, ...] = ()
    candidate_ious: tuple[float, ...] = ()
    click_dices: tuple[float, ...] = ()
    clicks_to_target: int | None = None

    @property
    def click_auc(self) -> float:
        """Area under Dice over the clicks, over its width: 0..1; NaN without clicks."""
        dices = self.click_dices
        if len(dices) < 2:
            return dices[0] if dices else NAN
        return (sum(dices) - (dices[0] + dices[-1]) / 2) / (len(dices) - 1)

    @property
    def vessel_like(self) -> int | None:
        """1 or 0, see :func:`napari_sam_med.factors.is_vessel_like`; None without factors."""
        return int(is_vessel_like(self.factors)) if self.factors else None

    def as_dict(self) -> dict[str, Any]:
        """One flat table row: identity, metrics, factors, candidates and clicks, error; no prompt, no mask."""
        return {
            "case": self.case,
            "axis": self.axis,
            "slice": self.slice,
            "label": self.label,
            "label_name": self.label_name,
            "model": self.model,
            "strategy": self.strategy,
            "rule": self.rule,
            "candidate": self.candidate,
            "predicted_iou": self.predicted_iou,
            **self.metrics,
            **self.factors,
            "vessel_like": self.vessel_like,
            "modality": self.modality,
            "n_candidates": self.n_candidates,
            "candidate_dices": _listed(self.candidate_dices),
            "candidate_ious": _listed(self.candidate_ious),
            "click_dices": _listed(self.click_dices),
            "click_auc": self.click_auc,
            "clicks_to_target": self.clicks_to_target,
            "error": self.error,
        }


def _listed(values: tuple[float, ...]) -> str:
    return ";".join(f"{value:.4f}" for value in values)
