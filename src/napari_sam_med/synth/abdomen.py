"""A synthetic contrast-enhanced abdominal CT with exact organ labels, made in a few seconds from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.core.volume import Volume

SHAPE = (72, 192, 256)
SPACING_MM = (3.0, 1.5, 1.5)
AIR_HU, FAT_HU, MUSCLE_HU, CAVITY_HU = -1000.0, -100.0, 58.0, -85.0


@dataclass(frozen=True)
class Organ:
    """A wavy ellipsoid.

    Attributes
    ----------
    label : int
        Label value; 0 for tissue that is painted but not labelled.
    name : str
    hu : float
        Mean attenuation.
    centre : tuple of float
        (z, y, x) in units of the volume's sides: z to Inferior, y to Posterior, x to Left.
    half : tuple of float
        Half axes in the same units.
    texture : float
        Standard deviation of the organ's own texture, in HU.
    wave : float
        Depth of the waves on its surface, over its radius.
    """

    label: int
    name: str
    hu: float
    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    texture: float = 6.0
    wave: float = 0.06


# Later organs lie over earlier ones.
ORGANS: tuple[Organ, ...] = (
    Organ(0, "bowel wall", 45, (0.78, 0.42, 0.40), (0.22, 0.12, 0.10), 14, 0.2),
    Organ(0, "bowel", 25, (0.85, 0.40, 0.60), (0.20, 0.13, 0.10), 20, 0.2),
    Organ(1, "liver", 112, (0.34, 0.44, 0.30), (0.30, 0.24, 0.19), 7, 0.10),
    Organ(1, "liver", 112, (0.30, 0.36, 0.45), (0.18, 0.13, 0.13), 7, 0.10),
    Organ(2, "spleen", 124, (0.32, 0.55, 0.76), (0.17, 0.14, 0.065), 6, 0.08),
    Organ(8, "stomach", 30, (0.28, 0.36, 0.64), (0.18, 0.12, 0.10), 10, 0.10),
    Organ(0, "gastric air", -900, (0.26, 0.28, 0.65), (0.12, 0.035, 0.06), 8, 0.05),
    Organ(10, "pancreas", 92, (0.52, 0.47, 0.53), (0.07, 0.05, 0.14), 9, 0.16),
    Organ(3, "right kidney", 178, (0.58, 0.62, 0.335), (0.17, 0.085, 0.062), 9, 0.05),
    Organ(0, "right renal pelvis", 20, (0.58, 0.62, 0.365), (0.07, 0.035, 0.026), 12, 0.10),
    Organ(4, "left kidney", 176, (0.52, 0.63, 0.665), (0.17, 0.085, 0.062), 9, 0.05),
    Organ(0, "left renal pelvis", 20, (0.52, 0.63, 0.635), (0.07, 0.035, 0.026), 12, 0.10),
    Organ(9, "gallbladder", 8, (0.55, 0.36, 0.38), (0.10, 0.055, 0.042), 4, 0.04),
    Organ(11, "liver lesion", 66, (0.36, 0.40, 0.26), (0.07, 0.055, 0.042), 8, 0.08),
)
LABEL_NAMES: dict[int, str] = {o.label: o.name for o in ORGANS if o.label} | {
    5: "aorta",
    6: "inferior vena cava",
    7: "vertebrae",
}


def abdomen_ct(seed: int = 0) -> tuple[Volume, Volume]:
    """A synthetic abdominal CT and its labels.

    Parameters
    ----------
    seed : int
        Moves and deforms the organs; the same seed gives the same volumes.

    Returns
    -------
    image : Volume
        Int16 HU, shape (72, 192, 256) (z, y, x), spacing (3, 1.5, 1.5) mm, modality "CT".
    labels : Volume
        Uint8 on the same grid, with ``label_names``.
    """
    rng = np.random.default_rng(seed)
    hu = np.full(SHAPE, AIR_HU, np.float32)
    labels = np.zeros(SHAPE, np.uint8)
    middle = (0.5, 0.5, 0.5)
    body = ellipsoid(rng, middle, (3.0, 0.40, 0.44), 0.03)
    cavity = ellipsoid(rng, (0.5, 0.485, 0.5), (3.0, 0.315, 0.365), 0.03)
    muscle = ellipsoid(rng, middle, (3.0, 0.365, 0.405), 0.02)
    for mask, value in ((body, FAT_HU), (muscle, MUSCLE_HU), (cavity, CAVITY_HU)):
        hu[mask] = value
    for organ in ORGANS:
        shift = rng.normal(0, 0.008, 3)
        centre = tuple(float(c + s) for c, s in zip(organ.centre, shift, strict=True))
        half = tuple(float(h * f) for h, f in zip(organ.half, np.exp(rng.normal(0, 0.05, 3)), strict=True))
        mask = ellipsoid(rng, centre, half, organ.wave) & cavity  # type: ignore[arg-type]
        hu[mask] = organ.hu + organ.texture * _grain(rng, mask)
        labels[mask] = organ.label
    _spine(rng, hu, labels)
    _vessels(rng, hu, labels)
    _ribs(hu, labels, cavity, muscle)
    hu = gaussian_filter(hu, (0.35, 0.7, 0.7))
    noise = gaussian_filter(rng.standard_normal(SHAPE).astype(np.float32), (0, 0.6, 0.6))
    hu += noise * np.float32(14.0 / noise.std())
    return _volumes(np.rint(np.clip(hu, -1024, 2000)).astype(np.int16), labels)


def ellipsoid(
    rng: np.random.Generator,
    centre: tuple[float, float, float],
    half: tuple[float, float, float],
    wave: float,
) -> NDArray[np.bool_]:
    """Mask of a wavy ellipsoid, centre and half axes in units of the volume's sides."""
    bounds = [
        slice(max(0, int((c - 1.4 * h) * n)), min(n, int((c + 1.4 * h) * n) + 2))
        for c, h, n in zip(centre, half, SHAPE, strict=True)
    ]
    z, y, x = (
        ((np.arange(b.start, b.stop, dtype=np.float32) + 0.5) / n - c) / h
        for b, n, c, h in zip(bounds, SHAPE, centre, half, strict=True)
    )
    z, y, x = z[:, None, None], y[None, :, None], x[None, None]
    azimuth = np.arctan2(y, x)
    outline = np.ones(np.broadcast_shapes(z.shape, y.shape, x.shape), np.float32)
    for order in (2, 3, 5):
        phase, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(-2, 2)
        outline += wave * np.cos(order * azimuth + phase + tilt * z, dtype=np.float32)
    mask = np.zeros(SHAPE, bool)
    mask[tuple(bounds)] = z**2 + y**2 + x**2 < outline**2
    return mask


def _grain(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Smooth texture of unit deviation at the voxels of `mask`."""
    where = np.nonzero(mask)
    if len(where[0]) == 0:
        return np.zeros(0, np.float32)
    low = [int(w.min()) for w in where]
    shape = [int(w.max()) - a + 1 for w, a in zip(where, low, strict=True)]
    field = gaussian_filter(rng.standard_normal(shape).astype(np.float32), (1.0, 2.0, 2.0))
    values = field[tuple(w - a for w, a in zip(where, low, strict=True))]
    return np.asarray(values / (values.std() + 1e-6), np.float32)


def _spine(rng: np.random.Generator, hu: NDArray[np.float32], labels: NDArray[np.uint8]) -> None:
    """Vertebral bodies with a dense rim, discs between them, the canal behind."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    period, gap = 11.0, 2.2
    phase = (z + float(rng.uniform(0, period))) % period
    bone_slab = phase > gap
    dy, dx = (y - 0.68 * SHAPE[1]) / 15.0, (x - 0.5 * SHAPE[2]) / 19.0
    body = dy**2 + dx**2 < 1
    rim = body & (dy**2 + dx**2 > 0.80)
    process = (np.abs(x - 0.5 * SHAPE[2]) < 4) & (y > 0.80 * SHAPE[1]) & (y < 0.87 * SHAPE[1])
    canal = ((y - 0.775 * SHAPE[1]) / 7.0) ** 2 + ((x - 0.5 * SHAPE[2]) / 8.5) ** 2 < 1
    arch = (((y - 0.775 * SHAPE[1]) / 11.0) ** 2 + ((x - 0.5 * SHAPE[2]) / 13.0) ** 2 < 1) & ~canal & ~body
    hu[np.broadcast_to(body & ~bone_slab, SHAPE)] = 85
    hu[np.broadcast_to(canal, SHAPE)] = 25
    bone = np.broadcast_to((body | arch | process) & bone_slab, SHAPE)
    hu[bone] = 230 + 45 * _grain(rng, bone)
    dense = np.broadcast_to((rim | arch | process) & bone_slab, SHAPE)
    hu[dense] = 560
    labels[np.broadcast_to(body, SHAPE) | np.broadcast_to(canal, SHAPE)] = 0
    labels[bone] = 7


def _vessels(rng: np.random.Generator, hu: NDArray[np.float32], labels: NDArray[np.uint8]) -> None:
    """Aorta left and vena cava right of the midline, in front of the spine, slightly winding."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    for label, value, side, radius, flat in ((5, 205, 0.525, 7.5, 1.0), (6, 150, 0.455, 8.0, 0.75)):
        sway = 2.5 * np.sin(z / SHAPE[0] * 5 + float(rng.uniform(0, 6)))
        disc = ((y - 0.555 * SHAPE[1] - 0.6 * sway) / (radius * flat)) ** 2
        mask = disc + ((x - side * SHAPE[2] - sway) / radius) ** 2 < 1
        hu[mask] = value
        labels[mask] = label


def _ribs(
    hu: NDArray[np.float32], labels: NDArray[np.uint8], cavity: NDArray[np.bool_], muscle: NDArray[np.bool_]
) -> None:
    """Oblique bands of bone in the wall of the upper half."""
    z, y, _ = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    band = ((z + 0.16 * (SHAPE[1] - y)) % 12 < 3.2) & (z < 0.55 * SHAPE[0]) & (y > 0.3 * SHAPE[1])
    wall = muscle & ~cavity & band & (y < 0.78 * SHAPE[1])
    hu[wall & (labels == 0)] = 420


def _volumes(hu: NDArray[np.int16], labels: NDArray[np.uint8]) -> tuple[Volume, Volume]:
    sz, sy, sx = SPACING_MM
    affine = np.diag([-sx, -sy, -sz, 1.0])  # stored as (x, y, z) growing to Left, Posterior, Inferior
    affine[:3, 3] = [sx * SHAPE[2] / 2, sy * SHAPE[1] / 2, sz * SHAPE[0] / 2]
    image = volume_from_source(hu.transpose(2, 1, 0), affine, name="Synthetic abdominal CT", modality="CT")
    truth = volume_from_source(
        labels.transpose(2, 1, 0), affine, name="Synthetic abdominal CT organs", label_names=dict(LABEL_NAMES)
    )
    return image, truth
