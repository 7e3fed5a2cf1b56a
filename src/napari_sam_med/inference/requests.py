"""What the front end asks of the model thread, and what it answers. All frozen, all numbered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.result import Candidates
from napari_sam_med.inference.slices import SliceImage, SliceRef

if TYPE_CHECKING:
    from napari_sam_med.inference.session import Session

__all__ = [
    "DownloadProgress",
    "Dropped",
    "Encode",
    "Encoded",
    "Event",
    "Failed",
    "Finished",
    "LoadModel",
    "ModelLoaded",
    "Predict",
    "Predicted",
    "Priority",
    "Request",
    "RunSteps",
    "SliceRef",
    "Stepped",
]


class Priority(IntEnum):
    """Order of work on the model thread; a lower number goes first, equals go in the order they came."""

    LOAD = 0
    PROMPT = 10
    VISIBLE = 20
    NEIGHBOUR = 30
    REST = 40


@dataclass(frozen=True)
class LoadModel:
    """Load a model and start a new session with it. The model in use stays if this fails.

    While weights are downloaded first, there are :class:`Stepped` events with a :class:`DownloadProgress`, and
    cancelling stops the download.

    Attributes
    ----------
    number : int
        Chosen by the front end; answers carry it.
    model : str
        Name in the catalog or path of a checkpoint file.
    device : str
        "auto", "cpu", "cuda" or "mps".
    """

    number: int
    model: str
    device: str = "auto"

    @property
    def priority(self) -> int:
        """Ahead of everything: what waits is answered by the new model."""
        return Priority.LOAD


@dataclass(frozen=True, eq=False)
class Encode:
    """Make sure that the embedding of a slice is in the cache."""

    number: int
    slice: SliceRef
    image: SliceImage
    priority: int = Priority.VISIBLE


@dataclass(frozen=True, eq=False)
class Predict:
    """Segment a slice by a prompt in its voxel coordinates. A newer one for the same slice replaces this one."""

    number: int
    slice: SliceRef
    image: SliceImage
    prompt: Prompt

    @property
    def priority(self) -> int:
        """Ahead of all encoding that is done in advance."""
        return Priority.PROMPT


@dataclass(frozen=True, eq=False)
class RunSteps:
    """Run a generator on the model thread, one item at a time, so that prompts get in between.

    Attributes
    ----------
    steps : callable
        Takes the session and returns an iterator; every item becomes a :class:`Stepped`. It keeps this session to its
        end, even when another model is loaded meanwhile. A generator is closed when the request is cancelled.
    """

    number: int
    steps: Callable[[Session], Iterator[object]]
    priority: int = Priority.REST


Request = LoadModel | Encode | Predict | RunSteps


@dataclass(frozen=True)
class ModelLoaded:
    """Answer to :class:`LoadModel`."""

    number: int
    name: str
    fingerprint: str
    device: str
    licence: str


@dataclass(frozen=True)
class DownloadProgress:
    """Bytes of a weights file that have come, of all: the value of a :class:`Stepped` of a :class:`LoadModel`."""

    done: int
    total: int


@dataclass(frozen=True)
class Encoded:
    """The embedding of a slice is there; `cached` says that it was already. Answers :class:`Encode`, and comes before
    the answer to a :class:`Predict` that had to encode."""

    number: int
    slice: SliceRef
    cached: bool
    seconds: float


@dataclass(frozen=True, eq=False)
class Predicted:
    """Answer to :class:`Predict`: candidates on the voxel grid; `seconds` since the work on it began."""

    number: int
    slice: SliceRef
    candidates: Candidates
    seconds: float


@dataclass(frozen=True, eq=False)
class Stepped:
    """One item of a :class:`RunSteps`, or how far a download for :class:`LoadModel` has come."""

    number: int
    value: object


@dataclass(frozen=True)
class Finished:
    """A :class:`RunSteps` has come to its end."""

    number: int


@dataclass(frozen=True)
class Dropped:
    """A request was cancelled or replaced; no other answer follows."""

    number: int


@dataclass(frozen=True)
class Failed:
    """A request failed; `message` is a sentence for the user."""

    number: int
    message: str


Event = ModelLoaded | Encoded | Predicted | Stepped | Finished | Dropped | Failed
