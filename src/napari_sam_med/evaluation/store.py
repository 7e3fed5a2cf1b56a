"""The folder of an evaluation: ``scores.csv``, ``progress.jsonl`` and the worst answers; see :mod:`.run_folder`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from napari_sam_med.evaluation.atlas import Atlas, Failure, atlas_rule, load_failures, merge
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.identity import settings_key
from napari_sam_med.evaluation.journal import json_lines, read_past
from napari_sam_med.evaluation.opened import Unit
from napari_sam_med.evaluation.rows import ScoreRow
from napari_sam_med.evaluation.run_folder import Layout, RunFolder
from napari_sam_med.evaluation.table import RowWriter, columns

SCORES = "scores.csv"
INFO = "run.json"
PROGRESS = "progress.jsonl"
WORST = "worst"
_FIGURES = ("dice_*.png", "dice_*.svg", "factors_*.png", "factors_*.svg")
_OWN = (SCORES, PROGRESS, WORST, INFO, "summary.csv", *_FIGURES)


class RunStore(RunFolder):
    """Where the rows of a run go. Use as a context manager.

    Parameters
    ----------
    folder : Path
        Exists.
    config : EvaluationConfig

    Attributes
    ----------
    atlas : Atlas
        The worst answers.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path, config: EvaluationConfig) -> None:
        super().__init__(folder, Layout(SCORES, PROGRESS, columns(), _OWN), config)
        self.atlas = Atlas(rule=atlas_rule(config))
        if self.begin(settings_key(config), _write_header):
            merge(self.atlas, load_failures(folder / WORST))
            self.atlas.drop(lambda failure: (failure.case, failure.axis, failure.slice) in self.finished)
        self._writer = RowWriter(folder / SCORES, append=True)

    def __enter__(self) -> RunStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)
        self.close()
        self.atlas.save(self.folder / WORST)

    def write(self, row: ScoreRow) -> None:
        """Append a row."""
        self._writer.write(row)

    def finish(self, case: str, unit: Unit, n_rows: int) -> None:
        """Write down that all rows of a slice are written; the pictures of its failures are safe before that."""
        self.atlas.save(self.folder / WORST)
        super().finish(case, unit, n_rows)

    def keep_failures(self, failures: list[Failure]) -> None:
        """Offer the worst answers of a part of the run to the atlas."""
        merge(self.atlas, failures)


def _write_header(path: Path) -> None:
    with RowWriter(path):
        pass


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
