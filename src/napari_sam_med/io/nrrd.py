"""Read NRRD: `.nrrd` and `.nhdr` with its data file (http://teem.sourceforge.net/nrrd/format.html).

Read here rather than with SimpleITK, which reads some detached files wrongly without an error, refuses 4D files with
a time axis, and can crash on five dimensions. SimpleITK writes the project's NRRD files, so this reader also serves as
the independent second look at what was written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.core.volume import Volume
from napari_sam_med.io import checks, sniff, stream

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": (
        "longlong",
        "long long",
        "long long int",
        "signed long long",
        "signed long long int",
        "int64",
        "int64_t",
    ),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_TYPE_OF = {name: code for code, names in _TYPES.items() for name in names}
_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_ENCODINGS |= {"ascii": "ascii", "text": "ascii", "txt": "ascii", "hex": "hex"}
# Sign of each world axis against RAS.
_SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
_SPACE_KINDS = ("domain", "space")
_HEADER_LIMIT = 1 << 22


@dataclass
class _Header:
    """The fields of an NRRD header; `file` stands at the first byte after it."""

    fields: dict[str, str]
    keys: dict[str, str]
    what: str
    path: Path

    def get(self, *names: str) -> str | None:
        return next((self.fields[n] for n in names if n in self.fields), None)


@dataclass(frozen=True)
class _Axes:
    """What each stored axis (fastest first) means."""

    sizes: tuple[int, ...]
    spatial: tuple[int, ...]
    time: int | None


def read_nrrd(path: Path) -> Volume:
    """Read one NRRD file.

    Parameters
    ----------
    path : Path
        `.nrrd`, or the `.nhdr` header whose data file lies beside it.

    Returns
    -------
    Volume
        (z, y, x) or (t, z, y, x), dtype as stored. Names of a Slicer segmentation become ``label_names``.

    Raises
    ------
    InputError
        If the file is no NRRD, is cut short or damaged, has no usable geometry, or holds colours, vectors or complex
        numbers.
    """
    what = f"The file {path.name}"
    try:
        with path.open("rb") as file:
            header = _read_header(file, path, what)
            axes = _axes(header)
            dtype = _voxel_type(header)
            affine, notes = _affine(header, axes)
            voxels = _read_data(file, header, int(np.prod(axes.sizes)), dtype)
    except OSError as error:
        raise stream.damaged(what, error) from error
    data = _arrange(voxels, axes)
    notes += [n for n in (checks.shear_warning(affine), checks.not_finite_warning(data)) if n]
    metadata: dict[str, Any] = {"format": "NRRD", "source_ndim": min(3, len(axes.spatial))}
    if notes:
        metadata["warnings"] = tuple(notes)
    return volume_from_source(
        data,
        affine,
        dtype=dtype,
        what=what,
        name=sniff.stem_of(path),
        modality=checks.guess_modality(data),
        label_names=segment_names(header.keys),
        metadata=metadata,
    )


def segment_names(keys: Mapping[str, str]) -> dict[int, str]:
    """Label names from the keys of a 3D Slicer segmentation (``Segment0_LabelValue``, ``Segment0_Name``)."""
    names: dict[int, str] = {}
    for key, name in keys.items():
        match = re.fullmatch(r"Segment(\d+)_Name", key)
        value = keys.get(f"Segment{match[1]}_LabelValue", "") if match else ""
        if value.strip().isdigit():
            names[int(value)] = name.strip()
    return names


def segment_keys(names: Mapping[int, str]) -> dict[str, str]:
    """The keys that 3D Slicer uses for label names, the inverse of :func:`segment_names`."""
    keys: dict[str, str] = {}
    for number, (value, name) in enumerate(sorted(names.items())):
        start = f"Segment{number}_"
        keys |= {f"{start}ID": f"Segment_{value}", f"{start}Name": " ".join(name.split())}
        keys |= {f"{start}LabelValue": str(value), f"{start}Layer": "0"}
    return keys


def _read_header(file: IO[bytes], path: Path, what: str) -> _Header:
    magic = file.readline(64).strip()
    if not re.fullmatch(rb"NRRD\d{4}", magic):
        raise InputError(
            f"{what} is not an NRRD image: it does not start with NRRD. Check that it is the right file."
        )
    if not 1 <= int(magic[4:]) <= 5:
        raise InputError(
            f"{what} has the unknown NRRD version {int(magic[4:])}; expected 1 to 5. Export it again."
        )
    header = _Header({}, {}, what, path)
    while True:
        raw = file.readline(_HEADER_LIMIT)
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if not raw or not line.strip():
            break
        if file.tell() > _HEADER_LIMIT:
            raise InputError(f"{what} is damaged: its header does not end. Copy or download it again.")
        if line.startswith("#"):
            continue
        if ":=" in line:
            key, _, value = line.partition(":=")
            header.keys[key] = value
        elif ":" in line:
            key, _, value = line.partition(":")
            header.fields[key.strip().lower()] = value.strip()
        if header.fields and "data file" not in header.fields and "datafile" in header.fields:
            header.fields["data file"] = header.fields.pop("datafile")
    return header


def _axes(header: _Header) -> _Axes:
    sizes = _numbers(header, "sizes")
    if not sizes or any(not n >= 1 or n % 1 for n in sizes) or len(sizes) != _integer(header, "dimension", 0):
        raise InputError(
            f"{header.what} has no usable dimensions in its header (sizes: {header.get('sizes')}, dimension: "
            f"{header.get('dimension')}); repair the header."
        )
    kinds = (header.get("kinds") or "").lower().split()
    if len(kinds) != len(sizes):
        kinds = ["domain"] * len(sizes)
    directions = _directions(header)
    spatial: list[int] = []
    other: list[int] = []
    for axis, kind in enumerate(kinds):
        vector = directions[axis] if axis < len(directions) else None
        no_vector = bool(directions) and vector is None
        is_space = not no_vector and (kind in _SPACE_KINDS or kind in ("none", "???"))
        (spatial if is_space else other).append(axis)
    if len(spatial) == 4 and not directions:  # a plain stack of volumes: the slowest axis is time
        other.append(spatial.pop())
    kept = [a for a in other if sizes[a] > 1]
    if any(kinds[a] not in ("list", "time", "none", "???", *_SPACE_KINDS) for a in kept):
        raise InputError(
            f"{header.what} holds colours, vectors or complex numbers (kinds: {header.get('kinds')}); expected one "
            "value a voxel. Export one channel first."
        )
    if len(kept) > 1 or not 2 <= len(spatial) <= 3:
        raise InputError(
            f"{header.what} has the shape {tuple(int(n) for n in sizes)}; expected a 2D, 3D or 4D image with "
            "one value a voxel."
        )
    return _Axes(tuple(int(n) for n in sizes), tuple(spatial), kept[0] if kept else None)


def _directions(header: _Header) -> list[tuple[float, ...] | None]:
    text = header.get("space directions")
    if text is None:
        return []
    found: list[tuple[float, ...] | None] = []
    for token in re.findall(r"none|\([^)]*\)", text, re.IGNORECASE):
        if token.lower() == "none":
            found.append(None)
            continue
        vector = _vector(token, header)
        found.append(vector if np.isfinite(vector).any() else None)
    return found


def _vector(text: str, header: _Header) -> tuple[float, ...]:
    try:
        return tuple(float(v) for v in text.strip().strip("()").split(","))
    except ValueError:
        raise InputError(
            f"{header.what} has the unreadable vector {text!r} in its header; repair the header."
        ) from None


def _numbers(header: _Header, name: str) -> list[float]:
    try:
        values = [float(v) for v in (header.get(name) or "").split()]
    except ValueError:
        raise InputError(
            f"{header.what} has unreadable {name} ({header.get(name)}) in its header; repair the header."
        ) from None
    if any(abs(v) > 2**40 for v in values):
        raise InputError(
            f"{header.what} has impossible {name} ({header.get(name)}) in its header; repair the header."
        )
    return values


def _integer(header: _Header, name: str, default: int) -> int:
    text = header.get(name, name.replace(" ", ""))
    try:
        return default if text is None else int(text)
    except ValueError:
        raise InputError(f"{header.what} has the unreadable {name} {text!r}; repair the header.") from None


def _voxel_type(header: _Header) -> np.dtype[Any]:
    name = (header.get("type") or "").lower()
    if name not in _TYPE_OF:
        raise InputError(
            f"{header.what} holds voxels of the type {name or 'none'!r}; expected one integer or float "
            "(8 to 64 bit) a voxel."
        )
    return np.dtype(_TYPE_OF[name])


def _affine(header: _Header, axes: _Axes) -> tuple[NDArray[np.float64], list[str]]:
    """RAS affine of the spatial axes and remarks."""
    directions = _directions(header)
    space = (header.get("space") or "").lower()
    notes = []
    if not directions:
        notes.append(f"{header.what} says nothing about orientation; left, front and top are a guess.")
        spacings = _numbers(header, "spacings") or [1.0] * len(axes.sizes)
        if not header.get("spacings"):
            notes.append(f"{header.what} has no voxel spacing; 1 mm is used.")
        mm = [spacings[a] if a < len(spacings) else np.nan for a in axes.spatial] + [1.0] * (
            3 - len(axes.spatial)
        )
        if not all(np.isfinite(s) and s > 0 for s in mm):
            raise InputError(
                f"{header.what} has no usable voxel spacing ({header.get('spacings')}); expected positive numbers in "
                "mm. Repair the header."
            )
        return checks.LPS_TO_RAS @ np.diag([*mm, 1.0]), notes
    signs = _SPACES.get(space)
    if signs is None:
        signs = _SPACES["lps"]
        notes.append(
            f"{header.what} names no patient space ({space or 'none'}); left-posterior-superior is assumed."
        )
    origin = header.get("space origin")
    affine = np.eye(4)
    columns = [v for v in (directions[a] for a in axes.spatial) if v is not None]
    if origin is not None:
        columns.append(_vector(origin, header))
    if len(axes.spatial) == 2:  # a 2D image: put the plane into 3D
        columns = [(*c, 0.0) if len(c) == 2 else c for c in columns]
        if all(len(c) == 3 for c in columns):
            normal = np.cross(columns[0], columns[1])
            length = float(np.linalg.norm(normal)) or 1.0
            columns.insert(2, tuple(float(v) / length for v in normal))
    if any(len(c) != 3 for c in columns):
        raise InputError(f"{header.what} has space directions that do not fit a 3D space; repair the header.")
    for k, column in enumerate(columns):
        affine[:3, k] = np.array(signs) * column
    return affine, notes


def _read_data(file: IO[bytes], header: _Header, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    what = header.what
    encoding = _ENCODINGS.get((header.get("encoding") or "").lower())
    if encoding is None:
        raise InputError(
            f"{what} has the unknown encoding {header.get('encoding')!r}; save it as raw or gzip."
        )
    if dtype.itemsize > 1 and encoding in ("raw", "gzip", "bzip2"):
        dtype = dtype.newbyteorder(">" if (header.get("endian") or "").lower() == "big" else "<")
    named = header.get("data file")
    if named is not None and (named.upper().startswith("LIST") or "%" in named):
        raise InputError(
            f"{what} spreads its voxels over several data files; expected one. Save it as one .nrrd file."
        )
    target = header.path if named is None else stream.beside(header.path, named, what)
    with target.open("rb") as source:
        if named is None:
            source.seek(file.tell())
        for _ in range(_integer(header, "line skip", 0)):
            source.readline()
        start = source.tell()
        if encoding in ("ascii", "hex"):
            return _read_text(source, encoding, count, dtype, what)
        available = target.stat().st_size - start
        return _read_binary(source, encoding, available, count, dtype, header, named is not None)


def _read_binary(
    source: IO[bytes],
    encoding: str,
    available: int,
    count: int,
    dtype: np.dtype[Any],
    header: _Header,
    detached: bool,
) -> NDArray[Any]:
    what, need = header.what, count * dtype.itemsize
    skip = _integer(header, "byte skip", 0)
    if skip < -1:
        raise InputError(f"{what} has the byte skip {skip}; expected -1 or more. Repair the header.")
    stream.check_claim(need, available, encoding, what)
    if encoding == "raw":
        stream.skip(source, available - need if skip == -1 else skip, what)
        voxels = stream.read_voxels(source, count, dtype, what)
        rest = stream.drain(source, what) if detached else 0
    else:
        # NRRD skips bytes after decompression
        unzipped = stream.unpack(source, encoding)
        if skip == -1:
            skip = max(0, stream.drain(stream.unpack(source, encoding), what) - need)
            source.seek(-available, 2)
            unzipped = stream.unpack(source, encoding)
        stream.skip(unzipped, skip, what)
        voxels = stream.read_voxels(unzipped, count, dtype, what)
        rest = stream.drain(unzipped, what)
    if detached and rest:
        raise InputError(
            f"{what} describes {need} bytes of voxels and its data file holds {rest} more, so where they begin is not "
            'known; add "byte skip: -1" to the header if the voxels are at the end.'
        )
    return voxels


def _read_text(source: IO[bytes], encoding: str, count: int, dtype: np.dtype[Any], what: str) -> NDArray[Any]:
    text = source.read()
    try:
        if encoding == "hex":
            values = np.frombuffer(bytes.fromhex(text.decode("ascii")), dtype).copy()
        else:
            values = np.array(text.replace(b",", b" ").split(), dtype=np.float64).astype(dtype)
    except (ValueError, OverflowError):
        raise InputError(
            f"{what} is damaged: its voxels are not numbers. Copy or download it again."
        ) from None
    if len(values) < count:
        raise InputError(
            f"{what} is cut short: expected {count} voxels and found {len(values)}; copy it again."
        )
    return values[:count]


def _arrange(voxels: NDArray[Any], axes: _Axes) -> NDArray[Any]:
    """Flat voxels to (i, j, k) or (t, i, j, k), as a view."""
    full = voxels.reshape(axes.sizes[::-1]).transpose()
    dropped = [a for a in range(len(axes.sizes)) if a not in axes.spatial and a != axes.time]
    order = ([axes.time] if axes.time is not None else []) + list(axes.spatial)
    data = full.transpose(order + dropped).reshape([axes.sizes[a] for a in order])
    return data[..., None] if len(axes.spatial) == 2 else data
