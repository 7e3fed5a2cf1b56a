"""The numbers of a report, in full precision; every one of them comes from ``statistics_*`` or is a plain count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from napari_sam_med.evaluation.statistics_clusters import clustered_mean, paired_difference, paired_rows
from napari_sam_med.evaluation.statistics_partial import factor_correlations
from napari_sam_med.evaluation.table import mean_by_case

BY = ["rule", "model", "strategy"]
N_FACTOR_SAMPLES = 1000
_MANY_VOLUMES = 10
_NAN = float("nan")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, each with its values by column."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def slice_means(table: pd.DataFrame, metric: str = "dice", by: Sequence[str] = BY) -> pd.DataFrame:
    """A metric over objects in slices, each counted once, for every combination of `by`.

    Returns
    -------
    DataFrame
        `by`, n_rows, n_valid, n_infinite, mean, sd (n - 1), low, high (of the mean; bootstrap over volumes), median,
        q1, q3, n_volumes. Infinite values count in the median and the quartiles alone.
    """
    out = []
    for key, part in table.groupby(list(by), sort=False, dropna=False):
        values = part[metric].astype(float).to_numpy()
        known = values[~np.isnan(values)]
        finite = known[np.isfinite(known)]
        found = clustered_mean(part, metric)
        q1, median, q3 = _quartiles(known)
        out.append(
            dict(zip(by, key, strict=True))
            | {
                "n_rows": len(part),
                "n_valid": len(finite),
                "n_infinite": len(known) - len(finite),
                "mean": found.mean,
                "sd": float(finite.std(ddof=1)) if len(finite) > 1 else float("nan"),
                "low": found.low,
                "high": found.high,
                "median": median,
                "q1": q1,
                "q3": q3,
                "n_volumes": found.n_volumes,
            }
        )
    names = [
        "n_rows",
        "n_valid",
        "n_infinite",
        "mean",
        "sd",
        "low",
        "high",
        "median",
        "q1",
        "q3",
        "n_volumes",
    ]
    return pd.DataFrame(out, columns=[*by, *names])


def volume_means(table: pd.DataFrame, metric: str = "dice", by: Sequence[str] = BY) -> pd.DataFrame:
    """A metric over volumes: the slices of an object are averaged first, then the objects of a volume.

    Returns
    -------
    DataFrame
        `by`, n_volumes, n_objects, mean, sd (between volumes), low, high, worst, best (volume means).
    """
    out = []
    for key, part in table.groupby(list(by), sort=False, dropna=False):
        finite = part[np.isfinite(part[metric].astype(float))]
        volumes = mean_by_case(finite, metric).to_numpy(float)
        found = clustered_mean(part, metric, "volume")
        out.append(
            dict(zip(by, key, strict=True))
            | {
                "n_volumes": found.n_volumes,
                "n_objects": len(finite[["case", "label"]].drop_duplicates()),
                "mean": found.mean,
                "sd": float(volumes.std(ddof=1)) if len(volumes) > 1 else float("nan"),
                "low": found.low,
                "high": found.high,
                "worst": float(volumes.min()) if len(volumes) else float("nan"),
                "best": float(volumes.max()) if len(volumes) else float("nan"),
            }
        )
    names = ["n_volumes", "n_objects", "mean", "sd", "low", "high", "worst", "best"]
    return pd.DataFrame(out, columns=[*by, *names])


def differences(table: pd.DataFrame, between: str, metric: str = "dice") -> pd.DataFrame:
    """Paired differences of every two models (or strategies), the other one and the rule held fixed.

    Parameters
    ----------
    table : DataFrame
        Scored rows.
    between : {"model", "strategy"}

    Returns
    -------
    DataFrame
        rule, held (the strategy, or the model), first, second, difference (second - first, over volumes), low, high,
        n_volumes, n_pairs (objects in slices that both have).
    """
    held = "strategy" if between == "model" else "model"
    out: list[dict[str, Any]] = []
    for (rule, name), part in table.groupby(["rule", held], sort=False):
        sides = list(dict.fromkeys(part[between]))
        for first, second in combinations(sides, 2):
            found = paired_difference(part, between, first, second, metric)
            if not found.n_valid:
                continue
            out.append(
                {
                    "rule": rule,
                    "held": name,
                    "first": first,
                    "second": second,
                    "difference": found.mean,
                    "low": found.low,
                    "high": found.high,
                    "n_volumes": found.n_volumes,
                    "n_pairs": len(paired_rows(part, between, first, second, metric)),
                }
            )
    names = ["rule", "held", "first", "second", "difference", "low", "high", "n_volumes", "n_pairs"]
    return pd.DataFrame(out, columns=names)


def factor_table(table: pd.DataFrame, factors: Sequence[str], metric: str = "dice") -> pd.DataFrame:
    """Spearman and partial Spearman of a metric with factors, for every model and strategy of one rule.

    Factors that nothing is known of are left out. With fewer than ten volumes, factors that never vary within a volume,
    such as the slice spacing, are not held fixed and have no partial rho: they stand for the volume.

    Returns
    -------
    DataFrame
        model, strategy, and the fields of ``statistics_partial.FactorCorrelation``.
    """
    known = [name for name in factors if table[name].notna().any()]
    out: list[dict[str, Any]] = []
    for (model, strategy), part in table.groupby(["model", "strategy"], sort=False):
        alone = _of_volumes(part, known)
        together = [name for name in known if name not in alone]
        found = {f.factor: f for f in factor_correlations(part, together, metric, n_samples=N_FACTOR_SAMPLES)}
        for name in alone:
            (single,) = factor_correlations(part, [name], metric, n_samples=N_FACTOR_SAMPLES)
            why = f"the same in all slices of a volume, and {part['case'].nunique()} volumes are too few"
            found[name] = replace(
                single,
                partial_rho=_NAN,
                partial_low=_NAN,
                partial_high=_NAN,
                partial_n=0,
                p=_NAN,
                note=single.note or why,
            )
        out += [{"model": model, "strategy": strategy, **vars(found[name])} for name in known]
    return pd.DataFrame(out)


def _of_volumes(table: pd.DataFrame, factors: Sequence[str]) -> list[str]:
    """Factors that say no more than which volume it is; with few volumes that cannot be told from all else."""
    if not 1 < table["case"].nunique() < _MANY_VOLUMES:
        return []
    spread = table.groupby("case")[list(factors)].nunique()
    return [name for name in factors if spread[name].max() <= 1 and table[name].nunique() > 1]


def failure_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Why rows could not be scored.

    Returns
    -------
    DataFrame
        error, n_rows, cases (list of names), the most frequent first.
    """
    failed = table[table["error"] != ""]
    out = [
        {"error": error, "n_rows": len(part), "cases": list(dict.fromkeys(part["case"]))}
        for error, part in failed.groupby("error", sort=False)
    ]
    found = pd.DataFrame(out, columns=["error", "n_rows", "cases"])
    return found.sort_values("n_rows", ascending=False, kind="stable", ignore_index=True)


def click_curves(table: pd.DataFrame) -> pd.DataFrame:
    """Mean Dice after each click of the strategy "clicks".

    Returns
    -------
    DataFrame
        rule, model, click (from 1), dice, dice_low, dice_high, n_valid.
    """
    clicked = table[(table["strategy"] == "clicks") & (table["click_dices"] != "")]
    out: list[dict[str, Any]] = []
    for (rule, model), part in clicked.groupby(["rule", "model"], sort=False):
        dices = pd.DataFrame(
            [[float(word) for word in text.split(";")] for text in part["click_dices"]], index=part.index
        )
        for k in range(dices.shape[1]):
            found = clustered_mean(part.assign(now=dices[k]), "now")
            bounds = {"dice": found.mean, "dice_low": found.low, "dice_high": found.high}
            out.append({"rule": rule, "model": model, "click": k + 1, **bounds, "n_valid": found.n_valid})
    return pd.DataFrame(out, columns=["rule", "model", "click", "dice", "dice_low", "dice_high", "n_valid"])


def _quartiles(values: np.ndarray[Any, Any]) -> tuple[float, float, float]:
    """Quartiles by the nearest values, so that infinite ones are no obstacle."""
    if not len(values):
        return (float("nan"), float("nan"), float("nan"))
    q1, median, q3 = np.quantile(
        values, [0.25, 0.5, 0.75], method="linear" if np.isfinite(values).all() else "higher"
    )
    return (float(q1), float(median), float(q3))
