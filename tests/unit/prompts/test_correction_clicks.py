import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam_med.prompts import components, next_click

pairs = st.tuples(st.integers(1, 10), st.integers(1, 10)).flatmap(
    lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape))
)


def blank():
    return np.zeros((30, 40), bool)


def test_first_click_is_the_deepest_point_of_the_largest_part():
    truth = blank()
    truth[3:6, 3:6] = True
    truth[10:19, 20:29] = True
    point, label = next_click(blank(), truth)
    assert (point.tolist(), label) == ([[14, 24]], 1)


def test_missed_and_extra_parts_are_corrected_by_size():
    truth, found = blank(), blank()
    truth[5:12, 5:20] = True
    found[5:12, 10:25] = True  # 35 pixels missed at the left, 35 extra at the right
    assert next_click(found, truth)[1] == 1
    found[5:12, 5:7] = True
    point, label = next_click(found, truth)
    assert label == 0
    assert point.tolist() == [[8, 22]]


def test_touching_errors_of_both_kinds_are_not_one():
    truth, found = blank(), blank()
    truth[10:20, 5:10] = True
    found[10:20, 10:14] = True
    point, label = next_click(found, truth)
    assert label == 1
    assert truth[tuple(point[0].astype(int))]


def test_a_click_that_did_not_help_is_not_repeated():
    truth = blank()
    truth[10:19, 10:31] = True
    first, _ = next_click(blank(), truth)
    second, label = next_click(blank(), truth, first)
    assert label == 1
    assert np.abs(second - first).max() >= 4
    dot = blank()
    dot[3, 3] = True
    assert next_click(blank(), dot, np.array([[3.0, 3.0]])) is None


def test_nothing_to_correct():
    truth = blank()
    truth[4:9, 4:9] = True
    assert next_click(truth, truth) is None
    assert next_click(blank(), blank()) is None


@given(pairs)
def test_a_click_is_always_on_an_error_and_says_what_the_truth_is(pair):
    found, truth = pair
    click = next_click(found, truth)
    if click is None:
        assert (found == truth).all()
    else:
        at = tuple(click[0][0].astype(int))
        assert found[at] != truth[at]
        assert click[1] == truth[at]


def test_components_are_eight_connected_and_sorted_by_size():
    mask = blank()
    mask[1:3, 1:3] = True
    mask[3:5, 3:5] = True  # touches by a corner
    mask[10:20, 10:20] = True
    mask[25, 30] = True
    parts = components(mask)
    assert [int(part.sum()) for part in parts] == [100, 8, 1]
    assert (np.sum(parts, axis=0) == mask).all()
    assert components(blank()) == []
