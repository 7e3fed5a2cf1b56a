"""Factors of shapes whose values follow from geometry."""

import math

import numpy as np
import pytest

from fixtures.known_shapes import ellipse, star
from napari_sam_med.factors import VESSEL_ADVICE, FactorInput, compute_factors, is_vessel_like
from napari_sam_med.factors.intensity import boundary_gradient, contrast_to_noise, histogram_overlap
from napari_sam_med.factors.shape import (
    area_box_ratio,
    border_distance_mm,
    compactness,
    component_count,
    hole_count,
    perimeter_mm,
    skeleton_ratio,
    solidity,
)

SQUARE = (1.0, 1.0)


def rectangle(rows, cols, size=100):
    mask = np.zeros((size, size), bool)
    mask[20 : 20 + rows, 30 : 30 + cols] = True
    return mask


def diagonal(size=100):
    return np.eye(size, dtype=bool)


def factors(mask, image=None, spacing=SQUARE):
    image = np.where(mask, 180, 60).astype(np.uint8) if image is None else image
    return compute_factors(FactorInput(image, mask, spacing, 5, (1, 9), 3.0))


CIRCLE = ellipse(50, 50)
RING = CIRCLE & ~ellipse(25, 25)


def test_circle():
    found = factors(CIRCLE)
    assert found["size_px"] == pytest.approx(math.pi * 50**2, rel=0.01)
    assert found["aspect_ratio"] == 1
    assert found["compactness"] == pytest.approx(1, abs=0.03)
    assert found["solidity"] == pytest.approx(1, abs=0.03)
    assert found["area_box_ratio"] == pytest.approx(math.pi / 4, abs=0.02)
    assert found["boundary_complexity"] == found["boundary_complexity_full"] == pytest.approx(1, abs=0.5)
    assert (found["components"], found["holes"]) == (1, 0)
    assert found["skeleton_ratio"] < 0.01


def test_ellipse():
    found = factors(ellipse(60, 20))
    assert found["aspect_ratio"] == pytest.approx(1 / 3, abs=0.02)
    assert found["solidity"] == pytest.approx(1, abs=0.04)
    assert found["area_box_ratio"] == pytest.approx(math.pi / 4, abs=0.03)
    # perimeter by Ramanujan, 267.3
    around = math.pi * (3 * 80 - math.sqrt((3 * 60 + 20) * (60 + 3 * 20)))
    assert found["compactness"] == pytest.approx(4 * math.pi * math.pi * 60 * 20 / around**2, rel=0.05)


def test_a_disc_seen_with_unequal_spacing_is_still_a_disc():
    flat = ellipse(10, 50)
    assert compactness(flat, (5.0, 1.0)) == pytest.approx(1, abs=0.05)
    assert compactness(flat, SQUARE) < 0.6
    assert perimeter_mm(flat, (5.0, 1.0)) == pytest.approx(2 * math.pi * 50, rel=0.05)


def test_ring():
    found = factors(RING)
    assert (found["components"], found["holes"]) == (1, 1)
    assert found["solidity"] == pytest.approx(0.75, abs=0.03)  # a quarter of the area is the hole
    # 4 pi * pi (R^2 - r^2) / (2 pi (R + r))^2 = (R - r) / (R + r)
    assert found["compactness"] == pytest.approx(1 / 3, abs=0.02)
    # one closed line in the middle of a wall of 25: its length over the area is about 1 / 25, less what diagonals save
    assert 0.6 / 25 < found["skeleton_ratio"] < 1.2 / 25
    assert found["boundary_complexity"] < 3


def test_star():
    shape = star(7, 40)
    found = factors(shape)
    assert found["solidity"] < 0.75
    assert found["compactness"] < 0.4
    assert found["boundary_complexity"] > found["boundary_complexity_full"] > 7
    assert not is_vessel_like(found)


def test_line():
    line = rectangle(1, 40)
    found = factors(line)
    assert found["aspect_ratio"] == pytest.approx(1 / 40)
    assert found["skeleton_ratio"] == found["solidity"] == found["area_box_ratio"] == 1
    # the perimeter of 40 x 1 is about 82; four directions know it to a few percent
    assert perimeter_mm(line, SQUARE) == pytest.approx(82, rel=0.1)
    assert found["compactness"] < 0.1


def test_a_diagonal_line_is_one_part_and_fills_nothing():
    found = factors(diagonal())
    assert found["components"] == 1
    assert found["area_box_ratio"] == pytest.approx(0.01)
    assert found["skeleton_ratio"] == 1
    assert found["boundary_complexity_full"] > 10
    assert is_vessel_like(found)


def test_single_pixel():
    found = factors(rectangle(1, 1))
    expected = ("aspect_ratio", "solidity", "compactness", "area_box_ratio", "skeleton_ratio", "components")
    assert [found[name] for name in expected] == [1] * len(expected)


def test_rectangle():
    block = rectangle(20, 40)
    assert area_box_ratio(block) == solidity(block) == 1
    assert perimeter_mm(block, SQUARE) == pytest.approx(120, rel=0.07)  # upright sides are the worst case
    assert compactness(block, SQUARE) == pytest.approx(4 * math.pi * 800 / 120**2, rel=0.15)
    assert solidity(np.array([[1, 0], [1, 1]], bool)) == pytest.approx(3 / 3.5)


def test_parts_touch_by_corners_and_holes_do_not_leak_through_them():
    steps = np.zeros((8, 8), bool)
    steps[1:3, 1:3] = steps[3:5, 3:5] = True
    assert component_count(steps) == 1
    steps[3, 3] = False
    assert component_count(steps) == 2
    diamond = np.zeros((5, 5), bool)
    diamond[[1, 2, 2, 3], [2, 1, 3, 2]] = True
    assert hole_count(diamond) == 1
    frame = np.ones((5, 7), bool)
    frame[2, 2] = frame[2, 4] = False
    assert hole_count(frame) == 2
    frame[0, 3] = False  # a bay is no hole
    assert hole_count(frame) == 2


def test_skeleton_of_bars_is_one_over_their_width():
    assert skeleton_ratio(rectangle(3, 60)) == pytest.approx(1 / 3, abs=0.02)
    assert skeleton_ratio(rectangle(9, 60)) == pytest.approx(1 / 9, abs=0.03)


def test_distance_to_the_border_is_in_mm():
    mask = np.zeros((50, 60), bool)
    mask[10:20, 12:50] = True
    assert border_distance_mm(mask, (2.0, 1.0)) == 10  # ten pixels at the right; twenty mm above
    assert border_distance_mm(mask, (0.5, 1.0)) == 5
    mask[:, 30] = True
    assert border_distance_mm(mask, (2.0, 1.0)) == 0


def test_contrast_to_noise():
    mask = rectangle(30, 30)
    rng = np.random.default_rng(0)
    for step, noise in ((50, 10), (20, 10), (0, 10)):
        image = np.clip(100 + step * mask + rng.normal(0, noise, mask.shape), 0, 255).astype(np.uint8)
        assert contrast_to_noise(image, mask) == pytest.approx(step / noise, abs=0.35)
        assert contrast_to_noise(255 - image, mask) == pytest.approx(contrast_to_noise(image, mask))
    clean = np.where(mask, 130, 100).astype(np.uint8)
    assert contrast_to_noise(clean, mask) == 30
    clean[25:45, 35:55] = 0  # deeper than three pixels: not the border's business
    assert contrast_to_noise(clean, mask) == 30
    assert math.isnan(contrast_to_noise(clean, np.ones_like(mask)))


def test_histogram_overlap():
    mask = rectangle(20, 20)
    image = np.where(mask, 200, 40).astype(np.uint8)
    assert histogram_overlap(image, mask) == 0
    assert histogram_overlap(np.full_like(image, 90), mask) == pytest.approx(1)
    image[20:40, 30:40] = 40  # half of the object looks like its surroundings
    assert histogram_overlap(image, mask) == pytest.approx(0.5)


def test_boundary_gradient():
    mask = np.zeros((40, 40), bool)
    mask[:, 20:] = True  # a straight border through the image, whose own sides do not count
    step = np.where(mask, 150, 50).astype(np.uint8)
    assert boundary_gradient(step, mask, SQUARE) == pytest.approx(50)
    assert boundary_gradient(step, mask, (1.0, 2.0)) == pytest.approx(25)
    assert boundary_gradient(step, mask, (9.0, 1.0)) == pytest.approx(50)
    ramp = np.tile(np.arange(40, dtype=np.uint8) * 3, (40, 1))
    assert boundary_gradient(ramp, mask, SQUARE) == pytest.approx(3)
    assert boundary_gradient(np.full_like(step, 9), mask, SQUARE) == 0


def test_slice_spacing_is_handed_on():
    assert factors(CIRCLE)["slice_spacing_mm"] == 3
    unknown = FactorInput(np.zeros((4, 4), np.uint8), np.eye(4, dtype=bool), SQUARE, 0, (0, 0))
    assert math.isnan(compute_factors(unknown)["slice_spacing_mm"])


def tree():
    """A trunk that forks into branches a few pixels wide, in three separate pieces."""
    mask = np.zeros((200, 200), bool)
    t = np.linspace(0, 1, 400)
    for sign in (-1, 0, 1):
        for fork in (-1, 1):
            r = 180 - 60 * t
            c = 100 + sign * 60 * t + fork * 20 * t**2 + 6 * np.sin(12 * t)
            mask[np.rint(r).astype(int), np.rint(c).astype(int)] = True
            mask[np.rint(r - 80).astype(int), np.rint(c).astype(int)] = True
    return mask | np.roll(mask, 1, axis=1)


def test_vessels_are_told_from_compact_objects():
    assert is_vessel_like(factors(tree()))
    assert len(VESSEL_ADVICE) > 40
    for shape in (CIRCLE, RING, ellipse(60, 20), rectangle(20, 40), rectangle(1, 1), star(5, 30)):
        assert not is_vessel_like(factors(shape))
    assert not is_vessel_like({})
    assert not is_vessel_like(dict.fromkeys(factors(tree()), math.nan))
