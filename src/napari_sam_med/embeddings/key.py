"""Content address of an embedding."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.geometry import SquareGrid

_VERSION = 1


def embedding_key(pixels: NDArray[np.uint8], spacing_mm: tuple[float, float], fingerprint: str) -> str:
    """Name of the embedding of one slice image by one model.

    Everything that the model's input depends on goes in: the window-mapped pixels (so the voxels and the window), the
    shape, the square grid that follows from the ratio of the spacings, and the model's fingerprint. Two slices with
    the same key have the same embedding.

    Parameters
    ----------
    pixels : ndarray, shape (rows, cols), uint8
        Slice image on the voxel grid.
    spacing_mm : tuple of float
        (row, col) spacing in mm; only their ratio matters.
    fingerprint : str
        ``Segmenter.fingerprint``.

    Returns
    -------
    str
        64 hexadecimal digits, fit for a file name.
    """
    rows, cols = pixels.shape
    square = SquareGrid.of((rows, cols), spacing_mm).square_shape
    head = json.dumps([_VERSION, fingerprint, [rows, cols], list(square)])
    digest = hashlib.blake2b(head.encode(), digest_size=32)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
