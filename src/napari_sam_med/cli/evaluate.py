"""``napari-sam-med evaluate``: simulated prompts over a volume with truth, scored; tables and figures out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from napari_sam_med.cli import options
from napari_sam_med.cli.info import SERIES_HELP

if TYPE_CHECKING:
    from napari_sam_med.evaluation.config import Case
    from napari_sam_med.prompts import Variant

_MODEL_HELP = (
    "Name (the command models lists them), checkpoint file, or baseline: ellipse, otsu. Repeat to compare."
)
_STRATEGY_HELP = (
    "Simulated prompts: S1 everything, S2 one point, S3 five, S4 five + five negative, S5 box, S6 box + point, "
    "center, boxes (one a part), clicks (corrections)."
)
_VARIANT_HELP = "Points as the paper's text puts them (paper) or as its released code does (repo)."
_DATASET_HELP = (
    "Many cases: an nnU-Net folder (imagesTr, labelsTr, dataset.json) or a CSV file with the columns "
    "case,image,labels[,modality]."
)
_SCHEDULER_HELP = "Use the workers of a Dask cluster that runs already, such as tcp://127.0.0.1:8786."
_AXIS_HELP = "axial, coronal or sagittal, several with commas. The axis of the finest slices by default."


def evaluate(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for the results.", show_default=False),
    ],
    volume: Annotated[
        Path | None, typer.Argument(metavar="VOLUME", help="Image file or DICOM folder.", show_default=False)
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Argument(metavar="LABELS", help="The truth: a label file on its grid.", show_default=False),
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option("--dataset", metavar="DIR|CSV", help=_DATASET_HELP, show_default=False),
    ] = None,
    channel: Annotated[
        int, typer.Option("--channel", metavar="N", min=0, help="Of an nnU-Net folder's images.")
    ] = 0,
    series: Annotated[str | None, typer.Option("--series", metavar="SERIES", help=SERIES_HELP)] = None,
    time: Annotated[
        int, typer.Option("--time", metavar="T", min=0, help="Time point of a 4D volume, from 0.")
    ] = 0,
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
        str | None, typer.Option("--window", metavar="WINDOW", help=options.WINDOW_HELP)
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
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=1, help="Processes of this machine.")
    ] = 1,
    scheduler: Annotated[
        str, typer.Option("--scheduler", metavar="ADDRESS", help=_SCHEDULER_HELP, show_default=False)
    ] = "",
) -> None:
    """Score models on volumes whose truth is known (VOLUME LABELS, or --dataset), with prompts simulated from it.

    Writes scores.csv (a row for every slice, label, model, strategy and rule), summary.csv, run.json and figures.
    The rule "score" takes the candidate the model believes in, "oracle" the one that fits the truth best.
    Ctrl-C stops the run and keeps the rows so far; the same command goes on where it stopped. The command `report`
    makes a document of the folder.
    """
    from napari_sam_med.cli.evaluate_run import Workers, run_evaluation
    from napari_sam_med.evaluation.config import EvaluationConfig
    from napari_sam_med.inference.everything import EverythingSettings

    if scheduler and workers > 1:
        raise typer.BadParameter("Choose --workers or --scheduler, not both.", param_hint="--scheduler")
    cases = _cases(volume, labels, dataset, channel, series, time)
    window_text = options.check_window(window)
    values = _numbers(label_values)
    config = options.as_usage(
        "--model, --strategy, --axis, --rules, --variant, --target-dice",
        lambda: EvaluationConfig(
            models=tuple(model or ["builtin"]),
            strategies=tuple(_words(strategy)),
            cases=cases,
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
    run_evaluation(config, output, Workers(device, workers, scheduler))


def _cases(
    volume: Path | None,
    labels: Path | None,
    dataset: Path | None,
    channel: int,
    series: str | None,
    time: int,
) -> tuple[Case, ...]:
    """What to score: one pair or a dataset."""
    from napari_sam_med.evaluation.cohort import read_cohort
    from napari_sam_med.evaluation.config import Case
    from napari_sam_med.io.sniff import stem_of

    if dataset is not None:
        if volume is not None:
            raise typer.BadParameter(
                "Give VOLUME and LABELS, or --dataset, not both.", param_hint="--dataset"
            )
        if series is not None or time:
            raise typer.BadParameter(
                "--series and --time choose a part of one VOLUME, and --dataset gives many.",
                param_hint="--dataset",
            )
        return read_cohort(dataset, channel)
    if volume is None or labels is None:
        raise typer.BadParameter("Give VOLUME and LABELS, or --dataset.", param_hint="VOLUME LABELS")
    # of "." and ".." the name is that of the folder
    name = stem_of(volume if volume.name not in ("", "..") else volume.resolve())
    return (Case(name, volume, labels, series=series, time=time),)


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
