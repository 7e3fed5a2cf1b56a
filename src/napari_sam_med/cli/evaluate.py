"""``napari-sam-med evaluate``: simulated prompts over a volume with truth, scored; tables and figures out."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_sam_med.cli import scoring_options as scoring

_SCHEDULER_HELP = "Use the workers of a Dask cluster that runs already, such as tcp://127.0.0.1:8786."


def evaluate(
    output: scoring.Output,
    volume: scoring.VolumeFile = None,
    labels: scoring.LabelsFile = None,
    dataset: scoring.Dataset = None,
    channel: scoring.Channel = 0,
    series: scoring.Series = None,
    time: scoring.Time = 0,
    model: scoring.Model = None,
    strategy: scoring.StrategyNames = "S2,S5",
    axis: scoring.AxisNames = "",
    label_values: scoring.LabelValues = "",
    max_slices: scoring.MaxSlices = None,
    window: scoring.WindowName = None,
    min_pixels: scoring.MinPixels = 50,
    resample: scoring.Resample = False,
    rules: scoring.Rules = "oracle,score",
    variant: scoring.VariantName = "paper",
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
    seed: scoring.Seed = 0,
    device: scoring.Device = "auto",
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
    from napari_sam_med.inference.everything import EverythingSettings

    if scheduler and workers > 1:
        raise typer.BadParameter("Choose --workers or --scheduler, not both.", param_hint="--scheduler")
    config = scoring.evaluation_config(
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
        also="--target-dice",
        everything=EverythingSettings(points_per_side=grid),
        n_clicks=clicks,
        target_dice=target_dice,
        tolerance_mm=tolerance_mm,
    )
    run_evaluation(config, output, Workers(device, workers, scheduler))
