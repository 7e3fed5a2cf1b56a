"""Worse images on purpose: less contrast, noise, blur, coarser pixels, a misplaced window, each in doses.

Every kind acts where it acts in practice. Noise, blur and pixel size belong to the scanner: they change the voxels,
before the window clips them, so that bright bone bleeds into its surroundings with its full value. Contrast and the
window's place belong to the display: they change the window, and voxels beyond its ends come back into view. Nothing
here changes its inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.registry import Registry
from napari_sam_med.core.volume import Volume
from napari_sam_med.core.windowing import Window
from napari_sam_med.inference.slices import SliceImage

Pixels = NDArray[np.float32]

NOISE = "Rician for magnitude MR images, else Gaussian"
"""Which noise is added, for the record."""
_SAMPLE = 100_000
_NEGATIVE = 0.05
"""Share of the absolute values that may lie below 0, by interpolation say, in an image of magnitudes."""


@dataclass(frozen=True, eq=False)
class View:
    """A slice on its way to the model.

    Attributes
    ----------
    voxels : ndarray, shape (rows, cols), float32
        Finite, in voxel units (CT: HU).
    window : Window
    spacing_mm : tuple of float
        (row, col).
    magnitude : bool
        The voxels are magnitudes of complex numbers, as those of most MR images.
    """

    voxels: Pixels
    window: Window
    spacing_mm: tuple[float, float]
    magnitude: bool = False


Apply = Callable[[View, float, np.random.Generator], View]


@dataclass(frozen=True)
class Degradation:
    """One way to make an image worse.

    Attributes
    ----------
    name, title, unit : str
        The unit is that of the dose.
    meaning : str
        What a dose of so much does, in one sentence.
    identity : float
        The dose that changes nothing.
    doses : tuple of float
        Doses that are tried by default.
    least : float
        The dose must be above this, unless it is the identity.
    most : float
        The dose must be below this.
    apply : callable
        ``apply(view, dose, rng) -> View``.
    """

    name: str
    title: str
    unit: str
    meaning: str
    identity: float
    doses: tuple[float, ...]
    least: float
    most: float
    apply: Apply

    def check(self, dose: float) -> None:
        """Refuse a dose out of range.

        Raises
        ------
        InputError
        """
        if dose != self.identity and not self.least < dose < self.most:
            limits = f"above {self.least:g}" + (f" and below {self.most:g}" if np.isfinite(self.most) else "")
            raise InputError(
                f"The dose of {self.name} lies {limits} ({self.unit or 'a factor'}); found {dose:g}."
            )


DEGRADATIONS: Registry[Degradation] = Registry("degradation")


def degrade(
    image: Volume, axis: int, index: int, window: Window, kind: str, dose: float, rng: np.random.Generator
) -> SliceImage:
    """One slice, made worse, as the model gets to see it.

    Parameters
    ----------
    image : Volume
        Of 4D volumes the first time point counts.
    axis, index : int
        The slice.
    window : Window
        What the slice is shown through otherwise; its width is the measure of noise and shift.
    kind : str
        A name in ``DEGRADATIONS``.
    dose : float
    rng : Generator
        The only source of chance (noise alone needs it).

    Raises
    ------
    InputError
        If the kind is unknown or the dose is out of range.
    """
    degradation = DEGRADATIONS.get(kind)
    degradation.check(dose)
    low, high = window.limits
    with np.errstate(over="ignore"):
        values: NDArray[Any] = np.asarray(image.slice(axis, index), np.float32)
    # as Window.apply has it, and so that a filter does not spread NaN
    voxels = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    view = View(voxels, window, image.slice_spacing_mm(axis), is_magnitude(image))
    if dose != degradation.identity:
        view = degradation.apply(view, dose, rng)
    return SliceImage(np.ascontiguousarray(view.window.apply(view.voxels)), view.spacing_mm)


def is_magnitude(image: Volume) -> bool:
    """Whether voxels are magnitudes: of an MR image that has next to nothing below 0.

    MR images that were normalised, or that show phase or differences, have many; their noise is taken for Gaussian.
    """
    if image.modality != "MR":
        return False
    flat = image.frame().reshape(-1)
    sample = np.nan_to_num(
        np.asarray(flat[:: max(1, flat.size // _SAMPLE)], np.float64), posinf=0.0, neginf=0.0
    )
    return bool(-sample[sample < 0].sum() <= _NEGATIVE * np.abs(sample).sum())


def _contrast(view: View, dose: float, rng: np.random.Generator) -> View:
    return replace(view, window=Window(view.window.level, view.window.width / (1 - dose / 100)))


def _shift(view: View, dose: float, rng: np.random.Generator) -> View:
    level = view.window.level + view.window.width * dose / 100
    return replace(view, window=Window(level, view.window.width))


def _noise(view: View, dose: float, rng: np.random.Generator) -> View:
    """Gaussian; of magnitudes Rician (Gudbjartsson and Patz 1995): both parts of the complex number are noisy."""
    sd = np.float32(view.window.width * dose / 100)
    noisy = view.voxels + sd * rng.standard_normal(view.voxels.shape, np.float32)
    if view.magnitude:
        noisy = np.hypot(noisy, sd * rng.standard_normal(view.voxels.shape, np.float32))
    return replace(view, voxels=noisy)


def _blur(view: View, dose: float, rng: np.random.Generator) -> View:
    sigma = [dose * min(view.spacing_mm) / step for step in view.spacing_mm]
    return replace(view, voxels=ndimage.gaussian_filter(view.voxels, sigma, mode="nearest"))


def _resolution(view: View, dose: float, rng: np.random.Generator) -> View:
    factor = int(dose)
    if factor != dose:
        raise InputError(f"The dose of resolution is a whole number such as 2 or 4; found {dose:g}.")
    rows, cols = view.voxels.shape
    padded = np.pad(view.voxels, ((0, -rows % factor), (0, -cols % factor)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // factor, factor, -1, factor).mean(axis=(1, 3))
    back = ndimage.zoom(blocks, factor, order=1, mode="nearest", grid_mode=True)
    return replace(view, voxels=back[:rows, :cols].astype(np.float32))


def _add(
    name: str,
    title: str,
    unit: str,
    meaning: str,
    doses: tuple[float, ...],
    apply: Apply,
    identity: float = 0.0,
    least: float = 0.0,
    most: float = np.inf,
) -> None:
    DEGRADATIONS.add(name, Degradation(name, title, unit, meaning, identity, doses, least, most, apply))


_add(
    "contrast",
    "Contrast lost",
    "%",
    "All differences of grey shrink by so much: the window is 1 / (1 - dose) times as wide, about the same level.",
    (25.0, 50.0, 75.0, 90.0),
    _contrast,
    most=100.0,
)
_add(
    "noise",
    "Noise (standard deviation)",
    "% of the window",
    "Gaussian noise with this standard deviation is added to the voxels; of magnitude MR images, to both parts of the "
    "complex signal, which makes it Rician (Gudbjartsson and Patz 1995).",
    (5.0, 10.0, 20.0, 40.0),
    _noise,
)
_add(
    "blur",
    "Blur (standard deviation)",
    "px",
    "The voxels are blurred by a Gaussian of this standard deviation, in pixels of the finer spacing.",
    (1.0, 2.0, 4.0, 8.0),
    _blur,
)
_add(
    "resolution",
    "Pixel side",
    "times as long",
    "Blocks of so many pixels a side become their mean, and are brought back to the grid linearly.",
    (2.0, 4.0, 8.0),
    _resolution,
    identity=1.0,
    least=1.0,
)
_add(
    "window",
    "Window moved",
    "% of its width",
    "The level of the window moves by so much of its width: up (darker) above 0, down (brighter) below.",
    (-50.0, -25.0, 25.0, 50.0),
    _shift,
    least=-np.inf,
)
