import numpy as np
import pytest

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.evaluation.baselines import BASELINES


def ask(name, pixels, box):
    return BASELINES.get(name).predict(pixels, Prompt.from_box(box))


def test_ellipse_fills_its_box_and_no_more():
    found = ask("ellipse", np.zeros((60, 80), np.uint8), (10, 20, 49, 69)).masks[0]
    rows, cols = np.nonzero(found)
    assert (rows.min(), cols.min(), rows.max(), cols.max()) == (10, 20, 49, 69)
    assert found.sum() == pytest.approx(np.pi / 4 * 40 * 50, rel=0.01)


def test_a_box_of_one_pixel():
    assert ask("ellipse", np.zeros((5, 5), np.uint8), (2, 3, 2, 3)).masks[0].nonzero() == (2, 3)


@pytest.mark.parametrize("inside", [(220, 40), (40, 220)])
def test_otsu_gives_both_sides_and_believes_in_the_one_in_the_middle(inside):
    object_grey, other = inside
    r, c = np.ogrid[:50, :50]
    truth = (r - 25) ** 2 + (c - 25) ** 2 <= 100
    pixels = np.where(truth, object_grey, other).astype(np.uint8)
    found = ask("otsu", pixels, (15, 15, 35, 35))
    assert len(found) == 2
    np.testing.assert_array_equal(found.masks[found.best], truth)
    box = np.zeros_like(truth)
    box[15:36, 15:36] = True
    np.testing.assert_array_equal(found.masks[0] ^ found.masks[1], box)


@pytest.mark.parametrize("name", list(BASELINES))
def test_flat_images_and_boxes_over_the_edge_are_fine(name):
    pixels = np.full((20, 20), 7, np.uint8)
    found = ask(name, pixels, (-3.2, 15, 4, 40))
    assert found.masks.shape[1:] == (20, 20)
    assert not found.masks[:, 5:].any()
    assert np.isfinite(found.scores).all()
    with pytest.raises(InputError, match="box"):
        BASELINES.get(name).predict(pixels, Prompt.from_points([[3, 3]]))
