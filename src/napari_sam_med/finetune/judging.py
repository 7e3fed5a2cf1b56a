"""Training of the judges: from answers of the finished network on training slices, and how good they really are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import expit, logit
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from napari_sam_med.finetune.asking import Verdicts
from napari_sam_med.models.builtin_choice import preferred
from napari_sam_med.models.builtin_net import BuiltinNet, Judge
from napari_sam_med.models.no_triton import without_triton

TEMPERATURE = 0.1
"""Differences of IoU above this decide which of two answers is the better one."""
EPOCHS, LEAST_STEPS, BATCH, RATE = 15, 200, 64, 3e-3
PARTS = 5
"""Parts of the cases of which each member of a judge is kept from one."""
EVENNESS = 0.5
"""Power of the number of a case's prompts with which each counts less; with 1 all cases count the same."""
SMALL_CASE = 0.01
"""Share of the prompts below which a case is small."""
MOST_SHIFT, SHIFTS = 3.0, 601
"""Largest shift of the judges' logits, and how many are tried."""


def train_judges(net: BuiltinNet, verdicts: Sequence[Verdicts], seed: int) -> dict[str, float]:
    """Fit both judges; returns the mean absolute error of their predicted IoU on prompts held out."""
    return {
        name: train_judge(judge, [each for each in verdicts if each.boxed == boxed], seed)
        for name, judge, boxed in (("box", net.box_judge, True), ("click", net.judge, False))
    }


def train_judge(judge: Judge, verdicts: Sequence[Verdicts], seed: int) -> float:
    """Fit a judge; returns the mean absolute error of its predicted IoU on a tenth of the prompts, held out.

    A case counts with the square root of the number of its prompts. The members of the judge are kept from a part of
    the cases each, so that their mean goes by what is true of all of them. Beside the IoU of each answer it learns
    which one is the best, where it is to choose.
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
    odds = [_odds([verdicts[i].source for i in share]) for share in shares]
    for _ in range(steps):
        chosen = np.stack([rng.choice(share, BATCH, p=p) for share, p in zip(shares, odds, strict=True)])
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
                best = preferred(scores, each.prefer)
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


def _odds(sources: Sequence[str]) -> NDArray[np.float64]:
    """How likely each prompt is to be learnt from, given the case of every one: less so where its case has many."""
    counts = Counter(sources)
    odds = np.array([counts[source] ** -EVENNESS for source in sources])
    return odds / odds.sum()


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
