"""Boxes around what stands out where somebody clicked, by grey alone: a whole body, an organ in fat. Imports torch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, find_objects, gaussian_filter, label
from skimage.filters import threshold_multiotsu
from torch import Tensor

LONG = 128
"""Longest side of the image on which regions are sought."""
SMOOTH = 1.0
LEAST = 12
"""Cells a region needs, filled holes included."""
MOST = 0.98
"""A region whose box covers more of the slice than this is the slice."""


def standing_out(image: Tensor, clicks: Tensor) -> Tensor:
    """Boxes of the regions of like grey, and of what is brighter or darker than a limit, that hold a click.

    The limits are Otsu's for three classes of grey (Liao et al. 2001).

    Parameters
    ----------
    image : Tensor, shape (rows, cols)
        Greys 0..1.
    clicks : Tensor, shape (N, 3)
        (row, col, sign) in pixels; the first positive one counts.

    Returns
    -------
    Tensor, shape (K, 4)
        Outer edges (r0, c0, r1, c1) in pixels, K up to 5; none in a flat image.
    """
    rows, cols = image.shape
    step = max(1.0, max(rows, cols) / LONG)
    size = (max(1, round(rows / step)), max(1, round(cols / step)))
    small = F.interpolate(image[None, None], size, mode="area")[0, 0].cpu().numpy()
    positive = clicks[clicks[:, 2] > 0]
    scale = np.array(size) / (rows, cols)
    place = ((positive[0, :2].cpu().numpy() + 0.5) * scale - 0.5).round().astype(int)
    row, col = (int(np.clip(v, 0, n - 1)) for v, n in zip(place, size, strict=True))
    found = [
        box
        for region in _regions(gaussian_filter(small, SMOOTH), row, col)
        if (box := _box(region)) is not None
    ]
    edges = np.array(found, np.float64).reshape(-1, 4) / np.tile(scale, 2) - 0.5
    return torch.tensor(np.unique(edges, axis=0), dtype=torch.float32, device=image.device)


def _regions(image: NDArray[np.float32], row: int, col: int) -> list[NDArray[np.bool_]]:
    """Connected regions that hold a pixel: of its class of grey, and of each side of a limit that it is on."""
    try:
        low, high = threshold_multiotsu(image, 3, nbins=64)
    except ValueError:  # fewer than three greys
        return []
    here = image[row, col]
    masks = [image > cut if here > cut else image <= cut for cut in (low, high)]
    masks.append(masks[0] & masks[1])
    out = []
    for mask in masks:
        pieces, _ = label(mask)
        piece = pieces == pieces[row, col]
        out += [piece] if mask[row, col] else []
    return out


def _box(region: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    filled = binary_fill_holes(region)
    if np.count_nonzero(filled) < LEAST:
        return None
    (rows, cols) = find_objects(filled.astype(np.uint8))[0]
    if (rows.stop - rows.start) * (cols.stop - cols.start) > MOST * region.size:
        return None
    return rows.start, cols.start, rows.stop, cols.stop
