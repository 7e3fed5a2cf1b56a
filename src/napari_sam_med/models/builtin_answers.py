"""How the built-in model answers boxes and corrections, and which way it takes for a prompt. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import label
from torch import Tensor

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.models.builtin_choice import Pool, best_apart, box_iou, by_score, first_apart, pooled
from napari_sam_med.models.builtin_judge import FACT_GRID, image_facts
from napari_sam_med.models.builtin_look import FAR_OUTSIDE, STEEP, Found, Look, believed, consensus
from napari_sam_med.models.builtin_net import BOX_CHANNEL, BRIGHT_CHANNEL, DARK_CHANNEL
from napari_sam_med.models.builtin_roi import (
    box_of_mask,
    cells_at,
    roi_of_image,
    roi_of_mask,
    roi_points,
    sample_map,
)
from napari_sam_med.models.builtin_search import compared, own_box, search, search_fast, told_around
from napari_sam_med.models.builtin_tidy import tidied, without_holes

PREFERENCE, FIRM = 0.05, 0.15
"""By how much another answer to a box must be believed in more than the consensus to come before it; and where the
network agrees with itself."""
AGREED = 0.8
"""Mean IoU of the consensus with the network's own answers it was made from, from which the network does."""
LOOSE = 0.65
"""IoU of the network's own box and the drawn one below which the drawn one is loose."""
SAME = 0.9
"""IoU above which two answers to a box are one."""
BELIEF = 0.1
"""Differences of IoU above this decide how much each of the network's answers counts in their mean."""
TOGETHER = 16
"""Prompts decoded in one batch."""


def boxes(look: Look, prompts: list[Prompt]) -> list[list[Found]]:
    """Each box is decoded on one region around it and the positive clicks; what is bright or dark in it is offered too.

    The consensus comes first, unless the judge clearly prefers another answer, more clearly where the network agrees
    with itself. Where the network's mask stays far inside the box, the box is loose, and its greys do not count in the
    consensus.
    """
    return [best_apart(look.net.box_judge, pool, SAME) for pool in box_pools(look, prompts)]


def box_pools(look: Look, prompts: list[Prompt]) -> list[Pool]:
    """Six answers to each box: the consensus, the network's three, and what is bright and what is dark in the box.

    The last two have their holes filled; all are without specks and pinholes.
    """
    box, clicks = look.boxes(prompts), look.clicks(prompts)
    n = len(prompts)
    nothing = torch.zeros((n, 8, 8), dtype=torch.bool, device=look.device)
    roi = roi_of_mask(nothing, look.whole.expand(n, -1), clicks, box)
    maps = look.fresh_maps(roi, look.net.config.grid, box, clicks)
    answers = look.masks(roi, maps)
    both = believed(answers)
    own, there = box_of_mask(both[:, 0] > 0.5, roi)
    loose = [bool(there[k]) and float(box_iou(torch.stack([own[k], box[k]]))[0, 1]) < LOOSE for k in range(n)]
    first = consensus(both, maps, ~torch.tensor(loose, device=look.device))
    inside = maps[:, BOX_CHANNEL, None] > 0
    sides = torch.where(inside, STEEP * maps[:, [BRIGHT_CHANNEL, DARK_CHANNEL]], FAR_OUTSIDE)
    logits = torch.cat([first, answers, without_holes(sides)], 1)
    around, clicked = (each.repeat_interleave(logits.shape[1], 0) for each in (roi, clicks))
    logits = tidied(logits.flatten(0, 1), around, clicked).view_as(logits)
    return [_box_pool(look, (box[k], clicks[k]), logits[k], roi[k], maps[k]) for k in range(n)]


def _box_pool(look: Look, prompt: tuple[Tensor, Tensor], logits: Tensor, roi: Tensor, maps: Tensor) -> Pool:
    """The answers (K, R, R) on one region, with the facts told on its grid."""
    masks = logits > 0
    p, seen = (
        F.interpolate(t, (FACT_GRID, FACT_GRID), mode="area") for t in (logits[None].sigmoid(), maps[None])
    )
    told = image_facts(p[0], seen.expand(len(logits), -1, -1, -1))
    own, _ = box_of_mask(masks, roi.expand(len(masks), -1))
    cell = roi[2:] * 2 / logits.shape[-1]
    grid = (roi[:2] - roi[2:] + cell / 2, cell)
    pool = pooled(look, [(each, roi) for each in logits], told, masks, own, prompt, grid)
    # the consensus was made from the plain answer and the last alternative
    agreed = float(pool.overlap[0, [1, 3]].mean())
    return pool._replace(prefer=FIRM if agreed >= AGREED else PREFERENCE)


def again(look: Look, prompts: list[Prompt]) -> list[list[Found]]:
    """An earlier answer fed back, with new clicks: one region around it, the box and the positive clicks.

    The judge chooses between changing the earlier answer at the last click alone and the network's whole new answer.
    What it says of an answer counts whether or not the clicks are followed: a click on the very outline may miss by a
    pixel.
    """
    found = []
    for prompt in prompts:
        pool = again_pool(look, prompt)
        said = look.net.judge(pool.facts)
        scores = said * pool.follows
        order = list(range(len(pool.found)))
        if float(scores[1]) > float(scores[0]):
            order[:2] = [1, 0]
        found.append(first_apart(pool, order, said, SAME))
    return found


def again_pool(look: Look, prompt: Prompt) -> Pool:
    """Answers to an earlier one fed back: it with the change at the last click alone, then the network's whole ones.

    The first of these is the mean of the network's three, each as far as it believes in it; the other two are those it
    believes in less. (A correction that leaves the rest as it is: Chen et al. 2022, FocalClick, progressive merge.)
    """
    box, clicks, prev = look.boxes([prompt]), look.clicks([prompt]), look.previous(prompt)
    roi = roi_of_mask(_square(prev)[:, 0] > 0.5, look.whole, clicks, box)
    grid = look.net.config.grid
    index = torch.zeros(1, dtype=torch.long, device=look.device)
    known = sample_map(prev, index, roi_points(roi, grid), look.frame.work, "zeros")
    output = look.decode(roi, grid, box, clicks, known)
    shares = torch.softmax(output.iou[0] / BELIEF, 0)
    together = torch.logit((output.logits[0].sigmoid() * shares[:, None, None]).sum(0), 1e-4)
    local = _merged(known[0, 0], together, roi[0], clicks[0])
    others = by_score(output.iou[0])[1:]
    whole = torch.cat([together[None], output.logits[0, others]])
    whole = tidied(whole, roi.expand(len(whole), -1), clicks.expand(len(whole), -1, -1))
    logits = torch.cat([local[None], whole])
    roi = roi.expand(len(logits), -1)
    own = own_box(logits > 0, roi)[0] if prompt.box is None else box.expand(len(logits), -1)
    told = told_around(look, logits, roi, own, clicks.expand(len(logits), -1, -1))
    return compared(look, list(zip(logits, roi, strict=True)), told, own, (box[0], clicks[0]))


def _merged(known: Tensor, logits: Tensor, roi: Tensor, clicks: Tensor) -> Tensor:
    """The earlier answer (R, R), changed as new logits say where the change holds the last click; else all new."""
    used = clicks[clicks[:, 2] != 0]
    changed = ((known > 0.5) != (logits > 0)).cpu().numpy()
    if not len(used) or not changed.any():
        return logits
    row, col = cells_at(roi[None], used[None, -1:, :2], len(logits)).flatten().tolist()
    pieces, _ = label(changed, np.ones((3, 3)))
    if pieces[row, col] == 0:
        return logits
    here = torch.from_numpy(pieces == pieces[row, col]).to(logits.device)
    return torch.where(here, logits, torch.logit(known, 1e-4))


def _square(prev: Tensor) -> Tensor:
    """(1, 1, rows, cols) on the working image to (1, 1, n, n) on the whole-image region."""
    roi = roi_of_image((prev.shape[-2], prev.shape[-1])).to(prev.device)
    size = max(prev.shape[-2:])
    index = torch.zeros(1, dtype=torch.long, device=prev.device)
    return sample_map(prev, index, roi_points(roi, size), (prev.shape[-2], prev.shape[-1]), "zeros")


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
