"""The figures of a report: drawn once, kept as PNG and SVG, and put into the document itself."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from napari_sam_med.core.errors import OutputError
from napari_sam_med.evaluation.atlas import Failure
from napari_sam_med.evaluation.calibration import ALL, bins_of, overall
from napari_sam_med.evaluation.figures import draw_factor, factor_label, metric_label
from napari_sam_med.plots import box_by, calibration, dose_curve, dot_lines, intervals, overlay

_WIDTH = 10.5
_LINE = 0.28
_LOOK: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "report"}


class Gatherer:
    """Saves figures in a folder and gives them as data URIs.

    Parameters
    ----------
    folder : Path
        Exists.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[Path] = []

    def keep(self, figure: Figure, name: str) -> str:
        """Save a figure as PNG and SVG; the SVG as a data URI."""
        FigureCanvasAgg(figure)
        vector = io.BytesIO()
        with mpl.rc_context(_LOOK):
            figure.savefig(vector, format="svg", metadata={"Date": None, "Creator": None})
        self._write(f"{_stem(name)}.png", _png(figure, 150))
        self._write(f"{_stem(name)}.svg", vector.getvalue())
        return _uri("image/svg+xml", vector.getvalue())

    def keep_pixels(self, figure: Figure, name: str) -> str:
        """Save a figure of an image as PNG alone; the same as a data URI."""
        FigureCanvasAgg(figure)
        picture = _png(figure, 110)
        self._write(f"{_stem(name)}.png", picture)
        return _uri("image/png", picture)

    def _write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        try:
            path.write_bytes(content)
        except OSError as error:
            raise OutputError(
                f"{name} cannot be written: {error.strerror or error}. Choose another folder or free space."
            ) from error
        self.written.append(path)


@mpl.rc_context(_LOOK)
def strategies_figure(table: pd.DataFrame, rules: Sequence[str]) -> Figure:
    """Dice of every strategy (and model): a box plot for each rule."""
    figure = _figure(_WIDTH, 3.6)
    axes = figure.subplots(1, len(rules), sharey=True, squeeze=False)[0]
    group = "model" if table["model"].nunique() > 1 else None
    for ax, rule in zip(axes, rules, strict=True):
        part = table[table["rule"] == rule]
        box_by(
            ax, part, "dice", "strategy", group=group, value_label=metric_label("dice"), title=f"rule {rule}"
        )
        if ax is not axes[-1] and ax.get_legend() is not None:
            ax.get_legend().remove()
        ax.set_ylim(-0.03, 1.03)
        ax.tick_params(axis="x", labelsize=8)
    for ax in axes[1:]:
        ax.set_ylabel("")
    return figure


@mpl.rc_context(_LOOK)
def lines_figure(means: pd.DataFrame, by: str, n: str, x_label: str) -> Figure:
    """Mean Dice of every object (or volume), a dot for each strategy; `means` has `by`, strategy, mean and `n`."""
    n_lines = means[by].nunique()
    figure = _figure(_WIDTH, 1.0 + _LINE * max(n_lines, 2))
    dot_lines(figure.subplots(), means, "mean", by, "strategy", n=n, x_label=x_label, limits=(-0.03, 1.03))
    return figure


@mpl.rc_context(_LOOK)
def differences_figure(table: pd.DataFrame, reference: str) -> Figure:
    """Paired differences from a reference with intervals; `table` has ``name``, difference, low, high."""
    figure = _figure(_WIDTH, 1.0 + _LINE * max(len(table), 2))
    label = f"Dice, difference from {reference}"
    intervals(figure.subplots(), table, "name", "difference", "low", "high", x_label=label)
    return figure


@mpl.rc_context(_LOOK)
def correlations_figure(table: pd.DataFrame, partly: bool) -> Figure:
    """Rho (or partial rho) of every factor with intervals, a colour for each strategy; `table` is of one model."""
    shown = table.assign(title=[factor_label(name) for name in table["factor"]])
    n_groups = shown["strategy"].nunique()
    rho, low, high = (f"partial_{name}" if partly else name for name in ("rho", "low", "high"))
    line = _LINE + 0.09 * max(n_groups - 2, 0)
    figure = _figure(_WIDTH, 1.0 + line * max(shown["title"].nunique(), 2))
    intervals(
        figure.subplots(),
        shown,
        "title",
        rho,
        low,
        high,
        group="strategy" if n_groups > 1 else None,
        x_label=f"{'partial ' if partly else ''}Spearman ρ with Dice",
        limits=(-1.03, 1.03),
    )
    return figure


@mpl.rc_context(_LOOK)
def factors_figure(table: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Dice against every factor in `titles`; `table` is of one model, strategy and rule."""
    factors = list(titles)
    n_lines = -(-len(factors) // 3)
    figure = _figure(_WIDTH, 2.6 * n_lines, space=0.14)
    grid = figure.subplots(n_lines, 3, squeeze=False, sharey=True).ravel()
    for k, (ax, factor) in enumerate(zip(grid, factors, strict=False)):
        draw_factor(ax, table, factor, trend=True)
        ax.set_title(titles[factor], fontsize=8)
        if k % 3:
            ax.set_ylabel("")
    for ax in grid[len(factors) :]:
        ax.set_visible(False)
    return figure


@mpl.rc_context(_LOOK)
def clicks_figure(curves: pd.DataFrame, n_clicks: int) -> Figure:
    """Mean Dice after each correction click, a line for each rule and model."""
    named = curves.assign(line=[f"{m}, {r}" for m, r in zip(curves["model"], curves["rule"], strict=True)])
    figure = _figure(_WIDTH * 0.7, 3.2)
    ax = figure.subplots()
    dose_curve(ax, named, "click", "dice", group="line", x_label="clicks", y_label="mean Dice")
    if ax.axison:
        ax.set(ylim=(-0.03, 1.03), xticks=range(1, n_clicks + 1))
    return figure


@mpl.rc_context(_LOOK)
def calibration_figure(calibrated: pd.DataFrame) -> Figure:
    """Predicted against true IoU of all strategies together, one plot for each model."""
    together = calibrated[calibrated["strategy"] == ALL]
    models = list(dict.fromkeys(together["model"]))
    figure = _figure(min(3.9 * len(models), 11.0), 4.4)
    grid = figure.subplots(2, len(models), squeeze=False, sharex=True, height_ratios=[4, 1])
    for k, model in enumerate(models):
        part = together[together["model"] == model]
        error = float(overall(part)["abs_error"].iloc[0])
        title = f"{model}: mean absolute error {error:.3f}"
        calibration(
            grid[0, k],
            bins_of(part),
            counts=grid[1, k],
            x_label="predicted IoU",
            y_label="true IoU",
            title=title,
        )
    return figure


@mpl.rc_context(_LOOK)
def failure_figure(failure: Failure) -> Figure:
    """One answer over its slice."""
    rows, cols = failure.image.shape
    height = 3.0 * min(1.6, rows * failure.spacing_mm[0] / (cols * failure.spacing_mm[1]))
    figure = Figure(figsize=(3.0, max(height, 1.2)))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    overlay(
        axes,
        failure.image,
        failure.truth,
        failure.prediction,
        points=failure.points,
        boxes=failure.boxes,
        spacing_mm=failure.spacing_mm,
    )
    axes.set_axis_off()
    return figure


def _figure(width: float, height: float, space: float = 0.04) -> Figure:
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=space))


def _png(figure: Figure, dpi: int) -> bytes:
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png", dpi=dpi, metadata={"Software": None})
    return pixels.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _stem(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)
