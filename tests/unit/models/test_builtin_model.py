import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import save

from napari_sam_med.core.errors import ModelError
from napari_sam_med.core.prompt import Prompt, tight_box
from napari_sam_med.core.result import BatchSegmenter, Segmenter
from napari_sam_med.models.builtin import BuiltinSegmenter, load_builtin, weights_path
from napari_sam_med.models.builtin_facts import BOX_FACTS
from napari_sam_med.models.builtin_file import EARLIER, read_weights, save_weights
from napari_sam_med.models.builtin_look import Look
from napari_sam_med.models.builtin_net import (
    BOX_CHANNEL,
    BRIGHT_CHANNEL,
    DARK_CHANNEL,
    HAS_BOX_CHANNEL,
    PROMPT_CHANNELS,
    BuiltinConfig,
    BuiltinNet,
)
from napari_sam_med.models.builtin_roi import (
    PromptBatch,
    box_of_mask,
    crop_image,
    paste,
    prompt_maps,
    pyramid,
    resample,
    roi_of_box,
    roi_of_image,
    roi_of_mask,
    roi_points,
)

SMALL = BuiltinConfig(encoder=(8, 8, 8, 8, 8), features=8, decoder=(8, 8, 8, 8), grid=32)
NAN = float("nan")


def disc(shape, centre, radius):
    rows, cols = np.indices(shape)
    return (rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 < radius**2


@pytest.fixture(scope="module")
def random_model():
    torch.manual_seed(0)
    return BuiltinSegmenter(BuiltinNet(SMALL), "0" * 64)


@pytest.fixture(scope="module")
def builtin():
    return load_builtin()


def batch_of(roi, box=None, clicks=None, grid=32):
    n = len(roi)
    return PromptBatch(
        torch.zeros(n, dtype=torch.long),
        roi,
        torch.full((n, 4), NAN) if box is None else box,
        torch.zeros(n, 1, 3) if clicks is None else clicks,
        torch.full((n, 1, grid, grid), NAN),
    )


def test_box_region_has_margin_and_bounded_aspect():
    roi = roi_of_box(torch.tensor([[10.0, 20.0, 110.0, 40.0], [5.0, 5.0, 6.0, 6.0]]))
    assert roi[0].tolist() == pytest.approx([60, 30, 75, 37.5])
    assert roi[1, 2:].tolist() == [6, 6]  # a dot still gets a region


def test_crop_and_paste_are_inverse_on_a_smooth_image():
    rows, cols = torch.meshgrid(torch.arange(64.0), torch.arange(80.0), indexing="ij")
    image = (rows + 2 * cols) / 250
    roi = torch.tensor([[30.0, 40.0, 12.0, 16.0]])
    crop = crop_image(pyramid(image[None, None]), batch_of(roi), 48)
    back = paste(crop[0], roi[0], torch.arange(64.0), torch.arange(80.0), -1)
    assert torch.allclose(back[0, 20:40, 26:54], image[20:40, 26:54], atol=2e-3)
    assert (back[0, :17] == -1).all()


@pytest.mark.parametrize("shape", [(64, 96), (63, 96), (64, 50)])
def test_the_pyramid_halves_images_of_even_and_odd_sides(shape):
    image = torch.rand(1, 1, *shape)
    for finer, coarser in pairwise(pyramid(image)):
        wanted = torch.nn.functional.avg_pool2d(finer, 2, ceil_mode=True, count_include_pad=False)
        torch.testing.assert_close(coarser, wanted)


def test_masks_alone_are_those_that_come_with_a_rating():
    net = BuiltinNet(SMALL).eval()
    maps, features = torch.rand(2, PROMPT_CHANNELS, 32, 32), torch.rand(2, SMALL.features, 8, 8)
    assert torch.equal(net.decoder.masks(maps, features), net.decoder(maps, features).logits)


def test_large_regions_average_the_image_instead_of_skipping_pixels():
    checker = (torch.arange(256)[:, None] + torch.arange(256)) % 2
    roi = roi_of_image((256, 256))
    crop = crop_image(pyramid(checker[None, None].float()), batch_of(roi), 32)
    assert float((crop - 0.5).abs().max()) < 0.05


def test_prompt_maps_ignore_polarity_free_offsets():
    torch.manual_seed(1)
    image = torch.rand(1, 1, 64, 64)
    batch = batch_of(roi_of_image((64, 64)), torch.tensor([[10.0, 10.0, 40.0, 40.0]]))
    plain, shifted = (prompt_maps(pyramid(i), batch, 32) for i in (image * 0.5, image * 0.5 + 0.3))
    assert torch.allclose(plain[:, 1:3], shifted[:, 1:3], atol=1e-4)  # locally standardised channels


def test_region_of_mask_holds_mask_clicks_and_box():
    roi = roi_of_image((100, 100))
    mask = torch.zeros(1, 50, 50, dtype=torch.bool)
    mask[0, 10:20, 10:20] = True
    clicks = torch.tensor([[[80.0, 80.0, 1.0], [2.0, 2.0, -1.0]]])
    fitted = roi_of_mask(mask, roi, clicks, torch.full((1, 4), NAN))[0]
    low, high = fitted[:2] - fitted[2:], fitted[:2] + fitted[2:]
    assert (low < 20).all()
    assert (high > 80).all()
    empty = roi_of_mask(mask & False, roi, clicks, torch.full((1, 4), NAN))
    assert torch.equal(empty, roi)


def test_resample_moves_probabilities_between_regions():
    source = torch.tensor([[50.0, 50.0, 20.0, 20.0]])
    wanted = torch.tensor([[50.0, 50.0, 40.0, 40.0]])
    moved = resample(torch.ones(1, 1, 32, 32), source, wanted)
    inside = (roi_points(wanted, 32) - 50).abs().amax(-1) < 18
    outside = (roi_points(wanted, 32) - 50).abs().amax(-1) > 22
    assert moved[0, 0][inside[0]].min() > 0.99
    assert moved[0, 0][outside[0]].max() == 0


def test_weights_round_trip(tmp_path):
    torch.manual_seed(0)
    net = BuiltinNet(SMALL)
    file = save_weights(net, tmp_path / "m.safetensors", {"seed": "0"})
    again, digest = read_weights(file)
    assert again.config == SMALL
    assert len(digest) == 64
    for name, value in net.state_dict().items():
        assert torch.allclose(value, again.state_dict()[name], atol=1e-2)
    assert list(tmp_path.iterdir()) == [file]


def test_other_files_are_refused_with_a_sentence(tmp_path):
    missing, damaged, other = (tmp_path / n for n in ("a.safetensors", "b.safetensors", "c.safetensors"))
    damaged.write_bytes(b"no weights at all")
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, str(other))
    for file in (missing, damaged, other):
        with pytest.raises(ModelError, match=file.name):
            read_weights(file)


@pytest.mark.parametrize("shape", [(20, 31), (300, 40), (256, 256), (1200, 700), (1, 50)])
def test_any_slice_shape_gives_masks_of_that_shape(random_model, shape):
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    embedding = random_model.encode(image)
    assert embedding.image_shape == shape
    assert embedding.nbytes == random_model.embedding_bytes(shape)
    row, col = shape[0] // 2, shape[1] // 2
    for prompt in (Prompt.from_box((row, col, row + 3, col + 5)), Prompt.from_points([[row, col]])):
        found = random_model.decode(embedding, prompt)
        assert found.masks.shape == (3, *shape)
        assert found.masks.dtype == bool
        assert (np.diff(found.scores) <= 0).all()
        assert ((found.scores >= 0) & (found.scores <= 1)).all()
        again = random_model.decode(embedding, prompt.with_logits(found.low_res[0]))
        assert again.masks.shape == (3, *shape)


def test_the_model_has_no_hidden_state(random_model):
    rng = np.random.default_rng(0)
    a, b = (random_model.encode(rng.integers(0, 255, (60, 60)).astype(np.uint8)) for _ in range(2))
    prompt = Prompt.from_box((10, 10, 30, 30))
    first = random_model.decode(a, prompt)
    random_model.decode(b, Prompt.from_points([[5, 5]]))
    np.testing.assert_array_equal(first.low_res, random_model.decode(a, prompt).low_res)


def test_it_is_a_segmenter_and_refuses_nonsense(random_model):
    assert isinstance(random_model, Segmenter)
    embedding = random_model.encode(np.zeros((40, 40), np.uint8))
    with pytest.raises(ModelError, match="positive point"):
        random_model.decode(embedding, Prompt.from_points([[3, 3]], [0]))
    with pytest.raises(ModelError, match="shape"):
        random_model.decode(embedding, Prompt.from_box((1, 1, 9, 9)).with_logits(np.zeros((7, 7))))
    with pytest.raises(ModelError, match="uint8"):
        random_model.encode(np.zeros((40, 40), np.float32))
    other = BuiltinSegmenter(BuiltinNet(SMALL), "1" * 64)
    with pytest.raises(ModelError, match="another model"):
        other.decode(embedding, Prompt.from_box((1, 1, 9, 9)))


@pytest.mark.parametrize("shape", [(60, 90), (256, 256)])
def test_many_prompts_are_answered_as_one_by_one(random_model, shape):
    assert isinstance(random_model, BatchSegmenter)
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    embedding = random_model.encode(image)
    box = Prompt.from_box((10, 12, 30, 50))
    prompts = [
        Prompt.from_points([[20, 30]]),
        box,
        Prompt.from_points([[20, 30], [40, 50], [5, 6]], [1, 1, 0]),
        box.with_points([[20, 20]], [1]),
        *(Prompt.from_points([[k, 2 * k]]) for k in range(20)),
    ]
    first = random_model.decode(embedding, box)
    prompts += [box.with_logits(first.low_res[1]), prompts[0].with_logits(first.low_res[0])]
    together = random_model.decode_many(embedding, prompts)
    assert len(together) == len(prompts)
    for prompt, found in zip(prompts, together, strict=True):
        alone = random_model.decode(embedding, prompt)
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-5)
        np.testing.assert_allclose(found.low_res, alone.low_res, atol=1e-3)
        assert (found.masks == alone.masks).mean() > 0.999
        assert ((found.stability >= 0) & (found.stability <= 1)).all()


def test_prompts_have_their_maps_where_the_network_looks_for_them():
    image = torch.zeros(1, 1, 64, 64)
    image[..., 24:40, 24:40] = 1
    box = torch.tensor([[16.0, 16.0, 48.0, 48.0]])
    maps = prompt_maps(pyramid(image), batch_of(roi_of_box(box), box), 32)[0]
    assert maps.shape[0] == PROMPT_CHANNELS
    points = roi_points(roi_of_box(box), 32)[0]
    inside = ((points > 16) & (points < 48)).all(-1)
    assert ((maps[BOX_CHANNEL] > 0) == inside).all()
    assert (maps[HAS_BOX_CHANNEL] == 1).all()
    bright = maps[0] > 0
    assert ((maps[BRIGHT_CHANNEL] > 0) == bright).float().mean() > 0.95
    assert ((maps[DARK_CHANNEL] > 0) & bright).sum() == 0
    without = prompt_maps(pyramid(image), batch_of(roi_of_box(box)), 32)[0]
    assert (without[[BOX_CHANNEL, HAS_BOX_CHANNEL, BRIGHT_CHANNEL, DARK_CHANNEL]] == 0).all()


def test_box_of_a_mask_on_its_region():
    mask = torch.zeros(2, 16, 16, dtype=torch.bool)
    mask[0, 4:8, 2:12] = True
    roi = torch.tensor([[32.0, 32.0, 16.0, 8.0]]).repeat(2, 1)
    box, there = box_of_mask(mask, roi)
    assert there.tolist() == [True, False]
    assert box[0].tolist() == [16 + 4 * 2, 24 + 2 * 1, 16 + 8 * 2, 24 + 12 * 1]


@pytest.mark.parametrize("earlier", EARLIER)
def test_weights_that_know_fewer_maps_and_facts_go_on(tmp_path, earlier):
    net = BuiltinNet(SMALL)
    tensors = net.state_dict()
    fewer = {name: tensor for name, tensor in tensors.items() if not name.startswith("judge")}
    if earlier == EARLIER[1]:  # a judge that was told fewer facts
        fewer["judge.mean"] = torch.full((43,), 7.0)
    if earlier == EARLIER[-1]:  # a judge of boxes that did not compare them
        fewer["box_judge.mean"] = torch.full((len(BOX_FACTS),), 7.0)
    first = "decoder.in2.0.0.weight"
    fewer[first] = tensors[first][:, :68]
    header = {"format": earlier, "config": json.dumps(SMALL.as_dict())}
    file = tmp_path / "old.safetensors"
    file.write_bytes(save({k: v.half().contiguous() for k, v in fewer.items()}, metadata=header))
    with pytest.raises(ModelError, match="expected the format"):
        read_weights(file)
    grown = read_weights(file, grow=True)[0].state_dict()
    assert torch.equal(grown[first][:, :68], fewer[first].half().float())
    assert (grown[first][:, 68:] == 0).all()
    assert not (grown["judge.mean"] == 7).any()
    assert not (grown["box_judge.mean"] == 7).any()


def test_candidates_below_a_score_are_left_out(random_model):
    embedding = random_model.encode(np.random.default_rng(0).integers(0, 255, (50, 70)).astype(np.uint8))
    prompts = [Prompt.from_points([[k, 9]]) for k in (5, 25, 45)] + [Prompt.from_box((5, 5, 20, 40))]
    everything = random_model.decode_many(embedding, prompts, -1.0)
    limit = float(np.median(np.concatenate([found.scores for found in everything])))
    for full, cut in zip(everything, random_model.decode_many(embedding, prompts, limit), strict=True):
        kept = full.scores > limit
        np.testing.assert_array_equal(cut.scores, full.scores[kept])
        np.testing.assert_array_equal(cut.masks, full.masks[kept])
        np.testing.assert_array_equal(cut.stability, full.stability[kept])
    none = random_model.decode_many(embedding, prompts[:1], 1.0)[0]
    assert len(none) == 0
    assert none.masks.shape == (0, 50, 70)
    assert random_model.decode_many(embedding, []) == []


def test_stability_tells_sharp_borders_from_vague_ones(builtin):
    truth = disc((128, 128), (60, 66), 25)
    noise = np.random.default_rng(0).normal(0, 8, truth.shape)
    prompt = Prompt.from_box(tight_box(truth))
    sharp, vague = (
        builtin.decode(builtin.encode(np.clip(90 + step * truth + noise, 0, 255).astype(np.uint8)), prompt)
        for step in (100, 6)
    )
    assert sharp.stability[0] > vague.stability[0]


def test_shipped_weights_are_small_enough():
    assert weights_path().stat().st_size < 16 * 2**20


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("shape", [(64, 64), (256, 200), (512, 512)])
def test_shipped_model_finds_a_disc(builtin, shape, invert):
    rng = np.random.default_rng(0)
    centre, radius = (shape[0] * 0.45, shape[1] * 0.55), min(shape) * 0.12
    truth = disc(shape, centre, radius)
    image = np.clip(90 + 70 * truth + rng.normal(0, 8, shape), 0, 255).astype(np.uint8)
    embedding = builtin.encode(255 - image if invert else image)
    box = tight_box(truth)
    for prompt, least in ((Prompt.from_box(box), 0.93), (Prompt.from_points([centre]), 0.85)):
        found = builtin.decode(embedding, prompt)
        mask = found.masks[found.best]
        assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > least


def test_shipped_model_does_not_fill_a_loose_box(builtin):
    truth = disc((128, 128), (60, 66), 20)
    image = np.where(truth, 180, 60).astype(np.uint8)
    found = builtin.decode(builtin.encode(image), Prompt.from_box((32, 38, 88, 94)))
    mask = found.masks[found.best]
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.88


@pytest.mark.parametrize("polarity", [1, -1])
def test_shipped_model_does_not_fill_a_box_twice_too_large(builtin, polarity):
    truth = disc((160, 160), (80, 78), 22)
    noise = np.random.default_rng(0).normal(0, 8, truth.shape)
    image = np.clip(120 + polarity * np.where(truth, 45, -45) + noise, 0, 255).astype(np.uint8)
    found = builtin.decode(builtin.encode(image), Prompt.from_box((36, 34, 124, 122)))
    mask = found.masks[found.best]
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.8


def test_several_clicks_are_looked_at_after_the_first_positive_one(random_model, monkeypatch):
    seen, drawn = [], []
    fresh_maps = Look.fresh_maps

    def spy(self, roi, grid, box, clicks, brief=False):
        seen.append((box.clone(), clicks.clone()))
        drawn.append(brief)
        return fresh_maps(self, roi, grid, box, clicks, brief)

    monkeypatch.setattr(Look, "fresh_maps", spy)
    image = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    prompt = Prompt.from_points([[5, 5], [30, 30], [40, 40]], [0, 1, 1])
    random_model.decode(random_model.encode(image), prompt)
    (no_box, first), (box, second), *_ = seen
    assert drawn == [False, False, True]  # facts need fewer maps than the network
    assert no_box.isnan().all()
    assert first.shape[1] == 1
    assert (first[..., 2] == 1).all()
    assert (second[..., 2] != 0).sum(1).eq(3).all()
    for click in second[0, 1:]:  # every box holds the positive clicks
        assert ((box[:, :2] <= click[:2]) & (click[:2] <= box[:, 2:])).all()
    assert torch.allclose(first[0, 0], second[0, 1])
