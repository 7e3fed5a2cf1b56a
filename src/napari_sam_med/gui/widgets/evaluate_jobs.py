"""Work of the Evaluate panel off the main thread: metrics on napari's pool, the model on its own thread."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari.qt.threading import GeneratorWorker
from qtpy.QtCore import QObject, Signal

from napari_sam_med.core.errors import InputError, SamMedError
from napari_sam_med.gui.widgets.following import Stopper, follow
from napari_sam_med.inference.requests import Dropped, Failed, Finished, RunSteps, Stepped

if TYPE_CHECKING:
    from napari_sam_med.evaluation.plan import PairPlan
    from napari_sam_med.gui.state import Workspace
    from napari_sam_med.inference.session import Session


@dataclass(frozen=True)
class Planned:
    """First item of a job: how many items are to come."""

    total: int


class Job(QObject):
    """Something that runs elsewhere and can be stopped with what it has done so far.

    All signals arrive on the main thread.
    """

    planned = Signal(int)
    """How many items are to come."""
    item = Signal(object)
    """One result."""
    done = Signal()
    """The end was reached."""
    cancelled = Signal()
    failed = Signal(str)
    """One sentence for the user."""

    def start(self) -> None:
        """Begin."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Stop after the present item; ``cancelled`` follows."""
        raise NotImplementedError

    def _take(self, value: object) -> None:
        if isinstance(value, Planned):
            self.planned.emit(value.total)
        else:
            self.item.emit(value)


class PoolJob(Job):
    """Runs a generator on napari's thread pool: right for metrics and files, wrong for the model.

    Parameters
    ----------
    steps : callable
        Gives the generator; it is called on the pool. A :class:`Planned` may come first.
    """

    def __init__(self, steps: Callable[[], Iterator[object]], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._error = ""
        self._worker: Any = GeneratorWorker(self._run, steps)
        self._worker.yielded.connect(self._take)
        self._worker.returned.connect(self._on_returned)
        self._worker.aborted.connect(self.cancelled)
        self._worker.errored.connect(self._on_bug)
        self._stopper = Stopper(self, self._worker.quit)

    def start(self) -> None:
        """Begin."""
        self._worker.start()

    def cancel(self) -> None:
        """Stop after the present item."""
        self._worker.quit()

    def _run(self, steps: Callable[[], Iterator[object]]) -> Iterator[object]:
        # Sentences for the user must not open napari's traceback window, so they do not leave as exceptions.
        try:
            yield from steps()
        except SamMedError as error:
            self._error = str(error)

    def _on_returned(self, _: object = None) -> None:
        if self._error:
            self.failed.emit(self._error)
        else:
            self.done.emit()

    def _on_bug(self, error: Exception) -> None:
        self.failed.emit(f"This could not be computed ({type(error).__name__}); the log has the details.")


class ModelJob(Job):
    """Runs a generator on the model thread, one item at a time; prompts of the user go in between.

    Parameters
    ----------
    workspace : Workspace
        Whose model thread is used, with the model that is in use when the turn comes.
    steps : callable
        ``steps(session)`` gives the generator; it is called on the model thread.
    """

    def __init__(
        self,
        workspace: Workspace,
        steps: Callable[[Session], Iterator[object]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._request = RunSteps(workspace.next_number(), steps)
        follow(self, workspace.worker_event, self._on_event)
        self._stopper = Stopper(self, functools.partial(workspace.cancel, self._request.number))

    def start(self) -> None:
        """Begin."""
        self._workspace.submit(self._request)

    def cancel(self) -> None:
        """Stop after the present item."""
        self._workspace.cancel(self._request.number)

    def _on_event(self, event: Any) -> None:
        if event.number != self._request.number:
            return
        if isinstance(event, Stepped):
            self._take(event.value)
            return
        if isinstance(event, Finished):
            self.done.emit()
        elif isinstance(event, Failed):
            self.failed.emit(event.message)
        elif isinstance(event, Dropped):
            self.cancelled.emit()


class Progress:
    """How far a job is, and how long it still takes."""

    def __init__(self) -> None:
        self.total = 0
        self.count = 0
        self._started = time.monotonic()

    def plan(self, total: int) -> None:
        """Know how much there is to do; time counts from here."""
        self.total = total
        self._started = time.monotonic()

    def step(self) -> None:
        """One more is done."""
        self.count += 1

    @property
    def seconds(self) -> float:
        """Since the plan was known."""
        return time.monotonic() - self._started

    def text(self, what: str) -> str:
        """ "12 of 80 rows, about 9 s left"."""
        if not self.total:
            return f"{self.count} {what}" if self.count else "Preparing…"
        left = (time.monotonic() - self._started) / max(1, self.count) * (self.total - self.count)
        eta = f", about {duration_text(left)} left" if self.count >= min(4, self.total) else ""
        return f"{self.count} of {self.total} {what}{eta}"


def duration_text(seconds: float) -> str:
    """ "8 s", "3 min", "2 h 10 min"."""
    whole = max(1, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def only_slice(plan: PairPlan, index: int) -> PairPlan:
    """The part of a plan of one axis that is about one slice.

    Raises
    ------
    InputError
        If no object is large enough there.
    """
    targets = tuple(target for target in plan.targets if target.index == index)
    if not targets:
        numbers = [target.index for target in plan.targets]
        raise InputError(
            f"No chosen object is large enough in slice {index}; slices {min(numbers)} to {max(numbers)} have one. "
            "Go to one of them, or choose other slices."
        )
    share = sum(len(t.labels) for t in targets) / sum(len(t.labels) for t in plan.targets)
    return replace(plan, targets=targets, n_rows=round(plan.n_rows * share))
