"""Statistics of tables of scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


class Correlation(NamedTuple):
    """Spearman's rank correlation: rho, how many pairs it rests on, two-sided p of "no correlation"."""

    rho: float
    n_valid: int
    p: float


def spearman(x: ArrayLike, y: ArrayLike) -> Correlation:
    """Spearman's rho of the pairs where neither value is NaN; infinite values rank highest.

    The p-value takes the pairs as independent. Slices of one volume are not, so it is too small for them.

    Returns
    -------
    Correlation
        rho and p are NaN for fewer than 3 valid pairs or when one side is constant.
    """
    a, b = np.asarray(x, float), np.asarray(y, float)
    valid = ~(np.isnan(a) | np.isnan(b))
    a, b = stats.rankdata(a[valid]), stats.rankdata(b[valid])
    n_valid = int(valid.sum())
    if n_valid < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return Correlation(float("nan"), n_valid, float("nan"))
    result = stats.spearmanr(a, b)
    return Correlation(float(result.statistic), n_valid, float(result.pvalue))


def bootstrap_mean(
    clusters: ArrayLike, level: float = 0.95, n_samples: int = 5000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of a mean over clusters (Efron 1979), by drawing whole clusters with replacement.

    Parameters
    ----------
    clusters : array-like, shape (N,)
        One value a cluster, such as the mean of a volume; slices of one volume are not independent. NaN is left out.
    level : float
        Share of the samples inside the interval.
    n_samples, seed : int
        Number of samples and the seed of their chance.

    Returns
    -------
    low, high : float
        NaN for fewer than 2 clusters.
    """
    values = np.asarray(clusters, float)
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return (float("nan"), float("nan"))
    drawn = np.random.default_rng(seed).integers(0, len(values), (n_samples, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high))
