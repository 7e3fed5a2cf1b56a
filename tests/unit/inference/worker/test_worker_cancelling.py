"""Requests that are stale or cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from fixtures.fake_segmenter import FakeSegmenter
from fixtures.worker_bench import PATIENCE, encode, picture, predict
from napari_sam_med.core.errors import Cancelled
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.inference.requests import (
    Dropped,
    Encoded,
    Failed,
    LoadModel,
    Predicted,
    Priority,
    RunSteps,
    Stepped,
)


def test_a_load_that_was_cancelled_leaves_the_model_in_use(bench):
    begun, go = threading.Event(), threading.Event()

    def load(name: str, device: str) -> FakeSegmenter:
        model = FakeSegmenter()
        model.name = name
        if name == "slow":
            begun.set()
            assert go.wait(PATIENCE)
        return model

    desk = bench(load=load)
    desk.worker.submit(LoadModel(1, "slow"))
    assert begun.wait(PATIENCE)
    desk.worker.cancel(1)
    go.set()
    assert desk.wait(1) == Dropped(1)
    desk.worker.submit(RunSteps(2, lambda session: iter([session.model.name])))
    assert desk.wait(2, Stepped).value == "any"


def test_a_newer_prompt_replaces_a_waiting_one_on_the_same_slice(bench, gate):
    desk = bench(gate.model)
    desk.worker.submit(encode(1, 9))
    gate.wait_entered()
    desk.worker.submit(predict(2, 1))
    desk.worker.submit(predict(3, 2))
    desk.worker.submit(predict(4, 1))
    for _ in range(4):
        gate.release.release()
    desk.wait(4, Predicted)
    desk.wait(3, Predicted)
    assert desk.wait(2) == Dropped(2)
    assert desk.numbers(Predicted) == [3, 4]


def test_a_prompt_that_was_replaced_while_its_slice_was_encoded_is_not_decoded(bench, gate):
    desk = bench(gate.model)
    desk.worker.submit(predict(1, 1))
    gate.wait_entered()
    desk.worker.submit(predict(2, 1, Prompt.from_box((3, 3, 5, 5))))
    gate.release.release()
    desk.wait(2, Predicted)
    assert desk.wait(1, Dropped)
    assert [p.box for p in gate.model.prompts] == [(3, 3, 5, 5)]
    assert len(gate.model.encoded) == 1


def test_a_waiting_request_is_dropped(bench, gate):
    desk = bench(gate.model)
    desk.worker.submit(encode(1, 1))
    gate.wait_entered()
    desk.worker.submit(encode(2, 2))
    desk.worker.cancel(2)
    gate.release.release()
    desk.wait(2)
    assert desk.numbers(Dropped) == [2]
    assert len(gate.model.encoded) == 1


def test_an_encode_at_work_is_dropped_but_its_embedding_stays(bench, gate):
    desk = bench(gate.model)
    desk.worker.submit(encode(1, 1))
    gate.wait_entered()
    desk.worker.cancel(1)
    gate.release.release()
    assert desk.wait(1) == Dropped(1)
    desk.worker.submit(encode(2, 1))
    assert desk.wait(2).cached


def test_a_run_is_stopped_between_two_steps_and_cleans_up(bench):
    desk = bench()
    cleaned = threading.Event()

    def steps(session) -> Iterator[int]:
        try:
            for i in range(10**9):
                time.sleep(0.001)
                yield i
        finally:
            cleaned.set()

    desk.worker.submit(RunSteps(1, steps))
    desk.wait(1, Stepped)
    desk.worker.cancel(1)
    assert desk.wait(1, Dropped)
    assert cleaned.is_set()
    n = len(desk.events)
    desk.worker.submit(encode(2, 1))
    desk.wait(2)
    assert len(desk.events) == n + 1


def test_a_cancelled_run_makes_no_step_more_even_behind_waiting_work(bench, gate):
    desk = bench(gate.model)
    steps_made = []

    def steps(session) -> Iterator[int]:
        for i in range(10**9):
            steps_made.append(i)
            yield i
            if i == 0:
                session.embed(picture(50))

    desk.worker.submit(RunSteps(1, steps))
    gate.wait_entered()  # inside its second step
    desk.worker.submit(encode(2, 2, Priority.VISIBLE))
    desk.worker.cancel(1)
    gate.release.release()
    gate.release.release()
    desk.wait(2)
    assert desk.wait(1) == Dropped(1)
    assert steps_made == [0, 1]
    assert desk.numbers(Stepped) == [1]


def test_waiting_requests_of_one_priority_are_dropped_together(bench, gate):
    desk = bench(gate.model)
    desk.worker.submit(encode(1, 1, Priority.NEIGHBOUR))
    gate.wait_entered()
    for number in (2, 3):
        desk.worker.submit(encode(number, number, Priority.NEIGHBOUR))
    desk.worker.submit(encode(4, 4, Priority.REST))
    desk.worker.cancel_pending(Priority.NEIGHBOUR)
    gate.release.release()
    gate.release.release()
    desk.wait(4)
    assert sorted(desk.numbers(Dropped)) == [2, 3]
    assert desk.numbers(Encoded) == [1, 4]


def test_cancelling_what_is_done_or_unknown_does_nothing(bench):
    desk = bench()
    desk.worker.submit(encode(1, 1))
    desk.wait(1)
    desk.worker.cancel(1)
    desk.worker.cancel(77)
    desk.worker.submit(encode(2, 2))
    desk.wait(2)
    assert desk.numbers(Dropped) == []


def test_a_step_may_cancel_itself(bench):
    desk = bench()

    def steps(session) -> Iterator[int]:
        yield 1
        raise Cancelled("enough")

    desk.worker.submit(RunSteps(1, steps))
    assert desk.wait(1, Dropped, Failed) == Dropped(1)
