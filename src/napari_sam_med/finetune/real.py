"""Real labelled slices for training, from a CSV of image and label pairs."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError, SamMedError
from napari_sam_med.core.geometry import SquareGrid
from napari_sam_med.core.volume import Volume
from napari_sam_med.core.windowing import CT_PRESETS, Window, percentile_window

log = logging.getLogger(__name__)
MIN_LABELLED = 30
LEAST_SIDE = 48
"""Pixels on the shorter side of a slice without labels."""


@dataclass(frozen=True, eq=False)
class RealSlice:
    """One labelled slice.

    Attributes
    ----------
    values : ndarray, shape (rows, cols), float32
        Voxels as read, on square pixels.
    labels : ndarray, shape (rows, cols), int32
        All 0 where the case has no labels.
    limits : tuple of float
        Of the window between the 0.5 and 99.5 percentiles of the whole volume, see ``windowing.percentile_window``.
    is_ct : bool
        Whether HU windows make sense.
    group : str
        Case identifier.
    finest : bool
        Whether it lies in a plane with the finest pixels of its volume.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.int32]
    limits: tuple[float, float]
    is_ct: bool
    group: str
    finest: bool = True

    def shown(self) -> NDArray[np.uint8]:
        """The slice, shape (rows, cols), as shown at first: CT in the soft-tissue window, all else within `limits`."""
        window = CT_PRESETS["soft-tissue"] if self.is_ct else Window.from_limits(*self.limits)
        return window.apply(self.values)


def train_rows(pairs: Path) -> list[dict[str, str]]:
    """Rows of the CSV whose ``split`` is ``train``; other rows are never returned.

    Raises
    ------
    InputError
        If the file is missing or lacks a column.
    """
    try:
        with pairs.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise InputError(
            f"The list of pairs {pairs} does not exist; leave `pairs` empty to train without it."
        ) from None
    missing = {"id", "split", "image", "label"} - set(rows[0] if rows else ())
    if missing:
        raise InputError(f"{pairs.name} lacks the columns {', '.join(sorted(missing))}.")
    return [row for row in rows if row["split"] == "train"]


def load_real_slices(pairs: Path) -> list[list[RealSlice]]:
    """Slices of all planes of the training rows, one list a row; unreadable rows are logged and skipped.

    Of a row without a label all slices are taken, with nothing labelled in them: regions of like grey will be their
    objects.
    """
    from napari_sam_med.io import read_labels, read_volume

    cases = []
    for row in train_rows(pairs):
        try:
            image = read_volume(pairs.parent / row["image"])
            labels = (
                read_labels(pairs.parent / row["label"], reference=image, resample=True)
                if row["label"]
                else None
            )
        except SamMedError as error:
            log.warning("training pair %s skipped: %s", row["id"], error)
            continue
        slices = list(_slices(row["id"], row.get("what", ""), image, labels))
        if slices:
            cases.append(slices)
    return cases


def sample_cases(phantoms: int = 6, step: int = 4) -> list[list[RealSlice]]:
    """Every `step`-th slice of the package's own samples: the ICBM152 brain, and some synthetic abdomens as one case.

    Raises
    ------
    InputError
        If nilearn, whose wheel holds the brain, is not installed.
    """
    from napari_sam_med.io.samples import brain_sample
    from napari_sam_med.synth import abdomen_ct

    abdomens = [
        each
        for seed in range(phantoms)
        for each in _slices("abdomen", "CT", *abdomen_ct(seed), step=step * phantoms // 2)
    ]
    return [list(_slices("icbm152", "MR", *brain_sample(), step=step)), abdomens]


def _slices(case: str, what: str, image: Volume, labels: Volume | None, step: int = 1) -> Iterator[RealSlice]:
    limits = percentile_window(image).limits
    is_ct = image.modality == "CT" or what.startswith("CT")
    finest = image.finest_axes()
    for axis in range(3):
        spacing = image.slice_spacing_mm(axis)
        if max(spacing) / min(spacing) > 8:  # a 17 mm reformat shows no anatomy
            continue
        for index in range(0, image.shape[axis], step):
            values = np.nan_to_num(np.asarray(image.slice(axis, index), np.float32))
            truth = np.zeros(values.shape, np.int32) if labels is None else labels.slice(axis, index)
            grid = SquareGrid.of((values.shape[0], values.shape[1]), spacing)
            if min(grid.square_shape) < (12 if labels is not None else LEAST_SIDE):
                continue
            if labels is not None and np.count_nonzero(truth) < MIN_LABELLED:
                continue
            yield RealSlice(
                grid.to_square(values),
                nearest_to_square(np.asarray(truth, np.int32), grid),
                limits,
                is_ct,
                case,
                axis in finest,
            )


def nearest_to_square(labels: NDArray[np.int32], grid: SquareGrid) -> NDArray[np.int32]:
    """Nearest-neighbour version of ``SquareGrid.to_square`` for label values."""
    rows, cols = (
        np.minimum(((np.arange(n) + 0.5) * old / n).astype(int), old - 1)
        for n, old in zip(grid.square_shape, grid.shape, strict=True)
    )
    return labels[rows[:, None], cols[None]]
