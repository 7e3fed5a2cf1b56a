"""Points as the released code of Huang et al. 2024 places them, which is not what their text says.

Written anew from what ``utils/get_prompts.py`` of github.com/yuhoo0302/Segment-Anything-Model-for-Medical-Images
does: the first positive is the centroid, rounded down, even where that lies outside the object; the others are every
n-th pixel of the flattened mask, which gives a sixth one whenever the number of pixels is no multiple of five. Labels
go by place, so that this sixth positive is labelled negative.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.prompts.points import Points, require_box


def repo_points(
    mask: NDArray[np.bool_], positive: int = 5, negative: int = 5, enlarge: float = 2.0
) -> tuple[Points, NDArray[np.int8]]:
    """All points of a mask and their labels; a strategy takes as many of the first as it needs.

    Parameters
    ----------
    mask : ndarray, shape (rows, cols), bool
    positive, negative : int
        Points meant to be on the object and around it.
    enlarge : float
        Sides of the box the negatives come from, in sides of the tight box.

    Returns
    -------
    points : ndarray, shape (n, 2), float64
        (row, col), at most `positive` + `negative` of them.
    labels : ndarray, shape (n,), int8
        1 for the first `positive`, 0 for the rest, whatever they lie on.
    """
    r0, c0, r1, c1 = require_box(mask)
    pixels = np.argwhere(mask)
    centre = np.floor(pixels.mean(axis=0))
    inside = np.concatenate([centre[None], _every(pixels, positive)[1:]])
    rows = _enlarged(r0, r1, enlarge, mask.shape[0])
    cols = _enlarged(c0, c1, enlarge, mask.shape[1])
    around = np.argwhere(~mask[rows, cols]) + np.array([rows.start, cols.start])
    points = np.concatenate([inside, _every(around, negative)])[: positive + negative].astype(np.float64)
    # a mask of fewer pixels than points has no positive to spare
    n_positive = min(positive, len(inside))
    return points, (np.arange(len(points)) < n_positive).astype(np.int8)


def _every(pixels: NDArray[np.integer[Any]], count: int) -> NDArray[np.integer[Any]]:
    return pixels[:: max(1, len(pixels) // count)]


def _enlarged(first: float, last: float, factor: float, limit: int) -> slice:
    """The released code takes last - first for the side, without the one, and rounds down."""
    side = last - first
    start = max(0.0, first + side / 2 - side * factor / 2)
    stop = min(float(limit), first + side / 2 + side * factor / 2)
    return slice(int(start), int(start) + int(stop - start))
