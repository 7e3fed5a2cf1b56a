"""Which slices and objects of a pair are scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import require_same_grid
from napari_sam_med.core.volume import AXES, Volume, axis_number
from napari_sam_med.core.windowing import Window, resolve_window
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.labels import Box3D, label_array, label_boxes


@dataclass(frozen=True)
class SliceTarget:
    """A slice and the objects that are scored in it."""

    axis: int
    index: int
    labels: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class PairPlan:
    """All that is going to be scored in one image and its truth.

    Attributes
    ----------
    case : str
    window : Window
        What maps the voxels to grey, for the models and the intensity factors.
    targets : tuple of SliceTarget
    boxes : mapping of int to tuple of slice
        Bounding box (z, y, x) of every object.
    data : ndarray of integers, shape (z, y, x)
        Label values.
    n_rows : int
        Rows to come if nothing fails.
    """

    case: str
    window: Window
    targets: tuple[SliceTarget, ...]
    boxes: Mapping[int, Box3D]
    data: NDArray[np.integer[Any]]
    n_rows: int

    def extent(self, label: int, axis: int) -> tuple[int, int]:
        """First and last slice with an object."""
        span = self.boxes[label][axis]
        return (span.start, span.stop - 1)


def plan_pair(
    image: Volume, labels: Volume, config: EvaluationConfig, *, case: str = "", unite_labels: bool = False
) -> PairPlan:
    """Choose the slices and objects of one pair.

    Raises
    ------
    GridMismatchError
        If image and labels lie on different grids.
    InputError
        If there is nothing to score; the sentence says why.
    """
    require_same_grid(image, labels)
    data = label_array(labels, unite=unite_labels)
    boxes = label_boxes(data)
    if not boxes:
        raise InputError(f"{labels.name} is empty: it has no label above 0, so there is nothing to score.")
    wanted = [value for value in boxes if config.labels is None or value in config.labels]
    if not wanted:
        raise InputError(
            f"{labels.name} has none of the labels {_listed(config.labels or ())}; it has {_listed(tuple(boxes))}."
        )
    targets, axes = _targets_of_axes(data, {value: boxes[value] for value in wanted}, image, config)
    if not targets:
        raise InputError(
            f"No object of {labels.name} has more than {config.min_pixels} labelled pixels in any "
            f"{' or '.join(AXES[axis] for axis in axes)} slice; lower the least number of pixels."
        )
    rows_an_object = len(config.runs()) * len(config.rules)
    n_rows = rows_an_object * sum(len(target.labels) for target in targets)
    return PairPlan(
        case or image.name, resolve_window(config.window, image), tuple(targets), boxes, data, n_rows
    )


def _targets_of_axes(
    data: NDArray[np.integer[Any]], boxes: Mapping[int, Box3D], image: Volume, config: EvaluationConfig
) -> tuple[list[SliceTarget], list[int]]:
    """Targets and the axes that were looked at: the chosen ones, or the first of the finest that has any."""
    if config.axes:
        axes = [axis_number(axis) for axis in config.axes]
        return [target for axis in axes for target in _targets(data, boxes, axis, config)], axes
    finest = image.finest_axes()
    for axis in finest:
        targets = _targets(data, boxes, axis, config)
        if targets:
            return targets, [axis]
    return [], list(finest)


def _targets(
    data: NDArray[np.integer[Any]], boxes: Mapping[int, Box3D], axis: int, config: EvaluationConfig
) -> list[SliceTarget]:
    by_slice: dict[int, list[int]] = {}
    others = tuple(a for a in range(3) if a != axis)
    for value, box in boxes.items():
        pixels = np.count_nonzero(data[box] == value, axis=others)
        for offset in np.flatnonzero(pixels > config.min_pixels):
            by_slice.setdefault(box[axis].start + int(offset), []).append(value)
    eligible = sorted(by_slice)
    chosen = [eligible[k] for k in spread(len(eligible), config.max_slices)]
    return [SliceTarget(axis, index, tuple(sorted(by_slice[index]))) for index in chosen]


def spread(available: int, wanted: int | None) -> list[int]:
    """`wanted` of the positions 0..available-1 at even steps, away from both ends; all if there are no more."""
    if wanted is None or wanted >= available:
        return list(range(available))
    return [int((k + 0.5) * available / wanted) for k in range(wanted)]


def _listed(values: tuple[int, ...], limit: int = 12) -> str:
    shown = ", ".join(str(value) for value in values[:limit])
    return shown + (", ..." if len(values) > limit else "")
