"""A volume in canonical axes that remembers the grid of the file it came from.

Canonical voxel axes are the ones closest to (I, P, L): index 0 grows to Inferior, index 1 to Posterior, index 2 to
Left. So axis 0 is axial, 1 coronal, 2 sagittal, and each slice is drawn the way radiologists look at it. World
coordinates are millimetres in RAS+ (nibabel's convention).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError

AxisName = Literal["axial", "coronal", "sagittal"]
AXES: tuple[AxisName, AxisName, AxisName] = ("axial", "coronal", "sagittal")
AXIS_LABELS: tuple[str, str, str] = ("z (S→I)", "y (A→P)", "x (R→L)")


def axis_number(axis: str | int) -> int:
    """Number (0, 1, 2) of a slice axis given by name or number.

    Raises
    ------
    InputError
        If the axis is none of axial/0, coronal/1, sagittal/2.
    """
    text = str(axis).strip().lower()
    for number, name in enumerate(AXES):
        if text in (name, str(number)):
            return number
    raise InputError(f"There is no axis {axis!r}; choose axial, coronal or sagittal.")


@dataclass(frozen=True)
class SourceGrid:
    """The voxel grid of the file a volume was read from.

    Attributes
    ----------
    shape : tuple of int
        (i, j, k) as stored in the file.
    affine : ndarray, shape (4, 4), float64
        Voxel (i, j, k, 1) to RAS+ millimetres, exactly as the file says.
    dtype : numpy.dtype
        Type of the stored voxels.
    permutation : tuple of int
        Canonical axis ``a`` is source axis ``permutation[a]``.
    flips : tuple of bool
        Whether canonical axis ``a`` runs against its source axis.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    dtype: np.dtype[Any]
    permutation: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)


@dataclass(frozen=True, eq=False)
class Volume:
    """An image or label volume in canonical axes.

    Attributes
    ----------
    data : ndarray, shape (z, y, x) or (t, z, y, x)
        Voxels as read (CT in HU); never windowed.
    spacing_mm : tuple of float
        Distance between voxel centres along (z, y, x).
    affine : ndarray, shape (4, 4), float64
        Canonical voxel (z, y, x, 1) to RAS+ millimetres.
    source : SourceGrid
        The grid of the file, to which masks go back.
    modality : str
        "CT", "MR", "PT", ... or "" when unknown.
    name : str
        Short name for layers and tables; never a path.
    label_names : mapping of int to str
        Names of label values, if the file gives them.
    metadata : mapping
        Plain facts worth keeping (DICOM window as ``window_hu``, ``warnings`` as a tuple of sentences, ...).
        No patient identity.
    time_step : float
        Step along t, in seconds where the file says so; 1.0 otherwise. Meaningless for 3D data.
    """

    data: NDArray[Any]
    spacing_mm: tuple[float, float, float]
    affine: NDArray[np.float64]
    source: SourceGrid
    modality: str = ""
    name: str = "volume"
    label_names: Mapping[int, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    time_step: float = 1.0

    def __post_init__(self) -> None:
        if self.data.ndim not in (3, 4):
            raise InputError(f"A volume has 3 or 4 axes; found an array of shape {self.data.shape}.")
        if len(self.spacing_mm) != 3 or not all(np.isfinite(s) and s > 0 for s in self.spacing_mm):
            raise InputError(f"Voxel spacing must be three positive numbers in mm; found {self.spacing_mm}.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Spatial shape (z, y, x)."""
        z, y, x = self.data.shape[-3:]
        return (z, y, x)

    @property
    def n_times(self) -> int:
        """Number of time points; 1 for 3D data."""
        return int(self.data.shape[0]) if self.data.ndim == 4 else 1

    @property
    def origin_ipl_mm(self) -> tuple[float, float, float]:
        """Patient position of voxel (0, 0, 0) along (Inferior, Posterior, Left), in mm: a layer's ``translate``."""
        r, a, s = (float(v) for v in self.affine[:3, 3])
        return (-s, -a, -r)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def frame(self, time: int = 0) -> NDArray[Any]:
        """The (z, y, x) array at one time point; a 3D volume is the same at any time.

        Raises
        ------
        InputError
            If a 4D volume has no such time point.
        """
        if self.data.ndim == 3:
            return self.data
        if not 0 <= time < self.n_times:
            raise InputError(f"The time point {time} does not exist; choose 0 to {self.n_times - 1}.")
        return self.data[time]

    def slice(self, axis: str | int, index: int, time: int = 0) -> NDArray[Any]:
        """One slice as a (row, col) view.

        Raises
        ------
        InputError
            If the index lies outside the volume.
        """
        number = axis_number(axis)
        n = self.shape[number]
        if not 0 <= index < n:
            raise InputError(f"The {AXES[number]} slice {index} does not exist; choose 0 to {n - 1}.")
        return self.frame(time)[(slice(None),) * number + (int(index),)]

    def slice_spacing_mm(self, axis: str | int) -> tuple[float, float]:
        """(row, col) spacing of the slices across `axis`, in mm."""
        number = axis_number(axis)
        row, col = (s for a, s in enumerate(self.spacing_mm) if a != number)
        return (row, col)

    def best_axis(self) -> int:
        """The axis whose slices have the highest in-plane resolution (Huang et al. 2024); axial wins ties."""
        return self.finest_axes()[0]

    def finest_axes(self) -> tuple[int, ...]:
        """All axes whose slices share the highest in-plane resolution; all three for cubic voxels.

        Axes whose slices are a single line of voxels do not count, so a single slice is seen from its front.
        """
        flat = [min(n for b, n in enumerate(self.shape) if b != a) < 2 for a in range(3)]
        area = [np.inf if flat[a] else float(np.prod(self.slice_spacing_mm(a))) for a in range(3)]
        return tuple(a for a in range(3) if area[a] <= min(area) * (1 + 1e-3))

    def with_data(self, data: NDArray[Any], **changes: Any) -> Volume:
        """The same grid with other voxels (a mask, a prediction).

        Raises
        ------
        InputError
            If the spatial shape differs.
        """
        if tuple(data.shape[-3:]) != self.shape:
            raise InputError(f"Expected an array of shape {self.shape}; found {data.shape[-3:]}.")
        return replace(self, data=data, **changes)
