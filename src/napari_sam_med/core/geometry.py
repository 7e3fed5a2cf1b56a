"""Orientation, grids and slice resampling, on numpy alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import GridMismatchError, InputError
from napari_sam_med.core.volume import SourceGrid, Volume

# Unit vectors of (Inferior, Posterior, Left) in RAS+.
_IPL_IN_RAS = np.array([[0.0, 0.0, -1.0], [0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]])


def affine_spacing(affine: NDArray[np.floating[Any]]) -> tuple[float, float, float]:
    """Voxel size in mm along each voxel axis of a 4×4 affine."""
    a, b, c = (float(v) for v in np.sqrt((np.asarray(affine, float)[:3, :3] ** 2).sum(axis=0)))
    return (a, b, c)


def check_affine(affine: NDArray[np.floating[Any]], what: str) -> None:
    """Refuse an affine that maps voxels onto a plane, a line or nowhere.

    Raises
    ------
    InputError
        If the affine has NaN or inf, a zero column, or a determinant of zero.
    """
    matrix = np.asarray(affine, float)[:3, :3]
    if not np.isfinite(np.asarray(affine, float)).all():
        raise InputError(
            f"{what} has NaN or infinite numbers in its affine; repair the header and try again."
        )
    spacing = affine_spacing(affine)
    volume = np.prod(spacing)
    if volume == 0 or abs(np.linalg.det(matrix)) < 1e-6 * volume:
        raise InputError(
            f"{what} has a singular affine (voxel size {_mm(spacing)}); expected three independent axes. "
            "Repair the header and try again."
        )


def canonical_axes(
    affine: NDArray[np.floating[Any]],
) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Permutation and flips that bring voxel axes closest to (I, P, L).

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Voxel to RAS+ mm.

    Returns
    -------
    permutation : tuple of int
        Canonical axis ``a`` is source axis ``permutation[a]``.
    flips : tuple of bool
        Whether canonical axis ``a`` runs against its source axis.
    """
    matrix = np.asarray(affine, float)[:3, :3]
    cosines = _IPL_IN_RAS @ (matrix / np.array(affine_spacing(affine)))  # (canonical, source)
    agreement = {
        p: sum(abs(float(cosines[a, p[a]])) for a in range(3)) for p in itertools.permutations(range(3))
    }
    # At 45° two answers tie; rounding in a header must not turn a mask away from its image.
    highest = max(agreement.values())
    best = next(p for p, value in agreement.items() if value >= highest - 1e-3)
    flips = tuple(bool(cosines[a, best[a]] < 0) for a in range(3))
    return (best[0], best[1], best[2]), (flips[0], flips[1], flips[2])


def to_canonical(data: NDArray[Any], source: SourceGrid) -> NDArray[Any]:
    """Turn file-order voxels, shape (i, j, k) or (t, i, j, k), to canonical order without resampling (a view)."""
    lead = data.ndim - 3
    order = (*range(lead), *(lead + p for p in source.permutation))
    turned = data.transpose(order)
    return turned[(..., *(slice(None, None, -1) if f else slice(None) for f in source.flips))]


def from_canonical(data: NDArray[Any], source: SourceGrid) -> NDArray[Any]:
    """Inverse of :func:`to_canonical`: back to the order of the file."""
    lead = data.ndim - 3
    unflipped = data[(..., *(slice(None, None, -1) if f else slice(None) for f in source.flips))]
    inverse = np.argsort(source.permutation)
    return unflipped.transpose((*range(lead), *(lead + int(p) for p in inverse)))


def canonical_affine(source: SourceGrid) -> NDArray[np.float64]:
    """Affine of the canonical voxel order: (z, y, x, 1) to RAS+ mm."""
    step = np.zeros((4, 4))
    step[3, 3] = 1.0
    for canonical, (stored, flip) in enumerate(zip(source.permutation, source.flips, strict=True)):
        step[stored, canonical] = -1.0 if flip else 1.0
        if flip:
            step[stored, 3] = source.shape[stored] - 1
    return np.asarray(source.affine, float) @ step


def volume_from_source(
    data: NDArray[Any],
    affine: NDArray[np.floating[Any]],
    *,
    dtype: Any = None,
    what: str = "The file",
    **fields: Any,
) -> Volume:
    """Build a canonical :class:`Volume` from voxels in file order.

    Parameters
    ----------
    data : ndarray, shape (i, j, k) or (t, i, j, k)
        Voxels in the order of the file.
    affine : ndarray, shape (4, 4)
        Voxel (i, j, k, 1) to RAS+ mm.
    dtype : dtype, optional
        Type of the stored voxels, when `data` was scaled after reading.
    what : str
        How to call the input in an error ("The file brain.nii").
    **fields
        Further fields of :class:`Volume` (name, modality, metadata, ...).

    Raises
    ------
    InputError
        If the affine is singular or not finite.
    """
    check_affine(affine, what)
    i, j, k = data.shape[-3:]
    exact = np.array(affine, dtype=np.float64)
    permutation, flips = canonical_axes(exact)
    source = SourceGrid((i, j, k), exact, np.dtype(dtype or data.dtype), permutation, flips)
    turned = canonical_affine(source)
    return Volume(to_canonical(data, source), affine_spacing(turned), turned, source, **fields)


def same_grid(a: Volume, b: Volume, tolerance_mm: float = 1e-2) -> bool:
    """Whether two volumes have the same shape and every corner within `tolerance_mm` of its twin."""
    return a.shape == b.shape and _corner_distance_mm(a, b) <= tolerance_mm


def require_same_grid(image: Volume, labels: Volume) -> None:
    """Refuse labels that lie on another grid than their image.

    Raises
    ------
    GridMismatchError
        With both shapes, spacings and origins, and what to do.
    """
    if same_grid(image, labels):
        return
    raise GridMismatchError(
        f"The labels ({labels.name}) lie on another voxel grid than the image ({image.name}): "
        f"labels {_grid_text(labels)}; image {_grid_text(image)}. "
        "Resample the labels to the image (nearest neighbour; --resample on the command line) "
        "or choose the labels made for this image."
    )


def resample_labels(labels: Volume, reference: Volume, background: int = 0) -> Volume:
    """Labels on the grid of `reference`, by nearest neighbour through both affines.

    Parameters
    ----------
    labels : Volume
        Label values, 3D.
    reference : Volume
        Gives the grid of the result.
    background : int
        Value for voxels outside the labels' field of view.
    """
    to_labels = np.linalg.inv(labels.affine) @ reference.affine
    nz, ny, nx = reference.shape
    grid_y, grid_x = np.meshgrid(np.arange(ny), np.arange(nx), indexing="ij")
    data = labels.frame()
    out = np.full(reference.shape, background, dtype=data.dtype)
    limits = np.array(labels.shape)
    for z in range(nz):
        points = np.stack([np.full(grid_y.shape, z), grid_y, grid_x], axis=-1) @ to_labels[:3, :3].T
        nearest = np.floor(points + to_labels[:3, 3] + 0.5).astype(np.int64)
        inside = ((nearest >= 0) & (nearest < limits)).all(axis=-1)
        found = nearest[inside]
        out[z][inside] = data[found[:, 0], found[:, 1], found[:, 2]]
    return reference.with_data(
        out, name=labels.name, label_names=labels.label_names, modality="", metadata=dict(labels.metadata)
    )


@dataclass(frozen=True)
class SquareGrid:
    """Map between the voxels of a slice and square pixels for the model.

    A coronal slice of a 5 mm CT has pixels of 5.0 × 0.8 mm; a model trained on square pixels must not see that.

    Attributes
    ----------
    shape : tuple of int
        (rows, cols) of the voxel slice.
    square_shape : tuple of int
        (rows, cols) of the image the model sees.
    """

    shape: tuple[int, int]
    square_shape: tuple[int, int]

    @classmethod
    def of(cls, shape: tuple[int, int], spacing_mm: tuple[float, float], limit: int = 2048) -> SquareGrid:
        """Square pixels of the finer spacing; spacings within 2 % are left alone, sides are kept under `limit`."""
        rows, cols = shape
        fine = min(spacing_mm)
        factor = [s / fine for s in spacing_mm]
        if max(factor) < 1.02:
            return cls(shape, shape)
        square = [max(1, round(n * f)) for n, f in zip(shape, factor, strict=True)]
        shrink = min(1.0, limit / max(square))
        if shrink < 1.0:
            square = [max(1, round(n * shrink)) for n in square]
        return cls((rows, cols), (square[0], square[1]))

    @property
    def identity(self) -> bool:
        """Whether voxels are square already."""
        return self.shape == self.square_shape

    @property
    def factors(self) -> tuple[float, float]:
        """Square pixels for each voxel along (row, col)."""
        return (self.square_shape[0] / self.shape[0], self.square_shape[1] / self.shape[1])

    def to_square(self, image: NDArray[Any]) -> NDArray[Any]:
        """Linear interpolation of a (rows, cols) slice onto the square pixels, same dtype."""
        return image if self.identity else _linear_resize(image, self.square_shape)

    def to_voxels(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Linear interpolation of (..., rows, cols) values (mask probabilities, logits) back onto the voxels."""
        values = np.asarray(values, np.float32)
        return values if self.identity else _linear_resize(values, self.shape)

    def points_to_square(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """(N, 2) voxel (row, col) to square-pixel (row, col); pixel centres are integers in both."""
        return (np.asarray(points, float) + 0.5) * np.array(self.factors) - 0.5

    def box_to_square(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Box of first and last voxels (r0, c0, r1, c1), to the first and last square pixels it covers."""
        fr, fc = self.factors
        r0, c0, r1, c1 = box
        return (r0 * fr, c0 * fc, (r1 + 1) * fr - 1, (c1 + 1) * fc - 1)


def _linear_resize(values: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    out = np.asarray(values, np.float32)
    for axis, n_new in ((-2, shape[0]), (-1, shape[1])):
        n_old = out.shape[axis]
        position = np.clip((np.arange(n_new) + 0.5) * n_old / n_new - 0.5, 0, n_old - 1)
        low = np.minimum(position.astype(np.int64), max(n_old - 2, 0))
        high = np.minimum(low + 1, n_old - 1)
        weight = (position - low).astype(np.float32)
        if axis == -2:
            weight = weight[:, None]
        out = np.take(out, low, axis) * (1 - weight) + np.take(out, high, axis) * weight
    if np.issubdtype(values.dtype, np.integer):
        return np.rint(out).astype(values.dtype)
    return out.astype(values.dtype)


def _corner_distance_mm(a: Volume, b: Volume) -> float:
    corners = np.array(list(itertools.product(*((0, n - 1) for n in a.shape))), float)
    corners = np.c_[corners, np.ones(len(corners))]
    return float(np.abs(corners @ (a.affine - b.affine)[:3].T).max())


def _mm(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{v:.4g}" for v in values) + ") mm"


def _grid_text(volume: Volume) -> str:
    origin = tuple(float(v) for v in volume.affine[:3, 3])
    return f"shape {volume.shape}, spacing {_mm(volume.spacing_mm)}, origin {_mm(origin)} (RAS)"


def describe_grid(volume: Volume) -> Mapping[str, str]:
    """Shape, spacing, origin and orientation as short texts, for tables and tooltips."""
    matrix = volume.source.affine[:3, :3] / np.array(affine_spacing(volume.source.affine))
    runs_to = {
        stored: "IPL"[axis] if not flip else "SAR"[axis]
        for axis, (stored, flip) in enumerate(
            zip(volume.source.permutation, volume.source.flips, strict=True)
        )
    }
    letters = "".join(runs_to[stored] for stored in range(3))
    tilt = float(np.degrees(np.arccos(np.clip(np.abs(matrix).max(axis=0).min(), 0, 1))))
    return {
        "shape (z, y, x)": str(volume.shape),
        "spacing (z, y, x)": _mm(volume.spacing_mm),
        "origin (RAS)": _mm(tuple(float(v) for v in volume.affine[:3, 3])),
        "stored orientation": letters,
        "obliqueness": f"{tilt:.1f}°",
    }
