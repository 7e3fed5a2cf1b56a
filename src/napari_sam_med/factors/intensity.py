"""How the object stands out from what is around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.prompt import tight_box


def ring_mask(mask: NDArray[np.bool_], ratio: float = 0.1) -> NDArray[np.bool_]:
    """Pixels around an object: its tight box grown by `ratio` of its sides on every side, minus the object.

    Every side grows by one pixel at least; the image border cuts the ring off.
    """
    ring = np.zeros(mask.shape, bool)
    box = tight_box(mask)
    if box is None:
        return ring
    r0, c0, r1, c1 = (int(v) for v in box)
    grow_r = max(1, round(ratio * (r1 - r0 + 1)))
    grow_c = max(1, round(ratio * (c1 - c0 + 1)))
    ring[max(0, r0 - grow_r) : r1 + grow_r + 1, max(0, c0 - grow_c) : c1 + grow_c + 1] = True
    return ring & ~mask


def intensity_difference(image: NDArray[np.uint8], mask: NDArray[np.bool_], ratio: float = 0.1) -> float:
    """Mean grey of the object minus mean grey of the ring around it (Huang et al. 2024, arXiv 2304.14660).

    NaN when the object fills the image, so that there is no ring.
    """
    ring = ring_mask(mask, ratio)
    if not ring.any() or not mask.any():
        return float("nan")
    return float(image[mask].mean(dtype=np.float64) - image[ring].mean(dtype=np.float64))
