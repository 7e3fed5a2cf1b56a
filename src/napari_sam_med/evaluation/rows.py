"""One line of the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.prompt import Prompt

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
    predicted_iou : float
        The model's own guess for that candidate; NaN for baselines.
    metrics, factors : mapping of str to float
        By the names in ``METRICS`` and ``FACTORS``.
    error : str
        A sentence; "" if all went well.
    prompt : Prompt, optional
        What the model was asked, in voxels of the slice.
    mask : ndarray of bool, optional
        The chosen candidate, on the voxels of the slice, if masks were to be kept.
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

    def as_dict(self) -> dict[str, Any]:
        """One flat table row: identity, metrics, factors, error; without prompt and mask."""
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
            "error": self.error,
        }
