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
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from napari_sam_med.core.errors import OutputError
from napari_sam_med.evaluation.identity import case_stamp, settings_key
from napari_sam_med.evaluation.opened import Unit
from napari_sam_med.evaluation.robustness_config import RobustnessConfig
from napari_sam_med.evaluation.robustness_rows import COLUMNS, LabRow

ROWS = "robustness.csv"
PROGRESS = "robustness_progress.jsonl"
_OWN = "robustness*"

Place = tuple[str, str, int]


@dataclass
class LabPlan:
    """What is known of a case once it was opened: rows of each of its slices, and facts for the report."""

    units: dict[Unit, int]
    facts: dict[str, Any]


@dataclass
class _Past:
    """What the journal of an earlier start says."""

    stamps: dict[str, str] = field(default_factory=dict)
    plans: dict[str, LabPlan] = field(default_factory=dict)
    rows: dict[Place, int] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)


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
    plans : dict of str to LabPlan
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
        self.plans: dict[str, LabPlan] = {}
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

    def left(self, case: str, plan: LabPlan) -> list[Unit]:
        """Slices of a case that are still to be done."""
        return [unit for unit in plan.units if (case, *unit) not in self._finished]

    def done(self, case: str) -> bool:
        """Whether an earlier start finished a case, so that it need not be opened again."""
        return case in self.plans and not self.left(case, self.plans[case])

    def planned(self, case: str, plan: LabPlan) -> None:
        """Write down what a case holds."""
        self.plans[case] = plan
        self._note(_case_line(case, self._stamps.get(case, ""), plan))

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
        self._note({"done": [case, *unit], "rows": n_rows})

    def _note(self, line: Mapping[str, Any]) -> None:
        try:
            self._journal.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._journal.flush()
        except OSError as error:
            raise _cannot_write(PROGRESS, error) from error

    def _begin(self, settings: str) -> None:
        lines = _json_lines(self.folder / PROGRESS)
        same = next(lines, {}).get("settings") == settings and (self.folder / ROWS).exists()
        past = _read_past(lines) if same else _Past()
        if not same:
            self._move_aside()
            _rewrite(self.folder / ROWS, [COLUMNS])
        keep = self._keep(past) if same else set()
        self._finished = keep
        self.fingerprints = past.fingerprints
        known = {case for case, stamp in past.stamps.items() if self._stamps.get(case) == stamp}
        self.plans = {case: plan for case, plan in past.plans.items() if case in known}
        journal: list[Mapping[str, Any]] = [{"settings": settings}, {"models": past.fingerprints}]
        journal += [_case_line(case, past.stamps[case], plan) for case, plan in self.plans.items()]
        journal += [{"done": list(place), "rows": past.rows[place]} for place in sorted(keep)]
        path = self.folder / PROGRESS
        partial = path.with_name(path.name + ".part")
        partial.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in journal), "utf-8")
        os.replace(partial, path)

    def _keep(self, past: _Past) -> set[Place]:
        """Keep the rows of slices that are finished, and say which these are."""
        written: Counter[Place] = Counter()
        broken: set[Place] = set()
        for row in _rows(self.folder / ROWS):
            written[_place(row)] += 1
            if row["error"]:
                broken.add(_place(row))
        # an error without a slice is about the whole case, or a model that all its slices lack
        failed = {case for case, axis, _ in broken if not axis}
        keep = {
            place
            for place, n_rows in past.rows.items()
            if written[place] == n_rows
            and place not in broken
            and place[0] not in failed
            and past.stamps.get(place[0]) == self._stamps.get(place[0])
        }
        kept = [row for row in _rows(self.folder / ROWS) if _place(row) in keep]
        self.n_kept = len(kept)
        _rewrite(self.folder / ROWS, [COLUMNS, *([row[name] for name in COLUMNS] for row in kept)])
        return keep

    def _move_aside(self) -> None:
        present = sorted(self.folder.glob(_OWN))
        if not present:
            return
        number = 1
        while (self.folder / f"earlier-{number}").exists():
            number += 1
        aside = self.folder / f"earlier-{number}"
        aside.mkdir()
        for path in present:
            os.replace(path, aside / path.name)
        self.set_aside = aside.name


def _read_past(lines: Iterator[dict[str, Any]]) -> _Past:
    past = _Past()
    for line in lines:
        if "case" in line:
            case = line["case"]
            past.stamps[case] = line["stamp"]
            past.plans[case] = LabPlan({(axis, i): n for axis, i, n in line["units"]}, line["facts"])
        elif "done" in line:
            case, axis, index = line["done"]
            past.rows[case, axis, index] = line["rows"]
        elif "models" in line:
            past.fingerprints.update(line["models"])
    return past


def _case_line(case: str, stamp: str, plan: LabPlan) -> dict[str, Any]:
    units = [[*unit, n_rows] for unit, n_rows in plan.units.items()]
    return {"case": case, "stamp": stamp, "units": units, "facts": plan.facts}


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a file with one a line; ends at the first line that is not whole."""
    try:
        lines = path.read_text("utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        try:
            value = json.loads(line) if line.endswith("\n") else None
        except ValueError:
            return
        if not isinstance(value, dict):
            return
        yield value


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Whole rows of ``robustness.csv``; a line that was cut off is left out."""
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.reader(line for line in file if line.endswith("\n"))
        next(reader, None)
        try:
            for values in reader:
                if len(values) == len(COLUMNS):
                    yield dict(zip(COLUMNS, values, strict=True))
        except csv.Error:
            return


def _place(row: Mapping[str, str]) -> Place:
    index = row["slice"]
    return (row["case"], row["axis"], int(index) if index.isdigit() else -1)


def _rewrite(path: Path, lines: Any) -> None:
    partial = path.with_name(path.name + ".part")
    with partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    os.replace(partial, path)


def _plain(value: Any) -> Any:
    """NaN and None as an empty cell; floats in full; a sentence on one line."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return " ".join(value.split()) if isinstance(value, str) else value


def _cannot_write(name: str, error: OSError) -> OutputError:
    return OutputError(
        f"{name} cannot be written: {error.strerror or error}. Choose another folder or free space."
    )
