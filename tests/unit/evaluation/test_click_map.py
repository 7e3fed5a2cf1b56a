import numpy as np
import pytest

from fixtures.fake_segmenter import FakeSegmenter
from napari_sam_med.core.errors import InputError
from napari_sam_med.evaluation.click_map import click_grid, click_map, iter_click_map, usual_step
from napari_sam_med.inference.session import Session
from napari_sam_med.inference.slices import SliceImage

PIXELS = SliceImage(np.zeros((40, 50), np.uint8), (1.0, 1.0))


def disc(centre=(20, 25), radius=5):
    rows, cols = np.ogrid[:40, :50]
    return (rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 <= radius**2


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_each_pixel_has_the_dice_of_a_click_on_it():
    truth = disc()
    found = click_map(Session(FakeSegmenter(radius=5)), PIXELS, truth, step=1)
    assert found.total == truth.sum()
    assert np.array_equal(np.isnan(found.maps["score"]), ~truth)
    assert found.maps["score"][20, 25] == 1
    for r, c in ((16, 25), (20, 29), (23, 22)):
        # the fake answers with a disc of radius 5 around the click, and with radius 4 and 6
        assert found.maps["score"][r, c] == pytest.approx(dice(disc((r, c)), truth), abs=1e-6)
        best = max(dice(disc((r, c), radius), truth) for radius in (4, 5, 6))
        assert found.maps["oracle"][r, c] == pytest.approx(best, abs=1e-6)
    assert (found.maps["oracle"][truth] >= found.maps["score"][truth]).all()


def test_a_coarse_grid_clicks_once_a_cell_on_the_object():
    truth = np.zeros((40, 50), bool)
    truth[10:16, 20:32] = True
    points, cells = click_grid(truth, 4)
    # cells of 4 begin at (10, 20); the middle of the first is (11.5, 21.5), of the lower ones cut off after two rows
    assert points.tolist() == [[11, 21], [11, 25], [11, 29], [15, 21], [15, 25], [15, 29]]
    assert cells[10:14, 20:24].ravel().tolist() == [0] * 16
    assert cells[15, 31] == 5
    assert np.array_equal(cells >= 0, truth)


def test_thin_parts_are_clicked_too():
    truth = np.zeros((40, 50), bool)
    truth[5, 5:45] = True
    truth[5:30, 44] = True
    points, cells = click_grid(truth, 8)
    assert truth[tuple(points.T)].all()
    assert set(np.unique(cells)) == set(range(-1, len(points)))
    # no pixel is farther from its click than a cell reaches
    for pixel in np.argwhere(truth):
        assert np.abs(points[cells[tuple(pixel)]] - pixel).max() < 8


def test_by_default_large_objects_take_as_many_clicks_as_small_ones():
    assert usual_step(disc(radius=5)) == 1
    large = np.ones((400, 500), bool)
    assert usual_step(large) == 29
    assert len(click_grid(large, usual_step(large))[0]) == 14 * 18
    found = click_map(Session(FakeSegmenter()), PIXELS, disc(radius=15))
    assert found.total == len(click_grid(disc(radius=15), 2)[0])


def test_the_map_grows_and_earlier_messages_stay_as_they_were():
    truth = disc()
    model = FakeSegmenter()
    messages = list(iter_click_map(Session(model), PIXELS, truth, step=2, batch=7))
    total = messages[-1].total
    assert [m.done for m in messages] == [*range(7, total, 7), total]
    assert np.isnan(messages[0].dices["score"]).sum() == total - 7
    assert [m.finished for m in messages] == [False] * (len(messages) - 1) + [True]
    assert np.isfinite(messages[-1].maps["score"][truth]).all()
    assert len(model.encoded) == 1


def test_models_that_decode_together_are_asked_together():
    class Together(FakeSegmenter):
        proposal_limits = (0.5, 0.5)

        def decode_many(self, embedding, prompts, min_score=None):
            calls.append(len(prompts))
            return [self.decode(embedding, prompt) for prompt in prompts]

    calls = []
    truth = disc()
    together = click_map(Session(Together()), PIXELS, truth, step=2)
    alone = click_map(Session(FakeSegmenter()), PIXELS, truth, step=2)
    assert sum(calls) == together.total
    assert max(calls) > 1
    np.testing.assert_array_equal(together.maps["score"], alone.maps["score"])


def test_what_cannot_be_clicked_is_said():
    with pytest.raises(InputError, match="no pixel"):
        click_map(Session(FakeSegmenter()), PIXELS, np.zeros((40, 50), bool))
    with pytest.raises(InputError, match="1 or more"):
        click_grid(disc(), 0)
    with pytest.raises(InputError, match="shape"):
        click_map(Session(FakeSegmenter()), PIXELS, np.ones((3, 3), bool))
