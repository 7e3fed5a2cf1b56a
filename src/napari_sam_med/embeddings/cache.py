"""Embeddings at hand: recent ones in memory, all of them on disk, both within a budget."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from napari_sam_med.core.result import Embedding
from napari_sam_med.embeddings.store import DiskStore

logger = logging.getLogger(__name__)

MEMORY_BYTES = 512 * 2**20
DISK_BYTES = 10 * 2**30
FOLDER_VARIABLE = "NAPARI_SAM_MED_CACHE"


def default_folder() -> Path:
    """Folder named by the environment variable NAPARI_SAM_MED_CACHE, or "embeddings" in the user's cache folder."""
    told = os.environ.get(FOLDER_VARIABLE)
    return Path(told) if told else Path(platformdirs.user_cache_dir("napari-sam-med", False)) / "embeddings"


@dataclass(frozen=True)
class CacheInfo:
    """What a cache holds.

    Attributes
    ----------
    folder : Path or None
        Where the files are; None without a disk store.
    count, bytes, budget : int
        Files on disk, the bytes they take and may take.
    memory_count, memory_bytes, memory_budget : int
        The same in memory.
    problem : str or None
        Why nothing is written to disk at present, as a sentence.
    """

    folder: Path | None
    count: int
    bytes: int
    budget: int
    memory_count: int
    memory_bytes: int
    memory_budget: int
    problem: str | None


class EmbeddingCache:
    """Least-recently-used cache in memory over a :class:`DiskStore`; safe to use from several threads.

    A disk that is full or read-only never stops the work: the cache says so once in the log (and in ``problem``),
    and goes on in memory.

    Parameters
    ----------
    store : DiskStore, optional
        Without one, embeddings live in memory alone.
    memory_bytes : int
        Bytes of embeddings kept in memory.
    """

    def __init__(self, store: DiskStore | None = None, memory_bytes: int = MEMORY_BYTES) -> None:
        self.store = store
        self.memory_bytes = memory_bytes
        self.problem: str | None = None
        self._recent: OrderedDict[str, Embedding] = OrderedDict()
        self._used = 0
        self._lock = threading.RLock()

    @classmethod
    def default(cls, memory_bytes: int = MEMORY_BYTES, disk_bytes: int = DISK_BYTES) -> EmbeddingCache:
        """The user's cache, in :func:`default_folder`."""
        return cls(DiskStore(default_folder(), disk_bytes), memory_bytes)

    def __contains__(self, key: object) -> bool:
        with self._lock:
            if key in self._recent:
                return True
        return self.store is not None and key in self.store

    def get(self, key: str) -> Embedding | None:
        """The embedding called `key`, or None."""
        with self._lock:
            found = self._recent.get(key)
            if found is not None:
                self._recent.move_to_end(key)
                return found
        found = self.store.load(key) if self.store is not None else None
        if found is not None:
            self._remember(key, found)
        return found

    def put(self, key: str, embedding: Embedding) -> None:
        """Keep an embedding; failing to write it to disk is reported once and harms nothing."""
        self._remember(key, embedding)
        if self.store is None or self.problem is not None:
            return
        try:
            self.store.save(key, embedding)
        except OSError as error:
            self._report(error)

    def set_budgets(self, memory_bytes: int, disk_bytes: int) -> None:
        """Change both budgets; memory shrinks at once, the disk at its next write."""
        with self._lock:
            self.memory_bytes = memory_bytes
            self._shrink()
        if self.store is not None:
            self.store.budget = disk_bytes

    def info(self) -> CacheInfo:
        """Counts, bytes, budgets and place."""
        count, used = self.store.usage() if self.store is not None else (0, 0)
        with self._lock:
            return CacheInfo(
                folder=self.store.folder if self.store is not None else None,
                count=count,
                bytes=used,
                budget=self.store.budget if self.store is not None else 0,
                memory_count=len(self._recent),
                memory_bytes=self._used,
                memory_budget=self.memory_bytes,
                problem=self.problem,
            )

    def clear(self) -> int:
        """Forget everything, in memory and on disk, and return the bytes freed on disk. Writing is tried again."""
        with self._lock:
            self._recent.clear()
            self._used = 0
            self.problem = None
        return self.store.clear() if self.store is not None else 0

    def _remember(self, key: str, embedding: Embedding) -> None:
        with self._lock:
            before = self._recent.pop(key, None)
            self._used += embedding.nbytes - (before.nbytes if before is not None else 0)
            self._recent[key] = embedding
            self._shrink()

    def _shrink(self) -> None:
        while self._recent and self._used > self.memory_bytes:
            _, oldest = self._recent.popitem(last=False)
            self._used -= oldest.nbytes

    def _report(self, error: OSError) -> None:
        with self._lock:
            if self.problem is not None or self.store is None:
                return
            self.problem = (
                f"Embeddings cannot be written to {self.store.folder} ({error.strerror or error}); "
                "they are kept in memory for now. Free some space or choose another folder by "
                f"{FOLDER_VARIABLE}, then clear the cache."
            )
        logger.warning(self.problem)
