"""What a DICOM header says about each of its image planes: place, spacing, rescale and time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# What tells the time points of a 4D series apart, most telling first.
TIME_KEYS = (
    "TemporalPositionIndex",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "DiffusionBValue",
    "EffectiveEchoTime",
    "EchoTime",
    "AcquisitionNumber",
    "FrameReferenceTime",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "FrameAcquisitionDateTime",
    "ContentTime",
    "StackID",
    "InstanceNumber",
    "FrameNumber",
)
# Everything the readers ask of a header; the rest, patient identity included, is not parsed.
TAGS = [
    *TIME_KEYS[:-1],
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "Modality",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "GridFrameOffsetVector",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
    "TemporalResolution",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
_GROUPS = {
    "FrameContentSequence": ("TemporalPositionIndex", "FrameAcquisitionDateTime", "StackID"),
    "CardiacSynchronizationSequence": ("NominalCardiacTriggerDelayTime",),
    "MREchoSequence": ("EffectiveEchoTime",),
    "MRDiffusionSequence": ("DiffusionBValue",),
}


@dataclass(frozen=True)
class Frame:
    """One image plane: a single-frame file, or one frame of a multi-frame file.

    Positions are DICOM's (LPS mm), `step_mm` its SpacingBetweenSlices. `spacing_mm` is (between rows, between columns).
    `index` is None in a single-frame file.
    """

    path: Path
    index: int | None
    rows: int
    columns: int
    uid: str = ""
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    spacing_mm: tuple[float, ...] | None = None
    thickness_mm: float | None = None
    step_mm: float | None = None
    slope: float = 1.0
    intercept: float = 0.0
    time: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """File name, and the frame number where there are several."""
        return self.path.name if self.index is None else f"{self.path.name} frame {self.index + 1}"


def text(header: Any, name: str) -> str:
    """An element as text; "" where it is missing or cannot be read."""
    value = _get(header, name)
    return "" if value is None else str(value).strip()


def integer(header: Any, name: str, default: int = 0) -> int:
    """An element as an integer; `default` where it is missing or cannot be read."""
    try:
        return int(_get(header, name))
    except (TypeError, ValueError, OverflowError):
        return default


def numbers(header: Any, name: str, count: int) -> tuple[float, ...] | None:
    """The first `count` numbers of an element, or None where it has fewer or cannot be read."""
    value = _get(header, name)
    if value is None or isinstance(value, str):
        return None
    try:
        values = tuple(float(v) for v in value) if hasattr(value, "__iter__") else (float(value),)
    except (TypeError, ValueError):
        return None
    return values[:count] if len(values) >= count else None


def _get(header: Any, name: str) -> Any:
    try:
        return header.get(name) if header is not None else None
    except Exception:  # elements are parsed on access, and damaged ones raise almost anything
        return None


def group(header: Any, index: int, sequence: str) -> Any:
    """One functional group of a frame: its own, else the shared one, else None."""
    for name, item in (("PerFrameFunctionalGroupsSequence", index), ("SharedFunctionalGroupsSequence", 0)):
        items = _get(header, name)
        if items is None or item >= len(items):
            continue
        inner = _get(items[item], sequence)
        if inner is not None and len(inner):
            return inner[0]
    return None


def frames_of(path: Path, header: Any) -> Iterator[Frame]:
    n_frames = max(1, integer(header, "NumberOfFrames", 1))
    single = n_frames == 1
    for index in range(n_frames):
        measures = group(header, index, "PixelMeasuresSequence")
        scaling = group(header, index, "PixelValueTransformationSequence")
        orientation = numbers(
            group(header, index, "PlaneOrientationSequence"), "ImageOrientationPatient", 6
        ) or numbers(header, "ImageOrientationPatient", 6)
        yield Frame(
            path=path,
            index=None if single else index,
            rows=integer(header, "Rows"),
            columns=integer(header, "Columns"),
            uid=text(header, "SOPInstanceUID"),
            position=_position(header, index, single, orientation),
            orientation=orientation,
            spacing_mm=numbers(measures, "PixelSpacing", 2)
            or numbers(header, "PixelSpacing", 2)
            or numbers(header, "ImagerPixelSpacing", 2),
            thickness_mm=_positive(measures, "SliceThickness") or _positive(header, "SliceThickness"),
            step_mm=_positive(measures, "SpacingBetweenSlices") or _positive(header, "SpacingBetweenSlices"),
            slope=(numbers(scaling, "RescaleSlope", 1) or numbers(header, "RescaleSlope", 1) or (1.0,))[0],
            intercept=(
                numbers(scaling, "RescaleIntercept", 1) or numbers(header, "RescaleIntercept", 1) or (0.0,)
            )[0],
            time=_time(header, index, single),
        )


def _position(
    header: Any, index: int, single: bool, orientation: tuple[float, ...] | None
) -> tuple[float, ...] | None:
    own = numbers(group(header, index, "PlanePositionSequence"), "ImagePositionPatient", 3)
    if own is not None:
        return own
    first = numbers(header, "ImagePositionPatient", 3)
    if single or first is None or orientation is None:
        return first
    # older multi-frame objects (NM, RT): one position and a list of offsets or one step along the normal
    offsets = numbers(header, "GridFrameOffsetVector", index + 1)
    step = numbers(header, "SpacingBetweenSlices", 1)
    if offsets is None and step is None:
        return None
    along = offsets[index] if offsets is not None else index * (step or (0.0,))[0]
    (a, b, c), (d, e, f) = orientation[:3], orientation[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    x, y, z = (p + along * n for p, n in zip(first, normal, strict=True))
    return (x, y, z)


def _positive(place: Any, name: str) -> float | None:
    value = numbers(place, name, 1)
    return value[0] if value and value[0] > 0 else None


def _time(header: Any, index: int, single: bool) -> dict[str, str]:
    """Everything that may tell time points apart, as text."""
    found = {key: text(header, key) for key in TIME_KEYS[:-1]}
    if not single:
        found["FrameNumber"] = f"{index + 1}"
        for sequence, keys in _GROUPS.items():
            own = group(header, index, sequence)
            for key in keys:
                # a per-frame value is the truth; the top level may repeat one value for all
                if text(own, key):
                    found[f"{key}/frame"] = text(own, key)
    return {key: value for key, value in found.items() if value}
