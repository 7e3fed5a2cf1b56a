"""Shapes set into real slices: labelled where they cover a pixel, mixed by the share that they cover."""

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from napari_sam_med.finetune import graft
from napari_sam_med.finetune.augment import augment
from napari_sam_med.finetune.data import sample_at
from napari_sam_med.finetune.graft import grafted
from napari_sam_med.finetune.real import RealSlice


def textured(shape=(80, 100)) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.4, 0.5, shape).astype(np.float32)


def test_only_what_is_covered_changes_and_the_same_state_gives_the_same():
    unit = textured()
    before = unit.copy()
    beside = []
    for seed in range(20):
        image, labels = grafted(np.random.default_rng(seed), unit)
        again = grafted(np.random.default_rng(seed), unit)
        assert np.array_equal(image, again[0])
        assert np.array_equal(labels, again[1])
        assert image.shape == labels.shape == unit.shape
        assert image.dtype == np.float32
        assert labels.dtype == np.int32
        changed = np.abs(image - unit) > 0.02
        if not changed.any():  # the greys may be those that were there
            continue
        assert labels.max() > 0
        rows, cols = np.nonzero(changed)
        near = np.zeros_like(changed)
        for row in (-2, -1, 0, 1, 2):
            for col in (-2, -1, 0, 1, 2):
                near |= np.roll(labels > 0, (row, col), (0, 1))
        beside.append(near[rows, cols].mean())
    assert (
        np.mean(beside) > 0.9
    )  # partly covered pixels lie beside the labelled ones, but for the thinnest shapes
    assert np.array_equal(unit, before)


def test_a_thin_shape_is_mixed_with_what_it_covers_in_part(monkeypatch):
    line = np.zeros((graft.CANVAS, graft.CANVAS), bool)
    line[20:170, 90:94] = True
    line[90:94, 20:170] = True
    monkeypatch.setattr(graft, "random_shape", lambda rng, size: (line, None))
    unit = np.full((60, 60), 0.5, np.float32)
    mixed = 0
    for seed in range(20):
        image, labels = grafted(np.random.default_rng(seed), unit)
        if not (labels == 1).any():
            continue
        most = np.abs(image - 0.5).max()
        step = np.abs(image - 0.5) / max(most, 1e-6)
        mixed += int(((step > 0.15) & (step < 0.85)).any())
    assert mixed > 10


def test_a_part_of_another_grey_belongs_to_the_shape(monkeypatch):
    rows, cols = np.indices((graft.CANVAS, graft.CANVAS)) - graft.CANVAS / 2
    disc = np.hypot(rows, cols) < 80
    monkeypatch.setattr(graft, "random_shape", lambda rng, size: (disc, None))
    monkeypatch.setattr(graft, "MOST_GRAFTS", 2)  # exactly two
    monkeypatch.setattr(graft, "LEAST_SIDE", 30.0)
    spread = {}
    for odds in (0.0, 1.0):
        monkeypatch.setattr(graft, "MIXED_ODDS", odds)
        each = []
        for seed in range(20):
            image, labels = grafted(np.random.default_rng(seed), np.full((200, 200), 0.5, np.float32))
            assert labels.max() <= 2
            mask = binary_erosion(labels == labels.max(), iterations=3)
            each.append(np.ptp(image[mask]) if mask.any() else 0.0)
        spread[odds] = np.array(each)
    assert np.mean(spread[0.0] > 0.04) < 0.4  # but where one lies over another
    assert np.mean(spread[1.0] > 0.04) > 0.8


@pytest.mark.parametrize("shape", [(12, 12), (12, 200), (40, 40)])
def test_small_and_long_slices_take_grafts(shape):
    found = [
        grafted(np.random.default_rng(seed), np.full(shape, 0.3, np.float32))[1].max() for seed in range(10)
    ]
    assert max(found) > 0


def test_a_view_with_grafts_names_them_alone():
    labels = np.full((70, 90), 7, np.int32)
    values = np.linspace(0, 100, 70 * 90, dtype=np.float32).reshape(70, 90)
    source = RealSlice(values, labels, (0.0, 100.0), False, "a")
    plain = augment(np.random.default_rng(3), source, 64, 1.0)[1]
    assert set(np.unique(plain)) <= {0, 7}
    named = set(np.unique(augment(np.random.default_rng(3), source, 64, 1.0, grafts=True)[1]))
    assert named - {0}
    assert max(named) < 7 or named != {0, 7}
    assert np.array_equal(source.labels, labels)


def test_a_stream_without_grafts_is_what_it_was_before_there_were_any():
    labels = np.zeros((70, 90), np.int32)
    labels[20:50, 30:60] = 1
    source = RealSlice(np.where(labels > 0, 90.0, 10.0).astype(np.float32), labels, (0.0, 100.0), False, "a")
    one, other = (sample_at(1, 2, 64, 4, [source], 1.0, graft_share=share) for share in (0.0, 1.0))
    assert np.array_equal(one.image, sample_at(1, 2, 64, 4, [source], 1.0).image)
    assert not np.array_equal(one.masks, other.masks)
    assert other.source == "a"
