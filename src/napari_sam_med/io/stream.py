"""Read voxels from raw or compressed streams: exactly as many as the header says, or a sentence.

The readers of NIfTI, NRRD and MetaImage share this. A header's claim is checked against the file's size and the
machine's memory before any memory is taken, and compressed streams are read to their end so that their checksum counts.
"""

from __future__ import annotations

import bz2
import gzip
import io
import os
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError

# Deflate cannot shrink data more than 1032 times; bzip2 can, on constant data, far more.
_DEFLATE_LIMIT = 1100
_CHUNK = 1 << 24
_TAIL_LIMIT = 1 << 28

STREAM_ERRORS = (OSError, EOFError, zlib.error, ValueError)


class ZlibStream(io.RawIOBase):
    """A read-only stream over zlib-compressed bytes that start at the current position of `file`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        # 32: zlib or gzip header, detected
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._pending = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        while not self._inflate.eof:
            data = self._pending or self._file.read(1 << 16)
            if not data:
                raise EOFError("Compressed data ended before its end marker")
            out = self._inflate.decompress(data, len(target))
            self._pending = self._inflate.unconsumed_tail
            if out:
                target[: len(out)] = out
                return len(out)
        return 0


def unpack(file: IO[bytes], encoding: str) -> IO[bytes]:
    """Decompress "gzip", "zlib" or "bzip2" data that start at the current position of `file`."""
    if encoding == "bzip2":
        return cast("IO[bytes]", bz2.BZ2File(file))
    if encoding == "gzip":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    return cast("IO[bytes]", ZlibStream(file))


def check_claim(claimed: int, available: int, encoding: str, what: str) -> None:
    """Refuse a header that claims more voxels than the file or the memory can hold.

    Parameters
    ----------
    claimed : int
        Bytes of voxels the header describes.
    available : int
        Bytes of (compressed) voxel data in the file.
    encoding : str
        "raw", "gzip", "zlib" or "bzip2".

    Raises
    ------
    InputError
        If the claim cannot be true or would not fit in memory.
    """
    deflated = available * _DEFLATE_LIMIT
    limit = {"raw": available, "gzip": deflated, "zlib": deflated}.get(encoding)
    if limit is not None and claimed > limit:
        raise InputError(
            f"{what} is cut short: its header describes {_size(claimed)} of voxels and only {_size(available)} "
            f"{'follow' if encoding == 'raw' else 'of compressed data follow'}; copy or download it again."
        )
    memory = _physical_memory()
    if memory is not None and claimed > memory:
        raise InputError(
            f"{what} needs {_size(claimed)} of memory and this computer has {_size(memory)}; crop or resample it first."
        )


def read_voxels(stream: IO[bytes], count: int, dtype: np.dtype[Any], what: str) -> NDArray[Any]:
    """Read exactly `count` voxels into a new flat array of native byte order.

    Raises
    ------
    InputError
        If the stream ends early or is damaged, or memory runs out.
    """
    try:
        out = np.empty(count, dtype)
    except MemoryError:
        raise InputError(
            f"{what} needs {_size(count * dtype.itemsize)} of memory, which is not free; crop or resample it first."
        ) from None
    view = out.view(np.uint8).data.cast("B") if count else memoryview(b"")
    got = 0
    try:
        while got < len(view):
            part = stream.read(min(_CHUNK, len(view) - got))
            if not part:
                break
            view[got : got + len(part)] = part
            got += len(part)
    except STREAM_ERRORS as error:
        raise damaged(what, error) from error
    if got < len(view):
        raise InputError(
            f"{what} is cut short: expected {len(view)} bytes of voxels and found {got}; copy or download it again."
        )
    if not dtype.isnative:
        out = out.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return out


def drain(stream: IO[bytes], what: str) -> int:
    """Read what is left, so that a compressed stream checks its checksum; returns the number of bytes.

    Raises
    ------
    InputError
        If the rest is damaged or its checksum is wrong.
    """
    rest = 0
    try:
        while rest < _TAIL_LIMIT:
            part = stream.read(_CHUNK)
            if not part:
                break
            rest += len(part)
    except STREAM_ERRORS as error:
        raise damaged(what, error) from error
    return rest


def skip(stream: IO[bytes], count: int, what: str) -> None:
    """Skip `count` bytes, also where the stream cannot seek.

    Raises
    ------
    InputError
        If the stream ends before.
    """
    try:
        while count > 0:
            part = stream.read(min(_CHUNK, count))
            if not part:
                raise InputError(f"{what} ends before its voxels begin; copy or download it again.")
            count -= len(part)
    except STREAM_ERRORS as error:
        raise damaged(what, error) from error


def damaged(what: str, error: Exception) -> InputError:
    """The sentence for a stream that cannot be decompressed or read."""
    if isinstance(error, EOFError):
        return InputError(
            f"{what} is cut short: its compressed data end too early; copy or download it again."
        )
    if isinstance(error, OSError) and error.errno is not None:
        return InputError(f"{what} cannot be read: {error.strerror or error}.")
    return InputError(
        f"{what} is damaged: its compressed data cannot be unpacked; copy or download it again."
    )


def beside(header: Path, named: str, what: str) -> Path:
    """The data file that a header names, which must lie in the header's folder or below.

    Raises
    ------
    InputError
        If it lies elsewhere or does not exist.
    """
    folder = header.parent.resolve()
    if "\0" in named or not named:
        raise InputError(f"{what} names no usable data file; repair the header.")
    target = (folder / named.replace("\\", "/")).resolve()
    if not target.is_relative_to(folder):
        raise InputError(
            f"{what} points to a data file outside its own folder; for safety it is not followed. "
            "Put the data file beside the header."
        )
    if not target.is_file():
        raise InputError(
            f"{what} names the data file {named!r}, which is not there; put it beside the header."
        )
    return target


def _physical_memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
