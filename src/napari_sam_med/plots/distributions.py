"""How one column is distributed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from napari_sam_med.plots.colors import PLAIN, Colors, say


def box_by(
    axes: Axes,
    table: pd.DataFrame,
    value: str,
    by: str,
    *,
    value_label: str = "",
    title: str = "",
    colors: Colors = PLAIN,
) -> None:
    """A box plot of `value` for each `by`, with the number of finite values under each box.

    Boxes span the quartiles, the line is the median, the diamond the mean, whiskers reach 1.5 quartile distances.
    """
    finite = table[np.isfinite(table[value].astype(float))]
    if finite.empty:
        say(axes, f"No scores with {value_label or value} to show yet.", colors)
        return
    groups = [(str(name), part[value].astype(float)) for name, part in finite.groupby(by, sort=False)]
    line = {"color": colors.muted}
    axes.boxplot(
        [values.to_numpy() for _, values in groups],
        showmeans=True,
        patch_artist=True,
        boxprops={"facecolor": colors.dots, "edgecolor": colors.muted, "alpha": 0.6},
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
    labels = [f"{name}\nn = {len(values)}" for name, values in groups]
    axes.set_xticks(range(1, len(groups) + 1), labels, color=colors.text)
    axes.set_ylabel(value_label or value, color=colors.text)
    if title:
        axes.set_title(title, color=colors.text)


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
