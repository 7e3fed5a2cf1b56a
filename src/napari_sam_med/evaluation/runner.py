"""Simulated prompts, model answers, scores: a generator of frozen rows."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import Cancelled, SamMedError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.result import Candidates
from napari_sam_med.core.volume import AXES, Volume
from napari_sam_med.evaluation.baselines import BASELINES
from napari_sam_med.evaluation.config import Case, EvaluationConfig
from napari_sam_med.evaluation.labels import label_name
from napari_sam_med.evaluation.plan import PairPlan, SliceTarget, plan_pair
from napari_sam_med.evaluation.rows import NAN, ScoreRow
from napari_sam_med.evaluation.rules import RULES
from napari_sam_med.factors import FactorInput, compute_factors
from napari_sam_med.inference.session import Session
from napari_sam_med.inference.slices import SliceImage, slice_image
from napari_sam_med.io import read_labels, read_volume
from napari_sam_med.metrics import compute_metrics
from napari_sam_med.prompts import STRATEGIES

logger = logging.getLogger(__name__)

SessionFor = Callable[[str], Session]
"""Gives the session of a model, by its name or file; raises SamMedError where it cannot be loaded."""


def iter_scores(
    config: EvaluationConfig,
    session_for: SessionFor,
    on_plan: Callable[[PairPlan], None] | None = None,
) -> Iterator[ScoreRow]:
    """Score all cases of a configuration.

    A case, model or prompt that fails gives rows with an ``error``, and the run goes on.

    Parameters
    ----------
    config : EvaluationConfig
    session_for : callable
        Called once for every model, when it is first needed.
    on_plan : callable, optional
        Told of each case before its rows come: how many rows, which window.

    Yields
    ------
    ScoreRow
        For every case, axis, slice, label, model, strategy and rule.
    """
    sessions = _Sessions(session_for)
    for case in config.cases:
        try:
            image = read_volume(case.image)
            if case.modality:
                image = replace(image, modality=case.modality)
            labels = read_labels(case.labels, reference=image, resample=config.resample)
            plan = plan_pair(image, labels, config, case=case.id, unite_labels=case.unite_labels)
        except Exception as error:
            yield ScoreRow(case.id, error=_sentence(error, case))
            continue
        if on_plan is not None:
            on_plan(plan)
        yield from iter_pair_scores(image, labels, config, sessions, plan=plan)


def iter_pair_scores(
    image: Volume,
    labels: Volume,
    config: EvaluationConfig,
    session_for: SessionFor,
    *,
    plan: PairPlan | None = None,
    keep_masks: bool = False,
) -> Iterator[ScoreRow]:
    """Score one image and truth in memory; ``config.cases`` is not looked at.

    Each slice is encoded once a model; all labels and strategies are answered from that embedding. Of 4D volumes
    the first time point is scored.

    Parameters
    ----------
    image, labels : Volume
        On one grid.
    config : EvaluationConfig
    session_for : callable
        See :func:`iter_scores`.
    plan : PairPlan, optional
        What :func:`plan_pair` gave for the same arguments, if it is at hand.
    keep_masks : bool
        Put the chosen mask into each row.

    Raises
    ------
    InputError
        If there is nothing to score, at the first row.
    """
    plan = plan or plan_pair(image, labels, config)
    sessions: dict[str, Session | None] = {}
    for model in config.models:
        try:
            sessions[model] = None if model in BASELINES else session_for(model)
        except Exception as error:
            yield ScoreRow(plan.case, model=_shown(model), error=_sentence(error))
    for target in plan.targets:
        pixels = slice_image(image, target.axis, target.index, plan.window)
        objects = _objects(plan, target, pixels, labels)
        for model, session in sessions.items():
            strategies = [strategy for name, strategy in config.runs() if name == model]
            if strategies:
                yield from _score_slice(
                    pixels, objects, _Asked(model, session, strategies), config, keep_masks
                )


class _Sessions:
    """Asks for each model once."""

    def __init__(self, session_for: SessionFor) -> None:
        self._session_for = session_for
        self._known: dict[str, Session] = {}

    def __call__(self, model: str) -> Session:
        if model not in self._known:
            self._known[model] = self._session_for(model)
        return self._known[model]


@dataclass(frozen=True, eq=False)
class _Object:
    """One object in one slice: its mask, and its row so far, with an error if its factors could not be computed."""

    row: ScoreRow
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class _Asked:
    model: str
    session: Session | None
    strategies: list[str] = field(default_factory=list)


def _objects(plan: PairPlan, target: SliceTarget, pixels: SliceImage, labels: Volume) -> list[_Object]:
    values = np.take(plan.data, target.index, axis=target.axis)
    objects = []
    for label in target.labels:
        mask = values == label
        extent = plan.extent(label, target.axis)
        row = ScoreRow(plan.case, AXES[target.axis], target.index, label, label_name(labels, label))
        try:
            between = labels.spacing_mm[target.axis]
            measured = FactorInput(pixels.pixels, mask, pixels.spacing_mm, target.index, extent, between)
            row = replace(row, factors=compute_factors(measured))
        except Exception as error:
            row = replace(row, error=_sentence(error))
        objects.append(_Object(row, mask))
    return objects


def _score_slice(
    pixels: SliceImage, objects: list[_Object], asked: _Asked, config: EvaluationConfig, keep_masks: bool
) -> Iterator[ScoreRow]:
    """Rows of one model in one slice."""
    ask: Callable[[Prompt], Candidates] | None = None
    for each in objects:
        for strategy in asked.strategies:
            row = replace(each.row, model=_shown(asked.model), strategy=strategy)
            try:
                if row.error:
                    raise SamMedError(row.error)
                prompt = STRATEGIES.get(strategy).make(each.mask, prompt_rng(config.seed, row))
                row = replace(row, prompt=prompt)
                ask = ask or _asker(pixels, asked)
                candidates = ask(prompt)
                scored = _choose(candidates, each.mask, pixels.spacing_mm, config.rules)
            except Exception as error:
                for rule in config.rules:
                    yield replace(row, rule=rule, error=_sentence(error))
                continue
            for rule, (chosen, metrics) in scored.items():
                yield replace(
                    row,
                    rule=rule,
                    candidate=chosen,
                    predicted_iou=NAN if asked.session is None else float(candidates.scores[chosen]),
                    metrics=metrics,
                    mask=candidates.masks[chosen] if keep_masks else None,
                )


def _asker(pixels: SliceImage, asked: _Asked) -> Callable[[Prompt], Candidates]:
    """Answers prompts on one slice; a model encodes it here, once."""
    session = asked.session
    if session is None:
        baseline = BASELINES.get(asked.model)
        return lambda prompt: baseline.predict(pixels.pixels, prompt)
    embedding = session.embed(pixels)
    return lambda prompt: session.predict(pixels, prompt, embedding)


def _choose(
    candidates: Candidates, truth: NDArray[np.bool_], spacing_mm: tuple[float, float], rules: tuple[str, ...]
) -> dict[str, tuple[int, Mapping[str, float]]]:
    """For every rule, the candidate it takes and that candidate's metrics."""
    dices = [compute_metrics(mask, truth, spacing_mm, ["dice"])["dice"] for mask in candidates.masks]
    chosen = {rule: RULES.get(rule)(candidates, dices) for rule in rules}
    metrics = {k: compute_metrics(candidates.masks[k], truth, spacing_mm) for k in set(chosen.values())}
    return {rule: (k, metrics[k]) for rule, k in chosen.items()}


def prompt_rng(seed: int, row: ScoreRow) -> np.random.Generator:
    """A random stream of its own for each prompt, the same in every run and whatever else is evaluated."""
    identity = repr((seed, row.case, row.axis, row.slice, row.label, row.strategy))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big"))


def _shown(model: str) -> str:
    """Name of a model in tables: a file without its folder."""
    return model.replace("\\", "/").rsplit("/", 1)[-1]


def _sentence(error: Exception, case: Case | None = None) -> str:
    """What goes into the ``error`` column: the sentence for the user, without the folders of the case."""
    if isinstance(error, Cancelled):
        raise error
    if isinstance(error, SamMedError):
        text = str(error)
    else:
        logger.error("unexpected failure in an evaluation", exc_info=error)
        text = f"Unexpected {type(error).__name__}: {error}"
    for path in (case.image, case.labels) if case else ():
        for folder in (path.parent, path.resolve().parent):
            if folder.name:
                text = text.replace(f"{folder}/", "").replace(f"{folder}\\", "")
    return text
