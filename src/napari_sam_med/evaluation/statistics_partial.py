"""Which factors go with a metric: Spearman's rho, and partial Spearman with all other factors held fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from napari_sam_med.evaluation.statistics_clusters import bootstrap_clusters

_NAN = float("nan")
_MOSTLY = 0.5
_COLLINEAR = 1e-6


@dataclass(frozen=True)
class FactorCorrelation:
    """How a factor goes with a metric.

    Attributes
    ----------
    factor : str
    rho, low, high : float
        Spearman's rho and its interval.
    n_valid : int
        Rows where both are known.
    partial_rho, partial_low, partial_high : float
        The partial rho, given all other factors used, and its interval.
    partial_n : int
        Rows where the metric and every factor used are known.
    p : float
        Two-sided p of "no partial correlation" for independent rows. Slices of one volume are not independent, so it is
        too small for them; judge by the interval.
    note : str
        Why the partial rho is missing; "" otherwise.
    """

    factor: str
    rho: float
    low: float
    high: float
    n_valid: int
    partial_rho: float
    partial_low: float
    partial_high: float
    partial_n: int
    p: float
    note: str = ""


@dataclass(frozen=True)
class PartialCorrelations:
    """Partial rank correlations of a target with columns.

    Attributes
    ----------
    rho : dict of str to float
        For every column asked for; NaN where `notes` says why.
    p : dict of str to float
        For independent rows.
    n_valid : int
        Rows they rest on.
    used : tuple of str
        Columns held fixed against each other.
    notes : dict of str to str
        Why a column was left out.
    """

    rho: dict[str, float]
    p: dict[str, float]
    n_valid: int
    used: tuple[str, ...]
    notes: dict[str, str]


def partial_spearman(table: pd.DataFrame, target: str, columns: Sequence[str]) -> PartialCorrelations:
    """Partial Spearman correlation of `target` with each column, all other columns held fixed.

    Columns are ranked (ties share their mean rank), the correlation matrix of the ranks is inverted, and
    ``rho_ij = -P_ij / sqrt(P_ii P_jj)`` (Huang et al. 2024, after Whittaker 1990).

    Left out, with a note: columns known in less than half of the rows, constant ones, and those whose ranks follow
    from the columns before them. Of the rest only rows count where the target and all columns are known; infinite
    values rank highest.

    Parameters
    ----------
    table : DataFrame
    target : str
        The metric.
    columns : sequence of str
        The factors.

    Returns
    -------
    PartialCorrelations
        All NaN if there are fewer than 3 more rows than columns used, or the target is constant.
    """
    known = table[table[target].notna()]
    used, notes = _usable(known, target, columns)
    complete = known[[target, *used]].dropna()
    rho: dict[str, float] = dict.fromkeys(columns, _NAN)
    p = dict(rho)
    n_valid = len(complete)
    if not used:
        return PartialCorrelations(rho, p, n_valid, (), notes)
    freedom = n_valid - len(used) - 1
    if freedom < 2:
        why = f"{n_valid} complete rows are too few for {len(used)} factors"
        return PartialCorrelations(rho, p, n_valid, (), {**notes, **dict.fromkeys(used, why)})
    values = _partial(_Ranker(complete.to_numpy(float)).ranks(np.ones(n_valid)), np.ones(n_valid))
    for name, value in zip(used, values, strict=True):
        rho[name] = float(value)
        p[name] = _p_value(float(value), freedom)
        if np.isnan(value):
            notes[name] = f"{target} is constant or follows from the factors"
    return PartialCorrelations(rho, p, n_valid, tuple(used), notes)


def factor_correlations(
    table: pd.DataFrame,
    columns: Sequence[str],
    target: str = "dice",
    *,
    cluster: str = "case",
    n_samples: int = 1000,
    seed: int = 0,
) -> list[FactorCorrelation]:
    """Spearman and partial Spearman of a metric with every factor, with intervals from a bootstrap over volumes.

    Parameters
    ----------
    table : DataFrame
        Rows of one model, strategy and rule; each an object in a slice.
    columns : sequence of str
        Factors.
    target : str
        Metric; rows where it is NaN are left out.
    cluster : str
        Column of the volumes.
    n_samples, seed
        Of the bootstrap; an interval is NaN for fewer than two volumes.

    Returns
    -------
    list of FactorCorrelation
        In the order of `columns`.
    """
    partial = partial_spearman(table, target, columns)
    complete = table[[cluster, target, *partial.used]].dropna()
    intervals = dict.fromkeys(columns, (_NAN, _NAN))
    if partial.used:
        ranker = _Ranker(complete[[target, *partial.used]].to_numpy(float))
        bounds = bootstrap_clusters(
            complete[cluster], lambda w: _partial(ranker.ranks(w), w), n_samples=n_samples, seed=seed
        )
        intervals.update(zip(partial.used, bounds, strict=True))
    out = []
    for name in columns:
        rho, low, high, n_valid = _simple(table[[cluster, target, name]].dropna(), n_samples, seed)
        out.append(
            FactorCorrelation(
                name, rho, low, high, n_valid, partial.rho[name], *intervals[name],
                partial.n_valid if name in partial.used else 0, partial.p[name], partial.notes.get(name, ""),
            )
        )  # fmt: skip
    return out


def _simple(pairs: pd.DataFrame, n_samples: int, seed: int) -> tuple[float, float, float, int]:
    if len(pairs) < 3:
        return (_NAN, _NAN, _NAN, len(pairs))
    ranker = _Ranker(pairs.iloc[:, 1:].to_numpy(float))
    everything = np.ones(len(pairs))
    rho = _partial(ranker.ranks(everything), everything)[0]
    (low, high), *_ = bootstrap_clusters(
        pairs.iloc[:, 0], lambda w: _partial(ranker.ranks(w), w), n_samples=n_samples, seed=seed
    )
    return (float(rho), low, high, len(pairs))


class _Ranker:
    """Ranks of columns in any reweighted sample: what ``rankdata`` gives for rows repeated by their weights."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._places = [np.unique(column, return_inverse=True)[1] for column in values.T]

    def ranks(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mid-ranks, shape (rows, columns); those of rows with weight 0 do not matter."""
        out = np.empty((len(weights), len(self._places)))
        for k, places in enumerate(self._places):
            counts = np.bincount(places, weights)
            out[:, k] = (np.cumsum(counts) - counts / 2 + 0.5)[places]
        return out


def _partial(ranks: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Partial correlation of column 0 with each other column; NaN where the matrix cannot be inverted.

    A column that is constant, as a rare property is in a sample that happens to lack it, has NaN and explains nothing
    of the others.
    """
    covariance = _covariance(ranks, weights)
    deviation = np.sqrt(np.diag(covariance))
    varies = deviation > 1e-12 * max(weights.sum(), 1.0)
    values = np.full(len(deviation), _NAN)
    if not varies[0]:
        return values[1:]
    kept = np.flatnonzero(varies)
    matrix = covariance[np.ix_(kept, kept)] / np.outer(deviation[kept], deviation[kept])
    if len(matrix) == 2:  # two columns need no inversion, and may agree perfectly
        values[kept] = matrix[0]
    elif np.linalg.cond(matrix) <= 1e12:
        precision = np.linalg.inv(matrix)
        scale = np.sqrt(precision[0, 0] * np.diag(precision))
        values[kept] = -precision[0] / scale
    return np.clip(values[1:], -1.0, 1.0)  # rounding


def _covariance(ranks: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total = weights.sum()
    centred = ranks - (weights @ ranks) / total
    return centred.T @ (centred * weights[:, None]) / total


def _usable(known: pd.DataFrame, target: str, columns: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Columns that can be held fixed together, and why the others cannot."""
    notes: dict[str, str] = {}
    present: list[str] = []
    for name in columns:
        if known[name].notna().sum() < max(3, _MOSTLY * len(known)):
            notes[name] = "known in less than half of the rows"
        else:
            present.append(name)
    complete = known[present].dropna()
    basis = np.ones((len(complete), 1)) / np.sqrt(max(len(complete), 1))
    used: list[str] = []
    for name in present:
        ranks = stats.rankdata(complete[name].to_numpy(float))
        if len(ranks) == 0 or np.ptp(ranks) == 0:
            notes[name] = "the same in all rows"
            continue
        centred = ranks - ranks.mean()
        rest = centred - basis @ (basis.T @ centred)
        rest -= basis @ (basis.T @ rest)
        if np.linalg.norm(rest) < _COLLINEAR * np.linalg.norm(centred) or len(used) + 1 >= len(ranks):
            notes[name] = "follows from the factors before it"
            continue
        basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
        used.append(name)
    return used, notes


def _p_value(rho: float, freedom: int) -> float:
    if np.isnan(rho):
        return _NAN
    if abs(rho) >= 1:
        return 0.0
    t = rho * np.sqrt(freedom / (1 - rho**2))
    return float(2 * stats.t.sf(abs(t), freedom))
