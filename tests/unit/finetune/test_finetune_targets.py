"""Objects worth learning from: visible outlines, regions of like grey, labels that belong together."""

import numpy as np
import pytest

from napari_sam_med.finetune.samples import make_sample
from napari_sam_med.finetune.targets import grey_regions, visible_share


def disc(size=96, centre=(48, 48), radius=20):
    rows, cols = np.indices((size, size))
    return (rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 < radius**2


def noise(size=96, level=8.0):
    return np.random.default_rng(0).normal(120, level, (size, size))


def grey(values):
    return np.clip(values, 0, 255).astype(np.uint8)


def test_an_outline_between_two_greys_is_visible_and_one_within_a_tissue_is_not():
    mask = disc()
    assert visible_share(grey(noise() + 60 * mask), mask) > 0.95
    assert visible_share(grey(noise()), mask) < 0.1


def test_half_an_outline_is_half_visible():
    mask = disc()
    left = np.indices(mask.shape)[1] < 48
    image = grey(np.where(left & ~mask, 30, 120) + noise() - 120)
    assert visible_share(image, mask) == pytest.approx(0.5, abs=0.1)


def test_the_edge_of_the_slice_is_no_hidden_outline():
    mask = np.ones((32, 32), bool)
    assert visible_share(grey(noise(32)), mask) == 1.0
    assert visible_share(grey(noise(32)), ~mask) == 0.0


def test_objects_that_cannot_be_seen_are_mostly_passed_over():
    seen, hidden = disc(centre=(30, 30)), disc(centre=(70, 66))
    labels = seen + 2 * hidden.astype(np.int32)
    image = grey(noise() + 70 * seen)
    count = {1: 0, 2: 0}
    for seed in range(12):
        sample = make_sample(np.random.default_rng(seed), image, labels, 4)
        assert sample is not None
        for mask in sample.masks:
            if not (mask & seen).any():
                count[2] += 1
            elif not (mask & hidden).any():
                count[1] += 1
    assert count[1] > 3 * count[2]


def test_labels_of_like_grey_are_at_times_one_target():
    left, right, other = (
        disc(centre=(30, 25), radius=12),
        disc(centre=(30, 70), radius=12),
        disc(centre=(75, 48), radius=10),
    )
    labels = left + 2 * right.astype(np.int32) + 3 * other
    image = grey(noise() + 80 * (left | right) - 60 * other)
    both = 0
    for seed in range(30):
        sample = make_sample(np.random.default_rng(seed), image, labels, 6)
        for mask in sample.masks:
            if np.array_equal(mask, left | right):
                both += 1
    assert both > 3


def test_one_click_is_never_asked_to_mean_scattered_parts():
    parts = disc(centre=(30, 25), radius=12) | disc(centre=(60, 70), radius=12)
    image = grey(noise() + 80 * parts)
    for seed in range(20):
        sample = make_sample(np.random.default_rng(seed), image, parts.astype(np.int32), 4)
        for mask, box in zip(sample.masks, sample.boxes, strict=True):
            if mask.sum() == parts.sum():
                assert not np.isnan(box).any()


def test_regions_follow_the_greys():
    mask = disc()
    image = grey(noise(level=2) + 90 * mask - 110 * (np.indices(mask.shape)[0] < 8))
    found = []
    for seed in range(12):
        labels = grey_regions(np.random.default_rng(seed), image)
        assert labels.shape == image.shape
        for value in range(1, labels.max() + 1):
            region = labels == value
            found.append(2 * (region & mask).sum() / (region.sum() + mask.sum()))
    assert max(found) > 0.8
