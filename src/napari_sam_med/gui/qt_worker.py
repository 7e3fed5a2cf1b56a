"""The model thread as a Qt object: requests go in on the main thread, events come out on the main thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from qtpy.QtCore import QObject, Qt, Signal

logger = logging.getLogger(__name__)


class Worker(Protocol):
    """What the GUI needs of ``inference.worker.ModelWorker``."""

    def submit(self, request: Any) -> None:
        """Queue a request; returns at once."""

    def cancel(self, number: int) -> None:
        """Cancel one request."""

    def cancel_pending(self, priority: Any) -> None:
        """Cancel all waiting requests of one priority."""

    def close(self, timeout: float = ...) -> Any:
        """Stop the thread."""


WorkerFactory = Callable[[Callable[[Any], None]], Worker]


class QtModelWorker(QObject):
    """Starts the model thread at the first request and brings its events to the main thread.

    Parameters
    ----------
    factory : callable
        ``factory(on_event)`` starts a worker that calls ``on_event(event)`` on its own thread.
    """

    event = Signal(object)
    _from_thread = Signal(int, object)

    def __init__(self, factory: WorkerFactory) -> None:
        super().__init__()
        self._factory = factory
        self._worker: Worker | None = None
        self._generation = 0
        self._from_thread.connect(self._relay, Qt.ConnectionType.QueuedConnection)

    @property
    def running(self) -> bool:
        """Whether the model thread has been started and not closed."""
        return self._worker is not None

    def submit(self, request: Any) -> None:
        """Queue a request, starting the thread if need be."""
        if self._worker is None:
            self._generation += 1
            generation = self._generation
            self._worker = self._factory(lambda event: self._emit(generation, event))
        self._worker.submit(request)

    def cancel(self, number: int) -> None:
        """Cancel one request; it answers ``Dropped`` unless it is done already."""
        if self._worker is not None:
            self._worker.cancel(number)

    def cancel_pending(self, priority: Any) -> None:
        """Cancel all waiting requests of one priority."""
        if self._worker is not None:
            self._worker.cancel_pending(priority)

    def close(self, timeout: float = 0.0) -> None:
        """Stop the thread, waiting up to `timeout` seconds; events still on their way are dropped."""
        worker, self._worker = self._worker, None
        self._generation += 1
        if worker is not None:
            worker.close(timeout)

    def _emit(self, generation: int, event: Any) -> None:
        try:
            self._from_thread.emit(generation, event)
        except RuntimeError:  # the Qt object died while the thread was finishing its last job
            logger.debug("event after the window was closed: %r", event)

    def _relay(self, generation: int, event: Any) -> None:
        if generation == self._generation and self._worker is not None:
            self.event.emit(event)
