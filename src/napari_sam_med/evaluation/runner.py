"""Simulated prompts, model answers, scores: a generator of frozen rows."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import Cancelled, SamMedError
from napari_sam_med.core.volume import AXES, Volume
from napari_sam_med.evaluation.answers import Answer, SliceAsker, answer, clicks_to, measure_once
from napari_sam_med.evaluation.baselines import BASELINES, Baseline
from napari_sam_med.evaluation.cases import read_case
from napari_sam_med.evaluation.config import Case, EvaluationConfig, shown_name
from napari_sam_med.evaluation.labels import label_name
from napari_sam_med.evaluation.plan import PairPlan, SliceTarget, plan_pair
from napari_sam_med.evaluation.rows import NAN, ScoreRow
from napari_sam_med.factors import FactorInput, compute_factors
from napari_sam_med.inference.session import Session
from napari_sam_med.inference.slices import SliceImage, slice_image
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
            image, labels = read_case(case, config.resample)
            plan = plan_pair(image, labels, config, case=case.id, unite_labels=case.unite_labels)
        except Exception as error:
            yield ScoreRow(case.id, error=error_sentence(error, case))
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

    Each slice is encoded once a model, and searched for everything once; all labels and strategies are answered from
    that. Of 4D volumes the first time point is scored.

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
    models, failed = models_to_ask(config.models, session_for)
    for model, sentence in failed.items():
        yield ScoreRow(plan.case, model=shown_name(model), error=sentence)
    for target in plan.targets:
        pixels = slice_image(image, target.axis, target.index, plan.window)
        objects = _objects(plan, target, pixels, image, labels)
        for model, asked in models.items():
            asker = SliceAsker(pixels, asked, config.everything)
            yield from _score_slice(model, asker, objects, config, keep_masks)


def models_to_ask(
    names: Iterable[str], session_for: SessionFor
) -> tuple[dict[str, Session | Baseline], dict[str, str]]:
    """Models and baselines by their names, and, of those that cannot be loaded, why in a sentence."""
    models: dict[str, Session | Baseline] = {}
    failed: dict[str, str] = {}
    for name in names:
        try:
            models[name] = BASELINES.get(name) if name in BASELINES else session_for(name)
        except Exception as error:
            failed[name] = error_sentence(error, files=(Path(name),))
    return models, failed


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


def _objects(
    plan: PairPlan, target: SliceTarget, pixels: SliceImage, image: Volume, labels: Volume
) -> list[_Object]:
    values = np.take(plan.data, target.index, axis=target.axis)
    objects = []
    for label in target.labels:
        mask = values == label
        extent = plan.extent(label, target.axis)
        row = ScoreRow(plan.case, AXES[target.axis], target.index, label, label_name(labels, label))
        row = replace(row, modality=image.modality)
        try:
            between = image.spacing_mm[target.axis]
            measured = FactorInput(pixels.pixels, mask, pixels.spacing_mm, target.index, extent, between)
            row = replace(row, factors=compute_factors(measured))
        except Exception as error:
            row = replace(row, error=error_sentence(error))
        objects.append(_Object(row, mask))
    return objects


def _score_slice(
    model: str, asker: SliceAsker, objects: list[_Object], config: EvaluationConfig, keep_masks: bool
) -> Iterator[ScoreRow]:
    """Rows of one model in one slice."""
    strategies = [STRATEGIES.get(strategy) for name, strategy in config.runs() if name == model]
    for each in objects:
        for strategy in strategies:
            row = replace(each.row, model=shown_name(model), strategy=strategy.name)
            try:
                if row.error:
                    raise SamMedError(row.error)
                answers = answer(strategy, each.mask, prompt_rng(config.seed, row), asker, config)
                measured = _measure(answers, each.mask, asker.pixels.spacing_mm, config)
            except Exception as error:
                for rule in config.rules:
                    yield replace(row, rule=rule, error=error_sentence(error))
                continue
            for rule, found in answers.items():
                yield replace(
                    row,
                    rule=rule,
                    candidate=found.candidate,
                    predicted_iou=NAN if model in BASELINES else found.predicted_iou,
                    metrics=measured[rule],
                    prompt=found.prompts[0] if found.prompts else None,
                    prompts=found.prompts,
                    n_candidates=found.n_candidates,
                    candidate_dices=found.candidate_dices,
                    candidate_ious=() if model in BASELINES else found.candidate_ious,
                    click_dices=found.click_dices,
                    clicks_to_target=clicks_to(config.target_dice, found.click_dices),
                    mask=found.mask if keep_masks else None,
                )


def _measure(
    answers: Mapping[str, Answer],
    truth: NDArray[np.bool_],
    spacing_mm: tuple[float, float],
    config: EvaluationConfig,
) -> dict[str, Mapping[str, float]]:
    return measure_once(
        answers,
        lambda mask: compute_metrics(mask, truth, spacing_mm, tolerance_mm=config.tolerance_mm),
    )


def prompt_rng(seed: int, row: ScoreRow) -> np.random.Generator:
    """A random stream of its own for each prompt, the same in every run and whatever else is evaluated."""
    return chance_of(seed, row.case, row.axis, row.slice, row.label, row.strategy)


def chance_of(*identity: object) -> np.random.Generator:
    """A random stream of its own for everything that is called by these names and numbers, the same in every run."""
    digest = hashlib.sha256(repr(identity).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def error_sentence(error: Exception, case: Case | None = None, files: Sequence[Path] = ()) -> str:
    """What goes into the ``error`` column: the sentence for the user, without the folders of the case and `files`."""
    if isinstance(error, Cancelled):
        raise error
    if isinstance(error, SamMedError):
        text = str(error)
    else:
        logger.error("unexpected failure in an evaluation", exc_info=error)
        text = f"Unexpected {type(error).__name__}: {error}"
    for path in (*files, *((case.image, case.labels) if case else ())):
        for folder in (path.parent, path.expanduser().parent, path.resolve().parent):
            if folder.name:
                text = text.replace(f"{folder}/", "").replace(f"{folder}\\", "")
                text = text.replace(str(folder), "its folder")  # its name may be a patient's
    return " ".join(text.split())  # one line, whatever a library has to say
