"""A visit to the lab from its configuration to a full folder."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace

from napari_sam_med.core.volume import AXES
from napari_sam_med.evaluation.config import Case
from napari_sam_med.evaluation.engine import Planned, Step, Written
from napari_sam_med.evaluation.journal import CasePlan
from napari_sam_med.evaluation.opened import OpenCase, Unit, open_case
from napari_sam_med.evaluation.robustness import iter_pair_robustness
from napari_sam_med.evaluation.robustness_config import RobustnessConfig
from napari_sam_med.evaluation.robustness_rows import LabRow
from napari_sam_med.evaluation.robustness_store import LabStore
from napari_sam_med.evaluation.runner import error_sentence
from napari_sam_med.evaluation.work import Models


@dataclass
class LabRun:
    """Carries out a configuration and writes to a store. Iterate over :meth:`steps`; stopping is safe at any time.

    Attributes
    ----------
    config : RobustnessConfig
    store : LabStore
    models : Models
        Where sessions come from.
    """

    config: RobustnessConfig
    store: LabStore
    models: Models = field(default_factory=Models)
    _told: set[tuple[str, str, str]] = field(default_factory=set)

    def steps(self) -> Generator[Step]:
        """Do what is left, row by row."""
        for case in self.config.evaluation.cases:
            if not self.store.done(case.id):
                yield from self._case(case)

    def _case(self, case: Case) -> Generator[Step]:
        try:
            opened = open_case(case, self.config.evaluation)
        except Exception as error:
            self._write(LabRow(case.id, error=error_sentence(error, case)))
            yield Written(1, case.id)
            return
        plan = self._plan(opened)
        self.store.planned(case.id, plan)
        left = self.store.left(case.id, plan)
        yield Planned(case.id, sum(plan.units[unit] for unit in left))
        for unit in left:
            n_rows = 0
            for row in self._rows(opened, unit):
                n_rows += self._write(row)
                yield Written(1, f"{row.case} {row.axis} {'' if row.slice is None else row.slice} {row.lab}")
            self.store.used(self.models.fingerprints)
            self.store.finish(case.id, unit, n_rows)

    def _rows(self, opened: OpenCase, unit: Unit) -> Iterator[LabRow]:
        """Rows of one slice; one that fails as a whole is a row and ends nothing else."""
        plan = replace(opened.plan, targets=(opened.units[unit],))
        try:
            yield from iter_pair_robustness(opened.image, opened.labels, self.config, self.models, plan=plan)
        except Exception as error:
            yield LabRow(opened.case.id, *unit, error=error_sentence(error, opened.case))

    def _plan(self, opened: OpenCase) -> CasePlan:
        units = {
            (str(AXES[target.axis]), target.index): self.config.n_rows(len(target.labels))
            for target in opened.plan.targets
        }
        return CasePlan(units, opened.facts)

    def _write(self, row: LabRow) -> int:
        """Write a row and say how many belong to its slice; a model that cannot be loaded is told of once a case."""
        if row.slice is None:
            key = (row.case, row.model, row.error)
            if key in self._told:
                return 0
            self._told.add(key)
        self.store.write(row)
        return int(row.slice is not None)
