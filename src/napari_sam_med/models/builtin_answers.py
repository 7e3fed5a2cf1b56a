"""How the built-in model answers boxes, clicks and corrections: where it looks, what it gives. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.models.builtin_judge import image_facts, place_facts
from napari_sam_med.models.builtin_look import Found, Look
from napari_sam_med.models.builtin_net import N_CANDIDATES, Output
from napari_sam_med.models.builtin_roi import (
    box_of_mask,
    guessed_sides,
    resample,
    roi_of_box,
    roi_of_image,
    roi_of_mask,
    roi_points,
    sample_map,
)

POINT_SCALES = (1.0, 0.35, 0.12)
"""Regions tried for a prompt without a box, over the longest side of the slice."""
COARSE_GRID = 40
"""Cells on a side of the region grid in the first two looks at clicks; finer ones gained nothing on training slices."""
CLOSE_GRID = 48
"""The same where a mask's own box is looked at, and for the answers to a box that come from guesses."""
SECOND_LOOKS = 5
"""Answers to clicks alone that are looked at again closely."""
THIRD_LOOKS = 6
"""Answers to those whose own box is then taken for a prompt, beside the clicks."""
COMMON_GRID = 160
"""Longest side of the grid on which answers to clicks are compared."""
BEHIND = 0.01
"""By how much the predicted IoU of an alternative stays below that of the answer before it."""
SAME = 0.9
"""IoU above which two answers to a box are one."""
APART = 0.5
"""IoU up to which two answers to clicks are alternatives to each other."""
SAME_BOX = 0.8
"""IoU above which two boxes of answers to clicks are not both looked at."""
TOGETHER = 16
"""Prompts decoded in one batch."""


class Pool(NamedTuple):
    """Answers to one prompt among which is chosen, and what is told of each (K, N_FACTS)."""

    found: list[Found]
    facts: Tensor
    masks: Tensor
    """(K, rows, cols), bool, on a common grid."""


def boxes(look: Look, prompts: list[Prompt]) -> list[list[Found]]:
    """Each box is decoded on one region around it and the positive clicks: plainly, and from two guesses.

    The guesses are what is bright and what is dark in the box, offered as earlier answers. What comes of them is an
    alternative that never counts more than the plain answer: believing it gained nothing on training slices.
    """
    return [_in_order(look, pool) for pool in box_pools(look, prompts)]


def box_pools(look: Look, prompts: list[Prompt]) -> list[Pool]:
    """Up to three different answers to each box, in the order in which they are given."""
    box, clicks = look.boxes(prompts), look.clicks(prompts)
    n = len(prompts)
    nothing = torch.zeros((n, 8, 8), dtype=torch.bool, device=look.device)
    roi = roi_of_mask(nothing, look.whole.expand(n, -1), clicks, box)
    grid = look.net.config.grid
    unknown = torch.full((n, 1, grid, grid), float("nan"), device=look.device)
    maps = look.maps(roi, box, clicks, unknown)
    plain = look.answer(roi, maps)
    guess = F.interpolate(guessed_sides(maps), (CLOSE_GRID, CLOSE_GRID), mode="area").flatten(0, 1)[:, None]
    roi2, box2, clicks2 = (t.repeat_interleave(2, 0) for t in (roi, box, clicks))
    maps2 = look.maps(roi2, box2, clicks2, guess)
    guessed = look.answer(roi2, maps2)
    fine = F.interpolate(guessed.logits, (grid, grid), mode="bilinear", align_corners=False)
    logits = torch.cat([plain.logits, fine.unflatten(0, (n, 2)).flatten(1, 2)], 1)
    most = plain.iou.amax(1, keepdim=True) - BEHIND
    others = torch.minimum(guessed.iou.unflatten(0, (n, 2)).flatten(1, 2), most).clamp_min(0)
    iou = torch.cat([plain.iou, others], 1)
    pools = []
    for k in range(n):
        chosen = _different(logits[k], iou[k])
        pools.append(_box_pool(look, prompts[k], logits[k], chosen, roi[k], maps2[2 * k]))
    return pools


def _box_pool(
    look: Look, prompt: Prompt, logits: Tensor, chosen: list[int], roi: Tensor, maps: Tensor
) -> Pool:
    """The chosen of the answers (9, R, R) on one region, with the facts told on the grid of `maps`."""
    small = F.interpolate(logits[None], maps.shape[-2:], mode="bilinear", align_corners=False)[0]
    masks = small > 0
    told = image_facts(torch.sigmoid(small[chosen]), maps[None].expand(len(chosen), -1, -1, -1))
    size = small.shape[-1]
    cell = roi[2:] * 2 / size
    own, _ = box_of_mask(masks, roi.expand(len(masks), -1))
    corner = (roi[:2] - roi[2:] + cell / 2).repeat(2)
    in_cells = (own - corner) / cell.repeat(2)
    middle = (_middle(look, prompt) - corner[:2]) / cell
    side = float(cell.prod().sqrt()) / max(look.frame.work)
    placed = place_facts(masks, in_cells, middle, side, boxed=True)[chosen]
    found = [(logits[k], torch.zeros(()), roi) for k in chosen]
    return Pool(found, torch.cat([told, placed], 1), masks[chosen])


def _in_order(look: Look, pool: Pool) -> list[Found]:
    """The answers with the IoU that the judge expects, none above one before it."""
    scores = look.net.judge(pool.facts).tolist()
    for k in range(1, len(scores)):
        scores[k] = max(0.0, min(scores[k], scores[k - 1] - BEHIND))
    return [
        (logits, torch.tensor(score), roi) for (logits, _, roi), score in zip(pool.found, scores, strict=True)
    ]


def again(look: Look, prompts: list[Prompt]) -> list[list[Found]]:
    """An earlier answer fed back, with new clicks: one region around it, the box and the positive clicks."""
    return [_in_order(look, again_pool(look, prompt)) for prompt in prompts]


def again_pool(look: Look, prompt: Prompt) -> Pool:
    """The three answers to an earlier one fed back, those the network believes in first."""
    box, clicks, prev = look.boxes([prompt]), look.clicks([prompt]), look.previous(prompt)
    roi = roi_of_mask(_square(prev)[:, 0] > 0.5, look.whole, clicks, box)
    grid = look.net.config.grid
    index = torch.zeros(1, dtype=torch.long, device=look.device)
    known = sample_map(prev, index, roi_points(roi, grid), look.frame.work, "zeros")
    output = look.decode(roi, grid, box, clicks, known)
    order = torch.argsort(output.iou[0], descending=True, stable=True)
    logits = output.logits[0, order]
    found = [(each, torch.zeros(()), roi[0]) for each in logits]
    return _pool(look, found, torch.sigmoid(logits), roi.expand(len(order), -1), prompt)


def search(look: Look, prompts: list[Prompt]) -> list[list[Found]]:
    """Clicks alone: look on several scales, again closely, then at the answers' own boxes, and let the judge choose.

    The first look sees the first positive click alone and the second all of them, as in training. The best three that
    differ are given.
    """
    return [_best_apart(look, pool) for pool in click_pools(look, prompts)]


def search_fast(look: Look, prompts: list[Prompt]) -> list[list[Found]]:
    """The same without the look at the answers' own boxes: for grids of a thousand clicks."""
    second, close = _two_looks(look, prompts)
    iou, best = second.iou.max(1)
    found = []
    for k in range(0, len(close), SECOND_LOOKS):
        part = slice(k, k + SECOND_LOOKS)
        places = [k + i for i in _distinct(iou[part], close[part], N_CANDIDATES)]
        ranked = sorted(places, key=lambda i: -float(iou[i]))
        found.append([(second.logits[i, best[i]], iou[i], close[i]) for i in ranked])
    return found


def click_pools(look: Look, prompts: list[Prompt]) -> list[Pool]:
    """Answers of the second and third look to each prompt."""
    second, close = _two_looks(look, prompts)
    pools = []
    for k, prompt in enumerate(prompts):
        part = slice(k * SECOND_LOOKS, (k + 1) * SECOND_LOOKS)
        logits, iou = second.logits[part].flatten(0, 1), second.iou[part].flatten()
        roi = close[part].repeat_interleave(N_CANDIDATES, 0)
        box, there = box_of_mask(logits > 0, roi)
        order = [int(i) for i in torch.argsort(iou, descending=True, stable=True) if bool(there[i])]
        if not order:  # no mask at all: give the empty ones
            order = [int(iou.argmax())]
            box = torch.where(there[:, None], box, torch.cat([roi[:, :2] - 1, roi[:, :2] + 1], 1))
        chosen = _apart(order, _box_iou(box), SAME_BOX)[:THIRD_LOOKS]
        pools.append(_third_look(look, prompt, logits[chosen], roi[chosen], box[chosen]))
    return pools


def _third_look(look: Look, prompt: Prompt, logits: Tensor, roi: Tensor, box: Tensor) -> Pool:
    """Masks (K, R, R) on regions (K, 4), and what is answered to their boxes (K, 4) with the clicks."""
    n = len(logits)
    clicks = look.clicks([prompt]).expand(n, -1, -1)
    around = roi_of_box(box)
    unknown = torch.full((n, 1, CLOSE_GRID, CLOSE_GRID), float("nan"), device=look.device)
    maps = look.maps(around, box, clicks, unknown)
    third = look.answer(around, maps).logits[:, 0]
    same = resample(torch.sigmoid(logits)[:, None], roi, around, CLOSE_GRID)[:, 0]
    own, there = box_of_mask(third > 0, around)
    own = torch.where(there[:, None], own, box)
    around3 = roi_of_box(own)
    maps3 = look.maps(around3, own, clicks, unknown)
    p3 = resample(torch.sigmoid(third)[:, None], around, around3, CLOSE_GRID)[:, 0]
    told = torch.cat([image_facts(same, maps), image_facts(p3, maps3)])
    found = [(each, torch.zeros(()), region) for each, region in zip(logits, roi, strict=True)]
    found += [(each, torch.zeros(()), region) for each, region in zip(third, around, strict=True)]
    return _with_places(look, prompt, found, told, torch.cat([box, own]))


def _pool(look: Look, found: list[Found], p: Tensor, roi: Tensor, prompt: Prompt) -> Pool:
    """A pool of answers `p` (K, R, R) on regions (K, 4), their facts told around the prompt's box or their own."""
    box, there = box_of_mask(p > 0.5, roi)
    given = look.boxes([prompt])
    boxed = prompt.box is not None
    if boxed:
        box = given.expand(len(p), -1)
    box = torch.where(there[:, None] | boxed, box, torch.cat([roi[:, :2] - 1, roi[:, :2] + 1], 1))
    around = roi_of_box(box)
    clicks = look.clicks([prompt]).expand(len(p), -1, -1)
    unknown = torch.full((len(p), 1, CLOSE_GRID, CLOSE_GRID), float("nan"), device=look.device)
    told = image_facts(
        resample(p[:, None], roi, around, CLOSE_GRID)[:, 0], look.maps(around, box, clicks, unknown)
    )
    return _with_places(look, prompt, found, told, box)


def _with_places(look: Look, prompt: Prompt, found: list[Found], told: Tensor, box: Tensor) -> Pool:
    masks, step = look.compared([(logits, roi) for logits, _, roi in found], COMMON_GRID)
    middle = (_middle(look, prompt) + 0.5) / step - 0.5
    side = step / max(look.frame.work)
    placed = place_facts(masks, (box + 0.5) / step - 0.5, middle, side, boxed=prompt.box is not None)
    return Pool(found, torch.cat([told, placed], 1), masks)


def _middle(look: Look, prompt: Prompt) -> Tensor:
    """Mean of the positive clicks, else the middle of the box, (2,) on the working image."""
    clicks = look.clicks([prompt])[0]
    positive = clicks[clicks[:, 2] > 0, :2]
    if len(positive):
        return positive.mean(0)
    box = look.boxes([prompt])[0]
    return (box[:2] + box[2:]) / 2


def _two_looks(look: Look, prompts: list[Prompt]) -> tuple[Output, Tensor]:
    """Answers of the second look, SECOND_LOOKS a prompt, and their regions.

    Five answers of the first look are looked at again: the last alternative of each scale and the two others believed
    most.
    """
    box, clicks = look.boxes(prompts), look.clicks(prompts)
    roi = torch.cat([_scales(look, each) for each in clicks])
    n = len(POINT_SCALES)
    first = _first_positive(clicks).repeat_interleave(n, 0)
    output = look.decode(roi, COARSE_GRID, box.repeat_interleave(n, 0), first)
    p = torch.sigmoid(output.logits).flatten(0, 1)
    n *= N_CANDIDATES
    source = roi.repeat_interleave(N_CANDIDATES, 0)
    fitted = roi_of_mask(p > 0.5, source, clicks.repeat_interleave(n, 0), box.repeat_interleave(n, 0))
    scores = output.iou.reshape(len(prompts), n)
    alternatives = list(range(N_CANDIDATES - 1, n, N_CANDIDATES))
    chosen = []
    for k, score in enumerate(scores):
        others = score.clone()
        others[alternatives] = -1.0
        best = _distinct(others, fitted[k * n : (k + 1) * n], SECOND_LOOKS - len(alternatives))
        chosen += [k * n + place for place in (*alternatives, *best)]
    close = fitted[chosen]
    prev = resample(p[chosen, None], source[chosen], close)
    clicks, box = (t.repeat_interleave(SECOND_LOOKS, 0) for t in (clicks, box))
    return look.decode(close, COARSE_GRID, box, clicks, prev), close


def _scales(look: Look, clicks: Tensor) -> Tensor:
    """Regions (len(POINT_SCALES), 4) to look for the object of some clicks (N, 3) in: the slice, and closer."""
    positive = clicks[clicks[:, 2] > 0, :2]
    centre = (positive.amin(0) + positive.amax(0)) / 2
    spread = float((positive - centre).abs().max()) * 1.3
    half = max(look.frame.work) / 2
    regions = [look.whole[0]]
    for scale in POINT_SCALES[1:]:
        side = max(half * scale, spread, 8.0)
        regions.append(torch.tensor([*centre.tolist(), side, side], device=look.device))
    return torch.stack(regions)


def _best_apart(look: Look, pool: Pool) -> list[Found]:
    """The answer the judge believes in most, and the next two that differ from those before."""
    scores = look.net.judge(pool.facts)
    order = [int(k) for k in torch.argsort(scores, descending=True, stable=True)]
    chosen = _apart(order, _mask_iou(pool.masks), APART)
    chosen = (chosen + [k for k in order if k not in chosen])[:N_CANDIDATES]
    return [(pool.found[k][0], scores[k], pool.found[k][2]) for k in sorted(chosen, key=order.index)]


def _first_positive(clicks: Tensor) -> Tensor:
    """The first positive of the clicks (P, N, 3) alone, (P, 1, 3)."""
    first = (clicks[:, :, 2] > 0).float().argmax(1)
    return clicks[torch.arange(len(clicks), device=clicks.device), first][:, None]


def _different(logits: Tensor, iou: Tensor) -> list[int]:
    """Of the answers (K, R, R) to one box the best three that differ, the highest predicted IoU first."""
    order = [int(k) for k in torch.argsort(iou, descending=True, stable=True)]
    chosen = _apart(order, _mask_iou(logits > 0), SAME)
    chosen = (chosen + [k for k in order if k not in chosen])[:N_CANDIDATES]
    return sorted(chosen, key=order.index)


def _apart(order: list[int], iou: Tensor, most: float) -> list[int]:
    """Those of `order` that overlap none before them by more than `most`."""
    chosen: list[int] = []
    for k in order:
        if all(float(iou[k, c]) <= most for c in chosen):
            chosen.append(k)
    return chosen


def _mask_iou(masks: Tensor) -> Tensor:
    """IoU (K, K) of masks (K, rows, cols)."""
    flat = masks.flatten(1).float()
    shared, area = flat @ flat.T, flat.sum(1)
    return shared / (area[:, None] + area[None] - shared).clamp_min(1.0)


def _box_iou(box: Tensor) -> Tensor:
    """IoU (K, K) of boxes (K, 4)."""
    low = torch.maximum(box[:, None, :2], box[None, :, :2])
    high = torch.minimum(box[:, None, 2:], box[None, :, 2:])
    both = (high - low).clamp_min(0).prod(2)
    area = (box[:, 2:] - box[:, :2]).clamp_min(0).prod(1)
    return both / (area[:, None] + area[None] - both).clamp_min(1e-6)


def _square(prev: Tensor) -> Tensor:
    """(1, 1, rows, cols) on the working image to (1, 1, n, n) on the whole-image region."""
    roi = roi_of_image((prev.shape[-2], prev.shape[-1])).to(prev.device)
    size = max(prev.shape[-2:])
    index = torch.zeros(1, dtype=torch.long, device=prev.device)
    return sample_map(prev, index, roi_points(roi, size), (prev.shape[-2], prev.shape[-1]), "zeros")


def _distinct(scores: Tensor, regions: Tensor, n: int) -> list[int]:
    """Indices of the `n` best scores whose regions differ; the best of the rest fill up."""
    order = [int(k) for k in torch.argsort(scores, descending=True, stable=True)]
    edges = torch.cat([regions[:, :2] - regions[:, 2:], regions[:, :2] + regions[:, 2:]], 1)
    chosen = _apart(order, _box_iou(edges), 0.7)[:n]
    return chosen + [k for k in order if k not in chosen][: n - len(chosen)]


_Work = Callable[[Look, list[Prompt]], list[list[Found]]]


def by_work(prompts: Sequence[Prompt], fast: bool = False) -> Iterator[tuple[list[int], _Work]]:
    """Places of prompts that are decoded together, and how; `fast` for many clicks alone."""
    fed_back = [k for k, prompt in enumerate(prompts) if prompt.mask_logits is not None]
    others = [k for k, prompt in enumerate(prompts) if prompt.mask_logits is None]
    boxed = [k for k in others if prompts[k].box is not None]
    clicked = [k for k in others if prompts[k].box is None]
    yield from (([k], again) for k in fed_back)
    for places, work in ((boxed, boxes), (clicked, search_fast if fast else search)):
        for start in range(0, len(places), TOGETHER):
            yield places[start : start + TOGETHER], work
