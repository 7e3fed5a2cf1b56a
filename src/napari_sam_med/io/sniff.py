"""What a path holds, from its name and first bytes alone."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

from napari_sam_med.core.errors import InputError

NIFTI_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img")
NRRD_SUFFIXES = (".nrrd", ".nhdr")
META_SUFFIXES = (".mha", ".mhd")
PICTURE_SUFFIXES = (".png", ".tif", ".tiff")
DICOM_SUFFIXES = (".dcm", ".ima")

READ_SUFFIXES: tuple[str, ...] = (
    *NIFTI_SUFFIXES,
    *NRRD_SUFFIXES,
    *META_SUFFIXES,
    *PICTURE_SUFFIXES,
    *DICOM_SUFFIXES,
)
WRITE_SUFFIXES: tuple[str, ...] = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")

# DICOM files without the 128-byte preamble start with a group that every object has.
_BARE_DICOM_STARTS: tuple[bytes, ...] = (
    b"\x02\x00\x00\x00",
    b"\x08\x00\x00\x00",
    b"\x08\x00\x05\x00",
    b"\x08\x00\x08\x00",
)
_BARE_DICOM_STARTS += (b"\x08\x00\x16\x00", b"\x08\x00\x12\x00", b"\x00\x08\x00", b"\x02\x00\x02\x00")


def suffix_of(path: Path) -> str:
    """The lower-case suffix, with ".nii.gz" kept whole."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def stem_of(path: Path) -> str:
    """The file name without its suffix (and without ".seg" of a Slicer segmentation); "volume" if nothing is left."""
    suffix = suffix_of(path)
    stem = path.name[: len(path.name) - len(suffix)] if suffix in READ_SUFFIXES else path.name
    if suffix == ".nrrd" and stem.lower().endswith(".seg"):
        stem = stem[:-4]
    return stem or "volume"


def is_dicom(path: Path) -> bool:
    """Whether the first bytes of a file look like DICOM, with or without a preamble."""
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        return False
    return head[128:132] == b"DICM" or (len(head) > 16 and head.startswith(_BARE_DICOM_STARTS))


def can_read(path: str | os.PathLike[str]) -> bool:
    """Whether :func:`napari_sam_med.io.read_volume` is worth trying. Cheap: names and a few first bytes only."""
    where = Path(path)
    if where.is_dir():
        with os.scandir(where) as entries:
            files = [Path(e.path) for _, e in zip(range(50), entries, strict=False) if e.is_file()]
        return any(is_dicom(f) for f in files)
    if suffix_of(where) in READ_SUFFIXES:
        return True
    return where.is_file() and is_dicom(where)


def refuse_other_content(path: Path) -> None:
    """Refuse an empty file, and text that a failed download left under an image's name.

    Raises
    ------
    InputError
        For an empty file, an HTML page and a Git LFS pointer.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
        if head.startswith(b"\x1f\x8b"):
            with gzip.open(path) as unzipped:
                head = unzipped.read(512)
    except (EOFError, zlib.error):
        return
    except OSError as error:
        raise InputError(f"The file {path.name} cannot be read: {error.strerror or error}.") from error
    if not head:
        raise InputError(f"The file {path.name} is empty (0 bytes); copy or download it again.")
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        raise InputError(
            f"The file {path.name} is a web page, not an image: the download failed. Download it again."
        )
    if start.startswith(b"version https://git-lfs"):
        raise InputError(
            f"The file {path.name} is a Git LFS pointer, not the image itself; fetch it with `git lfs pull`."
        )
