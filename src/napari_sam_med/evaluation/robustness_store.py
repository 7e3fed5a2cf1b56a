"""The folder of a visit to the lab: rows that survive any interruption, and what is left to do.

``robustness.csv`` gets rows, ``robustness_progress.jsonl`` a line for every slice whose rows are all written. Started
again with the same settings and weights, slices that are finished without an error keep their rows and the others are
done again, as are cases whose files changed. Anything else in the way goes into ``earlier-N``. All files begin with
"robustness", so that the folder may hold the scores of ``evaluate`` as well.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from napari_sam_med.core.errors import OutputError
from napari_sam_med.evaluation.identity import case_stamp, settings_key
from napari_sam_med.evaluation.journal import (
    CasePlan,
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
from napari_sam_med.evaluation.robustness_config import RobustnessConfig
from napari_sam_med.evaluation.robustness_rows import COLUMNS, LabRow

ROWS = "robustness.csv"
PROGRESS = "robustness_progress.jsonl"
_OWN = "robustness*"


class LabStore:
    """Where the rows go. Use as a context manager.

    Parameters
    ----------
    folder : Path
        Exists.
    config : RobustnessConfig

    Attributes
    ----------
    n_kept : int
        Rows kept from an earlier start.
    set_aside : str
        Folder that results of other settings went to; "" if there were none.
    plans : dict of str to CasePlan
        Of the cases that were opened, in this start or an earlier one.
    fingerprints : dict of str to str
        Of the models that were loaded, likewise.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path, config: RobustnessConfig) -> None:
        self.folder = folder
        self.n_kept = 0
        self.set_aside = ""
        self.plans: dict[str, CasePlan] = {}
        self.fingerprints: dict[str, str] = {}
        self._stamps = {case.id: case_stamp(case) for case in config.evaluation.cases}
        self._finished: set[Place] = set()
        own = {**config.describe(), "cases": None}
        settings = json.dumps([settings_key(config.evaluation), own, COLUMNS], sort_keys=True)
        try:
            self._begin(settings)
            self._rows = (folder / ROWS).open("a", newline="", encoding="utf-8")
            self._journal = (folder / PROGRESS).open("a", encoding="utf-8")
        except OSError as error:
            raise _cannot_write(str(folder), error) from error
        self._csv = csv.DictWriter(self._rows, COLUMNS)

    def __enter__(self) -> LabStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()
        self._journal.close()

    def left(self, case: str, plan: CasePlan) -> list[Unit]:
        """Slices of a case that are still to be done."""
        return [unit for unit in plan.units if (case, *unit) not in self._finished]

    def done(self, case: str) -> bool:
        """Whether an earlier start finished a case, so that it need not be opened again."""
        return case in self.plans and not self.left(case, self.plans[case])

    def planned(self, case: str, plan: CasePlan) -> None:
        """Write down what a case holds."""
        self.plans[case] = plan
        self._note(case_line(case, self._stamps.get(case, ""), plan))

    def used(self, fingerprints: Mapping[str, str]) -> None:
        """Write down which models were loaded."""
        if not fingerprints.items() <= self.fingerprints.items():
            self.fingerprints.update(fingerprints)
            self._note({"models": dict(fingerprints)})

    def write(self, row: LabRow) -> None:
        """Append a row and hand it to the system."""
        try:
            self._csv.writerow({name: _plain(value) for name, value in row.as_dict().items()})
            self._rows.flush()
        except OSError as error:
            raise _cannot_write(ROWS, error) from error

    def finish(self, case: str, unit: Unit, n_rows: int) -> None:
        """Write down that all rows of a slice are written."""
        self._finished.add((case, *unit))
        self._note(done_line(case, unit, n_rows))

    def _note(self, line: Mapping[str, Any]) -> None:
        try:
            self._journal.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._journal.flush()
        except OSError as error:
            raise _cannot_write(PROGRESS, error) from error

    def _begin(self, settings: str) -> None:
        """Go on with the same run, or put what is in the way aside and start anew."""
        rows, journal = self.folder / ROWS, self.folder / PROGRESS
        lines = json_lines(journal)
        if next(lines, {}).get("settings") != settings or not rows.exists():
            self._move_aside()
            _write_header(rows)
            write_lines(journal, [{"settings": settings}])
            return
        past = read_past(lines)
        same = {case for case, stamp in past.stamps.items() if stamp == self._stamps.get(case)}
        self._finished = finished_places(rows, COLUMNS, past, same)
        self.n_kept = keep_rows(rows, COLUMNS, self._finished)
        rewrite_journal(journal, past, self._finished, same)
        self.fingerprints = past.fingerprints
        self.plans = {case: plan for case, plan in past.plans.items() if case in same}

    def _move_aside(self) -> None:
        present = sorted(self.folder.glob(_OWN))
        if present:
            aside = new_aside(self.folder)
            for path in present:
                os.replace(path, aside / path.name)
            self.set_aside = aside.name


def _write_header(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(COLUMNS)


def _plain(value: Any) -> Any:
    """NaN and None as an empty cell; floats in full; a sentence on one line."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return " ".join(value.split()) if isinstance(value, str) else value


def _cannot_write(name: str, error: OSError) -> OutputError:
    return OutputError(
        f"{name} cannot be written: {error.strerror or error}. Choose another folder or free space."
    )
