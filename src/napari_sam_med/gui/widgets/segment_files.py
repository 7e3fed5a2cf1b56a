"""Slow work on label volumes, off the main thread: save, resample, list the labels in use."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, QRunnable, QThreadPool, Signal

from napari_sam_med.core.errors import SamMedError
from napari_sam_med.core.geometry import resample_labels
from napari_sam_med.core.volume import Volume
from napari_sam_med.io import save_labels

logger = logging.getLogger(__name__)


class LabelJobs(QObject):
    """Runs one function at a time on Qt's thread pool and brings its result back to the main thread.

    Attributes
    ----------
    busy_changed : Signal(bool)
        Whether a job is at work.
    failed : Signal(str)
        A sentence for the user.
    """

    busy_changed = Signal(bool)
    failed = Signal(str)
    _done = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._running = 0
        self._done.connect(self._deliver)

    @property
    def busy(self) -> bool:
        """Whether a job is at work."""
        return self._running > 0

    def save(self, labels: Volume, path: Path, then: Callable[[Path], None]) -> None:
        """Save a snapshot of labels; `then` gets the path once the file has been read back and compared."""
        snapshot = replace(labels, data=np.array(labels.data))
        self._start(lambda: save_labels(snapshot, path), then)

    def resample(self, labels: Volume, reference: Volume, then: Callable[[Volume], None]) -> None:
        """Bring labels to the grid of `reference` by nearest neighbour."""
        self._start(lambda: resample_labels(labels, reference), then)

    def find_labels(self, labels: Volume, then: Callable[[list[int]], None]) -> None:
        """List the label values in use, by slabs so that little memory is taken."""

        def find() -> list[int]:
            found: set[int] = set()
            for part in labels.data:
                found.update(int(v) for v in np.unique(part))
            return sorted(found)

        self._start(find, then)

    def _start(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self._running += 1
        self.busy_changed.emit(True)
        pool = QThreadPool.globalInstance()
        assert pool is not None
        pool.start(_Runnable(work, lambda result: self._send(then, result)))

    def _send(self, then: Callable[[Any], None], result: Any) -> None:
        try:
            self._done.emit(then, result)
        except RuntimeError:  # the panel was closed meanwhile
            logger.debug("a result came after its panel was closed")

    def _deliver(self, then: Callable[[Any], None], result: Any) -> None:
        self._running -= 1
        self.busy_changed.emit(self.busy)
        if isinstance(result, Exception):
            self.failed.emit(_sentence(result))
        else:
            then(result)


class _Runnable(QRunnable):
    def __init__(self, work: Callable[[], Any], send: Callable[[Any], None]) -> None:
        super().__init__()
        self._work = work
        self._send = send

    def run(self) -> None:
        """Called by Qt on a thread of the pool."""
        try:
            result = self._work()
        except Exception as error:
            if not isinstance(error, (SamMedError, MemoryError)):
                logger.exception("a job on labels failed")
            result = error
        self._send(result)


def _sentence(error: Exception) -> str:
    if isinstance(error, SamMedError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There is not enough memory for this; close other programs and try again."
    return f"This failed unexpectedly ({type(error).__name__}); the log has the details. Please report it."
