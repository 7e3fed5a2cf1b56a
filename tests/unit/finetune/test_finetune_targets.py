"""Objects worth learning from: visible outlines, regions of like grey, labels that belong together."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from napari_sam_med.finetune import samples, targets
from napari_sam_med.finetune.samples import _Objects, make_sample
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
    for seed in range(24):
        sample = make_sample(np.random.default_rng(seed), image, labels, 4)
        for mask in [] if sample is None else sample.masks:
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


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_what_differs_from_its_surroundings_is_a_region_only_where_these_are_looked_at(monkeypatch, share):
    monkeypatch.setattr(targets, "BODY_ODDS", 0.0)
    monkeypatch.setattr(targets, "LOCAL_ODDS", share)
    mask = disc(radius=7)
    shading = np.linspace(0, 220, 96)[None] * np.ones((96, 1))  # a wide step hides a small one
    image = grey(shading + 25 * mask)
    best = 0.0
    for seed in range(12):
        labels = grey_regions(np.random.default_rng(seed), image)
        regions = [labels == value for value in range(1, labels.max() + 1)]
        overlaps = [2 * (region & mask).sum() / (region.sum() + mask.sum()) for region in regions]
        best = max([best, *overlaps])
    assert (best > 0.7) == bool(share)


def test_what_is_known_of_an_object_is_what_would_be_found_out_anew(monkeypatch):
    image = grey(noise() + 60 * disc())
    two = disc(centre=(25, 25), radius=12) | disc(centre=(70, 66), radius=8)
    objects = _Objects(image, two.astype(np.int32))
    for _ in range(2):
        for mask in (two, disc()):
            assert objects.visible_share(mask) == visible_share(image, mask)
            rows, cols = np.nonzero(mask)
            assert objects.fill(mask) == pytest.approx(mask.sum() / ((np.ptp(rows) + 1) * (np.ptp(cols) + 1)))
            pieces, sizes = objects.pieces(mask)
            np.testing.assert_array_equal(pieces, ndi.label(mask)[0])
            assert sizes.tolist() == [0, *(int((pieces == k).sum()) for k in range(1, pieces.max() + 1))]
        monkeypatch.delattr(samples, "visible_share", raising=False)  # the second time nothing is looked at


def test_objects_that_leave_their_box_empty_are_taken_more_often_than_full_ones():
    full, ring = disc(centre=(25, 25), radius=14), disc(centre=(68, 66), radius=16)
    ring &= ~disc(centre=(68, 66), radius=11)
    labels = full + 2 * ring.astype(np.int32)
    image = grey(noise() + 80 * (full | ring))
    taken = {True: 0, False: 0}
    for seed in range(40):
        sample = make_sample(np.random.default_rng(seed), image, labels, 4, unite=False)
        for mask in [] if sample is None else sample.masks:
            taken[bool((mask & ring).any())] += 1
    assert taken[True] > 1.5 * taken[False]
