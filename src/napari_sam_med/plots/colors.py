"""Colours that plots are drawn in; the caller passes those of its theme."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes


@dataclass(frozen=True)
class Colors:
    """Colours of one theme.

    Attributes
    ----------
    dots : str
        Data points and bars.
    accent : str
        What should catch the eye: medians, means.
    text, muted : str
        Writing, and writing of less weight.
    """

    dots: str
    accent: str
    text: str
    muted: str


PLAIN = Colors(dots="#0072b2", accent="#d55e00", text="#1e1e21", muted="#55565b")
"""For white paper. Blue and vermilion of Okabe & Ito, told apart with every kind of colour vision."""

SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8a8a8a")
"""Further colours of Okabe & Ito for groups, in order, and a grey."""


def say(axes: Axes, text: str, colors: Colors) -> None:
    """Put a sentence where there is nothing to draw."""
    axes.set_axis_off()
    axes.text(
        0.5, 0.5, text, ha="center", va="center", wrap=True, color=colors.muted, transform=axes.transAxes
    )
