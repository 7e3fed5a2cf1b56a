"""A run of ``robustness`` in the terminal: progress, the files it leaves, and what is said at the end."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam_med.cli import console
from napari_sam_med.cli.evaluate_run import follow, make_folder
from napari_sam_med.core.errors import OutputError, SamMedError

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
        before = _seconds_before(store)
        if store.n_kept:
            console.err().print(f"Going on from an earlier start: {store.n_kept} rows are there already.")
        if store.set_aside:
            console.warn(store.why_aside)
        try:
            follow(LabRun(config, store, Models(device)).steps())
            stopped = False
        except KeyboardInterrupt:
            pass
    table = read_lab_table(folder / ROWS)
    curves = _write_results(table, config, store, before + time.perf_counter() - started, stopped)
    if stopped:
        raise SamMedError(
            f"Stopped; the {len(table)} rows so far are in {folder / ROWS}. The same command goes on from there."
        )
    _report(table, curves, folder)
    return table


def _seconds_before(store: LabStore) -> float:
    """Time that earlier starts took, as far as they wrote it down."""
    if not store.n_kept:
        return 0.0
    try:
        return float(json.loads((store.folder / INFO).read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def _write_results(
    table: pd.DataFrame, config: RobustnessConfig, store: LabStore, seconds: float, stopped: bool
) -> pd.DataFrame:
    """Write all but the rows; returns the curves."""
    from napari_sam_med.evaluation.baselines import BASELINES
    from napari_sam_med.evaluation.calibration import lab_calibration
    from napari_sam_med.evaluation.robustness_curves import cluster_of, curves, oracle_gap, plain_rows
    from napari_sam_med.evaluation.robustness_figures import save_lab_figures
    from napari_sam_med.evaluation.table import run_info, write_json

    baselines = {n: BASELINES.get(n).fingerprint for n in config.evaluation.models if n in BASELINES}
    plans = {case.id: store.plans[case.id] for case in config.evaluation.cases if case.id in store.plans}
    info = run_info(
        config.describe(),
        {**store.fingerprints, **baselines},
        {case: plan.facts["window"] for case, plan in plans.items()},
        cases={case: {**plan.facts, "n_slices": len(plan.units)} for case, plan in plans.items()},
        n_rows=len(table),
        n_errors=int((table["error"] != "").sum()),
        intervals_over=cluster_of(table),
        seconds=round(seconds, 1),
        stopped=stopped,
    )
    write_json(store.folder / INFO, info)
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

    failed = table[table["error"] != ""]
    if len(failed) == len(table):
        why = failed["error"].iloc[0] if len(failed) else "there was nothing to score."
        raise SamMedError(f"Nothing was scored: {why}")
    if len(failed):
        console.warn(f"{len(failed)} of {len(table)} rows failed; the first: {failed['error'].iloc[0]}")
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
