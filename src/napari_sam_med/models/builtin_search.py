"""How the built-in model finds what clicks without a box mean: three looks, each closer. Imports torch."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.models.builtin_choice import Pool, apart, best_apart, box_iou, by_score, filled, pooled
from napari_sam_med.models.builtin_judge import image_facts
from napari_sam_med.models.builtin_look import Found, Look
from napari_sam_med.models.builtin_net import N_CANDIDATES, Output
from napari_sam_med.models.builtin_proposals import standing_out
from napari_sam_med.models.builtin_roi import box_of_mask, resample, roi_of_box, roi_of_mask

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
APART = 0.5
"""IoU up to which two answers to clicks are alternatives to each other."""
SAME_REGION, SAME_BOX = 0.7, 0.8
"""IoU above which two regions of the first look, or two boxes of its answers, are not both looked at."""


def search(look: Look, prompts: list[Prompt]) -> list[list[Found]]:
    """Clicks alone: look on several scales, again closely, then at the answers' own boxes, and let the judge choose.

    The first look sees the first positive click alone and the second all of them, as in training. The best three that
    differ are given.
    """
    return [best_apart(look.net.judge, pool, APART) for pool in click_pools(look, prompts)]


def search_fast(look: Look, prompts: list[Prompt]) -> list[list[Found]]:
    """The same without the look at the answers' own boxes: for grids of a thousand clicks."""
    second, close = _two_looks(look, prompts)
    iou, best = second.iou.max(1)
    found = []
    for part in _parts(len(prompts)):
        places = [part.start + i for i in _distinct(iou[part], close[part], N_CANDIDATES)]
        ranked = sorted(places, key=lambda i: -float(iou[i]))
        found.append([(second.logits[i, best[i]], iou[i], close[i]) for i in ranked])
    return found


def click_pools(look: Look, prompts: list[Prompt]) -> list[Pool]:
    """Answers of the second and third look to each prompt."""
    second, close = _two_looks(look, prompts)
    given = zip(look.boxes(prompts), look.clicks(prompts), strict=True)
    return [
        _third_look(look, prompt, second.logits[part].flatten(0, 1), second.iou[part].flatten(), close[part])
        for part, prompt in zip(_parts(len(prompts)), given, strict=True)
    ]


def _parts(n: int) -> list[slice]:
    """Where the second looks at each of `n` prompts are."""
    return [slice(k, k + SECOND_LOOKS) for k in range(0, n * SECOND_LOOKS, SECOND_LOOKS)]


def _third_look(
    look: Look, prompt: tuple[Tensor, Tensor], logits: Tensor, iou: Tensor, close: Tensor
) -> Pool:
    """The masks (K, R, R) of the second look that differ, and what is answered to their boxes with the clicks.

    Also to boxes of what stands out around the click, by its grey alone.
    """
    roi = close.repeat_interleave(N_CANDIDATES, 0)
    box, there = own_box(logits > 0, roi)
    order = [k for k in by_score(iou) if bool(there[k])] or [int(iou.argmax())]
    chosen = apart(order, box_iou(box), SAME_BOX)[:THIRD_LOOKS]
    logits, roi, n_masks = logits[chosen], roi[chosen], len(chosen)
    every = torch.cat([box[chosen], standing_out(look.levels[0][0, 0], prompt[1])])
    # those of the masks differ already, so that all of them stay
    box = every[apart(list(range(len(every))), box_iou(every), SAME_BOX)]
    around, clicks = roi_of_box(box), prompt[1].expand(len(box), -1, -1)
    maps = look.fresh_maps(around, CLOSE_GRID, box, clicks)
    third = look.answer(around, maps).logits[:, 0]
    same = resample(torch.sigmoid(logits)[:, None], roi, around[:n_masks], CLOSE_GRID)[:, 0]
    own, there = box_of_mask(third > 0, around)
    own = torch.where(there[:, None], own, box)
    told = torch.cat([image_facts(same, maps[:n_masks]), told_around(look, third, around, own, clicks)])
    found = [*zip(logits, roi, strict=True), *zip(third, around, strict=True)]
    return compared(look, found, told, torch.cat([box[:n_masks], own]), prompt)


def own_box(mask: Tensor, roi: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (K, 4) of masks (K, R, R) on regions (K, 4), two pixels wide where a mask is empty, and which are not."""
    box, there = box_of_mask(mask, roi)
    nothing = torch.cat([roi[:, :2] - 1, roi[:, :2] + 1], 1)
    return torch.where(there[:, None], box, nothing), there


def told_around(look: Look, logits: Tensor, roi: Tensor, box: Tensor, clicks: Tensor) -> Tensor:
    """Facts (K, n) of answers (K, R, R) on regions (K, 4), told around boxes (K, 4)."""
    around = roi_of_box(box)
    p = resample(torch.sigmoid(logits)[:, None], roi, around, CLOSE_GRID)[:, 0]
    return image_facts(p, look.fresh_maps(around, CLOSE_GRID, box, clicks))


def compared(
    look: Look,
    found: list[tuple[Tensor, Tensor]],
    told: Tensor,
    own: Tensor,
    prompt: tuple[Tensor, Tensor],
) -> Pool:
    """A pool of answers on regions of their own, compared on a coarse grid of the slice."""
    masks, step = look.compared(found, COMMON_GRID)
    cell = own.new_tensor([step, step])
    return pooled(look, found, told, masks, own, prompt, (cell / 2 - 0.5, cell))


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


def _first_positive(clicks: Tensor) -> Tensor:
    """The first positive of the clicks (P, N, 3) alone, (P, 1, 3)."""
    first = (clicks[:, :, 2] > 0).float().argmax(1)
    return clicks[torch.arange(len(clicks), device=clicks.device), first][:, None]


def _distinct(scores: Tensor, regions: Tensor, n: int) -> list[int]:
    """Indices of the `n` best scores whose regions differ; the best of the rest fill up."""
    order = by_score(scores)
    edges = torch.cat([regions[:, :2] - regions[:, 2:], regions[:, :2] + regions[:, 2:]], 1)
    return filled(apart(order, box_iou(edges), SAME_REGION), order, n)
