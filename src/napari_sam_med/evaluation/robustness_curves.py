"""What comes out of the lab: mean Dice against dose with intervals, how much is lost, and how big oracle's lead is.

Slices of one volume are not independent. With several volumes every interval is a bootstrap over whole volumes; with
one it can only be over slices, and is then too narrow for a statement about other volumes. Each table says which.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from napari_sam_med.evaluation.robustness_config import NOTHING
from napari_sam_med.evaluation.statistics_clusters import N_SAMPLES, clustered_mean, paired_rows

CURVE = ("lab", "mode", "model", "strategy", "rule")
"""Columns that name one curve."""
CURVE_COLUMNS = (
    *CURVE,
    "dose",
    "step",
    "dice",
    "dice_low",
    "dice_high",
    "loss",
    "loss_low",
    "loss_high",
    "moved_px",
    "n_valid",
    "n_clusters",
    "cluster",
    "n_errors",
)
GAP_COLUMNS = (
    "model",
    "strategy",
    "oracle",
    "score",
    "gap",
    "gap_low",
    "gap_high",
    "n_valid",
    "n_clusters",
    "cluster",
)


def cluster_of(table: pd.DataFrame) -> str:
    """What the rows of a table are drawn by in a bootstrap: "volume" if there are several, else "slice"."""
    return "volume" if table["case"].nunique() > 1 else "slice"


def by_cluster(table: pd.DataFrame, cluster: str) -> pd.DataFrame:
    """The table with ``case`` naming the cluster, as :func:`statistics_clusters.clustered_mean` wants it.

    Parameters
    ----------
    table : DataFrame
        With the columns case, axis and slice.
    cluster : {"volume", "slice"}
    """
    if cluster == "volume":
        return table
    places = table["case"].astype(str) + "|" + table["axis"].astype(str) + "|" + table["slice"].astype(str)
    return table.assign(case=places)


def curves(table: pd.DataFrame, *, n_samples: int = N_SAMPLES, seed: int = 0) -> pd.DataFrame:
    """Mean Dice for every dose of every curve, and the loss against nothing changed.

    Parameters
    ----------
    table : DataFrame
        Of the lab, see ``robustness_rows.read_lab_table``. Every row (object in a slice, draw) counts once.
    n_samples, seed
        Of the bootstrap.

    Returns
    -------
    DataFrame
        A row for each lab, mode, model, strategy, rule and step with the columns ``CURVE_COLUMNS``, doses in order.
        ``loss`` is the mean of ``dice_plain`` - ``dice`` over the same rows, above 0 where the change does harm;
        ``*_low`` and ``*_high`` bound 95 % intervals, NaN for fewer than two clusters; ``moved_px`` is how far prompts
        moved on average; ``cluster`` says what the bootstrap drew.
    """
    cluster = cluster_of(table)
    named = by_cluster(table[table["lab"] != ""], cluster)
    named = named.assign(loss=named["dice_plain"] - named["dice"])
    out: list[dict[str, Any]] = []
    for key, curve in named.groupby(list(CURVE), sort=False):
        for (dose, step), part in curve.groupby(["dose", "step"], sort=True):
            row = dict(zip(CURVE, key, strict=True)) | {"dose": dose, "step": step}
            for name in ("dice", "loss"):
                found = clustered_mean(part, name, n_samples=n_samples, seed=seed)
                row |= {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
            row |= {"n_valid": found.n_valid, "n_clusters": found.n_volumes, "cluster": cluster}
            row |= {"moved_px": part["moved_px"].mean(), "n_errors": int((part["error"] != "").sum())}
            out.append(row)
    return pd.DataFrame(out, columns=list(CURVE_COLUMNS))


def oracle_gap(table: pd.DataFrame, *, n_samples: int = N_SAMPLES, seed: int = 0) -> pd.DataFrame:
    """How much Dice is lost because the model does not know which of its candidates is best.

    Parameters
    ----------
    table : DataFrame
        Of scores (``table.read_table``), or rows of the lab with nothing changed, with the rules oracle and score.

    Returns
    -------
    DataFrame
        For each model and strategy (columns ``GAP_COLUMNS``) both means over the same rows, and the mean difference
        oracle - score with its 95 % interval.
    """
    cluster = cluster_of(table)
    out: list[dict[str, Any]] = []
    good = table[(table["error"] == "") & (table["model"] != "")]
    for (model, strategy), part in good.groupby(["model", "strategy"], sort=False):
        both = paired_rows(part, "rule", "score", "oracle")
        if both.empty:
            continue
        gap = clustered_mean(by_cluster(both, cluster), "difference", n_samples=n_samples, seed=seed)
        score = _mean_of(part, "score", both)
        out.append(
            {
                "model": model,
                "strategy": strategy,
                "oracle": score + gap.mean,
                "score": score,
                "gap": gap.mean,
                "gap_low": gap.low,
                "gap_high": gap.high,
                "n_valid": gap.n_valid,
                "n_clusters": gap.n_volumes,
                "cluster": cluster,
            }
        )
    return pd.DataFrame(out, columns=list(GAP_COLUMNS))


def _mean_of(table: pd.DataFrame, rule: str, rows: pd.DataFrame) -> float:
    keys = ["case", "axis", "slice", "label"]
    of_rule = table[table["rule"] == rule][[*keys, "dice"]]
    return float(rows[keys].merge(of_rule, on=keys)["dice"].mean())


def plain_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the lab with nothing changed, once for each object, model, strategy and rule, as a table of scores."""
    plain = table[table["step"] == NOTHING]
    keys = ["case", "axis", "slice", "label", "model", "strategy", "rule"]
    return plain.drop_duplicates(keys).assign(jaccard=lambda t: t["dice"] / (2 - t["dice"]))
