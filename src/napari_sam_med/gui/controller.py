"""What the Segment panel does, without Qt: numbered requests go out, stale answers are dropped, events are logged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_sam_med.core.errors import SamMedError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.result import Candidates
from napari_sam_med.gui.encoding import EncodingPlan, Port, Scene
from napari_sam_med.gui.events import Accepted, EventLog, PromptEdited
from napari_sam_med.inference.requests import Encoded, Failed, Predict, Predicted, SliceRef
from napari_sam_med.inference.slices import slice_image

if TYPE_CHECKING:
    from napari_sam_med.gui.objects import MergeMode

CANDIDATES = 3
REMEMBERED = 24
"""Answers of one slice that are kept, so that a further click goes on from the one before and its undo goes back."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """The candidates for the prompt of a slice.

    Attributes
    ----------
    ref : SliceRef
        The slice.
    prompt : Prompt
        What was asked.
    candidates : Candidates
        On the voxel grid of the slice.
    order : tuple of int
        Candidate numbers from the highest predicted IoU to the lowest, at most three.
    seconds : float
        How long the model took.
    chosen : int
        Position in `order`.
    """

    ref: SliceRef
    prompt: Prompt
    candidates: Candidates
    order: tuple[int, ...]
    seconds: float
    chosen: int = 0

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The chosen mask, shape (rows, cols)."""
        return self.candidates.masks[self.order[self.chosen]]

    @property
    def scores(self) -> tuple[float, ...]:
        """Predicted IoU in the order shown."""
        return tuple(float(self.candidates.scores[k]) for k in self.order)


class SegmentController:
    """Requests and answers of one Segment panel.

    Parameters
    ----------
    port : Port
        Where requests go; feed its answers to :meth:`handle`.
    neighbours : int
        How many slices on each side of the visible one are encoded ahead.

    Attributes
    ----------
    log : EventLog
        What the user did.
    encoding : EncodingPlan
        Which slices are encoded, and "encode all slices".
    proposal_changed : Signal(object)
        A :class:`Proposal`, or None when there is nothing to show.
    status_changed : Signal(str)
        What the model is doing, "" when idle.
    failed : Signal(str)
        A sentence for the user.
    """

    proposal_changed = Signal(object)
    status_changed = Signal(str)
    failed = Signal(str)

    def __init__(self, port: Port, neighbours: int = 2) -> None:
        self._port = port
        self.log = EventLog()
        self.encoding = EncodingPlan(port, neighbours)
        self.encoding.failed.connect(self.failed.emit)
        self.encoding.changed.connect(self._tell_status)
        self.scene: Scene | None = None
        self.position: SliceRef | None = None
        self.model: str | None = None
        self.proposal: Proposal | None = None
        self._prompts: dict[SliceRef, Prompt] = {}
        self._asked: tuple[int, SliceRef, Prompt] | None = None
        self._answers: list[Proposal] = []

    @property
    def waiting(self) -> bool:
        """Whether a prompt is on its way."""
        return self._asked is not None

    def set_model(self, fingerprint: str | None) -> None:
        """Another model is in use, or none while it loads; candidates of the old one go."""
        if fingerprint != self.model:
            self.model = fingerprint
            self._aim()

    def set_scene(self, scene: Scene | None) -> None:
        """Another volume or window; what was asked for the old one is cancelled."""
        old = self.scene
        if old is not None and scene is not None and old.volume_id == scene.volume_id:
            same_voxels = old.volume.data is scene.volume.data
            if same_voxels and old.window == scene.window:
                self.scene = scene
                return
            if not same_voxels:
                self.encoding.forget(scene.volume_id)
        self.scene = scene
        if self.position is not None and (scene is None or self.position.volume_id != scene.volume_id):
            self.position = None
        self._aim()

    def show(self, ref: SliceRef | None) -> None:
        """Another slice is on screen (None: no slice, as in 3D display)."""
        if ref != self.position:
            self.position = ref
            self._aim()

    def prompt_edited(self, ref: SliceRef, prompt: Prompt) -> bool:
        """Log the prompt of a slice if it has changed, and say whether it has."""
        before = self.prompt_of(ref)
        if same_prompt(before, prompt):
            return False
        self.log.add(PromptEdited(ref, before, prompt))
        self.remember_prompt(ref, prompt)
        return True

    def remember_prompt(self, ref: SliceRef, prompt: Prompt) -> None:
        """Take the prompt of a slice as known, without logging it (after undo or accept)."""
        if prompt.box is None and not len(prompt.points):
            self._prompts.pop(ref, None)
        else:
            self._prompts[ref] = prompt

    def prompt_of(self, ref: SliceRef) -> Prompt:
        """The prompt of a slice as last known."""
        return self._prompts.get(ref, Prompt())

    def ask(self) -> None:
        """Segment the slice on screen by its prompt; an empty prompt clears the candidates."""
        scene, ref = self.scene, self.position
        if scene is None or ref is None or self.prompt_of(ref).empty:
            self.ask_nothing()
            return
        try:
            image = slice_image(scene.volume, ref.axis, ref.index, scene.window, ref.time)
        except SamMedError as error:
            self.failed.emit(str(error))
            return
        if self._asked is not None:
            self._port.cancel(self._asked[0])
        prompt = self._continued(ref, self.prompt_of(ref))
        number = self._port.next_number()
        self._asked = (number, ref, prompt)
        self._port.submit(Predict(number, ref, image, prompt))
        self._tell_status()

    def ask_nothing(self) -> None:
        """Drop the candidates and the prompt on its way."""
        if self._asked is not None:
            self._port.cancel(self._asked[0])
            self._asked = None
        self._propose(None)
        self._tell_status()

    def choose(self, position: int) -> None:
        """Show another candidate."""
        found = self.proposal
        if found is not None and 0 <= position < len(found.order) and position != found.chosen:
            chosen = replace(found, chosen=position)
            self._answers = [chosen if each is found else each for each in self._answers]
            self._propose(chosen)

    def next_candidate(self) -> None:
        """Show the candidate after this one, then the first again."""
        if self.proposal is not None:
            self.choose((self.proposal.chosen + 1) % len(self.proposal.order))

    def accepted(self, label: int, mode: MergeMode, voxels: int) -> Accepted | None:
        """Log that the chosen candidate was written, and forget its prompt."""
        found = self.proposal
        if found is None or self.scene is None:
            return None
        k = found.order[found.chosen]
        event = Accepted(
            found.ref,
            found.prompt.with_logits(None),
            label,
            mode,
            k,
            float(found.candidates.scores[k]),
            self.model or "",
            str(self.scene.window),
            voxels,
        )
        self.log.add(event)
        self.remember_prompt(found.ref, Prompt())
        self.ask_nothing()
        return event

    def handle(self, event: Any) -> None:
        """Take an event of the model thread; those that nobody waits for any more are dropped."""
        if self._asked is not None and event.number == self._asked[0]:
            self._handle_prediction(event, self._asked[1], self._asked[2])
        else:
            self.encoding.handle(event)

    def _handle_prediction(self, event: Any, ref: SliceRef, prompt: Prompt) -> None:
        if isinstance(event, Encoded):
            self.encoding.mark(ref.index, None if event.cached else event.seconds)
            return
        self._asked = None
        if isinstance(event, Predicted):
            self.encoding.mark(ref.index)
            order = tuple(int(k) for k in event.candidates.ranked()[:CANDIDATES])
            proposal = Proposal(ref, prompt, event.candidates, order, event.seconds)
            self._answers = [a for a in self._answers if not same_prompt(a.prompt, prompt)] + [proposal]
            self._answers = self._answers[-REMEMBERED:]
            self._propose(proposal)
        elif isinstance(event, Failed):
            self._propose(None)
            self.failed.emit(event.message)
        self._tell_status()

    def _continued(self, ref: SliceRef, prompt: Prompt) -> Prompt:
        """A prompt with the logits of the answer it corrects.

        That is the shown candidate for the same box and all but the last of its clicks, or more of them. A prompt that
        was answered before, such as after undoing a click, is asked the same way again.
        """
        before = [a for a in self._answers if a.ref == ref and _continues(prompt, a.prompt)]
        if not before:
            return prompt
        nearest = max(before, key=lambda answer: len(answer.prompt.points))
        if len(nearest.prompt.points) == len(prompt.points):
            return prompt.with_logits(nearest.prompt.mask_logits)
        if not nearest.order:
            return prompt
        return prompt.with_logits(nearest.candidates.low_res[nearest.order[nearest.chosen]])

    def _aim(self) -> None:
        self.ask_nothing()
        self.encoding.aim(self.scene, self.position, self.model)

    def _propose(self, proposal: Proposal | None) -> None:
        if proposal is not self.proposal:
            self.proposal = proposal
            if proposal is None:
                self._answers.clear()
            self.proposal_changed.emit(proposal)

    def _tell_status(self) -> None:
        text = ""
        if self._asked is not None:
            text = f"Segmenting slice {self._asked[1].index}…"
        elif self.encoding.preparing:
            text = "Preparing this slice…"
        self.status_changed.emit(text)


def _continues(prompt: Prompt, before: Prompt) -> bool:
    """Whether `prompt` is `before` with further clicks, or with none."""
    n = len(before.points)
    return n <= len(prompt.points) and same_prompt(
        before, replace(prompt, points=prompt.points[:n], labels=prompt.labels[:n])
    )


def same_prompt(a: Prompt, b: Prompt) -> bool:
    """Whether two prompts ask the same, to a thousandth of a voxel."""
    if (a.box is None) != (b.box is None) or len(a.points) != len(b.points):
        return False
    boxes_differ = (
        a.box is not None and b.box is not None and not np.allclose(a.box, b.box, atol=1e-3, rtol=0)
    )
    return not boxes_differ and bool(
        np.allclose(a.points, b.points, atol=1e-3, rtol=0) and np.array_equal(a.labels, b.labels)
    )
