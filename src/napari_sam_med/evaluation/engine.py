"""A run from its configuration to a full folder: alone, by several processes, or on a cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from napari_sam_med.evaluation.config import Case, EvaluationConfig
from napari_sam_med.evaluation.executors import Executor, Lost
from napari_sam_med.evaluation.journal import CasePlan
from napari_sam_med.evaluation.opened import Unit
from napari_sam_med.evaluation.rows import ScoreRow
from napari_sam_med.evaluation.runner import error_sentence
from napari_sam_med.evaluation.store import RunStore
from napari_sam_med.evaluation.work import Result, Task, Worker, plan_of

CHUNK = 8
"""Slices of a task: what is lost with a worker, and what one message carries."""


@dataclass(frozen=True)
class Planned:
    """A case was opened, or was finished before: so many rows are to come."""

    case: str
    n_rows: int


@dataclass(frozen=True)
class Written:
    """Rows were written."""

    n_rows: int
    what: str


Step = Planned | Written


@dataclass
class Run:
    """Carries out a configuration and writes to a store. Iterate over :meth:`steps`; stopping is safe at any time.

    Attributes
    ----------
    config : EvaluationConfig
    store : RunStore
    device : str
    """

    config: EvaluationConfig
    store: RunStore
    device: str = "auto"
    _told: set[tuple[str, ...]] = field(default_factory=set)

    def steps(self, executor: Executor | None = None) -> Generator[Step]:
        """Do what is left; with an executor elsewhere, else here, row by row."""
        return self._alone() if executor is None else self._shared(executor)

    def _waiting(self) -> Iterator[Case]:
        return (case for case in self.config.cases if not self.store.done(case.id))

    def _alone(self) -> Generator[Step]:
        worker = Worker(self.config, self.device)
        for case in self._waiting():
            yield from self._case_alone(worker, case)

    def _case_alone(self, worker: Worker, case: Case) -> Generator[Step]:
        try:
            plan = plan_of(worker.open(case))
        except Exception as error:
            self._write_error(ScoreRow(case.id, error=error_sentence(error, case)))
            yield Written(1, case.id)
            return
        self.store.planned(case.id, plan)
        left = self.store.left(case.id, plan)
        yield Planned(case.id, sum(plan.units[unit] for unit in left))
        for unit in left:
            n_rows = 0
            for row in worker.rows(case, unit, self.store.atlas):
                n_rows += self._write(row)
                yield Written(1, f"{row.case} {row.axis} {'' if row.slice is None else row.slice}")
            self.store.used(worker.models.fingerprints)
            self.store.finish(case.id, unit, n_rows)

    def _shared(self, executor: Executor) -> Generator[Step]:
        cases = self._waiting()
        parts: deque[Task] = deque()
        while True:
            while executor.pending < executor.slots:
                task = parts.popleft() if parts else next((Task(case) for case in cases), None)
                if task is None:
                    break
                executor.submit(task)
            if not executor.pending:
                return
            task, result = executor.next()
            if isinstance(result, Lost):
                yield self._lost(task, result)
            elif result.plan is not None:
                yield self._planned(task.case, result.plan, parts)
            else:
                yield self._scored(task, result)

    def _planned(self, case: Case, plan: CasePlan, parts: deque[Task]) -> Step:
        self.store.planned(case.id, plan)
        left = self.store.left(case.id, plan)
        parts.extend(Task(case, tuple(left[k : k + CHUNK])) for k in range(0, len(left), CHUNK))
        return Planned(case.id, sum(plan.units[unit] for unit in left))

    def _scored(self, task: Task, result: Result) -> Step:
        self.store.used(result.fingerprints or {})  # before any row of other weights is written
        counts = dict.fromkeys(task.units, 0)
        for row in result.rows:
            n_rows = self._write(row)
            if row.slice is not None:
                counts[row.axis, row.slice] += n_rows
        self.store.keep_failures(list(result.failures))
        for unit, n_rows in counts.items():
            if n_rows:
                self.store.finish(task.case.id, unit, n_rows)
        return Written(len(result.rows), task.case.id)

    def _lost(self, task: Task, lost: Lost) -> Step:
        places: list[Unit | None] = list(task.units) or [None]
        for unit in places:
            axis, index = unit or ("", None)
            self._write_error(ScoreRow(task.case.id, axis, index, error=str(lost)))
        return Written(len(places), task.case.id)

    def _write(self, row: ScoreRow) -> int:
        """Write a row and say how many belong to its slice; a model that cannot be loaded is told of once a case."""
        if row.slice is None:
            self._write_error(row)
            return 0
        self.store.write(row)
        return 1

    def _write_error(self, row: ScoreRow) -> None:
        key = (row.case, row.axis, str(row.slice), row.model, row.error)
        if key not in self._told:
            self._told.add(key)
            self.store.write(row)
