"""What a metric is, the registry, and the one call that computes several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.registry import Registry
from napari_sam_med.metrics import overlap, surface

DEFAULT_TOLERANCE_MM = 2.0
"""Tolerance of the normalised surface distance unless one is given."""


class MaskPair:
    """Two masks on one grid, with the costly parts computed once for all metrics.

    Parameters
    ----------
    prediction, truth : ndarray of bool
        Same shape; 2D (rows, cols) or 3D (z, y, x). Both are cropped to the box around their union, and axes of
        one voxel are left out, so that a volume of one slice is measured as the slice it is.
    spacing_mm : sequence of float
        Distance between voxel centres along each axis.
    tolerance_mm : float
        Distance up to which two surfaces count as one.

    Raises
    ------
    InputError
        If shapes differ, the spacing does not fit them or is not positive, or the tolerance is negative.
    """

    def __init__(
        self,
        prediction: NDArray[Any],
        truth: NDArray[Any],
        spacing_mm: Sequence[float],
        tolerance_mm: float = DEFAULT_TOLERANCE_MM,
    ) -> None:
        prediction, truth = np.asarray(prediction, bool), np.asarray(truth, bool)
        if prediction.shape != truth.shape:
            raise InputError(f"Masks must have one shape; found {prediction.shape} and {truth.shape}.")
        if len(spacing_mm) != truth.ndim or not all(np.isfinite(s) and s > 0 for s in spacing_mm):
            raise InputError(
                f"Spacing must be {truth.ndim} positive numbers (mm); found {tuple(spacing_mm)}."
            )
        check_tolerance(tolerance_mm)
        kept = [axis for axis, n in enumerate(truth.shape) if n > 1] or [0]
        dropped = tuple(axis for axis in range(truth.ndim) if axis not in kept)
        crop = _union_box(prediction.squeeze(dropped), truth.squeeze(dropped))
        self.prediction: NDArray[np.bool_] = prediction.squeeze(dropped)[crop]
        self.truth: NDArray[np.bool_] = truth.squeeze(dropped)[crop]
        self.spacing_mm = tuple(float(spacing_mm[axis]) for axis in kept)
        self.tolerance_mm = float(tolerance_mm)

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

    @cached_property
    def distances_px(self) -> surface.SurfaceDistances | None:
        """The same in voxels, as if these were cubes of side 1; None if a mask is empty."""
        if not (self.counts[0] and self.counts[1]):
            return None
        if max(self.spacing_mm) == min(self.spacing_mm) and self.distances_mm is not None:
            there, back = (d / self.spacing_mm[0] for d in self.distances_mm)
            return surface.SurfaceDistances(there, back)
        return surface.surface_distances(self.prediction, self.truth, (1.0,) * len(self.spacing_mm))

    def without_surface(self) -> float:
        """Distance where a mask is empty: NaN when both are, inf when one is."""
        return float("inf") if self.counts[0] or self.counts[1] else float("nan")


Direction = Literal["higher", "lower", "zero"]


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
        "mm", "px", "%", or "" for a number between 0 and 1.
    direction : str
        Which value is better: the "higher", the "lower", or the one nearer to "zero".
    needs_spacing : bool
        Whether the value depends on voxel spacing.
    compute : callable
        ``compute(pair) -> float``; NaN when both masks are empty.
    """

    name: str
    title: str
    unit: str
    direction: Direction
    needs_spacing: bool
    compute: Callable[[MaskPair], float]

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher value is better."""
        return self.direction == "higher"


METRICS: Registry[Metric] = Registry("metric")


def compute_metrics(
    prediction: NDArray[Any],
    truth: NDArray[Any],
    spacing_mm: Sequence[float],
    names: Iterable[str] | None = None,
    tolerance_mm: float = DEFAULT_TOLERANCE_MM,
) -> dict[str, float]:
    """Metrics of one prediction.

    Overlaps of two empty masks are NaN, of exactly one empty mask 0; distances are NaN and inf. The volume error of an
    empty prediction is -100 %, that of a prediction where there is no truth inf.

    Parameters
    ----------
    prediction, truth : ndarray of bool
        Same shape; 2D (rows, cols) or 3D (z, y, x).
    spacing_mm : sequence of float
        Spacing along each axis, in mm.
    names : iterable of str, optional
        Which metrics, by name; all of ``METRICS`` by default.
    tolerance_mm : float
        For "nsd": distance up to which two surfaces count as one.

    Raises
    ------
    InputError
        If shapes differ, the spacing or the tolerance is unusable, or a name is unknown.
    """
    pair = MaskPair(prediction, truth, spacing_mm, tolerance_mm)
    return {name: float(METRICS.get(name).compute(pair)) for name in (METRICS if names is None else names)}


def _union_box(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> tuple[slice, ...]:
    union = a | b
    crop = []
    for axis in range(union.ndim):
        found = np.flatnonzero(union.any(axis=tuple(i for i in range(union.ndim) if i != axis)))
        crop.append(slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0))
    return tuple(crop)


def check_tolerance(tolerance_mm: float) -> None:
    """Refuse a tolerance that is negative or not finite.

    Raises
    ------
    InputError
    """
    if not (np.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise InputError(f"The surface tolerance must be 0 mm or more; found {tolerance_mm:g}.")


def _add_overlap(name: str, title: str, measure: Callable[[int, int, int], float]) -> None:
    METRICS.add(name, Metric(name, title, "", "higher", False, lambda pair: measure(*pair.counts)))


def _add_distance(
    name: str, title: str, measure: Callable[[surface.SurfaceDistances], float], unit: str = "mm"
) -> None:
    def compute(pair: MaskPair) -> float:
        distances = pair.distances_mm if unit == "mm" else pair.distances_px
        return pair.without_surface() if distances is None else measure(distances)

    METRICS.add(f"{name}_{unit}", Metric(f"{name}_{unit}", title, unit, "lower", unit == "mm", compute))


def _nsd(pair: MaskPair) -> float:
    if pair.distances_mm is None:
        return 0.0 if pair.counts[0] or pair.counts[1] else float("nan")
    return surface.within(pair.distances_mm, pair.tolerance_mm)


_DISTANCES: tuple[tuple[str, str, Callable[[surface.SurfaceDistances], float]], ...] = (
    ("hd", "Hausdorff distance", surface.hausdorff),
    ("hd95", "95 % Hausdorff distance", lambda d: surface.hausdorff(d, 95.0)),
    ("assd", "Average surface distance", surface.average),
)

_add_overlap("dice", "Dice", overlap.dice)
_add_overlap("jaccard", "Jaccard", overlap.jaccard)
for _name, _title, _measure in _DISTANCES:
    _add_distance(_name, _title, _measure)
METRICS.add("nsd", Metric("nsd", "Surface agreement (NSD)", "", "higher", True, _nsd))
METRICS.add(
    "volume_error_pct",
    Metric(
        "volume_error_pct",
        "Volume error",
        "%",
        "zero",
        False,
        lambda pair: overlap.volume_error_pct(*pair.counts),
    ),
)
for _name, _title, _measure in _DISTANCES:
    _add_distance(_name, _title, _measure, "px")
