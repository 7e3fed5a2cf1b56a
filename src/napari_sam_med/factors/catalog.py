"""The registered factors: one row each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_sam_med.factors import intensity, shape
from napari_sam_med.factors.base import FACTORS, Factor, FactorInput
from napari_sam_med.factors.complexity import fourier_order


def _add(name: str, title: str, unit: str, meaning: str, compute: Callable[[FactorInput], float]) -> None:
    FACTORS.add(name, Factor(name, title, unit, meaning, compute))


_add(
    "size_px",
    "Size",
    "px",
    "Labelled pixels of the object in this slice.",
    lambda t: int(np.count_nonzero(t.mask)),
)
_add(
    "aspect_ratio",
    "Aspect ratio",
    "",
    "Short side over long side of the tight box, in mm: 1 is square, near 0 is long and thin.",
    lambda t: shape.aspect_ratio(t.mask, t.spacing_mm),
)
_add(
    "intensity_difference",
    "Intensity difference",
    "grey levels",
    "Mean grey inside minus that of the ring around it, after the window (0 to 255): near 0 is hard to see.",
    lambda t: intensity.intensity_difference(t.image, t.mask),
)
_add(
    "boundary_complexity",
    "Boundary complexity",
    "",
    "Harmonics it takes to redraw the outline: about 1 is a disc, more is a more winding border.",
    lambda t: fourier_order(t.shape),
)
_add(
    "slice_position",
    "Slice position",
    "",
    "Where the slice cuts the object: 0 is its middle slice, 1 its first or last.",
    lambda t: shape.slice_position(t.index, t.extent),
)
_add(
    "boundary_complexity_full",
    "Boundary complexity, full search",
    "",
    "The same without stopping early: harmonics are added until the outline fits, 200 at most.",
    lambda t: fourier_order(t.shape, patience=None),
)
_add(
    "contrast_to_noise",
    "Contrast to noise",
    "",
    "Step of the mean grey across the border over its spread within 3 px of it: below 1 the border drowns in noise.",
    lambda t: intensity.contrast_to_noise(t.image, t.mask),
)
_add(
    "histogram_overlap",
    "Histogram overlap",
    "",
    "Shared part of the grey histograms of object and ring: 0 is told apart by grey alone, 1 not at all.",
    lambda t: intensity.histogram_overlap(t.image, t.mask),
)
_add(
    "boundary_gradient",
    "Boundary gradient",
    "grey levels/mm",
    "Mean slope of the grey along the border: low is a blurred or missing edge.",
    lambda t: intensity.boundary_gradient(t.image, t.mask, t.spacing_mm),
)
_add(
    "solidity",
    "Solidity",
    "",
    "Area over that of the convex hull: 1 is convex, low has bays, arms or scattered parts.",
    lambda t: shape.solidity(t.shape),
)
_add(
    "compactness",
    "Compactness",
    "",
    "4π·area over perimeter squared: 1 is a disc, near 0 is long, thin or ragged.",
    lambda t: shape.compactness(t.shape, t.spacing_mm),
)
_add(
    "components",
    "Parts",
    "",
    "Connected parts of the object in this slice, corners counting as contact.",
    lambda t: shape.component_count(t.shape),
)
_add(
    "holes",
    "Holes",
    "",
    "Holes in the object in this slice.",
    lambda t: shape.hole_count(t.shape),
)
_add(
    "area_box_ratio",
    "Area over box",
    "",
    "Share of the tight box that the object fills: a disc fills 0.79, a branching vessel little.",
    lambda t: shape.area_box_ratio(t.shape),
)
_add(
    "skeleton_ratio",
    "Skeleton over area",
    "",
    "Share of the object's pixels on its centre line: 1 is a line one pixel wide, near 0 a thick blob.",
    lambda t: shape.skeleton_ratio(t.shape),
)
_add(
    "border_distance_mm",
    "Distance to the image border",
    "mm",
    "From the object to the nearest side of the image: 0 is an object that the image cuts off.",
    lambda t: shape.border_distance_mm(t.mask, t.spacing_mm),
)
_add(
    "slice_spacing_mm",
    "Slice spacing",
    "mm",
    "Distance between neighbouring slices of the volume.",
    lambda t: t.slice_spacing_mm,
)
