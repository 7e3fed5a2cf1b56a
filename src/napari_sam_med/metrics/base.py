"""What a metric is, the registry, and the one call that computes several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.registry import Registry
from napari_sam_med.metrics import overlap, surface


class MaskPair:
    """Two masks on one grid, with the costly parts computed once for all metrics.

    Parameters
    ----------
    prediction, truth : ndarray of bool
        Same shape; 2D (rows, cols) or 3D (z, y, x). Both are cropped to the box around their union, and axes of
        one voxel are left out, so that a volume of one slice is measured as the slice it is.
    spacing_mm : sequence of float
        Distance between voxel centres along each axis.

    Raises
    ------
    InputError
        If shapes differ, or the spacing does not fit them or is not positive.
    """

    def __init__(self, prediction: NDArray[Any], truth: NDArray[Any], spacing_mm: Sequence[float]) -> None:
        prediction, truth = np.asarray(prediction, bool), np.asarray(truth, bool)
        if prediction.shape != truth.shape:
            raise InputError(f"Masks must have one shape; found {prediction.shape} and {truth.shape}.")
        if len(spacing_mm) != truth.ndim or not all(np.isfinite(s) and s > 0 for s in spacing_mm):
            raise InputError(
                f"Spacing must be {truth.ndim} positive numbers (mm); found {tuple(spacing_mm)}."
            )
        kept = [axis for axis, n in enumerate(truth.shape) if n > 1] or [0]
        dropped = tuple(axis for axis in range(truth.ndim) if axis not in kept)
        crop = _union_box(prediction.squeeze(dropped), truth.squeeze(dropped))
        self.prediction: NDArray[np.bool_] = prediction.squeeze(dropped)[crop]
        self.truth: NDArray[np.bool_] = truth.squeeze(dropped)[crop]
        self.spacing_mm = tuple(float(spacing_mm[axis]) for axis in kept)

    @cached_property
    def counts(self) -> tuple[int, int, int]:
        """Voxels in the prediction, in the truth, in both."""
        both = np.count_nonzero(self.prediction & self.truth)
        return (int(np.count_nonzero(self.prediction)), int(np.count_nonzero(self.truth)), int(both))

    @cached_property
    def distances_mm(self) -> surface.SurfaceDistances | None:
        """Distances between the two surfaces; None if a mask is empty."""
        if not (self.counts[0] and self.counts[1]):
            return None
        return surface.surface_distances(self.prediction, self.truth, self.spacing_mm)

    def without_surface(self) -> float:
        """Distance where a mask is empty: NaN when both are, inf when one is."""
        return float("inf") if self.counts[0] or self.counts[1] else float("nan")


@dataclass(frozen=True)
class Metric:
    """A number that says how well a prediction fits the truth.

    Attributes
    ----------
    name : str
        Column name; ends in the unit where there is one ("hd95_mm").
    title : str
        For headings and axes, without the unit.
    unit : str
        "mm", or "" for a plain number.
    higher_is_better : bool
    needs_spacing : bool
        Whether the value depends on voxel spacing.
    compute : callable
        ``compute(pair) -> float``; NaN when both masks are empty.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool
    needs_spacing: bool
    compute: Callable[[MaskPair], float]


METRICS: Registry[Metric] = Registry("metric")


def compute_metrics(
    prediction: NDArray[Any],
    truth: NDArray[Any],
    spacing_mm: Sequence[float],
    names: Iterable[str] | None = None,
) -> dict[str, float]:
    """Metrics of one prediction.

    Overlaps of two empty masks are NaN, of exactly one empty mask 0; distances are NaN and inf.

    Parameters
    ----------
    prediction, truth : ndarray of bool
        Same shape; 2D (rows, cols) or 3D (z, y, x).
    spacing_mm : sequence of float
        Spacing along each axis, in mm.
    names : iterable of str, optional
        Which metrics, by name; all of ``METRICS`` by default.

    Raises
    ------
    InputError
        If shapes differ, the spacing is unusable, or a name is unknown.
    """
    pair = MaskPair(prediction, truth, spacing_mm)
    return {name: float(METRICS.get(name).compute(pair)) for name in (METRICS if names is None else names)}


def _union_box(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> tuple[slice, ...]:
    union = a | b
    crop = []
    for axis in range(union.ndim):
        found = np.flatnonzero(union.any(axis=tuple(i for i in range(union.ndim) if i != axis)))
        crop.append(slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0))
    return tuple(crop)


def _add_overlap(name: str, title: str, measure: Callable[[int, int, int], float]) -> None:
    METRICS.add(name, Metric(name, title, "", True, False, lambda pair: measure(*pair.counts)))


def _add_distance(name: str, title: str, measure: Callable[[surface.SurfaceDistances], float]) -> None:
    def compute(pair: MaskPair) -> float:
        distances = pair.distances_mm
        return pair.without_surface() if distances is None else measure(distances)

    METRICS.add(name, Metric(name, title, "mm", False, True, compute))


_add_overlap("dice", "Dice", overlap.dice)
_add_overlap("jaccard", "Jaccard", overlap.jaccard)
_add_distance("hd_mm", "Hausdorff distance", surface.hausdorff)
_add_distance("hd95_mm", "95 % Hausdorff distance", lambda d: surface.hausdorff(d, 95.0))
_add_distance("assd_mm", "Average surface distance", surface.average)
