"""Files of embeddings: trusted only when whole, and within a budget."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from napari_sam_med.core.result import Embedding
from napari_sam_med.embeddings import DiskStore

BUDGET = 10**6


def make(seed: int = 0, n: int = 1000) -> Embedding:
    rng = np.random.default_rng(seed)
    arrays = {
        "features": rng.normal(size=(2, n)).astype(np.float16),
        "image": rng.integers(0, 255, (3, 5), dtype=np.uint8),
        "scale": np.float32([1.5]),
    }
    return Embedding(arrays, (30, 50), "model-1")


def assert_same(found: Embedding | None, expected: Embedding) -> None:
    assert found is not None
    assert found.image_shape == expected.image_shape
    assert found.model == expected.model
    assert set(found.arrays) == set(expected.arrays)
    for name, array in expected.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def the_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_what_is_saved_comes_back_bit_for_bit(tmp_path):
    store = DiskStore(tmp_path / "deep" / "folder", BUDGET)
    embedding = make()
    assert "a" not in store
    assert store.load("a") is None
    store.save("a", embedding)
    assert "a" in store
    assert_same(DiskStore(store.folder, BUDGET).load("a"), embedding)


def test_arrays_that_are_not_contiguous_come_back_right(tmp_path):
    store = DiskStore(tmp_path, BUDGET)
    turned = np.arange(12, dtype=np.float32).reshape(3, 4).T
    store.save("a", Embedding({"x": turned}, (4, 3), "m"))
    np.testing.assert_array_equal(store.load("a").arrays["x"], turned)


def flip_last_byte(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c[: len(c) // 2],
        lambda c: c[:5],
        lambda c: b"",
        flip_last_byte,
        lambda c: b"not safetensors at all, but long enough to have a head",
        lambda c: c.replace(b"checksum", b"chocksum"),
        lambda c: b"\xff" * 8 + c[8:],
    ],
    ids=["half", "head only", "empty", "one bit", "other kind", "no checksum", "huge head"],
)
def test_a_damaged_file_counts_as_missing_and_is_deleted(tmp_path, damage):
    store = DiskStore(tmp_path, BUDGET)
    store.save("a", make())
    path = the_file(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert store.load("a") is None
    assert list(tmp_path.iterdir()) == []
    store.save("a", make(1))
    assert_same(store.load("a"), make(1))


def test_the_least_recently_used_file_goes_first(tmp_path):
    store = DiskStore(tmp_path, BUDGET)
    for age, key in enumerate("cba"):
        store.save(key, make())
        os.utime(tmp_path / f"{key}.safetensors", (1000 + age, 1000 + age))
    size = (tmp_path / "a.safetensors").stat().st_size
    assert store.load("c") is not None  # the oldest is used again
    store.budget = int(3.5 * size)
    store.save("d", make())
    assert "b" not in store
    assert "c" in store
    assert "d" in store
    assert store.usage()[1] <= store.budget


def test_the_budget_holds_over_many_writes_and_with_files_of_another_process(tmp_path):
    other = DiskStore(tmp_path, BUDGET)
    for i in range(4):
        other.save(f"old{i}", make(i))
    size = other.usage()[1] // 4
    store = DiskStore(tmp_path, 3 * size)
    for i in range(6):
        store.save(f"new{i}", make(i))
        assert store.usage()[1] <= store.budget
    assert "new5" in store


def test_saving_a_key_again_is_not_counted_twice(tmp_path):
    store = DiskStore(tmp_path, BUDGET)
    store.save("other", make())
    store.budget = int(2.5 * store.usage()[1])
    for _ in range(5):
        store.save("a", make())
    assert "other" in store


def test_an_embedding_beyond_the_whole_budget_is_not_written(tmp_path):
    store = DiskStore(tmp_path, 100)
    store.save("a", make())
    assert store.usage() == (0, 0)


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    store = DiskStore(tmp_path, BUDGET)

    def full(self, content):
        with open(self, "wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError):
        store.save("a", make())
    assert list(tmp_path.iterdir()) == []
    assert "a" not in store


def test_old_temporary_files_are_swept_and_young_ones_stay(tmp_path):
    for name, age in (("old.tmp", 10_000), ("young.tmp", 0)):
        (tmp_path / name).write_bytes(b"x")
        if age:
            os.utime(tmp_path / name, (1000, 1000))
    DiskStore(tmp_path, BUDGET).save("a", make())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.safetensors", "young.tmp"]


def test_clear_deletes_embeddings_and_nothing_else(tmp_path):
    store = DiskStore(tmp_path, BUDGET)
    (tmp_path / "notes.txt").write_text("mine")
    store.save("a", make())
    used = store.usage()
    assert used[0] == 1
    assert store.clear() == used[1]
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    assert DiskStore(tmp_path / "nowhere", 1).clear() == 0
