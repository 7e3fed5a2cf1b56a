"""Shape of the object and place of the slice in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.morphology import skeletonize

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


def solidity(mask: NDArray[np.bool_]) -> float:
    """Area over the area of the convex hull of all pixels, as squares, 0..1; all parts share one hull."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return float("nan")
    first, last = mask[rows].argmax(axis=1), mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    corners = [np.c_[rows + edge, side] for edge in (0, 1) for side in (first, last)]
    hull = float(ConvexHull(np.concatenate(corners)).volume)
    return min(1.0, np.count_nonzero(mask) / hull)  # rounding can make the hull the smaller


def compactness(mask: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> float:
    """4π·area / perimeter², 0..1: the isoperimetric quotient; holes have a perimeter too.

    A disc of 10 pixels or more is within some percent of 1; the smallest objects would exceed it and get 1.
    """
    area = np.count_nonzero(mask) * spacing_mm[0] * spacing_mm[1]
    return min(1.0, 4.0 * np.pi * area / perimeter_mm(mask, spacing_mm) ** 2)


def perimeter_mm(mask: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> float:
    """Length of all borders by the formula of Cauchy and Crofton, over the lines of a grid in four directions.

    Half the integral, over direction and place, of how often a line crosses the border. Beyond the array is outside.
    """
    dr, dc = spacing_mm
    padded = np.pad(mask, 1)
    tilt = np.arctan2(dr, dc)
    # step between neighbours, and the share of all directions (0..π) that it stands for
    steps = (((0, 1), tilt), ((1, 0), np.pi / 2 - tilt), ((1, 1), np.pi / 4), ((1, -1), np.pi / 4))
    length = 0.0
    for (down, right), share in steps:
        a = padded[: padded.shape[0] - down]
        b = padded[down:]
        a, b = (a[:, :-1], b[:, 1:]) if right > 0 else (a[:, 1:], b[:, :-1]) if right < 0 else (a, b)
        between_lines = dr * dc / np.hypot(down * dr, right * dc)
        length += 0.5 * share * between_lines * np.count_nonzero(a != b)
    return float(length)


def component_count(mask: NDArray[np.bool_]) -> int:
    """Number of 8-connected parts."""
    return int(ndimage.label(mask, np.ones((3, 3), bool))[1])


def hole_count(mask: NDArray[np.bool_]) -> int:
    """Number of 4-connected parts of the background that do not reach the outside."""
    return int(ndimage.label(~np.pad(mask, 1))[1]) - 1


def area_box_ratio(mask: NDArray[np.bool_]) -> float:
    """Share of the tight box that the mask fills, 0..1."""
    box = tight_box(mask)
    if box is None:
        return float("nan")
    r0, c0, r1, c1 = box
    return float(np.count_nonzero(mask) / ((r1 - r0 + 1) * (c1 - c0 + 1)))


def skeleton_ratio(mask: NDArray[np.bool_]) -> float:
    """Pixels of the skeleton (Zhang & Suen 1984) over pixels of the mask, 0..1: about one over the width in pixels.

    Likeness to a tree predicts where SAM fails (Zhang, Konz et al. 2024, arXiv 2412.04243).
    """
    area = np.count_nonzero(mask)
    return float(np.count_nonzero(skeletonize(np.pad(mask, 1))) / area) if area else float("nan")


def border_distance_mm(mask: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> float:
    """Distance from the object's nearest pixel to the border of the image, in whole pixels times their spacing."""
    box = tight_box(mask)
    if box is None:
        return float("nan")
    r0, c0, r1, c1 = box
    rows = min(r0, mask.shape[0] - 1 - r1) * spacing_mm[0]
    cols = min(c0, mask.shape[1] - 1 - c1) * spacing_mm[1]
    return float(min(rows, cols))
