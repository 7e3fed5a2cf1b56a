"""How the built-in model finds what clicks without a box mean: two looks, the second at boxes. Imports torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.models.builtin_choice import Pool, apart, best_apart, box_iou, by_score, pooled
from napari_sam_med.models.builtin_judge import FACT_GRID, image_facts
from napari_sam_med.models.builtin_look import Found, Look, believed, consensus
from napari_sam_med.models.builtin_net import N_CANDIDATES
from napari_sam_med.models.builtin_proposals import standing_out
from napari_sam_med.models.builtin_roi import box_of_mask, resample, roi_of_box
from napari_sam_med.models.builtin_tidy import tidied

POINT_SCALES = (1.0, 0.35, 0.12)
"""Regions tried for a prompt without a box, over the longest side of the slice."""
COARSE_GRID = 40
"""Cells on a side of the region grid for clicks; finer ones gained nothing on training slices."""
SECOND_LOOKS, FAST_LOOKS = 6, 3
"""Answers whose own box is then taken for a prompt, beside the clicks; the same for a grid of a thousand clicks."""
COMMON_GRID = 160
"""Longest side of the grid on which answers to clicks are compared."""
APART = 0.5
"""IoU up to which two answers to clicks are alternatives to each other."""
STREWN, LEAST_CHANCE = 0.05, 1e-9
"""Exponent of the chance that clicks lie as close together as they do, and the least chance that counts."""
SAME_BOX = 0.8
"""IoU above which two boxes of answers are not both looked at."""


def search(look: Look, prompts: list[Prompt]) -> list[list[Found]]:
    """Clicks alone: look on several scales, then at the answers' own boxes, and let the judge choose.

    The first look sees the first positive click alone and the second all of them, as in training. The best three that
    differ are given.
    """
    return [best_apart(look.net.judge, pool, APART) for pool in click_pools(look, prompts)]


def search_fast(look: Look, prompts: list[Prompt]) -> list[list[Found]]:
    """For grids of a thousand clicks: fewer second looks, rated by the network itself.

    Of each only one answer is given, the one the network believes in most first.
    """
    clicks = look.clicks(prompts)
    each_box = [
        with_clicks(_distinct(first, FAST_LOOKS)[0], own)
        for first, own in zip(_first_look(look, prompts), clicks, strict=True)
    ]
    n = [len(box) for box in each_box]
    box = torch.cat(each_box)
    around = roi_of_box(box)
    clicks = clicks.repeat_interleave(torch.tensor(n, device=look.device), 0)
    output = look.decode(around, COARSE_GRID, box, clicks)
    logits = tidied(output.logits[:, 0], around, clicks)  # the network's rating speaks of the plain answer
    plain = _Answers(logits, output.iou[:, 0], around)
    return [
        [(part.logits[k], part.iou[k], part.roi[k]) for k in by_score(part.iou)] for part in plain.split(n)
    ]


def click_pools(look: Look, prompts: list[Prompt]) -> list[Pool]:
    """Answers of the first and second look to each prompt."""
    given = zip(look.boxes(prompts), look.clicks(prompts), strict=True)
    return [
        _second_look(look, prompt, first)
        for first, prompt in zip(_first_look(look, prompts), given, strict=True)
    ]


class _Answers(NamedTuple):
    """Logits (K, R, R), predicted IoU (K,) and regions (K, 4)."""

    logits: Tensor
    iou: Tensor
    roi: Tensor

    def split(self, n: int | list[int]) -> list[_Answers]:
        """The answers to each prompt, of which there are `n` each."""
        return [_Answers(*part) for part in zip(*(values.split(n) for values in self), strict=True)]


def _distinct(first: _Answers, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes of up to `most` masks that differ, the believed ones first; with the logits and regions of these masks."""
    box, there = own_box(first.logits > 0, first.roi)
    order = [k for k in by_score(first.iou) if bool(there[k])] or [int(first.iou.argmax())]
    chosen = apart(order, box_iou(box), SAME_BOX)[:most]
    return box[chosen], first.logits[chosen], first.roi[chosen]


def _second_look(look: Look, prompt: tuple[Tensor, Tensor], first: _Answers) -> Pool:
    """The masks of the first look that differ, and what is answered to their boxes with the clicks.

    Also to boxes of what stands out around the click, by its grey alone.
    """
    box, logits, roi = _distinct(first, SECOND_LOOKS)
    every = with_clicks(torch.cat([box, standing_out(look.levels[0][0, 0], prompt[1])]), prompt[1])
    tried = every[apart(list(range(len(every))), box_iou(every), SAME_BOX)]
    around = roi_of_box(tried)
    clicks = prompt[1].expand(len(tried), -1, -1)
    maps = look.fresh_maps(around, COARSE_GRID, tried, clicks)
    second = tidied(consensus(believed(look.masks(around, maps)), maps)[:, 0], around, clicks)
    own, there = box_of_mask(second > 0, around)
    own = torch.cat([box, torch.where(there[:, None], own, tried)])
    logits, roi = torch.cat([logits, second]), torch.cat([roi, around])
    told = told_around(look, logits, roi, own, prompt[1].expand(len(logits), -1, -1))
    pool = compared(look, list(zip(logits, roi, strict=True)), told, own, prompt)
    return pool._replace(follows=pool.follows * strewn(own, prompt[1]))


def strewn(box: Tensor, clicks: Tensor) -> Tensor:
    """Factors (K,) on the scores of answers with boxes (K, 4): how well they suit how far clicks (N, 3) are strewn.

    Somebody who gives several positive clicks strews them over the object: five clicks on a vessel do not mean the
    body, although it holds them. Of n clicks laid evenly along a side, the chance that they span no more than the part
    r of it is n r^(n-1) - (n-1) r^n; the factor is a low power of the product over both sides, so that clicks that only
    keep to the middle cost little. The answer they suit best keeps its score.
    """
    positive = clicks[clicks[:, 2] > 0, :2]
    n = len(positive)
    if n < 2:
        return torch.ones(len(box), device=box.device)
    span = positive.amax(0) - positive.amin(0) + 1
    part = (span / (box[:, 2:] - box[:, :2]).clamp_min(1.0)).clamp(max=1.0)
    chance = (n * part ** (n - 1) - (n - 1) * part**n).prod(1)
    factor = chance.clamp(LEAST_CHANCE, 1.0) ** STREWN
    return factor / factor.max()


def own_box(mask: Tensor, roi: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (K, 4) of masks (K, R, R) on regions (K, 4), two pixels wide where a mask is empty, and which are not."""
    box, there = box_of_mask(mask, roi)
    nothing = torch.cat([roi[:, :2] - 1, roi[:, :2] + 1], 1)
    return torch.where(there[:, None], box, nothing), there


def with_clicks(box: Tensor, clicks: Tensor) -> Tensor:
    """Boxes (K, 4), made to hold the positive ones of clicks (N, 3)."""
    positive = clicks[clicks[:, 2] > 0, :2]
    low = torch.minimum(box[:, :2], positive.amin(0) - 0.5)
    return torch.cat([low, torch.maximum(box[:, 2:], positive.amax(0) + 0.5)], 1)


def told_around(look: Look, logits: Tensor, roi: Tensor, box: Tensor, clicks: Tensor) -> Tensor:
    """Facts (K, n) of answers (K, R, R) on regions (K, 4), told around boxes (K, 4)."""
    around = roi_of_box(box)
    p = resample(torch.sigmoid(logits)[:, None], roi, around, FACT_GRID)[:, 0]
    return image_facts(p, look.fresh_maps(around, FACT_GRID, box, clicks, brief=True))


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


def _first_look(look: Look, prompts: list[Prompt]) -> list[_Answers]:
    """Answers to the first positive click of each prompt, the candidates of every scale."""
    box, clicks = look.boxes(prompts), look.clicks(prompts)
    roi = torch.cat([_scales(look, each) for each in clicks])
    n = len(POINT_SCALES)
    first = _first_positive(clicks).repeat_interleave(n, 0)
    output = look.decode(roi, COARSE_GRID, box.repeat_interleave(n, 0), first)
    roi, first = (v.repeat_interleave(N_CANDIDATES, 0) for v in (roi, first))
    # a speck far off would make an answer's box too large
    logits = tidied(output.logits.flatten(0, 1), roi, first)
    return _Answers(logits, output.iou.flatten(), roi).split(n * N_CANDIDATES)


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
