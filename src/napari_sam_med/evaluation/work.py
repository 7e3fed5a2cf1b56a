"""The pieces that a run is cut into, and what a process does with one. All of it can be sent to another machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

from napari_sam_med.core.volume import AXES
from napari_sam_med.evaluation.atlas import Atlas, Failure, atlas_rule
from napari_sam_med.evaluation.config import Case, EvaluationConfig, shown_name
from napari_sam_med.evaluation.journal import CasePlan
from napari_sam_med.evaluation.opened import OpenCase, Unit, open_case
from napari_sam_med.evaluation.rows import ScoreRow
from napari_sam_med.evaluation.runner import error_sentence
from napari_sam_med.inference.session import Session


@dataclass(frozen=True)
class Task:
    """Plan a case, or score some of its slices.

    Attributes
    ----------
    case : Case
    units : tuple of Unit
        Slices to score; empty to plan.
    """

    case: Case
    units: tuple[Unit, ...] = ()


@dataclass(frozen=True, eq=False)
class Result:
    """What became of a task.

    Attributes
    ----------
    plan : CasePlan, optional
        Of a planned case; None if it could not be opened.
    rows : tuple of ScoreRow
        Without masks and prompts; those of one slice follow each other.
    failures : tuple of Failure
        The worst answers among them.
    fingerprints : dict of str to str
        Of the models that were loaded.
    """

    plan: CasePlan | None = None
    rows: tuple[ScoreRow, ...] = ()
    failures: tuple[Failure, ...] = ()
    fingerprints: dict[str, str] | None = None


class Models:
    """Loads each model once; a model that failed fails again at once with the same sentence."""

    def __init__(self, device: str = "auto") -> None:
        self.fingerprints: dict[str, str] = {}
        self._device = device
        self._sessions: dict[str, Session] = {}
        self._errors: dict[str, Exception] = {}

    def __call__(self, model: str) -> Session:
        """The session of a model, by its name or file.

        Raises
        ------
        SamMedError
            If it cannot be loaded.
        """
        if model in self._errors:
            raise self._errors[model]
        if model not in self._sessions:
            try:
                self._sessions[model] = self._load(model)
            except Exception as error:
                self._errors[model] = error
                raise
        return self._sessions[model]

    def _load(self, model: str) -> Session:
        from napari_sam_med.embeddings import EmbeddingCache
        from napari_sam_med.models import load_model

        session = Session(load_model(model, self._device), EmbeddingCache.default())
        self.fingerprints[shown_name(model)] = session.model.fingerprint  # as its rows call it
        return session


class Worker:
    """Does tasks one after another; holds the models and the case that it had last."""

    def __init__(self, config: EvaluationConfig, device: str = "auto") -> None:
        self.models = Models(device)
        self._config = config
        self._opened: OpenCase | None = None

    def open(self, case: Case) -> OpenCase:
        """A case in memory; the one before is let go first."""
        if self._opened is None or self._opened.case != case:
            self._opened = None
            self._opened = open_case(case, self._config)
        return self._opened

    def rows(self, case: Case, unit: Unit, atlas: Atlas) -> Iterator[ScoreRow]:
        """Rows of one slice, without masks; the worst are offered to an atlas on their way.

        Where something fails that is no matter of one row, an error for the slice ends them.
        """
        try:
            opened = self.open(case)
            for row in opened.rows(unit, self._config, self.models):
                atlas.offer(row, opened.failure)
                yield replace(row, mask=None, prompt=None, prompts=())
        except Exception as error:
            yield ScoreRow(case.id, *unit, error=error_sentence(error, case))

    def do(self, task: Task) -> Result:
        """A whole task; whatever goes wrong with the case becomes a row."""
        if not task.units:
            try:
                return Result(plan=plan_of(self.open(task.case)))
            except Exception as error:
                return Result(rows=(ScoreRow(task.case.id, error=error_sentence(error, task.case)),))
        atlas = Atlas(rule=atlas_rule(self._config))
        rows = [row for unit in task.units for row in self.rows(task.case, unit, atlas)]
        return Result(None, tuple(rows), tuple(atlas), dict(self.models.fingerprints))


def plan_of(opened: OpenCase) -> CasePlan:
    """Slices of a case with the rows each will have, and the facts."""
    per_label = opened.plan.n_rows // max(1, sum(len(target.labels) for target in opened.plan.targets))
    units = {
        (str(AXES[target.axis]), target.index): per_label * len(target.labels)
        for target in opened.plan.targets
    }
    return CasePlan(units, opened.facts)


_lock = threading.Lock()
_workers: dict[tuple[EvaluationConfig, str], Worker] = {}


def perform(task: Task, config: EvaluationConfig, device: str) -> Result:
    """Do a task in this process, with the models and the case of the task before if they are the same.

    One task at a time, whatever the number of threads: a process holds one volume and uses its models from one thread.
    """
    with _lock:
        key = (config, device)
        if key not in _workers:
            _workers.clear()
            _workers[key] = Worker(config, device)
        return _workers[key].do(task)
