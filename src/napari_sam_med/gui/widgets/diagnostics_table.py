"""What the Diagnostics panel reads out of a table of scores; plain pandas, no Qt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from napari_sam_med.evaluation.statistics import Correlation, spearman
from napari_sam_med.factors import FACTORS
from napari_sam_med.gui.widgets.evaluate_show import object_name
from napari_sam_med.gui.widgets.table_model import Column, cell_text
from napari_sam_med.metrics import METRICS

_DICE = Column("dice", "Dice", 3, "Overlap with the truth: 0 none, 1 perfect.")
_SLICE = Column("slice", "Slice")
_OBJECT = Column("label_name", "Object", elastic=True)
_SEVERAL = (
    Column("case", "Volume", 0, "Which volume."),
    Column("axis", "Plane"),
    Column("model", "Model", 0, "Which model answered."),
    Column("strategy", "Prompt", 0, "Simulated prompt."),
    Column("rule", "Rule", 0, "Which candidate counts."),
)
_DISTANCE = Column("hd95_mm", "HD95", 1, f"{METRICS.get('hd95_mm').title}, in mm")
_ROOM = 2
"""Columns that tell rows apart for which a narrow dock has room beside a distance."""


def worst_columns(frame: pd.DataFrame) -> list[Column]:
    """Columns of the list of rows; what is the same in all of them is left out."""
    several = [column for column in _SEVERAL if column.name in frame and frame[column.name].nunique() > 1]
    return [_DICE, _SLICE, _OBJECT, *several, *([_DISTANCE] if len(several) < _ROOM else [])]


def known_factors(frame: pd.DataFrame) -> list[str]:
    """Registered factors that the table has numbers for, in their own order."""
    return [
        name
        for name in FACTORS
        if name in frame and pd.api.types.is_numeric_dtype(frame[name]) and frame[name].notna().any()
    ]


def correlations(frame: pd.DataFrame, factors: list[str]) -> dict[str, Correlation]:
    """Spearman's rho of Dice with each factor."""
    return {name: spearman(frame[name], frame["dice"]) for name in factors}


def strongest_factor(frame: pd.DataFrame, factors: list[str]) -> str | None:
    """The factor whose rank goes most with Dice; the first where none does, None where there is none."""
    rho = [abs(correlation.rho) for correlation in correlations(frame, factors).values()]
    known = [0.0 if np.isnan(value) else value for value in rho]
    return factors[int(np.argmax(known))] if factors else None


def worst(frame: pd.DataFrame, count: int | None, chosen: Sequence[int] | None = None) -> pd.DataFrame:
    """The `count` rows with the lowest Dice (all for None), lowest first; "position" is their row in `frame`.

    Of `chosen` positions only, where given. Rows without a Dice (failures, two empty masks) are left out.
    """
    ranked = frame.assign(position=np.arange(len(frame)))
    if chosen is not None:
        ranked = ranked.iloc[list(chosen)]
    if "label_name" not in ranked:
        ranked["label_name"] = [f"label {value}" for value in ranked["label"]]
    ranked = ranked.dropna(subset=["dice", "slice"])
    ranked = ranked.sort_values("dice", kind="stable")
    return (ranked if count is None else ranked.head(count)).reset_index(drop=True)


def factor_text(name: str, value: float) -> str:
    """A factor with its title and unit, for a tooltip."""
    factor = FACTORS.get(name)
    decimals = 0 if factor.unit == "px" else 2
    return f"{factor.title} {cell_text(float(value), decimals)} {factor.unit}".rstrip()


def describe_row(values: pd.Series, factor: str | None) -> str:
    """One row in words: where it lies, its Dice and its factor."""
    lines = [
        f"{str(values['axis']).capitalize()} slice {int(values['slice'])}, {object_name(values)}",
        f"Dice {cell_text(float(values['dice']))}",
    ]
    if factor is not None:
        lines.append(factor_text(factor, values[factor]))
    return "\n".join([*lines, "Click to go there."])
