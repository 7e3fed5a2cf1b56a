"""What a factor is, the registry, and the one call that computes all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.registry import Registry
from napari_sam_med.factors.complexity import fourier_order
from napari_sam_med.factors.intensity import intensity_difference
from napari_sam_med.factors.shape import aspect_ratio, slice_position


@dataclass(frozen=True, eq=False)
class FactorInput:
    """One object in one slice.

    Attributes
    ----------
    image : ndarray, shape (rows, cols), uint8
        The slice through its window, as the model sees it, on the voxel grid.
    mask : ndarray, shape (rows, cols), bool
        The object; not empty. Several components and holes are fine.
    spacing_mm : tuple of float
        (row, col) spacing.
    index : int
        Number of this slice.
    extent : tuple of int
        First and last slice with this object.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    spacing_mm: tuple[float, float]
    index: int
    extent: tuple[int, int]

    def __post_init__(self) -> None:
        if self.image.shape != self.mask.shape or self.mask.ndim != 2:
            raise InputError(
                f"Factors need an image and a mask of one 2D shape; "
                f"found {self.image.shape} and {self.mask.shape}."
            )
        if not self.mask.any():
            raise InputError("Factors need an object with at least one pixel; the mask is empty.")


@dataclass(frozen=True)
class Factor:
    """A property of an object in a slice.

    Attributes
    ----------
    name : str
        Column name.
    title : str
        For headings and axes, without the unit.
    unit : str
        "px", "grey levels", or "" for a plain number.
    meaning : str
        One line for a tooltip.
    compute : callable
        ``compute(FactorInput) -> float``; NaN where the factor has no meaning.
    """

    name: str
    title: str
    unit: str
    meaning: str
    compute: Callable[[FactorInput], float]


FACTORS: Registry[Factor] = Registry("factor")


def compute_factors(target: FactorInput, names: Iterable[str] | None = None) -> dict[str, float]:
    """Factors of one object in one slice; all of ``FACTORS`` by default.

    Raises
    ------
    InputError
        If a name is unknown.
    """
    return {name: float(FACTORS.get(name).compute(target)) for name in (FACTORS if names is None else names)}


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
    lambda t: aspect_ratio(t.mask, t.spacing_mm),
)
_add(
    "intensity_difference",
    "Intensity difference",
    "grey levels",
    "Mean grey inside minus that of the ring around it, after the window (0 to 255): near 0 is hard to see.",
    lambda t: intensity_difference(t.image, t.mask),
)
_add(
    "boundary_complexity",
    "Boundary complexity",
    "",
    "Harmonics it takes to redraw the outline: about 1 is a disc, more is a more winding border.",
    lambda t: fourier_order(t.mask),
)
_add(
    "slice_position",
    "Slice position",
    "",
    "Where the slice cuts the object: 0 is its middle slice, 1 its first or last.",
    lambda t: slice_position(t.index, t.extent),
)
