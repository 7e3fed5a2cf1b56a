"""Does what was predicted come true?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from napari_sam_med.plots.colors import PLAIN, Colors, say


def calibration(
    axes: Axes,
    table: pd.DataFrame,
    predicted: str = "predicted_iou",
    true: str = "true_iou",
    *,
    counts: Axes | None = None,
    x_label: str = "",
    y_label: str = "",
    title: str = "",
    colors: Colors = PLAIN,
) -> None:
    """Reliability diagram: the mean that came true against the mean that was predicted, bin by bin.

    On the dashed diagonal predictions are right; below it they promise too much.

    Parameters
    ----------
    axes : Axes
    table : DataFrame
        A row a bin, with the columns `predicted`, `true`, ``bin_low``, ``bin_high``, ``n``, and ``<true>_low`` and
        ``<true>_high`` for the interval, where it is known.
    predicted, true : str
        Columns.
    counts : Axes, optional
        Where a histogram of the predictions goes; without it, `n` stands beside each dot.
    x_label, y_label, title : str
        The column names by default, and no title.
    colors : Colors
    """
    finite = np.isfinite(table[[predicted, true]].to_numpy(float)).all(axis=1)
    shown = table[finite].sort_values(predicted, kind="stable")
    if shown.empty:
        say(axes, "No predictions to show yet.", colors)
        if counts is not None:
            counts.set_axis_off()
        return
    axes.plot([0, 1], [0, 1], color=colors.muted, linestyle="--", linewidth=1)
    x, y = shown[predicted].to_numpy(float), shown[true].to_numpy(float)
    if {f"{true}_low", f"{true}_high"} <= set(shown.columns):
        low, high = (shown[f"{true}_{end}"].to_numpy(float) for end in ("low", "high"))
        known = np.isfinite(low) & np.isfinite(high)
        axes.vlines(x[known], low[known], high[known], color=colors.dots, linewidth=1.5)
    axes.plot(x, y, color=colors.dots, marker="o", markersize=5, linewidth=1)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    last = axes
    if counts is None:
        for here, there, n in zip(x, y, shown["n"], strict=True):
            axes.annotate(
                f"{int(n)}", (here, there), (4, -10), textcoords="offset points", color=colors.muted, size=8
            )
    else:
        width = (shown["bin_high"] - shown["bin_low"]).to_numpy(float)
        counts.bar(
            shown["bin_low"].to_numpy(float), shown["n"], width, align="edge", color=colors.dots, alpha=0.7
        )
        counts.set(xlim=(-0.03, 1.03))
        counts.set_ylabel("n", color=colors.text)
        last = counts
    last.set_xlabel(x_label or predicted, color=colors.text)
    axes.set_ylabel(y_label or true, color=colors.text)
    if title:
        axes.set_title(title, color=colors.text)
