"""Training of the judge: answers of the finished network on training slices, and how good they really are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import expit, logit
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.finetune.data import sample_at
from napari_sam_med.finetune.real import RealSlice
from napari_sam_med.finetune.samples import (
    MAX_SHARE,
    centre_click,
    drawn_box,
    inner_click,
    outer_box,
    taken,
)
from napari_sam_med.finetune.targets import visible_share
from napari_sam_med.models.builtin import BuiltinSegmenter
from napari_sam_med.models.builtin_answers import PREFERENCE, again_pool, box_pools
from napari_sam_med.models.builtin_choice import Pool, preferred
from napari_sam_med.models.builtin_look import Look
from napari_sam_med.models.builtin_net import BuiltinNet, Judge
from napari_sam_med.models.builtin_search import click_pools
from napari_sam_med.models.no_triton import without_triton
from napari_sam_med.prompts.clicks import next_click

SEED = 40_961
"""Added to the run's seed, so that the judge sees other slices than the network has."""
TEMPERATURE = 0.1
"""Differences of IoU above this decide which of two answers is the better one."""
EPOCHS, LEAST_STEPS, BATCH, RATE = 15, 200, 64, 3e-3
OBJECTS, CLICKED = 8, 3
"""Objects a slice that are asked for with a box, and how many of them with a click too."""
PARTS = 5
"""Parts of the cases of which each member of a judge is kept from one."""
SMALL_CASE = 0.01
"""Share of the prompts below which a case is small."""
MOST_SHIFT, SHIFTS = 3.0, 601
"""Largest shift of the judges' logits, and how many are tried."""
LEAST_PIXELS = 50
"""Smaller objects do not count in evaluations either (Huang et al. 2024)."""
CLEAN_SHARE = 0.6
"""Share of the real slices that are not distorted: users' slices are not."""
RECOLOUR_SHARE = 0.4
"""Share of the real slices in which every tissue gets another grey, see ``augment.recoloured``."""
BODY_SHARE = 0.2
"""Share of the slices in which the whole body, the only object, is asked for; slices without labels serve, too."""


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Answers to one prompt with their true IoU.

    Attributes
    ----------
    facts : Tensor, shape (K, N_FACTS)
    iou : Tensor, shape (K,)
    ranked : bool
        Whether a judge chooses among them, or only says how good they are (corrections).
    boxed : bool
        Whether they are answers to a box, for the judge of boxes.
    source : str
        Case the slice is of; empty for a procedural one.
    """

    facts: Tensor
    iou: Tensor
    ranked: bool
    boxed: bool = False
    source: str = ""


def collect(
    net: BuiltinNet,
    slices: int,
    seed: int,
    size: int,
    real: Sequence[RealSlice] = (),
    real_share: float = 0.0,
    stop: Callable[[], bool] | None = None,
    exact: bool = False,
) -> Iterator[list[Verdicts]]:
    """What the network answers on training slices, slice by slice: to boxes, clicks, and a correction of either.

    Of the real slices only those with labels count, and only their labels: regions of like grey would teach the judge
    that answers made of greys are right. In some of all slices, but for exact prompts, the whole body is asked for: it
    is rarely labelled.

    Parameters
    ----------
    net : BuiltinNet
    slices, seed, size, real, real_share
        See ``finetune.data.sample_at``.
    stop : callable, optional
        Asked before every slice.
    exact : bool
        Ask with tight boxes for objects as they are labelled, easy ones as often as others, on real slices as they are
        shown, of the plane with the finest pixels: what users ask, for :func:`calibrate`.
    """
    model = BuiltinSegmenter(net, "0" * 64)
    labelled = [each for each in real if each.labels.any()]
    shown = _asked_for(labelled) if exact else []
    cases: dict[str, list[RealSlice]] = {}
    for each in real:
        cases.setdefault(each.group, []).append(each)
    for index in range(slices):
        if stop is not None and stop():
            return
        rng = np.random.default_rng([seed + SEED, 1 + exact, index])
        body = bool(rng.random() < BODY_SHARE) and not exact
        if shown:
            image, masks, source = _as_labelled(rng, shown)
        else:
            other = seed + SEED + exact  # exact prompts are asked on other slices
            shares = (CLEAN_SHARE, float(body), (1 - body) * RECOLOUR_SHARE)
            # cases are as likely as each other where bodies are asked for, which differ little within one
            chosen = [some[int(rng.integers(len(some)))] for some in cases.values()] if body else labelled
            sample = sample_at(index, other, size, OBJECTS, chosen, real_share, *shares, bodies=body)
            image, masks, source = sample.image, _different(sample.masks), sample.source
        with torch.no_grad():
            look = Look(net, model.encode(image), "cpu")
            found: list[Verdicts] = []
            for number, mask in enumerate(masks):
                found += _asked(look, mask, number < CLICKED, rng, exact)
        yield [replace(each, source=source) for each in found]


def _asked_for(real: Sequence[RealSlice]) -> list[RealSlice]:
    """Slices in which somebody may ask for a labelled object: of the finest plane, with an object that counts."""
    return [
        each
        for each in real
        if each.finest and np.bincount(each.labels.ravel())[1:].max(initial=0) > LEAST_PIXELS
    ]


def _as_labelled(
    rng: np.random.Generator, real: Sequence[RealSlice]
) -> tuple[NDArray[np.uint8], list[NDArray[np.bool_]], str]:
    """A real slice as it is shown, some of its visible objects as they are labelled, and its case."""
    while True:
        chosen = real[int(rng.integers(len(real)))]
        image, labels = chosen.shown(), chosen.labels
        masks = [labels == value for value in rng.permutation(np.unique(labels[labels > 0]))]
        seen = [
            mask
            for mask in masks
            if LEAST_PIXELS < np.count_nonzero(mask) <= MAX_SHARE * mask.size
            and taken(visible_share(image, mask), rng)
        ]
        if seen:
            return image, seen[:OBJECTS], chosen.group


def _different(masks: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The masks, each once: a slice with few objects names some of them several times."""
    return list({mask.tobytes(): mask for mask in masks}.values())


def _asked(
    look: Look, mask: NDArray[np.bool_], clicked: bool, rng: np.random.Generator, exact: bool
) -> Iterator[Verdicts]:
    r0, c0, r1, c1 = (float(v) for v in (outer_box(mask) if exact else drawn_box(rng, mask)))
    prompts = [Prompt.from_box((r0 + 0.5, c0 + 0.5, r1 - 0.5, c1 - 0.5)).clipped(mask.shape)]
    if clicked:
        prompts.append(Prompt.from_points([_click(mask, rng)]))
    for prompt in prompts:
        boxed = prompt.box is not None
        pool = (box_pools if boxed else click_pools)(look, [prompt])[0]
        yield _graded(look, pool, mask, ranked=True, boxed=boxed)
        first = look.finish(pool.unrated()[:1], None)
        correction = next_click(first.masks[0], mask)
        if correction is not None and clicked and rng.random() < 0.5:
            more = prompt.with_points(correction[0], [correction[1]]).with_logits(first.low_res[0])
            yield _graded(look, again_pool(look, more), mask, ranked=False)


def _click(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[float, float]:
    """Half the time the centre of mass, where it lies in the object; else as in the network's training."""
    centre = centre_click(mask)
    return centre if centre is not None and rng.random() < 0.5 else inner_click(rng, mask)


def _graded(look: Look, pool: Pool, mask: NDArray[np.bool_], ranked: bool, boxed: bool = False) -> Verdicts:
    masks = look.finish(pool.unrated(), None).masks
    shared = (masks & mask).sum((1, 2))
    either = (masks | mask).sum((1, 2))
    iou = torch.from_numpy((shared / np.maximum(either, 1)).astype(np.float32))
    return Verdicts(pool.facts.clone(), iou, ranked, boxed)


def train_judges(net: BuiltinNet, verdicts: Sequence[Verdicts], seed: int) -> dict[str, float]:
    """Fit both judges; returns the mean absolute error of their predicted IoU on prompts held out."""
    return {
        name: train_judge(judge, [each for each in verdicts if each.boxed == boxed], seed)
        for name, judge, boxed in (("box", net.box_judge, True), ("click", net.judge, False))
    }


def train_judge(judge: Judge, verdicts: Sequence[Verdicts], seed: int) -> float:
    """Fit a judge; returns the mean absolute error of its predicted IoU on a tenth of the prompts, held out.

    Every prompt counts the same. The members of the judge are kept from a part of the cases each, so that their mean
    goes by what is true of all of them. Beside the IoU of each answer it learns which one is the best, where it is to
    choose.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(verdicts))
    held, own = order[: len(order) // 10], order[len(order) // 10 :]
    if not len(own):
        return float("nan")
    pools = _Pools.of(judge, verdicts)
    known = pools.seen[own][pools.there[own]]
    judge.mean.copy_(known.mean(0))
    judge.std.copy_(known.std(0).clamp_min(1e-3))
    with without_triton():
        optimizer = torch.optim.AdamW(judge.parameters(), lr=RATE, weight_decay=0.02)
    steps = max(LEAST_STEPS, EPOCHS * len(own) // BATCH)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for p in judge.parameters():
        p.requires_grad_(True)
    shares = _shares(verdicts, own, judge.members)
    batch = min(BATCH, *map(len, shares))
    for _ in range(steps):
        chosen = np.stack([rng.choice(share, batch, replace=False) for share in shares])
        loss = _loss(judge, pools, chosen)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        plan.step()
    judge.requires_grad_(False)
    with torch.no_grad():
        errors = [float((judge(verdicts[i].facts) - verdicts[i].iou).abs().mean()) for i in held]
    return float(np.mean(errors)) if errors else float("nan")


def calibrate(net: BuiltinNet, verdicts: Sequence[Verdicts], taught: Sequence[Verdicts]) -> dict[str, float]:
    """Shift what both judges say until the predicted IoU of the answers they would give is wrong by the least.

    Distorted slices and careless boxes make the judges modest about the others. What counts is the mean absolute
    error; every case is judged by the members that were kept from it, and all cases count the same.

    Parameters
    ----------
    net : BuiltinNet
        Its judges have been trained; the last bias of their members is changed.
    verdicts : sequence of Verdicts
        Of exact prompts, see :func:`collect`.
    taught : sequence of Verdicts
        What the judges were trained on.

    Returns
    -------
    dict
        The shift of the logits of each judge.
    """
    out = {}
    for name, judge, boxed in (("box", net.box_judge, True), ("click", net.judge, False)):
        away = _away([each.source for each in taught if each.boxed == boxed], judge.members)
        said, true, cases = [], [], []
        for each in verdicts:
            if each.boxed != boxed or not each.ranked:
                continue
            every = judge.every(each.facts)
            for scores in [every[k] for k, part in enumerate(away) if each.source in part]:
                best = preferred(scores, PREFERENCE if boxed else 0.0)
                said.append(float(scores[best]))
                true.append(float(each.iou[best]))
                cases.append(each.source)
        out[name] = _shift(np.array(said), np.array(true), cases) if said else 0.0
        judge.raise_logits(out[name])
    return out


def _shift(said: NDArray[np.float64], true: NDArray[np.float64], cases: list[str]) -> float:
    """What to add to the logits of scores so that they miss the true IoU by the least, all cases counting the same."""
    counts = Counter(cases)
    weight = np.array([1 / counts[case] for case in cases])
    shifts = np.linspace(-MOST_SHIFT, MOST_SHIFT, SHIFTS)
    moved = expit(logit(said.clip(1e-4, 1 - 1e-4)) + shifts[:, None])
    return float(shifts[np.argmin(np.abs(moved - true) @ weight)])


def _shares(verdicts: Sequence[Verdicts], own: NDArray[np.int64], members: int) -> list[NDArray[np.int64]]:
    """Which of the prompts `own` each member learns from: all but those of a part of the cases.

    Where there are fewer cases than parts, each is kept from a part of the prompts instead.
    """
    away = _away([verdicts[i].source for i in own], members)
    if not away:
        return [
            np.delete(own, np.s_[member::members]) if len(own) > members else own for member in range(members)
        ]
    return [np.array([i for i in own if verdicts[i].source not in part]) for part in away]


def _away(sources: Sequence[str], members: int) -> list[set[str]]:
    """The cases that each member is kept from, given the case of every prompt; none where there are too few cases.

    They are cut into parts with about as many prompts each. Cases with neighbouring names, which are often of one
    patient, are kept away together; but small ones are dealt out in turn, lest one member is kept from all bodies.
    """
    parts = min(PARTS, members)
    counts = Counter(source for source in sources if source)
    if len(counts) < parts:
        return []
    total = sum(counts.values())
    large = sorted(case for case, n in counts.items() if n >= SMALL_CASE * total)
    small = sorted(set(counts) - set(large))
    size = np.array([counts[case] for case in large])
    part = ((np.cumsum(size) - size / 2) / size.sum() * parts).astype(int).tolist()
    part += [k % parts for k in range(len(small))]
    away: list[set[str]] = [set() for _ in range(parts)]
    for case, k in zip(large + small, part, strict=True):
        away[k].add(case)
    return [away[member % parts] for member in range(members)]


class _Pools(NamedTuple):
    """Verdicts as one array, those with fewer answers filled up; a judge learns from a batch of them at once."""

    seen: Tensor
    """(N, K, n), what the judge goes by."""
    iou: Tensor
    """(N, K)"""
    there: Tensor
    """(N, K), where there is an answer."""
    ranked: Tensor
    """(N,)"""

    @classmethod
    def of(cls, judge: Judge, verdicts: Sequence[Verdicts]) -> _Pools:
        seen = pad_sequence([judge.seen(each.facts) for each in verdicts], batch_first=True)
        iou = pad_sequence([each.iou for each in verdicts], batch_first=True)
        n = torch.tensor([len(each.iou) for each in verdicts])
        return cls(
            seen, iou, torch.arange(iou.shape[1]) < n[:, None], torch.tensor([v.ranked for v in verdicts])
        )


def _loss(judge: Judge, pools: _Pools, chosen: NDArray[np.int64]) -> Tensor:
    """Mean loss of the members over the pools chosen for each, (members, B)."""
    seen, iou, there, ranked = (part[chosen] for part in pools)
    scores = judge.each(seen.flatten(1, 2)).view_as(iou)
    off = F.smooth_l1_loss(scores, iou, beta=0.1, reduction="none") * there
    wanted, said = (
        (values / TEMPERATURE).masked_fill(~there, -1e4).log_softmax(-1) for values in (iou, scores)
    )
    right = (wanted.exp() * said * there).sum(-1)
    return (off.sum(-1) / there.sum(-1) - 0.3 * right * ranked).mean()
