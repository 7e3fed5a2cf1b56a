"""From a label map to an image: tissue greys, texture, and what a scanner does to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from napari_sam_med.synth.noise import rough_field, smooth_field

Image = NDArray[np.float32]


def paint(rng: np.random.Generator, labels: NDArray[np.int32]) -> Image:
    """Grey image, shape (rows, cols), about 0..1, in which each label has a grey and a texture of its own.

    Greys are drawn from a few clusters, so that neighbours are at times hardly different, as soft tissues are.
    """
    shape = (labels.shape[0], labels.shape[1])
    n = int(labels.max()) + 1
    clusters = rng.uniform(0.1, 0.95, int(rng.integers(2, 6)))
    spread = float(np.exp(rng.uniform(np.log(0.03), np.log(0.25))))
    grey = (rng.choice(clusters, n) + rng.normal(0, spread, n)).astype(np.float32)
    if rng.random() < 0.5:
        grey[0] = float(rng.uniform(-0.05, 0.05))
    texture = np.zeros(shape, np.float32)
    scale = float(np.exp(rng.uniform(np.log(0.005), np.log(0.12))))
    for _ in range(int(rng.integers(1, 4))):
        amplitude = (np.abs(rng.normal(0, 1, n)) * scale).astype(np.float32)
        if rng.random() < 0.5:
            amplitude[0] = 0
        field = rough_field(
            rng, shape, float(np.exp(rng.uniform(np.log(4), np.log(90)))), int(rng.integers(1, 4))
        )
        texture += amplitude[labels] * field
    image = np.clip(grey, -0.1, 1.2)[labels]
    # partial volume: the border between two tissues is a mixture
    image = gaussian_filter(image, float(rng.uniform(0.3, 1.4))) + texture
    return image.astype(np.float32)


def scan(rng: np.random.Generator, image: Image) -> Image:
    """Coil shading, blur, coarse sampling, ringing, streaks and noise, each now and then."""
    shape = (image.shape[0], image.shape[1])
    if rng.random() < 0.4:
        image = image * np.exp(
            smooth_field(rng, shape, float(rng.uniform(1, 3))) * float(rng.uniform(0.02, 0.3))
        )
    if rng.random() < 0.35:
        image = gaussian_filter(image, rng.uniform(0.2, 2.2, 2))
    if rng.random() < 0.35:
        image = _coarse(rng, image)
    if rng.random() < 0.12:
        image = _ringing(rng, image)
    if rng.random() < 0.06:
        image = _streaks(rng, image)
    noise = float(np.exp(rng.uniform(np.log(0.003), np.log(0.1))))
    draw = rng.standard_normal(shape).astype(np.float32) * noise
    if rng.random() < 0.3:
        draw = gaussian_filter(draw, 0.7) * 1.8
    if rng.random() < 0.3:  # magnitude images
        second = rng.standard_normal(shape).astype(np.float32) * noise
        image = np.sign(image) * np.hypot(image + draw, second)
    else:
        image = image + draw
    return image.astype(np.float32)


def to_grey(rng: np.random.Generator, image: Image) -> NDArray[np.uint8]:
    """A random window, gamma and polarity, as uint8."""
    low, high = np.percentile(image, (rng.uniform(0, 3), rng.uniform(97, 100)))
    if rng.random() < 0.25:  # a narrow window saturates what lies outside
        a, b = np.sort(rng.uniform(low, high, 2))
        if b - a > 0.35 * (high - low):
            low, high = a, b
    unit = np.clip((image - low) / max(float(high - low), 1e-3), 0, 1)
    if rng.random() < 0.5:
        unit = unit ** float(np.exp(rng.uniform(-0.6, 0.6)))
    if rng.random() < 0.2:
        unit = 1 - unit
    return np.rint(unit * 255).astype(np.uint8)


def _coarse(rng: np.random.Generator, image: Image) -> Image:
    """Sample with larger voxels along one or both axes, and interpolate back."""
    factors = rng.uniform(1.2, 4.0, 2)
    if rng.random() < 0.5:
        factors[int(rng.integers(2))] = 1.0
    small = zoom(image, 1 / factors, order=1)
    back = zoom(small, (image.shape[0] / small.shape[0], image.shape[1] / small.shape[1]), order=1)
    return np.asarray(back[: image.shape[0], : image.shape[1]], np.float32)


def _ringing(rng: np.random.Generator, image: Image) -> Image:
    """Truncate the spectrum (Gibbs ringing of MR)."""
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    for axis in range(2):
        n = image.shape[axis]
        keep = round(n * float(rng.uniform(0.35, 0.8)) / 2)
        cut = [slice(None), slice(None)]
        for edge in (slice(0, n // 2 - keep), slice(n // 2 + keep, n)):
            cut[axis] = edge
            spectrum[tuple(cut)] = 0
    return np.real(np.fft.ifft2(np.fft.ifftshift(spectrum))).astype(np.float32)


def _streaks(rng: np.random.Generator, image: Image) -> Image:
    """Bright and dark rays from a metal clip."""
    rows, cols = np.indices(image.shape, dtype=np.float32)
    n = image.shape[0]
    dy, dx = rows - float(rng.uniform(0.2, 0.8)) * n, cols - float(rng.uniform(0.2, 0.8)) * n
    rays = np.cos(np.arctan2(dy, dx) * int(rng.integers(3, 9)) + float(rng.uniform(0, 6.28))) ** 3
    distance = np.hypot(dy, dx)
    out = image + rays * float(rng.uniform(0.05, 0.3)) * np.exp(-distance / (0.25 * n))
    out[distance < rng.uniform(1, 4)] = 1.5
    return out.astype(np.float32)
