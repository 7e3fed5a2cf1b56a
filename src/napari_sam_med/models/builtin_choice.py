"""Which of the answers to one prompt are given, and in which order. Imports torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from napari_sam_med.models.builtin_judge import mask_iou, place_facts
from napari_sam_med.models.builtin_look import Found, Look
from napari_sam_med.models.builtin_net import N_CANDIDATES, Judge

BEHIND = 0.01
"""By how much the predicted IoU of an alternative stays below that of the answer before it."""


class Pool(NamedTuple):
    """Answers to one prompt among which is chosen, and what is told of each (K, N_FACTS)."""

    found: list[tuple[Tensor, Tensor]]
    """Logits (R, R) and their region (4,)."""
    facts: Tensor
    overlap: Tensor
    """IoU (K, K) of the masks, on a common grid."""
    follows: Tensor
    """(K,), 1 where a mask holds all positive clicks and no negative one, else 0; all 1 where none does.

    Less than 1 where several clicks lie close together in it.
    """
    prefer: float = 0.0
    """By how much another answer must be believed in more than the first to come before it."""

    def unrated(self) -> list[Found]:
        """All answers, with a score of 0."""
        return [(logits, torch.zeros(()), roi) for logits, roi in self.found]


def pooled(
    look: Look,
    found: list[tuple[Tensor, Tensor]],
    told: Tensor,
    masks: Tensor,
    own: Tensor,
    prompt: tuple[Tensor, Tensor],
    grid: tuple[Tensor, Tensor],
) -> Pool:
    """A pool of answers, with how they lie to each other and to the prompt told beside what the slice tells.

    Parameters
    ----------
    look : Look
    found : list of (logits, region)
    told : Tensor, shape (K, n)
        Image facts.
    masks : Tensor, shape (K, rows, cols), bool
        On a common grid.
    own : Tensor, shape (K, 4)
        Box of each answer, in pixels.
    prompt : tuple of Tensor
        Box (4,), NaN where there is none, and clicks (N, 3), in pixels.
    grid : tuple of Tensor
        Where the middle of the common grid's first cell lies, (2,), and its cells' sides, (2,), in pixels.
    """
    (box, clicks), (origin, cell) = prompt, grid
    boxed = not bool(torch.isnan(box).any())
    positive = clicks[clicks[:, 2] > 0, :2]
    middle = positive.mean(0) if len(positive) else (box[:2] + box[2:]) / 2
    side = float(cell.prod().sqrt()) / max(look.frame.work)
    on_grid = (own - origin.repeat(2)) / cell.repeat(2)
    overlap = mask_iou(masks)
    placed = place_facts(masks, overlap, on_grid, (middle - origin) / cell, side, boxed)
    at = torch.cat([(clicks[:, :2] - origin) / cell, clicks[:, 2:]], 1)
    return Pool(found, torch.cat([told, placed], 1), overlap, follows(masks, at))


def follows(masks: Tensor, clicks: Tensor) -> Tensor:
    """Which masks (K, rows, cols) hold the positive clicks (N, 3) and not the negative ones, see ``Pool.follows``."""
    rows, cols = (clicks[:, k].round().long().clamp(0, masks.shape[1 + k] - 1) for k in range(2))
    held = masks[:, rows, cols]
    wrong = (held & (clicks[:, 2] < 0)) | (~held & (clicks[:, 2] > 0))
    right = (~wrong.any(1)).float()
    return right if right.any() else torch.ones_like(right)


def best_apart(judge: Judge, pool: Pool, most: float) -> list[Found]:
    """The answer the judge believes in most, and the next two that overlap those before by no more than `most`.

    The first of the pool is kept in front unless another one is believed in by more than ``pool.prefer`` above it. How
    well answers suit the clicks counts in the choice; what is said of one that is against them is 0.
    """
    said: Tensor = judge(pool.facts)
    scores = said * pool.follows
    order = by_score(scores)
    if bool(pool.follows[0]):
        front = preferred(scores, pool.prefer)
        order = [front, *(k for k in order if k != front)]
    return first_apart(pool, order, said * (pool.follows > 0), most)


def preferred(scores: Tensor, prefer: float) -> int:
    """Place of the highest of scores (K,), where it is more than `prefer` above the first one; else 0."""
    best = by_score(scores)[0]
    return best if float(scores[best] - scores[0]) > prefer else 0


def first_apart(pool: Pool, order: list[int], scores: Tensor, most: float) -> list[Found]:
    """The first three of `order` that overlap those before by no more than `most`, filled up with others.

    They keep that order, and no score is above the one before.
    """
    chosen = filled(apart(order, pool.overlap, most), order, N_CANDIDATES)
    out: list[Found] = []
    for k in sorted(chosen, key=order.index):
        score = float(scores[k])
        if out:
            score = max(0.0, min(score, float(out[-1][1]) - BEHIND))
        out.append((pool.found[k][0], torch.tensor(score), pool.found[k][1]))
    return out


def by_score(scores: Tensor) -> list[int]:
    """Places of scores (K,), the highest first."""
    return [int(k) for k in torch.argsort(scores, descending=True, stable=True)]


def filled(chosen: list[int], order: list[int], n: int) -> list[int]:
    """The first `n` of `chosen`; where they are fewer, the first others of `order` beside them."""
    return (chosen + [k for k in order if k not in chosen])[:n]


def apart(order: list[int], iou: Tensor, most: float) -> list[int]:
    """Those of `order` that overlap none before them by more than `most`."""
    overlap = iou.tolist()
    chosen: list[int] = []
    for k in order:
        if all(overlap[k][c] <= most for c in chosen):
            chosen.append(k)
    return chosen


def box_iou(box: Tensor) -> Tensor:
    """IoU (K, K) of boxes (K, 4)."""
    low = torch.maximum(box[:, None, :2], box[None, :, :2])
    high = torch.minimum(box[:, None, 2:], box[None, :, 2:])
    both = (high - low).clamp_min(0).prod(2)
    area = (box[:, 2:] - box[:, :2]).clamp_min(0).prod(1)
    return both / (area[:, None] + area[None] - both).clamp_min(1e-6)
