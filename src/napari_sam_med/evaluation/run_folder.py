"""A folder that a run writes a table into: rows that survive any interruption, and what is left to do.

The table gets rows, the journal a line for every slice whose rows are all written. Started again with the same settings
and weights, the rows of those slices are kept; half-written lines, slices with errors, and cases whose files changed
meanwhile are done again. Results of other settings or other weights are moved into ``earlier-N``; rows of cases that
are not asked for any more are left out, after a copy of everything went there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_sam_med.core.errors import InputError, OutputError
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.identity import case_stamp
from napari_sam_med.evaluation.journal import (
    CasePlan,
    Past,
    Place,
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


@dataclass(frozen=True)
class Layout:
    """What the files of a kind of run are called.

    Attributes
    ----------
    table, journal : str
    columns : sequence of str
        Of the table.
    own : tuple of str
        Patterns of all files of such a run.
    """

    table: str
    journal: str
    columns: Sequence[str]
    own: tuple[str, ...]


class RunFolder:
    """The journal of a run, and what it says of an earlier start. :meth:`begin` before anything else.

    Parameters
    ----------
    folder : Path
        Exists.
    layout : Layout
    config : EvaluationConfig
        Says which cases there are.

    Attributes
    ----------
    n_kept : int
        Rows kept from an earlier start.
    set_aside : str
        Folder that earlier results went to; "" if there were none to keep out of the way.
    why_aside : str
        A sentence about it.
    plans : dict of str to CasePlan
        Of the cases that were opened, in this start or an earlier one.
    fingerprints : dict of str to str
        Of the models that were loaded, likewise.
    finished : set of Place
        Slices whose rows are all written.
    """

    def __init__(self, folder: Path, layout: Layout, config: EvaluationConfig) -> None:
        self.folder = folder
        self.n_kept = 0
        self.set_aside = self.why_aside = ""
        self.plans: dict[str, CasePlan] = {}
        self.fingerprints: dict[str, str] = {}
        self.finished: set[Place] = set()
        self._layout = layout
        self._stamps = {case.id: case_stamp(case) for case in config.cases}

    def begin(self, settings: str, write_header: Callable[[Path], None]) -> bool:
        """Go on with the run of the same settings, or start anew; says which.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        try:
            past = self._past(settings)
            if past is None:
                write_header(self.folder / self._layout.table)
                write_lines(self.folder / self._layout.journal, [{"settings": settings}])
            else:
                self._copy_if_cases_go(past)
                self._resume(past)
            self._journal = (self.folder / self._layout.journal).open("a", encoding="utf-8")
        except OSError as error:
            raise cannot_write(str(self.folder), error) from error
        return past is not None

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def left(self, case: str, plan: CasePlan) -> list[Unit]:
        """Slices of a case that are still to be done."""
        return [unit for unit in plan.units if (case, *unit) not in self.finished]

    def done(self, case: str) -> bool:
        """Whether an earlier start finished a case, so that it need not be opened again."""
        return case in self.plans and not self.left(case, self.plans[case])

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

    def finish(self, case: str, unit: Unit, n_rows: int) -> None:
        """Write down that all rows of a slice are written."""
        self.finished.add((case, *unit))
        self._note(done_line(case, unit, n_rows))

    def _note(self, line: Mapping[str, Any]) -> None:
        try:
            self._journal.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._journal.flush()
        except OSError as error:
            raise OutputError(
                f"{self._layout.journal} cannot be written: {error.strerror or error}. Free space or choose another "
                "folder; the same command goes on from here."
            ) from error

    def _past(self, settings: str) -> Past | None:
        """The journal of the same run, if the folder has it; anything else in the way is moved aside."""
        lines = json_lines(self.folder / self._layout.journal)
        first = next(lines, {})
        if first.get("settings") == settings and (self.folder / self._layout.table).exists():
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
        return sorted(path for pattern in self._layout.own for path in self.folder.glob(pattern))

    def _resume(self, past: Past) -> None:
        """Keep the rows of finished slices, drop the rest, and begin a journal that says just that."""
        table, columns = self.folder / self._layout.table, self._layout.columns
        same = {case for case, stamp in past.stamps.items() if stamp == self._stamps.get(case)}
        self.finished = set(finished_places(table, columns, past, same))
        self.n_kept = keep_rows(table, columns, self.finished)
        rewrite_journal(self.folder / self._layout.journal, past, self.finished, same)
        self.fingerprints = dict(past.fingerprints)
        self.plans = {case: plan for case, plan in past.plans.items() if case in same}


def cannot_write(name: str, error: OSError) -> OutputError:
    """The sentence for a file or folder that cannot be written."""
    return OutputError(
        f"{name} cannot be written: {error.strerror or error}. Choose another folder or free space."
    )


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
