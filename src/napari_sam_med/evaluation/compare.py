"""A prediction against the truth: every slice, every object, the whole volume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_sam_med.core.geometry import require_same_grid, resample_labels
from napari_sam_med.core.volume import AXES, Volume, axis_number
from napari_sam_med.evaluation.labels import Box3D, label_array, label_boxes, label_name
from napari_sam_med.metrics import METRICS, compute_metrics

COLUMNS = ["level", "axis", "slice", "label", "label_name", *METRICS, "prediction_ml", "truth_ml"]
LEVELS = ("slice", "object", "volume")
# a voxel of 5 x 0.8 x 0.8 mm is no unit of length
_IN_3D = [name for name, metric in METRICS.items() if metric.unit != "px"]


def compare_labels(
    prediction: Volume,
    truth: Volume,
    *,
    axis: str | int | None = None,
    labels: Sequence[int] | None = None,
    resample: bool = False,
) -> pd.DataFrame:
    """Compare two label volumes.

    Parameters
    ----------
    prediction, truth : Volume
        Label values; the same value means the same object.
    axis : str or int, optional
        Slice axis; that of the highest in-plane resolution by default.
    labels : sequence of int, optional
        Values to compare; all that occur in either volume by default.
    resample : bool
        Bring the prediction to the grid of the truth (nearest neighbour) instead of refusing another grid.

    Returns
    -------
    DataFrame
        ``level`` is "slice" (2D metrics of an object in a slice where either volume has it), "object" (3D metrics of a
        label) or "volume" (3D metrics of all labels together). Distances in pixels are of slices alone. Volumes are in
        ml; those of a slice are of that layer of voxels. Empty masks: see
        :func:`napari_sam_med.metrics.compute_metrics`.

    Raises
    ------
    GridMismatchError
        If the grids differ and `resample` is not set.
    InputError
        If the values are not whole numbers or the axis is unknown.
    """
    rows = list(iter_comparison(prediction, truth, axis=axis, labels=labels, resample=resample))
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["slice"] = table["slice"].astype("Int64")
    table["label"] = table["label"].astype("Int64")
    return table


def iter_comparison(
    prediction: Volume,
    truth: Volume,
    *,
    axis: str | int | None = None,
    labels: Sequence[int] | None = None,
    resample: bool = False,
) -> Iterator[dict[str, Any]]:
    """The rows of :func:`compare_labels` one by one, for progress and cancelling: each object's slices, the object,
    and last the volume."""
    if resample:
        prediction = resample_labels(prediction, truth)
    require_same_grid(truth, prediction)
    number = truth.best_axis() if axis is None else axis_number(axis)
    found, expected = label_array(prediction), label_array(truth)
    boxes = _union_boxes(label_boxes(found), label_boxes(expected))
    values = [value for value in sorted(boxes) if labels is None or value in labels]
    for value in values:
        named = {"label": value, "label_name": _name(prediction, truth, value)}
        crop = _with_margin(boxes[value], truth.shape)
        pair = (found[crop] == value, expected[crop] == value)
        yield from _slices(pair, truth, number, crop[number].start, named)
        yield {"level": "object", **named, **_measure(pair, truth.spacing_mm, truth.voxel_ml)}
    if values:
        everything = (_any_of(found, values, labels), _any_of(expected, values, labels))
        yield {
            "level": "volume",
            "label_name": "all",
            **_measure(everything, truth.spacing_mm, truth.voxel_ml),
        }


Pair = tuple[NDArray[np.bool_], NDArray[np.bool_]]


def _slices(
    pair: Pair, truth: Volume, axis: int, first: int, named: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    spacing = truth.slice_spacing_mm(axis)
    for offset in range(pair[0].shape[axis]):
        here = (np.take(pair[0], offset, axis), np.take(pair[1], offset, axis))
        if here[0].any() or here[1].any():
            place = {"level": "slice", "axis": AXES[axis], "slice": first + offset}
            yield {**place, **named, **_measure(here, spacing, truth.voxel_ml)}


def _measure(pair: Pair, spacing_mm: Sequence[float], voxel_ml: float) -> dict[str, float]:
    prediction, truth = pair
    names = METRICS.names() if truth.ndim == 2 else _IN_3D
    return {
        **compute_metrics(prediction, truth, spacing_mm, names),
        "prediction_ml": np.count_nonzero(prediction) * voxel_ml,
        "truth_ml": np.count_nonzero(truth) * voxel_ml,
    }


def _any_of(
    data: NDArray[np.integer[Any]], values: Sequence[int], labels: Sequence[int] | None
) -> NDArray[np.bool_]:
    return data > 0 if labels is None else np.isin(data, values)


def _union_boxes(a: dict[int, Box3D], b: dict[int, Box3D]) -> dict[int, Box3D]:
    union = dict(a)
    for value, box in b.items():
        if value in union:
            known = union[value]
            z, y, x = (
                slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(known, box, strict=True)
            )
            box = (z, y, x)
        union[value] = box
    return union


def _with_margin(box: Box3D, shape: tuple[int, int, int]) -> Box3D:
    """One voxel more on each side, so that a flat object in a thick volume is still measured in 3D."""
    z, y, x = (slice(max(0, s.start - 1), min(n, s.stop + 1)) for s, n in zip(box, shape, strict=True))
    return (z, y, x)


def _name(prediction: Volume, truth: Volume, value: int) -> str:
    return truth.label_names.get(value) or label_name(prediction, value)
