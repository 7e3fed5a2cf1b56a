"""What the model worker answers, and in which order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from fixtures.fake_segmenter import FakeSegmenter
from fixtures.worker_bench import PATIENCE, encode, predict, ref
from napari_sam_med.inference import worker as worker_module
from napari_sam_med.inference.requests import (
    DownloadProgress,
    Dropped,
    Encoded,
    Finished,
    LoadModel,
    ModelLoaded,
    Predicted,
    Priority,
    RunSteps,
    Stepped,
)


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
