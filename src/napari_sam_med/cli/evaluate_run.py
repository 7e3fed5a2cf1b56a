"""A run of ``evaluate`` in the terminal: progress, the files it leaves, and what is said at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam_med.cli import console
from napari_sam_med.core.errors import OutputError, SamMedError

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
    from napari_sam_med.evaluation.store import SCORES, RunStore
    from napari_sam_med.evaluation.table import read_table

    workers = workers or Workers()
    started = time.perf_counter()
    executor = workers.executor(config)
    stopped = True
    try:
        folder = make_folder(folder)
        with RunStore(folder, config) as store:
            before = _seconds_before(store)
            _say_where_from(store)
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
        raise SamMedError(
            f"Stopped; the {len(table)} rows so far are in {folder / SCORES}. The same command goes on from there."
        )
    _report(table, folder)
    return table


def follow(steps: Generator[Any]) -> None:
    """Show the progress of a run."""
    from napari_sam_med.evaluation.engine import Planned

    with closing(steps), _progress() as (grow, advance):
        for step in steps:
            if isinstance(step, Planned):
                grow(step.n_rows)
            else:
                advance(step.n_rows, step.what)


def _say_where_from(store: RunStore) -> None:
    if store.n_kept:
        console.err().print(f"Going on from an earlier start: {store.n_kept} rows are there already.")
    if store.set_aside:
        console.warn(store.why_aside)


def _seconds_before(store: RunStore) -> float:
    """Time that earlier starts of this run took, as far as they wrote it down."""
    if not store.n_kept:
        return 0.0
    try:
        return float(json.loads((store.folder / "run.json").read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def _write_results(
    table: pd.DataFrame, config: EvaluationConfig, store: RunStore, seconds: float, stopped: bool
) -> None:
    from napari_sam_med.evaluation.baselines import BASELINES
    from napari_sam_med.evaluation.figures import save_figures
    from napari_sam_med.evaluation.table import run_info, summary, write_json

    baselines = {name: BASELINES.get(name).fingerprint for name in config.models if name in BASELINES}
    plans = {case.id: store.plans[case.id] for case in config.cases if case.id in store.plans}
    info = run_info(
        config.describe(),
        {**store.fingerprints, **baselines},
        {case: plan.facts["window"] for case, plan in plans.items()},
        cases={case: {**plan.facts, "n_slices": len(plan.units)} for case, plan in plans.items()},
        n_rows=len(table),
        n_errors=int((table["error"] != "").sum()),
        seconds=round(seconds, 1),
        stopped=stopped,
    )
    write_json(store.folder / "run.json", info)
    try:
        summary(table).to_csv(store.folder / "summary.csv", index=False)
    except OSError as error:
        raise OutputError(f"summary.csv cannot be written: {error.strerror or error}.") from error
    if not stopped:  # they can take minutes, and who stops does not want to wait
        save_figures(table, store.folder)


def _report(table: pd.DataFrame, folder: Path) -> None:
    from napari_sam_med.evaluation.table import summary

    failed = table[table["error"] != ""]
    if len(failed) == len(table):
        why = failed["error"].iloc[0] if len(failed) else "there was nothing to score."
        raise SamMedError(f"Nothing was scored: {why}")
    if len(failed):
        console.warn(f"{len(failed)} of {len(table)} rows failed; the first: {failed['error'].iloc[0]}")
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


@contextmanager
def _progress() -> Iterator[tuple[Callable[[int], None], Callable[[int, str], None]]]:
    """A bar with the time left; gives one function that adds rows to come and one that counts rows."""
    from rich import progress

    bar = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        console=console.err(),
        transient=True,
    )
    with bar:
        task = bar.add_task("reading", total=None)

        def grow(n_rows: int) -> None:
            bar.update(task, total=(bar.tasks[0].total or 0) + n_rows)

        def advance(n_rows: int, what: str) -> None:
            bar.update(task, advance=n_rows, description=what)

        yield grow, advance


def make_folder(folder: Path) -> Path:
    """The folder for results, made if need be.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be made: {error.strerror or error}. Choose another one."
        ) from error
    return folder
