"""Display windows: one map from voxel values to the 8-bit image that the screen and the model both see.

A window never changes the voxels. Percentiles are taken over the whole volume, never per slice, so that one tissue has
one grey in every slice (Ma et al., MedSAM: 0.5-99.5 percentiles of the non-zero voxels for MR; CT windows in HU).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import from_canonical
from napari_sam_med.core.volume import Volume


@dataclass(frozen=True)
class Window:
    """Grey window: values from ``level - width/2`` (black) to ``level + width/2`` (white), in voxel units (CT: HU)."""

    level: float
    width: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.level) and np.isfinite(self.width) and self.width > 0):
            raise InputError(
                f"A window needs a finite level and a width above 0; found {self.level}/{self.width}."
            )

    @classmethod
    def from_limits(cls, low: float, high: float) -> Window:
        """Window from black to white; a zero width becomes 1 so that a constant image still shows."""
        width = float(high) - float(low)
        return cls((float(low) + float(high)) / 2, width if width > 0 else 1.0)

    @property
    def limits(self) -> tuple[float, float]:
        """(black, white) in voxel units: a layer's contrast limits."""
        return (self.level - self.width / 2, self.level + self.width / 2)

    def apply(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Map voxels of any shape to uint8; NaN and -inf are treated as minimum, +inf as maximum."""
        low, high = self.limits
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (np.asarray(values, np.float32) - np.float32(low)) * np.float32(255.0 / (high - low))
        scaled = np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0)
        return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)

    def __str__(self) -> str:
        return f"{self.level:g}/{self.width:g}"


CT_PRESETS: dict[str, Window] = {
    "soft-tissue": Window(40, 400),
    "lung": Window(-600, 1500),
    "bone": Window(400, 1800),
    "brain": Window(40, 80),
    "mediastinum": Window(50, 350),
    "liver": Window(60, 160),
}
PERCENTILE = "mr-percentile"
DICOM = "dicom"
WINDOW_NAMES: tuple[str, ...] = (*CT_PRESETS, PERCENTILE, DICOM)


def percentile_window(volume: Volume, low: float = 0.5, high: float = 99.5) -> Window:
    """Window between two percentiles of the finite non-zero voxels of the whole volume.

    Above 4 million voxels, an evenly spaced sample of about 4 million is used.
    """
    # in the order of the file, a volume that was only turned and flipped is flattened without a copy
    flat = from_canonical(volume.data, volume.source).ravel(order="K")
    step = max(1, flat.size // 4_000_000)
    with np.errstate(over="ignore"):
        values = np.asarray(flat[::step], np.float32)
    values = values[np.isfinite(values) & (values != 0)]
    if values.size == 0:
        return Window(0.5, 1.0)
    black, white = np.percentile(values, (low, high))
    return Window.from_limits(float(black), float(white))


def dicom_window(volume: Volume) -> Window | None:
    """The window stored in the file (``metadata["window_hu"]`` = (level, width)), or None."""
    stored = volume.metadata.get("window_hu")
    if stored is None or not stored[1] > 0:
        return None
    return Window(float(stored[0]), float(stored[1]))


def default_window_name(volume: Volume) -> str:
    """Give "soft-tissue" for CT, "mr-percentile" for all else."""
    return "soft-tissue" if volume.modality.upper() == "CT" else PERCENTILE


def parse_window(text: str) -> Window:
    """The window written as ``LEVEL/WIDTH``, for example ``40/400``.

    Raises
    ------
    InputError
        If these are not two numbers with a width above 0; the message lists the named windows too.
    """
    level, _, width = text.partition("/")
    try:
        return Window(float(level), float(width))
    except ValueError:
        raise InputError(
            f"{text!r} is no window; give LEVEL/WIDTH (for example 40/400) or one of: {', '.join(WINDOW_NAMES)}."
        ) from None


def resolve_window(text: str | None, volume: Volume) -> Window:
    """The window called `text`, or given as ``LEVEL/WIDTH``; None asks for the volume's default.

    Raises
    ------
    InputError
        If the name is unknown, the numbers are not numbers, or the file has no window of its own.
    """
    name = (text or default_window_name(volume)).strip().lower()
    if name in CT_PRESETS:
        return CT_PRESETS[name]
    if name == PERCENTILE:
        return percentile_window(volume)
    if name == DICOM:
        stored = dicom_window(volume)
        if stored is None:
            raise InputError(
                f"{volume.name} has no window of its own; choose another preset or give LEVEL/WIDTH."
            )
        return stored
    return parse_window(name)
