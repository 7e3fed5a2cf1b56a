"""The robustness lab: prompts moved, boxes padded, images made worse, and what Dice comes to; a generator of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.volume import AXES, Volume
from napari_sam_med.core.windowing import Window
from napari_sam_med.evaluation.answers import Answer, SliceAsker, answer, choose, dices_of
from napari_sam_med.evaluation.baselines import BASELINES, Baseline
from napari_sam_med.evaluation.config import shown_name
from napari_sam_med.evaluation.degradations import degrade
from napari_sam_med.evaluation.labels import label_name
from napari_sam_med.evaluation.opened import open_case
from napari_sam_med.evaluation.plan import PairPlan, SliceTarget, plan_pair
from napari_sam_med.evaluation.robustness_config import RobustnessConfig, Step
from napari_sam_med.evaluation.robustness_rows import NAN, LabRow
from napari_sam_med.evaluation.rows import ScoreRow
from napari_sam_med.evaluation.runner import SessionFor, chance_of, error_sentence, models_to_ask, prompt_rng
from napari_sam_med.inference.session import Session
from napari_sam_med.inference.slices import slice_image
from napari_sam_med.prompts import STRATEGIES
from napari_sam_med.prompts.jitter import Moved, jitter, pad_box
from napari_sam_med.prompts.points import require_box

BATCH = 32
"""Prompts that are decoded together; their masks are held at once."""

Mask = NDArray[np.bool_]


def iter_robustness(
    config: RobustnessConfig,
    session_for: SessionFor,
    on_plan: Callable[[PairPlan, int], None] | None = None,
) -> Iterator[LabRow]:
    """Take all cases of a configuration to the lab.

    A case, model or prompt that fails gives rows with an ``error``, and the work goes on.

    Parameters
    ----------
    config : RobustnessConfig
    session_for : callable
        Gives the session of a model, see :data:`runner.SessionFor`; it is asked for each case anew.
    on_plan : callable, optional
        ``on_plan(plan, n_rows)``: told of each case before its rows come.

    Yields
    ------
    LabRow
        For every case, axis, slice, label, model, strategy, step and rule.
    """
    settings = config.evaluation
    for case in settings.cases:
        try:
            opened = open_case(case, settings)
        except Exception as error:
            yield LabRow(case.id, error=error_sentence(error, case))
            continue
        plan = opened.plan
        if on_plan is not None:
            on_plan(plan, config.n_rows(sum(len(target.labels) for target in plan.targets)))
        yield from iter_pair_robustness(opened.image, opened.labels, config, session_for, plan=plan)


def iter_pair_robustness(
    image: Volume,
    labels: Volume,
    config: RobustnessConfig,
    session_for: SessionFor,
    *,
    plan: PairPlan | None = None,
    keep_masks: bool = False,
) -> Iterator[LabRow]:
    """Take one image and truth in memory to the lab; the cases of the configuration are not looked at.

    Each slice is encoded once a model for all labels, strategies and changed prompts, and once more for every kind and
    dose of degradation; the embeddings of degraded slices are not kept.

    Parameters
    ----------
    image, labels : Volume
        On one grid. Of 4D volumes the first time point counts.
    config : RobustnessConfig
    session_for : callable
        See :func:`iter_robustness`.
    plan : PairPlan, optional
        What :func:`plan.plan_pair` gave for ``config.evaluation``, if it is at hand, or a part of it.
    keep_masks : bool
        Put the chosen mask into each row.

    Raises
    ------
    InputError
        If there is nothing to score, at the first row.
    """
    plan = plan or plan_pair(image, labels, config.evaluation)
    models, failed = models_to_ask(config.evaluation.models, session_for)
    for model, sentence in failed.items():
        yield LabRow(plan.case, model=shown_name(model), error=sentence)
    for target in plan.targets:
        place = _Place(image, target, plan.window)
        objects = _objects(plan, target, image, labels)
        for model, asked in models.items():
            yield from _Bench(place, objects, model, asked, config, keep_masks).rows()


@dataclass(frozen=True, eq=False)
class _Place:
    image: Volume
    target: SliceTarget
    window: Window


@dataclass(frozen=True, eq=False)
class _Subject:
    """One object with one strategy: its row so far, its truth, its answers without any change."""

    row: LabRow
    truth: Mask
    plain: Mapping[str, Answer]


def _objects(plan: PairPlan, target: SliceTarget, image: Volume, labels: Volume) -> list[tuple[LabRow, Mask]]:
    values = np.take(plan.data, target.index, axis=target.axis)
    objects = []
    for label in target.labels:
        truth = values == label
        row = LabRow(plan.case, AXES[target.axis], target.index, label, label_name(labels, label))
        objects.append((replace(row, modality=image.modality, size_px=int(np.count_nonzero(truth))), truth))
    return objects


class _Bench:
    """One model at one slice."""

    def __init__(
        self,
        place: _Place,
        objects: list[tuple[LabRow, Mask]],
        model: str,
        asked: Session | Baseline,
        config: RobustnessConfig,
        keep_masks: bool,
    ) -> None:
        self._place, self._objects, self._asked = place, objects, asked
        self._model, self._config, self._keep_masks = model, config, keep_masks
        self._settings = config.evaluation
        pixels = slice_image(place.image, place.target.axis, place.target.index, place.window)
        self._asker = SliceAsker(pixels, asked, self._settings.everything)

    def rows(self) -> Iterator[LabRow]:
        """All rows; errors are among them."""
        subjects: list[_Subject] = []
        for row, truth in self._objects:
            for name, strategy in self._settings.runs():
                if name != self._model or not self._config.steps(strategy):
                    continue
                known = replace(row, model=shown_name(self._model), strategy=strategy)
                try:
                    plain = self._answer(known, truth, self._asker)
                except Exception as error:
                    yield from self._failed(known, self._config.steps(strategy), error)
                    continue
                subjects.append(_Subject(known, truth, plain))
        for subject in subjects:
            steps = self._config.steps(subject.row.strategy)
            for step in steps:
                if step.plain:
                    yield from self._told(subject, step, subject.plain)
            yield from self._moved(subject, [s for s in steps if s.lab != "degradation" and not s.plain])
        yield from self._degraded(subjects)

    def _moved(self, subject: _Subject, steps: list[Step]) -> Iterator[LabRow]:
        """Rows of changed prompts on the slice as it is."""
        for start in range(0, len(steps), BATCH):
            batch = steps[start : start + BATCH]
            try:
                prompt = self._prompt(subject)
                moved = [self._move(subject, prompt, step) for step in batch]
                answers = self._asker.ask_many([each.prompt for each in moved])
            except Exception as error:
                yield from self._failed(subject.row, batch, error)
                continue
            for step, each, candidates in zip(batch, moved, answers, strict=True):
                chosen = choose(candidates, subject.truth, self._settings.rules, (each.prompt,))
                yield from self._told(subject, step, chosen, each.moved_px)

    def _degraded(self, subjects: Sequence[_Subject]) -> Iterator[LabRow]:
        """Rows of degraded slices: each is made and encoded once for all objects and strategies."""
        wanted = [
            (step, subject)
            for subject in subjects
            for step in self._config.steps(subject.row.strategy)
            if step.lab == "degradation" and not step.plain
        ]
        wanted.sort(key=lambda pair: (pair[0].mode, pair[0].dose))
        for step, pairs in groupby(wanted, key=lambda pair: pair[0]):
            those = [subject for _, subject in pairs]
            try:
                asker = self._degraded_asker(step, those[0].row)
            except Exception as error:
                for subject in those:
                    yield from self._failed(subject.row, [step], error)
                continue
            for subject in those:
                try:
                    answers = self._answer(subject.row, subject.truth, asker)
                except Exception as error:
                    yield from self._failed(subject.row, [step], error)
                    continue
                yield from self._told(subject, step, answers)

    def _degraded_asker(self, step: Step, row: LabRow) -> SliceAsker:
        target = self._place.target
        rng = chance_of(self._settings.seed, row.case, row.axis, row.slice, step)
        pixels = degrade(
            self._place.image, target.axis, target.index, self._place.window, step.mode, step.dose, rng
        )
        # a session of its own: images that nobody sees again must not drive others out of the cache
        asked = Session(self._asked.model) if isinstance(self._asked, Session) else self._asked
        return SliceAsker(pixels, asked, self._settings.everything)

    def _answer(self, row: LabRow, truth: Mask, asker: SliceAsker) -> dict[str, Answer]:
        strategy = STRATEGIES.get(row.strategy)
        return answer(strategy, truth, _same_chance(self._settings.seed, row), asker, self._settings)

    def _prompt(self, subject: _Subject) -> Prompt:
        strategy = STRATEGIES.get(subject.row.strategy)
        chance = _same_chance(self._settings.seed, subject.row)
        return strategy.make(subject.truth, chance, self._settings.variant)

    def _move(self, subject: _Subject, prompt: Prompt, step: Step) -> Moved:
        shape = (subject.truth.shape[0], subject.truth.shape[1])
        if step.lab == "padding":
            return pad_box(prompt, step.dose, shape)
        row = subject.row
        # the model is no part of it, so that all models get the same
        rng = chance_of(self._settings.seed, row.case, row.axis, row.slice, row.label, row.strategy, step)
        return jitter(prompt, step.mode, step.low, step.high, shape, rng, self._unit_px(subject.truth))

    def _unit_px(self, truth: Mask) -> tuple[float, float]:
        """Pixels along (rows, cols) for each unit of a jitter."""
        if self._config.bin_unit == "px":
            return (1.0, 1.0)
        r0, c0, r1, c1 = require_box(truth)
        return ((r1 - r0 + 1) / 100, (c1 - c0 + 1) / 100)

    def _told(
        self, subject: _Subject, step: Step, answers: Mapping[str, Answer], moved_px: float = NAN
    ) -> Iterator[LabRow]:
        row = _with_step(subject.row, step)
        for rule, found in answers.items():
            yield replace(
                row,
                rule=rule,
                moved_px=moved_px,
                candidate=found.candidate,
                predicted_iou=NAN if self._model in BASELINES else found.predicted_iou,
                dice=_dice(found, subject.truth),
                dice_plain=_dice(subject.plain[rule], subject.truth),
                prompt=found.prompts[0] if found.prompts else None,
                mask=found.mask if self._keep_masks else None,
            )

    def _failed(self, row: LabRow, steps: Sequence[Step], error: Exception) -> Iterator[LabRow]:
        sentence = error_sentence(error)
        for step in steps:
            for rule in self._settings.rules:
                yield replace(_with_step(row, step), rule=rule, error=sentence)


def _with_step(row: LabRow, step: Step) -> LabRow:
    return replace(
        row,
        lab=step.lab,
        mode=step.mode,
        step=step.text,
        dose=step.dose,
        dose_low=step.low,
        dose_high=step.high,
        seed=step.seed,
    )


def _dice(found: Answer, truth: Mask) -> float:
    return dices_of(found.mask[None], truth)[0]


def _same_chance(seed: int, row: LabRow) -> np.random.Generator:
    """The chance with which ``evaluate`` makes the prompt, so that both begin with the same one."""
    return prompt_rng(seed, ScoreRow(row.case, row.axis, row.slice, row.label, strategy=row.strategy))
