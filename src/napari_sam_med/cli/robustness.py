"""``napari-sam-med robustness``: prompts moved, boxes padded, images made worse; what Dice is left."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_sam_med.cli import options
from napari_sam_med.cli import scoring_options as scoring

_LAB_HELP = "What to try: jitter (prompts moved), padding (boxes), degradation (worse images)."
_BINS_HELP = (
    "jitter: from how far to how far prompts are moved, in pixels, or (0-10%) in percent of its sides."
)
_PADDING_HELP = "padding: percent by which the sides of the box grow, or shrink below 0."
_DEGRADATION_HELP = (
    "A kind, with doses or without: contrast, noise, blur, resolution, window. Repeat for more."
)


def robustness(
    output: scoring.Output,
    volume: scoring.VolumeFile = None,
    labels: scoring.LabelsFile = None,
    dataset: scoring.Dataset = None,
    channel: scoring.Channel = 0,
    series: scoring.Series = None,
    time: scoring.Time = 0,
    model: scoring.Model = None,
    strategy: scoring.StrategyNames = "S2,S3,S4,S5,S6",
    lab: Annotated[str, typer.Option("--lab", metavar="LABS", help=_LAB_HELP)] = "jitter,padding,degradation",
    bins: Annotated[str, typer.Option("--bins", metavar="PX-PX", help=_BINS_HELP)] = "0-10,10-20,20-30",
    draws: Annotated[
        int, typer.Option("--draws", metavar="N", min=1, help="jitter: how often each is drawn.")
    ] = 3,
    padding: Annotated[
        str, typer.Option("--padding", metavar="PCT", help=_PADDING_HELP)
    ] = "-20,-10,10,20,30,50,75,100",
    degradation: Annotated[
        list[str] | None,
        typer.Option(
            "--degradation", metavar="KIND[=D,D]", help=_DEGRADATION_HELP, show_default="all of them"
        ),
    ] = None,
    axis: scoring.AxisNames = "",
    label_values: scoring.LabelValues = "",
    max_slices: scoring.MaxSlices = None,
    window: scoring.WindowName = None,
    min_pixels: scoring.MinPixels = 50,
    resample: scoring.Resample = False,
    rules: scoring.Rules = "oracle,score",
    variant: scoring.VariantName = "paper",
    seed: scoring.Seed = 0,
    device: scoring.Device = "auto",
) -> None:
    """See how much Dice is lost when prompts are careless and images are worse (VOLUME LABELS, or --dataset).

    Writes robustness.csv (a row for every change), robustness_curves.csv (mean Dice and loss against dose, with
    intervals), robustness_calibration.csv (predicted against true IoU), robustness_oracle_gap.csv, robustness.json and
    figures. Every object in a slice takes some hundred answers; --max-slices keeps it short. Ctrl-C stops and keeps the
    rows so far; the same command goes on where it stopped.
    """
    from napari_sam_med.cli.robustness_run import run_robustness
    from napari_sam_med.evaluation.robustness_config import USUAL_DEGRADATIONS, RobustnessConfig

    limits, unit = _bins(bins)
    percents = tuple(_number(word, "--padding") for word in scoring.words(padding))
    kinds = tuple(_kind(text) for text in degradation) if degradation else USUAL_DEGRADATIONS
    settings = scoring.evaluation_config(
        cases=scoring.read_cases(volume, labels, dataset, channel, series, time),
        model=model,
        strategy=strategy,
        axis=axis,
        label_values=label_values,
        max_slices=max_slices,
        window=window,
        min_pixels=min_pixels,
        resample=resample,
        rules=rules,
        variant=variant,
        seed=seed,
    )
    config = options.as_usage(
        "--strategy, --lab, --bins, --padding, --degradation",
        lambda: RobustnessConfig(
            settings,
            labs=tuple(scoring.words(lab)),
            bins=limits,
            bin_unit=unit,
            seeds=tuple(range(draws)),
            paddings=percents,
            degradations=kinds,
        ),
    )
    run_robustness(config, output, device)


def _bins(text: str) -> tuple[tuple[tuple[float, float], ...], str]:
    """Ranges and their unit."""
    words = scoring.words(text)
    in_percent = [word.endswith("%") for word in words]
    if any(in_percent) and not all(in_percent):
        raise typer.BadParameter("Give all ranges in pixels or all in percent.", param_hint="--bins")
    return tuple(_bin(word.removesuffix("%")) for word in words), "%" if any(in_percent) else "px"


def _bin(word: str) -> tuple[float, float]:
    low, dash, high = word.partition("-")
    if not dash:
        raise typer.BadParameter(f"{word!r} is no range; give 0-10,10-20.", param_hint="--bins")
    return (_number(low, "--bins"), _number(high, "--bins"))


def _kind(text: str) -> tuple[str, tuple[float, ...]]:
    from napari_sam_med.evaluation.degradations import DEGRADATIONS

    name, equals, doses = (part.strip() for part in text.partition("="))
    known = options.as_usage("--degradation", lambda: DEGRADATIONS.get(name))
    if not equals:
        return (name, known.doses)
    return (name, tuple(_number(word, "--degradation") for word in scoring.words(doses)))


def _number(word: str, option: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise typer.BadParameter(f"{word!r} is no number.", param_hint=option) from None
