"""A run of ``robustness`` in the terminal: progress, the files it leaves, and what is said at the end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam_med.cli import console
from napari_sam_med.cli.runs import (
    follow,
    require_scores,
    say_where_from,
    seconds_before,
    stopped_error,
    write_info,
)
from napari_sam_med.core.errors import OutputError
from napari_sam_med.core.folders import make_folder

if TYPE_CHECKING:
    import pandas as pd

    from napari_sam_med.evaluation.robustness_config import RobustnessConfig
    from napari_sam_med.evaluation.robustness_store import LabStore

INFO = "robustness.json"


def run_robustness(config: RobustnessConfig, folder: Path, device: str = "auto") -> pd.DataFrame:
    """Take a configuration to the lab in the terminal, or go on where it was left, and write the files.

    Returns
    -------
    DataFrame
        The rows.

    Raises
    ------
    SamMedError
        If the folder cannot be written, nothing could be scored, or the user stopped it.
    """
    from napari_sam_med.evaluation.robustness_rows import read_lab_table
    from napari_sam_med.evaluation.robustness_run import LabRun
    from napari_sam_med.evaluation.robustness_store import ROWS, LabStore
    from napari_sam_med.evaluation.work import Models

    started = time.perf_counter()
    folder = make_folder(folder)
    stopped = True
    with LabStore(folder, config) as store:
        before = seconds_before(store, INFO)
        say_where_from(store)
        try:
            follow(LabRun(config, store, Models(device)).steps())
            stopped = False
        except KeyboardInterrupt:
            pass
    table = read_lab_table(folder / ROWS)
    curves = _write_results(table, config, store, before + time.perf_counter() - started, stopped)
    if stopped:
        raise stopped_error(table, folder / ROWS)
    _report(table, curves, folder)
    return table


def _write_results(
    table: pd.DataFrame, config: RobustnessConfig, store: LabStore, seconds: float, stopped: bool
) -> pd.DataFrame:
    """Write all but the rows; returns the curves."""
    from napari_sam_med.evaluation.calibration import lab_calibration
    from napari_sam_med.evaluation.robustness_curves import cluster_of, curves, oracle_gap, plain_rows
    from napari_sam_med.evaluation.robustness_figures import save_lab_figures

    write_info(
        INFO,
        config.describe(),
        config.evaluation,
        store,
        table,
        intervals_over=cluster_of(table),
        seconds=round(seconds, 1),
        stopped=stopped,
    )
    found, calibrated = curves(table), lab_calibration(table)
    tables = {"curves": found, "calibration": calibrated, "oracle_gap": oracle_gap(plain_rows(table))}
    for name, content in tables.items():
        path = store.folder / f"robustness_{name}.csv"
        try:
            content.to_csv(path, index=False)
        except OSError as error:
            raise OutputError(f"{path.name} cannot be written: {error.strerror or error}.") from error
    save_lab_figures(found, calibrated, store.folder)
    return found


def _report(table: pd.DataFrame, curves: pd.DataFrame, folder: Path) -> None:
    from napari_sam_med.evaluation.robustness_config import NOTHING

    require_scores(table)
    rule = "score" if "score" in set(curves["rule"]) else curves["rule"].iloc[0]
    shown = []
    names = ["lab", "mode", "model", "strategy"]
    for key, curve in curves[curves["rule"] == rule].groupby(names, sort=False):
        changed = curve[(curve["step"] != NOTHING) & curve["loss"].notna()]
        if not changed.empty:
            worst = changed.sort_values("loss").iloc[-1]
            plain = curve.loc[curve["step"] == NOTHING, "dice"]
            numbers = [f"{plain.mean():.3f}", f"{worst['dice']:.3f}", f"{worst['loss']:.3f}"]
            shown.append([*map(str, key), *numbers, str(worst["step"]), str(int(worst["n_valid"]))])
    right = ["Dice", "at worst", "lost", "rows"]
    console.table([*names, *right[:3], "with", "rows"], shown, right=right)
    console.say(
        f"Means over all rows of the {rule} rule; intervals over {curves['cluster'].iloc[0]}s. Saved in {folder}"
    )
