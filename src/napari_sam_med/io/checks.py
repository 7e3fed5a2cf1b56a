"""Facts about freshly read voxels: warnings for the user, and the modality where a file does not say it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.geometry import affine_spacing

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SLAB = 1 << 22


def slabs(data: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Pieces of a 3D or 4D array along its longest-stride axis, so that temporaries stay small."""
    axis = int(np.argmax([abs(s) for s in data.strides]))
    n = data.shape[axis]
    step = max(1, _SLAB * n // max(1, data.size))
    for start in range(0, n, step):
        yield data[(slice(None),) * axis + (slice(start, start + step),)]


def not_finite_warning(data: NDArray[Any]) -> str | None:
    """A sentence with the number of NaN and infinite voxels, or None."""
    if not np.issubdtype(data.dtype, np.floating):
        return None
    bad = sum(int(part.size - np.isfinite(part).sum()) for part in slabs(data))
    if not bad:
        return None
    return f"{bad} of {data.size} voxels are NaN or infinite; NaN and -inf are shown as minimum, +inf as maximum."


def shear_warning(affine: NDArray[np.floating[Any]]) -> str | None:
    """A sentence when voxel axes are not at right angles (gantry tilt, sheared affine), or None."""
    axes = affine[:3, :3] / np.array(affine_spacing(affine))
    off = np.abs(axes.T @ axes - np.eye(3)).max()
    if off < 5e-3:
        return None
    angle = float(np.degrees(np.arcsin(min(1.0, float(off)))))
    return (
        f"The voxel axes are {angle:.1f}° off right angles (gantry tilt or shear); slices are shown as stored and "
        "masks are saved on this exact grid, but distances in mm treat the axes as rectangular."
    )


def guess_modality(data: NDArray[Any]) -> str:
    """ "CT" for whole numbers in a Hounsfield-like range, otherwise "".

    Formats without a modality field give no other hint, and the guess only picks the default window. CT has air:
    the minimum lies between -3100 (padding of some scanners) and -900, and the maximum reaches soft tissue (30 HU).
    """
    low, high = np.inf, -np.inf
    for part in slabs(data):
        if part.dtype.kind == "f" and not np.array_equal(np.rint(part), part):
            return ""
        low, high = min(low, float(part.min())), max(high, float(part.max()))
    return "CT" if -3100 <= low <= -900 and 30 <= high <= 33000 else ""


def smallest_integer(low: int, high: int) -> np.dtype[Any] | None:
    """The smallest integer type that holds both numbers (unsigned first), or None."""
    for name in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"):
        info = np.iinfo(name)
        if info.min <= low and high <= info.max:
            return np.dtype(name)
    return None


def plane_affine(row_mm: float, col_mm: float, thickness_mm: float = 1.0) -> NDArray[np.float64]:
    """RAS affine of a picture (col, row, slice): columns run to Left, rows to Posterior, as a slice is drawn."""
    return LPS_TO_RAS @ np.diag([col_mm, row_mm, thickness_mm, 1.0])
