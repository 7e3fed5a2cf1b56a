"""The folder of an evaluation as a report needs it: scores, settings, worst answers, under names that may be shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from napari_sam_med.core.errors import InputError
from napari_sam_med.evaluation.atlas import Failure, load_failures
from napari_sam_med.evaluation.baselines import BASELINES
from napari_sam_med.evaluation.report_blocks import count
from napari_sam_med.evaluation.report_names import case_names, scrub
from napari_sam_med.evaluation.robustness_rows import read_lab_table
from napari_sam_med.evaluation.robustness_store import ROWS as LAB
from napari_sam_med.evaluation.store import INFO, SCORES, WORST, Journal, read_journal
from napari_sam_med.evaluation.table import TEXTS, WHOLE, columns, read_table

LAB_INFO = "robustness.json"
_IDENTITY = ["case", "axis", "slice", "label", "model", "strategy", "rule"]


@dataclass(frozen=True)
class ReportData:
    """All that a report is made from; cases have the names of the report.

    Attributes
    ----------
    table : DataFrame
        All rows, those with an error too.
    scored : DataFrame
        Rows of a model without an error.
    info : dict
        What ``run.json`` says, or what could be gathered in its place.
    failures : list of Failure
        The worst answers, worst first.
    lab : DataFrame, optional
        Rows of the robustness lab.
    lab_info : dict
        What ``robustness.json`` says.
    names : dict of str to str
        Names of cases in the report, by their ids.
    partial : str
        What of the run is missing, in a sentence; "" if it is whole.
    missing : list of str
        Columns that the table of scores lacks.
    """

    table: pd.DataFrame
    scored: pd.DataFrame
    info: dict[str, Any]
    failures: list[Failure]
    lab: pd.DataFrame | None
    names: dict[str, str]
    partial: str = ""
    missing: list[str] = field(default_factory=list)
    lab_info: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, as far as it is known."""
        return dict(self.info.get("config") or {})

    @property
    def models(self) -> list[str]:
        """Models with scores, in order."""
        return list(dict.fromkeys(self.scored["model"]))

    @property
    def strategies(self) -> list[str]:
        """Strategies with scores, in order."""
        return list(dict.fromkeys(self.scored["strategy"]))

    @property
    def rules(self) -> list[str]:
        """Rules with scores, what users get first."""
        return sorted(dict.fromkeys(self.scored["rule"]), key=lambda rule: rule != "score")

    @property
    def rule(self) -> str:
        """The rule that figures show: what users get, if it was applied."""
        return self.rules[0] if self.rules else ""

    @property
    def model(self) -> str:
        """The model that detailed figures show: the first that is no baseline."""
        own = [model for model in self.models if model not in BASELINES]
        return (own or self.models or [""])[0]

    @property
    def n_volumes(self) -> int:
        """Volumes with scores."""
        return int(self.scored["case"].nunique())

    def rows(self, rule: str = "", model: str = "", strategy: str = "") -> pd.DataFrame:
        """Scored rows of a rule, a model and a strategy, where given."""
        found = self.scored
        for name, value in (("rule", rule), ("model", model), ("strategy", strategy)):
            if value:
                found = found[found[name] == value]
        return found


def load_report_data(folder: Path, robustness: Path | None = None, naming: str = "auto") -> ReportData:
    """Read the output folder of ``evaluate``, finished or not.

    Parameters
    ----------
    folder : Path
        With ``scores.csv``; ``run.json``, journal, worst answers and ``robustness.csv`` are taken where they are.
    robustness : Path, optional
        Folder of the robustness lab; by default `folder` or one inside it.
    naming : str
        See ``report_names.NAMINGS``.

    Raises
    ------
    InputError
        If the folder or its table of scores is missing or cannot be read.
    """
    if not (folder / SCORES).is_file():
        raise InputError(
            f"There is no {SCORES} in {folder.name or folder}; give the folder that `evaluate` wrote (its -o)."
        )
    table = read_table(folder / SCORES)
    missing = [name for name in columns() if name not in table.columns]
    table = _complete(table, missing)
    journal = read_journal(folder)
    info, whole = _info(folder / INFO, journal)
    lab_folder = _lab_folder(folder, robustness)
    lab = None if lab_folder is None else read_lab_table(lab_folder / LAB)
    lab_info = {} if lab_folder is None else _json(lab_folder / LAB_INFO)
    ids = list(dict.fromkeys([*table["case"], *(lab["case"] if lab is not None else ())]))
    known = [
        case for each in (lab_info.get("config") or {}, info["config"]) for case in each.get("cases") or ()
    ]
    names = case_names(ids, {"cases": known}, naming)
    table["case"] = table["case"].map(names)
    table["error"] = [scrub(error, {"cases": known}, names) if error else "" for error in table["error"]]
    if lab is not None:
        lab = lab.assign(case=lab["case"].map(names))
    failures = [replace(f, case=names[f.case]) for f in load_failures(folder / WORST) if f.case in names]
    scored = table[(table["error"] == "") & (table["model"] != "")]
    scored = scored.drop_duplicates(_IDENTITY, keep="last")
    partial = _partial(info, journal, whole, len(scored))
    return ReportData(table, scored, info, failures, lab, names, partial, missing, lab_info)


def _complete(table: pd.DataFrame, missing: list[str]) -> pd.DataFrame:
    """The table with the columns that an older version, or a spreadsheet, left out; they hold nothing."""
    for name in missing:
        if name in TEXTS:
            table[name] = ""
        else:
            table[name] = pd.array([pd.NA] * len(table), "Int64") if name in WHOLE else float("nan")
    return table


def _info(path: Path, journal: Journal | None) -> tuple[dict[str, Any], bool]:
    """What ``run.json`` says, filled up from the journal, and whether there was one."""
    info = _json(path)
    whole = bool(info)
    if journal is not None:
        info.setdefault("config", journal.config)
        info.setdefault("models", journal.fingerprints)
        info.setdefault("cases", journal.facts)
    info["config"] = info.get("config") or {}
    return info, whole


def _partial(info: Mapping[str, Any], journal: Journal | None, whole: bool, n_scored: int) -> str:
    unfinished = journal.n_planned - journal.n_done if journal is not None else 0
    cases = info["config"].get("cases") or []
    opened = set(info.get("cases") or {})
    failed = info.get("stopped") is False  # then what was not opened could not be
    waiting = 0 if failed else sum(1 for case in cases if case.get("id") not in opened)
    if whole and not info.get("stopped") and not unfinished:
        return ""
    if not whole and journal is None:
        return "The folder holds scores alone: its settings are not known, nor whether they are complete."
    left = [count(unfinished, "slice")] * bool(unfinished) + [count(waiting, "case")] * bool(waiting)
    what = f" Still to be scored: {' and '.join(left)}." if left else ""
    if not whole:
        what += " Whether there are cases that it had not opened is not known."
    return f"This run was interrupted; the report covers the {n_scored:,} rows that it had finished.{what}"


def _lab_folder(folder: Path, robustness: Path | None) -> Path | None:
    """Where the lab's rows are."""
    if robustness is not None:
        if not (robustness / LAB).is_file():
            raise InputError(f"There is no {LAB} in {robustness.name or robustness}; give the lab's folder.")
        return robustness
    for path in (folder / LAB, *sorted(folder.glob(f"*/{LAB}"))):
        if path.is_file() and not path.parent.name.startswith("earlier-"):
            return path.parent
    return None


def _json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is none."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}
