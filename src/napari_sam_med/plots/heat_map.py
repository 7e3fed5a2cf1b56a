"""Values over a slice."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from napari_sam_med.plots.colors import PLAIN, Colors

_MARGIN = 0.35
"""Of the side of what is shown, so that its surroundings can be recognised."""


def heat_map(
    axes: Axes,
    image: NDArray[np.uint8],
    values: NDArray[np.floating[Any]],
    *,
    limits: tuple[float, float] = (0.0, 1.0),
    spacing_mm: tuple[float, float] = (1.0, 1.0),
    label: str = "",
    title: str = "",
    colors: Colors = PLAIN,
) -> AxesImage:
    """Values in colour over the grey slice, cut to where they are, with a bar for the colours.

    Parameters
    ----------
    axes : Axes
        Of a figure; the bar takes its place from them.
    image : ndarray, shape (rows, cols), uint8
    values : ndarray, shape (rows, cols)
        NaN where the slice itself is to be seen.
    limits : tuple of float
        Values of the first and the last colour.
    spacing_mm : tuple of float
        (row, col), for the shape of pixels.
    label, title : str
        Of the bar, and of the axes.
    colors : Colors

    Returns
    -------
    AxesImage
        What shows the values.
    """
    aspect = spacing_mm[0] / spacing_mm[1]
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, aspect=aspect, interpolation="nearest")
    shown = axes.imshow(
        np.ma.masked_invalid(values),
        cmap="viridis",
        vmin=limits[0],
        vmax=limits[1],
        aspect=aspect,
        interpolation="nearest",
    )
    rows, cols = np.nonzero(np.isfinite(values))
    if len(rows):
        top, bottom = _around(rows, image.shape[0])
        left, right = _around(cols, image.shape[1])
        axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set(xticks=[], yticks=[])
    if axes.figure is not None:
        bar = axes.figure.colorbar(shown, ax=axes, shrink=0.8)
        bar.set_label(label, color=colors.text)
    if title:
        axes.set_title(title, color=colors.text)
    return shown


def _around(places: NDArray[np.intp], size: int) -> tuple[float, float]:
    """First and last edge of a cut that holds all places and a margin."""
    margin = max(4.0, _MARGIN * (places.max() - places.min() + 1))
    return max(-0.5, places.min() - margin), min(size - 0.5, places.max() + margin)
