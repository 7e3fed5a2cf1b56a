"""The controller without a window: what it asks for, what it drops, what it logs."""

from __future__ import annotations

import numpy as np
import pytest

from fixtures.fake_segmenter import FakeSegmenter
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.result import Candidates
from napari_sam_med.core.windowing import Window
from napari_sam_med.gui.controller import SegmentController, same_prompt
from napari_sam_med.gui.encoding import Scene
from napari_sam_med.gui.events import Accepted, PromptEdited, Undone
from napari_sam_med.inference.precompute import Progress
from napari_sam_med.inference.requests import (
    Dropped,
    Encode,
    Encoded,
    Failed,
    Finished,
    Predict,
    Predicted,
    Priority,
    RunSteps,
    SliceRef,
    Stepped,
)
from napari_sam_med.inference.session import Session

BOX = Prompt(box=(2, 2, 6, 6))


class FakePort:
    """Keeps what was sent."""

    def __init__(self):
        self.sent = []
        self.cancelled = []
        self._number = 0

    def next_number(self):
        self._number += 1
        return self._number

    def submit(self, request):
        self.sent.append(request)
        return request.number

    def cancel(self, number):
        self.cancelled.append(number)

    def of(self, kind):
        return [r for r in self.sent if isinstance(r, kind)]


def volume(seed=0, shape=(10, 12, 14)):
    data = np.random.default_rng(seed).integers(0, 100, shape).astype(np.int16)
    return volume_from_source(data, np.diag([-1.0, -1.0, -3.0, 1.0])[[2, 1, 0, 3]], name="v")


@pytest.fixture
def port():
    return FakePort()


@pytest.fixture
def controller(port):
    found = SegmentController(port, neighbours=1)
    found.set_model("model-1")
    found.set_scene(Scene("a", volume(), Window(50, 100)))
    found.show(SliceRef("a", 0, 5))
    return found


def answer(controller, request, scores=(0.2, 0.9, 0.5)):
    masks = np.zeros((3, *request.image.shape), bool)
    masks[:, 2:5, 2:5] = True
    # the logits tell which answer and which candidate they are of
    low_res = np.stack([np.full((2, 2), 10 * request.number + k, np.float32) for k in range(3)])
    candidates = Candidates(masks, np.array(scores, np.float32), low_res)
    controller.handle(Predicted(request.number, request.slice, candidates, 0.01))


def test_visible_slice_is_encoded_before_its_neighbours(controller, port):
    asked = [(r.slice.index, r.priority) for r in port.of(Encode)]
    assert asked == [(5, Priority.VISIBLE), (6, Priority.NEIGHBOUR), (4, Priority.NEIGHBOUR)]


def test_the_model_sees_the_window_on_screen(controller, port):
    image = port.of(Encode)[0].image
    assert np.array_equal(image.pixels, Window(50, 100).apply(controller.scene.volume.slice(0, 5)))


def test_candidates_come_best_first_and_can_be_stepped_through(controller, port):
    controller.prompt_edited(SliceRef("a", 0, 5), BOX)
    controller.ask()
    answer(controller, port.of(Predict)[-1])
    assert controller.proposal.scores == pytest.approx((0.9, 0.5, 0.2))
    shown = []
    for _ in range(4):
        shown.append(controller.proposal.order[controller.proposal.chosen])
        controller.next_candidate()
    assert shown == [1, 2, 0, 1]


REF = SliceRef("a", 0, 5)


def ask(controller, port, prompt):
    """Ask on the visible slice and answer; gives the prompt the model saw."""
    controller.prompt_edited(controller.position, prompt)
    controller.ask()
    request = port.of(Predict)[-1]
    answer(controller, request)
    return request


def fed_back(request):
    logits = request.prompt.mask_logits
    return None if logits is None else int(logits[0, 0])


def test_a_further_click_goes_on_from_the_shown_candidate(controller, port):
    first = ask(controller, port, BOX)
    assert fed_back(first) is None
    second = ask(controller, port, BOX.with_points([(3, 3)], [1]))
    assert fed_back(second) == 10 * first.number + 1  # candidate 1 has the highest score
    controller.next_candidate()
    third = ask(controller, port, BOX.with_points([(3, 3), (5, 5)], [1, 0]))
    assert fed_back(third) == 10 * second.number + 2


def test_an_undone_click_asks_what_was_asked_before(controller, port):
    one, two = BOX.with_points([(3, 3)], [1]), BOX.with_points([(3, 3), (5, 5)], [1, 0])
    ask(controller, port, BOX)
    before = ask(controller, port, one)
    ask(controller, port, two)
    assert fed_back(ask(controller, port, one)) == fed_back(before)
    assert fed_back(ask(controller, port, BOX)) is None


@pytest.mark.parametrize(
    "prompt",
    [Prompt(box=(2, 2, 7, 6)).with_points([(3, 3)], [1]), BOX.with_points([(4, 3)], [1]), BOX],
    ids=["box moved", "click moved", "click removed"],
)
def test_a_changed_prompt_starts_anew(controller, port, prompt):
    controller.prompt_edited(REF, BOX.with_points([(3, 3)], [1]))
    controller.ask()
    answer(controller, port.of(Predict)[-1])
    assert fed_back(ask(controller, port, prompt)) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.show(SliceRef("a", 0, 6)),
        lambda c: c.set_model("model-2"),
        lambda c: c.set_scene(Scene("a", c.scene.volume, Window(10, 20))),
        lambda c: c.ask_nothing(),
        lambda c: c.accepted(1, "replace", 9),
    ],
    ids=["slice", "model", "window", "cleared", "accepted"],
)
def test_nothing_is_fed_back_across_a_change(controller, port, change):
    ask(controller, port, BOX)
    change(controller)
    controller.show(REF)
    assert fed_back(ask(controller, port, BOX.with_points([(3, 3)], [1]))) is None


def test_an_answer_without_candidates_feeds_nothing_back(controller, port):
    controller.prompt_edited(REF, BOX)
    controller.ask()
    request = port.of(Predict)[-1]
    empty = Candidates(
        np.zeros((0, *request.image.shape), bool), np.zeros(0, np.float32), np.zeros((0, 2, 2), np.float32)
    )
    controller.handle(Predicted(request.number, request.slice, empty, 0.01))
    assert fed_back(ask(controller, port, BOX.with_points([(3, 3)], [1]))) is None


def test_answer_to_an_older_prompt_is_dropped(controller, port):
    ref = SliceRef("a", 0, 5)
    controller.prompt_edited(ref, BOX)
    controller.ask()
    controller.prompt_edited(ref, Prompt(box=(1, 1, 3, 3)))
    controller.ask()
    old, new = port.of(Predict)
    answer(controller, old)
    assert controller.proposal is None
    answer(controller, new)
    assert controller.proposal.prompt.box == (1, 1, 3, 3)
    assert old.number in port.cancelled


@pytest.mark.parametrize("change", ["slice", "window", "volume", "model", "3d"])
def test_answer_after_a_change_is_dropped(controller, port, change):
    controller.prompt_edited(SliceRef("a", 0, 5), BOX)
    controller.ask()
    request = port.of(Predict)[-1]
    if change == "slice":
        controller.show(SliceRef("a", 0, 6))
    elif change == "window":
        controller.set_scene(Scene("a", controller.scene.volume, Window(0, 10)))
    elif change == "volume":
        controller.set_scene(Scene("b", volume(1), Window(50, 100)))
    elif change == "model":
        controller.set_model("model-2")
    else:
        controller.show(None)
    answer(controller, request)
    assert controller.proposal is None
    assert not controller.waiting


def test_an_empty_prompt_takes_the_candidates_away(controller, port):
    ref = SliceRef("a", 0, 5)
    controller.prompt_edited(ref, BOX)
    controller.ask()
    answer(controller, port.of(Predict)[-1])
    controller.prompt_edited(ref, Prompt())
    controller.ask()
    assert controller.proposal is None
    assert len(port.of(Predict)) == 1


def test_failure_reaches_the_panel_as_its_sentence(controller, port):
    told = []
    controller.failed.connect(told.append)
    controller.prompt_edited(SliceRef("a", 0, 5), BOX)
    controller.ask()
    controller.handle(Failed(port.of(Predict)[-1].number, "The model is tired."))
    assert told == ["The model is tired."]
    assert not controller.waiting


def test_prompt_edits_are_logged_once(controller):
    ref = SliceRef("a", 0, 5)
    assert controller.prompt_edited(ref, BOX)
    assert not controller.prompt_edited(ref, Prompt(box=(2, 2, 6, 6.0000001)))
    assert controller.prompt_edited(ref, Prompt())
    kinds = [type(e) for e in controller.log]
    assert kinds == [PromptEdited, PromptEdited]


def test_undo_reads_the_log_backwards_for_each_volume(controller, port):
    ref = SliceRef("a", 0, 5)
    controller.prompt_edited(ref, BOX)
    controller.ask()
    answer(controller, port.of(Predict)[-1])
    accepted = controller.accepted(3, "add", 9)
    assert (accepted.label, accepted.candidate, accepted.prompt.box) == (3, 1, BOX.box)
    assert controller.prompt_of(ref).empty
    other = SliceRef("b", 0, 1)
    controller.log.add(PromptEdited(other, Prompt(), BOX))
    assert isinstance(controller.log.last_undoable("a"), Accepted)
    controller.log.add(Undone(accepted.number))
    assert isinstance(controller.log.last_undoable("a"), PromptEdited)
    assert controller.log.last_undoable("b").ref == other
    assert controller.log.last_undoable("c") is None
    assert [e.number for e in controller.log] == list(range(1, len(controller.log) + 1))


def test_encoded_slices_are_known_by_window_plane_and_model(controller, port):
    for request in port.of(Encode):
        controller.handle(Encoded(request.number, request.slice, False, 0.5))
    assert controller.encoding.encoded == {4, 5, 6}
    window = controller.scene.window
    controller.set_scene(Scene("a", controller.scene.volume, Window(0, 10)))
    assert controller.encoding.encoded == frozenset()
    controller.set_scene(Scene("a", controller.scene.volume, window))
    assert controller.encoding.encoded == {4, 5, 6}
    controller.show(SliceRef("a", 1, 5))
    assert controller.encoding.encoded == frozenset()
    controller.show(SliceRef("a", 0, 5))
    controller.set_model("model-2")
    assert controller.encoding.encoded == frozenset()


def test_other_voxels_under_the_same_name_are_not_taken_for_encoded(controller, port):
    for request in port.of(Encode):
        controller.handle(Encoded(request.number, request.slice, False, 0.5))
    controller.set_scene(Scene("a", volume(7), controller.scene.window))
    assert controller.encoding.encoded == frozenset()


def test_scrolling_on_cancels_what_is_not_near_any_more(controller, port):
    before = {r.slice.index: r.number for r in port.of(Encode)}
    controller.show(SliceRef("a", 0, 6))
    assert port.cancelled == [before[4]]
    assert {r.slice.index for r in port.of(Encode)} == {4, 5, 6, 7}


def run_steps(controller, request, session):
    """What the model thread does with a RunSteps."""
    for value in request.steps(session):
        controller.handle(Stepped(request.number, value))
    controller.handle(Finished(request.number))


def test_encode_all_goes_outwards_and_reports_progress(controller, port):
    segmenter = FakeSegmenter()
    progress = []
    controller.encoding.progress.connect(progress.append)
    controller.encoding.encode_all()
    request = port.of(RunSteps)[-1]
    session = Session(segmenter)
    steps = list(request.steps(session))
    assert all(isinstance(s, Progress) for s in steps)
    distances = [abs(s.index - 5) for s in steps]
    assert distances == sorted(distances)
    for step in steps:
        controller.handle(Stepped(request.number, step))
    controller.handle(Finished(request.number))
    assert controller.encoding.encoded == frozenset(range(10))
    assert [p.done for p in progress[:-1]] == list(range(11))
    assert progress[-1] is None
    assert controller.encoding.estimate().slices == 0


def test_encode_all_can_be_stopped_and_keeps_what_is_done(controller, port):
    controller.encoding.encode_all()
    request = port.of(RunSteps)[-1]
    step = next(iter(request.steps(Session(FakeSegmenter()))))
    controller.handle(Stepped(request.number, step))
    controller.encoding.cancel_all()
    assert request.number in port.cancelled
    assert not controller.encoding.running
    controller.handle(Stepped(request.number, step))
    controller.handle(Dropped(request.number))
    assert controller.encoding.encoded == {step.index}


@pytest.mark.parametrize("change", ["window", "volume", "model"])
def test_encode_all_stops_when_its_embeddings_are_of_no_more_use(controller, port, change):
    controller.encoding.encode_all()
    if change == "window":
        controller.set_scene(Scene("a", controller.scene.volume, Window(0, 10)))
    elif change == "volume":
        controller.set_scene(Scene("b", volume(1), Window(50, 100)))
    else:
        controller.set_model("model-2")
    assert not controller.encoding.running


def test_encode_all_goes_on_while_the_user_scrolls(controller):
    controller.encoding.encode_all()
    controller.show(SliceRef("a", 0, 2))
    controller.show(SliceRef("a", 1, 2))
    assert controller.encoding.running


def test_estimate_and_slices_of_an_earlier_session_are_found(controller, port):
    session = Session(FakeSegmenter())
    first = port.of(RunSteps)[0]
    assert controller.encoding.estimate().bytes is None
    window, source = controller.scene.window, controller.scene.volume
    from napari_sam_med.inference.slices import slice_image

    for index in (0, 9):
        session.embed(slice_image(source, 0, index, window))
    run_steps(controller, first, session)
    assert controller.encoding.encoded == {0, 9}
    assert controller.encoding.estimate().bytes == 8 * 32


def test_same_prompt_tells_points_labels_and_boxes_apart():
    a = Prompt.from_points([[1, 2]], [1])
    assert same_prompt(a, Prompt.from_points([[1, 2]], [1]))
    assert not same_prompt(a, Prompt.from_points([[1, 2]], [0]))
    assert not same_prompt(a, Prompt.from_points([[1, 3]], [1]))
    assert not same_prompt(a, Prompt(points=[[1, 2]], labels=[1], box=(0, 0, 1, 1)))
