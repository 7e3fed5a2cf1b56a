"""One column against another."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from napari_sam_med.plots.colors import PLAIN, SERIES, Colors, say

_MANY = 1000


def scatter(
    axes: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    *,
    x_label: str = "",
    y_label: str = "",
    title: str = "",
    group: str | None = None,
    trend: bool = False,
    colors: Colors = PLAIN,
) -> list[Hashable]:
    """Dots of column `y` against column `x`.

    Parameters
    ----------
    axes : Axes
    table : DataFrame
        A row a dot; rows where either value is NaN or infinite are left out.
    x, y : str
        Columns.
    x_label, y_label, title : str
        The column names by default, and no title.
    group : str, optional
        Column whose values get a colour each, with a legend.
    trend : bool
        Draw medians of `y` over parts of equal size along `x`; see :func:`running_median`.
    colors : Colors

    Returns
    -------
    list
        Index of the table's row for each dot, in the order of the dots; empty if there is nothing to draw.
    """
    values = table[[x, y]].to_numpy(float)
    shown = table.iloc[np.flatnonzero(np.isfinite(values).all(axis=1))]
    if shown.empty:
        say(axes, f"No scores with {x_label or x} to show yet.", colors)
        return []
    size = float(np.clip(4000 / len(shown), 10, 36))
    # as vectors, thousands of dots make a file that no browser likes
    look: dict[str, Any] = {"s": size, "alpha": 0.7, "linewidths": 0, "rasterized": len(shown) > _MANY}
    if group is None:
        axes.scatter(shown[x], shown[y], color=colors.dots, **look)
    else:
        for k, (name, part) in enumerate(shown.groupby(group, sort=False)):
            color = SERIES[k % len(SERIES)]
            axes.scatter(part[x], part[y], color=color, label=str(name), **look)
        axes.legend(loc="best", frameon=False, labelcolor=colors.text, markerscale=6 / size**0.5)
        shown = pd.concat([part for _, part in shown.groupby(group, sort=False)])
    if trend:
        across, medians = running_median(shown[x].to_numpy(float), shown[y].to_numpy(float), 6)
        if len(across) > 1:
            axes.plot(across, medians, color=colors.accent, linewidth=2, zorder=3)
    axes.set_xlabel(x_label or x, color=colors.text)
    axes.set_ylabel(y_label or y, color=colors.text)
    if title:
        axes.set_title(title, color=colors.text)
    return list(shown.index)


def running_median(
    x: NDArray[np.float64], y: NDArray[np.float64], most_parts: int = 10
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Medians of `x` and `y` in parts of about equal size along `x`: a trend without a model.

    Equal values of `x` stay in one part; there are at least ten points for every part.

    Parameters
    ----------
    x, y : ndarray, shape (N,)
        Finite.
    most_parts : int

    Returns
    -------
    across, medians : ndarray, shape (parts,)
        Sorted by `across`; fewer than two parts show no trend.
    """
    parts = min(most_parts, len(x) // 10)
    if parts < 1:
        return np.empty(0), np.empty(0)
    edges = np.unique(np.quantile(x, np.linspace(0, 1, parts + 1)[1:-1]))
    place = np.searchsorted(edges, x, side="right")
    found = [place == k for k in range(len(edges) + 1) if (place == k).any()]
    return np.array([np.median(x[part]) for part in found]), np.array([np.median(y[part]) for part in found])
