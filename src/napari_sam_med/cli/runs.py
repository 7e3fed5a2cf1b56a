"""What runs of `evaluate` and `robustness` share in the terminal: progress, going on, what is written of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam_med.cli import console
from napari_sam_med.core.errors import SamMedError

if TYPE_CHECKING:
    import pandas as pd

    from napari_sam_med.evaluation.config import EvaluationConfig
    from napari_sam_med.evaluation.run_folder import RunFolder


def follow(steps: Generator[Any]) -> None:
    """Show the progress of a run."""
    from napari_sam_med.evaluation.engine import Planned

    with closing(steps), _progress() as (grow, advance):
        for step in steps:
            if isinstance(step, Planned):
                grow(step.n_rows)
            else:
                advance(step.n_rows, step.what)


def say_where_from(store: RunFolder) -> None:
    """Say what an earlier start left, and what was moved out of the way."""
    if store.n_kept:
        console.err().print(f"Going on from an earlier start: {store.n_kept} rows are there already.")
    if store.set_aside:
        console.warn(store.why_aside)


def seconds_before(store: RunFolder, name: str) -> float:
    """Time that earlier starts of this run took, as far as they wrote it down in the file `name`."""
    if not store.n_kept:
        return 0.0
    try:
        return float(json.loads((store.folder / name).read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def write_info(
    name: str,
    described: dict[str, Any],
    config: EvaluationConfig,
    store: RunFolder,
    table: pd.DataFrame,
    **more: Any,
) -> None:
    """Write what is known of a run into the file `name`: settings, weights, cases, counts, and `more`.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    from napari_sam_med.evaluation.baselines import BASELINES
    from napari_sam_med.evaluation.table import run_info, write_json

    baselines = {model: BASELINES.get(model).fingerprint for model in config.models if model in BASELINES}
    plans = {case.id: store.plans[case.id] for case in config.cases if case.id in store.plans}
    info = run_info(
        described,
        {**store.fingerprints, **baselines},
        {case: plan.facts["window"] for case, plan in plans.items()},
        cases={case: {**plan.facts, "n_slices": len(plan.units)} for case, plan in plans.items()},
        n_rows=len(table),
        n_errors=int((table["error"] != "").sum()),
        **more,
    )
    write_json(store.folder / name, info)


def require_scores(table: pd.DataFrame) -> None:
    """Warn of rows that failed.

    Raises
    ------
    SamMedError
        If all of them did.
    """
    failed = table[table["error"] != ""]
    if len(failed) == len(table):
        why = failed["error"].iloc[0] if len(failed) else "there was nothing to score."
        raise SamMedError(f"Nothing was scored: {why}")
    if len(failed):
        console.warn(f"{len(failed)} of {len(table)} rows failed; the first: {failed['error'].iloc[0]}")


def stopped_error(table: pd.DataFrame, path: Path) -> SamMedError:
    """What is said after Ctrl-C."""
    return SamMedError(
        f"Stopped; the {len(table)} rows so far are in {path}. The same command goes on from there."
    )


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
