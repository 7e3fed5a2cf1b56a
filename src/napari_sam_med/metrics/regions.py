"""What kind of mistake is made where: regions that are wrong, and how far an outline is off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MISS, LEAK, HOLE, ISLAND = 1, 2, 3, 4
"""Values in an error map: missed regions have odd ones, extra regions even ones."""

MEANINGS = {
    MISS: "a part of the truth that is missing, open to the outside of the prediction",
    LEAK: "the prediction runs over the edge of the truth",
    HOLE: "a part of the truth that is missing inside the prediction",
    ISLAND: "a part of the prediction that does not touch the truth",
}
NAMES = {MISS: "miss", LEAK: "leak", HOLE: "hole", ISLAND: "island"}


@dataclass(frozen=True)
class ErrorRegion:
    """One connected region that is wrong.

    Attributes
    ----------
    kind : int
        ``MISS``, ``LEAK``, ``HOLE`` or ``ISLAND``.
    size_px : int
        Its voxels.
    size_mm : float
        Its area in mm² in a slice, its volume in mm³ in 3D.
    reach_mm : float
        How far it goes: largest distance of its voxels to the truth if it is extra, to the prediction if it is missed,
        between voxel centres; inf if that mask is empty.
    """

    kind: int
    size_px: int
    size_mm: float
    reach_mm: float


def error_regions(
    prediction: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> tuple[NDArray[np.uint8], list[ErrorRegion]]:
    """Sort what is wrong into leaks, islands, misses and holes.

    Voxels of the prediction outside the truth are extra, voxels of the truth outside the prediction missed. Each falls
    into regions that are connected over faces, edges and corners. A region is as a whole

    - a *leak*, if it is extra and touches the truth over a face, edge or corner;
    - an *island*, if it is extra and does not touch the truth;
    - a *hole*, if it is missed and enclosed by the prediction: no way over faces leads from any of its voxels to the
      border of the image without crossing the prediction (a voxel at the border is not enclosed);
    - a *miss*, if it is missed and not a hole: a side that was cut off, or a component that was not found.

    Parameters
    ----------
    prediction, truth : ndarray of bool, same shape
        A slice (rows, cols), or a volume.
    spacing_mm : sequence of float
        Voxel size along each axis.

    Returns
    -------
    errors : ndarray of uint8
        0 where both masks agree, else the kind of the region.
    regions : list of ErrorRegion
        Largest first.
    """
    neighbours = ndimage.generate_binary_structure(truth.ndim, truth.ndim)
    extra, n_extra = ndimage.label(prediction & ~truth, structure=neighbours)
    missed, n_missed = ndimage.label(truth & ~prediction, structure=neighbours)
    touching = np.unique(extra[ndimage.binary_dilation(truth, structure=neighbours)])
    open_to_outside = np.unique(missed[~ndimage.binary_fill_holes(prediction)])
    errors = np.zeros(truth.shape, np.uint8)
    regions: list[ErrorRegion] = []
    voxel_mm = float(np.prod(np.asarray(spacing_mm, float)))
    for found, count, other, special, kinds in (
        (extra, n_extra, truth, touching, (LEAK, ISLAND)),
        (missed, n_missed, prediction, open_to_outside, (MISS, HOLE)),
    ):
        if not count:
            continue
        kind = np.full(count + 1, kinds[1], np.uint8)
        kind[special] = kinds[0]
        kind[0] = 0
        errors |= kind[found]
        numbers = np.arange(1, count + 1)
        sizes = np.bincount(found.ravel(), minlength=count + 1)[1:]
        reach = _reach(found, numbers, other, spacing_mm)
        regions += [
            ErrorRegion(int(kind[k]), int(size), float(size * voxel_mm), float(far))
            for k, size, far in zip(numbers, sizes, reach, strict=True)
        ]
    return errors, sorted(regions, key=lambda region: -region.size_px)


def _reach(
    found: NDArray[Any], numbers: NDArray[Any], other: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> NDArray[np.float64]:
    if not other.any():
        return np.full(len(numbers), np.inf)
    distance = ndimage.distance_transform_edt(~other, sampling=spacing_mm)
    return np.asarray(ndimage.maximum(distance, found, numbers), float)


def boundary_error(
    prediction: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> NDArray[np.float32]:
    """How far the prediction's outline lies from the truth's, along the prediction's outline.

    The outline of a mask is its voxels with a face neighbour outside the mask; beyond the image is outside. Distances
    run between voxel centres.

    Parameters
    ----------
    prediction, truth : ndarray of bool, same shape
    spacing_mm : sequence of float

    Returns
    -------
    ndarray of float32
        In mm, on the voxels of the prediction's outline: above 0 outside the truth, below 0 inside it, 0 on its
        outline; NaN elsewhere. Against an empty truth all of the outline is inf.
    """
    error = np.full(truth.shape, np.nan, np.float32)
    outline = prediction & ~ndimage.binary_erosion(prediction)
    if not truth.any():
        error[outline] = np.inf
        return error
    of_truth = truth & ~ndimage.binary_erosion(truth)
    distance = ndimage.distance_transform_edt(~of_truth, sampling=spacing_mm)
    error[outline] = np.where(truth, 0 - distance, distance)[outline]
    return error
