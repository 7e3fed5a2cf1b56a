"""The folder of a visit to the lab: ``robustness.csv`` and its journal; see :mod:`.run_folder`.

All files begin with "robustness", so that the folder may hold the scores of ``evaluate`` as well.
"""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any

from napari_sam_med.evaluation.identity import settings_key
from napari_sam_med.evaluation.robustness_config import RobustnessConfig
from napari_sam_med.evaluation.robustness_rows import COLUMNS, LabRow
from napari_sam_med.evaluation.run_folder import Layout, RunFolder, cannot_write

ROWS = "robustness.csv"
PROGRESS = "robustness_progress.jsonl"
_OWN = "robustness*"


class LabStore(RunFolder):
    """Where the rows go. Use as a context manager.

    Parameters
    ----------
    folder : Path
        Exists.
    config : RobustnessConfig

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path, config: RobustnessConfig) -> None:
        super().__init__(folder, Layout(ROWS, PROGRESS, COLUMNS, (_OWN,)), config.evaluation)
        own = {**config.describe(), "cases": None}
        settings = json.dumps([settings_key(config.evaluation), own, COLUMNS], sort_keys=True)
        self.begin(settings, _write_header)
        try:
            self._rows = (folder / ROWS).open("a", newline="", encoding="utf-8")
        except OSError as error:
            raise cannot_write(str(folder), error) from error
        self._csv = csv.DictWriter(self._rows, COLUMNS)

    def __enter__(self) -> LabStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()
        self.close()

    def write(self, row: LabRow) -> None:
        """Append a row and hand it to the system."""
        try:
            self._csv.writerow({name: _plain(value) for name, value in row.as_dict().items()})
            self._rows.flush()
        except OSError as error:
            raise cannot_write(ROWS, error) from error


def _write_header(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(COLUMNS)


def _plain(value: Any) -> Any:
    """NaN and None as an empty cell; floats in full; a sentence on one line."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return " ".join(value.split()) if isinstance(value, str) else value
