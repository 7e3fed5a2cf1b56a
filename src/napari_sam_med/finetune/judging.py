"""Training of the judge: answers of the finished network on training slices, and how good they really are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.finetune.data import sample_at
from napari_sam_med.finetune.real import RealSlice
from napari_sam_med.finetune.samples import centre_click, inner_click
from napari_sam_med.models.builtin import BuiltinSegmenter
from napari_sam_med.models.builtin_answers import again_pool, box_pools
from napari_sam_med.models.builtin_choice import Pool
from napari_sam_med.models.builtin_look import Look
from napari_sam_med.models.builtin_net import BuiltinNet, Judge
from napari_sam_med.models.builtin_search import click_pools
from napari_sam_med.models.no_triton import without_triton
from napari_sam_med.prompts.clicks import next_click

SEED = 40_961
"""Added to the run's seed, so that the judge sees other slices than the network has."""
TEMPERATURE = 0.1
"""Differences of IoU above this decide which of two answers is the better one."""
EPOCHS, BATCH, RATE = 40, 64, 3e-3


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Answers to one prompt with their true IoU.

    Attributes
    ----------
    facts : Tensor, shape (K, N_FACTS)
    iou : Tensor, shape (K,)
    ranked : bool
        Whether the judge chooses among them, or only says how good they are (corrections).
    """

    facts: Tensor
    iou: Tensor
    ranked: bool


def collect(
    net: BuiltinNet,
    slices: int,
    seed: int,
    size: int,
    real: Sequence[RealSlice] = (),
    real_share: float = 0.0,
    objects: int = 4,
    stop: Callable[[], bool] | None = None,
) -> Iterator[list[Verdicts]]:
    """What the network answers on training slices, slice by slice: to boxes, clicks, and a correction of either.

    Parameters
    ----------
    net : BuiltinNet
    slices, seed, size, real, real_share
        See ``finetune.data.sample_at``.
    objects : int
        Objects a slice.
    stop : callable, optional
        Asked before every slice.
    """
    model = BuiltinSegmenter(net, "0" * 64)
    for index in range(slices):
        if stop is not None and stop():
            return
        sample = sample_at(index, seed + SEED, size, objects, real, real_share)
        rng = np.random.default_rng([seed + SEED, 1, index])
        with torch.no_grad():
            look = Look(net, model.encode(sample.image), "cpu")
            found = []
            for mask, box in zip(sample.masks, sample.boxes, strict=True):
                found += list(_asked(look, mask, box, rng))
        yield found


def _asked(
    look: Look, mask: NDArray[np.bool_], box: NDArray[np.float32], rng: np.random.Generator
) -> Iterator[Verdicts]:
    click = Prompt.from_points([_click(mask, rng)])
    prompts = [click]
    if not np.isnan(box).any():
        r0, c0, r1, c1 = (float(v) for v in box)
        prompts.append(Prompt.from_box((r0 + 0.5, c0 + 0.5, r1 - 0.5, c1 - 0.5)).clipped(mask.shape))
    for prompt in prompts:
        boxed = prompt.box is not None
        pool = (box_pools if boxed else click_pools)(look, [prompt])[0]
        yield _graded(look, pool, mask, ranked=True)
        first = look.finish(pool.unrated()[:1], None)
        correction = next_click(first.masks[0], mask)
        if correction is not None and rng.random() < 0.5:
            more = prompt.with_points(correction[0], [correction[1]]).with_logits(first.low_res[0])
            yield _graded(look, again_pool(look, more), mask, ranked=False)


def _click(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[float, float]:
    """Half the time the centre of mass, where it lies in the object; else as in the network's training."""
    centre = centre_click(mask)
    return centre if centre is not None and rng.random() < 0.5 else inner_click(rng, mask)


def _graded(look: Look, pool: Pool, mask: NDArray[np.bool_], ranked: bool) -> Verdicts:
    masks = look.finish(pool.unrated(), None).masks
    shared = (masks & mask).sum((1, 2))
    either = (masks | mask).sum((1, 2))
    iou = torch.from_numpy((shared / np.maximum(either, 1)).astype(np.float32))
    return Verdicts(pool.facts.clone(), iou, ranked)


def train_judge(net: BuiltinNet, verdicts: Sequence[Verdicts], seed: int) -> float:
    """Fit ``net.judge``; returns the mean absolute error of its predicted IoU on a tenth of the prompts, held out.

    Every prompt counts the same, and each member of the judge sees 70 % of them. Beside the IoU of each answer it
    learns which one is the best, where it is to choose.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(verdicts))
    held, own = order[: len(order) // 10], order[len(order) // 10 :]
    facts = torch.cat([verdicts[i].facts for i in own])
    net.judge.mean.copy_(facts.mean(0))
    net.judge.std.copy_(facts.std(0).clamp_min(1e-3))
    with without_triton():
        optimizer = torch.optim.AdamW(net.judge.parameters(), lr=RATE, weight_decay=0.02)
    steps = EPOCHS * max(1, len(own) // BATCH)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for p in net.judge.parameters():
        p.requires_grad_(True)
    shares = [rng.permutation(own)[: max(1, int(0.7 * len(own)))] for _ in net.judge.members]
    for _ in range(steps):
        loss = torch.stack(
            [
                _loss(
                    net.judge,
                    member,
                    [verdicts[i] for i in rng.choice(share, min(BATCH, len(share)), replace=False)],
                )
                for member, share in enumerate(shares)
            ]
        ).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        plan.step()
    net.judge.requires_grad_(False)
    with torch.no_grad():
        errors = [float((net.judge(verdicts[i].facts) - verdicts[i].iou).abs().mean()) for i in held]
    return float(np.mean(errors)) if errors else float("nan")


def _loss(judge: Judge, member: int, batch: Sequence[Verdicts]) -> Tensor:
    facts = torch.cat([each.facts for each in batch])
    said = judge.one(member, facts).split([len(each.iou) for each in batch])
    losses = []
    for each, scores in zip(batch, said, strict=True):
        loss = F.smooth_l1_loss(scores, each.iou, beta=0.1)
        if each.ranked:
            wanted = torch.softmax(each.iou / TEMPERATURE, 0)
            loss = loss - 0.3 * (wanted * torch.log_softmax(scores / TEMPERATURE, 0)).sum()
        losses.append(loss)
    return torch.stack(losses).mean()
