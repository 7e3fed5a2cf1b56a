"""One thread, many requests: order, stale answers, cancelling, closing, failures."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from fixtures.fake_segmenter import FakeSegmenter
from napari_sam_med.core.errors import Cancelled, ModelError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.inference import worker as worker_module
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
    Priority,
    RunSteps,
    SliceRef,
    Stepped,
)
from napari_sam_med.inference.slices import SliceImage
from napari_sam_med.inference.worker import ModelWorker

PATIENCE = 20.0
BOX = Prompt.from_box((2, 2, 8, 8))
LAST = (ModelLoaded, Encoded, Predicted, Finished, Dropped, Failed)


class Gate:
    """A segmenter whose `encode` waits until the test lets it go on."""

    def __init__(self) -> None:
        self.model = FakeSegmenter()
        self.entered = threading.Semaphore(0)
        self.release = threading.Semaphore(0)
        plain = self.model.encode

        def encode(image: np.ndarray):
            self.entered.release()
            assert self.release.acquire(timeout=PATIENCE)
            return plain(image)

        self.model.encode = encode

    def wait_entered(self) -> None:
        assert self.entered.acquire(timeout=PATIENCE)


class Bench:
    """A worker and all it said."""

    def __init__(
        self, load: Callable[[str, str], object] | None, on_event: Callable[[Event], None] | None = None
    ) -> None:
        self.events: list[Event] = []
        self.threads: set[str] = set()
        self._also = on_event
        self._changed = threading.Condition()
        self.worker = ModelWorker(self._hear, load=load)

    def _hear(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self.threads.add(threading.current_thread().name)
            self._changed.notify_all()
        if self._also is not None:
            self._also(event)

    def wait(self, number: int, *kinds: type) -> Event:
        """The last answer to a request (or the first of these kinds)."""

        def found() -> Event | None:
            wanted = kinds or LAST
            mine = [e for e in self.events if e.number == number and isinstance(e, wanted)]
            return mine[-1] if mine else None

        with self._changed:
            assert self._changed.wait_for(lambda: found() is not None, PATIENCE), self.events
            return found()

    def numbers(self, *kinds: type) -> list[int]:
        return [e.number for e in self.events if isinstance(e, kinds)]


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(model: object | None = None, load=None, loaded: bool = True, on_event=None) -> Bench:
        if load is None and loaded:
            load = lambda name, device: model or FakeSegmenter()  # noqa: E731
        new = Bench(load, on_event)
        made.append(new)
        if loaded:
            new.worker.submit(LoadModel(0, "any"))
            new.wait(0, ModelLoaded)
        return new

    yield make
    for each in made:
        assert each.worker.close(PATIENCE)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    for _ in range(100):
        made.release.release()


def picture(seed: int = 0) -> SliceImage:
    return SliceImage(np.random.default_rng(seed).integers(0, 255, (16, 20), dtype=np.uint8), (1.0, 1.0))


def ref(index: int) -> SliceRef:
    return SliceRef("volume", 0, index)


def encode(number: int, index: int, priority: int = Priority.REST) -> Encode:
    return Encode(number, ref(index), picture(index), priority)


def predict(number: int, index: int, prompt: Prompt = BOX) -> Predict:
    return Predict(number, ref(index), picture(index), prompt)


# ---- answers


def test_a_model_is_loaded_on_the_models_thread_and_described(bench):
    threads = []

    def load(name: str, device: str) -> FakeSegmenter:
        threads.append(threading.current_thread())
        model = FakeSegmenter()
        model.name = name
        return model

    desk = bench(load=load, loaded=False)
    desk.worker.submit(LoadModel(1, "sam_vit_b"))
    event = desk.wait(1)
    assert event == ModelLoaded(1, "sam_vit_b", "fake-1", "cpu", "Apache-2.0")
    assert threads[0] is not threading.main_thread()
    assert desk.threads == {threads[0].name}


def test_a_slice_is_encoded_and_then_cached(bench):
    desk = bench()
    desk.worker.submit(encode(1, 5))
    first = desk.wait(1)
    desk.worker.submit(encode(2, 5))
    second = desk.wait(2)
    assert (first.cached, second.cached) == (False, True)
    assert first.slice == second.slice == ref(5)
    assert first.seconds >= 0


def test_a_prompt_is_answered_and_tells_when_it_had_to_encode(bench):
    desk = bench()
    desk.worker.submit(predict(1, 5))
    found = desk.wait(1, Predicted)
    assert [type(e) for e in desk.events if e.number == 1] == [Encoded, Predicted]
    assert found.candidates.masks[found.candidates.best][2:9, 2:9].all()
    desk.worker.submit(predict(2, 5))
    desk.wait(2, Predicted)
    assert [type(e) for e in desk.events if e.number == 2] == [Predicted]


def test_steps_come_one_by_one_with_the_session(bench, fake_segmenter):
    desk = bench(fake_segmenter)
    desk.worker.submit(RunSteps(1, lambda session: iter([session.model.name, "two"])))
    desk.wait(1, Finished)
    mine = [(type(e), getattr(e, "value", None)) for e in desk.events if e.number == 1]
    assert mine == [(Stepped, "fake"), (Stepped, "two"), (Finished, None)]


def test_a_download_before_loading_is_told_and_can_be_cancelled(bench, monkeypatch):
    asked, go = threading.Event(), threading.Event()

    def load(name: str, device: str, progress: Callable[[int, int], None]) -> FakeSegmenter:
        progress(100, 100)
        if name == "slow":
            asked.set()
            assert go.wait(PATIENCE)
            progress(100, 100)
        return FakeSegmenter()

    monkeypatch.setattr(worker_module, "load_model", load)
    desk = bench(loaded=False)
    desk.worker.submit(LoadModel(1, "quick"))
    desk.wait(1, ModelLoaded)
    assert [e.value for e in desk.events if isinstance(e, Stepped)] == [DownloadProgress(100, 100)]
    desk.worker.submit(LoadModel(2, "slow"))
    assert asked.wait(PATIENCE)
    desk.worker.cancel(2)
    go.set()
    assert desk.wait(2, ModelLoaded, Dropped) == Dropped(2)


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


# ---- order


def test_work_goes_by_priority_and_then_in_the_order_it_came(bench, gate):
    desk = bench(gate.model)
    desk.worker.submit(encode(1, 1))
    gate.wait_entered()
    desk.worker.submit(encode(2, 2, Priority.REST))
    desk.worker.submit(encode(3, 3, Priority.NEIGHBOUR))
    desk.worker.submit(encode(4, 4, Priority.REST))
    desk.worker.submit(encode(5, 5, Priority.VISIBLE))
    desk.worker.submit(predict(6, 6))
    for _ in range(6):
        gate.release.release()
    desk.wait(4)
    assert desk.numbers(Encoded) == [1, 6, 5, 3, 2, 4]


def test_a_prompt_gets_in_between_two_steps(bench):
    desk = bench()
    stepped, go = threading.Event(), threading.Event()

    def steps(session) -> Iterator[int]:
        yield 1
        stepped.set()
        assert go.wait(PATIENCE)
        yield 2
        yield 3

    desk.worker.submit(RunSteps(1, steps))
    assert stepped.wait(PATIENCE)
    desk.worker.submit(predict(2, 1))
    go.set()
    desk.wait(1, Finished)
    kinds = [(type(e).__name__, e.number) for e in desk.events[1:]]
    assert kinds.index(("Predicted", 2)) < kinds.index(("Finished", 1))
    assert kinds[:2] == [("Stepped", 1), ("Stepped", 1)]
    assert kinds[2:4] == [("Encoded", 2), ("Predicted", 2)]


def test_runs_of_one_priority_go_one_after_the_other(bench, gate):
    desk = bench(gate.model)
    desk.worker.submit(encode(9, 9, Priority.VISIBLE))
    gate.wait_entered()
    for number in (1, 2):
        desk.worker.submit(RunSteps(number, lambda session: iter("ab")))
    gate.release.release()
    desk.wait(2, Finished)
    assert desk.numbers(Stepped, Finished) == [1, 1, 1, 2, 2, 2]


def test_a_run_keeps_its_model_when_another_is_loaded(bench):
    def load(name: str, device: str) -> FakeSegmenter:
        model = FakeSegmenter()
        model.name = name
        return model

    desk = bench(load=load)
    begun, go = threading.Event(), threading.Event()

    def steps(session) -> Iterator[str]:
        yield session.model.name
        begun.set()
        assert go.wait(PATIENCE)
        yield session.model.name
        yield session.model.name

    desk.worker.submit(RunSteps(1, steps))
    assert begun.wait(PATIENCE)
    desk.worker.submit(LoadModel(2, "new"))
    go.set()
    desk.wait(1, Finished)
    assert [e.value for e in desk.events if isinstance(e, Stepped)] == ["any"] * 3
    assert desk.numbers(ModelLoaded) == [0, 2]


# ---- stale


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


# ---- cancelling


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


# ---- failures


def test_without_a_model_requests_fail_with_a_sentence(bench):
    desk = bench(loaded=False)
    desk.worker.submit(encode(1, 1))
    desk.worker.submit(predict(2, 1))
    desk.worker.submit(RunSteps(3, lambda session: iter(())))
    for number in (1, 2, 3):
        assert "model" in desk.wait(number, Failed).message


def test_a_sentence_for_the_user_comes_through_and_the_old_model_stays(bench):
    answers: list[object] = [FakeSegmenter(), ModelError("x.pth is no SAM.")]

    def load(name: str, device: str) -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    desk = bench(load=load)
    desk.worker.submit(LoadModel(1, "x.pth"))
    assert desk.wait(1) == Failed(1, "x.pth is no SAM.")
    desk.worker.submit(predict(2, 1))
    assert desk.wait(2, Predicted)


def test_a_prompt_outside_the_slice_fails_with_a_sentence(bench):
    desk = bench()
    desk.worker.submit(predict(1, 1, Prompt.from_points([(99, 0)])))
    assert "outside" in desk.wait(1, Failed).message


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), "memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), "memory"),
        (RuntimeError("secret detail of the machine"), "RuntimeError"),
    ],
    ids=["memory", "GPU memory", "bug"],
)
def test_other_errors_become_a_short_sentence_and_a_logged_traceback(bench, caplog, error, expected):
    model = FakeSegmenter()

    def broken(embedding, prompt):
        raise error

    model.decode = broken
    desk = bench(model)
    with caplog.at_level(logging.ERROR):
        desk.worker.submit(predict(1, 1))
        message = desk.wait(1, Failed).message
    assert expected in message
    assert "secret" not in message
    assert caplog.records[0].exc_info is not None
    desk.worker.submit(encode(2, 2))
    desk.wait(2)


def test_a_failing_run_ends_and_the_thread_lives(bench):
    desk = bench()

    def steps(session) -> Iterator[int]:
        yield 1
        raise ModelError("This went wrong.")

    desk.worker.submit(RunSteps(1, steps))
    assert desk.wait(1, Failed) == Failed(1, "This went wrong.")
    desk.worker.submit(encode(2, 2))
    desk.wait(2)


def test_a_receiver_that_raises_does_not_kill_the_thread(bench, caplog):
    def rude(event: Event) -> None:
        raise RuntimeError("receiver")

    desk = bench(on_event=rude)
    with caplog.at_level(logging.CRITICAL):
        desk.worker.submit(predict(1, 1))
        assert desk.wait(1, Predicted)


# ---- closing


def test_closing_while_it_encodes_returns_in_time_and_nothing_is_said_after(bench, gate):
    desk = bench(gate.model)
    desk.worker.submit(encode(1, 1))
    gate.wait_entered()
    desk.worker.submit(encode(2, 2))
    started = time.monotonic()
    assert not desk.worker.close(timeout=0.05)
    assert time.monotonic() - started < 5
    n = len(desk.events)
    gate.release.release()
    assert desk.worker.close(PATIENCE)
    assert len(desk.events) == n
    assert len(gate.model.encoded) == 1


def test_closing_closes_runs_that_have_begun(bench):
    desk = bench()
    cleaned = threading.Event()

    def steps(session) -> Iterator[int]:
        try:
            while True:
                time.sleep(0.001)
                yield 0
        finally:
            cleaned.set()

    desk.worker.submit(RunSteps(1, steps))
    desk.wait(1, Stepped)
    assert desk.worker.close(PATIENCE)
    assert cleaned.is_set()


def test_closing_twice_and_asking_afterwards_is_harmless(bench):
    desk = bench()
    assert desk.worker.close(PATIENCE)
    assert desk.worker.close(PATIENCE)
    desk.worker.submit(encode(1, 1))
    desk.worker.cancel(1)
    desk.worker.cancel_pending(Priority.REST)
    assert desk.numbers(Encoded, Dropped) == []


def test_the_receiver_may_close_the_worker(bench):
    desks: list[Bench] = []
    closed = threading.Event()

    def close(event: Event) -> None:
        if isinstance(event, Encoded):
            desks[0].worker.close()
            closed.set()

    desks.append(bench(on_event=close))
    desks[0].worker.submit(encode(1, 1))
    desks[0].worker.submit(encode(2, 2))
    assert closed.wait(PATIENCE)
    assert desks[0].worker.close(PATIENCE)
    assert desks[0].numbers(Encoded) == [1]


def test_many_requests_from_many_threads_each_get_one_last_answer(bench):
    desk = bench(FakeSegmenter(seconds=0.0005))

    def ask(base: int) -> None:
        rng = np.random.default_rng(base)
        for i in range(40):
            number = base + i
            index = int(rng.integers(6))
            desk.worker.submit(predict(number, index) if i % 2 else encode(number, index))
            if rng.random() < 0.3:
                desk.worker.cancel(number)

    threads = [threading.Thread(target=ask, args=(base,)) for base in (1000, 2000, 3000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    desk.worker.submit(RunSteps(9999, lambda session: iter(())))
    desk.wait(9999, Finished)
    for base in (1000, 2000, 3000):
        for i in range(40):
            mine = [e for e in desk.events if e.number == base + i]
            kinds = (Predicted, Dropped, Failed) if i % 2 else (Encoded, Dropped, Failed)
            assert len([e for e in mine if isinstance(e, kinds)]) == 1, mine
            assert isinstance(mine[-1], kinds)


def test_the_interpreter_may_end_while_the_model_works():
    code = """
import time
from napari_sam_med.inference.requests import LoadModel
from napari_sam_med.inference.worker import ModelWorker

def load(name, device):
    import torch
    end = time.monotonic() + 1
    while time.monotonic() < end:
        torch.ones(200, 200) @ torch.ones(200, 200)

worker = ModelWorker(lambda event: None, load=load)
worker.submit(LoadModel(1, "any"))
time.sleep(0.2)
worker.close(0)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, timeout=120)
    assert done.returncode == 0
    assert done.stderr == b""
