"""Shape of the object and place of the slice in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.prompt import tight_box


def aspect_ratio(mask: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> float:
    """Short over long side of the tight box, 0..1, by its sides in mm (as in pixels where they are square)."""
    box = tight_box(mask)
    if box is None:
        return float("nan")
    r0, c0, r1, c1 = box
    sides = ((r1 - r0 + 1) * spacing_mm[0], (c1 - c0 + 1) * spacing_mm[1])
    return min(sides) / max(sides)


def slice_position(index: int, extent: tuple[int, int]) -> float:
    """Distance of a slice from the middle of the object's extent, in half extents: 0 middle, 1 either end.

    An object of a single slice is at 0.
    """
    first, last = extent
    half = (last - first) / 2
    return abs(index - (first + last) / 2) / half if half > 0 else 0.0
