"""Means, differences and their intervals when slices of one volume belong together.

Every interval is a percentile bootstrap over whole volumes (Efron 1979; Field & Welsh 2007 for clusters): volumes are
drawn with replacement and keep all their rows, because slices of one volume are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
N_SAMPLES = 2000
UNITS = ("slice", "volume")
"""What counts once in a mean: every object in a slice, or every volume. Their numbers are never mixed."""

_PAIR = ["case", "axis", "slice", "label"]


class Mean(NamedTuple):
    """A mean with its interval.

    Attributes
    ----------
    mean : float
        NaN if nothing is finite.
    low, high : float
        Bounds of the interval; NaN for fewer than two volumes.
    n_valid : int
        Finite values the mean rests on: rows for the unit "slice", volumes for "volume".
    n_volumes : int
        Volumes with a finite value.
    """

    mean: float
    low: float
    high: float
    n_valid: int
    n_volumes: int


def cluster_weights(n_clusters: int, n_samples: int = N_SAMPLES, seed: int = 0) -> NDArray[np.int64]:
    """How often each cluster is drawn in each bootstrap sample, shape (n_samples, n_clusters)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=n_samples)


def percentile_interval(samples: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float]:
    """The middle `level` of bootstrap samples; NaN where fewer than nine in ten are finite."""
    finite = samples[np.isfinite(samples)]
    if finite.size == 0 or finite.size < 0.9 * samples.size:
        return (float("nan"), float("nan"))
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high))


def clustered_mean(
    table: pd.DataFrame,
    name: str,
    unit: str = "slice",
    *,
    n_samples: int = N_SAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Mean:
    """Mean of a column with an interval from a bootstrap over volumes.

    Parameters
    ----------
    table : DataFrame
        Rows of one model, strategy and rule, with the columns ``case``, ``label`` and `name`; only finite values count.
    name : str
        Column to average.
    unit : {"slice", "volume"}
        "slice": every row counts once. "volume": rows are averaged over the slices of an object, then over the objects
        of a volume, then over volumes, so that neither a long object nor a large volume outweighs the others.
    n_samples, seed, level
        Of the bootstrap.

    Returns
    -------
    Mean
    """
    if unit not in UNITS:
        raise ValueError(f"unit must be one of {UNITS}, found {unit!r}")
    finite = table[np.isfinite(table[name].astype(float))]
    if finite.empty:
        return Mean(float("nan"), float("nan"), float("nan"), 0, 0)
    sums: NDArray[Any]
    counts: NDArray[Any]
    if unit == "volume":
        by_object = finite.groupby(["case", "label"], sort=False, dropna=False)[name].mean()
        means = by_object.groupby(level="case", sort=False).mean().to_numpy(float)
        sums, counts = means, np.ones(len(means))
    else:
        grouped = finite.groupby("case", sort=False)[name]
        sums, counts = grouped.sum().to_numpy(float), grouped.count().to_numpy(float)
    low, high = float("nan"), float("nan")
    if len(sums) > 1:
        weights = cluster_weights(len(sums), n_samples, seed)
        low, high = percentile_interval((weights @ sums) / (weights @ counts), level)
    return Mean(float(sums.sum() / counts.sum()), low, high, int(counts.sum()), len(sums))


def paired_rows(table: pd.DataFrame, by: str, first: str, second: str, name: str = "dice") -> pd.DataFrame:
    """Differences `second` - `first` of a column, for every object in a slice that both have.

    Parameters
    ----------
    table : DataFrame
        Rows in which case, axis, slice and label name at most one row of each side (one model or strategy left open,
        one rule).
    by : str
        Column that tells the sides apart: "model", "strategy" or "rule".
    first, second : str
        Its two values.
    name : str
        Metric; rows where it is not finite on either side are left out.

    Returns
    -------
    DataFrame
        case, axis, slice, label and ``difference``.
    """
    sides = []
    for value in (first, second):
        side = table[(table[by] == value) & np.isfinite(table[name].astype(float))]
        sides.append(side[[*_PAIR, name]])
    both = sides[0].merge(sides[1], on=_PAIR, suffixes=("_first", "_second"), validate="one_to_one")
    both["difference"] = both[f"{name}_second"].astype(float) - both[f"{name}_first"].astype(float)
    return both[[*_PAIR, "difference"]]


def paired_difference(
    table: pd.DataFrame,
    by: str,
    first: str,
    second: str,
    name: str = "dice",
    unit: str = "volume",
    *,
    n_samples: int = N_SAMPLES,
    seed: int = 0,
) -> Mean:
    """Mean paired difference `second` - `first` with an interval from a bootstrap over volumes.

    See :func:`paired_rows` and :func:`clustered_mean`.
    """
    rows = paired_rows(table, by, first, second, name)
    return clustered_mean(rows, "difference", unit, n_samples=n_samples, seed=seed)


def bootstrap_clusters(
    clusters: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], Sequence[float] | NDArray[np.float64]],
    *,
    n_samples: int = N_SAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> list[tuple[float, float]]:
    """Intervals of any statistics that can be computed from row weights.

    Parameters
    ----------
    clusters : array-like, shape (N,)
        Volume of each row.
    statistic : callable
        ``statistic(weights) -> values``; weights, shape (N,), say how often each row is in the sample.
    n_samples, seed, level
        Of the bootstrap.

    Returns
    -------
    list of (low, high)
        One for each value; NaN for fewer than two clusters.
    """
    codes, names = pd.factorize(np.asarray(clusters))
    if len(names) < 2:
        count = len(statistic(np.ones(len(codes))))
        return [(float("nan"), float("nan"))] * count
    weights = cluster_weights(len(names), n_samples, seed)
    samples = np.array([statistic(drawn[codes].astype(float)) for drawn in weights], float)
    return [percentile_interval(column, level) for column in samples.T]
