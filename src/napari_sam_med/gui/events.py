"""The event log of a session: what the user asked for, in order. Undo reads it; so can replay and autosave."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.inference.requests import SliceRef


@dataclass(frozen=True, eq=False)
class SessionEvent:
    """Something that happened.

    Attributes
    ----------
    number : int
        Position in the log, from 1.
    at : float
        Seconds since the epoch.
    """

    number: int = field(default=0, kw_only=True)
    at: float = field(default=0.0, kw_only=True)


@dataclass(frozen=True, eq=False)
class PromptEdited(SessionEvent):
    """The prompt of a slice is now `after`; it was `before`."""

    ref: SliceRef
    before: Prompt
    after: Prompt


@dataclass(frozen=True, eq=False)
class Accepted(SessionEvent):
    """A candidate became part of an object.

    Attributes
    ----------
    ref : SliceRef
        The slice.
    prompt : Prompt
        What had been asked.
    label : int
        Value written.
    mode : str
        "add", "replace" or "subtract".
    candidate : int
        Which candidate of the model.
    score : float
        Its predicted IoU.
    model : str
        Fingerprint of the model.
    window : str
        Grey window, "level/width".
    voxels : int
        How many voxels changed.
    """

    ref: SliceRef
    prompt: Prompt
    label: int
    mode: str
    candidate: int
    score: float
    model: str
    window: str
    voxels: int


@dataclass(frozen=True, eq=False)
class ObjectCleared(SessionEvent):
    """An object was erased from a slice."""

    ref: SliceRef
    label: int
    voxels: int


@dataclass(frozen=True, eq=False)
class ObjectEdited(SessionEvent):
    """An object was added, renamed or locked."""

    label: int
    name: str
    locked: bool


@dataclass(frozen=True, eq=False)
class Undone(SessionEvent):
    """The event with this number was taken back."""

    undone: int


E = TypeVar("E", bound=SessionEvent)

UNDOABLE = (PromptEdited, Accepted, ObjectCleared)


class EventLog:
    """Append-only list of events."""

    def __init__(self) -> None:
        self._events: list[SessionEvent] = []
        self._numbers = itertools.count(1)

    def add(self, event: E) -> E:
        """Number and date an event, and keep it."""
        object.__setattr__(event, "number", next(self._numbers))
        object.__setattr__(event, "at", time.time())
        self._events.append(event)
        return event

    def last_undoable(self, volume_id: str) -> SessionEvent | None:
        """The latest event on a volume that can be taken back and has not been."""
        undone = {e.undone for e in self._events if isinstance(e, Undone)}
        for event in reversed(self._events):
            if (
                isinstance(event, UNDOABLE)
                and event.number not in undone
                and event.ref.volume_id == volume_id
            ):
                return event
        return None

    def __iter__(self) -> Iterator[SessionEvent]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)
