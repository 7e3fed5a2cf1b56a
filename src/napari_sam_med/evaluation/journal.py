"""What a run that was interrupted left behind: which slices are finished, and which rows of its table are whole.

A journal has one JSON object a line: the settings first, then cases with their slices, models, and finished slices
with their number of rows. Tables and journals are only appended to while a run goes on, so whatever ends it leaves at
most one line that is not whole.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_sam_med.evaluation.opened import Unit

Place = tuple[str, str, int]
"""Case, axis, slice; the slice is -1 for rows about a whole case."""


@dataclass
class CasePlan:
    """What is known of a case once it was opened: its slices with their number of rows, and facts for the report."""

    units: dict[Unit, int]
    facts: dict[str, Any]


@dataclass
class Past:
    """What the journal of an earlier start says.

    Attributes
    ----------
    stamps : dict of str to str
        Of the files of each case.
    plans : dict of str to CasePlan
    rows : dict of Place to int
        Rows of each finished slice.
    fingerprints : dict of str to str
        Of the models that were loaded.
    """

    stamps: dict[str, str] = field(default_factory=dict)
    plans: dict[str, CasePlan] = field(default_factory=dict)
    rows: dict[Place, int] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a file with one a line; ends at the first line that is not whole."""
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                if not line.endswith("\n"):
                    return
                try:
                    value = json.loads(line)
                except ValueError:
                    return
                if isinstance(value, dict):
                    yield value
    except (OSError, UnicodeDecodeError):
        return


def read_past(lines: Iterator[dict[str, Any]]) -> Past:
    """The lines of a journal put together."""
    past = Past()
    for line in lines:
        if "case" in line:
            case = line["case"]
            past.stamps[case] = line["stamp"]
            past.plans[case] = CasePlan({(axis, i): n for axis, i, n in line["units"]}, line["facts"])
        elif "done" in line:
            past.rows[tuple(line["done"])] = line["rows"]
        elif "models" in line:
            past.fingerprints.update(line["models"])
    return past


def case_line(case: str, stamp: str, plan: CasePlan) -> dict[str, Any]:
    """The journal's line about a case."""
    units = [[*unit, n_rows] for unit, n_rows in plan.units.items()]
    return {"case": case, "stamp": stamp, "units": units, "facts": plan.facts}


def done_line(case: str, unit: Unit, n_rows: int) -> dict[str, Any]:
    """The journal's line about a finished slice."""
    return {"done": [case, *unit], "rows": n_rows}


def write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Begin a journal with some lines; it is there in full or not at all."""
    partial = path.with_name(path.name + ".part")
    with partial.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    os.replace(partial, path)


def rewrite_journal(path: Path, past: Past, keep: Collection[Place], same: Collection[str]) -> None:
    """Leave of a journal the settings, the models, the cases in `same` and the slices in `keep`."""
    lines: list[Mapping[str, Any]] = [next(json_lines(path)), {"models": past.fingerprints}]
    lines += [case_line(case, past.stamps[case], plan) for case, plan in past.plans.items() if case in same]
    lines += [
        done_line(case, (axis, index), past.rows[case, axis, index]) for case, axis, index in sorted(keep)
    ]
    write_lines(path, lines)


def finished_places(path: Path, names: Sequence[str], past: Past, same: Collection[str]) -> set[Place]:
    """Slices whose rows are all in a table, without an error; of cases in `same` alone.

    Parameters
    ----------
    path : Path
        The table, with the columns case, axis, slice and error.
    names : sequence of str
        Its columns.
    past : Past
    same : collection of str
        Cases whose files are what they were.
    """
    written: Counter[Place] = Counter()
    broken: set[Place] = set()
    for _, row in _whole_rows(path, names):
        place = _place(row)
        written[place] += 1
        if row["error"]:
            broken.add(place)
    # an error of the whole case or of a model leaves all its slices incomplete
    failed = {case for case, axis, _ in broken if not axis}
    return {
        place
        for place, n_rows in past.rows.items()
        if written[place] == n_rows and place not in broken and place[0] in same and place[0] not in failed
    }


def keep_rows(path: Path, names: Sequence[str], keep: Collection[Place]) -> int:
    """Leave of a table the rows of some slices, and say how many these are."""
    n_kept = 0
    partial = path.with_name(path.name + ".part")
    with partial.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(names)
        for values, row in _whole_rows(path, names):
            if _place(row) in keep:
                out.writerow(values)
                n_kept += 1
    os.replace(partial, path)
    return n_kept


def new_aside(folder: Path) -> Path:
    """Make the first of ``earlier-1``, ``earlier-2``, ... that is free."""
    number = 1
    while (folder / f"earlier-{number}").exists():
        number += 1
    aside = folder / f"earlier-{number}"
    aside.mkdir()
    return aside


def _whole_rows(path: Path, names: Sequence[str]) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Whole rows of a table, as they are and by column."""
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.reader(line for line in file if line.endswith("\n"))
        try:
            next(reader, None)
            for values in reader:
                if len(values) == len(names):
                    yield values, dict(zip(names, values, strict=True))
        except csv.Error:
            return


def _place(row: Mapping[str, str]) -> Place:
    index = row["slice"]
    return (row["case"], row["axis"], int(index) if index.isdigit() else -1)
