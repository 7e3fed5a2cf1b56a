"""What a factor is, the registry (filled in ``catalog``), and the one call that computes all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import tight_box
from napari_sam_med.core.registry import Registry


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
    slice_spacing_mm : float
        Distance between slices; NaN where it is not known.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    spacing_mm: tuple[float, float]
    index: int
    extent: tuple[int, int]
    slice_spacing_mm: float = float("nan")

    def __post_init__(self) -> None:
        if self.image.shape != self.mask.shape or self.mask.ndim != 2:
            raise InputError(
                f"Factors need an image and a mask of one 2D shape; "
                f"found {self.image.shape} and {self.mask.shape}."
            )
        if not self.mask.any():
            raise InputError("Factors need an object with at least one pixel; the mask is empty.")

    @cached_property
    def shape(self) -> NDArray[np.bool_]:
        """The mask cut to its tight box, with one pixel of background on every side: all that shape depends on."""
        box = tight_box(self.mask)
        assert box is not None
        r0, c0, r1, c1 = (int(v) for v in box)
        return np.pad(self.mask[r0 : r1 + 1, c0 : c1 + 1], 1)


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
        "px", "mm", "grey levels", "grey levels/mm", or "" for a plain number.
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
