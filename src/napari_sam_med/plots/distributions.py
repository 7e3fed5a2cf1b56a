"""How one column is distributed."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from napari_sam_med.plots.colors import PLAIN, Colors, say
from napari_sam_med.plots.groups import groups_of

_MANY = 1000
_ROOM = 0.8  # of a column, shared by the groups in it


def box_by(
    axes: Axes,
    table: pd.DataFrame,
    value: str,
    by: str,
    *,
    group: str | None = None,
    value_label: str = "",
    title: str = "",
    colors: Colors = PLAIN,
) -> None:
    """A box plot of `value` for each `by`, with the number of finite values under each box.

    Boxes span the quartiles, the line is the median, the diamond the mean, whiskers reach 1.5 quartile distances. Where
    groups stand side by side, n is that of each group, once if they agree.

    Parameters
    ----------
    axes : Axes
    table : DataFrame
        Rows where `value` is not finite are left out.
    value, by : str
        Columns, such as a metric and the strategy.
    group : str, optional
        Column whose values get a colour each and boxes side by side, such as the model.
    value_label, title : str
        The column name by default, and no title.
    colors : Colors
    """
    finite = table[np.isfinite(table[value].astype(float))]
    if finite.empty:
        say(axes, f"No scores with {value_label or value} to show yet.", colors)
        return
    names = list(dict.fromkeys(finite[by]))
    groups = groups_of(finite, group, _ROOM, colors)
    counts: dict[Hashable, list[int]] = {name: [] for name in names}
    width = _ROOM / len(groups)
    for each in groups:
        drawn = [each.rows.loc[each.rows[by] == name, value].to_numpy(float) for name in names]
        for name, values in zip(names, drawn, strict=True):
            counts[name].append(len(values))
        places = np.arange(len(names), dtype=np.float64) + each.shift
        _boxes(axes, drawn, places, width * (0.62 if group is None else 0.85), each.color, colors)
        if each.name:
            axes.plot([], [], "s", color=each.color, alpha=0.6, label=each.name)
    labels = [f"{name}\nn = {_counts(counts[name])}" for name in names]
    _finish_columns(axes, labels, value_label or value, title, colors)
    if group is not None:
        axes.legend(loc="best", frameon=False, labelcolor=colors.text)


def _finish_columns(axes: Axes, labels: list[str], value_label: str, title: str, colors: Colors) -> None:
    """Names below columns at 0, 1, ..., the value's name beside them, and a title if there is one."""
    axes.set_xticks(range(len(labels)), labels, color=colors.text)
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.set_ylabel(value_label, color=colors.text)
    if title:
        axes.set_title(title, color=colors.text)


def _counts(counts: list[int]) -> str:
    """How many values each group has; once if they agree, else below each other."""
    found = [n for n in counts if n]
    return str(found[0]) if len(set(found)) == 1 else "\n".join(str(n) for n in found)


def _boxes(
    axes: Axes,
    values: list[NDArray[np.float64]],
    places: NDArray[Any],
    width: float,
    face: str,
    colors: Colors,
) -> None:
    filled = [k for k, part in enumerate(values) if len(part)]
    line = {"color": colors.muted}
    axes.boxplot(
        [values[k] for k in filled],
        positions=places[filled],
        widths=width,
        manage_ticks=False,
        showmeans=True,
        patch_artist=True,
        boxprops={"facecolor": face, "edgecolor": colors.muted, "alpha": 0.6},
        medianprops={"color": colors.accent, "linewidth": 2},
        meanprops={
            "marker": "D",
            "markerfacecolor": colors.accent,
            "markeredgecolor": colors.accent,
            "markersize": 4,
        },
        whiskerprops=line,
        capprops=line,
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": colors.muted},
    )


def strip_by(
    axes: Axes,
    table: pd.DataFrame,
    value: str,
    by: str,
    *,
    group: str | None = None,
    value_label: str = "",
    title: str = "",
    colors: Colors = PLAIN,
) -> list[Hashable]:
    """Every finite value as a dot in a column for each `by`, with a bar at the median and n below.

    The sideways place of a dot only spreads the column; it is the same in every drawing.

    Parameters
    ----------
    axes : Axes
    table : DataFrame
        A row a dot; rows where `value` is not finite are left out.
    value, by : str
        Columns, such as a metric and the strategy.
    group : str, optional
        Column whose values get a colour each and columns side by side, such as the model.
    value_label, title : str
        The column name by default, and no title.
    colors : Colors

    Returns
    -------
    list
        Index of the table's row for each dot, in the order of the dots; empty if there is nothing to draw.
    """
    finite = table[np.isfinite(table[value].astype(float))]
    if finite.empty:
        say(axes, f"No scores with {value_label or value} to show yet.", colors)
        return []
    names = list(dict.fromkeys(finite[by]))
    groups = groups_of(finite, group, _ROOM, colors)
    places = {name: float(k) for k, name in enumerate(names)}
    width = _ROOM / len(groups)
    rng = np.random.default_rng(0)
    size = float(np.clip(2000 / len(finite), 8, 30))
    index: list[Hashable] = []
    for each in groups:
        part = each.rows
        spread = rng.uniform(-0.35, 0.35, len(part)) * width
        across = part[by].map(places).to_numpy(float) + each.shift
        axes.scatter(
            across + spread,
            part[value].astype(float),
            s=size,
            color=each.color,
            alpha=0.55,
            linewidths=0,
            label=each.name,
            rasterized=len(finite) > _MANY,
        )
        medians = part.groupby(by, sort=False)[value].median()
        middle = np.array([places[name] for name in medians.index]) + each.shift
        axes.hlines(
            medians.to_numpy(float), middle - width * 0.4, middle + width * 0.4, color=colors.accent, lw=2
        )
        index += list(part.index)
    counts = finite[by].value_counts()
    labels = [f"{name}\nn = {counts[name]}" for name in names]
    _finish_columns(axes, labels, value_label or value, title, colors)
    if group is not None:
        axes.legend(loc="best", frameon=False, labelcolor=colors.text, markerscale=6 / size**0.5)
    return index


def histogram(
    axes: Axes,
    table: pd.DataFrame,
    value: str,
    *,
    bins: int = 20,
    limits: tuple[float, float] | None = None,
    value_label: str = "",
    title: str = "",
    colors: Colors = PLAIN,
) -> None:
    """Histogram of the finite values of a column, with a line at their mean."""
    values = table[value].astype(float)
    finite = values[np.isfinite(values)].to_numpy()
    if finite.size == 0:
        say(axes, f"No scores with {value_label or value} to show yet.", colors)
        return
    axes.hist(finite, bins=bins, range=limits, color=colors.dots, alpha=0.7)
    mean = float(finite.mean())
    axes.axvline(mean, color=colors.accent, linewidth=2, label=f"mean {mean:.3f}, n = {finite.size}")
    axes.legend(loc="best", frameon=False, labelcolor=colors.text)
    axes.set_xlabel(value_label or value, color=colors.text)
    axes.set_ylabel("objects in slices", color=colors.text)
    if title:
        axes.set_title(title, color=colors.text)
