import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam_med.core.geometry import SquareGrid
from napari_sam_med.core.prompt import Prompt, tight_box


def test_square_voxels_pass_untouched():
    grid = SquareGrid.of((20, 30), (0.8, 0.8))
    image = np.random.default_rng(0).integers(0, 255, (20, 30), dtype=np.uint8)
    assert grid.identity
    assert grid.to_square(image) is image
    assert grid.points_to_square([[3, 4]]).tolist() == [[3, 4]]
    assert grid.box_to_square((1, 2, 3, 4)) == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [((5.0, 1.0), (50, 20)), ((1.0, 5.0), (10, 100)), ((0.5, 0.75), (10, 30)), ((1.0, 1.01), (10, 20))],
)
def test_pixels_take_the_finer_spacing(spacing, expected):
    assert SquareGrid.of((10, 20), spacing).square_shape == expected


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(st.integers(1, 600), st.integers(1, 600)),
    st.tuples(st.floats(0.1, 20), st.floats(0.1, 20)),
)
def test_pixels_are_square_in_mm_and_sides_stay_under_the_limit(shape, spacing):
    grid = SquareGrid.of(shape, spacing, limit=1024)
    assert min(grid.square_shape) >= 1
    assert max(grid.square_shape) <= max(1024, *shape)
    if not grid.identity and min(grid.square_shape) > 50:
        size_mm = [s / f for s, f in zip(spacing, grid.factors, strict=True)]
        assert size_mm[0] == pytest.approx(size_mm[1], rel=0.03)


def test_a_linear_ramp_stays_a_linear_ramp():
    grid = SquareGrid.of((8, 40), (4.0, 1.0))
    rows = np.repeat(np.arange(8.0)[:, None], 40, axis=1)
    square = grid.to_square(rows)
    centre = (np.arange(32) + 0.5) / 4 - 0.5
    np.testing.assert_allclose(square[2:-2, 0], centre[2:-2])  # the outermost pixels repeat the border


def test_points_follow_the_image():
    """The brightest square pixel lies where the point of the brightest voxel says."""
    grid = SquareGrid.of((9, 20), (5.0, 1.0))
    image = np.zeros((9, 20))
    image[4, 13] = 1
    square = grid.to_square(image)
    peak = np.argwhere(square == square.max()).mean(axis=0)
    np.testing.assert_allclose(grid.points_to_square([[4, 13]])[0], peak)


def test_boxes_cover_exactly_the_pixels_of_their_voxels():
    grid = SquareGrid((10, 12), (40, 12))
    assert grid.box_to_square((2, 3, 4, 6)) == (8, 3, 19, 6)
    assert grid.box_to_square((0, 0, 9, 11)) == (0, 0, 39, 11)


@pytest.mark.parametrize("square", [(40, 12), (10, 60), (20, 36)])
def test_a_box_mask_comes_back_to_its_voxels(square):
    grid = SquareGrid((10, 12), square)
    box = (2.0, 3.0, 6.0, 8.0)
    r0, c0, r1, c1 = (round(v) for v in grid.box_to_square(box))
    probability = np.zeros((2, *square), np.float32)
    probability[:, r0 : r1 + 1, c0 : c1 + 1] = 1
    back = grid.to_voxels(probability)
    assert back.shape == (2, 10, 12)
    assert back.dtype == np.float32
    assert tight_box(back[0] > 0.5) == box


def test_a_prompt_is_turned_as_a_whole_and_keeps_its_labels():
    grid = SquareGrid((10, 12), (40, 12))
    prompt = Prompt(points=[[0, 0], [9, 11]], labels=[1, 0], box=(2, 3, 4, 6))
    turned = prompt.to_square(grid)
    np.testing.assert_allclose(turned.points, [[1.5, 0], [37.5, 11]])
    assert turned.labels.tolist() == [1, 0]
    assert turned.box == (8, 3, 19, 6)


def test_shrinking_keeps_the_box_in_order():
    grid = SquareGrid((100, 4), (20, 4))
    r0, c0, r1, c1 = Prompt.from_box((7, 1, 7, 1)).to_square(grid).box
    assert r0 <= r1
    assert c0 <= c1


def test_one_row_and_one_column_can_be_resized():
    grid = SquareGrid((1, 5), (6, 5))
    np.testing.assert_array_equal(
        grid.to_square(np.arange(5, dtype=np.uint8)[None]), np.tile(np.arange(5), (6, 1))
    )
    np.testing.assert_allclose(grid.to_voxels(np.ones((6, 5))), np.ones((1, 5)))


def test_uint8_images_stay_uint8_and_are_rounded():
    grid = SquareGrid((2, 1), (4, 1))
    square = grid.to_square(np.array([[0], [255]], np.uint8))
    assert square.dtype == np.uint8
    assert square[:, 0].tolist() == [0, 64, 191, 255]
