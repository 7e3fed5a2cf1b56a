"""How the built-in model answers boxes, clicks and corrections: where it looks, what it gives. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import label
from torch import Tensor

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.models.builtin_judge import image_facts, place_facts
from napari_sam_med.models.builtin_look import FAR_OUTSIDE, Found, Look
from napari_sam_med.models.builtin_net import (
    BOX_CHANNEL,
    BRIGHT_CHANNEL,
    DARK_CHANNEL,
    N_CANDIDATES,
    TONE_CHANNEL,
    Output,
)
from napari_sam_med.models.builtin_proposals import standing_out
from napari_sam_med.models.builtin_roi import (
    box_of_mask,
    resample,
    roi_of_box,
    roi_of_image,
    roi_of_mask,
    roi_points,
    sample_map,
)
from napari_sam_med.models.builtin_tone import smoothed

POINT_SCALES = (1.0, 0.35, 0.12)
"""Regions tried for a prompt without a box, over the longest side of the slice."""
COARSE_GRID = 40
"""Cells on a side of the region grid in the first two looks at clicks; finer ones gained nothing on training slices."""
CLOSE_GRID = 48
"""The same where a mask's own box is looked at."""
SECOND_LOOKS = 5
"""Answers to clicks alone that are looked at again closely."""
THIRD_LOOKS = 6
"""Answers to those whose own box is then taken for a prompt, beside the clicks."""
COMMON_GRID = 160
"""Longest side of the grid on which answers to clicks are compared."""
PREFERENCE = 0.05
"""By how much another answer to a box must be believed in more than the consensus to come before it."""
BEHIND = 0.01
"""By how much the predicted IoU of an alternative stays below that of the answer before it."""
SAME = 0.9
"""IoU above which two answers to a box are one."""
APART = 0.5
"""IoU up to which two answers to clicks are alternatives to each other."""
STEEP, WIDE = 6.0, 1.5
"""Logits over log-ratios of greys, and how widely, in cells, these are smoothed for the consensus."""
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
    follows: Tensor
    """(K,), 1 where a mask holds all positive clicks and no negative one, else 0; all 1 where none does."""


def boxes(look: Look, prompts: list[Prompt]) -> list[list[Found]]:
    """Each box is decoded on one region around it and the positive clicks; what is bright or dark in it is offered too.

    The consensus comes first, unless the judge clearly prefers another answer.
    """
    return [_best_apart(look, pool, SAME, PREFERENCE) for pool in box_pools(look, prompts)]


def box_pools(look: Look, prompts: list[Prompt]) -> list[Pool]:
    """Six answers to each box: the consensus, the network's three, and what is bright and what is dark in the box.

    The consensus is the mean of the plain answer, the last alternative and the likeness to the ellipse in the box; on
    training slices it is better than each of them.
    """
    box, clicks = look.boxes(prompts), look.clicks(prompts)
    n = len(prompts)
    nothing = torch.zeros((n, 8, 8), dtype=torch.bool, device=look.device)
    roi = roi_of_mask(nothing, look.whole.expand(n, -1), clicks, box)
    grid = look.net.config.grid
    unknown = torch.full((n, 1, grid, grid), float("nan"), device=look.device)
    maps = look.maps(roi, box, clicks, unknown)
    answers = look.answer(roi, maps).logits
    p = torch.sigmoid(answers)
    alike = torch.sigmoid(STEEP * smoothed(maps[:, TONE_CHANNEL, None], WIDE))
    inside = maps[:, BOX_CHANNEL, None] > 0
    both = (p[:, :1] + p[:, 2:]) / 2  # boxes may be too small: beyond them the network decides
    consensus = torch.logit(torch.where(inside, (2 * both + alike) / 3, both), 1e-4)
    sides = torch.where(inside, STEEP * maps[:, [BRIGHT_CHANNEL, DARK_CHANNEL]], FAR_OUTSIDE)
    logits = torch.cat([consensus, answers, sides], 1)
    return [_box_pool(look, prompts[k], logits[k], roi[k], maps[k]) for k in range(n)]


def _box_pool(look: Look, prompt: Prompt, logits: Tensor, roi: Tensor, maps: Tensor) -> Pool:
    """The answers (K, R, R) on one region, with the facts told on its grid."""
    masks = logits > 0
    told = image_facts(torch.sigmoid(logits), maps[None].expand(len(logits), -1, -1, -1))
    cell = roi[2:] * 2 / logits.shape[-1]
    own, _ = box_of_mask(masks, roi.expand(len(masks), -1))
    corner = roi[:2] - roi[2:] + cell / 2
    middle = (_middle(look, prompt) - corner) / cell
    side = float(cell.prod().sqrt()) / max(look.frame.work)
    placed = place_facts(masks, (own - corner.repeat(2)) / cell.repeat(2), middle, side, boxed=True)
    found = [(each, torch.zeros(()), roi) for each in logits]
    clicks = look.clicks([prompt])[0]
    at = (clicks[:, :2] - corner) / cell
    return Pool(
        found, torch.cat([told, placed], 1), masks, _follows(masks, torch.cat([at, clicks[:, 2:]], 1))
    )


def _follows(masks: Tensor, clicks: Tensor) -> Tensor:
    """Which masks (K, rows, cols) hold the positive clicks (N, 3) and not the negative ones, see ``Pool.follows``."""
    rows, cols = (clicks[:, k].round().long().clamp(0, masks.shape[1 + k] - 1) for k in range(2))
    held = masks[:, rows, cols]
    wrong = (held & (clicks[:, 2] < 0)) | (~held & (clicks[:, 2] > 0))
    right = (~wrong.any(1)).float()
    return right if right.any() else torch.ones_like(right)


def _behind(found: list[Found], scores: list[float]) -> list[Found]:
    """Answers in their order, with scores of which none is above the one before."""
    for k in range(1, len(scores)):
        scores[k] = max(0.0, min(scores[k], scores[k - 1] - BEHIND))
    return [(logits, torch.tensor(score), roi) for (logits, _, roi), score in zip(found, scores, strict=True)]


def again(look: Look, prompts: list[Prompt]) -> list[list[Found]]:
    """An earlier answer fed back, with new clicks: one region around it, the box and the positive clicks.

    The judge chooses between changing the earlier answer at the last click alone and the network's whole new answer.
    """
    found = []
    for prompt in prompts:
        pool = again_pool(look, prompt)
        scores = look.net.judge(pool.facts) * pool.follows
        order = list(range(len(pool.found)))
        if float(scores[1]) > float(scores[0]):
            order[:2] = [1, 0]
        found.append(_first_apart(pool, order, scores, SAME))
    return found


def again_pool(look: Look, prompt: Prompt) -> Pool:
    """Answers to an earlier one fed back: it with the change at the last click alone, then the network's three.

    Of these the ones it believes in come first. (A correction that leaves the rest as it is: Chen et al. 2022,
    FocalClick, progressive merge.)
    """
    box, clicks, prev = look.boxes([prompt]), look.clicks([prompt]), look.previous(prompt)
    roi = roi_of_mask(_square(prev)[:, 0] > 0.5, look.whole, clicks, box)
    grid = look.net.config.grid
    index = torch.zeros(1, dtype=torch.long, device=look.device)
    known = sample_map(prev, index, roi_points(roi, grid), look.frame.work, "zeros")
    output = look.decode(roi, grid, box, clicks, known)
    order = torch.argsort(output.iou[0], descending=True, stable=True)
    logits = output.logits[0, order]
    logits = torch.cat([_merged(known[0, 0], logits[0], roi[0], clicks[0])[None], logits])
    found = [(each, torch.zeros(()), roi[0]) for each in logits]
    return _pool(look, found, torch.sigmoid(logits), roi.expand(len(logits), -1), prompt)


def _merged(known: Tensor, logits: Tensor, roi: Tensor, clicks: Tensor) -> Tensor:
    """The earlier answer (R, R), changed as new logits say where the change holds the last click; else all new."""
    used = clicks[clicks[:, 2] != 0]
    changed = ((known > 0.5) != (logits > 0)).cpu().numpy()
    if not len(used) or not changed.any():
        return logits
    cell = roi[2:] * 2 / len(logits)
    row, col = ((used[-1, :2] - (roi[:2] - roi[2:])) / cell).floor().long().clamp(0, len(logits) - 1).tolist()
    pieces, _ = label(changed, np.ones((3, 3)))
    if pieces[row, col] == 0:
        return logits
    here = torch.from_numpy(pieces == pieces[row, col]).to(logits.device)
    return torch.where(here, logits, torch.logit(known, 1e-4))


def search(look: Look, prompts: list[Prompt]) -> list[list[Found]]:
    """Clicks alone: look on several scales, again closely, then at the answers' own boxes, and let the judge choose.

    The first look sees the first positive click alone and the second all of them, as in training. The best three that
    differ are given.
    """
    return [_best_apart(look, pool, APART) for pool in click_pools(look, prompts)]


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
        near = standing_out(look.levels[0][0, 0], look.clicks([prompt])[0])
        every = torch.cat([box[chosen], near])
        new = [k for k in _apart(list(range(len(every))), _box_iou(every), SAME_BOX) if k >= len(chosen)]
        wanted = torch.cat([box[chosen], every[new]])
        pools.append(_third_look(look, prompt, logits[chosen], roi[chosen], wanted))
    return pools


def _third_look(look: Look, prompt: Prompt, logits: Tensor, roi: Tensor, box: Tensor) -> Pool:
    """Masks (K, R, R) on regions (K, 4), and what is answered to boxes (N, 4), theirs first, with the clicks."""
    n, n_masks = len(box), len(logits)
    clicks = look.clicks([prompt]).expand(n, -1, -1)
    around = roi_of_box(box)
    unknown = torch.full((n, 1, CLOSE_GRID, CLOSE_GRID), float("nan"), device=look.device)
    maps = look.maps(around, box, clicks, unknown)
    third = look.answer(around, maps).logits[:, 0]
    same = resample(torch.sigmoid(logits)[:, None], roi, around[:n_masks], CLOSE_GRID)[:, 0]
    own, there = box_of_mask(third > 0, around)
    own = torch.where(there[:, None], own, box)
    around3 = roi_of_box(own)
    maps3 = look.maps(around3, own, clicks, unknown)
    p3 = resample(torch.sigmoid(third)[:, None], around, around3, CLOSE_GRID)[:, 0]
    told = torch.cat([image_facts(same, maps[:n_masks]), image_facts(p3, maps3)])
    found = [(each, torch.zeros(()), region) for each, region in zip(logits, roi, strict=True)]
    found += [(each, torch.zeros(()), region) for each, region in zip(third, around, strict=True)]
    return _with_places(look, prompt, found, told, torch.cat([box[:n_masks], own]))


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
    clicks = look.clicks([prompt])[0]
    at = (clicks[:, :2] + 0.5) / step - 0.5
    return Pool(
        found, torch.cat([told, placed], 1), masks, _follows(masks, torch.cat([at, clicks[:, 2:]], 1))
    )


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


def _best_apart(look: Look, pool: Pool, most: float, prefer: float = 0.0) -> list[Found]:
    """The answer the judge believes in most, and the next two that overlap those before by no more than `most`.

    The first of the pool is kept in front unless another one is believed in by more than `prefer` above it.
    """
    scores = look.net.judge(pool.facts) * pool.follows
    order = [int(k) for k in torch.argsort(scores, descending=True, stable=True)]
    if float(scores[order[0]] - scores[0]) <= prefer and bool(pool.follows[0]):
        order = [0, *(k for k in order if k != 0)]
    return _first_apart(pool, order, scores, most)


def _first_apart(pool: Pool, order: list[int], scores: Tensor, most: float) -> list[Found]:
    """The first three of `order` that overlap those before by no more than `most`, filled up with others."""
    chosen = _apart(order, _mask_iou(pool.masks), most)
    chosen = (chosen + [k for k in order if k not in chosen])[:N_CANDIDATES]
    chosen = sorted(chosen, key=order.index)
    return _behind([pool.found[k] for k in chosen], scores[chosen].tolist())


def _first_positive(clicks: Tensor) -> Tensor:
    """The first positive of the clicks (P, N, 3) alone, (P, 1, 3)."""
    first = (clicks[:, :, 2] > 0).float().argmax(1)
    return clicks[torch.arange(len(clicks), device=clicks.device), first][:, None]


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
