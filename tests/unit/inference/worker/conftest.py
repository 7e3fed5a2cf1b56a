"""Workers that are closed after the test, and a gate that is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fixtures.fake_segmenter import FakeSegmenter
from fixtures.worker_bench import PATIENCE, Bench, Gate
from napari_sam_med.inference.requests import LoadModel, ModelLoaded


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
