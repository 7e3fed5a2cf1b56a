"""Prompts of masks small enough to work out on paper, as the text and as the released code of the paper say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam_med.prompts import STRATEGIES

masks = hnp.arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14))).filter(np.any)


def asked(name, mask, variant):
    """Points with their labels, and the box."""
    prompt = STRATEGIES.get(name).make(mask, np.random.default_rng(0), variant)
    points = [(int(r), int(c), int(k)) for (r, c), k in zip(prompt.points, prompt.labels, strict=True)]
    return points, prompt.box


@pytest.fixture
def ring():
    """One pixel wide, 5 x 5 pixels, 16 of them; its centre of mass (4, 4) is a hole."""
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    mask[3:6, 3:6] = False
    return mask


@pytest.fixture
def line():
    """Eight pixels of row 5."""
    mask = np.zeros((9, 12), bool)
    mask[5, 2:10] = True
    return mask


@pytest.fixture
def two():
    """A block of 4 x 5 pixels and one of 3 x 2, whose centre of mass lies in neither."""
    mask = np.zeros((20, 20), bool)
    mask[2:6, 3:8] = True
    mask[15:18, 16:18] = True
    return mask


@pytest.fixture
def corner():
    """2 x 4 pixels in the upper right corner of 10 x 10."""
    mask = np.zeros((10, 10), bool)
    mask[0:2, 6:10] = True
    return mask


def test_ring(ring):
    # row by row: 0-4 (2, 2..6), 5 (3, 2), 6 (3, 6), 7 (4, 2), 8 (4, 6), 9 (5, 2), 10 (5, 6), 11-15 (6, 2..6)
    box = (2, 2, 6, 6)
    assert asked("S2", ring, "paper") == ([(4, 6, 1)], None)  # 16 / 2
    spread = [(2, 3, 1), (2, 6, 1), (4, 6, 1), (6, 2, 1), (6, 5, 1)]  # 1.6, 4.8, 8, 11.2, 14.4
    assert asked("S3", ring, "paper") == (spread, None)
    assert asked("S5", ring, "paper") == asked("S5", ring, "repo") == ([], box)
    assert asked("S6", ring, "paper") == ([(4, 6, 1)], box)


def test_ring_as_released(ring):
    # the centroid lies in the hole; every third pixel: 0 (replaced), 3, 6, 9, 12 and the sixth, 15
    five = [(4, 4, 1), (2, 5, 1), (3, 6, 1), (5, 2, 1), (6, 3, 1)]
    assert asked("S2", ring, "repo") == (five[:1], None)
    assert asked("S3", ring, "repo") == (five, None)
    # rows and columns 0..7 have 48 pixels off the ring, of which every ninth: 0, 9, 18, 27 and more than are used
    sixth, negative = (6, 6, 0), [(0, 0, 0), (1, 1, 0), (2, 7, 0), (4, 3, 0)]
    points, _ = asked("S4", ring, "repo")
    assert points == [*five, sixth, *negative]
    assert ring[6, 6]  # a pixel of the object, labelled as not of it
    assert asked("S6", ring, "repo") == (five[:1], (2, 2, 6, 6))


def test_one_pixel_wide(line):
    # the centre of mass is column 5.5: rounded to even by the text, down by the code
    assert asked("S2", line, "paper") == ([(5, 6, 1)], None)
    assert asked("S2", line, "repo") == ([(5, 5, 1)], None)
    assert asked("S5", line, "paper") == ([], (5, 2, 5, 9))
    # the others: columns 2 3 4 5 7 8 9, at 0.875, 2.625, 4.375, 6.125
    assert asked("S3", line, "paper")[0] == [(5, 6, 1), (5, 2, 1), (5, 4, 1), (5, 7, 1), (5, 9, 1)]
    # 8 // 5 = 1: all eight pixels, cut to five
    assert asked("S3", line, "repo")[0] == [(5, 5, 1), (5, 3, 1), (5, 4, 1), (5, 5, 1), (5, 6, 1)]
    assert asked("center", line, "paper") == asked("clicks", line, "paper") == ([(5, 5, 1)], None)
    # the box of twice the size is rows 4..6, columns 0..11 , of which 28 pixels are off the line
    negatives = [p for p in asked("S4", line, "paper")[0] if p[2] == 0]
    assert len(negatives) == 5
    assert all(4 <= r <= 6 and not line[r, c] for r, c, _ in negatives)


def test_two_components(two):
    # 26 pixels; the centre of mass is (3.5 * 20 + 16 * 6) / 26 = 6.38 and (5 * 20 + 16.5 * 6) / 26 = 7.65
    assert not two[6, 8]
    # 26 / 2 = 13: the fourth pixel of the third row
    assert asked("S2", two, "paper") == ([(4, 6, 1)], None)
    assert asked("S2", two, "repo") == ([(6, 7, 1)], None)
    # at 2.6, 7.8, 13, 18.2, 23.4
    assert asked("S3", two, "paper")[0] == [(2, 5, 1), (3, 5, 1), (4, 6, 1), (5, 6, 1), (16, 17, 1)]
    assert asked("S5", two, "paper") == ([], (2, 3, 17, 17))
    # the deepest pixel of the larger block: depth 2 in rows 3 and 4, columns 4 to 6; nearest to (3.5, 5)
    assert asked("center", two, "paper")[0] == [(3, 5, 1)]


def test_touching_the_border(corner):
    # the centre of mass (0.5, 7.5) rounds to (0, 8)
    assert asked("S2", corner, "paper") == ([(0, 8, 1)], None)
    assert asked("S2", corner, "repo") == ([(0, 7, 1)], None)
    assert asked("S5", corner, "paper") == ([], (0, 6, 1, 9))
    # the box grows by 1 row and 2 columns a side, inside the image: rows 0..2, columns 4..9: 18 - 8 = 10 pixels
    # row by row (0, 4) (0, 5) (1, 4) (1, 5) (2, 4..9); at 1, 3, 5, 7, 9
    points, _ = asked("S4", corner, "paper")
    assert [p[:2] for p in points if not p[2]] == [(0, 5), (1, 5), (2, 5), (2, 7), (2, 9)]
    # as released: the side is 1 and 3, so rows 0..1 (0.5 + 1 = 1.5, cut to 1 row) and columns 4..9: (0, 4) and (0, 5)
    points, _ = asked("S4", corner, "repo")
    assert [p for p in points if p[0] == 0 and p[1] < 6] == [(0, 4, 0), (0, 5, 0)]


def test_single_pixel():
    one = np.zeros((7, 7), bool)
    one[3, 3] = True
    for name in ("S2", "S3", "center", "clicks"):
        assert asked(name, one, "paper") == ([(3, 3, 1)], None)
    assert asked("S5", one, "paper") == asked("boxes", one, "paper") == ([], (3, 3, 3, 3))
    assert asked("S6", one, "paper") == asked("S6", one, "repo") == ([(3, 3, 1)], (3, 3, 3, 3))
    # the box of twice the size holds the centres of its eight neighbours; at 0.8, 2.4, 4, 5.6, 7.2
    negatives = [(2, 2, 0), (2, 4, 0), (3, 4, 0), (4, 2, 0), (4, 4, 0)]
    assert asked("S4", one, "paper")[0] == [(3, 3, 1), *negatives]
    # as released: the enlarged box of one pixel is empty
    assert asked("S4", one, "repo")[0] == [(3, 3, 1)]
    corner = np.zeros((7, 7), bool)
    corner[6, 0] = True
    assert asked("S4", corner, "paper")[0] == [(6, 0, 1), (5, 0, 0), (5, 1, 0), (6, 1, 0)]


@given(mask=masks)
def test_negatives_lie_in_the_box_of_twice_the_size_inside_the_image(mask):
    prompt = STRATEGIES.get("S4").make(mask, np.random.default_rng(0))
    rows, cols = np.nonzero(mask)
    for found, own, limit in zip(prompt.points[prompt.labels == 0].T, (rows, cols), mask.shape, strict=True):
        side, middle = own.max() - own.min() + 1, (own.max() + own.min()) / 2
        assert (np.abs(found - middle) <= side).all()
        assert ((found >= 0) & (found < limit)).all()


@given(mask=masks)
@pytest.mark.parametrize("name", ["S2", "S3", "S4", "S6"])
def test_released_points_lie_in_the_slice_and_labels_go_by_place(name, mask):
    prompt = STRATEGIES.get(name).make(mask, np.random.default_rng(0), "repo")
    prompt.check_inside(mask.shape)
    assert not prompt.empty
    assert (np.diff(prompt.labels) <= 0).all()
    assert len(prompt.points) <= {"S2": 1, "S3": 5, "S4": 10, "S6": 1}[name]
