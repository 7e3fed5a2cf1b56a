"""What the finished network answers on training slices, and how good it really is: what its judges learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

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
from napari_sam_med.models.builtin_answers import again_pool, box_pools
from napari_sam_med.models.builtin_choice import Pool
from napari_sam_med.models.builtin_look import Look
from napari_sam_med.models.builtin_net import BuiltinNet
from napari_sam_med.models.builtin_search import click_pools
from napari_sam_med.prompts.clicks import next_click

SEED = 40_961
"""Added to the run's seed, so that the judge sees other slices than the network has."""
OBJECTS, CLICKED = 8, 3
"""Objects a slice that are asked for with a box, and how many of them with a click too."""
LEAST_PIXELS = 50
"""Smaller objects do not count in evaluations either (Huang et al. 2024)."""
CLEAN_SHARE = 0.6
"""Share of the real slices that are not distorted: users' slices are not."""
RECOLOUR_SHARE = 0.4
"""Share of the real slices in which every tissue gets another grey, see ``augment.recoloured``."""
BODY_SHARE = 0.2
"""Share of the slices in which the whole body, the only object, is asked for; slices without labels serve, too."""
GRAFT_SHARE = 0.2
"""Share of the slices in which procedural shapes are set into them and asked for, see ``graft.grafted``."""


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
    prefer : float
        By how much the first answer is preferred to others, see ``builtin_choice.Pool``.
    """

    facts: Tensor
    iou: Tensor
    ranked: bool
    boxed: bool = False
    source: str = ""
    prefer: float = 0.0


def collect(
    net: BuiltinNet,
    slices: int,
    seed: int,
    size: int,
    real: Sequence[RealSlice] = (),
    real_share: float = 0.0,
    stop: Callable[[], bool] | None = None,
    exact: bool = False,
    workers: int = 0,
) -> Iterator[list[Verdicts]]:
    """What the network answers on training slices, slice by slice: to boxes, clicks, and a correction of either.

    Of the real slices only those with labels count, and only their labels: regions of like grey would teach the judge
    that answers made of greys are right. In some of all slices, but for exact prompts, the whole body is asked for, for
    it is rarely labelled, and in some of them procedural shapes that are set into them.

    Parameters
    ----------
    net : BuiltinNet
    slices, seed, size, real, real_share
        See ``finetune.data.sample_at``.
    stop : callable, optional
        Asked before every slice.
    exact : bool
        Ask with tight boxes for objects as they are labelled, easy ones as often as others, on real slices as they are
        shown, of the plane with the finest pixels: what users ask, for ``judging.calibrate``.
    workers : int
        Processes that ask; what they find is the same for any number of them.
    """
    questions = _Questions(net, slices, seed, size, real, real_share, exact)
    answers = iter(DataLoader(questions, batch_size=None, num_workers=workers))
    while stop is None or not stop():
        each = next(answers, None)
        if each is None:
            return
        yield [_kept(verdicts) for verdicts in each]


def _kept(verdicts: Verdicts) -> Verdicts:
    """A copy: every array that another process made holds a file open."""
    return replace(verdicts, facts=verdicts.facts.clone(), iou=verdicts.iou.clone())


class _Questions(Dataset[list[Verdicts]]):
    """The slices of :func:`collect`, by their number."""

    def __init__(
        self,
        net: BuiltinNet,
        slices: int,
        seed: int,
        size: int,
        real: Sequence[RealSlice],
        real_share: float,
        exact: bool,
    ) -> None:
        self.net, self.slices, self.seed, self.size = net, slices, seed, size
        self.real_share, self.exact = real_share, exact
        self.labelled = [each for each in real if each.labels.any()]
        self.shown = _asked_for(self.labelled) if exact else []
        self.cases: dict[str, list[RealSlice]] = {}
        for each in real:
            self.cases.setdefault(each.group, []).append(each)

    def __len__(self) -> int:
        return self.slices

    def __getitem__(self, index: int) -> list[Verdicts]:
        rng = np.random.default_rng([self.seed + SEED, 1 + self.exact, index])
        image, masks, source = self._asked_about(rng, index)
        with torch.no_grad():
            look = Look(self.net, BuiltinSegmenter(self.net, "0" * 64).encode(image), "cpu")
            found: list[Verdicts] = []
            for number, mask in enumerate(masks):
                found += _asked(look, mask, number < CLICKED, rng, self.exact)
        return [replace(each, source=source) for each in found]

    def _asked_about(
        self, rng: np.random.Generator, index: int
    ) -> tuple[NDArray[np.uint8], list[NDArray[np.bool_]], str]:
        """A slice, the objects that are asked for and the slice's case."""
        what = float(rng.random())
        if self.shown:
            return _as_labelled(rng, self.shown)
        body = what < BODY_SHARE and not self.exact
        graft = BODY_SHARE <= what < BODY_SHARE + GRAFT_SHARE and not self.exact
        chosen = self.labelled
        if body or graft:  # cases are as likely as each other: bodies, for one, differ little within one
            chosen = [some[int(rng.integers(len(some)))] for some in self.cases.values()]
        sample = sample_at(
            index,
            self.seed + SEED + self.exact,  # exact prompts are asked on other slices
            self.size,
            OBJECTS,
            chosen,
            self.real_share,
            CLEAN_SHARE,
            float(body),
            (1 - body) * RECOLOUR_SHARE,
            bodies=body,
            graft_share=float(graft),
        )
        return sample.image, _different(sample.masks), sample.source


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
    return Verdicts(pool.facts.clone(), iou, ranked, boxed, prefer=pool.prefer)
