"""The figures of an evaluation: registry titles and statistics put together with the plots."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_sam_med.core.errors import OutputError
from napari_sam_med.evaluation.statistics import spearman
from napari_sam_med.factors import FACTORS
from napari_sam_med.metrics import METRICS
from napari_sam_med.plots import PLAIN, Colors, box_by, histogram, scatter

SUFFIXES = (".png", ".svg")


def draw_factor(
    axes: Axes,
    table: pd.DataFrame,
    factor: str,
    metric: str = "dice",
    *,
    group: str | None = None,
    trend: bool = False,
    colors: Colors = PLAIN,
) -> list[Hashable]:
    """A metric against a factor, with Spearman's rho and n above.

    Returns
    -------
    list
        Index of the table's row for each dot.

    Raises
    ------
    InputError
        If the factor or the metric is unknown.
    """
    rho, n_valid, _ = spearman(table[factor], table[metric])
    title = f"Spearman ρ = {rho:+.2f}, n = {n_valid}" if rho == rho else f"n = {n_valid}"
    shown = scatter(
        axes,
        table,
        factor,
        metric,
        x_label=factor_label(factor),
        y_label=metric_label(metric),
        title=title,
        group=group,
        trend=trend,
        colors=colors,
    )
    if shown:
        _limit(axes, metric, "y")
    return shown


def draw_strategies(
    axes: Axes, table: pd.DataFrame, metric: str = "dice", *, title: str = "", colors: Colors = PLAIN
) -> None:
    """A box of a metric for each strategy."""
    box_by(axes, table, metric, "strategy", value_label=metric_label(metric), title=title, colors=colors)
    if axes.axison:
        _limit(axes, metric, "y")


def draw_histogram(
    axes: Axes, table: pd.DataFrame, metric: str = "dice", *, title: str = "", colors: Colors = PLAIN
) -> None:
    """How often which value of a metric occurs."""
    limits = None if METRICS.get(metric).unit else (0.0, 1.0)
    histogram(
        axes, table, metric, limits=limits, value_label=metric_label(metric), title=title, colors=colors
    )


def factor_label(name: str) -> str:
    """Title of a factor with its unit."""
    factor = FACTORS.get(name)
    return f"{factor.title} ({factor.unit})" if factor.unit else factor.title


def metric_label(name: str) -> str:
    """Title of a metric with its unit."""
    metric = METRICS.get(name)
    return f"{metric.title} ({metric.unit})" if metric.unit else metric.title


def save_figures(table: pd.DataFrame, folder: Path, metric: str = "dice") -> list[Path]:
    """Write the figures of a table of scores as PNG and SVG.

    For every model and rule one figure with a box for each strategy and the histogram, and for every strategy one
    with the metric against all factors.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    scored = table[(table["error"] == "") & (table["model"] != "")]
    written: list[Path] = []
    for (model, rule), part in scored.groupby(["model", "rule"], sort=False):
        figure = Figure(figsize=(9, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_strategies(left, part, metric)
        draw_histogram(right, part, metric)
        figure.suptitle(f"{model}, {rule} rule")
        written += save_figure(figure, folder, f"{metric}_{model}_{rule}")
        for strategy, rows in part.groupby("strategy", sort=False):
            n_lines = -(-len(FACTORS) // 3)
            figure = Figure(figsize=(12, 3 * n_lines), layout="constrained")
            grid = figure.subplots(n_lines, 3, squeeze=False).ravel()
            for axes, factor in zip(grid, FACTORS, strict=False):
                draw_factor(axes, rows, factor, metric)
            for axes in grid[len(FACTORS) :]:
                axes.set_visible(False)
            figure.suptitle(f"{model}, {strategy}, {rule} rule")
            written += save_figure(figure, folder, f"factors_{model}_{strategy}_{rule}")
    return written


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and SVG under a name that every file system takes.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    FigureCanvasAgg(figure)
    stem = re.sub(r"[^\w.-]+", "_", name)
    paths = [folder / f"{stem}{suffix}" for suffix in SUFFIXES]
    try:
        for path in paths:
            figure.savefig(path, dpi=150)
    except OSError as error:
        raise OutputError(
            f"{paths[0].name} cannot be written: {error.strerror or error}. Choose another folder."
        ) from error
    return paths


def _limit(axes: Axes, metric: str, side: str) -> None:
    """Fix the range of a metric that runs from 0 to 1, so that figures can be compared."""
    if METRICS.get(metric).unit == "":
        axes.set(**{f"{side}lim": (-0.03, 1.03)})
