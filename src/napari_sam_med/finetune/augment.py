"""Heavy augmentation of real slices: window, geometry, contrast and everything a scanner does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from napari_sam_med.core.windowing import CT_PRESETS
from napari_sam_med.finetune.graft import grafted
from napari_sam_med.finetune.real import RealSlice
from napari_sam_med.synth.appearance import scan, to_grey
from napari_sam_med.synth.noise import smooth_field

ANY_GREY = 0.5
"""Share of the recoloured views whose tissues may have any grey; those of the others keep near to their own."""
DARK_GROUND = 0.7
"""Share of the recoloured views whose darkest tissue, as a rule what lies around the body, stays dark."""


def augment(
    rng: np.random.Generator,
    source: RealSlice,
    size: int,
    clean_share: float = 0.0,
    recolour_share: float = 0.0,
    grafts: bool = False,
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """A random view of a real slice: uint8 image and labels, both (size, size).

    A `clean_share` of the views is only windowed and laid out anew, without blur, noise or artefacts. In a
    `recolour_share` of those with labels every tissue gets another grey, see :func:`recoloured`. With
    `grafts` procedural shapes are set into it, which alone are labelled then, see :func:`grafted`.
    """
    low, high = _window(rng, source)
    clean = clean_share > 0 and rng.random() < clean_share
    unit = np.clip((source.values - low) / max(high - low, 1e-6), -0.2, 1.2)
    if recolour_share > 0 and rng.random() < recolour_share and source.labels.any():
        unit = recoloured(rng, unit, source.labels)
    labels = source.labels
    if grafts:
        unit, labels = grafted(rng, unit)
    grid = _geometry(rng, source.labels.shape, size)
    image = map_coordinates(unit, grid, order=1, mode="constant", cval=float(unit.min()))
    labels = map_coordinates(labels, grid, order=0, mode="constant", cval=0)
    if clean:
        return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8), labels
    if rng.random() < 0.3:
        image = gaussian_filter(image, float(rng.uniform(0.3, 1.5)))
    if rng.random() < 0.5:
        image = scan(rng, image.astype(np.float32))
    return to_grey(rng, image.astype(np.float32)), labels


def recoloured(
    rng: np.random.Generator, unit: NDArray[np.float32], labels: NDArray[np.int32]
) -> NDArray[np.float32]:
    """The same anatomy as no scanner shows it: every tissue in a grey of its own, its texture kept, weaker or inverted.

    What is not labelled is split into tissues by its grey. Shapes and neighbours are real, contrasts are any. (Random
    greys of label maps: Billot et al. 2023, SynthSeg; here on top of the real texture.)

    Parameters
    ----------
    rng : numpy Generator
    unit : ndarray, shape (rows, cols), float32
        Greys, about 0 to 1.
    labels : ndarray, shape (rows, cols), int32

    Returns
    -------
    ndarray, shape (rows, cols), float32
    """
    smooth = gaussian_filter(unit, float(rng.uniform(0.5, 1.5)))
    cuts = np.quantile(smooth, np.sort(rng.uniform(0.05, 0.95, int(rng.integers(2, 6)))))
    other = np.digitize(smooth, cuts)
    _, tissue = np.unique(np.where(labels > 0, labels + len(cuts) + 1, other), return_inverse=True)
    tissue = tissue.reshape(labels.shape)
    n = int(tissue.max()) + 1
    means = np.bincount(tissue.ravel(), unit.ravel(), n) / np.bincount(tissue.ravel(), minlength=n)
    texture = rng.uniform(0.2, 1.3, n) * rng.choice((-1.0, 1.0), n, p=(0.3, 0.7))
    greys = rng.uniform(0, 1, n) if rng.random() < ANY_GREY else means + rng.normal(0, 0.2, n)
    if rng.random() < DARK_GROUND:
        greys[tissue[np.unravel_index(int(smooth.argmin()), smooth.shape)]] = rng.uniform(0, 0.1)
    out = greys[tissue] + (unit - means[tissue]) * texture[tissue]
    return gaussian_filter(out.astype(np.float32), float(rng.uniform(0.3, 0.8)))


def _window(rng: np.random.Generator, source: RealSlice) -> tuple[float, float]:
    low, high = source.limits
    if source.is_ct and rng.random() < 0.75:
        preset = list(CT_PRESETS.values())[int(rng.integers(len(CT_PRESETS)))]
        if rng.random() < 0.5:
            preset = CT_PRESETS["soft-tissue"]
        low, high = preset.limits
    span = high - low
    return low + float(rng.normal(0, 0.05)) * span, high + float(rng.normal(0, 0.1)) * span


def _geometry(rng: np.random.Generator, shape: tuple[int, ...], size: int) -> NDArray[np.float32]:
    """Sampling grid (2, size, size) of a random flip, rotation, zoom, shift, stretch and bend."""
    long = max(shape)
    zoom = long / size * float(np.exp(rng.uniform(np.log(0.45), np.log(1.15))))
    angle = float(rng.normal(0, 0.25)) if rng.random() < 0.7 else float(rng.uniform(0, 6.28))
    stretch = np.exp(rng.normal(0, 0.12, 2))
    flip = rng.choice((-1.0, 1.0), 2)
    axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * zoom
    dy, dx = np.meshgrid(axis * stretch[0] * flip[0], axis * stretch[1] * flip[1], indexing="ij")
    slack = np.maximum(0, np.array(shape) - zoom * size) / 2 + 0.1 * long
    middle = (np.array(shape) - 1) / 2 + rng.uniform(-1, 1, 2) * slack
    rows = np.cos(angle) * dy - np.sin(angle) * dx + middle[0]
    cols = np.sin(angle) * dy + np.cos(angle) * dx + middle[1]
    if rng.random() < 0.6:
        bend = float(rng.uniform(0.003, 0.03)) * long
        rows = rows + smooth_field(rng, (size, size), 4.0) * bend
        cols = cols + smooth_field(rng, (size, size), 4.0) * bend
    if rng.random() < 0.2:
        rows, cols = rows.T, cols.T
    return np.stack([rows, cols]).astype(np.float32)
