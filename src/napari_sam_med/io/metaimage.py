"""Read MetaImage: `.mha` and `.mhd` with its data file (https://itk.org/Wiki/ITK/MetaIO/Documentation).

Read here rather than with SimpleITK so that a header cannot make the reader open files elsewhere on the disk, claim
memory that the file does not fill, or crash the process; see also :mod:`napari_sam_med.io.nrrd`.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.core.volume import Volume
from napari_sam_med.io import checks, sniff, stream
from napari_sam_med.io.nrrd import segment_names

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_MODALITIES = {"MET_MOD_CT": "CT", "MET_MOD_MR": "MR", "MET_MOD_US": "US", "MET_MOD_NM": "NM"}
_HEADER_LIMIT = 1 << 20


class _Header(dict[str, str]):
    """Keys of a MetaImage header; `what` names the file in sentences."""

    what: str = ""

    def text(self, *names: str) -> str | None:
        return next((self[n] for n in names if n in self), None)

    def flag(self, *names: str) -> bool:
        return (self.text(*names) or "").strip().lower() in ("true", "t", "yes", "y", "1")

    def numbers(self, *names: str) -> list[float] | None:
        text = self.text(*names)
        if text is None:
            return None
        try:
            values = [float(v) for v in text.split()]
        except ValueError:
            raise InputError(
                f"{self.what} has the unreadable {names[0]} {text!r}; repair the header."
            ) from None
        if any(abs(v) > 2**40 for v in values):
            raise InputError(f"{self.what} has the impossible {names[0]} {text!r}; repair the header.")
        return values


def read_metaimage(path: Path) -> Volume:
    """Read one MetaImage file.

    Parameters
    ----------
    path : Path
        `.mha`, or the `.mhd` header whose data file lies beside it.

    Returns
    -------
    Volume
        (z, y, x) or (t, z, y, x), dtype as stored.

    Raises
    ------
    InputError
        If the file is no MetaImage, is cut short or damaged, has no usable geometry, or has several values a voxel.
    """
    what = f"The file {path.name}"
    try:
        with path.open("rb") as file:
            header = _read_header(file, what)
            shape = _shape(header)
            dtype = _voxel_type(header)
            affine, notes, time_step = _affine(header, len(shape))
            voxels = _read_data(file, path, header, int(np.prod(shape)), dtype)
    except OSError as error:
        raise stream.damaged(what, error) from error
    data = voxels.reshape(shape[::-1])
    data = data.transpose(0, 3, 2, 1) if len(shape) == 4 else data.transpose()
    data = data[..., None] if len(shape) == 2 else data
    if data.ndim == 4 and len(data) == 1:
        data = data[0]
    notes += [n for n in (checks.shear_warning(affine), checks.not_finite_warning(data)) if n]
    metadata: dict[str, Any] = {"format": "MetaImage", "source_ndim": min(3, len(shape))}
    if notes:
        metadata["warnings"] = tuple(notes)
    return volume_from_source(
        data,
        affine,
        dtype=dtype,
        what=what,
        name=sniff.stem_of(path),
        modality=_MODALITIES.get((header.text("Modality") or "").upper(), "") or checks.guess_modality(data),
        label_names=segment_names(header),
        metadata=metadata,
        time_step=time_step,
    )


def _read_header(file: IO[bytes], what: str) -> _Header:
    header = _Header()
    header.what = what
    while "ElementDataFile" not in header:
        raw = file.readline(_HEADER_LIMIT)
        if not raw or file.tell() > _HEADER_LIMIT:
            raise InputError(
                f"{what} is not a MetaImage: it has no header that ends with ElementDataFile. Check that it is the "
                "right file and was copied completely."
            )
        key, _, value = raw.decode("utf-8", "replace").partition("=")
        header[key.strip()] = value.strip()
    return header


def _shape(header: _Header) -> tuple[int, ...]:
    sizes = header.numbers("DimSize") or []
    n_dims = header.numbers("NDims") or [0]
    if not sizes or len(sizes) != n_dims[0] or any(not n >= 1 or n % 1 for n in sizes):
        raise InputError(
            f"{header.what} has no usable dimensions in its header (NDims {header.text('NDims')}, DimSize "
            f"{header.text('DimSize')}); repair the header."
        )
    shape = tuple(int(n) for n in sizes)
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    channels = header.numbers("ElementNumberOfChannels") or [1]
    if channels[0] != 1:
        raise InputError(
            f"{header.what} has {channels[0]:g} values a voxel (colours or vectors); expected one. "
            "Export one channel first."
        )
    if not 2 <= len(shape) <= 4:
        raise InputError(f"{header.what} has the shape {shape}; expected a 2D, 3D or 4D image.")
    return shape


def _voxel_type(header: _Header) -> np.dtype[Any]:
    name = (header.text("ElementType") or "").upper()
    if name not in _TYPES:
        raise InputError(
            f"{header.what} holds voxels of the type {name or 'none'!r}; expected one integer or float "
            "(8 to 64 bit) a voxel."
        )
    big = header.flag("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    return np.dtype(_TYPES[name]).newbyteorder(">" if big else "<")


def _affine(header: _Header, n_dims: int) -> tuple[NDArray[np.float64], list[str], float]:
    """RAS affine of the first three axes, remarks, and the time step."""
    notes = []
    spacing = header.numbers("ElementSpacing", "ElementSize")
    if spacing is None:
        notes.append(f"{header.what} has no voxel spacing; 1 mm is used.")
        spacing = [1.0] * n_dims
    origin = header.numbers("Offset", "Position", "Origin") or [0.0] * n_dims
    matrix = header.numbers("TransformMatrix", "Rotation", "Orientation")
    if matrix is None:
        notes.append(f"{header.what} says nothing about orientation; left, front and top are a guess.")
        matrix = list(np.eye(n_dims).ravel())
    stored = round(len(matrix) ** 0.5)
    if len(spacing) < n_dims or len(origin) < n_dims or stored < n_dims or stored**2 != len(matrix):
        raise InputError(
            f"{header.what} has geometry that does not fit its {n_dims} dimensions (spacing, offset or transform "
            "matrix too short); repair the header."
        )
    used = min(3, n_dims)
    if not all(np.isfinite(s) and s > 0 for s in spacing[:used]):
        raise InputError(
            f"{header.what} has no usable voxel spacing ({tuple(spacing[:used])} mm); expected positive numbers. "
            "Repair the header."
        )
    lps = np.eye(4)
    # each row of the stored matrix is the direction of one voxel axis
    lps[:used, :used] = np.array(matrix).reshape(stored, stored)[:used, :used].T * np.array(spacing[:used])
    lps[:used, 3] = origin[:used]
    step = spacing[3] if n_dims == 4 and np.isfinite(spacing[3]) and spacing[3] > 0 else 1.0
    return checks.LPS_TO_RAS @ lps, notes, step


def _read_data(
    file: IO[bytes], path: Path, header: _Header, count: int, dtype: np.dtype[Any]
) -> NDArray[Any]:
    what, named = header.what, header["ElementDataFile"]
    if named.upper().startswith("LIST") or "%" in named:
        raise InputError(
            f"{what} spreads its voxels over several data files; expected one. Save it as one .mha file."
        )
    local = named.upper() == "LOCAL"
    target = path if local else stream.beside(path, named, what)
    with target.open("rb") as source:
        if local:
            source.seek(file.tell())
        if (header.text("BinaryData") or "true").strip().lower() in ("false", "f", "no", "0"):
            return _read_text(source, count, dtype, what)
        size = target.stat().st_size
        skip = int(np.nan_to_num((header.numbers("HeaderSize") or [0])[0]))
        zipped = header.flag("CompressedData")
        need = count * dtype.itemsize
        if skip == -1 and not zipped:
            source.seek(max(0, size - need))
        else:
            stream.skip(source, max(0, skip), what)
        encoding = "zlib" if zipped else "raw"
        stream.check_claim(need, size - source.tell(), encoding, what)
        data = stream.unpack(source, encoding) if zipped else source
        voxels = stream.read_voxels(data, count, dtype, what)
        if zipped:
            stream.drain(data, what)
        return voxels


def _read_text(source: IO[bytes], count: int, dtype: np.dtype[Any], what: str) -> NDArray[Any]:
    try:
        values = np.array(source.read().split(), dtype=np.float64).astype(dtype.newbyteorder("="))
    except (ValueError, OverflowError):
        raise InputError(
            f"{what} is damaged: its voxels are not numbers. Copy or download it again."
        ) from None
    if len(values) < count:
        raise InputError(
            f"{what} is cut short: expected {count} voxels and found {len(values)}; copy it again."
        )
    return values[:count]
