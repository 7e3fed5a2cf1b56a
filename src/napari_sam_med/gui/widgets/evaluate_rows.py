"""The rows of one job of the Evaluate panel, as they come, and the tables made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from napari_sam_med.core.volume import axis_number
from napari_sam_med.evaluation.robustness_rows import LabRow, lab_table
from napari_sam_med.evaluation.rows import ScoreRow
from napari_sam_med.evaluation.table import rows_to_table
from napari_sam_med.gui.widgets.evaluate_results import Level
from napari_sam_med.gui.widgets.evaluate_scores import MaskKey, MaskStore
from napari_sam_med.gui.widgets.evaluate_tables import (
    comparison_levels,
    comparison_summary,
    jitter_level,
    simulation_levels,
    simulation_summary,
)


class Collected:
    """What a job has given so far.

    Parameters
    ----------
    kind : str
        "compare" or "simulate".

    Attributes
    ----------
    masks : MaskStore
        Simulated predictions.
    """

    def __init__(self, kind: str = "") -> None:
        self.kind = kind
        self.masks = MaskStore()
        self._rows: list[Any] = []
        self._moved: list[LabRow] = []

    def take(self, value: Any) -> None:
        """Keep one item of the job; masks go to the store, a bit a voxel."""
        if isinstance(value, LabRow):
            self._moved.append(value)
            return
        if isinstance(value, ScoreRow) and value.mask is not None:
            place = (axis_number(value.axis), int(value.slice or 0), int(value.label or 0))
            key = MaskKey(value.model, value.strategy, value.rule, *place)
            self.masks.put(key, value.mask, value.prompts)
            value = replace(value, mask=None)
        self._rows.append(value)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def jitter(self) -> pd.DataFrame | None:
        """Rows of prompts that were moved; None if there are none."""
        return lab_table(self._moved) if self._moved else None

    def levels(self) -> tuple[Sequence[Level], str]:
        """The tables to show and a summary in rich text."""
        if self.kind == "compare":
            levels = comparison_levels(self._rows)
            return levels, comparison_summary(levels)
        table = rows_to_table(self._rows)
        levels = simulation_levels(table)
        jitter = self.jitter
        if jitter is not None:
            levels.append(jitter_level(jitter))
        return levels, simulation_summary(table)
