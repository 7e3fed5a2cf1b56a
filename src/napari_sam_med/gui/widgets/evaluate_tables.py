"""The tables that the Evaluate panel shows, made from rows of scores; plain pandas, no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from napari_sam_med.evaluation.compare import COLUMNS as COMPARED
from napari_sam_med.evaluation.robustness_curves import curves
from napari_sam_med.evaluation.table import summary
from napari_sam_med.factors import FACTORS
from napari_sam_med.gui.widgets.evaluate_results import Level
from napari_sam_med.gui.widgets.table_model import Column, cell_text
from napari_sam_med.metrics import METRICS

_MOST_LINES = 5
SHOWN_METRICS = ("dice", "jaccard", "hd95_mm", "assd_mm")
_SHORT = {"dice": "Dice", "jaccard": "Jaccard", "hd95_mm": "HD95 (mm)", "assd_mm": "ASSD (mm)"}


def metric_columns(suffix: str = "") -> list[Column]:
    """Columns of the metrics that are shown."""
    columns = []
    for name in SHOWN_METRICS:
        metric = METRICS.get(name)
        better = "higher is better" if metric.higher_is_better else "lower is better"
        decimals = 1 if metric.unit == "mm" else 3
        columns.append(Column(name, _SHORT[name], decimals, f"{metric.title}{suffix}: {better}."))
    return columns


_SLICE = Column("slice", "Slice", 0, "Number of the slice, from 0.")
_OBJECT = Column("label_name", "Object", 0, "Name or number of the label.", elastic=True)
_VOLUMES = (
    Column("prediction_ml", "Pred. (ml)", 2, "Volume of the prediction, in millilitres."),
    Column("truth_ml", "Truth (ml)", 2, "Volume of the truth, in millilitres."),
)
_PROMPT = Column("strategy", "Prompt", 0, "Simulated prompt: S2 one point, S5 tight box, ...")
_RULE = Column(
    "rule", "Rule", 0, "score: candidate the model rates highest. oracle: candidate nearest the truth."
)
_MODEL = Column("model", "Model", 0, "Which model answered.", elastic=True)
_MASKED = Column(
    "masked", "Slices", 0, "Slices where the prediction has a mask, of those where it or the truth has one."
)
_MASKED_DICE = Column(
    "masked_dice", "Dice/slice", 3, "Mean Dice of the slices where the prediction has a mask of the object."
)
_ERROR = Column("error", "Problem", 0, "Why this row has no scores.", elastic=True)


def comparison_levels(rows: Sequence[dict[str, Any]]) -> list[Level]:
    """Levels of a comparison from the rows of :func:`evaluation.compare.iter_comparison` and their factors."""
    identity = ["case", "axis", "slice", "label", "label_name", "model", "strategy", "rule"]
    metrics = [name for name in COMPARED if name in METRICS or name.endswith("_ml")]
    table = pd.DataFrame(list(rows), columns=["level", *identity, *metrics, *FACTORS, "error"])
    for name in ("slice", "label"):
        table[name] = table[name].astype("Int64")
    for name in ("case", "model", "strategy", "rule", "error"):
        table[name] = table[name].astype(object).fillna("")

    def of(level: str, *dropped: str) -> pd.DataFrame:
        kept = table[table["level"] == level].drop(columns=["level", *dropped])
        return kept.reset_index(drop=True)

    whole = ("axis", "slice", "model", "strategy", "rule", "error", *FACTORS)
    metrics_2d, metrics_3d = metric_columns(" in the slice"), metric_columns(" in 3D")
    return [
        Level(
            "Slices",
            "One row for each object in each slice.",
            of("slice"),
            [_SLICE, _OBJECT, *metrics_2d, *_VOLUMES],
        ),
        Level(
            "Objects",
            "One row for each object, in 3D.",
            with_masked(of("object", *whole), of("slice")),
            [_OBJECT, metrics_3d[0], _MASKED, _MASKED_DICE, *metrics_3d[1:], *_VOLUMES],
        ),
        Level(
            "Volume",
            "All objects together, in 3D.",
            with_masked(of("volume", *whole), of("slice")),
            [_OBJECT, metrics_3d[0], _MASKED, _MASKED_DICE, *metrics_3d[1:], *_VOLUMES],
        ),
    ]


def with_masked(table: pd.DataFrame, slices: pd.DataFrame) -> pd.DataFrame:
    """Say beside numbers of a whole volume in how many slices there is a prediction, and how good it is there.

    Parameters
    ----------
    table : DataFrame
        Rows of objects with their ``label``; a row without a label is about all of them.
    slices : DataFrame
        Rows of slices.

    Returns
    -------
    DataFrame
        With ``masked`` ("3 of 40"): slices with a prediction of the object, of those with truth or a prediction; and
        ``masked_dice``, the mean over the rows of the former.
    """
    out = table.copy()
    known = (
        out["label"].isin(slices["label"].unique()) if "label" in out else pd.Series(False, index=out.index)
    )
    texts, means = [], []
    for position in range(len(out)):
        of = slices[slices["label"] == out["label"].iloc[position]] if known.iloc[position] else slices
        predicted = of[of["prediction_ml"] > 0]
        texts.append(f"{predicted['slice'].nunique()} of {of['slice'].nunique()}")
        means.append(float(predicted["dice"].mean()) if len(predicted) else float("nan"))
    return out.assign(masked=texts, masked_dice=means)


def simulation_levels(table: pd.DataFrame) -> list[Level]:
    """Levels of simulated prompts from a table of scores (:func:`evaluation.table.rows_to_table`)."""
    metrics = metric_columns(" in the slice")
    means = metric_columns(", mean")
    guess = Column(
        "predicted_iou", "Model's IoU", 3, "IoU with the wanted object as the model itself predicts it."
    )
    # Dice stands before what identifies the row, so that a narrow dock shows it without scrolling
    asked = [_PROMPT, _MODEL, _RULE] if table["model"].nunique() > 1 else [_PROMPT, _RULE]
    problem = [_ERROR] if (table["error"] != "").any() else []
    rows = [_SLICE, _OBJECT, metrics[0], *asked, *problem, *metrics[1:], guess]
    counted = Column("dice_n_valid", "n", 0, "Rows with a Dice value.")
    failed = Column("n_errors", "Failed", 0, "Rows without scores.")
    return [
        Level("Slices", "One row for each object, slice, prompt and rule.", table, rows),
        Level(
            "Objects",
            "Means over the slices of each object.",
            object_means(table),
            [_OBJECT, means[0], *asked, *means[1:], counted, failed],
        ),
        Level(
            "Volume",
            "Means over the objects of the volume.",
            summary(table),
            [*asked, *means, counted, failed],
        ),
    ]


def jitter_level(rows: pd.DataFrame) -> Level:
    """Mean Dice and loss of moved prompts, from rows of ``evaluation.robustness_rows``."""
    found = curves(rows, n_samples=1)
    found = found.drop(columns=[name for name in found if str(name).endswith(("_low", "_high"))])
    columns = [
        Column("strategy", "Prompt", 0, "Simulated prompt."),
        Column("mode", "Moved", 0, "edges, shift: boxes; first, all: points."),
        Column("step", "By", 0, "How far, in pixels of the slice."),
        Column("dice", "Dice", 3, "Mean Dice: higher is better."),
        Column("loss", "Loss", 3, "How much Dice is lost against prompts in their place."),
        _RULE,
        Column("n_valid", "n", 0, "Rows with a Dice value, all draws."),
        Column("model", "Model", 0, "Which model answered."),
    ]
    return Level("Jitter", "Means over objects, slices and draws of prompts moved at random.", found, columns)


def object_means(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the slices of each object, prompt and rule, of finite values, with n_valid and n_errors."""
    keys = ["label", "label_name", "model", "strategy", "rule"]
    out = []
    for key, group in table[table["label"].notna()].groupby(keys, sort=False):
        row: dict[str, Any] = dict(zip(keys, key, strict=True))
        row["n_rows"] = len(group)
        row["n_errors"] = int((group["error"] != "").sum())
        for name in SHOWN_METRICS:
            finite = group[name][np.isfinite(group[name])]
            row[name] = float(finite.mean()) if len(finite) else float("nan")
            row[f"{name}_n_valid"] = len(finite)
        out.append(row)
    names = [c for name in SHOWN_METRICS for c in (name, f"{name}_n_valid")]
    means = pd.DataFrame(out, columns=[*keys, "n_rows", "n_errors", *names])
    return means.sort_values("label", kind="stable", ignore_index=True)


def comparison_summary(levels: Sequence[Level]) -> str:
    """One line of rich text about a comparison."""
    whole = levels[2].frame
    if whole.empty:
        return "Neither layer has a label in this volume."
    first = whole.iloc[0]
    dice, hd95 = cell_text(first["dice"]), cell_text(first["hd95_mm"], 1)
    volumes = f"prediction {first['prediction_ml']:.1f} ml, truth {first['truth_ml']:.1f} ml"
    masked = f"A mask in {first['masked']} slices: mean Dice there <b>{cell_text(first['masked_dice'])}</b>"
    return f"Whole volume: Dice <b>{dice}</b>, HD95 {hd95} mm<br>{masked}<br>{volumes}"


def simulation_summary(table: pd.DataFrame) -> str:
    """One line of rich text about simulated prompts: mean Dice of what a user gets, with the oracle's in brackets."""
    means = summary(table[table["strategy"] != ""])
    several = means["model"].nunique() > 1
    parts = []
    for (model, strategy), part in means.groupby(["model", "strategy"], sort=False):
        of_rule = part.set_index("rule")
        values = {rule: cell_text(of_rule.loc[rule, "dice"]) for rule in of_rule.index}
        main = values.get("score", next(iter(values.values())))
        oracle = f" (oracle {values['oracle']})" if "oracle" in values and "score" in values else ""
        n = int(of_rule["dice_n_valid"].max())
        who = f"{model} {strategy}" if several else strategy
        parts.append(f"{who}: Dice <b>{main}</b>{oracle}, n = {n}")
    if len(parts) > _MOST_LINES:
        parts = [*parts[:_MOST_LINES], f"… {len(parts) - _MOST_LINES} more under Volume"]
    failed = int((table["error"] != "").sum())
    if failed:
        parts.append(f"{failed} rows failed")
    return "<br>".join(parts)
