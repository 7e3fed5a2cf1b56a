"""Facts told to the judge of the built-in model, on masks whose answer is known."""

import pytest
import torch

from napari_sam_med.models.builtin_facts import N_FACTS, NAMES
from napari_sam_med.models.builtin_judge import FACT_GRID, image_facts, mask_iou, place_facts
from napari_sam_med.models.builtin_roi import PromptBatch, prompt_maps, pyramid, roi_of_box

NAN = float("nan")


def disc(radius: float, row: float = 64.0, col: float = 64.0) -> torch.Tensor:
    rows, cols = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    return (rows - row).square() + (cols - col).square() < radius**2


def told(mask: torch.Tensor, image: torch.Tensor) -> dict[str, float]:
    """Facts of a mask on an image, both (128, 128), in the tight box of a disc of radius 24."""
    box = torch.tensor([[39.5, 39.5, 88.5, 88.5]])
    roi = roi_of_box(box)
    nothing = torch.zeros(1, 1, 3)
    unknown = torch.full((1, 1, FACT_GRID, FACT_GRID), NAN)
    index = torch.zeros(1, dtype=torch.long)
    batch = PromptBatch(index, roi, box, nothing, unknown)
    maps = prompt_maps(pyramid(image[None, None]), batch, FACT_GRID)
    p = prompt_maps(pyramid(mask[None, None].float()), batch, FACT_GRID)[:, 0] / 2 + 0.5
    return dict(zip(NAMES, image_facts(p, maps)[0].tolist(), strict=False))


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    noise = torch.randn(128, 128, generator=torch.Generator().manual_seed(0)) * 0.03
    return (0.3 + 0.4 * disc(24).float() + noise).clamp(0, 1)


def test_every_fact_has_a_name(image):
    masks = torch.ones(2, 8, 8, dtype=torch.bool)
    n_places = place_facts(masks, mask_iou(masks), torch.zeros(2, 4), torch.zeros(2), 1.0, True).shape[1]
    assert len(told(disc(24), image)) + n_places == len(NAMES) == N_FACTS


def test_the_right_outline_stands_out_from_a_smaller_a_larger_and_a_shifted_one(image):
    right = told(disc(24), image)
    for wrong in (disc(14), disc(33), disc(24, 72, 56)):
        other = told(wrong, image)
        assert right["edge"] > 1.5 * other["edge"]
        assert right["contrast_edge"] > other["contrast_edge"]
        assert right["same_ring"] < other["same_ring"]
        assert right["edge_seen"] > other["edge_seen"]
    assert right["least_reach"] == pytest.approx(1, abs=0.12)
    assert right["touched"] == 1
    assert told(disc(14), image)["touched"] == 0
    assert told(disc(33), image)["over"] > 0.1 > right["over"]
    assert right["edge_one_way"] > 0.95


def test_grey_facts_do_not_care_for_the_polarity(image):
    here, there = told(disc(24), image), told(disc(24), 1 - image)
    assert max(abs(here[name] - there[name]) for name in here) < 0.15


def test_an_object_that_goes_on_beyond_the_box_leaks(image):
    band = image.clone()
    band[56:72] = 0.7
    assert told(disc(24), band)["leak"] > 0.15 > told(disc(24), image)["leak"]


def test_what_lies_beyond_the_box_tells_the_object_from_the_rest(image):
    right, inverse = told(disc(24), image), told(square_around() & ~disc(24), image)
    assert right["like_beyond"] < 0.05
    assert right["goes_on"] < 0.05
    assert abs(right["beyond"]) < 0.3
    assert right["like_inside"] > 0.9 > 0.1 > right["like_rest"]
    # what is left of the box goes on around it
    assert inverse["like_beyond"] > 0.9
    assert inverse["goes_on"] > 0.8
    assert inverse["beyond"] > 0.7
    band = image.clone()
    band[56:72] = 0.7
    assert told(disc(24), band)["goes_on"] > 0.2


def square_around() -> torch.Tensor:
    mask = torch.zeros(128, 128, dtype=torch.bool)
    mask[40:89, 40:89] = True
    return mask


def test_masks_that_agree_are_told_so():
    masks = torch.stack([disc(20), disc(21), disc(6)])
    boxes = torch.tensor([[44.0, 44, 84, 84], [43, 43, 85, 85], [58, 58, 70, 70]])
    overlap = mask_iou(masks)
    facts = place_facts(masks, overlap, boxes, torch.tensor([64.0, 64.0]), 1 / 128, boxed=False)
    size, agreement, nearest, off, box_off, clicked, boxed = facts.T
    assert size[0] > size[2]
    assert agreement[0] > agreement[2]
    assert nearest[:2].min() > 0.8 > nearest[2]
    assert off.max() < 0.05
    assert box_off.max() < 0.05
    assert clicked.tolist() == [1, 1, 1]
    assert boxed.tolist() == [0, 0, 0]
    aside = place_facts(masks, overlap, boxes, torch.tensor([64.0, 80.0]), 1 / 128, boxed=True)
    assert (aside[:, 3] > off + 0.3).all()
    assert aside[:, 5].tolist() == [1, 1, 0]


def test_an_empty_mask_and_a_flat_image_give_finite_facts():
    flat = torch.full((128, 128), 0.5)
    for mask in (torch.zeros(128, 128, dtype=torch.bool), torch.ones(128, 128, dtype=torch.bool)):
        assert all(abs(value) < 100 for value in told(mask, flat).values())
