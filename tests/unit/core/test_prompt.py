import numpy as np
import pytest

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import Prompt, tight_box


def test_a_box_may_be_drawn_from_any_corner():
    assert Prompt.from_box((9, 8, 1, 2)).box == (1, 2, 9, 8)
    assert Prompt.from_box((1, 8, 9, 2)).box == (1, 2, 9, 8)


def test_points_are_positive_unless_told():
    assert Prompt.from_points([[1, 2], [3, 4]]).labels.tolist() == [1, 1]
    assert Prompt.from_points([[1, 2], [3, 4]], [0, 1]).labels.tolist() == [0, 1]


def test_one_point_may_be_given_flat():
    assert Prompt.from_points([1, 2]).points.shape == (1, 2)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Prompt.from_points([[1, 2]], [1, 1]),
        lambda: Prompt.from_points([[np.nan, 2]]),
        lambda: Prompt.from_points([[1, 2]], [2]),
        lambda: Prompt.from_box((1, 2, 3)),
        lambda: Prompt.from_box((1, 2, 3, np.inf)),
    ],
)
def test_nonsense_is_refused(build):
    with pytest.raises(InputError):
        build()


def test_a_prompt_without_box_or_positive_point_is_empty():
    assert Prompt().empty
    assert Prompt.from_points([[1, 1]], [0]).empty
    assert not Prompt.from_points([[1, 1]]).empty
    assert not Prompt.from_box((0, 0, 1, 1)).empty


def test_adding_points_and_logits_leaves_the_first_prompt_alone():
    first = Prompt.from_box((0, 0, 4, 4))
    more = first.with_points([[1, 2]], [0]).with_logits(np.zeros((8, 8)))
    assert len(first.points) == 0
    assert first.mask_logits is None
    assert more.points.tolist() == [[1, 2]]
    assert more.labels.tolist() == [0]
    assert more.box == first.box
    assert more.mask_logits.dtype == np.float32
    assert more.with_logits(None).mask_logits is None


@pytest.mark.parametrize("point", [(-0.6, 0), (0, -1), (9.6, 0), (0, 20)])
def test_points_outside_the_slice_are_refused(point):
    with pytest.raises(InputError, match="10 × 12"):
        Prompt.from_points([point]).check_inside((10, 12))


@pytest.mark.parametrize("point", [(0, 0), (-0.4, 11.4), (9, 11)])
def test_points_on_the_border_are_inside(point):
    Prompt.from_points([point]).check_inside((10, 12))


@pytest.mark.parametrize(
    ("box", "inside"),
    [((-5, -5, 3, 3), True), ((8, 10, 20, 20), True), ((10, 0, 12, 5), False), ((-4, 0, -1, 5), False)],
)
def test_a_box_must_touch_the_slice(box, inside):
    prompt = Prompt.from_box(box)
    if inside:
        prompt.check_inside((10, 12))
    else:
        with pytest.raises(InputError, match="outside"):
            prompt.check_inside((10, 12))


def test_tight_box_is_first_and_last_index():
    mask = np.zeros((10, 12), bool)
    mask[2, 5] = mask[7, 3] = True
    assert tight_box(mask) == (2, 3, 7, 5)
    assert tight_box(np.zeros((4, 4))) is None
    single = np.zeros((4, 4), np.uint8)
    single[1, 2] = 9
    assert tight_box(single) == (1, 2, 1, 2)


def test_clipping_cuts_the_box_alone():
    prompt = Prompt(points=[[3, 4]], labels=[1], box=(-2, 3, 30, 8.5))
    cut = prompt.clipped((20, 10))
    assert cut.box == (0, 3, 19, 8.5)
    assert cut.points.tolist() == [[3, 4]]
    assert cut.clipped((20, 10)) is cut
    assert Prompt.from_points([[1, 1]]).clipped((2, 2)).box is None
