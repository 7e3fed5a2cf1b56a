"""A run of ``evaluate`` in the terminal: progress, the files it leaves, and what is said at the end."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
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

    from napari_sam_med.evaluation.config import EvaluationConfig
    from napari_sam_med.evaluation.executors import Executor
    from napari_sam_med.evaluation.store import RunStore


@dataclass(frozen=True)
class Workers:
    """Who does the work.

    Attributes
    ----------
    device : str
        "auto", "cpu", "cuda", "mps".
    processes : int
        Of this machine; 1 is this process.
    scheduler : str
        Address of a Dask scheduler; "" for none.
    """

    device: str = "auto"
    processes: int = 1
    scheduler: str = ""

    def executor(self, config: EvaluationConfig) -> Executor | None:
        """What gives tasks to others; None where this process does them itself.

        Raises
        ------
        InputError
            If the cluster cannot be used.
        """
        from napari_sam_med.evaluation.executors import DaskExecutor, LocalExecutor
        from napari_sam_med.evaluation.work import perform

        # tasks bring their case; the list of all of them stays here
        do = partial(perform, config=replace(config, cases=()), device=self.device)
        if self.scheduler:
            return DaskExecutor(do, self.scheduler)
        return LocalExecutor(do, self.processes) if self.processes > 1 else None


def run_evaluation(config: EvaluationConfig, folder: Path, workers: Workers | None = None) -> pd.DataFrame:
    """Run an evaluation in the terminal, or go on with one that was interrupted, and write its files.

    Returns
    -------
    DataFrame
        The scores.

    Raises
    ------
    SamMedError
        If the folder cannot be written, nothing could be scored, or the user stopped the run.
    """
    from napari_sam_med.evaluation.engine import Run
    from napari_sam_med.evaluation.store import INFO, SCORES, RunStore
    from napari_sam_med.evaluation.table import read_table

    workers = workers or Workers()
    started = time.perf_counter()
    executor = workers.executor(config)
    stopped = True
    try:
        folder = make_folder(folder)
        with RunStore(folder, config) as store:
            before = seconds_before(store, INFO)
            say_where_from(store)
            try:
                follow(Run(config, store, workers.device).steps(executor))
                stopped = False
            except KeyboardInterrupt:
                pass
    finally:
        if executor is not None:
            executor.close()
    table = read_table(folder / SCORES)
    _write_results(table, config, store, before + time.perf_counter() - started, stopped)
    if stopped:
        raise stopped_error(table, folder / SCORES)
    _report(table, folder)
    return table


def _write_results(
    table: pd.DataFrame, config: EvaluationConfig, store: RunStore, seconds: float, stopped: bool
) -> None:
    from napari_sam_med.evaluation.figures import save_figures
    from napari_sam_med.evaluation.store import INFO
    from napari_sam_med.evaluation.table import summary

    write_info(INFO, config.describe(), config, store, table, seconds=round(seconds, 1), stopped=stopped)
    try:
        summary(table).to_csv(store.folder / "summary.csv", index=False)
    except OSError as error:
        raise OutputError(f"summary.csv cannot be written: {error.strerror or error}.") from error
    if not stopped:  # they can take minutes, and who stops does not want to wait
        save_figures(table, store.folder)


def _report(table: pd.DataFrame, folder: Path) -> None:
    from napari_sam_med.evaluation.table import summary

    require_scores(table)
    names = {"dice": ".3f", "jaccard": ".3f", "hd95_mm": ".2f", "assd_mm": ".2f"}
    means = summary(table, names)
    means = means[means["model"] != ""]
    shown = [
        [row["model"], row["strategy"], row["rule"]]
        + [f"{row[name]:{form}}" for name, form in names.items()]
        + [str(row["n_objects"]), str(row["dice_n_valid"])]
        for _, row in means.iterrows()
    ]
    numbers = ["Dice", "Jaccard", "HD95 mm", "ASSD mm", "objects", "rows"]
    console.table(["model", "strategy", "rule", *numbers], shown, right=numbers)
    console.say(f"Means over slices, then objects. Saved in {folder}")
