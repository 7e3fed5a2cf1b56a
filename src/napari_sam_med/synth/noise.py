"""Smooth random fields, the raw material of procedural anatomy."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates


@lru_cache(maxsize=256)
def _upsampling(size: int, knots: int) -> NDArray[np.float32]:
    """(size, knots) matrix of cubic B-spline weights."""
    position = (np.arange(size) + 0.5) / size * (knots - 3) + 1
    distance = np.abs(position[:, None] - np.arange(knots)[None])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance) ** 3 / 6
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0)).astype(np.float32)


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], cells: float) -> NDArray[np.float32]:
    """Random field with about `cells` bumps along the longer side; mean near 0, standard deviation 1."""
    rows, cols = shape
    long = max(shape)
    knots = [max(4, round(cells * n / long) + 3) for n in (rows, cols)]
    raw = rng.standard_normal(knots).astype(np.float32)
    field = _upsampling(rows, knots[0]) @ raw @ _upsampling(cols, knots[1]).T
    return field / (field.std() + 1e-6)


def rough_field(
    rng: np.random.Generator, shape: tuple[int, int], cells: float, octaves: int
) -> NDArray[np.float32]:
    """Sum of smooth fields with halving size and amplitude."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        total += smooth_field(rng, shape, min(cells * 2**octave, max(shape) / 2)) / 2**octave
    return total / (total.std() + 1e-6)


def warp_labels(rng: np.random.Generator, labels: NDArray[np.int32], strength: float) -> NDArray[np.int32]:
    """Bend a label map smoothly; `strength` is the displacement's standard deviation over the side."""
    shape = (labels.shape[0], labels.shape[1])
    cells = float(rng.uniform(2, 6))
    grid = np.indices(shape, dtype=np.float32)
    for axis in range(2):
        grid[axis] += smooth_field(rng, shape, cells) * strength * max(shape)
    return map_coordinates(labels, grid, order=0, mode="nearest")
