"""What the user tells the model about one slice."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import SquareGrid

Box = tuple[float, float, float, float]


def _no_points() -> NDArray[np.float64]:
    return np.zeros((0, 2))


def _no_labels() -> NDArray[np.int8]:
    return np.zeros(0, np.int8)


@dataclass(frozen=True, eq=False)
class Prompt:
    """Points, a box, or both, on one slice.

    Attributes
    ----------
    points : ndarray, shape (N, 2), float64
        (row, col) voxel coordinates; the centre of a voxel is an integer.
    labels : ndarray, shape (N,), int8
        1 for "belongs to the object", 0 for "does not".
    box : tuple of float, optional
        (r0, c0, r1, c1): first and last row and column of the object, both inside the box. A tight box of a mask is
        the minimum and maximum of its indices.
    mask_logits : ndarray, shape (h, w), float32, optional
        ``Candidates.low_res[k]`` of an earlier answer of the same model for the same slice and object, fed back.
    """

    points: NDArray[np.float64] = field(default_factory=_no_points)
    labels: NDArray[np.int8] = field(default_factory=_no_labels)
    box: Box | None = None
    mask_logits: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        points = np.asarray(self.points, np.float64).reshape(-1, 2)
        labels = np.asarray(self.labels, np.int8).reshape(-1)
        if len(points) != len(labels):
            raise InputError(
                f"Each point needs one label; found {len(points)} points and {len(labels)} labels."
            )
        if not np.isfinite(points).all() or not np.isin(labels, (0, 1)).all():
            raise InputError("Points need finite (row, col) coordinates and labels 0 or 1.")
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "labels", labels)
        if self.box is not None:
            box = tuple(float(v) for v in self.box)
            if len(box) != 4 or not np.isfinite(box).all():
                raise InputError(f"A box is four finite numbers r0, c0, r1, c1; found {self.box}.")
            r0, c0, r1, c1 = box
            object.__setattr__(self, "box", (min(r0, r1), min(c0, c1), max(r0, r1), max(c0, c1)))

    @classmethod
    def from_box(cls, box: tuple[float, ...]) -> Prompt:
        """A prompt of one box (r0, c0, r1, c1)."""
        return cls(box=box)  # type: ignore[arg-type]

    @classmethod
    def from_points(cls, points: Any, labels: Any = None) -> Prompt:
        """A prompt of points (N, 2) in (row, col); all positive unless labels say otherwise."""
        array = np.asarray(points, np.float64).reshape(-1, 2)
        return cls(points=array, labels=np.ones(len(array), np.int8) if labels is None else labels)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to ask: no box and no positive point."""
        return self.box is None and not (self.labels == 1).any()

    def with_points(self, points: Any, labels: Any) -> Prompt:
        """The same prompt with more points."""
        more = np.asarray(points, np.float64).reshape(-1, 2)
        return replace(
            self,
            points=np.concatenate([self.points, more]),
            labels=np.concatenate([self.labels, np.asarray(labels, np.int8).reshape(-1)]),
        )

    def with_logits(self, logits: NDArray[np.floating[Any]] | None) -> Prompt:
        """The same prompt with the logits of an earlier answer, or without."""
        return replace(self, mask_logits=None if logits is None else np.asarray(logits, np.float32))

    def to_square(self, grid: SquareGrid) -> Prompt:
        """The same prompt in the square pixels the model sees."""
        if grid.identity:
            return self
        box = None if self.box is None else grid.box_to_square(self.box)
        return replace(self, points=grid.points_to_square(self.points), box=box)

    def clipped(self, shape: tuple[int, int]) -> Prompt:
        """The same prompt without the part of its box outside a slice of `shape` (rows, cols)."""
        if self.box is None:
            return self
        r0, c0, r1, c1 = self.box
        box = (max(r0, 0.0), max(c0, 0.0), min(r1, shape[0] - 1.0), min(c1, shape[1] - 1.0))
        return self if box == self.box else replace(self, box=box)

    def check_inside(self, shape: tuple[int, int]) -> None:
        """Refuse a prompt outside a slice of `shape` (rows, cols).

        Raises
        ------
        InputError
            If a point lies outside or the box does not touch the slice.
        """
        rows, cols = shape
        limit = np.array([rows - 0.5, cols - 0.5])
        outside = ((self.points < -0.5) | (self.points > limit)).any(axis=1)
        if outside.any():
            r, c = self.points[outside][0]
            raise InputError(f"The point ({r:g}, {c:g}) lies outside the slice of {rows} × {cols} voxels.")
        if self.box is not None:
            r0, c0, r1, c1 = self.box
            if r1 < 0 or c1 < 0 or r0 > rows - 1 or c0 > cols - 1:
                raise InputError(f"The box {self.box} lies outside the slice of {rows} × {cols} voxels.")


def tight_box(mask: NDArray[Any]) -> Box | None:
    """Tight box (r0, c0, r1, c1) of a 2D mask, first and last index inclusive; None when the mask is empty."""
    rows = np.flatnonzero(np.asarray(mask).any(axis=1))
    if rows.size == 0:
        return None
    cols = np.flatnonzero(np.asarray(mask).any(axis=0))
    return (float(rows[0]), float(cols[0]), float(rows[-1]), float(cols[-1]))
