"""Who does the tasks of a run: processes of this machine, or the workers of a Dask cluster."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, Protocol

from napari_sam_med.core.errors import InputError, SamMedError
from napari_sam_med.evaluation.work import Result, Task

Perform = Callable[[Task], Result]


class Lost(SamMedError):
    """A task that took its worker down every time it was tried."""


class Executor(Protocol):
    """Takes tasks and gives results in the order in which they come."""

    @property
    def slots(self) -> int:
        """How many tasks it likes to hold at a time."""
        ...

    @property
    def pending(self) -> int:
        """How many it holds."""
        ...

    def submit(self, task: Task) -> None:
        """Take a task; returns at once."""
        ...

    def next(self) -> tuple[Task, Result | Lost]:
        """Wait for any task to end."""
        ...

    def close(self) -> None:
        """Drop what is not done and let the workers go."""
        ...


class LocalExecutor:
    """Processes of this machine. One that dies (killed for its memory, say) is replaced, and its task tried again.

    Parameters
    ----------
    perform : callable
        Module-level function or partial of one.
    workers : int
    attempts : int
        How often a task may take its worker down before it is given up.
    """

    def __init__(self, perform: Perform, workers: int, attempts: int = 2) -> None:
        self._perform = perform
        self._workers = workers
        self._attempts = attempts
        self._running: dict[Future[Result], Task] = {}
        self._suspects: deque[Task] = deque()
        self._crashes: dict[Task, int] = {}
        self._pool = self._make()

    @property
    def slots(self) -> int:
        if self._suspects:
            return 0  # they go one by one first, so that all processes soon have work again
        return self._workers + 1  # one waits, so that no process does

    @property
    def pending(self) -> int:
        return len(self._running) + len(self._suspects)

    def submit(self, task: Task) -> None:
        try:
            self._running[self._pool.submit(self._perform, task)] = task
        except BrokenProcessPool:
            self._suspects.append(task)

    def next(self) -> tuple[Task, Result | Lost]:
        while True:
            if not self._running:
                self._retry_one()
            done = next(iter(wait(self._running, return_when=FIRST_COMPLETED).done))
            task = self._running.pop(done)
            try:
                return task, done.result()
            except BrokenProcessPool:
                if self._after_crash(task, alone=not self._running):
                    return task, Lost("The process that worked on it ended; it may have run out of memory.")

    def _after_crash(self, task: Task, alone: bool) -> bool:
        """Start anew after a crash; True if `task` has had its tries. Which task did it is known only of one alone."""
        self._suspects.extend(self._running.values())
        self._running.clear()
        self._renew()
        if alone:
            self._crashes[task] = self._crashes.get(task, 0) + 1
            if self._crashes[task] >= self._attempts:
                return True
        self._suspects.append(task)
        return False

    def _renew(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = self._make()

    def _retry_one(self) -> None:
        """Tasks that were under way in a crash go one by one, so that the next crash has one culprit."""
        task = self._suspects.popleft()
        try:
            future = self._pool.submit(self._perform, task)
        except BrokenProcessPool:  # a process ended while it had nothing to do
            self._renew()
            future = self._pool.submit(self._perform, task)
        self._running[future] = task

    def _make(self) -> ProcessPoolExecutor:
        threads = max(1, (os.cpu_count() or 1) // self._workers)
        return ProcessPoolExecutor(
            self._workers,
            mp_context=multiprocessing.get_context("spawn"),  # forking breaks CUDA and threads
            initializer=_prepare,
            initargs=(threads,),
        )

    def close(self) -> None:
        processes = list((getattr(self._pool, "_processes", None) or {}).values())
        unfinished = self.pending > 0
        self._pool.shutdown(wait=not unfinished, cancel_futures=True)
        if unfinished:
            for process in processes:
                process.terminate()


def _prepare(threads: int) -> None:
    """In a new process: share the processor, leave Ctrl-C to the parent, and end when it does, however that ends."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, str(threads))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    """A killed parent closes no queue: its processes would wait for ever, each with a model and a volume."""
    parent.join()
    os._exit(1)


_GONE = "The Dask scheduler is gone."


class DaskExecutor:
    """Workers of a Dask cluster that runs already. They need this package and see the data under the same paths.

    Dask gives the tasks of a lost worker to the others; a task that took several workers down is given up.

    Raises
    ------
    InputError
        If Dask is not installed, there is no scheduler at the address, or its workers lack this package.
    """

    def __init__(self, perform: Perform, address: str, timeout_s: float = 20.0) -> None:
        distributed = _import_distributed()
        # it logs a traceback for each try to find a scheduler that is gone; `next` says so in a sentence
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        try:
            self._client = distributed.Client(address, timeout=timeout_s, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(
                f"There is no Dask scheduler at {address}; start one with `dask scheduler` and give its address, "
                "such as tcp://127.0.0.1:8786."
            ) from error
        self._perform = perform
        self._distributed = distributed
        self._tasks: dict[Any, Task] = {}
        self._done = distributed.as_completed([], loop=self._client.loop)
        try:
            self._client.wait_for_workers(1, timeout=timeout_s)
        except TimeoutError as error:
            self.close()
            raise InputError(
                f"The Dask scheduler at {address} has no worker; start some with `dask worker {address}`."
            ) from error

    @property
    def slots(self) -> int:
        """Two for every worker there is now: workers may come and go."""
        return max(2, 2 * len(self._client.scheduler_info(n_workers=-1)["workers"]))

    @property
    def pending(self) -> int:
        return len(self._tasks)

    def submit(self, task: Task) -> None:
        future = self._client.submit(self._perform, task, pure=False)
        self._tasks[future] = task
        self._done.add(future)

    def next(self) -> tuple[Task, Result | Lost]:
        while True:
            future = next(self._done)
            task = self._tasks.pop(future)
            try:
                return task, future.result()
            except self._distributed.KilledWorker:
                return task, Lost("The workers that took it up ended; they may have run out of memory.")
            except (self._distributed.CancelledError, TimeoutError):
                if self._client.status != "running":
                    raise SamMedError(_GONE) from None
                self.submit(task)
            except Exception as error:  # tasks turn their own failures into rows
                # the scheduler may also go while it is asked for a result
                closed = isinstance(error, self._distributed.comm.CommClosedError)
                if closed or (isinstance(error, OSError) and self._client.status != "running"):
                    raise SamMedError(_GONE) from None
                raise InputError(
                    f"A worker of the Dask cluster cannot work ({type(error).__name__}: {error}); install the same "
                    "version of napari-sam-med there."
                ) from error

    def close(self) -> None:
        with suppress(Exception):
            self._client.cancel(list(self._tasks))
        with suppress(Exception):
            self._client.close(timeout=5)


def _import_distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            'A Dask cluster needs the extra "distributed": pip install "napari-sam-med[distributed]".'
        ) from error
    return distributed
