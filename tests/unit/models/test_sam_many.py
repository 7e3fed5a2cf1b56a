"""The decoder for many prompts computes what SAM's own does, to the accuracy of the numbers it is given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything.modeling import Sam
from segment_anything.utils.amg import calculate_stability_score

from fixtures.tiny_sam import tiny_sam
from napari_sam_med.models.sam import _stability
from napari_sam_med.models.sam_many import ManyDecoder

GRID, CHANNELS = 16, 256
N_PROMPTS = 5


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def sam() -> Sam:
    """In double precision, so that rounding hides no term; gains, biases and weights are far from where SAM's start."""
    sam = tiny_sam()
    place = sam.prompt_encoder.get_dense_pe().double()
    generator = torch.Generator().manual_seed(1)
    for weight in sam.mask_decoder.parameters():
        noise = torch.randn(weight.shape, generator=generator)
        weight += 0.3 * noise if weight.ndim == 1 else noise * weight.std()
    sam.double()
    sam.prompt_encoder.get_dense_pe = lambda: place
    return sam


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn((1, CHANNELS, GRID, GRID), generator=generator, dtype=torch.float64)


def tokens(n_tokens: int) -> torch.Tensor:
    """Prompts as the prompt encoder gives them: 2 tokens for a point or a box, more for several."""
    generator = torch.Generator().manual_seed(n_tokens)
    return torch.randn((N_PROMPTS, n_tokens, CHANNELS), generator=generator, dtype=torch.float64)


def sams_own(sam: Sam, features: torch.Tensor, sparse: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    dense = sam.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1).expand(len(sparse), -1, GRID, GRID)
    place = sam.prompt_encoder.get_dense_pe()
    return sam.mask_decoder(features, place, sparse, dense, multimask_output=True)


@pytest.mark.parametrize("one_by_one", [True, False])
@pytest.mark.parametrize("n_tokens", [2, 3, 9])
def test_logits_and_scores_are_those_of_sams_own_decoder(sam, features, n_tokens, one_by_one):
    sparse = tokens(n_tokens)
    low_res, scores = sams_own(sam, features, sparse)
    found, found_scores = ManyDecoder(sam, features, one_by_one)(sparse)
    # the comparison means something: prompts and masks differ
    assert (low_res[0] - low_res[1]).std() > 0.1 * low_res.std() > 0
    assert (low_res[0, 0] - low_res[0, 1]).std() > 0.1 * low_res.std()
    torch.testing.assert_close(torch.stack(found_scores), scores, rtol=0, atol=1e-9)
    torch.testing.assert_close(torch.stack(found), low_res, rtol=0, atol=1e-9 * float(low_res.std()))


@pytest.mark.parametrize("one_by_one", [True, False])
def test_what_is_left_out_for_its_score_changes_nothing_else(sam, features, one_by_one):
    decoder, sparse = ManyDecoder(sam, features, one_by_one), tokens(2)
    low_res, scores = decoder(sparse)
    best = torch.stack(scores).amax(1).sort().values
    limit = float((best[1] + best[2]) / 2)  # two prompts have no mask above it
    cut, cut_scores = decoder(sparse, limit)
    n_kept = sorted(len(score) for score in cut_scores)
    assert n_kept[:2] == [0, 0]
    assert n_kept[2] > 0
    assert any(0 < n < 3 for n in n_kept)
    for logits, score, fewer, fewer_scores in zip(low_res, scores, cut, cut_scores, strict=True):
        kept = score > limit
        torch.testing.assert_close(fewer_scores, score[kept], rtol=0, atol=1e-12)
        assert fewer.shape == (int(kept.sum()), 4 * GRID, 4 * GRID)
        torch.testing.assert_close(fewer, logits[kept], rtol=0, atol=1e-9 * float(logits.std()))
    none, no_scores = decoder(sparse, 1e9)
    assert all(one.shape == (0, 4 * GRID, 4 * GRID) for one in none)
    assert all(len(score) == 0 for score in no_scores)


def test_a_decoder_answers_again_what_it_answered(sam, features):
    """Buffers are changed in place; none of them may be the image's own."""
    decoder, sparse = ManyDecoder(sam, features), tokens(2)
    first, _ = decoder(sparse)
    decoder(tokens(4), 0.0)
    again, _ = decoder(sparse)
    torch.testing.assert_close(again, first, rtol=0, atol=0)


def test_single_precision_is_lost_to_rounding_alone(sam, features):
    """No worse than SAM's own decoder, which rounds as well."""
    sparse = tokens(2)
    low_res, _ = sams_own(sam, features, sparse)
    place = sam.prompt_encoder.get_dense_pe()
    sam.float()
    sam.prompt_encoder.get_dense_pe = lambda: place.float()
    try:
        own, _ = sams_own(sam, features.float(), sparse.float())
        found = torch.stack(ManyDecoder(sam, features.float())(sparse.float())[0])
    finally:
        sam.double()
        sam.prompt_encoder.get_dense_pe = lambda: place
    size = float(low_res.std())
    assert (found - low_res).square().mean().sqrt() < 3 * (own - low_res).square().mean().sqrt() < 1e-5 * size


def test_stability_is_that_of_segment_anything():
    logits = torch.from_numpy(np.random.default_rng(0).normal(0, 2, (4, 70, 90)).astype(np.float32))
    logits[1] += 3
    logits[2] = -5  # nothing at either threshold: 0 / 0 there
    logits[3, 0, 0] = 1.0  # on the threshold itself
    expected = np.nan_to_num(calculate_stability_score(logits, 0.0, 1.0).numpy())
    found = _stability(logits, 0.0, 1.0)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), expected)
    assert expected[2] == 0 < expected[0] < expected[1]
