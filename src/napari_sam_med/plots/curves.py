"""Curves of a mean with its interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from napari_sam_med.plots.colors import PLAIN, SERIES, Colors, say

_MARKERS = "osD^vP*"


def dose_curve(
    axes: Axes,
    table: pd.DataFrame,
    x: str = "dose",
    y: str = "dice",
    *,
    group: str | None = "strategy",
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
        Column whose values get a line each, with a legend; the same value has the same colour and marker in every table
        that names the groups in the same order. None for one line.
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
    names = [None] if group is None else list(dict.fromkeys(table[group]))
    for k, name in enumerate(names):
        part = shown if group is None else shown[shown[group] == name]
        color = colors.dots if group is None else SERIES[k % len(SERIES)]
        label = None if name is None else str(name)
        marker = _MARKERS[k % len(_MARKERS)]
        axes.plot(part[x], part[y], color=color, marker=marker, markersize=4, linewidth=1.5, label=label)
        if {f"{y}_low", f"{y}_high"} <= set(part.columns):
            bounds = part[[f"{y}_low", f"{y}_high"]].astype(float)
            axes.fill_between(
                part[x].astype(float),
                bounds.iloc[:, 0],
                bounds.iloc[:, 1],
                color=color,
                alpha=0.15,
                linewidth=0,
            )
    if len(names) > 1 or names[0] is not None:
        axes.legend(loc="best", frameon=False, labelcolor=colors.text)
    if ticks is not None:
        words = shown.drop_duplicates(x)
        axes.set_xticks(words[x].astype(float), [str(word) for word in words[ticks]], color=colors.text)
    axes.set_xlabel(x_label or x, color=colors.text)
    axes.set_ylabel(y_label or y, color=colors.text)
    if title:
        axes.set_title(title, color=colors.text)
