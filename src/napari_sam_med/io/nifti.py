"""Read NIfTI-1 and NIfTI-2: `.nii`, `.nii.gz`, `.hdr` with `.img`.

nibabel reads the header. The voxels are read here, because every reader at hand forgives something that must not be
forgiven: SimpleITK fills a truncated file with zeros, nibabel does not check gzip's checksum and scales to float64.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import affine_spacing, volume_from_source
from napari_sam_med.core.volume import Volume
from napari_sam_med.io import checks, sniff, stream

_SIZES = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
_TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_REFUSED_TYPES = {
    1: "1-bit voxels",
    32: "complex voxels",
    128: "RGB colours",
    1536: "128-bit floats",
    1792: "complex voxels",
    2048: "complex voxels",
    2304: "RGBA colours",
}
_LABEL = re.compile(
    rb'<Label\b[^>]*\bKey="(\d+)"[^>]*>\s*(?:<!\[CDATA\[)?(.*?)(?:\]\]>)?\s*</Label>', re.DOTALL
)
_EXTENSION_LIMIT = 1 << 24


@dataclass(frozen=True)
class _Header:
    """A NIfTI header and where its voxels are."""

    fields: Any  # nibabel's header, unchecked
    endian: str
    data_path: Path
    zipped: bool
    offset: int
    extensions: bytes
    what: str


def read_nifti(path: Path) -> Volume:
    """Read one NIfTI file.

    Parameters
    ----------
    path : Path
        `.nii`, `.nii.gz`, or either file of a `.hdr`/`.img` pair.

    Returns
    -------
    Volume
        (z, y, x) or (t, z, y, x); integers as stored where the header does not scale them, float32 otherwise.

    Raises
    ------
    InputError
        If the file is no NIfTI, is cut short or damaged, has no usable geometry, or holds something else than
        scalar voxels in two to four dimensions.
    """
    header = _read_header(path)
    shape, n_times = _grid_shape(header)
    dtype = _voxel_type(header)
    affine, notes = _affine(header, flat=int(header.fields["dim"][0]) == 2)
    voxels = _read_data(header, int(np.prod(shape)) * n_times, dtype)
    voxels = _scale(voxels, header)
    data = voxels.reshape((n_times, *shape[::-1])).transpose(0, 3, 2, 1)
    data = data if n_times > 1 else data[0]
    metadata: dict[str, Any] = {
        "format": "NIfTI-2" if isinstance(header.fields, nibabel.Nifti2Header) else "NIfTI-1"
    }
    metadata["source_ndim"] = 2 if int(header.fields["dim"][0]) == 2 else 3
    notes += [n for n in (checks.shear_warning(affine), checks.not_finite_warning(data)) if n]
    if notes:
        metadata["warnings"] = tuple(notes)
    return volume_from_source(
        data,
        affine,
        dtype=dtype,
        what=header.what,
        name=sniff.stem_of(path),
        modality=checks.guess_modality(data),
        label_names=_label_names(header.extensions),
        metadata=metadata,
        time_step=_time_step(header),
    )


def label_extension(names: dict[int, str]) -> bytes:
    """Label names as the XML header extension (code 30) that Connectome Workbench and TotalSegmentator use."""
    rows = []
    for key, name in sorted(names.items()):
        red, green, blue = (((key * step) % 11) / 10 for step in (3, 5, 7))
        text = name.replace("]]>", "")
        rows.append(
            f'<Label Key="{key}" Red="{red}" Green="{green}" Blue="{blue}" Alpha="1"><![CDATA[{text}]]></Label>'
        )
    body = "\n".join(rows)
    return (
        '<?xml version="1.0" encoding="UTF-8"?> <CaretExtension> <VolumeInformation Index="0"> <LabelTable>\n'
        f"{body}\n</LabelTable> </VolumeInformation> </CaretExtension>"
    ).encode()


def _pair(path: Path) -> tuple[Path, Path]:
    """Header file and data file, whatever the case of their suffixes."""
    suffix = sniff.suffix_of(path)
    if suffix not in (".hdr", ".img"):
        return path, path
    wanted = {".hdr": ".img", ".img": ".hdr"}[suffix]
    stem = path.name[: -len(suffix)]
    twin = next(
        (p for p in (path.with_name(stem + wanted), path.with_name(stem + wanted.upper())) if p.is_file()),
        None,
    )
    if twin is None:
        raise InputError(
            f"The file {path.name} needs its twin {stem}{wanted}, which is not there; put both in one folder."
        )
    return (path, twin) if suffix == ".hdr" else (twin, path)


def _read_header(path: Path) -> _Header:
    header_path, data_path = _pair(path)
    what = f"The file {path.name}"
    try:
        with header_path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(header_path) if zipped else header_path.open("rb") as file:
            block = file.read(540)
            found = _kind(block, what)
            if found is None:
                raise InputError(
                    f"{what} is not a NIfTI image: its first bytes are no NIfTI header. "
                    "Check that it is the right file and was copied completely."
                )
            size, endian = found
            if len(block) < size:
                raise InputError(f"{what} ends inside its header; copy or download it again.")
            fields = _SIZES[size](block[:size], endianness=endian, check=False)
            _check_fields(fields, what)
            offset = int(max(float(fields["vox_offset"]), 0.0)) if header_path == data_path else 0
            rest = (
                file.read(min(max(offset - len(block), 0), _EXTENSION_LIMIT))
                if header_path == data_path
                else b""
            )
    except stream.STREAM_ERRORS as error:
        raise stream.damaged(what, error) from error
    if header_path == data_path:
        _check_compression(path, zipped, what)
        offset = max(offset, size)
    else:
        offset = int(max(float(fields["vox_offset"]), 0.0))
        with data_path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
    return _Header(fields, endian, data_path, zipped, offset, (block + rest)[size:offset], what)


def _kind(block: bytes, what: str) -> tuple[int, str] | None:
    """(header size, endianness) of a NIfTI header with its magic, or None."""
    for order, endian in (("little", "<"), ("big", ">")):
        size = int.from_bytes(block[:4], order)  # type: ignore[arg-type]
        magic = {348: block[344:348], 540: block[4:8]}.get(size, b"")
        if magic[:3] in (b"n+1", b"ni1", b"n+2", b"ni2"):
            return size, endian
        if size == 348 and len(block) >= 348:
            raise InputError(
                f"{what} is an Analyze 7.5 file, or a damaged NIfTI: it does not say which side is left, so it is not "
                "read. Convert it to NIfTI with a tool that knows its orientation."
            )
    return None


def _check_fields(fields: Any, what: str) -> None:
    if not np.isfinite(float(fields["vox_offset"])) or not 0 <= float(fields["vox_offset"]) < 2**40:
        raise InputError(f"{what} has no usable voxel offset in its header; repair the header.")
    if 3000 <= int(fields["intent_code"]) < 3100:
        raise InputError(
            f"{what} is a CIFTI file (values on a surface), not a volume; choose the volume it was made from."
        )


def _check_compression(path: Path, zipped: bool, what: str) -> None:
    named_gz = sniff.suffix_of(path) == ".nii.gz"
    if named_gz and not zipped:
        raise InputError(
            f"{what} is not gzip-compressed although its name ends with .gz: it is damaged or misnamed. "
            "Copy it again, or rename it to .nii if it is complete."
        )
    if zipped and not named_gz:
        raise InputError(
            f"{what} is gzip-compressed although its name does not say so; rename it to .nii.gz."
        )


def _grid_shape(header: _Header) -> tuple[tuple[int, int, int], int]:
    """((i, j, k), number of time points)."""
    dim = [int(v) for v in header.fields["dim"]]
    if not 1 <= dim[0] <= 7 or any(n < 1 for n in dim[1 : dim[0] + 1]):
        raise InputError(
            f"{header.what} has no usable dimensions in its header (dim = {dim}); repair the header."
        )
    sizes = dim[1 : dim[0] + 1]
    if dim[0] < 2:
        raise InputError(
            f"{header.what} holds a single line of {sizes[0]} values; expected a 2D, 3D or 4D image."
        )
    sizes += [1] * (4 - len(sizes))
    if any(n > 1 for n in sizes[4:]):
        raise InputError(
            f"{header.what} holds vectors or more than 4 dimensions (shape {tuple(sizes)}), for example a deformation "
            "field; expected one value a voxel in 2D, 3D or 4D."
        )
    return (sizes[0], sizes[1], sizes[2]), sizes[3]


def _voxel_type(header: _Header) -> np.dtype[Any]:
    code = int(header.fields["datatype"])
    if code in _TYPES:
        return np.dtype(_TYPES[code])
    kind = _REFUSED_TYPES.get(code, f"an unknown voxel type (code {code})")
    raise InputError(
        f"{header.what} holds {kind}; expected one integer or float (8 to 64 bit) a voxel. "
        "Convert it to such a type first."
    )


def _affine(header: _Header, flat: bool) -> tuple[NDArray[np.float64], list[str]]:
    """The affine in mm and remarks on how it was found: sform, else qform, else the voxel size alone."""
    fields = header.fields
    sform = int(fields["sform_code"]) > 0
    qform = int(fields["qform_code"]) > 0
    candidates: list[tuple[NDArray[np.float64], str]] = []
    if sform:
        candidates.append((_completed(np.asarray(fields.get_sform(), np.float64), flat), ""))
    if qform and _pixdim_ok(fields, flat):
        note = f"{header.what} has a singular sform matrix; its qform was used." if sform else ""
        candidates.append((_completed(_qform(fields), flat), note))
    for affine, note in candidates:
        if _regular(affine):
            return _in_mm(affine, header, [note] if note else [])
    if sform:
        raise InputError(
            f"{header.what} has a singular affine (its sform matrix maps voxels onto a plane, a line or a point) "
            "and no other orientation; repair the header and try again."
        )
    if qform or not _pixdim_ok(fields, flat):
        raise InputError(
            f"{header.what} has no usable voxel spacing (pixdim = {_pixdim(fields)} mm"
            f"{'' if qform else ', and neither sform nor qform is set'}); expected three positive numbers. "
            "Repair the header and try again."
        )
    note = f"{header.what} says nothing about orientation; left, front and top are a guess."
    base = np.asarray(fields.get_base_affine(), np.float64)
    return _in_mm(_completed(base, flat), header, [note])


def _qform(fields: Any) -> NDArray[np.float64]:
    try:
        return np.asarray(fields.get_qform(), np.float64)
    except (ValueError, nibabel.spatialimages.HeaderDataError):
        return np.full((4, 4), np.nan)


def _pixdim(fields: Any) -> tuple[float, ...]:
    return tuple(float(f"{v:.6g}") for v in fields["pixdim"][1:4])


def _pixdim_ok(fields: Any, flat: bool) -> bool:
    sizes = np.asarray(fields["pixdim"][1 : 3 if flat else 4], float)
    return bool(np.isfinite(sizes).all() and (sizes > 0).all())


def _completed(affine: NDArray[np.float64], flat: bool) -> NDArray[np.float64]:
    """A 2D image may leave the third axis empty: give it 1 mm across the plane."""
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    length = np.linalg.norm(normal)
    if flat and length > 0 and not np.linalg.norm(affine[:3, 2]) > 0:
        affine = affine.copy()
        affine[:3, 2] = normal / length
    return affine


def _regular(affine: NDArray[np.float64]) -> bool:
    spacing = affine_spacing(affine)
    if not np.isfinite(affine).all() or min(spacing) <= 0:
        return False
    return bool(abs(np.linalg.det(affine[:3, :3])) >= 1e-6 * np.prod(spacing))


def _in_mm(
    affine: NDArray[np.float64], header: _Header, notes: list[str]
) -> tuple[NDArray[np.float64], list[str]]:
    """Convert metres and micrometres; a unit that would make absurd voxels is taken for a slip, as most readers do."""
    factor = {1: 1000.0, 3: 0.001}.get(int(header.fields["xyzt_units"]) & 7)
    if factor is None:
        return affine, notes
    spacing = [s * factor for s in affine_spacing(affine)]
    unit = "metres" if factor > 1 else "micrometres"
    if min(spacing) < 1e-4 or max(spacing) > 200:
        return affine, [*notes, f"{header.what} gives its unit as {unit}, which cannot be; mm are used."]
    scaled = affine.copy()
    scaled[:3] *= factor
    return scaled, [*notes, f"{header.what} gives its geometry in {unit}; it was converted to mm."]


def _read_data(header: _Header, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    encoding = "gzip" if header.zipped else "raw"
    size = header.data_path.stat().st_size
    available = size if header.zipped else max(0, size - header.offset)
    stream.check_claim(count * dtype.itemsize, available, encoding, header.what)
    stored = dtype.newbyteorder(header.endian)  # type: ignore[arg-type]
    try:
        with header.data_path.open("rb") as source:
            file = stream.unpack(source, "gzip") if header.zipped else source
            stream.skip(file, header.offset, header.what)
            voxels = stream.read_voxels(file, count, stored, header.what)
            if header.zipped:
                stream.drain(file, header.what)
    except OSError as error:
        raise stream.damaged(header.what, error) from error
    return voxels


def _scale(voxels: NDArray[Any], header: _Header) -> NDArray[Any]:
    slope, inter = float(header.fields["scl_slope"]), float(header.fields["scl_inter"])
    if not np.isfinite(slope) or slope == 0:
        return voxels
    inter = inter if np.isfinite(inter) else 0.0
    if (slope, inter) == (1.0, 0.0):
        return voxels
    with np.errstate(over="ignore", invalid="ignore"):
        if voxels.dtype.itemsize <= 2 or voxels.dtype == np.float32:
            scaled = voxels.astype(np.float32, copy=False)
            scaled *= np.float32(slope)
            scaled += np.float32(inter)
            return scaled
        # 32- and 64-bit numbers lose digits in float32 before they are scaled
        return (voxels.astype(np.float64) * slope + inter).astype(np.float32)


def _time_step(header: _Header) -> float:
    step = float(header.fields["pixdim"][4])
    factor = {16: 1e-3, 24: 1e-6}.get(int(header.fields["xyzt_units"]) & 56, 1.0)
    return step * factor if np.isfinite(step) and step > 0 else 1.0


def _label_names(extensions: bytes) -> dict[int, str]:
    if b"<LabelTable" not in extensions:
        return {}
    return {int(key): name.decode("utf-8", "replace").strip() for key, name in _LABEL.findall(extensions)}
