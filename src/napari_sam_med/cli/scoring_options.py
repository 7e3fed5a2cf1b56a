"""Options of the commands that score models on volumes with truth, and what they mean to the engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from napari_sam_med.cli import options
from napari_sam_med.cli.info import SERIES_HELP

if TYPE_CHECKING:
    from napari_sam_med.evaluation.config import Case, EvaluationConfig
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
_AXIS_HELP = "axial, coronal or sagittal, several with commas. The axis of the finest slices by default."

Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the results.", show_default=False)
]
VolumeFile = Annotated[
    Path | None, typer.Argument(metavar="VOLUME", help="Image file or DICOM folder.", show_default=False)
]
LabelsFile = Annotated[
    Path | None,
    typer.Argument(metavar="LABELS", help="The truth: a label file on its grid.", show_default=False),
]
Dataset = Annotated[
    Path | None, typer.Option("--dataset", metavar="DIR|CSV", help=_DATASET_HELP, show_default=False)
]
Channel = Annotated[int, typer.Option("--channel", metavar="N", min=0, help="Of an nnU-Net folder's images.")]
Series = Annotated[str | None, typer.Option("--series", metavar="SERIES", help=SERIES_HELP)]
Time = Annotated[int, typer.Option("--time", metavar="T", min=0, help="Time point of a 4D volume, from 0.")]
Model = Annotated[
    list[str] | None, typer.Option("--model", metavar="M", help=_MODEL_HELP, show_default="builtin")
]
StrategyNames = Annotated[str, typer.Option("--strategy", metavar="S2,S5", help=_STRATEGY_HELP)]
AxisNames = Annotated[str, typer.Option("--axis", metavar="AXIS", help=_AXIS_HELP, show_default=False)]
LabelValues = Annotated[
    str, typer.Option("--labels", metavar="1,2", help="Label values to score.", show_default="all of them")
]
MaxSlices = Annotated[
    int | None,
    typer.Option("--max-slices", metavar="N", min=1, help="At most so many slices, spread evenly."),
]
WindowName = Annotated[str | None, typer.Option("--window", metavar="WINDOW", help=options.WINDOW_HELP)]
MinPixels = Annotated[
    int, typer.Option("--min-pixels", metavar="N", min=0, help="Score objects with more pixels than this.")
]
Resample = Annotated[
    bool, typer.Option("--resample", help="Bring labels on another grid to the volume's (nearest).")
]
Rules = Annotated[
    str,
    typer.Option("--rules", metavar="R", help="How one candidate is chosen: oracle, score, largest, first."),
]
VariantName = Annotated[str, typer.Option("--variant", metavar="V", help=_VARIANT_HELP)]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Of all chance.")]
Device = Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda or mps.")]


def read_cases(
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


def evaluation_config(
    *,
    cases: tuple[Case, ...],
    model: list[str] | None,
    strategy: str,
    axis: str,
    label_values: str,
    max_slices: int | None,
    window: str | None,
    min_pixels: int,
    resample: bool,
    rules: str,
    variant: str,
    seed: int,
    also: str = "",
    **own: Any,
) -> EvaluationConfig:
    """What the options of a command ask for; `own` are further attributes of the configuration, checked as `also`.

    Raises
    ------
    BadParameter
        If an option is wrong.
    """
    from napari_sam_med.evaluation.config import EvaluationConfig

    window_text = options.check_window(window)
    values = numbers(label_values)
    return options.as_usage(
        "--model, --strategy, --axis, --rules, --variant" + (f", {also}" if also else ""),
        lambda: EvaluationConfig(
            models=tuple(model or ["builtin"]),
            strategies=tuple(words(strategy)),
            cases=cases,
            axes=tuple(words(axis)),
            labels=values,
            max_slices=max_slices,
            window=window_text,
            min_pixels=min_pixels,
            seed=seed,
            resample=resample,
            rules=tuple(words(rules)),
            variant=cast("Variant", variant),  # refused by the configuration if it is none
            **own,
        ),
    )


def words(text: str) -> list[str]:
    """What stands between commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers(text: str) -> tuple[int, ...] | None:
    """Label values, or None where none are named."""

    def read(word: str) -> Any:
        try:
            return int(word)
        except ValueError:
            raise typer.BadParameter(
                f"{word!r} is no label; give whole numbers such as 1,2.", param_hint="--labels"
            ) from None

    return tuple(read(word) for word in words(text)) or None
