"""The one thread that owns the model."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

from napari_sam_med.core.errors import Cancelled, ModelError, SamMedError
from napari_sam_med.core.result import Segmenter
from napari_sam_med.embeddings.cache import EmbeddingCache
from napari_sam_med.inference.requests import (
    DownloadProgress,
    Dropped,
    Encode,
    Encoded,
    Event,
    Failed,
    Finished,
    LoadModel,
    ModelLoaded,
    Predict,
    Predicted,
    Request,
    RunSteps,
    Stepped,
)
from napari_sam_med.inference.session import Session
from napari_sam_med.models import licence_of, load_model

logger = logging.getLogger(__name__)

_NO_MODEL = "No model is loaded yet; choose one and wait until it is ready."
_NO_MEMORY = (
    "There is not enough memory for this; close other programs, choose a smaller model, "
    "or lower the memory budget of the cache in the settings."
)
_DOWNLOAD_STEP_SECONDS = 0.2
_EXIT_SECONDS = 2.0


@dataclass(eq=False)
class _Job:
    """A request in the queue or at work."""

    request: Request
    order: int
    cancelled: bool = False
    superseded: bool = False
    steps: Iterator[object] | None = None


class ModelWorker:
    """Runs requests on one persistent daemon thread, by priority, and answers with events.

    A prompt waits at most for the encode, decode or step that is at work. Every request gets exactly one last answer
    (:class:`ModelLoaded`, :class:`Encoded`, :class:`Predicted`, :class:`Finished`, :class:`Dropped` or
    :class:`Failed`), unless the worker is closed: after that no event is sent.

    Parameters
    ----------
    on_event : callable
        Called with each event **on the worker's thread**; what it raises is logged.
    cache : EmbeddingCache, optional
        Shared by all models that are loaded; in memory alone when not given.
    load : callable, optional
        ``load(name_or_file, device) -> Segmenter``, called on the worker's thread. By default
        :func:`napari_sam_med.models.load_model`, with :class:`DownloadProgress` as steps while weights are downloaded.
    """

    def __init__(
        self,
        on_event: Callable[[Event], None],
        cache: EmbeddingCache | None = None,
        load: Callable[[str, str], Segmenter] | None = None,
    ) -> None:
        self.cache = EmbeddingCache() if cache is None else cache
        self._on_event = on_event
        self._load = self._load_or_download if load is None else load
        self._session: Session | None = None
        self._queue: list[_Job] = []
        self._running: _Job | None = None
        self._dropped: list[int] = []
        self._closing = False
        self._order = count()
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="napari-sam-med model", daemon=True)
        self._thread.start()
        _workers.add(self)

    def submit(self, request: Request) -> None:
        """Queue a request and return at once; ignored after :meth:`close`."""
        with self._wake:
            if self._closing:
                return
            if isinstance(request, Predict):
                self._supersede(request)
            self._queue.append(_Job(request, next(self._order)))
            self._wake.notify()

    def cancel(self, number: int) -> None:
        """Drop a request. One that waits never runs; one at work ends after its present step, without its answer."""
        with self._wake:
            for job in [*self._queue, *([self._running] if self._running else [])]:
                if job.request.number == number:
                    self._cancel(job)
            self._wake.notify()

    def cancel_pending(self, priority: int) -> None:
        """Drop all requests of a priority that have not begun."""
        with self._wake:
            for job in list(self._queue):
                if job.request.priority == priority and job.steps is None:
                    self._cancel(job)
            self._wake.notify()

    def close(self, timeout: float = 5.0) -> bool:
        """Stop: nothing waiting runs and no event is sent any more. Returns whether the thread ended in time.

        Safe at any time, from any thread, more than once. If the model is busy for longer than `timeout` seconds, the
        thread ends by itself as soon as the model returns.
        """
        with self._wake:
            self._closing = True
            if self._running is not None:
                self._running.cancelled = True
            self._wake.notify()
        if threading.current_thread() is self._thread:
            return False
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # ---- queue, under the lock

    def _supersede(self, request: Predict) -> None:
        for job in list(self._queue):
            if isinstance(job.request, Predict) and job.request.slice == request.slice:
                self._cancel(job)
        running = self._running
        if running and isinstance(running.request, Predict) and running.request.slice == request.slice:
            running.superseded = True

    def _cancel(self, job: _Job) -> None:
        job.cancelled = True
        if job in self._queue and job.steps is None:
            self._queue.remove(job)
            self._dropped.append(job.request.number)

    def _next(self) -> tuple[_Job | None, list[int]]:
        """The job to do now and the numbers dropped meanwhile; waits until there is either, or the end."""
        with self._wake:
            self._running = None
            while not (self._queue or self._dropped or self._closing):
                self._wake.wait()
            dropped, self._dropped = self._dropped, []
            if self._closing or not self._queue:
                return None, dropped
            # generators that were cancelled between two steps are closed first
            job = min(self._queue, key=lambda j: (not j.cancelled, j.request.priority, j.order))
            self._queue.remove(job)
            self._running = job
            return job, dropped

    # ---- the thread

    def _run(self) -> None:
        while not self._closing:
            job, dropped = self._next()
            for number in dropped:
                self._emit(Dropped(number))
            if job is not None:
                self._work(job)
            del job  # its arrays would stay alive while the thread waits
        for waiting in self._queue:
            _close_steps(waiting)
        self._queue.clear()
        self._session = None

    def _work(self, job: _Job) -> None:
        request = job.request
        try:
            if isinstance(request, LoadModel):
                self._do_load(job, request)
            elif isinstance(request, Encode):
                self._do_encode(job, request)
            elif isinstance(request, Predict):
                self._do_predict(job, request)
            else:
                self._do_step(job, request)
        except Cancelled:
            self._emit(Dropped(request.number))
        except SamMedError as error:
            self._emit(Failed(request.number, str(error)))
        except MemoryError:
            logger.exception("out of memory in request %s", request.number)
            self._emit(Failed(request.number, _NO_MEMORY))
        except Exception as error:
            if self._closing:  # nobody waits for it, and at the interpreter's end imports fail in many ways
                logger.debug("request %s failed while closing", request.number, exc_info=True)
                return
            logger.exception("request %s failed", request.number)
            out_of_memory = type(error).__name__ == "OutOfMemoryError"  # torch's own, which is a RuntimeError
            self._emit(Failed(request.number, _NO_MEMORY if out_of_memory else _unexpected(error)))

    def _do_load(self, job: _Job, request: LoadModel) -> None:
        model = self._load(request.model, request.device)
        if job.cancelled:
            raise Cancelled("cancelled")
        self._session = Session(model, self.cache)
        self._emit(
            ModelLoaded(request.number, model.name, model.fingerprint, model.device, licence_of(model.name))
        )

    def _load_or_download(self, name: str, device: str) -> Segmenter:
        told = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal told
            job = self._running
            if job is None or job.cancelled:
                raise Cancelled("cancelled")
            now = time.monotonic()
            if now - told >= _DOWNLOAD_STEP_SECONDS or done == total:
                told = now
                self._emit(Stepped(job.request.number, DownloadProgress(done, total)))

        return load_model(name, device, progress)

    def _do_encode(self, job: _Job, request: Encode) -> None:
        started = time.perf_counter()
        _, cached = self._require_session().lookup(request.image)
        if job.cancelled:
            raise Cancelled("cancelled")
        self._emit(Encoded(request.number, request.slice, cached, time.perf_counter() - started))

    def _do_predict(self, job: _Job, request: Predict) -> None:
        started = time.perf_counter()
        session = self._require_session()
        embedding, cached = session.lookup(request.image)
        if not cached:
            self._emit(Encoded(request.number, request.slice, False, time.perf_counter() - started))
        if job.cancelled or job.superseded:
            raise Cancelled("cancelled")
        candidates = session.predict(request.image, request.prompt, embedding)
        if job.cancelled:
            raise Cancelled("cancelled")
        self._emit(Predicted(request.number, request.slice, candidates, time.perf_counter() - started))

    def _do_step(self, job: _Job, request: RunSteps) -> None:
        """One item, then back into the queue."""
        try:
            if job.cancelled:
                raise Cancelled("cancelled")
            if job.steps is None:
                job.steps = iter(request.steps(self._require_session()))
            value = next(job.steps)
        except StopIteration:
            self._emit(Dropped(request.number) if job.cancelled else Finished(request.number))
            return
        except BaseException:
            _close_steps(job)
            raise
        if not job.cancelled:
            self._emit(Stepped(request.number, value))
        with self._wake:
            self._queue.append(job)

    def _require_session(self) -> Session:
        if self._session is None:
            raise ModelError(_NO_MODEL)
        return self._session

    def _emit(self, event: Event) -> None:
        if self._closing:
            return
        try:
            self._on_event(event)
        except Exception:
            logger.exception("the receiver of %s failed", type(event).__name__)


def _close_steps(job: _Job) -> None:
    """Let a generator run its ``finally`` blocks; plain iterators have none."""
    close = getattr(job.steps, "close", None)
    if close is not None:
        try:
            close()
        except Exception:
            logger.exception("request %s failed while it was closed", job.request.number)


def _unexpected(error: Exception) -> str:
    return f"The model could not do this ({type(error).__name__}); the log has the details. Please report it."


_workers: weakref.WeakSet[ModelWorker] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """A daemon thread that is inside torch while the interpreter goes away can crash it: wait a moment for it."""
    for worker in list(_workers):
        worker.close(_EXIT_SECONDS)
