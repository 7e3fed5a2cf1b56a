import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import tight_box
from napari_sam_med.prompts import STRATEGIES
from napari_sam_med.prompts.points import deepest_point, negative_points, positive_points

ASKING = [name for name, strategy in STRATEGIES.items() if strategy.kind != "everything"]
masks = hnp.arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14))).filter(np.any)


def rng():
    return np.random.default_rng(0)


def make(name, mask):
    return STRATEGIES.get(name).make(mask, rng())


@pytest.fixture
def disc():
    r, c = np.ogrid[:40, :50]
    return (r - 18) ** 2 + (c - 25) ** 2 <= 9**2


@pytest.fixture
def ring(disc):
    r, c = np.ogrid[:40, :50]
    return disc & ((r - 18) ** 2 + (c - 25) ** 2 > 5**2)


@pytest.mark.parametrize("name", ASKING)
@given(mask=masks)
def test_every_strategy_prompts_any_mask(name, mask):
    strategy = STRATEGIES.get(name)
    prompt = strategy.make(mask, rng())
    assert not prompt.empty
    prompt.check_inside(mask.shape)
    assert (prompt.box is not None) == strategy.has_box
    rows, cols = prompt.points.astype(int).T
    assert (mask[rows, cols] == (prompt.labels == 1)).all()
    assert len({tuple(p) for p in prompt.points}) == len(prompt.points)


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_every_strategy_is_repeatable_and_refuses_nothing_to_prompt(name, ring):
    first, second = make(name, ring), make(name, ring)
    np.testing.assert_array_equal(first.points, second.points)
    assert first.box == second.box
    with pytest.raises(InputError):
        make(name, np.zeros((5, 5), bool))
    with pytest.raises(InputError):
        make(name, np.ones((3, 3, 3), bool))


@pytest.mark.parametrize(
    ("name", "positive", "negative", "box"),
    [
        ("S2", 1, 0, False),
        ("S3", 5, 0, False),
        ("S4", 5, 5, False),
        ("S5", 0, 0, True),
        ("S6", 1, 0, True),
        ("center", 1, 0, False),
        ("boxes", 0, 0, True),
        ("clicks", 1, 0, False),
        ("S1", 0, 0, False),
    ],
)
def test_numbers_of_points_and_boxes(name, positive, negative, box, disc):
    prompt = make(name, disc)
    assert (prompt.labels == 1).sum() == positive
    assert (prompt.labels == 0).sum() == negative
    assert (prompt.box is not None) == box


def test_box_is_first_and_last_pixel():
    mask = np.zeros((20, 30), bool)
    mask[4:9, 11:26] = True
    assert make("S5", mask).box == (4, 11, 8, 25)
    assert make("S6", mask).box == (4, 11, 8, 25)


def test_first_point_is_the_centre_of_mass_if_inside(disc, ring):
    assert make("S2", disc).points.tolist() == [[18, 25]]
    assert make("S6", disc).points.tolist() == [[18, 25]]
    point = make("S2", ring).points[0].astype(int)
    assert ring[tuple(point)]
    assert tuple(point) != (18, 25)


def test_two_components_get_points_in_both():
    mask = np.zeros((30, 30), bool)
    mask[2:8, 2:8] = mask[20:26, 20:26] = True
    points = positive_points(mask, 4).astype(int)
    assert len(points) == 4
    assert (points[:, 0] < 15).any()
    assert (points[:, 0] > 15).any()


def test_a_tiny_mask_gives_the_points_it_has():
    mask = np.zeros((6, 6), bool)
    mask[2, 2:4] = True
    assert len(positive_points(mask, 5)) == 2


def test_negatives_lie_in_the_box_of_twice_the_size():
    mask = np.zeros((60, 60), bool)
    mask[20:30, 20:40] = True
    points = negative_points(mask, 50)
    assert len(points) == 50
    assert points.min(axis=0).tolist() >= [15, 10]
    assert (points.max(axis=0) <= [34, 49]).all()
    assert not mask[tuple(points.astype(int).T)].any()


def test_a_mask_that_fills_the_image_has_no_negatives():
    full = np.ones((8, 8), bool)
    assert len(negative_points(full, 5)) == 0
    assert make("S4", full).labels.tolist() == [1] * 5


def test_deepest_point_of_a_lopsided_shape():
    mask = np.zeros((40, 60), bool)
    mask[18:22, 2:50] = True  # a long bar
    mask[10:31, 38:59] = True  # with a block of 21 × 21 at its end
    assert deepest_point(mask).tolist() == [[20, 48]]
    r, c = deepest_point(np.ones((9, 9), bool))[0]
    assert (r, c) == (4, 4)  # the image border is an outside too


def test_masks_touching_the_border_keep_their_box():
    mask = np.zeros((10, 10), bool)
    mask[0:3, 7:10] = True
    assert make("S5", mask).box == tight_box(mask) == (0, 7, 2, 9)


def test_a_bar_is_clicked_in_its_middle():
    bar = np.zeros((20, 30), bool)
    bar[8:11, 4:25] = True
    assert deepest_point(bar).tolist() == [[9, 14]]


def test_everything_asks_nothing():
    assert make("S1", np.ones((3, 3), bool)).empty


def test_an_unknown_variant_is_refused():
    with pytest.raises(InputError, match="paper"):
        STRATEGIES.get("S2").make(np.ones((3, 3), bool), rng(), "mine")
