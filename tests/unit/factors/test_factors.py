import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import find_contours

from fixtures.known_shapes import ellipse, star
from napari_sam_med.core.errors import InputError
from napari_sam_med.factors import FACTORS, FactorInput, compute_factors
from napari_sam_med.factors.complexity import fill_even_odd, fourier_order
from napari_sam_med.factors.intensity import intensity_difference, ring_mask
from napari_sam_med.factors.shape import aspect_ratio, slice_position

masks = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))).filter(np.any)


@settings(max_examples=40)
@given(mask=masks, spacing=st.tuples(st.sampled_from([0.5, 1.0, 4.0]), st.sampled_from([0.5, 1.0, 4.0])))
def test_every_factor_has_a_value_for_any_mask(mask, spacing):
    image = np.arange(mask.size, dtype=np.uint8).reshape(mask.shape)
    found = compute_factors(FactorInput(image, mask, spacing, 3, (1, 9), 2.5))
    assert list(found) == list(FACTORS)
    needs_outside = {"intensity_difference", "contrast_to_noise", "histogram_overlap", "boundary_gradient"}
    assert {name for name, v in found.items() if not math.isfinite(v)} == (
        needs_outside if mask.all() else set()
    )
    shares = ("solidity", "compactness", "area_box_ratio", "skeleton_ratio")
    assert all(0 < found[name] <= 1 for name in shares)
    if not mask.all():
        assert -1e-9 <= found["histogram_overlap"] <= 1 + 1e-9
    assert found["size_px"] == mask.sum()
    assert 0 < found["aspect_ratio"] <= 1


@pytest.mark.parametrize("name", list(FACTORS))
def test_factors_declare_what_they_are(name):
    factor = FACTORS.get(name)
    assert factor.name == name
    assert factor.title
    assert "\n" not in factor.meaning
    assert 10 < len(factor.meaning) < 120


def test_input_is_checked():
    image, mask = np.zeros((4, 4), np.uint8), np.ones((4, 4), bool)
    with pytest.raises(InputError, match="empty"):
        FactorInput(image, ~mask, (1, 1), 0, (0, 0))
    with pytest.raises(InputError, match="shape"):
        FactorInput(image[:3], mask, (1, 1), 0, (0, 0))
    with pytest.raises(InputError, match="size_px"):
        compute_factors(FactorInput(image, mask, (1, 1), 0, (0, 0)), ["no such factor"])


def test_aspect_ratio_is_of_the_tight_box_in_mm():
    mask = np.zeros((40, 40), bool)
    mask[10:20, 5:35] = True
    assert aspect_ratio(mask, (1, 1)) == pytest.approx(1 / 3)
    assert aspect_ratio(mask, (3, 1)) == pytest.approx(1)
    assert aspect_ratio(mask.T, (1, 1)) == pytest.approx(1 / 3)
    assert math.isnan(aspect_ratio(np.zeros((3, 3), bool), (1, 1)))


def test_slice_position_is_0_in_the_middle_and_1_at_both_ends():
    assert [slice_position(i, (10, 14)) for i in range(10, 15)] == [1, 0.5, 0, 0.5, 1]
    assert slice_position(10, (10, 13)) == slice_position(13, (10, 13)) == 1
    assert slice_position(7, (7, 7)) == 0


def test_ring_grows_the_box_by_a_tenth_and_leaves_out_the_object():
    mask = np.zeros((100, 100), bool)
    mask[30:50, 40:80] = True
    ring = ring_mask(mask)
    rows, cols = np.nonzero(ring | mask)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (28, 51, 36, 83)
    assert not (ring & mask).any()
    assert ring.sum() == 24 * 48 - 20 * 40


def test_intensity_difference_by_hand():
    mask = np.zeros((20, 20), bool)
    mask[5:9, 5:9] = True
    image = np.where(mask, 200, 50).astype(np.uint8)
    image[15:, 15:] = 255  # far away: must not count
    assert intensity_difference(image, mask) == 150
    assert intensity_difference(np.where(mask, 10, 60).astype(np.uint8), mask) == -50
    corner = np.zeros((20, 20), bool)
    corner[:3, :3] = True
    assert intensity_difference(np.where(corner, 9, 4).astype(np.uint8), corner) == 5
    assert math.isnan(intensity_difference(image, np.ones((20, 20), bool)))


def test_a_hole_belongs_to_the_surroundings():
    mask = np.zeros((20, 20), bool)
    mask[5:15, 5:15] = True
    mask[8:12, 8:12] = False
    image = np.full((20, 20), 100, np.uint8)
    image[8:12, 8:12] = 0
    assert intensity_difference(image, mask) > 0


@pytest.mark.parametrize("shape", [ellipse(60, 60), ellipse(60, 45), ellipse(5, 4)])
def test_roundish_shapes_are_redrawn_by_the_first_harmonic(shape):
    assert 1 <= fourier_order(shape) < 1 + 200 * 0.03


def test_a_long_ellipse_needs_the_third_harmonic():
    # outlines are followed at even speed, and the even harmonics of an ellipse are zero
    assert 3 <= fourier_order(ellipse(60, 20), patience=None) < 3 + 200 * 0.03
    assert 2 < fourier_order(ellipse(60, 20), patience=1) < 2 + 200 * 0.1


def test_more_winding_borders_score_higher():
    scores = [fourier_order(star(5, depth), patience=None) for depth in (0, 12, 30, 45)]
    assert scores == sorted(scores)
    assert scores[-1] > 3 * scores[0]


def test_the_papers_rule_stops_early_on_a_star_and_the_patient_one_does_not():
    shape = star(7, 40)
    hasty, patient = fourier_order(shape, patience=1), fourier_order(shape, patience=None)
    assert hasty > 50  # two harmonics and a bad likeness
    assert 7 < patient < 7 + 200 * 0.03 + 10  # a star of 7 points needs the 8th harmonic


def test_the_search_ends_at_the_cap():
    assert fourier_order(star(7, 40), patience=None, cap=3) == pytest.approx(3 + 200 * (1 - 0.708), abs=2)


def test_rings_and_several_components_are_redrawn_with_all_their_outlines():
    ring = ellipse(60, 60) & ~ellipse(30, 30)
    assert fourier_order(ring) < 1 + 200 * 0.03
    two = ellipse(20, 20)
    two = np.concatenate([two, two], axis=1)
    assert fourier_order(two) < 1 + 200 * 0.03


def test_border_touching_and_thin_objects():
    one = np.zeros((9, 9), bool)
    one[0, 0] = True
    assert fourier_order(one) == 1
    line = np.zeros((50, 50), bool)
    line[0, 3:47] = True
    assert math.isfinite(fourier_order(line))
    assert fourier_order(line, patience=None) < fourier_order(line)
    assert math.isnan(fourier_order(np.zeros((5, 5), bool)))


@given(mask=masks)
def test_filling_outlines_gives_the_mask_back(mask):
    padded = np.pad(mask, 1)
    outlines = [outline[:-1] for outline in find_contours(padded.astype(float), 0.5)]
    np.testing.assert_array_equal(fill_even_odd(outlines, padded.shape), padded)


def test_filling_cuts_off_what_lies_outside():
    square = np.array([[-5.0, -5.0], [-5.0, 2.5], [2.5, 2.5], [2.5, -5.0]])
    expected = np.zeros((6, 6), bool)
    expected[:3, :3] = True
    np.testing.assert_array_equal(fill_even_odd([square], (6, 6)), expected)
