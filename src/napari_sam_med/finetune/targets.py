"""Which objects of a labelled slice are worth learning from, and further objects that need no label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_closing,
    binary_erosion,
    binary_fill_holes,
    binary_opening,
    gaussian_filter,
    label,
    uniform_filter,
)
from skimage.filters import threshold_otsu

Mask = NDArray[np.bool_]

REACH = 5
"""Side of the window, in pixels, in which the two sides of an outline are compared."""
SEEN_CONTRAST = 1.0
"""Difference of the two sides' means over their spread, from which a piece of outline counts as visible."""
BODY_ODDS, LOCAL_ODDS = 0.2, 0.4
AROUND = (6.0, 30.0)
"""Standard deviation, in pixels, of the surroundings with which greys are compared."""
FLOOR = 4.0
"""Least spread, in grey levels of 255."""


def visible_share(image: NDArray[np.uint8], mask: Mask) -> float:
    """Share of an object's outline along which its inside differs visibly from its outside.

    Parameters
    ----------
    image : ndarray, shape (rows, cols), uint8
    mask : ndarray, shape (rows, cols), bool
        The object; where it meets the edge of the slice, its outline counts as seen.

    Returns
    -------
    float
        0 to 1; 0 for an empty mask.
    """
    rows, cols = np.nonzero(mask)
    if len(rows) == 0:
        return 0.0
    window = tuple(
        slice(max(0, int(i.min()) - REACH), min(n, int(i.max()) + REACH + 1))
        for i, n in zip((rows, cols), mask.shape, strict=True)
    )
    inside = mask[window]
    grey = image[window].astype(np.float32)
    edge = inside & ~binary_erosion(inside, border_value=1)
    if not edge.any():
        return 1.0
    stats = []
    for side in (inside, ~inside):
        n = np.maximum(uniform_filter(side.astype(np.float32), REACH), 1e-4)
        mean = uniform_filter(grey * side, REACH) / n
        square = uniform_filter(grey * grey * side, REACH) / n
        stats.append((mean[edge], np.maximum(square - mean * mean, 0)[edge]))
    (mean_in, var_in), (mean_out, var_out) = stats
    contrast = np.abs(mean_in - mean_out) / (np.sqrt((var_in + var_out) / 2) + FLOOR)
    return float((contrast > SEEN_CONTRAST).mean())


def grey_regions(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Label map, shape (rows, cols), of the connected pieces of a few grey ranges of a smoothed slice.

    They follow what is to be seen in real textures, whatever it is called. At times the greys are compared with those
    around them, which brings out vessels, gyri, muscles; now and then the whole body is the only region.
    """
    if rng.random() < BODY_ODDS:
        return whole_body(image)
    smooth = gaussian_filter(image.astype(np.float32), float(rng.uniform(0.7, 2.5)))
    body = smooth > 0.04 * float(smooth.max())
    if rng.random() < LOCAL_ODDS:
        smooth = smooth - gaussian_filter(smooth, float(rng.uniform(*AROUND)))
    values = smooth[body] if body.sum() > 100 else smooth.ravel()
    cuts = np.quantile(values, np.sort(rng.uniform(0.08, 0.95, int(rng.integers(1, 4)))))
    bands = np.digitize(smooth, cuts)
    out = np.zeros(image.shape, np.int32)
    top = 0
    for band in np.unique(bands):
        region = bands == band
        region = binary_opening(region, iterations=int(rng.integers(1, 4)))
        if rng.random() < 0.5:
            region = binary_closing(region, iterations=2) & (out == 0)
        pieces, n = label(region)
        sizes = np.bincount(pieces.ravel(), minlength=n + 1)
        sizes[0] = 0
        for piece in np.argsort(-sizes)[:12]:
            if 40 <= sizes[piece] <= 0.4 * image.size:
                top += 1
                out[pieces == piece] = top
    return out


def whole_body(image: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Label map, shape (rows, cols): 1 where the largest thing that is not background lies, its holes filled."""
    smooth = gaussian_filter(image.astype(np.float32), 1.5)
    pieces, n = label(binary_opening(smooth > threshold_otsu(smooth) * 0.5, iterations=2))
    if n == 0:
        return np.zeros(image.shape, np.int32)
    largest = int(np.argmax(np.bincount(pieces.ravel())[1:])) + 1
    return binary_fill_holes(pieces == largest).astype(np.int32)
