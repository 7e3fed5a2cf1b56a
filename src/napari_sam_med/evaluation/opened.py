"""A case in memory, and its rows slice by slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_sam_med.core.volume import AXES, Volume
from napari_sam_med.evaluation.atlas import Failure, crop_failure
from napari_sam_med.evaluation.cases import read_case
from napari_sam_med.evaluation.config import Case, EvaluationConfig
from napari_sam_med.evaluation.plan import PairPlan, SliceTarget, plan_pair
from napari_sam_med.evaluation.rows import ScoreRow
from napari_sam_med.evaluation.runner import SessionFor, iter_pair_scores
from napari_sam_med.inference.slices import slice_image

Unit = tuple[str, int]
"""Axis and slice: what is scored, written down and taken up again as one."""


@dataclass(frozen=True, eq=False)
class OpenCase:
    """Image, truth and plan of a case."""

    case: Case
    image: Volume
    labels: Volume
    plan: PairPlan

    @property
    def units(self) -> dict[Unit, SliceTarget]:
        """The slices that are scored."""
        return {(AXES[target.axis], target.index): target for target in self.plan.targets}

    @property
    def facts(self) -> dict[str, Any]:
        """What a report says of the case; no name, no path."""
        return {
            "window": str(self.plan.window),
            "modality": self.image.modality,
            "shape": list(self.image.shape),
            "spacing_mm": [round(float(step), 4) for step in self.image.spacing_mm],
        }

    def rows(self, unit: Unit, config: EvaluationConfig, session_for: SessionFor) -> Iterator[ScoreRow]:
        """Rows of one slice, with masks."""
        target = self.units[unit]
        plan = replace(self.plan, targets=(target,))
        return iter_pair_scores(self.image, self.labels, config, session_for, plan=plan, keep_masks=True)

    def failure(self, row: ScoreRow) -> Failure:
        """The picture of a row that has a mask."""
        assert row.mask is not None
        target = self.units[row.axis, row.slice or 0]
        pixels = slice_image(self.image, target.axis, target.index, self.plan.window)
        truth = np.take(self.plan.data, target.index, axis=target.axis) == row.label
        return crop_failure(row, pixels, truth)


def open_case(case: Case, config: EvaluationConfig) -> OpenCase:
    """Read a case and plan it.

    Raises
    ------
    SamMedError
        If a file cannot be read, the grids differ, or there is nothing to score.
    """
    image, labels = read_case(case, config.resample)
    plan = plan_pair(image, labels, config, case=case.id, unite_labels=case.unite_labels)
    return OpenCase(case, image, labels, plan)
