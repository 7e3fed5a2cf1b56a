"""The folder of a run: scores that survive any interruption, and what is left to do.

``scores.csv`` gets rows, ``progress.jsonl`` a line for every slice whose rows are all written. A run that is started
again keeps the rows of those slices and scores the others; half-written lines, slices with errors, and cases whose
files changed meanwhile are scored again. Results of other settings or other weights are moved into ``earlier-N``;
rows of cases that are not asked for any more are left out, after a copy of everything went there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from napari_sam_med.core.errors import InputError, OutputError
from napari_sam_med.evaluation.atlas import Atlas, Failure, load_failures, merge
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.identity import case_stamp, settings_key
from napari_sam_med.evaluation.journal import (
    CasePlan,
    Past,
    case_line,
    done_line,
    finished_places,
    json_lines,
    keep_rows,
    new_aside,
    read_past,
    rewrite_journal,
    write_lines,
)
from napari_sam_med.evaluation.opened import Unit
from napari_sam_med.evaluation.rows import ScoreRow
from napari_sam_med.evaluation.table import RowWriter, columns

SCORES = "scores.csv"
PROGRESS = "progress.jsonl"
WORST = "worst"
_FIGURES = ("dice_*.png", "dice_*.svg", "factors_*.png", "factors_*.svg")
_OWN = (SCORES, PROGRESS, WORST, "run.json", "summary.csv", *_FIGURES)


class RunStore:
    """Where the rows of a run go. Use as a context manager.

    Parameters
    ----------
    folder : Path
        Exists.
    config : EvaluationConfig

    Attributes
    ----------
    n_kept : int
        Rows kept from an earlier start.
    set_aside : str
        Folder that earlier results went to; "" if there were none to keep out of the way.
    why_aside : str
        A sentence about it.
    atlas : Atlas
        The worst answers.
    plans : dict of str to CasePlan
        Of the cases that were opened, in this start or an earlier one.
    fingerprints : dict of str to str
        Of the models that were loaded, likewise.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path, config: EvaluationConfig) -> None:
        self.folder = folder
        self.n_kept = 0
        self.set_aside = self.why_aside = ""
        self.atlas = Atlas(rule="score" if "score" in config.rules else config.rules[0])
        self._stamps = {case.id: case_stamp(case) for case in config.cases}
        self._finished: dict[str, set[Unit]] = {}
        self.plans: dict[str, CasePlan] = {}
        self.fingerprints: dict[str, str] = {}
        settings = settings_key(config)
        try:
            past = self._past(settings)
            if past is None:
                self._start(settings)
            else:
                self._copy_if_cases_go(past)
                self._resume(past)
        except OSError as error:
            raise OutputError(
                f"{folder} cannot be written: {error.strerror or error}. Choose another folder or free space."
            ) from error
        self._writer = RowWriter(folder / SCORES, append=True)
        self._journal = (folder / PROGRESS).open("a", encoding="utf-8")

    def __enter__(self) -> RunStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)
        self._journal.close()
        self.atlas.save(self.folder / WORST)

    def left(self, case: str, plan: CasePlan) -> list[Unit]:
        """Slices of a case that are still to be scored."""
        finished = self._finished.get(case, set())
        return [unit for unit in plan.units if unit not in finished]

    def known_plan(self, case: str) -> CasePlan | None:
        """The plan of a case if an earlier start finished it, so that it need not be opened again."""
        plan = self.plans.get(case)
        return plan if plan is not None and not self.left(case, plan) else None

    def planned(self, case: str, plan: CasePlan) -> None:
        """Write down what a case holds."""
        self.plans[case] = plan
        self._note(case_line(case, self._stamps.get(case, ""), plan))

    def used(self, fingerprints: Mapping[str, str]) -> None:
        """Write down which models were loaded.

        Raises
        ------
        InputError
            If a model has other weights than in the rows so far: those of one worker differ from those of another.
        """
        for name, value in fingerprints.items():
            if self.fingerprints.get(name, value) != value:
                raise InputError(
                    f"The model {name} has not the same weights on all workers; install one version everywhere, "
                    "and start again in an empty folder."
                )
        new = {name: value for name, value in fingerprints.items() if self.fingerprints.get(name) != value}
        if new:
            self.fingerprints.update(new)
            self._note({"models": new})

    def write(self, row: ScoreRow) -> None:
        """Append a row."""
        self._writer.write(row)

    def finish(self, case: str, unit: Unit, n_rows: int) -> None:
        """Write down that all rows of a slice are written; the pictures of its failures are safe before that."""
        self.atlas.save(self.folder / WORST)
        self._finished.setdefault(case, set()).add(unit)
        self._note(done_line(case, unit, n_rows))

    def keep_failures(self, failures: list[Failure]) -> None:
        """Offer the worst answers of a part of the run to the atlas."""
        merge(self.atlas, failures)

    def _note(self, line: Mapping[str, Any]) -> None:
        try:
            self._journal.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._journal.flush()
        except OSError as error:
            raise OutputError(
                f"{PROGRESS} cannot be written: {error.strerror or error}. Free space or choose another folder; "
                "the same command goes on from here."
            ) from error

    def _past(self, settings: str) -> Past | None:
        """The journal of the same run, if the folder has it; anything else in the way is moved aside."""
        lines = json_lines(self.folder / PROGRESS)
        first = next(lines, {})
        if first.get("settings") == settings and (self.folder / SCORES).exists():
            return read_past(lines)
        if self._present():
            self._aside(os.replace, "The folder held results of other settings or weights; they were moved")
        return None

    def _copy_if_cases_go(self, past: Past) -> None:
        """Rows of cases that are not asked for now would be lost in :meth:`_resume`."""
        if any(case not in self._stamps for case, *_ in past.rows):
            self._aside(_copy, "The folder held rows of other cases; a copy of all results was put")

    def _aside(self, put: Callable[[Path, Path], object], what: str) -> None:
        aside = new_aside(self.folder)
        for path in self._present():
            put(path, aside / path.name)
        self.set_aside, self.why_aside = aside.name, f"{what} into {aside.name}."

    def _present(self) -> list[Path]:
        """Files of an earlier run."""
        return sorted(path for pattern in _OWN for path in self.folder.glob(pattern))

    def _start(self, settings: str) -> None:
        with RowWriter(self.folder / SCORES):
            pass
        write_lines(self.folder / PROGRESS, [{"settings": settings}])

    def _resume(self, past: Past) -> None:
        """Keep the rows of finished slices, drop the rest, and begin a journal that says just that."""
        scores = self.folder / SCORES
        same = {case for case, stamp in past.stamps.items() if stamp == self._stamps.get(case)}
        keep = finished_places(scores, columns(), past, same)
        self.n_kept = keep_rows(scores, columns(), keep)
        rewrite_journal(self.folder / PROGRESS, past, keep, same)
        for case, axis, index in keep:
            self._finished.setdefault(case, set()).add((axis, index))
        self.fingerprints = dict(past.fingerprints)
        self.plans = {case: plan for case, plan in past.plans.items() if case in same}
        merge(self.atlas, load_failures(self.folder / WORST))
        self.atlas.drop(lambda failure: (failure.case, failure.axis, failure.slice) in keep)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


@dataclass(frozen=True)
class Journal:
    """What the journal of a run says, for whoever only reads its folder.

    Attributes
    ----------
    config : dict
        ``EvaluationConfig.describe()`` without the cases; empty if it is not known.
    fingerprints : dict of str to str
        Of the models that were loaded.
    facts : dict of str to dict
        Facts of every case that was opened.
    n_done, n_planned : int
        Slices whose rows are all written, and slices of the opened cases.
    """

    config: dict[str, Any]
    fingerprints: dict[str, str]
    facts: dict[str, dict[str, Any]]
    n_done: int
    n_planned: int


def read_journal(folder: Path) -> Journal | None:
    """The journal of a run; None if the folder has none."""
    lines = json_lines(folder / PROGRESS)
    first = next(lines, None)
    if first is None:
        return None
    try:
        config = json.loads(first["settings"])[2]
    except (KeyError, ValueError, IndexError, TypeError):
        config = {}
    past = read_past(lines)
    planned = {(case, *unit) for case, plan in past.plans.items() for unit in plan.units}
    facts = {case: {**plan.facts, "n_slices": len(plan.units)} for case, plan in past.plans.items()}
    done = planned & set(past.rows)
    return Journal(
        config if isinstance(config, dict) else {}, past.fingerprints, facts, len(done), len(planned)
    )
