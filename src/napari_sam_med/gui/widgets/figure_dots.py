"""Dots of a figure that can be pointed at, and which of them lies where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from scipy.spatial import KDTree

PICK_RADIUS_PX = 14.0
"""How far from a dot, in screen pixels, a click still means that dot."""


@dataclass(frozen=True, eq=False)
class Dots:
    """Dots (or bars) of a plot that can be pointed at.

    Attributes
    ----------
    axes : Axes
        Where they are drawn.
    x, y : ndarray, shape (N,)
        Data coordinates; NaN cannot be picked.
    keys : sequence, length N
        What a click on a dot reports (a row of a table, the name of a factor).
    band : str
        "" for dots. "row" or "column" for horizontal or vertical bars: a click anywhere in the band of a bar means it.
    """

    axes: Axes
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    keys: Sequence[Any]
    band: str = ""


class Places:
    """Where the dots of one drawing lie, in figure pixels (origin bottom left), found by a k-d tree.

    Parameters
    ----------
    all_dots : sequence of Dots
        As drawn; made anew when the figure is drawn anew.
    """

    def __init__(self, all_dots: Sequence[Dots]) -> None:
        self._all = list(all_dots)
        self._pixels = [_pixels(dots) for dots in self._all]
        self._trees = [
            None if dots.band else _tree(px) for dots, px in zip(all_dots, self._pixels, strict=True)
        ]
        self._index = {
            key: (d, i) for d, dots in reversed([*enumerate(self._all)]) for i, key in enumerate(dots.keys)
        }

    def nearest(self, x: float, y: float, radius: float) -> Any:
        """Key of the dot or bar nearest to a pixel; None beyond the radius."""
        best, best_distance = None, radius
        for dots, pixels, tree in zip(self._all, self._pixels, self._trees, strict=True):
            if dots.band:
                box = dots.axes.get_tightbbox()
                if box is None or not box.contains(x, y) or not len(pixels):
                    continue
                along = pixels[:, 1] - y if dots.band == "row" else pixels[:, 0] - x
                k = int(np.argmin(np.abs(along)))
                distance = float(abs(along[k]))
                limit = max(radius, _half_band(pixels, dots.band))
                if distance <= limit and (best is None or distance < best_distance):
                    best, best_distance = dots.keys[k], distance
            elif tree is not None:
                distance, _ = tree.query((x, y))
                if distance <= best_distance:
                    # of dots on one spot always the first, whatever the tree's order
                    first = min(tree.query_ball_point((x, y), distance + 1e-6))
                    best, best_distance = dots.keys[_finite(pixels)[first]], float(distance)
        return best

    def within(self, corners: Sequence[tuple[float, float]]) -> list[Any]:
        """Keys of the dots inside a polygon, in their order; bars are no dots."""
        outline = Outline(np.asarray(corners, float))
        found: list[Any] = []
        for dots, pixels in zip(self._all, self._pixels, strict=True):
            if not dots.band:
                finite = _finite(pixels)
                inside = finite[outline.contains_points(pixels[finite])]
                found += [dots.keys[int(i)] for i in inside]
        return found

    def of(self, key: Any) -> tuple[float, float] | None:
        """Pixel of the dot or bar with this key; None where it is not shown."""
        found = self._index.get(key)
        if found is None:
            return None
        x, y = self._pixels[found[0]][found[1]]
        return (float(x), float(y)) if math.isfinite(x) and math.isfinite(y) else None

    def is_dot(self, key: Any) -> bool:
        """Whether the key is a dot, which can have a ring."""
        found = self._index.get(key)
        return found is not None and not self._all[found[0]].band

    @property
    def any_dots(self) -> bool:
        """Whether there is something to brush."""
        return any(tree is not None for tree in self._trees)


def _pixels(dots: Dots) -> NDArray[np.float64]:
    points = np.column_stack([np.asarray(dots.x, float), np.asarray(dots.y, float)])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(dots.axes.transData.transform(points), float)


def _finite(pixels: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.flatnonzero(np.isfinite(pixels).all(axis=1))


def _tree(pixels: NDArray[np.float64]) -> KDTree | None:
    kept = pixels[_finite(pixels)]
    return KDTree(kept) if len(kept) else None


def _half_band(pixels: NDArray[np.float64], band: str) -> float:
    along = np.sort(pixels[:, 1] if band == "row" else pixels[:, 0])
    return float(np.diff(along).min()) / 2 if len(along) > 1 else 0.0
