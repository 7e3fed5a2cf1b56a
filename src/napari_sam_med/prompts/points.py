"""Where simulated clicks fall on a mask.

Huang et al. 2024 (Medical Image Analysis, arXiv 2304.14660): the first positive point is the centre of mass if
it lies inside the mask, the others are spread evenly over the flattened mask; negative points are spread evenly
over the tight box enlarged two times, outside the mask. All of it is deterministic.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import Box, tight_box

Points = NDArray[np.float64]

Variant = Literal["paper", "repo"]
"""Where Huang et al. put points: as their text says ("paper"), or as their released code does ("repo")."""
VARIANTS: tuple[Variant, ...] = get_args(Variant)


def require_box(mask: NDArray[Any]) -> Box:
    """Tight box of a mask that must not be empty.

    Raises
    ------
    InputError
        If the mask is not 2D or has no pixel.
    """
    if np.ndim(mask) != 2:
        raise InputError(f"A prompt is made from a 2D mask; found an array of shape {np.shape(mask)}.")
    box = tight_box(mask)
    if box is None:
        raise InputError("An empty mask gives no prompt; choose a slice where the object has pixels.")
    return box


def positive_points(mask: NDArray[np.bool_], count: int) -> Points:
    """Positive points of a mask, shape (n, 2) in (row, col), each on a pixel of the mask.

    Parameters
    ----------
    mask : ndarray, shape (rows, cols), bool
    count : int
        Points wanted; a mask with fewer pixels gives all its pixels.
    """
    require_box(mask)
    pixels = np.argwhere(mask)
    centre = np.rint(pixels.mean(axis=0)).astype(np.int64)
    if not mask[tuple(centre)]:
        return _spread(pixels, count)
    others = pixels[(pixels != centre).any(axis=1)]
    return np.concatenate([centre[None].astype(np.float64), _spread(others, count - 1)])


def negative_points(mask: NDArray[np.bool_], count: int, enlarge: float = 2.0) -> Points:
    """Negative points around a mask, shape (n, 2) in (row, col), inside the image.

    Parameters
    ----------
    mask : ndarray, shape (rows, cols), bool
    count : int
        Points wanted; fewer come back where the enlarged box has fewer pixels outside the mask.
    enlarge : float
        Sides of the box the points come from, in sides of the tight box.
    """
    r0, c0, r1, c1 = require_box(mask)
    rows = _enlarged(r0, r1, enlarge, mask.shape[0])
    cols = _enlarged(c0, c1, enlarge, mask.shape[1])
    outside = np.argwhere(~mask[rows, cols]) + np.array([rows.start, cols.start])
    return _spread(outside, count)


def deepest_point(mask: NDArray[np.bool_]) -> Points:
    """The pixel farthest from the outside, shape (1, 2): inside even for rings and crescents.

    The image border counts as outside. Of equally deep pixels, as in a bar, the one nearest to their middle is taken.
    After Mazurowski et al. 2023 (Medical Image Analysis, arXiv 2304.10517).
    """
    require_box(mask)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    deepest = np.argwhere(depth >= depth.max())
    nearest = int(((deepest - deepest.mean(axis=0)) ** 2).sum(axis=1).argmin())
    return deepest[nearest : nearest + 1].astype(np.float64)


def _enlarged(first: float, last: float, factor: float, limit: int) -> slice:
    grow = (last - first + 1) * (factor - 1) / 2
    return slice(max(0, int(np.floor(first - grow))), min(limit, int(np.ceil(last + grow)) + 1))


def _spread(pixels: NDArray[np.int64], count: int) -> Points:
    """`count` of the pixels at even steps through their flattened order."""
    count = min(count, len(pixels))
    steps = ((np.arange(count) + 0.5) * len(pixels) / max(count, 1)).astype(np.int64)
    return pixels[steps].astype(np.float64)
