"""One answer over its slice: outlines, the prompt, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

TRUTH_COLOR = "#3ddc84"
PREDICTION_COLOR = "#fff04d"
POSITIVE_COLOR = "#3ddc84"
NEGATIVE_COLOR = "#ff5c5c"
BOX_COLOR = "#ffffff"
ERROR_COLORS = {
    "missed": "#ff8c1a",
    "extra": "#4db8ff",
    "miss": "#ff8c1a",
    "hole": "#f0e442",
    "leak": "#4db8ff",
    "island": "#cc79a7",
}
"""Told apart by colour-blind eyes, on grey tissue and on black air."""


def overlay(
    axes: Axes,
    image: NDArray[np.uint8],
    truth: NDArray[np.bool_] | None = None,
    prediction: NDArray[np.bool_] | None = None,
    *,
    points: Sequence[tuple[float, float, int]] = (),
    boxes: Sequence[tuple[float, float, float, float]] = (),
    regions: Mapping[str, NDArray[np.bool_]] | None = None,
    spacing_mm: tuple[float, float] = (1.0, 1.0),
    fill: float = 0.35,
    title: str = "",
    title_color: str = "#1e1e21",
) -> None:
    """A slice with the outlines of truth (green) and prediction (yellow), the prompt, and the wrong pixels tinted.

    Parameters
    ----------
    axes : Axes
    image : ndarray, shape (rows, cols), uint8
    truth, prediction : ndarray, shape (rows, cols), bool, optional
    points : sequence of (row, col, label)
        Prompt points, pixel centres at integers; a green plus for label 1, a red cross for others.
    boxes : sequence of (r0, c0, r1, c1)
        Prompt boxes, first and last pixel inclusive.
    regions : mapping of str to ndarray of bool, optional
        Classes of error and their pixels, in the colours of ``ERROR_COLORS``; by default "missed" and "extra" from
        the two masks. Pass {} for none.
    spacing_mm : tuple of float
        (row, col), for the shape of pixels.
    fill : float
        Opacity of the wrong pixels.
    title, title_color : str
    """
    aspect = spacing_mm[0] / spacing_mm[1]
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, aspect=aspect, interpolation="nearest")
    if regions is None:
        regions = _differences(truth, prediction)
    tint = np.zeros((*image.shape, 4))
    for name, pixels in regions.items():
        tint[pixels] = to_rgba(ERROR_COLORS.get(name, "#cc79a7"), fill)
    axes.imshow(tint, aspect=aspect, interpolation="nearest")
    for mask, color in ((truth, TRUTH_COLOR), (prediction, PREDICTION_COLOR)):
        if mask is not None:
            outline(axes, mask, color)
    for r0, c0, r1, c1 in boxes:
        corner = (c0 - 0.5, r0 - 0.5)
        axes.add_patch(
            Rectangle(
                corner,
                c1 - c0 + 1,
                r1 - r0 + 1,
                fill=False,
                edgecolor=BOX_COLOR,
                linewidth=1.2,
                linestyle="--",
            )
        )
    for row, col, label in points:
        color, marker = (POSITIVE_COLOR, "P") if label == 1 else (NEGATIVE_COLOR, "X")
        axes.plot(col, row, marker, color=color, markersize=8, markeredgecolor="black", markeredgewidth=0.8)
    axes.set(xticks=[], yticks=[], xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
    if title:
        axes.set_title(title, color=title_color)


def outline(axes: Axes, mask: NDArray[np.bool_], color: str, linewidth: float = 1.4) -> None:
    """The border of a mask, closed where the picture cuts it; nothing for an empty one.

    Parameters
    ----------
    axes : Axes
    mask : ndarray, shape (rows, cols), bool
    color : str
    linewidth : float
    """
    if not mask.any():
        return
    padded = np.pad(np.asarray(mask, float), 1)
    rows, cols = np.arange(-1, mask.shape[0] + 1), np.arange(-1, mask.shape[1] + 1)
    axes.contour(cols, rows, padded, levels=[0.5], colors=[color], linewidths=linewidth)


def _differences(
    truth: NDArray[np.bool_] | None, prediction: NDArray[np.bool_] | None
) -> dict[str, NDArray[np.bool_]]:
    if truth is None or prediction is None:
        return {}
    return {"missed": truth & ~prediction, "extra": prediction & ~truth}
