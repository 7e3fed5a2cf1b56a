"""Embeddings on disk: one safetensors file a key, least recently used ones go first."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from napari_sam_med.core.result import Embedding

_SUFFIX = ".safetensors"
_TEMPORARY = ".tmp"
_ABANDONED_SECONDS = 3600.0
_TIDY_TO = 0.9  # after an eviction there is room for some more writes before the next one


class _File(NamedTuple):
    path: Path
    size: int
    used: float


class DiskStore:
    """A folder of embeddings with a byte budget; several processes may share it.

    A file is written under a temporary name and renamed, so that a reader never sees half of one. A file that is
    truncated or damaged (its checksum differs) is deleted and counts as missing. The time of the last use is the
    file's modification time.

    Parameters
    ----------
    folder : Path
        Made at the first write.
    budget : int
        Bytes the files may take together.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        self.folder = Path(folder)
        self.budget = budget
        self._lock = threading.RLock()
        self._bytes: int | None = None  # unknown until the first write

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._path(key).is_file()

    def load(self, key: str) -> Embedding | None:
        """The embedding called `key`, or None if there is none that can be trusted."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        embedding = _unpack(content)
        with contextlib.suppress(OSError):
            if embedding is None:
                path.unlink()
            else:
                os.utime(path)
        return embedding

    def save(self, key: str, embedding: Embedding) -> None:
        """Write one embedding, then delete the least recently used ones beyond the budget.

        Raises
        ------
        OSError
            If the folder cannot be made or written (read-only, full disk); no partial file stays.
        """
        content = _pack(embedding)
        path = self._path(key)
        with self._lock:
            if len(content) > self.budget:
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._bytes is None:
                self._sweep()
                self._bytes = sum(f.size for f in self._files())
            replaced = path.stat().st_size if path.is_file() else 0
            temporary = self.folder / f"{key}.{uuid.uuid4().hex}{_TEMPORARY}"
            try:
                temporary.write_bytes(content)
                os.replace(temporary, path)
            except OSError as error:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
                if isinstance(error, PermissionError) and path.is_file():
                    return  # Windows: somebody reads the same embedding just now, so it is there
                raise
            self._bytes += len(content) - replaced
            if self._bytes > self.budget:
                self._evict(keep=path)

    def usage(self) -> tuple[int, int]:
        """(files, bytes) in the folder now."""
        files = list(self._files())
        return len(files), sum(f.size for f in files)

    def clear(self) -> int:
        """Delete every embedding and return the bytes freed."""
        freed = 0
        with self._lock:
            self._bytes = None
            for file in self._files():
                with contextlib.suppress(OSError):
                    file.path.unlink()
                    freed += file.size
        return freed

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"

    def _files(self) -> Iterator[_File]:
        try:
            entries = list(os.scandir(self.folder))
        except OSError:
            return
        for entry in entries:
            if entry.name.endswith(_SUFFIX):
                with contextlib.suppress(OSError):  # another process may have deleted it
                    stat = entry.stat()
                    yield _File(Path(entry.path), stat.st_size, stat.st_mtime)

    def _evict(self, keep: Path) -> None:
        """Make room; `keep`, just written, stays."""
        files = sorted(self._files(), key=lambda f: f.used)
        total = sum(f.size for f in files)
        for file in files:
            if total <= self.budget * _TIDY_TO:
                break
            if file.path != keep:
                with contextlib.suppress(OSError):
                    file.path.unlink()
                    total -= file.size
        self._bytes = total

    def _sweep(self) -> None:
        """Delete temporary files that a process left behind when it was killed."""
        for path in self.folder.glob(f"*{_TEMPORARY}"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink()


def _checksum(arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _pack(embedding: Embedding) -> bytes:
    arrays = {name: np.ascontiguousarray(array) for name, array in embedding.arrays.items()}
    rows, cols = embedding.image_shape
    metadata = {"image_shape": f"{rows} {cols}", "model": embedding.model, "checksum": _checksum(arrays)}
    return bytes(save_safetensors(arrays, metadata))


def _unpack(content: bytes) -> Embedding | None:
    try:
        head_bytes = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + head_bytes])["__metadata__"]
        arrays = load_safetensors(content)
        rows, cols = (int(n) for n in metadata["image_shape"].split())
        if _checksum(arrays) != metadata["checksum"]:
            return None
        return Embedding(arrays, (rows, cols), metadata["model"])
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError):
        return None
