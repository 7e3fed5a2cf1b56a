"""Colours and fonts of matplotlib figures that follow napari's theme."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from napari.utils.theme import get_theme


@dataclass(frozen=True)
class Palette:
    """Colours of one theme, as matplotlib understands them.

    Attributes
    ----------
    background, text, muted, line, grid, dots, accent : str
        Hex colours: the figure, its writing, secondary writing, axes, grid lines, dots, the chosen dot.
    points : float
        Size of the writing, in points.
    """

    background: str
    text: str
    muted: str
    line: str
    grid: str
    dots: str
    accent: str
    points: float


PRINT = Palette("#ffffff", "#1e1e21", "#4a4a50", "#6b6b70", "#dddddd", "#0072b2", "#d55e00", 9.0)
"""What exported figures look like, whatever the theme on screen."""


def palette_of(theme_name: str) -> Palette:
    """Colours of the napari theme called `theme_name` ("dark", "light", "system", or a user's own)."""
    theme = get_theme(theme_name)
    dark = theme.type == "dark"
    return Palette(
        background=theme.background.as_hex(format="long"),
        text=theme.text.as_hex(format="long"),
        muted="#b6b9bf" if dark else "#55565b",
        line="#8b919b" if dark else "#6b6b70",
        grid="#3c4250" if dark else "#cfcbc9",
        dots="#56b4e9" if dark else "#0072b2",
        accent="#ff9f43" if dark else "#c8371f",
        points=max(8.0, float(theme.font_size.removesuffix("pt"))),
    )


def rc_params(palette: Palette) -> dict[Any, Any]:
    """Matplotlib settings under which new artists take the palette."""
    return {
        "figure.facecolor": palette.background,
        "axes.facecolor": palette.background,
        "savefig.facecolor": palette.background,
        "text.color": palette.text,
        "axes.labelcolor": palette.text,
        "axes.titlecolor": palette.text,
        "axes.edgecolor": palette.line,
        "xtick.color": palette.line,
        "ytick.color": palette.line,
        "xtick.labelcolor": palette.text,
        "ytick.labelcolor": palette.text,
        "grid.color": palette.grid,
        "legend.facecolor": palette.background,
        "legend.edgecolor": palette.grid,
        "legend.labelcolor": palette.text,
        "font.size": palette.points,
        "axes.titlesize": palette.points + 0.5,
        "axes.labelsize": palette.points,
        "xtick.labelsize": palette.points - 0.5,
        "ytick.labelsize": palette.points - 0.5,
        "legend.fontsize": palette.points - 0.5,
        "svg.fonttype": "none",
    }


def dress(figure: Figure, palette: Palette) -> None:
    """Give finished axes what settings do not reach: quiet frames, and ticks made only when drawn."""
    figure.set_facecolor(palette.background)
    for axes in figure.axes:
        _dress_axes(axes, palette)


def _dress_axes(axes: Axes, palette: Palette) -> None:
    axes.set_facecolor(palette.background)
    axes.tick_params(colors=palette.line, labelcolor=palette.text)
    for side, spine in axes.spines.items():
        spine.set_edgecolor(palette.line)
        if side in ("top", "right"):
            spine.set_visible(False)
