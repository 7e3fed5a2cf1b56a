"""Specks and pinholes taken out of masks, as somebody would who drew them by hand. Imports torch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import generate_binary_structure, label
from torch import Tensor

SPECK = 0.05
"""Pieces, and holes, smaller than this share of the largest piece are not meant."""
AROUND, BESIDE = (
    np.pad(generate_binary_structure(2, diagonal)[None], ((1, 1), (0, 0), (0, 0))) for diagonal in (2, 1)
)
"""Neighbours of a cell in its own map of a stack (K, R, R): for pieces with those at its corners, for gaps without."""


def tidied(logits: Tensor, roi: Tensor, clicks: Tensor) -> Tensor:
    """Logits of masks without their specks and pinholes; what somebody clicked is kept.

    Parameters
    ----------
    logits : Tensor, shape (K, R, R)
        A mask is where they are above 0.
    roi : Tensor, shape (K, 4)
        Regions the masks lie on.
    clicks : Tensor, shape (K, N, 3)
        (row, col, sign) in the pixels of the regions, sign 0 where there is none. A piece under a positive click stays,
        and so does a hole under a negative one.

    Returns
    -------
    Tensor, shape (K, R, R)
    """
    masks = (logits > 0).cpu().numpy()
    pieces, n = label(masks, AROUND)
    gaps, m = label(~masks, BESIDE)
    size, owner = _sizes(pieces, n)
    largest = np.zeros(len(masks))
    np.maximum.at(largest, owner[1:], size[1:])
    speck = size < SPECK * largest[owner]
    size, owner = _sizes(gaps, m)
    pinhole = size < SPECK * largest[owner]
    for edge in (gaps[:, 0], gaps[:, -1], gaps[:, :, 0], gaps[:, :, -1]):
        pinhole[edge] = False
    at = _cells(roi, clicks, logits.shape[-1])
    sign = clicks[:, :, 2].cpu().numpy()
    speck[pieces[at][sign > 0]] = False
    pinhole[gaps[at][sign < 0]] = False
    speck[0] = pinhole[0] = False  # what is not a piece, and what is not a gap
    if not (speck.any() or pinhole.any()):
        return logits
    change = torch.from_numpy(speck[pieces] | pinhole[gaps]).to(logits.device)
    opposite = torch.where(logits > 0, -1.0, 1.0) * (logits.abs() + 1e-3)
    return torch.where(change, opposite, logits)


def _sizes(labels: NDArray[np.int32], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many cells each of `n` labelled parts of a stack has, and in which map of it it lies; (n + 1,) each."""
    owner = np.zeros(n + 1, np.int64)
    owner[labels] = np.arange(len(labels))[:, None, None]
    return np.bincount(labels.ravel(), minlength=n + 1), owner


def _cells(roi: Tensor, clicks: Tensor, size: int) -> tuple[NDArray[np.int64], ...]:
    """Where in a stack of maps on regions (K, 4) clicks (K, N, 3) lie: map, row and column, (K, N) each.

    Those outside the region lie in the nearest cell.
    """
    unit = (clicks[:, :, :2] - roi[:, None, :2]) / roi[:, None, 2:]
    cells = ((unit + 1) / 2 * size).floor().long().clamp(0, size - 1).cpu().numpy()
    return np.broadcast_to(np.arange(len(cells))[:, None], cells.shape[:2]), cells[..., 0], cells[..., 1]
