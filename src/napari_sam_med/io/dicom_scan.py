"""Find the DICOM image series in a folder and describe each of their images from the headers alone."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom import config

from napari_sam_med.core.errors import InputError
from napari_sam_med.io import sniff
from napari_sam_med.io.dicom_frame import TAGS, Frame, frames_of, group, integer, numbers, text
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
_MOST_FILES = 20_000


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


def _header(path: Path) -> Any:
    """The parsed header, or None when the file is no DICOM or is damaged beyond reading."""
    if not sniff.is_dicom(path):
        return None
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=list(TAGS))
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
            found, other = _headers(_below(folder), None)
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


def _below(folder: Path) -> list[Path]:
    files: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders.sort()
        files += [Path(root) / name for name in sorted(names)]
        if len(files) > _MOST_FILES:
            raise InputError(
                f"The folder {folder.name} holds more than {_MOST_FILES} files in its subfolders; choose the folder "
                "of one series."
            )
    return files


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
    frames = [frame for path, header in found for frame in frames_of(path, header)]
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
    places = [header, group(header, 0, "FrameVOILUTSequence")]
    for place in places:
        level, width = numbers(place, "WindowCenter", 1), numbers(place, "WindowWidth", 1)
        if level and width and width[0] > 0:
            return (level[0], width[0])
    return None
