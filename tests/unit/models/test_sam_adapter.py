"""The adapter answers as SamPredictor does, and keeps no state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor, sam_model_registry

from fixtures.tiny_sam import TINY, save_checkpoint, tiny_sam
from napari_sam_med.core.errors import ModelError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.result import BatchSegmenter, Embedding, Segmenter
from napari_sam_med.models import load_model
from napari_sam_med.models.sam import SamSegmenter
from napari_sam_med.models.sam_checkpoint import EncoderShape

SHAPES = [(60, 90), (90, 60), (256, 256), (300, 200)]


def picture(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """A bright disc on noise."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    disc = (rows - shape[0] / 2) ** 2 + (cols - shape[1] / 2) ** 2 < (min(shape) / 4) ** 2
    noise = np.random.default_rng(seed).normal(0, 20, shape)
    return np.clip(80 + 100 * disc + noise, 0, 255).astype(np.uint8)


def prompts(shape: tuple[int, int]) -> dict[str, Prompt]:
    r, c = shape[0] / 2, shape[1] / 2
    box = (r - 10, c - 20, r + 15.5, c + 12)
    points = Prompt.from_points([(r, c + 3), (2, 5)], [1, 0])
    logits = np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32)
    return {
        "point": Prompt.from_points([(r - 4, c + 9)]),
        "points": points,
        "box": Prompt.from_box(box),
        "box and points": Prompt(points.points, points.labels, box),
        "box and logits": Prompt.from_box(box).with_logits(logits),
        "point and logits": Prompt.from_points([(r, c)]).with_logits(logits),
    }


def ask_predictor(predictor: SamPredictor, prompt: Prompt):
    """The same prompt as SamPredictor wants it: (x, y), XYXY."""
    given = {}
    if len(prompt.points):
        given |= {"point_coords": prompt.points[:, ::-1].copy(), "point_labels": prompt.labels}
    if prompt.box is not None:
        r0, c0, r1, c1 = prompt.box
        given["box"] = np.array([c0, r0, c1, r1])
    if prompt.mask_logits is not None:
        given["mask_input"] = prompt.mask_logits[None]
    return predictor.predict(**given, multimask_output=True)


def predictor_for(sam, image: np.ndarray, *, rounded: bool) -> SamPredictor:
    predictor = SamPredictor(sam)
    predictor.set_image(np.repeat(image[:, :, None], 3, axis=2))
    if rounded:
        predictor.features = predictor.features.half().float()
    return predictor


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small matrices and a busy machine: threads that wait for each other take longer than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def sam():
    return tiny_sam()


@pytest.fixture(scope="module")
def segmenter(sam) -> SamSegmenter:
    return SamSegmenter(sam, "tiny", "0" * 64, TINY.name)


def test_it_fulfils_the_protocol(segmenter):
    assert isinstance(segmenter, Segmenter)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_masks_scores_and_logits_equal_sam_predictors(sam, segmenter, shape):
    image = picture(shape)
    embedding, predictor = segmenter.encode(image), predictor_for(sam, image, rounded=True)
    for kind, prompt in prompts(shape).items():
        found = segmenter.decode(embedding, prompt)
        masks, scores, low_res = ask_predictor(predictor, prompt)
        assert found.masks.dtype == bool
        assert found.masks.shape == (3, *shape)
        np.testing.assert_array_equal(found.masks, masks, kind)
        np.testing.assert_array_equal(found.scores, scores, kind)
        np.testing.assert_array_equal(found.low_res, low_res, kind)


def test_keeping_the_embedding_in_half_precision_changes_next_to_nothing(sam, segmenter):
    image = picture((120, 100))
    prompt = prompts((120, 100))["box"]
    found = segmenter.decode(segmenter.encode(image), prompt)
    masks, scores, _ = ask_predictor(predictor_for(sam, image, rounded=False), prompt)
    np.testing.assert_allclose(found.scores, scores, atol=2e-3)
    assert (found.masks == masks).mean() > 0.995


def test_the_prompt_matters(segmenter):
    """Guards the comparisons above against a network that ignores its input."""
    embedding = segmenter.encode(picture((90, 60)))
    given = prompts((90, 60))
    answers = [segmenter.decode(embedding, prompt).low_res for prompt in given.values()]
    for i, one in enumerate(answers):
        for other in answers[i + 1 :]:
            assert np.abs(one - other).max() > 1e-4
    other_image = segmenter.decode(segmenter.encode(255 - picture((90, 60))), given["box"]).low_res
    assert np.abs(answers[2] - other_image).max() > 1e-4


def test_decoding_leaves_no_trace(segmenter):
    first, second = segmenter.encode(picture((60, 90))), segmenter.encode(picture((90, 60), 1))
    given = prompts((60, 90))
    before = segmenter.decode(first, given["point"])
    segmenter.decode(second, given["box and logits"])
    segmenter.encode(picture((30, 30)))
    after = segmenter.decode(first, given["point"])
    np.testing.assert_array_equal(before.masks, after.masks)
    np.testing.assert_array_equal(before.scores, after.scores)


def test_an_embedding_is_half_precision_and_of_the_size_foretold(segmenter):
    embedding = segmenter.encode(picture((77, 133)))
    assert embedding.arrays["image_embedding"].dtype == np.float16
    assert embedding.image_shape == (77, 133)
    assert embedding.nbytes == segmenter.embedding_bytes((77, 133))


def test_an_embedding_from_read_only_memory_serves(segmenter):
    embedding = segmenter.encode(picture((60, 90)))
    for array in embedding.arrays.values():
        array.setflags(write=False)
    assert len(segmenter.decode(embedding, prompts((60, 90))["box"])) == 3


def test_logits_go_back_in(segmenter):
    embedding = segmenter.encode(picture((60, 90)))
    prompt = prompts((60, 90))["box"]
    first = segmenter.decode(embedding, prompt)
    second = segmenter.decode(embedding, prompt.with_logits(first.low_res[first.best]))
    assert np.abs(first.low_res - second.low_res).max() > 1e-4


@pytest.mark.parametrize("shape", SHAPES[:2], ids=str)
def test_many_prompts_are_answered_as_one_by_one(segmenter, shape):
    assert isinstance(segmenter, BatchSegmenter)
    embedding = segmenter.encode(picture(shape))
    asked = [*prompts(shape).values(), *(Prompt.from_points([(k, 2 * k)]) for k in range(20))]
    together = segmenter.decode_many(embedding, asked)
    assert len(together) == len(asked)
    for prompt, found in zip(asked, together, strict=True):
        alone = segmenter.decode(embedding, prompt)
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-4)
        np.testing.assert_allclose(found.low_res, alone.low_res, atol=1e-3)
        np.testing.assert_allclose(found.stability, alone.stability, atol=0.01)
        assert (found.masks == alone.masks).mean() > 0.999


@pytest.mark.parametrize("shape", [(128, 128), (128, 90), (70, 128), (100, 127)], ids=str)
def test_many_points_are_decoded_by_another_way_to_the_same_numbers(segmenter, shape):
    """All of it: logits to a millionth of their range, masks but for pixels that lie on the threshold itself."""
    embedding = segmenter.encode(picture(shape))
    asked = [Prompt.from_points([(5 * k, 5 * k + 3), (7, 60)], [1, 0]) for k in range(9)]
    together = segmenter.decode_many(embedding, asked)
    alone = [segmenter.decode(embedding, prompt) for prompt in asked]
    size = np.ptp([found.low_res for found in alone])
    assert np.ptp([found.scores for found in alone], axis=0).min() > 1e-3  # the prompt matters
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
        np.testing.assert_allclose(one.low_res, other.low_res, atol=1e-5 * size)
        np.testing.assert_allclose(one.stability, other.stability, atol=1e-3)
        assert np.count_nonzero(one.masks != other.masks) <= 2


def test_candidates_below_a_score_are_left_out(segmenter):
    embedding = segmenter.encode(picture((60, 90)))
    asked = [Prompt.from_points([(k, 2 * k)]) for k in range(3, 50, 4)]
    everything = segmenter.decode_many(embedding, asked)
    limit = float(np.median(np.concatenate([found.scores for found in everything])))
    for full, cut in zip(everything, segmenter.decode_many(embedding, asked, limit), strict=True):
        kept = full.scores > limit
        np.testing.assert_array_equal(cut.scores, full.scores[kept])
        np.testing.assert_array_equal(cut.masks, full.masks[kept])
        np.testing.assert_array_equal(cut.stability, full.stability[kept])
    none = segmenter.decode_many(embedding, asked[:1], 1e9)[0]
    assert len(none) == 0
    assert none.masks.shape == (0, 60, 90)


def test_what_belongs_to_another_model_is_refused(segmenter):
    embedding = segmenter.encode(picture((60, 90)))
    prompt = prompts((60, 90))["box"]
    with pytest.raises(ModelError, match="another model"):
        segmenter.decode(Embedding(embedding.arrays, embedding.image_shape, "other"), prompt)
    with pytest.raises(ModelError, match="64 × 64"):
        segmenter.decode(embedding, prompt.with_logits(np.zeros((256, 256), np.float32)))


def test_sams_own_input_size_with_windowed_and_global_attention():
    shape = EncoderShape(32, 2, 2, 1024, 16, 14, (1,))
    sam = tiny_sam(shape)
    segmenter = SamSegmenter(sam, "tiny", "0" * 64, shape.name)
    image, prompt = picture((64, 48)), prompts((64, 48))["box"]
    embedding = segmenter.encode(image)
    assert embedding.arrays["image_embedding"].shape == (256, 64, 64)
    found = segmenter.decode(embedding, prompt)
    assert found.low_res.shape == (3, 256, 256)
    masks, scores, _ = ask_predictor(predictor_for(sam, image, rounded=True), prompt)
    np.testing.assert_array_equal(found.masks, masks)
    np.testing.assert_array_equal(found.scores, scores)


def test_a_loaded_checkpoint_answers_like_the_network_it_came_from(tmp_path, segmenter):
    loaded = load_model(save_checkpoint(tmp_path / "tiny.pth"), device="cpu")
    image, prompt = picture((60, 90)), prompts((60, 90))["box and points"]
    expected = segmenter.decode(segmenter.encode(image), prompt)
    found = loaded.decode(loaded.encode(image), prompt)
    np.testing.assert_array_equal(found.masks, expected.masks)
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_whole_vit_b_equals_sam_predictor(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        reference = sam_model_registry["vit_b"]()
    torch.save(reference.state_dict(), tmp_path / "vit_b.pth")
    torch.set_num_threads(2)
    segmenter = load_model(tmp_path / "vit_b.pth", device="cpu")
    assert segmenter.fingerprint.startswith("sam_vit_b/")
    image, prompt = picture((96, 128)), prompts((96, 128))["box and points"]
    found = segmenter.decode(segmenter.encode(image), prompt)
    masks, scores, low_res = ask_predictor(predictor_for(reference, image, rounded=True), prompt)
    np.testing.assert_array_equal(found.masks, masks)
    np.testing.assert_array_equal(found.scores, scores)
    np.testing.assert_array_equal(found.low_res, low_res)
