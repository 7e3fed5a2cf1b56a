"""What the Diagnostics panel reads out of a table of scores; plain pandas, no Qt."""

from __future__ import annotations

import numpy as np
import pandas as pd

from napari_sam_med.evaluation.statistics import Correlation, spearman
from napari_sam_med.factors import FACTORS
from napari_sam_med.gui.widgets.evaluate_show import object_name
from napari_sam_med.gui.widgets.table_model import Column, cell_text
from napari_sam_med.metrics import METRICS

_PLANE = Column("axis", "Plane")
_WORST = (
    Column("dice", "Dice", 3, "Overlap with the truth: 0 none, 1 perfect."),
    Column("slice", "Slice"),
    Column("label_name", "Object"),
    Column("hd95_mm", "HD95 (mm)", 1, METRICS.get("hd95_mm").title),
    Column("size_px", "Size (px)", 0, FACTORS.get("size_px").meaning),
)


def worst_columns(frame: pd.DataFrame) -> list[Column]:
    """Columns of the list of worst slices; the plane only where there are several."""
    several = "axis" in frame and frame["axis"].nunique() > 1
    return [_WORST[0], _PLANE, *_WORST[1:]] if several else list(_WORST)


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


def worst(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    """The `count` rows with the lowest Dice, lowest first; "position" is their row in `frame`.

    Rows without a Dice (failures, two empty masks) are left out.
    """
    ranked = frame.assign(position=np.arange(len(frame)))
    if "label_name" not in ranked:
        ranked["label_name"] = [f"label {value}" for value in ranked["label"]]
    ranked = ranked.dropna(subset=["dice", "slice"])
    return ranked.sort_values("dice", kind="stable").head(count).reset_index(drop=True)


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
