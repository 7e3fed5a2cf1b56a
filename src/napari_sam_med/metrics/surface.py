"""Distances between the surfaces of two masks.

The surface of a mask is its voxels with a face neighbour outside the mask; beyond the image is outside.
Distances run between voxel centres.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


class SurfaceDistances(NamedTuple):
    """Distance of each surface voxel of one mask to the nearest one of the other, shape (N,).

    In the unit of the spacing.
    """

    prediction_to_truth: NDArray[np.float64]
    truth_to_prediction: NDArray[np.float64]


def surface_distances(
    prediction: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> SurfaceDistances:
    """Surface distances of two non-empty masks on one grid, both ways."""
    surface_p, surface_t = _surface(prediction), _surface(truth)
    to_truth = ndimage.distance_transform_edt(~surface_t, sampling=spacing_mm)
    to_prediction = ndimage.distance_transform_edt(~surface_p, sampling=spacing_mm)
    return SurfaceDistances(to_truth[surface_p], to_prediction[surface_t])


def hausdorff(distances: SurfaceDistances, percentile: float = 100.0) -> float:
    """The larger of the two directed percentiles; 100 is the Hausdorff distance (Huttenlocher 1993)."""
    return float(max(np.percentile(d, percentile) for d in distances))


def average(distances: SurfaceDistances) -> float:
    """Average symmetric surface distance: mean over the surface voxels of both masks (Heimann 2009)."""
    return float(np.concatenate(distances).mean())


def within(distances: SurfaceDistances, tolerance: float) -> float:
    """Normalised surface distance: share of both surfaces within `tolerance` of the other (Nikolov et al. 2018).

    Counted in surface voxels; Nikolov weighs them by area. A hair of 1e-9 is given to rounding.
    """
    return float((np.concatenate(distances) <= tolerance + 1e-9).mean())


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return mask & ~ndimage.binary_erosion(mask)
