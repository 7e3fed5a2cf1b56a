"""Kinds of mistakes on masks worked by hand, and distances along an outline."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam_med.metrics.regions import HOLE, ISLAND, LEAK, MISS, boundary_error, error_regions


def masks(drawing):
    """T truth alone (missed), P prediction alone (extra), # both."""
    rows = np.array([list(line) for line in drawing.split()])
    return (rows == "P") | (rows == "#"), (rows == "T") | (rows == "#")


def kinds(drawing):
    errors, regions = error_regions(*masks(drawing), (1.0, 1.0))
    return errors, [region.kind for region in regions]


def test_one_of_each():
    prediction, truth = masks(
        """
        .............
        .#####.....PP
        .#TT##PPP..PP
        .##T##.......
        .#####.......
        .TTTTT.......
        .............
        """
    )
    errors, regions = error_regions(prediction, truth, (2.0, 0.5))
    expected = np.zeros(truth.shape, int)
    expected[2, 2:4] = expected[3, 3] = HOLE
    expected[2, 6:9] = LEAK
    expected[1:3, 11:13] = ISLAND
    expected[5, 1:6] = MISS
    np.testing.assert_array_equal(errors, expected)
    found = {region.kind: region for region in regions}
    assert [region.kind for region in regions][:2] == [MISS, ISLAND]
    assert [region.size_px for region in regions] == [5, 4, 3, 3]
    assert found[MISS].size_mm == pytest.approx(5.0)
    assert found[LEAK].reach_mm == pytest.approx(3 * 0.5)
    assert found[MISS].reach_mm == pytest.approx(2.0)
    assert found[ISLAND].reach_mm == pytest.approx(7 * 0.5)


def test_a_hole_with_a_way_out_is_a_miss():
    assert kinds("##### #TTT# #####")[1] == [HOLE]
    assert kinds("##### #TTT. #####")[1] == [MISS]


def test_a_diagonal_step_is_no_way_out_but_touches():
    # the prediction is closed over corners, so that its inside is enclosed
    drawing = """
    .....
    ..#..
    .#T#.
    ..#..
    .....
    """
    assert kinds(drawing)[1] == [HOLE]
    assert kinds("#.. .P. ...")[1] == [LEAK]
    assert kinds("#.. ... .P.")[1] == [ISLAND]


def test_missed_at_the_border_of_the_image_is_not_enclosed():
    assert kinds("T## ### ...")[1] == [MISS]


def test_missed_lumen_of_a_ring_is_enclosed():
    drawing = """
    #####
    #TTT#
    #T.T#
    #TTT#
    #####
    """
    assert kinds(drawing)[1] == [HOLE]


def test_a_component_that_was_not_found_is_a_miss_and_one_bar_over_two_is_one_leak():
    assert kinds("##...TT ##...TT")[1] == [MISS]
    assert kinds("##PPP## ##...##")[1] == [LEAK]


def test_empty_masks():
    nothing, something = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    errors, regions = error_regions(nothing, something, (1, 1))
    assert [(r.kind, r.size_px, r.reach_mm) for r in regions] == [(MISS, 4, np.inf)]
    assert (errors[something] == MISS).all()
    assert error_regions(something, nothing, (1, 1))[1][0].kind == ISLAND
    assert error_regions(nothing, nothing, (1, 1))[1] == []
    assert error_regions(something, something, (1, 1))[1] == []


def test_in_3d_a_hole_must_be_closed_on_all_sides():
    truth = np.ones((5, 5, 5), bool)
    prediction = truth.copy()
    prediction[2, 2, 2] = False
    assert error_regions(prediction, truth, (1, 1, 1))[1][0].kind == HOLE
    prediction[2:, 2, 2] = False
    assert error_regions(prediction, truth, (1, 1, 1))[1][0].kind == MISS


def test_boundary_error_of_a_box_shifted_by_two_columns():
    truth = np.zeros((12, 14), bool)
    truth[2:10, 2:10] = True
    prediction = np.roll(truth, 2, axis=1)
    error = boundary_error(prediction, truth, (1.0, 0.5))
    outline = prediction.copy()
    outline[3:9, 5:11] = False
    np.testing.assert_array_equal(np.isfinite(error), outline)
    assert error[5, 4] == pytest.approx(-1.0)
    assert error[5, 11] == pytest.approx(1.0)
    assert error[2, 6] == 0.0


def test_boundary_error_without_truth_or_prediction():
    nothing, something = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    assert np.isnan(boundary_error(nothing, something, (1, 1))).all()
    np.testing.assert_array_equal(np.isposinf(boundary_error(something, nothing, (1, 1))), something)
