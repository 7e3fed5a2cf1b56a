"""Find the DICOM image series in a folder and describe each of their images from the headers alone."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom import config

from napari_sam_med.core.errors import InputError
from napari_sam_med.io import sniff
from napari_sam_med.io.series import SeriesInfo

_NOT_IMAGES = {
    "SEG": "a DICOM segmentation (SEG); convert it to NIfTI or NRRD labels first",
    "RTSTRUCT": "radiotherapy contours (RTSTRUCT); convert them to a label volume first",
    "RTPLAN": "a radiotherapy plan (RTPLAN)",
    "RTDOSE": "a radiotherapy dose map (RTDOSE)",
    "SR": "a structured report (SR)",
    "PR": "a presentation state (PR)",
    "KO": "a key object note (KO)",
    "REG": "a registration (REG)",
    "DOC": "a document (DOC)",
}
_DIRECTORY = "1.2.840.10008.1.3.10"
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
_TAGS = [
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


@dataclass(frozen=True)
class Series:
    """One image series; `facts` holds what the headers say about all of it."""

    info: SeriesInfo
    frames: tuple[Frame, ...]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Scan:
    """The image series of a folder, and what was left out."""

    series: tuple[Series, ...]
    skipped: tuple[str, ...]


@contextmanager
def quiet() -> Iterator[None]:
    """pydicom warns about much that the project judges itself; its warnings do not reach the user."""
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def scan(path: Path) -> Scan:
    """Gather the image series of a folder, or the one series a file belongs to.

    A folder without DICOM files of its own is searched with its subfolders. A multi-frame file and a file without a
    position stand alone; of any other file, all files of its series in the same folder are taken.

    Raises
    ------
    InputError
        If nothing there is a DICOM image; the sentence says what it is instead.
    """
    with quiet():
        if path.is_file():
            header = _header(path)
            if header is None:
                raise InputError(
                    f"The file {path.name} is not a readable DICOM file; copy or export it again."
                )
            _refuse_no_image(header, f"The file {path.name}")
            uid = text(header, "SeriesInstanceUID")
            in_place = numbers(header, "ImagePositionPatient", 3) and numbers(
                header, "ImageOrientationPatient", 6
            )
            alone = not uid or integer(header, "NumberOfFrames", 1) > 1 or not in_place
            found = [(path, header)] if alone else _headers(sorted(path.parent.iterdir()), uid)[0]
            return Scan((_series(found),), ())
        return _scan_folder(path)


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


def _header(path: Path) -> Any:
    """The parsed header, or None when the file is no DICOM or is damaged beyond reading."""
    if not sniff.is_dicom(path):
        return None
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=list(_TAGS))
        return header if len(header) or len(header.file_meta) else None
    except Exception:  # pydicom raises many types on damaged files
        return None


def _headers(paths: list[Path], uid: str | None) -> tuple[list[tuple[Path, Any]], list[str]]:
    """Headers of the DICOM files among `paths` (of one series, if `uid` is given), and the names of the other files."""
    found, other = [], []
    for path in paths:
        if not path.is_file():
            continue
        header = _header(path)
        if header is None:
            other.append(path.name)
        elif uid is None or text(header, "SeriesInstanceUID") == uid:
            found.append((path, header))
    return found, other


def _scan_folder(folder: Path) -> Scan:
    try:
        found, other = _headers(sorted(folder.iterdir()), None)
        if not found:
            below = [
                Path(root) / name for root, _, names in sorted(os.walk(folder)) for name in sorted(names)
            ]
            found, other = _headers(below, None)
    except OSError as error:
        raise InputError(f"The folder {folder.name} cannot be read: {error.strerror or error}.") from error
    if not found:
        raise InputError(
            f"The folder {folder.name} holds no DICOM files ({len(other)} other files); choose a folder with a DICOM "
            "series, or an image file."
        )
    images = [(p, h) for p, h in found if _no_image_reason(h) is None]
    if not images:
        _refuse_no_image(
            found[0][1], f"The folder {folder.name} holds no DICOM image; its file {found[0][0].name}"
        )
    other += [p.name for p, h in found if _no_image_reason(h) is not None]
    groups: dict[str, list[tuple[Path, Any]]] = {}
    for path, header in images:
        groups.setdefault(text(header, "SeriesInstanceUID") or f"file {path.name}", []).append((path, header))
    series = sorted((_series(g) for g in groups.values()), key=_series_order)
    return Scan(tuple(series), tuple(other))


def _series_order(series: Series) -> tuple[int, str]:
    return (series.info.number if series.info.number is not None else 1 << 40, series.info.uid)


def _no_image_reason(header: Any) -> str | None:
    """Why a DICOM object is no image that can be shown, or None."""
    classes = (
        text(header, "SOPClassUID"),
        text(getattr(header, "file_meta", None), "MediaStorageSOPClassUID"),
    )
    if _DIRECTORY in classes:
        return "a DICOMDIR index; choose the folder with the images themselves"
    modality = text(header, "Modality").upper()
    if modality in _NOT_IMAGES:
        return _NOT_IMAGES[modality]
    if integer(header, "Rows") < 1 or integer(header, "Columns") < 1:
        return f"a DICOM object without an image ({modality or 'no modality'})"
    return None


def _refuse_no_image(header: Any, what: str) -> None:
    reason = _no_image_reason(header)
    if reason is not None:
        raise InputError(f"{what} is {reason}.")


def _series(found: list[tuple[Path, Any]]) -> Series:
    frames = [frame for path, header in found for frame in _frames(path, header)]
    first = found[0][1]
    number = numbers(first, "SeriesNumber", 1)
    info = SeriesInfo(
        uid=text(first, "SeriesInstanceUID"),
        number=None if number is None else int(number[0]),
        description=text(first, "SeriesDescription"),
        modality=text(first, "Modality").upper(),
        n_files=len(found),
        shape=(len(frames), frames[0].rows, frames[0].columns),
    )
    facts = {
        "samples": integer(first, "SamplesPerPixel", 1),
        "photometric": text(first, "PhotometricInterpretation").upper(),
        "window_hu": _window(first),
        "time_step": (numbers(first, "TemporalResolution", 1) or (1000.0,))[0] / 1000.0,
    }
    return Series(info, tuple(frames), facts)


def _window(header: Any) -> tuple[float, float] | None:
    """(level, width) of the first window, from the top level or the functional groups."""
    places = [header, _group(header, 0, "FrameVOILUTSequence")]
    for place in places:
        level, width = numbers(place, "WindowCenter", 1), numbers(place, "WindowWidth", 1)
        if level and width and width[0] > 0:
            return (level[0], width[0])
    return None


def _group(header: Any, index: int, sequence: str) -> Any:
    """One functional group of a frame: its own, else the shared one, else None."""
    for name, item in (("PerFrameFunctionalGroupsSequence", index), ("SharedFunctionalGroupsSequence", 0)):
        items = _get(header, name)
        if items is None or item >= len(items):
            continue
        inner = _get(items[item], sequence)
        if inner is not None and len(inner):
            return inner[0]
    return None


def _frames(path: Path, header: Any) -> Iterator[Frame]:
    n_frames = max(1, integer(header, "NumberOfFrames", 1))
    single = n_frames == 1
    for index in range(n_frames):
        measures = _group(header, index, "PixelMeasuresSequence")
        scaling = _group(header, index, "PixelValueTransformationSequence")
        orientation = numbers(
            _group(header, index, "PlaneOrientationSequence"), "ImageOrientationPatient", 6
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
    own = numbers(_group(header, index, "PlanePositionSequence"), "ImagePositionPatient", 3)
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
            group = _group(header, index, sequence)
            for key in keys:
                # a per-frame value is the truth; the top level may repeat one value for all
                if text(group, key):
                    found[f"{key}/frame"] = text(group, key)
    return {key: value for key, value in found.items() if value}
