"""What the figures of the Diagnostics panel show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from napari_sam_med.evaluation.statistics import Correlation
from napari_sam_med.factors import FACTORS
from napari_sam_med.gui.widgets.figure_dots import Dots
from napari_sam_med.gui.widgets.figure_theme import Palette
from napari_sam_med.plots import Colors, scatter

OVERVIEW_BARS = 6
"""What the figure has room for at a readable size."""


def draw_scatter(
    figure: Figure, palette: Palette, table: pd.DataFrame, factor: str, correlation: Correlation
) -> Sequence[Dots]:
    """Dice against one factor, rho and n in the title; keys of the dots are positions in `table`.

    Parameters
    ----------
    table : DataFrame
        Numbered 0..n-1, with ``dice`` and the factor.
    """
    axes = figure.add_subplot()
    known = FACTORS.get(factor)
    label = f"{known.title} ({known.unit})" if known.unit else known.title
    shown = scatter(axes, table, factor, "dice", x_label=label, y_label="Dice", colors=colors(palette))
    if not shown:
        return ()
    axes.set_title(correlation_text(correlation), loc="right")
    axes.set_ylim(-0.04, 1.04)
    axes.grid(True, linewidth=0.6)
    axes.set_axisbelow(True)
    places = np.array(shown, dtype=int)
    x, y = (table[name].to_numpy(float)[places] for name in (factor, "dice"))
    if np.ptp(x) > 0 and x.min() > 0 and x.max() / x.min() > 30:
        axes.set_xscale("log")  # sizes span decades; on a straight axis all but the largest lie on a heap
    return (Dots(axes, x, y, places.tolist()),)


def draw_overview(
    figure: Figure, palette: Palette, correlations: Mapping[str, Correlation], chosen: str | None
) -> Sequence[Dots]:
    """Spearman's rho of Dice with the strongest factors as bars; keys are the factors' names."""
    axes = figure.add_subplot()
    names = strongest(correlations, chosen)
    rho = np.array([correlations[name].rho for name in names])
    places = np.arange(len(names))[::-1]
    fill = [palette.accent if name == chosen else palette.dots for name in names]
    axes.barh(places, np.nan_to_num(rho), height=0.62, color=fill)
    for place, name in zip(places, names, strict=True):
        # all values in one column at the right, where no bar or name can lie under them
        axes.text(1.16, place, rho_text(correlations[name].rho), ha="left", va="center", color=palette.text)
    axes.set_yticks(places, [FACTORS.get(name).title for name in names])
    axes.set_xlim(-1.05, 1.05)
    axes.set_xticks([-1, 0, 1])
    axes.axvline(0, color=palette.line, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    n = [correlations[name].n_valid for name in names]
    which = "Strongest ρ" if len(names) < len(correlations) else "Spearman's ρ"
    axes.set_title(f"{which} with Dice, n = {max(n)}", loc="right")
    axes.spines["left"].set_visible(False)
    return (Dots(axes, np.zeros(len(names)), places.astype(float), names, band="row"),)


def strongest(
    correlations: Mapping[str, Correlation], chosen: str | None, most: int = OVERVIEW_BARS
) -> list[str]:
    """The factors with the largest absolute rho, the chosen one among them, in the order of `correlations`."""
    ranked = sorted(correlations, key=lambda name: -abs(np.nan_to_num(correlations[name].rho)))
    kept = set(ranked[:most])
    if chosen is not None and chosen in correlations and chosen not in kept:
        kept = {*ranked[: most - 1], chosen}
    return [name for name in correlations if name in kept]


def colors(palette: Palette) -> Colors:
    """The palette as the plots take it."""
    return Colors(palette.dots, palette.accent, palette.text, palette.muted)


def correlation_text(correlation: Correlation) -> str:
    """ "ρ = −0.42, n = 120"."""
    return f"ρ = {rho_text(correlation.rho)}, n = {correlation.n_valid}"


def rho_text(rho: float) -> str:
    """Two decimals with a true minus; "–" where there is no correlation to speak of."""
    return "–" if math.isnan(rho) else f"{rho:.2f}".replace("-", "−")
