"""Memory over disk, and work that goes on when the disk does not."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np
import pytest

from napari_sam_med.core.result import Embedding
from napari_sam_med.embeddings import DiskStore, EmbeddingCache, default_folder

SIZE = 1000


def make(value: int = 0) -> Embedding:
    return Embedding({"x": np.full(SIZE, value, np.uint8)}, (10, 10), "m")


def test_memory_keeps_the_most_recently_used_within_its_budget():
    cache = EmbeddingCache(memory_bytes=2 * SIZE)
    cache.put("a", make())
    cache.put("b", make())
    assert cache.get("a") is not None
    cache.put("c", make())
    assert "b" not in cache
    assert "a" in cache
    assert "c" in cache
    assert cache.info().memory_bytes == 2 * SIZE


def test_replacing_an_entry_counts_it_once():
    cache = EmbeddingCache(memory_bytes=2 * SIZE)
    for value in range(5):
        cache.put("a", make(value))
    assert cache.info().memory_bytes == SIZE
    assert cache.get("a").arrays["x"][0] == 4


def test_what_left_memory_comes_back_from_disk(tmp_path):
    cache = EmbeddingCache(DiskStore(tmp_path, 10**6), memory_bytes=SIZE)
    cache.put("a", make(1))
    cache.put("b", make(2))
    assert cache.info().memory_count == 1
    assert "a" in cache
    assert cache.get("a").arrays["x"][0] == 1
    assert cache.info().count == 2


def test_another_session_finds_it(tmp_path):
    EmbeddingCache(DiskStore(tmp_path, 10**6)).put("a", make(7))
    assert EmbeddingCache(DiskStore(tmp_path, 10**6)).get("a").arrays["x"][0] == 7


def test_a_disk_that_fails_is_reported_once_and_memory_serves(tmp_path, monkeypatch, caplog):
    cache = EmbeddingCache(DiskStore(tmp_path, 10**6))

    def full(self, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(Path, "write_bytes", full)
        cache.put("a", make(1))
        cache.put("b", make(2))
    assert len(caplog.records) == 1
    assert "No space left" in cache.info().problem
    assert cache.get("a").arrays["x"][0] == 1
    assert cache.get("b").arrays["x"][0] == 2
    assert cache.info().count == 0
    cache.clear()
    cache.put("c", make(3))
    assert cache.info().problem is None
    assert cache.info().count == 1


def test_a_folder_that_cannot_be_made_harms_nothing(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    cache = EmbeddingCache(DiskStore(tmp_path / "file" / "embeddings", 10**6))
    assert cache.get("a") is None
    with caplog.at_level(logging.WARNING):
        cache.put("a", make(1))
    assert cache.get("a") is not None
    assert cache.info().problem is not None


def test_clear_empties_both(tmp_path):
    cache = EmbeddingCache(DiskStore(tmp_path, 10**6))
    cache.put("a", make())
    assert cache.clear() > SIZE
    assert "a" not in cache
    info = cache.info()
    assert (info.count, info.bytes, info.memory_count, info.memory_bytes) == (0, 0, 0, 0)


def test_new_budgets_shrink_memory_at_once(tmp_path):
    cache = EmbeddingCache(DiskStore(tmp_path, 10**6), memory_bytes=5 * SIZE)
    for name in "abcd":
        cache.put(name, make())
    cache.set_budgets(2 * SIZE, 4000)
    assert cache.info().memory_count == 2
    assert cache.info().budget == 4000
    cache.put("e", make())
    assert cache.info().bytes <= 4000


def test_the_folder_is_the_users_or_the_one_told(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SAM_MED_CACHE", str(tmp_path / "here"))
    assert EmbeddingCache.default().info().folder == tmp_path / "here"
    monkeypatch.delenv("NAPARI_SAM_MED_CACHE")
    assert default_folder().name == "embeddings"
    assert "napari-sam-med" in default_folder().parts


def test_threads_can_share_it(tmp_path):
    cache = EmbeddingCache(DiskStore(tmp_path, 20 * SIZE), memory_bytes=4 * SIZE)
    wrong: list[str] = []

    def work(worker: int) -> None:
        for i in range(40):
            value = (worker + i) % 10
            cache.put(str(value), make(value))
            found = cache.get(str(value))
            if found is not None and not (found.arrays["x"] == value).all():
                wrong.append(str(value))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    info = cache.info()
    assert not wrong
    assert info.problem is None
    assert info.memory_bytes <= 4 * SIZE
    assert info.bytes <= 20 * SIZE


@pytest.mark.parametrize("memory_bytes", [0, SIZE - 1])
def test_an_embedding_too_large_for_memory_is_not_kept_there(memory_bytes):
    cache = EmbeddingCache(memory_bytes=memory_bytes)
    cache.put("a", make())
    assert cache.get("a") is None
    assert cache.info().memory_bytes == 0
