"""How the object stands out from what is around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

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


def contrast_to_noise(image: NDArray[np.uint8], mask: NDArray[np.bool_], width: int = 3) -> float:
    """Difference of the mean grey on both sides of the border over its standard deviation there.

    Both sides are bands of `width` pixels; the standard deviation is the root mean square of the two, and one grey
    level at least, which is what an 8-bit image can tell. Always positive; NaN when the object fills the image.
    """
    here, inside, outside = _bands(mask, width)
    if not outside.any() or not inside.any():
        return float("nan")
    grey = image[here].astype(np.float64)
    step = abs(grey[inside].mean() - grey[outside].mean())
    noise = np.sqrt((grey[inside].var() + grey[outside].var()) / 2)
    return float(step / max(noise, 1.0))


def histogram_overlap(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], ratio: float = 0.1, bins: int = 32
) -> float:
    """Common area of the grey histograms of the object and of the ring around it, each of area 1.

    The intersection of Swain & Ballard 1991, in `bins` steps of the 256 grey levels. NaN when there is no ring.
    """
    ring = ring_mask(mask, ratio)
    if not ring.any() or not mask.any():
        return float("nan")
    shares = [np.histogram(image[part], bins, (0, 256))[0] / np.count_nonzero(part) for part in (mask, ring)]
    return float(np.minimum(*shares).sum())


def boundary_gradient(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], spacing_mm: tuple[float, float]
) -> float:
    """Mean length of the grey gradient (central differences) over the pixels on both sides of the border.

    A step of 100 from one pixel to the next, 1 mm apart, has a gradient of 50 on both sides. The border of the image is
    no border of the object. NaN when the object fills the image.
    """
    here, inside, outside = _bands(mask, 1)
    if not outside.any() or not inside.any():
        return float("nan")
    # one more pixel on each side, so that a difference exists everywhere; beyond the image its last value goes on
    grey = np.pad(image, 1, mode="edge")[here[0].start : here[0].stop + 2, here[1].start : here[1].stop + 2]
    slopes = np.gradient(grey.astype(np.float64), *spacing_mm)
    size = np.hypot(*slopes)[1:-1, 1:-1]
    return float(size[inside | outside].mean())


def _bands(
    mask: NDArray[np.bool_], width: int
) -> tuple[tuple[slice, slice], NDArray[np.bool_], NDArray[np.bool_]]:
    """A part of the slice around the object; in it, the pixels inside and outside at most `width` from the border."""
    box = tight_box(mask)
    if box is None:
        nothing = np.zeros((0, 0), bool)
        return (slice(0, 0), slice(0, 0)), nothing, nothing
    r0, c0, r1, c1 = (int(v) for v in box)
    rows = slice(max(0, r0 - width), r1 + width + 1)
    cols = slice(max(0, c0 - width), c1 + width + 1)
    crop = mask[rows, cols]
    here = (slice(rows.start, rows.start + crop.shape[0]), slice(cols.start, cols.start + crop.shape[1]))
    if crop.all():
        return here, crop, ~crop
    inside = crop & (ndimage.distance_transform_edt(crop) <= width)
    outside = ~crop & (ndimage.distance_transform_edt(~crop) <= width)
    return here, inside, outside
