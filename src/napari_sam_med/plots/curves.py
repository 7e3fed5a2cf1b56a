"""Curves of a mean with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from napari_sam_med.plots.colors import PLAIN, SERIES, Colors, say

_MARKERS = "osD^vP*"


def dose_curve(
    axes: Axes,
    table: pd.DataFrame,
    x: str = "dose",
    y: str = "dice",
    *,
    group: str | None = "strategy",
    names: Sequence[str] | None = None,
    legend: bool = True,
    ticks: str | None = None,
    x_label: str = "",
    y_label: str = "",
    title: str = "",
    colors: Colors = PLAIN,
) -> None:
    """Column `y` against column `x` as lines, with a band from ``<y>_low`` to ``<y>_high``.

    Parameters
    ----------
    axes : Axes
    table : DataFrame
        A row a point; rows where `x` or `y` is not finite are left out. Bounds that are NaN leave the band open.
    x, y : str
        Columns.
    group : str, optional
        Column whose values get a line each; None for one line.
    names : sequence of str, optional
        All groups, in the order of colours and markers, so that a group looks the same in several axes though not all
        of them show it; those of this table by default.
    legend : bool
        Whether the names of the groups stand in the axes.
    ticks : str, optional
        Column with words for the values of `x`, written in place of the numbers.
    x_label, y_label, title : str
        The column names by default, and no title.
    colors : Colors
    """
    finite = np.isfinite(table[[x, y]].to_numpy(float)).all(axis=1)
    shown = table[finite].sort_values(x, kind="stable")
    if shown.empty:
        say(axes, f"No scores with {y_label or y} to show yet.", colors)
        return
    known: Sequence[str | None] = [None]
    if group is not None:
        known = list(dict.fromkeys(table[group])) if names is None else names
    for k, name in enumerate(known):
        part = shown if group is None else shown[shown[group] == name]
        if part.empty:
            continue
        color = colors.dots if group is None else SERIES[k % len(SERIES)]
        label = None if name is None else str(name)
        marker = _MARKERS[k % len(_MARKERS)]
        axes.plot(part[x], part[y], color=color, marker=marker, markersize=4, linewidth=1.5, label=label)
        if {f"{y}_low", f"{y}_high"} <= set(part.columns):
            bounds = part[[f"{y}_low", f"{y}_high"]].astype(float)
            # thin edges tell bands apart that lie over each other
            axes.fill_between(
                part[x].astype(float),
                bounds.iloc[:, 0],
                bounds.iloc[:, 1],
                facecolor=to_rgba(color, 0.08),
                edgecolor=to_rgba(color, 0.45),
                linewidth=0.6,
            )
    if legend and group is not None:
        axes.legend(loc="best", frameon=False, labelcolor=colors.text)
    if ticks is not None:
        words = shown.drop_duplicates(x)
        axes.margins(x=0.08)
        axes.set_xticks(words[x].astype(float), [str(word) for word in words[ticks]], color=colors.text)
    axes.set_xlabel(x_label or x, color=colors.text)
    axes.set_ylabel(y_label or y, color=colors.text)
    if title:
        axes.set_title(title, color=colors.text)
