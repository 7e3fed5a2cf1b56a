import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator

from fixtures.fake_segmenter import FakeSegmenter
from fixtures.tiny_sam import TINY, tiny_sam
from napari_sam_med.core.errors import Cancelled, InputError
from napari_sam_med.core.result import Candidates
from napari_sam_med.inference.everything import (
    EverythingSettings,
    best_boxes,
    find_everything,
    grid_points,
)
from napari_sam_med.inference.session import Session
from napari_sam_med.inference.slices import SliceImage
from napari_sam_med.models.builtin import load_builtin
from napari_sam_med.models.sam import SamSegmenter

OPEN = {"min_iou": 0.0, "min_stability": 0.0}


def iou(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    both = np.prod(np.clip(np.subtract(high, low), 0, None))
    area = [(r1 - r0) * (c1 - c0) for r0, c0, r1, c1 in (a, b)]
    return both / max(sum(area) - both, 1e-9)


class Blobs(FakeSegmenter):
    """Finds the bright blob under the point, and next to it a poor and an unstable version of the same."""

    def encode(self, image):
        made = super().encode(image)
        return type(made)({"image": image}, image.shape, self.fingerprint)

    def decode(self, embedding, prompt):
        from scipy import ndimage

        self.prompts.append(prompt)
        image = embedding.arrays["image"]
        labels, _ = ndimage.label(image > 100)
        r, c = np.minimum(prompt.points[0].astype(int), np.array(image.shape) - 1)
        mask = labels == labels[r, c] if labels[r, c] else np.zeros(image.shape, bool)
        soft = np.where(mask, 9.0, -9.0)
        vague = np.where(mask, 0.5, -9.0)
        masks = np.stack([mask, mask, mask])
        low_res = np.stack([soft, soft, vague]).astype(np.float32)
        return Candidates(masks, np.array([0.95, 0.5, 0.99], np.float32), low_res)


@pytest.fixture
def blobs():
    image = np.full((64, 80), 30, np.uint8)
    image[5:25, 5:30] = 200
    image[35:60, 40:75] = 160
    return image


def test_each_object_is_proposed_once(blobs):
    model = Blobs()
    found = find_everything(model, model.encode(blobs), EverythingSettings(points_per_side=8))
    assert len(model.prompts) == 64
    assert len(found) == 2
    np.testing.assert_allclose(found.scores, 0.95)
    assert found.stability.tolist() == [1, 1]
    expected = {(5, 5, 500), (35, 40, 875)}
    assert {(*np.argwhere(m)[0].tolist(), int(m.sum())) for m in found.masks} == expected
    assert found.low_res.shape == (2, 0, 0)


def test_nothing_passes(blobs):
    model = Blobs()
    found = find_everything(model, model.encode(blobs), EverythingSettings(8, min_iou=0.999))
    assert len(found) == 0
    assert found.masks.shape == (0, 64, 80)


def test_progress_is_told_and_a_cancel_gets_through(blobs):
    model = Blobs()
    told = []
    find_everything(model, model.encode(blobs), EverythingSettings(16), lambda *at: told.append(at))
    assert told == [(64, 256), (128, 256), (192, 256), (256, 256)]

    def stop(done, total):
        raise Cancelled("stopped")

    model.prompts.clear()
    with pytest.raises(Cancelled):
        find_everything(model, model.encode(blobs), EverythingSettings(16), stop)
    assert len(model.prompts) == 64


def test_the_session_does_not_encode_again_and_returns_to_the_voxels(blobs):
    session = Session(Blobs())
    image = SliceImage(blobs[::2], (2.0, 1.0))  # rows twice as far apart as columns
    first = session.everything(image, EverythingSettings(16))
    assert first.masks.shape == (2, 32, 80)
    for mask in first.masks:
        assert (image.pixels[mask] > 100).mean() > 0.95
    session.everything(image, EverythingSettings(8))
    session.everything(image, EverythingSettings(8), session.embed(image))
    assert len(session.model.encoded) == 1


def test_grid_covers_the_slice_in_equal_cells():
    points = grid_points((40, 80), 8)
    assert points.shape == (64, 2)
    assert points[:2].tolist() == [[2.5, 5], [2.5, 15]]
    assert points[-1].tolist() == [37.5, 75]
    tiny = grid_points((3, 5), 64)
    assert (tiny <= [2.5, 4.5]).all()


@pytest.mark.parametrize("seed", range(5))
def test_suppression_agrees_with_torchvision(seed):
    from torchvision.ops import nms

    rng = np.random.default_rng(seed)
    low = rng.integers(0, 60, (200, 2))
    boxes = np.c_[low, low + rng.integers(0, 40, (200, 2))].astype(float)
    scores = rng.permutation(200) / 200
    expected = nms(torch.tensor(boxes), torch.tensor(scores), 0.5).tolist()
    assert best_boxes([tuple(box) for box in boxes], scores.tolist(), 0.5) == expected
    assert best_boxes([], [], 0.5) == []


@pytest.mark.parametrize("change", [{"points_per_side": 7}, {"points_per_side": 65}, {"nms_iou": 1.5}])
def test_unusable_settings_are_refused(change):
    with pytest.raises(InputError):
        EverythingSettings(**change)


def test_each_model_has_its_own_limits():
    assert EverythingSettings().limits(FakeSegmenter()) == (0.88, 0.95)
    assert EverythingSettings(min_stability=0.1).limits(FakeSegmenter()) == (0.88, 0.1)
    builtin = load_builtin()
    assert EverythingSettings().limits(builtin) == builtin.proposal_limits != (0.88, 0.95)


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", [(60, 90), (100, 70), (128, 90)])
def test_it_finds_what_sams_own_generator_finds(one_thread, shape):
    sam = tiny_sam()
    image = np.random.default_rng(1).integers(0, 255, shape).astype(np.uint8)
    model = SamSegmenter(sam, "tiny", "0" * 64, TINY.name)
    embedding = model.encode(image)
    candidates = find_everything(model, embedding, EverythingSettings(8, **OPEN, nms_iou=1.0))
    # weights are random, so the limits are set where they divide the masks
    limits = (float(np.quantile(candidates.scores, 0.3)), float(np.quantile(candidates.stability, 0.3)))
    settings = EverythingSettings(8, *limits, nms_iou=0.7)
    found = find_everything(model, embedding, settings)

    generator = SamAutomaticMaskGenerator(
        sam,
        points_per_side=8,
        points_per_batch=8,
        pred_iou_thresh=limits[0],
        stability_score_thresh=limits[1],
    )
    set_image = generator.predictor.set_image

    def set_rounded(pixels):
        set_image(pixels)
        generator.predictor.features = generator.predictor.features.half().float()

    generator.predictor.set_image = set_rounded
    expected = generator.generate(np.repeat(image[:, :, None], 3, axis=2))
    assert 0 < len(expected) < len(candidates)
    assert len(found) == len(expected)
    for mask, score, stability, record in zip(
        found.masks, found.scores, found.stability, expected, strict=True
    ):
        np.testing.assert_array_equal(mask, record["segmentation"])
        assert score == pytest.approx(record["predicted_iou"])
        assert stability == pytest.approx(record["stability_score"])


class Late(SamSegmenter):
    """Draws all masks and leaves it to the caller to look at their scores."""

    def decode_many(self, embedding, prompts, min_score=None):
        return super().decode_many(embedding, prompts)


def test_masks_left_out_early_are_those_that_are_left_out_late(one_thread):
    sam = tiny_sam()
    early, late = (kind(sam, "tiny", "0" * 64, TINY.name) for kind in (SamSegmenter, Late))
    embedding = early.encode(np.random.default_rng(1).integers(0, 255, (90, 128)).astype(np.uint8))
    everything = find_everything(late, embedding, EverythingSettings(8, **OPEN, nms_iou=1.0))
    settings = EverythingSettings(8, float(np.median(everything.scores)), 0.0, nms_iou=0.9)
    found, expected = find_everything(early, embedding, settings), find_everything(late, embedding, settings)
    assert 0 < len(expected) < len(everything)
    np.testing.assert_array_equal(found.masks, expected.masks)
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.stability, expected.stability)


def test_the_builtin_model_finds_objects_of_a_phantom(one_thread):
    rows, cols = np.indices((96, 96))
    discs = [(rows - r) ** 2 + (cols - c) ** 2 < 14**2 for r, c in ((26, 28), (66, 64))]
    noise = np.random.default_rng(0).normal(0, 5, (96, 96))
    image = np.clip(70 + 90 * discs[0] + 60 * discs[1] + noise, 0, 255).astype(np.uint8)
    model = load_builtin()
    found = find_everything(model, model.encode(image), EverythingSettings(8))
    for disc in discs:
        assert max(2 * (m & disc).sum() / (m.sum() + disc.sum()) for m in found.masks) > 0.8
    boxes = [(r.min(), c.min(), r.max(), c.max()) for r, c in (np.nonzero(m) for m in found.masks)]
    assert all(iou(a, b) <= 0.7 for i, a in enumerate(boxes) for b in boxes[:i])
