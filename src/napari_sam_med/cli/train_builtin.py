"""``napari-sam-med train-builtin``: train the built-in model."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from napari_sam_med.cli import console

if TYPE_CHECKING:
    from napari_sam_med.finetune.trainer import Progress as TrainingProgress


def train_builtin(
    config: Annotated[
        Path,
        typer.Option("--config", metavar="FILE", help="TOML file with the settings.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for weights, checkpoint, log and curves."),
    ] = Path("runs/builtin"),
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            metavar="FILE",
            help="CSV of real pairs (id, split, image, label); rows with split=train are mixed in.",
        ),
    ] = None,
) -> None:
    """Train the built-in model on synthetic slices (and real pairs, if the settings name any).

    A folder that holds a checkpoint of the same settings is resumed. Ctrl+C saves a checkpoint and ends the run.
    """
    from napari_sam_med.finetune.config import read_config
    from napari_sam_med.finetune.trainer import train

    settings = read_config(config, **({} if pairs is None else {"pairs": str(pairs)}))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with _interrupt() as interrupted, Progress(*columns, console=console.err()) as bar:
        task = bar.add_task("Training", total=settings.steps, figures="")
        for progress in train(settings, output, stop=interrupted.is_set):
            bar.update(task, completed=progress.step, figures=_figures(progress))
            if progress.validation is not None:
                bar.console.print(f"step {progress.step}: {_row(progress.validation)}")
    ended = "stopped; run the command again to go on" if interrupted.is_set() else "done"
    console.say(f"Training {ended}. Weights, log and curves are in {output}")


@contextmanager
def _interrupt() -> Iterator[threading.Event]:
    """An event that Ctrl+C sets; a second Ctrl+C stops at once."""
    asked = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _figures(progress: TrainingProgress) -> str:
    figures = progress.figures
    if "loss" not in figures:
        return _row(figures)
    return f"loss {figures['loss']:.3f}, IoU of boxes {figures['iou_box']:.3f}"


def _row(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
