"""Failures, closing, and the end of the interpreter."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from fixtures.fake_segmenter import FakeSegmenter
from fixtures.worker_bench import PATIENCE, Bench, encode, predict
from napari_sam_med.core.errors import ModelError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.inference.requests import (
    Dropped,
    Encoded,
    Event,
    Failed,
    Finished,
    LoadModel,
    Predicted,
    Priority,
    RunSteps,
    Stepped,
)


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
