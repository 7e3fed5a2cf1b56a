import numpy as np
import pytest

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.prompts.jitter import BOX_MODES, jitter, pad_box

SHAPE = (200, 300)
BOX = Prompt.from_box((80, 100, 119, 179))
POINTS = Prompt.from_points([[90, 120], [100, 150], [110, 170]], [1, 1, 0])
BINS = [(0, 10), (10, 20), (20, 30)]


def rng(seed):
    return np.random.default_rng(seed)


def edges_moved(moved):
    return np.array(moved.prompt.box) - np.array(BOX.box)


@pytest.mark.parametrize(("low", "high"), BINS)
def test_every_edge_moves_by_itself_within_the_bin(low, high):
    wide = Prompt.from_box((60, 60, 139, 239))  # edges 80 pixels apart do not pass each other
    found = [jitter(wide, "edges", low, high, SHAPE, rng(k)) for k in range(200)]
    steps = np.array([np.array(moved.prompt.box) - wide.box for moved in found])
    assert (np.abs(steps) >= low).all()
    assert (np.abs(steps) <= high).all()
    assert (np.ptp(np.abs(steps), axis=1) > 0).all()
    assert len(np.unique(np.sign(steps), axis=0)) == 16  # outwards and inwards, whatever the others do
    assert [moved.moved_px for moved in found] == pytest.approx(np.abs(steps).mean(axis=1))


@pytest.mark.parametrize(("low", "high"), BINS)
def test_a_box_that_shifts_keeps_its_size(low, high):
    for k in range(50):
        moved = jitter(BOX, "shift", low, high, SHAPE, rng(k))
        step = edges_moved(moved)
        assert step[:2] == pytest.approx(step[2:])
        assert low <= np.hypot(*step[:2]) <= high
        assert moved.moved_px == pytest.approx(np.hypot(*step[:2]))


def test_shifts_go_in_all_directions():
    steps = np.array([edges_moved(jitter(BOX, "shift", 10, 20, SHAPE, rng(k)))[:2] for k in range(100)])
    assert len(np.unique(np.sign(steps), axis=0)) == 4


def test_first_moves_one_point_and_all_moves_each_by_itself():
    for k in range(20):
        first = jitter(POINTS, "first", 10, 20, SHAPE, rng(k))
        away = np.hypot(*(first.prompt.points - POINTS.points).T)
        assert 10 <= away[0] <= 20
        assert away[1:].tolist() == [0, 0]
        assert first.moved_px == pytest.approx(away[0])
        every = jitter(POINTS, "all", 10, 20, SHAPE, rng(k))
        steps = every.prompt.points - POINTS.points
        away = np.hypot(*steps.T)
        assert ((away >= 10) & (away <= 20)).all()
        assert len(np.unique(np.round(steps, 6), axis=0)) == 3
        assert every.prompt.labels.tolist() == [1, 1, 0]


@pytest.mark.parametrize("mode", BOX_MODES)
def test_a_point_beside_a_box_moves_too(mode):
    both = Prompt(POINTS.points[:1], POINTS.labels[:1], BOX.box)
    moved = jitter(both, mode, 10, 20, SHAPE, rng(0)).prompt
    assert 10 <= np.hypot(*(moved.points - both.points)[0]) <= 20
    assert moved.box != both.box


def test_distances_in_another_unit_go_by_rows_and_columns():
    wide = Prompt([[100, 150]], [1], (60, 60, 139, 239))
    for k in range(50):
        moved = jitter(wide, "edges", 5, 10, SHAPE, rng(k), (0.8, 1.8)).prompt
        steps = np.abs(np.array(moved.box) - wide.box) / np.array([0.8, 1.8, 0.8, 1.8])
        assert ((steps >= 5 - 1e-9) & (steps <= 10 + 1e-9)).all()
        away = np.hypot(*((moved.points - wide.points)[0] / (0.8, 1.8)))
        assert 5 - 1e-9 <= away <= 10 + 1e-9


def test_the_same_chance_gives_the_same_prompt_and_the_original_stays():
    one, two = (jitter(POINTS, "all", 0, 10, SHAPE, rng(3)).prompt.points for _ in range(2))
    assert np.array_equal(one, two)
    assert POINTS.points.tolist() == [[90, 120], [100, 150], [110, 170]]


def test_everything_stays_in_the_slice():
    corner = Prompt([[0, 0]], [1], (0, 0, 9, 9))
    for k in range(30):
        shifted = jitter(corner, "shift", 20, 30, (40, 40), rng(k))
        r0, c0, r1, c1 = shifted.prompt.box
        assert (r1 - r0, c1 - c0) == pytest.approx((9, 9))
        for mode in BOX_MODES:
            prompt = jitter(corner, mode, 20, 30, (40, 40), rng(k)).prompt
            values = [*prompt.box, *prompt.points.ravel()]
            assert min(values) >= 0
            assert max(values) <= 39


def test_how_far_it_moved_is_told_after_the_border_stopped_it():
    edge = Prompt.from_points([[0, 5]])
    found = [jitter(edge, "first", 10, 10, (11, 11), rng(k)) for k in range(40)]
    away = [float(np.hypot(*(m.prompt.points[0] - [0, 5]))) for m in found]
    assert [m.moved_px for m in found] == pytest.approx(away)
    assert min(away) < 9


def test_edges_that_pass_each_other_change_places():
    thin = Prompt.from_box((100, 100, 101, 101))
    for k in range(20):
        r0, c0, r1, c1 = jitter(thin, "edges", 20, 30, SHAPE, rng(k)).prompt.box
        assert r0 <= r1
        assert c0 <= c1


def test_what_cannot_be_moved_is_said():
    with pytest.raises(InputError, match="no box"):
        jitter(POINTS, "edges", 0, 10, SHAPE, rng(0))
    with pytest.raises(InputError, match="no point"):
        jitter(BOX, "first", 0, 10, SHAPE, rng(0))
    with pytest.raises(InputError, match="edges, shift, first, all"):
        jitter(BOX, "sideways", 0, 10, SHAPE, rng(0))


def test_padding_by_hand():
    # sides of 40 and 80 pixels
    assert pad_box(BOX, 100, SHAPE).prompt.box == (60, 60, 139, 219)
    assert pad_box(BOX, -20, SHAPE).prompt.box == (84, 108, 115, 171)
    assert pad_box(BOX, 0, SHAPE).prompt.box == BOX.box
    assert pad_box(BOX, 100, SHAPE).moved_px == 30
    assert pad_box(BOX, 1000, SHAPE).prompt.box == (0, 0, 199, 299)


def test_padding_leaves_points_and_never_turns_a_box_inside_out():
    both = Prompt(POINTS.points, POINTS.labels, (5, 5, 5, 6))
    tight = pad_box(both, -50, SHAPE).prompt
    assert np.array_equal(tight.points, both.points)
    r0, c0, r1, c1 = tight.box
    assert (r0, r1) == (5, 5)
    assert c0 <= c1
    with pytest.raises(InputError, match="-100"):
        pad_box(BOX, -100, SHAPE)
    with pytest.raises(InputError, match="no box"):
        pad_box(POINTS, 10, SHAPE)
