"""Does the model know how good its masks are? Predicted IoU against the true one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from napari_sam_med.core.errors import InputError
from napari_sam_med.evaluation.robustness_config import NOTHING
from napari_sam_med.evaluation.robustness_curves import by_cluster, cluster_of, plain_rows
from napari_sam_med.evaluation.statistics_clusters import N_SAMPLES, clustered_mean

GROUPS = ("model", "strategy", "rule")
CALIBRATION_COLUMNS = (
    *GROUPS,
    "bins",
    "bin_low",
    "bin_high",
    "n",
    "predicted_iou",
    "true_iou",
    "true_iou_low",
    "true_iou_high",
    "true_dice",
    "abs_error",
    "abs_error_low",
    "abs_error_high",
    "n_clusters",
    "cluster",
)
ALL = "all"
"""Stands for all strategies, or all bins together."""


def calibration(
    table: pd.DataFrame,
    n_bins: int = 10,
    *,
    by: tuple[str, ...] = GROUPS,
    n_samples: int = N_SAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Means of predicted and true IoU where the model predicts about the same.

    The true IoU is the column ``jaccard``, or Dice / (2 - Dice) where there is none. Rows without a prediction
    (baselines, misses without a candidate, errors) are left out.

    Parameters
    ----------
    table : DataFrame
        Of scores, or of the robustness lab.
    n_bins : int
        Bins of equal width from 0 to 1. Predictions beyond (SAM's are not clipped) count in the bin at that end.
    by : tuple of str
        Of model, strategy and rule, those that are told apart; the others are "all" in the result.
    n_samples, seed
        Of the bootstrap; what it draws is in the column ``cluster``, see ``robustness_curves``.

    Returns
    -------
    DataFrame
        Columns ``CALIBRATION_COLUMNS``: for each group first a row over all bins (``bins`` is "all"), then the bins
        that hold rows. ``abs_error`` is the mean of abs(predicted - true IoU) over rows, not over bins; ``*_low`` and
        ``*_high`` bound 95 % intervals, NaN for fewer than two clusters.

    Raises
    ------
    InputError
        If the table has no predictions or Dice, or `n_bins` is less than 1.
    """
    if n_bins < 1:
        raise InputError(f"Calibration needs 1 or more bins; found {n_bins}.")
    missing = [name for name in ("predicted_iou", "dice", *by) if name not in table.columns]
    if missing:
        raise InputError(f"The table lacks {', '.join(missing)}; give scores with predicted IoU and Dice.")
    cluster = cluster_of(table)
    rows = by_cluster(table, cluster)
    dice = rows["dice"].astype(float)
    true = rows["jaccard"].astype(float) if "jaccard" in rows else dice / (2 - dice)
    rows = rows.assign(_true=true, _predicted=rows["predicted_iou"].astype(float), _dice=dice)
    rows = rows[np.isfinite(rows["_true"]) & np.isfinite(rows["_predicted"])]
    rows = rows.assign(_error=(rows["_predicted"] - rows["_true"]).abs())
    place = np.clip(np.floor(rows["_predicted"].to_numpy() * n_bins), 0, n_bins - 1).astype(int)
    # what is not told apart is one group
    merged = dict.fromkeys(set(GROUPS) - set(by), ALL)
    out: list[dict[str, Any]] = []
    for key, part in rows.assign(_bin=place, **merged).groupby(list(GROUPS), sort=False):
        names = dict(zip(GROUPS, key, strict=True))
        whole = _line(part, cluster, n_samples, seed)
        out.append({**names, "bins": ALL, "bin_low": 0.0, "bin_high": 1.0, **whole})
        for k, each in part.groupby("_bin", sort=True):
            limits = {"bin_low": k / n_bins, "bin_high": (k + 1) / n_bins}
            found = _line(each, cluster, n_samples, seed)
            out.append(
                {**names, "bins": f"{limits['bin_low']:.2g}-{limits['bin_high']:.2g}", **limits, **found}
            )
    return pd.DataFrame(out, columns=list(CALIBRATION_COLUMNS))


def lab_calibration(table: pd.DataFrame, n_bins: int = 10) -> pd.DataFrame:
    """Calibration of a table of the robustness lab, before and after changes.

    Returns
    -------
    DataFrame
        As :func:`calibration` gives it, behind a column ``rows``: "unchanged" prompts and images, each object once, and
        "changed" ones. For each model and rule first over all strategies, then strategy by strategy.
    """
    parts = {
        "unchanged": plain_rows(table),
        "changed": table[(table["step"] != NOTHING) & (table["lab"] != "")],
    }
    found = [
        calibration(rows, n_bins, by=by).assign(rows=name)
        for name, rows in parts.items()
        for by in (("model", "rule"), GROUPS)
    ]
    return pd.concat(found, ignore_index=True)[["rows", *CALIBRATION_COLUMNS]]


def overall(calibrated: pd.DataFrame) -> pd.DataFrame:
    """The rows over all bins."""
    return calibrated[calibrated["bins"] == ALL]


def bins_of(calibrated: pd.DataFrame) -> pd.DataFrame:
    """The rows of single bins."""
    return calibrated[calibrated["bins"] != ALL]


def _line(rows: pd.DataFrame, cluster: str, n_samples: int, seed: int) -> dict[str, Any]:
    true, error = (clustered_mean(rows, name, n_samples=n_samples, seed=seed) for name in ("_true", "_error"))
    return {
        "n": len(rows),
        "predicted_iou": float(rows["_predicted"].mean()),
        "true_iou": true.mean,
        "true_iou_low": true.low,
        "true_iou_high": true.high,
        "true_dice": float(rows["_dice"].mean()),
        "abs_error": error.mean,
        "abs_error_low": error.low,
        "abs_error_high": error.high,
        "n_clusters": true.n_volumes,
        "cluster": cluster,
    }
