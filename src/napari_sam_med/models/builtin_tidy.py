"""Masks without specks, pinholes or holes, as somebody would draw them by hand. Imports torch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, generate_binary_structure, label
from torch import Tensor

from napari_sam_med.models.builtin_roi import cells_at

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
    rows, cols = cells_at(roi, clicks[:, :, :2], logits.shape[-1]).cpu().numpy().transpose(2, 0, 1)
    at = (np.arange(len(masks))[:, None], rows, cols)
    sign = clicks[:, :, 2].cpu().numpy()
    speck[pieces[at][sign > 0]] = False
    pinhole[gaps[at][sign < 0]] = False
    speck[0] = pinhole[0] = False  # what is not a piece, and what is not a gap
    if not (speck.any() or pinhole.any()):
        return logits
    return _turned(logits, speck[pieces] | pinhole[gaps])


def without_holes(logits: Tensor) -> Tensor:
    """Logits (P, C, R, R) with the holes of each mask filled, for masks made of greys: what lies within belongs to it.

    A head's bright and dark parts are a head; as a ring of its own it is among the network's answers.
    """
    masks = (logits > 0).cpu().numpy()
    return _turned(logits, binary_fill_holes(masks, BESIDE[None]) & ~masks)


def _turned(logits: Tensor, change: NDArray[np.bool_]) -> Tensor:
    """Logits, where told of the other side: out of the mask, or into it, as surely as before."""
    opposite = torch.where(logits > 0, -1.0, 1.0) * (logits.abs() + 1e-3)
    return torch.where(torch.from_numpy(change).to(logits.device), opposite, logits)


def _sizes(labels: NDArray[np.int32], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many cells each of `n` labelled parts of a stack has, and in which map of it it lies; (n + 1,) each."""
    owner = np.zeros(n + 1, np.int64)
    owner[labels] = np.arange(len(labels))[:, None, None]
    return np.bincount(labels.ravel(), minlength=n + 1), owner
