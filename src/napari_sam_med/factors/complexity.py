"""Boundary complexity: how many elliptic Fourier harmonics redraw an object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pyefd import calculate_dc_coefficients, elliptic_fourier_descriptors
from skimage.measure import find_contours

from napari_sam_med.core.prompt import tight_box

Curve = NDArray[np.float64]


def fourier_order(
    mask: NDArray[np.bool_],
    patience: int | None = 1,
    target: float = 0.97,
    min_gain: float = 0.001,
    cap: int = 200,
) -> float:
    """Boundary complexity (Huang et al. 2024, arXiv 2304.14660; descriptors of Kuhl & Giardina 1982).

    The order F rises from 1 until the redrawn object has a Dice above `target` with the original, or until
    `patience` orders in a row have each gained less than `min_gain`. With F the order at the stop, the score
    is ``F + 2·100·(1 - Dice)``. All outlines are redrawn, those of holes and of further components too.

    Parameters
    ----------
    mask : ndarray, shape (rows, cols), bool
    patience : int or None
        1 is the rule of the paper; it stops early on stars and long shapes, whose gain comes in steps.
        None goes on to the target.
    target, min_gain : float
        Dice to reach, and the least gain that counts.
    cap : int
        Highest order tried.

    Returns
    -------
    float
        About 1 for a disc, higher for winding borders; NaN for an empty mask.
    """
    order, dice, idle = 0, float("nan"), 0
    for order, now in enumerate(_dice_by_order(mask, cap), start=1):
        idle = idle + 1 if order > 1 and now - dice < min_gain else 0
        dice = now
        if dice > target or (patience is not None and idle >= patience):
            break
    return float(order + 200.0 * (1.0 - dice))


def _dice_by_order(mask: NDArray[np.bool_], cap: int) -> Iterator[float]:
    """Dice of the object redrawn with 1, 2, ... `cap` harmonics an outline."""
    box = tight_box(mask)
    if box is None:
        return
    r0, c0, r1, c1 = (int(v) for v in box)
    # low orders overshoot the object, so they get room around it
    room = max(r1 - r0, c1 - c0) // 4 + 2
    crop = np.pad(mask[r0 : r1 + 1, c0 : c1 + 1], room)
    # pixels that touch by a corner belong together, as they do when parts are counted
    outlines = find_contours(crop.astype(np.float32), 0.5, fully_connected="high")
    n_mask = np.count_nonzero(crop)
    phases = [np.linspace(0, 2 * np.pi, min(max(2 * len(o), 64), 2048), endpoint=False) for o in outlines]
    curves = [
        np.tile(calculate_dc_coefficients(o), (len(p), 1)) for o, p in zip(outlines, phases, strict=True)
    ]
    known = 0
    for order in range(1, cap + 1):
        if order > known:
            known = min(cap, max(8, 2 * known))
            coefficients = [elliptic_fourier_descriptors(o, order=known) for o in outlines]
        for curve, phase, coefficient in zip(curves, phases, coefficients, strict=True):
            a, b, c, d = coefficient[order - 1]
            cos, sin = np.cos(order * phase), np.sin(order * phase)
            curve[:, 0] += a * cos + b * sin
            curve[:, 1] += c * cos + d * sin
        redrawn = fill_even_odd(curves, crop.shape)
        yield 2.0 * np.count_nonzero(redrawn & crop) / (np.count_nonzero(redrawn) + n_mask)


def fill_even_odd(curves: Sequence[Curve], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Pixels whose centres lie inside an odd number of closed curves.

    Parameters
    ----------
    curves : sequence of ndarray, shape (N, 2)
        Polygons in (row, col); the last vertex joins the first.
    shape : tuple of int
        (rows, cols) of the result.
    """
    rows, cols = shape[0], shape[1]
    start = np.concatenate(curves)
    end = np.concatenate([np.roll(curve, -1, axis=0) for curve in curves])
    # an edge crosses the rows r with low <= r < high, so a vertex shared by two edges counts once
    low, high = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    first = np.clip(np.ceil(low), 0, rows).astype(np.int64)
    crossed = np.maximum(np.clip(np.ceil(high), 0, rows).astype(np.int64) - first, 0)
    edge = np.repeat(np.arange(len(start)), crossed)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(crossed) - crossed, crossed)
    share = (row - start[edge, 0]) / (end[edge, 0] - start[edge, 0])
    at = start[edge, 1] + share * (end[edge, 1] - start[edge, 1])
    col = np.clip(np.ceil(at), 0, cols).astype(np.int64)
    toggles = np.bincount(row * (cols + 1) + col, minlength=rows * (cols + 1))
    inside = np.cumsum(toggles.reshape(rows, cols + 1), axis=1) % 2 == 1
    return inside[:, :cols]
