"""``napari-sam-med evaluate``: simulated prompts over a volume with truth, scored; tables and figures out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from napari_sam_med.cli import console, options
from napari_sam_med.core.errors import OutputError, SamMedError

if TYPE_CHECKING:
    import pandas as pd

    from napari_sam_med.evaluation.config import EvaluationConfig
    from napari_sam_med.evaluation.plan import PairPlan
    from napari_sam_med.inference.session import Session
    from napari_sam_med.prompts import Variant

_MODEL_HELP = "Name (see `models`), checkpoint file, or baseline: ellipse, otsu. Repeat to compare."
_STRATEGY_HELP = (
    "Simulated prompts: S1 everything, S2 one point, S3 five, S4 five + five negative, S5 box, S6 box + point, "
    "center, boxes (one a part), clicks (corrections)."
)
_VARIANT_HELP = "Points as the paper's text puts them (paper) or as its released code does (repo)."
_AXIS_HELP = "axial, coronal or sagittal, several with commas. The axis of the finest slices by default."


def evaluate(
    volume: Annotated[
        Path, typer.Argument(metavar="VOLUME", help="Image file or DICOM folder.", show_default=False)
    ],
    labels: Annotated[
        Path,
        typer.Argument(metavar="LABELS", help="The truth: a label file on its grid.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for the results.", show_default=False),
    ],
    model: Annotated[
        list[str] | None, typer.Option("--model", metavar="M", help=_MODEL_HELP, show_default="builtin")
    ] = None,
    strategy: Annotated[str, typer.Option("--strategy", metavar="S2,S5", help=_STRATEGY_HELP)] = "S2,S5",
    axis: Annotated[str, typer.Option("--axis", metavar="AXIS", help=_AXIS_HELP, show_default=False)] = "",
    label_values: Annotated[
        str,
        typer.Option("--labels", metavar="1,2", help="Label values to score.", show_default="all of them"),
    ] = "",
    max_slices: Annotated[
        int | None,
        typer.Option("--max-slices", metavar="N", min=1, help="At most so many slices, spread evenly."),
    ] = None,
    window: Annotated[
        str | None, typer.Option("--window", metavar="NAME|LEVEL/WIDTH", help=options.WINDOW_HELP)
    ] = None,
    min_pixels: Annotated[
        int,
        typer.Option("--min-pixels", metavar="N", min=0, help="Score objects with more pixels than this."),
    ] = 50,
    resample: Annotated[
        bool, typer.Option("--resample", help="Bring labels on another grid to the volume's (nearest).")
    ] = False,
    rules: Annotated[
        str,
        typer.Option(
            "--rules", metavar="R", help="How one candidate is chosen: oracle, score, largest, first."
        ),
    ] = "oracle,score",
    variant: Annotated[str, typer.Option("--variant", metavar="V", help=_VARIANT_HELP)] = "paper",
    grid: Annotated[
        int, typer.Option("--grid", metavar="N", min=8, max=64, help="S1: points a side of its grid.")
    ] = 32,
    clicks: Annotated[int, typer.Option("--clicks", metavar="N", min=1, help="clicks: how many.")] = 5,
    target_dice: Annotated[
        float, typer.Option("--target-dice", metavar="D", help="clicks: how many does it take to this Dice?")
    ] = 0.9,
    tolerance_mm: Annotated[
        float, typer.Option("--tolerance", metavar="MM", min=0, help="Of the surface agreement NSD.")
    ] = 2.0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of all chance.")] = 0,
    device: Annotated[
        str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda or mps.")
    ] = "auto",
) -> None:
    """Score models on a volume whose truth is known, with prompts simulated from the truth.

    Writes scores.csv (a row for every slice, label, model, strategy and rule), summary.csv, run.json and figures.
    The rule "score" takes the candidate the model believes in, "oracle" the one that fits the truth best.
    Ctrl-C stops the run and keeps the rows so far.
    """
    from napari_sam_med.evaluation.config import Case, EvaluationConfig
    from napari_sam_med.inference.everything import EverythingSettings
    from napari_sam_med.io.sniff import stem_of

    window_text = options.check_window(window)
    values = _numbers(label_values)
    config = options.as_usage(
        "--model, --strategy, --axis, --rules, --variant, --target-dice",
        lambda: EvaluationConfig(
            models=tuple(model or ["builtin"]),
            strategies=tuple(_words(strategy)),
            cases=(Case(stem_of(volume), volume, labels),),
            axes=tuple(_words(axis)),
            labels=values,
            max_slices=max_slices,
            window=window_text,
            min_pixels=min_pixels,
            seed=seed,
            resample=resample,
            rules=tuple(_words(rules)),
            variant=cast("Variant", variant),  # refused by the configuration if it is none
            everything=EverythingSettings(points_per_side=grid),
            n_clicks=clicks,
            target_dice=target_dice,
            tolerance_mm=tolerance_mm,
        ),
    )
    run_evaluation(config, output, device)


def run_evaluation(config: EvaluationConfig, folder: Path, device: str = "auto") -> pd.DataFrame:
    """Run an evaluation in the terminal and write its files.

    Returns
    -------
    DataFrame
        The scores.

    Raises
    ------
    SamMedError
        If the folder cannot be written, nothing could be scored, or the user stopped the run.
    """
    from napari_sam_med.evaluation.runner import iter_scores
    from napari_sam_med.evaluation.table import RowWriter, read_table

    folder = _make_folder(folder)
    state = _Run(device)
    started = time.perf_counter()
    stopped = False
    scores = folder / "scores.csv"
    with RowWriter(scores) as writer, _progress() as (grow, advance):

        def on_plan(plan: PairPlan) -> None:
            state.windows[plan.case] = str(plan.window)
            grow(plan.n_rows)

        try:
            for row in iter_scores(config, state.session_for, on_plan):
                writer.write(row)
                advance(f"{row.case} {row.axis} {'' if row.slice is None else row.slice}")
        except KeyboardInterrupt:
            stopped = True
    table = read_table(scores)
    _write_results(table, config, folder, state, started, stopped)
    if stopped:
        raise SamMedError(f"Stopped; the {len(table)} rows so far are in {scores}.")
    _report(table, folder)
    return table


@dataclass
class _Run:
    """What is learned while the rows come."""

    device: str
    fingerprints: dict[str, str] = field(default_factory=dict)
    windows: dict[str, str] = field(default_factory=dict)

    def session_for(self, model: str) -> Session:
        from napari_sam_med.embeddings import EmbeddingCache
        from napari_sam_med.inference.session import Session
        from napari_sam_med.models import load_model

        session = Session(load_model(model, self.device), EmbeddingCache.default())
        self.fingerprints[session.model.name] = session.model.fingerprint
        return session


def _write_results(
    table: pd.DataFrame, config: EvaluationConfig, folder: Path, state: _Run, started: float, stopped: bool
) -> None:
    from napari_sam_med.evaluation.baselines import BASELINES
    from napari_sam_med.evaluation.figures import save_figures
    from napari_sam_med.evaluation.table import run_info, summary, write_json

    baselines = {name: BASELINES.get(name).fingerprint for name in config.models if name in BASELINES}
    info = run_info(
        config.describe(),
        {**state.fingerprints, **baselines},
        state.windows,
        n_rows=len(table),
        n_errors=int((table["error"] != "").sum()),
        seconds=round(time.perf_counter() - started, 1),
        stopped=stopped,
    )
    write_json(folder / "run.json", info)
    try:
        summary(table).to_csv(folder / "summary.csv", index=False)
    except OSError as error:
        raise OutputError(f"summary.csv cannot be written: {error.strerror or error}.") from error
    save_figures(table, folder)


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
def _progress() -> Iterator[tuple[Callable[[int], None], Callable[[str], None]]]:
    """A bar with the time left; gives one function that adds rows to come and one that counts a row."""
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

        def advance(what: str) -> None:
            bar.update(task, advance=1, description=what)

        yield grow, advance


def _make_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be made: {error.strerror or error}. Choose another one."
        ) from error
    return folder


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> tuple[int, ...] | None:
    def read(word: str) -> Any:
        try:
            return int(word)
        except ValueError:
            raise typer.BadParameter(
                f"{word!r} is no label; give whole numbers such as 1,2.", param_hint="--labels"
            ) from None

    return tuple(read(word) for word in _words(text)) or None
