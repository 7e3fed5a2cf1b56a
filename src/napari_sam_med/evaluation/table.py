"""The result as files: ``scores.csv`` row by row, ``run.json``, and means over it."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd

from napari_sam_med import __version__
from napari_sam_med.core.errors import InputError, OutputError
from napari_sam_med.evaluation.rows import ScoreRow
from napari_sam_med.factors import FACTORS
from napari_sam_med.metrics import METRICS

LISTS = ("candidate_dices", "candidate_ious", "click_dices")
"""Text columns that hold several numbers, with semicolons between them."""
TEXTS = ("case", "axis", "label_name", "model", "strategy", "rule", "modality", *LISTS, "error")
WHOLE = ("slice", "label", "candidate", "vessel_like", "n_candidates", "clicks_to_target")
_PACKAGES = (
    "napari-sam-med",
    "numpy",
    "scipy",
    "scikit-image",
    "pandas",
    "pyefd",
    "torch",
    "segment-anything",
)


def columns() -> list[str]:
    """Columns of the table of scores, in order: identity, metrics, factors, candidates and clicks, error."""
    return list(
        ScoreRow("", metrics=dict.fromkeys(METRICS, 0.0), factors=dict.fromkeys(FACTORS, 0.0)).as_dict()
    )


class RowWriter:
    """Writes rows to a CSV file as they come, so that whatever ends the run leaves the rows so far.

    Use as a context manager.

    Parameters
    ----------
    path : Path
    append : bool
        Go on with a file of that name, which must have the same columns, instead of replacing it.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """

    def __init__(self, path: Path, append: bool = False) -> None:
        self.path = path
        try:
            self._file = path.open("a" if append else "w", newline="", encoding="utf-8")
        except OSError as error:
            raise _cannot_write(path, error) from error
        self._csv = csv.DictWriter(self._file, columns())
        if not append:
            self._guarded(self._csv.writeheader)

    def write(self, row: ScoreRow) -> None:
        """Append one row and hand it to the system."""
        values = {name: _plain(value) for name, value in row.as_dict().items()}
        self._guarded(lambda: self._csv.writerow(values))

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _guarded(self, write: Any) -> None:
        try:
            write()
            self._file.flush()
        except OSError as error:
            raise _cannot_write(self.path, error) from error


def rows_to_table(rows: Iterable[ScoreRow]) -> pd.DataFrame:
    """Rows as a table with the types of :func:`read_table`; masks and prompts are left out."""
    return _typed(pd.DataFrame([row.as_dict() for row in rows], columns=columns()))


def read_table(path: Path) -> pd.DataFrame:
    """The table of scores that :class:`RowWriter` wrote; a last line that was cut off, by a crash say, is left out.

    Returns
    -------
    DataFrame
        Text columns hold "" where there is nothing, whole-number columns are nullable ``Int64``, others float.

    Raises
    ------
    InputError
        If the file is missing or is no table of scores.
    """
    texts = dict.fromkeys(TEXTS, str)
    try:
        table = pd.read_csv(
            _whole(path), dtype=texts, keep_default_na=False, na_values={c: [""] for c in _numbers()}
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} cannot be read as a table of scores: {error}.") from error
    missing = {"case", "model", "strategy", "rule", "error"} - set(table.columns)
    if missing:
        raise InputError(f"{path.name} is no table of scores: it lacks {', '.join(sorted(missing))}.")
    return _typed(table)


def summary(
    table: pd.DataFrame, names: Iterable[str] = ("dice", "jaccard", "hd95_mm", "assd_mm")
) -> pd.DataFrame:
    """Means for each model, strategy and rule: over the slices of an object, the objects of a case, then the cases.

    An object is a label of a case. So a large object or a large case does not outweigh the others.

    Parameters
    ----------
    table : DataFrame
        Scores, see :func:`read_table`.
    names : iterable of str
        Metrics to average, over the rows where they are finite; ``<name>_n_valid`` counts these rows.

    Returns
    -------
    DataFrame
        One row a (model, strategy, rule): n_cases, n_objects, n_rows, n_errors, then mean and n_valid of every metric.
    """
    names = list(names)
    out = []
    for key, group in table.groupby(["model", "strategy", "rule"], sort=False):
        scored = group[group["error"] == ""]
        row: dict[str, Any] = dict(zip(("model", "strategy", "rule"), key, strict=True))
        row["n_cases"] = scored["case"].nunique()
        row["n_objects"] = len(scored[["case", "label"]].drop_duplicates())
        row["n_rows"] = len(group)
        row["n_errors"] = len(group) - len(scored)
        for name in names:
            finite = scored[np.isfinite(scored[name])]
            row[name] = mean_by_case(finite, name).mean()
            row[f"{name}_n_valid"] = len(finite)
        out.append(row)
    counts = ["n_cases", "n_objects", "n_rows", "n_errors"]
    means = [column for name in names for column in (name, f"{name}_n_valid")]
    return pd.DataFrame(out, columns=["model", "strategy", "rule", *counts, *means])


def mean_by_case(table: pd.DataFrame, name: str) -> pd.Series[float]:
    """Mean of a column for each case: over the slices of an object, then over the objects."""
    by_object = table.groupby(["case", "label"], sort=False)[name].mean()
    return by_object.groupby(level="case", sort=False).mean()


def run_info(
    config: Mapping[str, Any], fingerprints: Mapping[str, str], windows: Mapping[str, str], **facts: Any
) -> dict[str, Any]:
    """What ``run.json`` says: versions, weights, windows, the configuration and further `facts`.

    Parameters
    ----------
    config : mapping
        ``EvaluationConfig.describe()``.
    fingerprints : mapping of str to str
        Of every model, by name; they contain the SHA-256 of the weights.
    windows : mapping of str to str
        Window used for every case, ``LEVEL/WIDTH``.
    """
    return {
        "napari_sam_med": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "models": dict(fingerprints),
        "windows": dict(windows),
        "config": dict(config),
        **facts,
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON under a temporary name, then rename it.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _whole(path: Path) -> Path | io.BytesIO:
    """A file, without its last line if that does not end."""
    with path.open("rb") as file:
        if file.seek(0, io.SEEK_END):
            file.seek(-1, io.SEEK_END)
            if file.read(1) == b"\n":
                return path
    content = path.read_bytes()
    return io.BytesIO(content[: content.rfind(b"\n") + 1])


def _numbers() -> list[str]:
    return [name for name in columns() if name not in TEXTS]


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    for name in table.columns.intersection(list(TEXTS)):
        table[name] = table[name].fillna("").astype(object)
    for name in table.columns.intersection(list(WHOLE)):
        table[name] = table[name].astype("Int64")
    for name in table.columns.difference([*TEXTS, *WHOLE]):
        table[name] = table[name].astype(float)
    return table


def _plain(value: Any) -> Any:
    """NaN and None as an empty cell; floats in full."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path.name} cannot be written: {error.strerror or error}. Choose another folder or free space."
    )
