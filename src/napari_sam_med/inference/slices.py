"""One slice of a volume as the model sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import SquareGrid
from napari_sam_med.core.volume import Volume, axis_number
from napari_sam_med.core.windowing import Window


@dataclass(frozen=True)
class SliceRef:
    """Where a slice comes from; answers carry it back so that the front end knows what they are about.

    Attributes
    ----------
    volume_id : str
        Any name the front end gives to a volume (a layer's unique id).
    axis : int
        0 axial, 1 coronal, 2 sagittal.
    index : int
        Slice index along `axis`.
    time : int
        Time point; 0 for 3D volumes.
    """

    volume_id: str
    axis: int
    index: int
    time: int = 0


@dataclass(frozen=True, eq=False)
class SliceImage:
    """The window-mapped pixels of one slice, on the voxel grid.

    Attributes
    ----------
    pixels : ndarray, shape (rows, cols), uint8
        What the screen shows.
    spacing_mm : tuple of float
        (row, col) distance between voxel centres, in mm.
    """

    pixels: NDArray[np.uint8]
    spacing_mm: tuple[float, float]

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != np.uint8 or self.pixels.size == 0:
            raise InputError(
                "A slice image is a non-empty uint8 array (rows, cols); "
                f"found {self.pixels.dtype} of shape {self.pixels.shape}."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of the voxel grid."""
        rows, cols = self.pixels.shape
        return (rows, cols)

    @property
    def grid(self) -> SquareGrid:
        """Map between the voxels and the square pixels that the model sees."""
        return SquareGrid.of(self.shape, self.spacing_mm)


def slice_image(volume: Volume, axis: str | int, index: int, window: Window, time: int = 0) -> SliceImage:
    """Cut one slice and map it through a window; the voxels are not changed.

    Parameters
    ----------
    volume : Volume
        Image in canonical axes.
    axis : str or int
        "axial"/0, "coronal"/1 or "sagittal"/2.
    index : int
        Slice index along `axis`.
    window : Window
        Grey window, in voxel units.
    time : int
        Time point of a 4D volume.

    Raises
    ------
    InputError
        If the axis or the slice does not exist.
    """
    number = axis_number(axis)
    pixels = np.ascontiguousarray(window.apply(volume.slice(number, index, time)))
    return SliceImage(pixels, volume.slice_spacing_mm(number))
