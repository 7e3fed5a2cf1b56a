"""One column against another."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from napari_sam_med.plots.colors import PLAIN, SERIES, Colors, say


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
    size = float(np.clip(2000 / len(shown), 6, 36))
    if group is None:
        axes.scatter(shown[x], shown[y], s=size, color=colors.dots, alpha=0.7, linewidths=0)
    else:
        for k, (name, part) in enumerate(shown.groupby(group, sort=False)):
            color = SERIES[k % len(SERIES)]
            axes.scatter(part[x], part[y], s=size, color=color, alpha=0.7, linewidths=0, label=str(name))
        axes.legend(loc="best", frameon=False, labelcolor=colors.text)
        shown = pd.concat([part for _, part in shown.groupby(group, sort=False)])
    axes.set_xlabel(x_label or x, color=colors.text)
    axes.set_ylabel(y_label or y, color=colors.text)
    if title:
        axes.set_title(title, color=colors.text)
    return list(shown.index)
