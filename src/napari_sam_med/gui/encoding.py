"""Embeddings ahead of need: the slice on screen, its neighbours, and all slices on request. No Qt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from psygnal import Signal

from napari_sam_med.core.errors import SamMedError
from napari_sam_med.core.volume import Volume
from napari_sam_med.core.windowing import Window
from napari_sam_med.inference.precompute import Progress, precompute
from napari_sam_med.inference.requests import Encode, Encoded, Failed, Priority, RunSteps, SliceRef, Stepped
from napari_sam_med.inference.slices import slice_image

if TYPE_CHECKING:
    from napari_sam_med.inference.session import Session

_BATCH = 8


class Port(Protocol):
    """Where requests go (``gui.state.Workspace``, or a fake in a test)."""

    def next_number(self) -> int:
        """A number no other request has."""

    def submit(self, request: Any) -> int:
        """Queue a request."""

    def cancel(self, number: int) -> None:
        """Cancel a request."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What is segmented: a volume in a window."""

    volume_id: str
    volume: Volume
    window: Window


class PlaneKey(NamedTuple):
    """What the embeddings of a plane's slices depend on, besides the slice number."""

    volume_id: str
    axis: int
    time: int
    window: Window
    model: str


@dataclass(frozen=True)
class EncodeProgress:
    """How far "encode all slices" has come; `seconds_left` is None until the first slice has been encoded."""

    done: int
    total: int
    seconds_left: float | None


@dataclass(frozen=True)
class Estimate:
    """What "encode all slices" would take; None where it is not known yet."""

    slices: int
    bytes: int | None
    seconds: float | None


@dataclass
class _Running:
    number: int
    key: PlaneKey
    done: int = 0
    total: int = 0


class EncodingPlan:
    """Asks for embeddings in the order in which they will be needed, and knows which are at hand.

    Parameters
    ----------
    port : Port
        Where requests go; feed its answers to :meth:`handle`.
    neighbours : int
        How many slices on each side of the visible one are encoded ahead.

    Attributes
    ----------
    changed : Signal()
        Another plane is shown, or a slice was encoded.
    progress : Signal(object)
        An :class:`EncodeProgress` of "encode all slices", None when it has ended.
    failed : Signal(str)
        A sentence for the user.
    """

    changed = Signal()
    progress = Signal(object)
    failed = Signal(str)

    def __init__(self, port: Port, neighbours: int = 2) -> None:
        self._port = port
        self._neighbours = neighbours
        self._scene: Scene | None = None
        self._ref: SliceRef | None = None
        self._key: PlaneKey | None = None
        self._encoded: dict[PlaneKey, set[int]] = {}
        self._bytes: dict[PlaneKey, int] = {}
        self._ahead: dict[int, tuple[PlaneKey, SliceRef]] = {}
        self._survey: _Running | None = None
        self._all: _Running | None = None
        self._seconds: float | None = None

    # -- what is at hand ----------------------------------------------------------------------------------

    @property
    def encoded(self) -> frozenset[int]:
        """Slices of the plane on screen whose embeddings are at hand, for this volume, window and model."""
        return frozenset(self._encoded.get(self._key, ())) if self._key is not None else frozenset()

    @property
    def n_slices(self) -> int:
        """How many slices the plane on screen has; 0 without a plane."""
        return 0 if self._scene is None or self._ref is None else self._scene.volume.shape[self._ref.axis]

    @property
    def running(self) -> bool:
        """Whether "encode all slices" is at work."""
        return self._all is not None

    @property
    def preparing(self) -> bool:
        """Whether the slice on screen is being encoded or waits for it."""
        return any(ref == self._ref for _, ref in self._ahead.values())

    def estimate(self) -> Estimate:
        """What encoding the other slices of this plane would take."""
        left = self.n_slices - len(self.encoded)
        size = self._bytes.get(self._key) if self._key is not None else None
        return Estimate(
            left,
            None if size is None else left * size,
            None if self._seconds is None else left * self._seconds,
        )

    # -- what is wanted -----------------------------------------------------------------------------------

    def aim(self, scene: Scene | None, ref: SliceRef | None, model: str | None) -> None:
        """The slice on screen, the volume and window it is of, and the model; None for what there is not."""
        key = None
        if scene is not None and ref is not None and model is not None:
            key = PlaneKey(scene.volume_id, ref.axis, ref.time, scene.window, model)
        if key is None or self._key is None or key.model != self._key.model:
            self._seconds = None
        moved = key != self._key
        if self._all is not None and (key is None or _source(key) != _source(self._all.key)):
            self.cancel_all()
        self._scene, self._ref, self._key = scene, ref, key
        self._ask_ahead()
        if moved:
            self._look()
        self.changed.emit()

    def forget(self, volume_id: str) -> None:
        """The voxels of a volume have changed: nothing is known of its slices."""
        self._encoded = {k: v for k, v in self._encoded.items() if k.volume_id != volume_id}
        self._bytes = {k: v for k, v in self._bytes.items() if k.volume_id != volume_id}
        self._key = None if self._key is not None and self._key.volume_id == volume_id else self._key

    def mark(self, index: int, seconds: float | None = None) -> None:
        """A slice of the plane on screen is encoded; it took `seconds` if it was not at hand."""
        if self._key is not None:
            self._mark(self._key, index, seconds)

    def encode_all(self) -> None:
        """Encode all slices of the plane on screen, the nearest first; prompts get in between."""
        key, scene, ref = self._key, self._scene, self._ref
        if key is None or scene is None or ref is None or self._all is not None:
            return
        done = self.encoded
        order = sorted(set(range(self.n_slices)) - done, key=lambda i: (abs(i - ref.index), i))
        if not order:
            return
        number = self._port.next_number()
        self._all = _Running(number, key, len(done), self.n_slices)

        def steps(session: Session) -> Iterator[object]:
            return precompute(
                session, scene.volume, ref.axis, scene.window, time_point=ref.time, indices=order
            )

        self._port.submit(RunSteps(number, steps, Priority.REST))
        seconds = None if self._seconds is None else len(order) * self._seconds
        self.progress.emit(EncodeProgress(len(done), self.n_slices, seconds))

    def cancel_all(self) -> None:
        """Stop "encode all slices"; what is encoded stays."""
        if self._all is not None:
            self._port.cancel(self._all.number)
            self._all = None
            self.progress.emit(None)

    # -- answers ------------------------------------------------------------------------------------------

    def handle(self, event: Any) -> bool:
        """Take an event of the model thread and say whether it was an answer to this plan."""
        number = event.number
        if self._all is not None and number == self._all.number:
            self._handle_all(self._all, event)
        elif self._survey is not None and number == self._survey.number:
            self._handle_survey(self._survey, event)
        elif number in self._ahead:
            key, ref = self._ahead.pop(number)
            if isinstance(event, Encoded):
                self._mark(key, ref.index, None if event.cached else event.seconds)
            elif isinstance(event, Failed) and ref == self._ref:
                self.failed.emit(event.message)
        else:
            return False
        return True

    def _handle_all(self, running: _Running, event: Any) -> None:
        if isinstance(event, Stepped) and isinstance(event.value, Progress):
            step = event.value
            running.done += 1
            self._mark(running.key, step.index, None)
            seconds = step.eta_seconds or None
            if seconds is not None:
                self._seconds = seconds / (step.total - step.done)
            self.progress.emit(EncodeProgress(running.done, running.total, seconds))
            return
        self._all = None
        self.progress.emit(None)
        if isinstance(event, Failed):
            self.failed.emit(event.message)

    def _handle_survey(self, running: _Running, event: Any) -> None:
        if not isinstance(event, Stepped):
            self._survey = None
        elif isinstance(event.value, _Found):
            self._bytes[running.key] = event.value.bytes_a_slice
            self._encoded.setdefault(running.key, set()).update(event.value.indices)
            self.changed.emit()

    # -- inside -------------------------------------------------------------------------------------------

    def _mark(self, key: PlaneKey, index: int, seconds: float | None) -> None:
        if seconds is not None:
            self._seconds = seconds if self._seconds is None else 0.7 * self._seconds + 0.3 * seconds
        self._encoded.setdefault(key, set()).add(index)
        self.changed.emit()

    def _ask_ahead(self) -> None:
        """The slice on screen first, then its neighbours; what was asked for another slice is cancelled."""
        wanted = list(self._wanted())
        keep = {ref for _, ref in wanted}
        for number, (key, ref) in list(self._ahead.items()):
            if ref in keep and key == self._key:
                keep.discard(ref)
            else:
                self._port.cancel(number)
                del self._ahead[number]
        for priority, ref in wanted:
            if ref in keep:
                self._ask(ref, priority)

    def _ask(self, ref: SliceRef, priority: Priority) -> None:
        assert self._scene is not None
        assert self._key is not None
        try:
            image = slice_image(self._scene.volume, ref.axis, ref.index, self._scene.window, ref.time)
        except SamMedError as error:
            self.failed.emit(str(error))
            return
        number = self._port.next_number()
        self._ahead[number] = (self._key, ref)
        self._port.submit(Encode(number, ref, image, priority))

    def _wanted(self) -> Iterable[tuple[Priority, SliceRef]]:
        ref = self._ref
        if self._key is None or ref is None:
            return
        done = self.encoded
        if ref.index not in done:
            yield Priority.VISIBLE, ref
        for step in range(1, self._neighbours + 1):
            for index in (ref.index + step, ref.index - step):
                if 0 <= index < self.n_slices and index not in done:
                    yield Priority.NEIGHBOUR, SliceRef(ref.volume_id, ref.axis, index, ref.time)

    def _look(self) -> None:
        """Find out which slices of the plane are encoded already, from an earlier session perhaps."""
        if self._survey is not None:
            self._port.cancel(self._survey.number)
            self._survey = None
        key, scene, ref = self._key, self._scene, self._ref
        if key is None or scene is None or ref is None or key in self._bytes:
            return
        number = self._port.next_number()
        self._survey = _Running(number, key)

        def steps(session: Session) -> Iterator[object]:
            return _survey(session, scene.volume, ref, scene.window)

        self._port.submit(RunSteps(number, steps, Priority.REST))


@dataclass(frozen=True)
class _Found:
    bytes_a_slice: int
    indices: frozenset[int]


def _source(key: PlaneKey) -> tuple[str, Window, str]:
    return key.volume_id, key.window, key.model


def _survey(session: Session, volume: Volume, ref: SliceRef, window: Window) -> Iterator[_Found]:
    n = volume.shape[ref.axis]
    rows, cols = (m for axis, m in enumerate(volume.shape) if axis != ref.axis)
    size = session.estimate([(rows, cols)], volume.slice_spacing_mm(ref.axis))
    for first in range(0, n, _BATCH):
        found = [
            index
            for index in range(first, min(first + _BATCH, n))
            if session.is_cached(slice_image(volume, ref.axis, index, window, ref.time))
        ]
        yield _Found(size, frozenset(found))
