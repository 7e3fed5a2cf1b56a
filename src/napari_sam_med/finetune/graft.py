"""Procedural shapes set into real slices: shapes that the labels lack, among real tissue and its texture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, gaussian_filter
from skimage.transform import resize

from napari_sam_med.synth.noise import smooth_field
from napari_sam_med.synth.shapes import random_shape

Image = NDArray[np.float32]

MOST_GRAFTS = 5
LEAST_SIDE, MOST_SHARE = 6.0, 0.6
"""Shortest length of a graft in pixels of the slice as it is stored, and the longest over the slice's side."""
CANVAS = 192
"""Rows and columns on which shapes are drawn before they are brought to the pixels of the slice."""
BODY_ODDS = 0.4
"""How often what lies around the core of a shape is set in, too; else the core alone, in what is there."""
MIXED_ODDS = 0.3
"""How often a shape without a core has a part of another grey that belongs to it: a tumour with its necrosis."""
COPIED_ODDS = 0.35
"""How often a graft takes its grey from elsewhere in the slice, so that it has its like outside its box."""
CONTRAST = (0.05, 0.5)
"""Difference of a graft's grey from what was there, over the width of the window."""
BODY_PLACES, DARK = 0.8, 0.1
"""How often a graft is placed where the slice is not dark, and the grey up to which it is."""
COVERED = 0.5
"""Share of a pixel that a graft covers where it is labelled."""


def grafted(rng: np.random.Generator, unit: Image) -> tuple[Image, NDArray[np.int32]]:
    """A slice with a few procedural shapes set into it, and their labels.

    They are drawn finer than the slice and mixed into its pixels by the share that they cover (partial volume), so
    that thin ones blur as thin anatomy does; the texture of what was there shows through. Labels of real slices are
    of few shapes; with grafts a thin, forked or folded object is met among real neighbours, too.

    Parameters
    ----------
    rng : numpy Generator
    unit : ndarray, shape (rows, cols), float32
        Greys, about 0 to 1.

    Returns
    -------
    image : ndarray, shape (rows, cols), float32
    labels : ndarray, shape (rows, cols), int32
        The grafts alone, numbered from 1; 0 elsewhere.
    """
    image = unit.astype(np.float32)
    labels = np.zeros(unit.shape, np.int32)
    for _ in range(int(rng.integers(2, MOST_GRAFTS + 1))):
        shape = _shape(rng, min(unit.shape))
        if shape is None:
            continue
        layers, mixed = shape
        here, part = _overlap(_corner(rng, unit, layers[0].shape), layers[0].shape, unit.shape)
        for number, layer in enumerate(layers):
            inside = _set_in(rng, image, here, layer[part])
            if not (mixed and number):
                labels[here] = np.where(inside, labels.max() + 1, labels[here])
    return image, labels


def _corner(rng: np.random.Generator, unit: Image, shape: tuple[int, ...]) -> tuple[int, int]:
    """Where the first pixel of a patch of `shape` comes to lie: its middle is as a rule in a body, not in air."""
    body = np.flatnonzero(unit > DARK) if rng.random() < BODY_PLACES else np.zeros(0, np.intp)
    place = int(body[rng.integers(len(body))]) if len(body) else int(rng.integers(unit.size))
    row, col = divmod(place, unit.shape[1])
    return row - shape[0] // 2, col - shape[1] // 2


def _set_in(
    rng: np.random.Generator, image: Image, here: tuple[slice, slice], cover: Image
) -> NDArray[np.bool_]:
    """Mix one layer (rows, cols), the share of each pixel it covers, into an image at `here`; where it is labelled."""
    inside = cover > COVERED
    if not inside.any():
        return inside
    there = image[here]
    mean = float(there[inside].mean())
    if rng.random() < COPIED_ODDS:
        grey = float(image[int(rng.integers(image.shape[0])), int(rng.integers(image.shape[1]))])
    else:
        grey = mean + float(rng.choice((-1.0, 1.0)) * np.exp(rng.uniform(*np.log(CONTRAST))))
    grey = float(np.clip(grey, -0.1, 1.1))
    new = grey + (there - mean) * float(rng.uniform(0.0, 0.8))
    image[here] = there * (1 - cover) + new * cover
    return inside


def _shape(rng: np.random.Generator, side: int) -> tuple[list[Image], bool] | None:
    """Covers (rows, cols), 0 to 1, of a shape and of its core on the pixels of a slice; None where there is no shape.

    Beside them whether the core is a part of the shape, and no tissue of its own.
    """
    whole, core = random_shape(rng, CANVAS)
    if core is not None and rng.random() > BODY_ODDS:
        whole, core = core & whole, None
    rows, cols = (np.flatnonzero(whole.any(axis)) for axis in (1, 0))
    if len(rows) == 0 or whole.mean() > 0.9:
        return None
    mixed = core is None and rng.random() < MIXED_ODDS
    if mixed:
        core = smooth_field(rng, (CANVAS, CANVAS), float(rng.uniform(3, 12))) > rng.uniform(-0.5, 0.8)
        if rng.random() < 0.5:  # a rim is left
            core &= binary_erosion(whole, iterations=int(rng.integers(2, 8)))
    window = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    long = max(whole[window].shape)
    length = min(float(np.exp(rng.uniform(np.log(LEAST_SIDE), np.log(MOST_SHARE * side)))), float(long))
    shape = tuple(max(2, round(n * length / long)) for n in whole[window].shape)
    blur = float(rng.uniform(0.0, 0.6))
    layers = [whole] if core is None else [whole, core & whole]
    return [_cover(layer[window], shape, blur) for layer in layers], mixed


def _cover(mask: NDArray[np.bool_], shape: tuple[int, ...], blur: float) -> Image:
    """Share of each of `shape` pixels that a finer mask covers, seen through a scanner's blur; two pixels of margin."""
    cover = np.pad(resize(mask.astype(np.float32), shape, order=1, anti_aliasing=True), 2)
    return np.asarray(gaussian_filter(cover, blur), np.float32)


def _overlap(
    corner: tuple[int, int], shape: tuple[int, ...], image: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a patch of `shape` at `corner` lies in an image, and which part of the patch lies there."""
    low = [max(0, c) for c in corner]
    high = [max(0, min(m, c + n)) for c, n, m in zip(corner, shape, image, strict=True)]
    here = tuple(slice(a, max(a, b)) for a, b in zip(low, high, strict=True))
    part = tuple(slice(h.start - c, h.stop - c) for h, c in zip(here, corner, strict=True))
    return (here[0], here[1]), (part[0], part[1])
