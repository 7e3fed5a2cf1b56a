"""Decode DICOM pixels into voxels with the rescale of each slice applied."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID
from pydicom.uid import MultiFrameGrayscaleWordSecondaryCaptureImageStorage as _PLAIN_IMAGE

from napari_sam_med.core.errors import InputError
from napari_sam_med.io import stream
from napari_sam_med.io.dicom_frame import Frame, integer

_PIXEL_TAGS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
)


def load_voxels(frames: list[list[Frame]], what: str) -> NDArray[Any]:
    """Voxels of all frames, shape (t, k, rows, columns).

    Integers stay integers where slopes and intercepts are whole numbers (int16 unless a value needs more, or the stored
    type where nothing is rescaled); otherwise float32. Each slice has its own slope and intercept.

    Raises
    ------
    InputError
        Naming the slice that is cut short, damaged or cannot be decoded.
    """
    flat = [(t, k, f) for t, row in enumerate(frames) for k, f in enumerate(row)]
    whole = all(f.slope % 1 == 0 and f.intercept % 1 == 0 for _, _, f in flat)
    rescaled = any((f.slope, f.intercept) != (1.0, 0.0) for _, _, f in flat)
    shape = (len(frames), len(frames[0]), frames[0][0].rows, frames[0][0].columns)
    stream.check_claim(4 * int(np.prod(shape)), 0, "decoded", what)
    out: NDArray[Any] | None = None
    by_file: dict[Path, list[tuple[int, int, Frame]]] = {}
    for item in flat:
        by_file.setdefault(item[2].path, []).append(item)
    for path, items in by_file.items():
        pixels = _decode(path, items[0][2], what)
        if out is None:
            out = np.empty(shape, _first_type(pixels.dtype, whole, rescaled))
        for t, k, frame in items:
            plane = pixels if frame.index is None else pixels[frame.index]
            if plane.shape != shape[2:]:
                raise InputError(
                    f"{what} has an image of another shape {plane.shape}: {frame.label}; export it again."
                )
            out = _store(out, (t, k), _rescaled(plane, frame, whole))
    assert out is not None  # a series has at least one frame
    return out


def _first_type(stored: np.dtype[Any], whole: bool, rescaled: bool) -> np.dtype[Any]:
    if stored.kind == "f" or not whole:
        return np.dtype(np.float32)
    return np.dtype(np.int16) if rescaled else stored.newbyteorder("=")


def _rescaled(plane: NDArray[Any], frame: Frame, whole: bool) -> NDArray[Any]:
    if (frame.slope, frame.intercept) == (1.0, 0.0):
        return plane
    if whole and plane.dtype.kind in "iu":
        return plane.astype(np.int64) * int(frame.slope) + int(frame.intercept)
    return (plane.astype(np.float64) * frame.slope + frame.intercept).astype(np.float32)


def _store(out: NDArray[Any], where: tuple[int, int], plane: NDArray[Any]) -> NDArray[Any]:
    """Put a plane in place; widen the array first when a value does not fit."""
    if out.dtype.kind in "iu":
        if plane.dtype.kind == "f":
            out = out.astype(np.float32)
        else:
            info = np.iinfo(out.dtype)
            if plane.size and (int(plane.min()) < info.min or int(plane.max()) > info.max):
                out = out.astype(np.int32 if abs(int(plane.max())) < 2**31 else np.int64)
    out[where] = plane
    return out


def _decode(path: Path, frame: Frame, what: str) -> NDArray[Any]:
    """Stored values of one file, (rows, columns) or (frames, rows, columns)."""
    try:
        dataset = pydicom.dcmread(path, force=True)
    except Exception as error:  # pydicom raises many types on damaged files
        raise InputError(
            f"{what} cannot be read: its file {path.name} is damaged; copy or export it again."
        ) from error
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise InputError(
            f"{what} cannot be read: its file {path.name} holds no pixels (cut short, or not an image); copy or export "
            "it again, or remove it."
        )
    try:
        pixels = np.asarray(dataset.pixel_array)
    except Exception as error:  # a missing decoder and damaged pixels raise many types
        syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
        if syntax is None or not (syntax.is_transfer_syntax and syntax.is_compressed):
            raise InputError(
                f"{what} cannot be read: its file {path.name} is cut short or damaged (its pixels do not match its "
                "header); copy or export it again, or remove it."
            ) from error
        pixels = _decode_with_gdcm(dataset, path, what)
    if frame.index is not None and (pixels.ndim != 3 or frame.index >= len(pixels)):
        raise InputError(
            f"{what} is cut short: {path.name} holds fewer frames than its header says; export it again."
        )
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _decode_with_gdcm(dataset: Any, path: Path, what: str) -> NDArray[Any]:
    """Decode JPEG lossless, JPEG-LS and 12-bit JPEG with SimpleITK's GDCM.

    Only the pixel elements are handed over, as a plain image: so GDCM neither rescales nor sorts frames.
    """
    import SimpleITK as sitk

    plain = pydicom.Dataset()
    for name in _PIXEL_TAGS:
        if name in dataset:
            plain[name] = dataset[name]
    plain.SOPClassUID = _PLAIN_IMAGE
    plain.SOPInstanceUID = UID("1.2.3")
    plain.file_meta = FileMetaDataset()
    plain.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    plain.file_meta.MediaStorageSOPClassUID = _PLAIN_IMAGE
    plain.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    try:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "plain.dcm"
            plain.save_as(target, enforce_file_format=True)
            reader = sitk.ImageFileReader()
            reader.SetImageIO("GDCMImageIO")
            reader.SetFileName(str(target))
            image = reader.Execute()
    except Exception as error:  # ITK's errors are RuntimeError, pydicom's are many
        raise InputError(
            f"{what} cannot be read: its file {path.name} ({dataset.file_meta.TransferSyntaxUID.name}) is damaged or "
            "its compression is not supported; export it uncompressed."
        ) from error
    pixels = sitk.GetArrayFromImage(image)
    return pixels if integer(dataset, "NumberOfFrames", 1) > 1 or pixels.ndim == 2 else pixels[0]
