"""How a strategy is answered: one prompt, a prompt for each part, clicks that correct, or everything at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.result import Candidates, Embedding
from napari_sam_med.evaluation.baselines import Baseline
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.rules import RULES
from napari_sam_med.inference.everything import EverythingSettings
from napari_sam_med.inference.session import Session
from napari_sam_med.inference.slices import SliceImage
from napari_sam_med.metrics.overlap import dice
from napari_sam_med.prompts import Strategy, components, next_click

Mask = NDArray[np.bool_]
Ask = Callable[[Prompt], Candidates]
NAN = float("nan")


@dataclass(frozen=True, eq=False)
class Answer:
    """What a strategy came to under one rule; for the fields see ``rows.ScoreRow``."""

    mask: Mask
    prompts: tuple[Prompt, ...]
    candidate: int | None
    predicted_iou: float
    n_candidates: int
    click_dices: tuple[float, ...] = ()
    candidate_dices: tuple[float, ...] = ()
    candidate_ious: tuple[float, ...] = ()


class SliceAsker:
    """One model and one slice: encoded at the first question, and searched for everything at most once.

    Parameters
    ----------
    pixels : SliceImage
    model : Session or Baseline
    everything : EverythingSettings
    """

    def __init__(self, pixels: SliceImage, model: Session | Baseline, everything: EverythingSettings) -> None:
        self.pixels = pixels
        self._model = model
        self._settings = everything
        self._embedding: Embedding | None = None
        self._everything: Candidates | None = None

    def ask(self, prompt: Prompt) -> Candidates:
        """Candidates for one prompt."""
        if isinstance(self._model, Session):
            return self._model.predict(self.pixels, prompt, self._embed(self._model))
        return self._model.predict(self.pixels.pixels, prompt)

    def ask_many(self, prompts: Sequence[Prompt]) -> list[Candidates]:
        """Candidates for each of several prompts, together where the model can."""
        if isinstance(self._model, Session):
            return self._model.predict_many(self.pixels, prompts, self._embed(self._model))
        return [self._model.predict(self.pixels.pixels, prompt) for prompt in prompts]

    def everything(self) -> Candidates:
        """All masks of the slice. A baseline has none, and the configuration does not ask it."""
        if self._everything is None:
            assert isinstance(self._model, Session)
            embedding = self._embed(self._model)
            self._everything = self._model.everything(self.pixels, self._settings, embedding)
        return self._everything

    def _embed(self, session: Session) -> Embedding:
        self._embedding = self._embedding or session.embed(self.pixels)
        return self._embedding


def answer(
    strategy: Strategy,
    truth: Mask,
    rng: np.random.Generator,
    asker: SliceAsker,
    config: EvaluationConfig,
) -> dict[str, Answer]:
    """What a strategy comes to for one object, for each rule of the configuration.

    Where no candidate was found the mask is empty: a miss is a score of 0, not an error.

    Parameters
    ----------
    strategy : Strategy
    truth : ndarray, shape (rows, cols), bool
        Not empty.
    rng : Generator
        The chance of the prompts.
    """
    if strategy.kind == "everything":
        return choose(asker.everything(), truth, config.rules, ())
    prompt = strategy.make(truth, rng, config.variant)
    if strategy.kind == "prompt":
        return choose(asker.ask(prompt), truth, config.rules, (prompt,))
    if strategy.kind == "clicks":
        return {rule: correct(asker.ask, truth, prompt, rule, config.n_clicks) for rule in config.rules}
    parts = components(truth)
    prompts = tuple(strategy.make(part, rng, config.variant) for part in parts)
    chosen = [
        choose(asker.ask(prompt), part, config.rules, (prompt,))
        for part, prompt in zip(parts, prompts, strict=True)
    ]
    return {rule: _united([each[rule] for each in chosen], prompts) for rule in config.rules}


def correct(ask: Ask, truth: Mask, prompt: Prompt, rule: str, n_clicks: int) -> Answer:
    """A series of clicks, each in the deepest point of the largest error, with the chosen answer's logits fed back.

    Every click sees all clicks before it. See :func:`napari_sam_med.prompts.next_click`.

    Parameters
    ----------
    ask : callable
        Answers a prompt.
    truth : ndarray, shape (rows, cols), bool
    prompt : Prompt
        The first click.
    rule : str
        Chooses the candidate that is looked at, corrected and fed back.
    n_clicks : int
        Clicks in all; a perfect answer ends the series, and its Dice counts for the clicks that were not needed.
    """
    scores: list[float] = []
    while True:
        candidates = ask(prompt)
        found = choose(candidates, truth, (rule,), (prompt,))[rule]
        scores.append(dices_of(found.mask[None], truth)[0])
        click = next_click(found.mask, truth, prompt.points)
        if click is None or len(scores) >= n_clicks:
            break
        logits = None if found.candidate is None else candidates.low_res[found.candidate]
        prompt = prompt.with_points(click[0], [click[1]]).with_logits(logits)
    scores += scores[-1:] * (n_clicks - len(scores))
    return Answer(
        found.mask,
        (prompt.with_logits(None),),
        found.candidate,
        found.predicted_iou,
        found.n_candidates,
        tuple(scores),
        found.candidate_dices,
        found.candidate_ious,
    )


def choose(
    candidates: Candidates, truth: Mask, rules: Sequence[str], prompts: tuple[Prompt, ...]
) -> dict[str, Answer]:
    """What each rule takes of the candidates; an empty mask where there are none."""
    if not len(candidates):
        return dict.fromkeys(rules, Answer(np.zeros_like(truth), prompts, None, NAN, 0))
    dices = dices_of(candidates.masks, truth)
    places = {rule: RULES.get(rule)(candidates, dices) for rule in rules}
    ious = tuple(float(score) for score in candidates.scores)
    return {
        rule: Answer(
            candidates.masks[k],
            prompts,
            k,
            ious[k],
            len(candidates),
            candidate_dices=tuple(dices),
            candidate_ious=ious,
        )
        for rule, k in places.items()
    }


def _united(parts: Sequence[Answer], prompts: tuple[Prompt, ...]) -> Answer:
    mask = np.logical_or.reduce([part.mask for part in parts])
    score = float(np.mean([part.predicted_iou for part in parts]))
    return Answer(mask, prompts, None, score, sum(part.n_candidates for part in parts))


def dices_of(masks: Mask, truth: Mask) -> list[float]:
    """Dice of each mask (K, rows, cols)."""
    n_truth = int(np.count_nonzero(truth))
    sizes, both = np.count_nonzero(masks, axis=(1, 2)), np.count_nonzero(masks[:, truth], axis=1)
    return [dice(int(n), n_truth, int(b)) for n, b in zip(sizes, both, strict=True)]


def clicks_to(target: float, dices: Sequence[float]) -> int | None:
    """The first click (from 1) at which Dice reached `target`, or None."""
    return next((k for k, value in enumerate(dices, start=1) if value >= target), None)


def measure_once(
    answers: Mapping[str, Answer], compute: Callable[[Mask], Mapping[str, float]]
) -> dict[str, Mapping[str, float]]:
    """Metrics of every rule's mask, computed once for rules that came to the same mask."""
    done: list[tuple[Mask, Mapping[str, float]]] = []
    metrics: dict[str, Mapping[str, float]] = {}
    for rule, each in answers.items():
        known = next((m for mask, m in done if np.array_equal(mask, each.mask)), None)
        if known is None:
            known = compute(each.mask)
            done.append((each.mask, known))
        metrics[rule] = known
    return metrics
