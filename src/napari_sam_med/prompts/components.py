"""Connected parts of a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_EIGHT = np.ones((3, 3), bool)


def components(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The 8-connected components of a mask, shape (rows, cols) each, the largest first."""
    labels, count = ndimage.label(mask, _EIGHT)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return [labels == k + 1 for k in np.argsort(-sizes, kind="stable")]


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The largest 8-connected component, or None of an empty mask."""
    labels, count = ndimage.label(mask, _EIGHT)
    return labels == np.bincount(labels.ravel())[1:].argmax() + 1 if count else None
