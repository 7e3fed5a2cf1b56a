"""Estimates with their intervals, and means of many groups on lines of their own."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from napari_sam_med.plots.colors import PLAIN, SERIES, Colors, say
from napari_sam_med.plots.groups import Group, groups_of

_DODGE = 0.56  # of a line, shared by the groups on it


def intervals(
    axes: Axes,
    table: pd.DataFrame,
    label: str,
    value: str,
    low: str,
    high: str,
    *,
    group: str | None = None,
    zero: float | None = 0.0,
    x_label: str = "",
    title: str = "",
    limits: tuple[float, float] | None = None,
    colors: Colors = PLAIN,
) -> list[Hashable]:
    """A dot with a horizontal interval for each row, the first row on top, and a line where there is no effect.

    A dot is filled if its interval leaves out `zero`, and hollow if it does not or if there is no interval.

    Parameters
    ----------
    axes : Axes
    table : DataFrame
        A row an estimate; rows without a finite `value` are left out.
    label : str
        Column with the name on the left. Rows of one name share a line.
    value, low, high : str
        Columns of the estimate and the bounds; a bound that is not finite draws no interval.
    group : str, optional
        Column whose values get a colour each and lie beside each other on the line of their name.
    zero : float, optional
        Where there is no effect; None draws no line and fills all dots.
    x_label, title : str
        The column name by default, and no title.
    limits : tuple of float, optional
        Range of the axis.
    colors : Colors

    Returns
    -------
    list
        Index of the table's row for each dot, in the order of the dots; empty if there is nothing to draw.
    """
    shown = table[np.isfinite(table[value].astype(float))]
    if shown.empty:
        say(axes, f"No {x_label or value} to show yet.", colors)
        return []
    if zero is not None:
        axes.axvline(zero, color=colors.muted, linewidth=1, zorder=1)
    lines = {name: line for line, name in enumerate(dict.fromkeys(shown[label]))}
    index: list[Hashable] = []
    for each in groups_of(shown, group, _DODGE, colors):
        heights = each.rows[label].map(lines).to_numpy(float) + each.shift
        _draw(axes, each, (value, low, high), heights, zero)
        index += list(each.rows.index)
    _label_lines(axes, list(lines), colors)
    if limits is not None:
        axes.set_xlim(*limits)
    _finish(axes, x_label or value, title, group is not None, colors)
    return index


def _draw(
    axes: Axes,
    group: Group,
    names: tuple[str, str, str],
    heights: np.ndarray[tuple[int], np.dtype[np.float64]],
    zero: float | None,
) -> None:
    color = group.color
    centre, low, high = (group.rows[column].to_numpy(float) for column in names)
    known = np.isfinite(low) & np.isfinite(high)
    axes.hlines(heights[known], low[known], high[known], color=color, linewidth=2, zorder=2)
    sure = np.ones(len(group.rows), bool) if zero is None else known & ((low > zero) | (high < zero))
    faces = np.where(sure, color, to_hex(axes.get_facecolor()))
    axes.scatter(centre, heights, s=30, c=list(faces), edgecolors=color, linewidths=1.5, zorder=3)
    if group.name:
        axes.plot([], [], "o", color=color, label=group.name)


def dot_lines(
    axes: Axes,
    table: pd.DataFrame,
    value: str,
    by: str,
    group: str,
    *,
    n: str | None = None,
    x_label: str = "",
    title: str = "",
    limits: tuple[float, float] | None = None,
    colors: Colors = PLAIN,
) -> None:
    """Cleveland's dot plot: a line for each `by`, on it the mean of `value` for each `group`, in a colour of its own.

    Reads better than bars where there are many of both, such as objects and strategies. A grey line spans the means,
    and the number of finite values stands beside the name (the largest of the groups).

    Parameters
    ----------
    axes : Axes
    table : DataFrame
        Rows where `value` is not finite are left out.
    value, by, group : str
        Columns; lines and colours come in the order of first appearance, the first line on top.
    n : str, optional
        Column that says how many values stand behind a row, if the rows are means themselves.
    x_label, title : str
        The column name by default, and no title.
    limits : tuple of float, optional
        Range of the axis.
    colors : Colors
    """
    finite = table[np.isfinite(table[value].astype(float))]
    if finite.empty:
        say(axes, f"No scores with {x_label or value} to show yet.", colors)
        return
    ones = 1 if n is None else finite[n]
    cells = finite.assign(_value=finite[value].astype(float), _n=ones).groupby([by, group], sort=False)
    means, counts = cells["_value"].mean().unstack(), cells["_n"].sum().unstack()
    lines, groups = list(dict.fromkeys(finite[by])), list(dict.fromkeys(finite[group]))
    means, counts = means.reindex(index=lines, columns=groups), counts.reindex(index=lines, columns=groups)
    heights = np.arange(len(lines), dtype=float)
    axes.hlines(heights, means.min(axis=1), means.max(axis=1), color=colors.muted, linewidth=1, alpha=0.6)
    for k, name in enumerate(groups):
        marker = "osD^vP*"[k // len(SERIES) % 7]
        axes.scatter(
            means[name],
            heights,
            s=34,
            marker=marker,
            color=SERIES[k % len(SERIES)],
            label=str(name),
            zorder=3,
        )
    _label_lines(axes, [f"{name}  (n = {int(n)})" for name, n in counts.max(axis=1).items()], colors)
    if limits is not None:
        axes.set_xlim(*limits)
    _finish(axes, x_label or value, title, True, colors)


def _label_lines(axes: Axes, names: list[str], colors: Colors) -> None:
    axes.set_yticks(range(len(names)), [str(name) for name in names], color=colors.text)
    axes.set_ylim(len(names) - 0.5, -0.5)  # the first line on top
    axes.grid(axis="y", color=colors.muted, alpha=0.15)
    axes.set_axisbelow(True)


def _finish(axes: Axes, x_label: str, title: str, legend: bool, colors: Colors) -> None:
    axes.set_xlabel(x_label, color=colors.text)
    if title:
        axes.set_title(title, color=colors.text)
    if legend:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, labelcolor=colors.text)
