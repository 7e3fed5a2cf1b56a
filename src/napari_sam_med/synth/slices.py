"""An endless stream of random CT/MR-like slices with exact labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.synth.appearance import paint, scan, to_grey
from napari_sam_med.synth.shapes import random_labels


def random_slice(rng: np.random.Generator, size: int = 256) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """One random slice.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness; the same state gives the same slice.
    size : int
        Rows and columns.

    Returns
    -------
    image : ndarray, shape (size, size), uint8
    labels : ndarray, shape (size, size), int32
        Label values 0..n; 0 is what lies around the objects (in some slices a tissue like the others).
    """
    labels = random_labels(rng, size)
    return to_grey(rng, scan(rng, paint(rng, labels))), labels
