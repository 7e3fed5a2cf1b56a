"""The figures of the robustness lab."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napari_sam_med.evaluation.calibration import ALL, bins_of, overall
from napari_sam_med.evaluation.degradations import DEGRADATIONS
from napari_sam_med.evaluation.figures import save_figure
from napari_sam_med.plots import PLAIN, Colors, calibration, dose_curve

MODE_TITLES = {
    "edges": "Each edge of the box moves",
    "shift": "The box moves as a whole",
    "first": "The first point moves",
    "all": "All points move",
    "box": "Box tighter or looser",
}
_X_LABELS = {"jitter": "moved by", "padding": "sides longer by (%)"}
_Y_LABELS = {"dice": "Dice", "loss": "Dice lost"}


def mode_title(lab: str, mode: str) -> str:
    """A few words for a mode of a lab."""
    return DEGRADATIONS.get(mode).title if lab == "degradation" else MODE_TITLES[mode]


def draw_curves(
    axes: Axes,
    curves: pd.DataFrame,
    lab: str,
    mode: str,
    value: str = "dice",
    *,
    group: str = "strategy",
    names: Sequence[str] | None = None,
    legend: bool = True,
    colors: Colors = PLAIN,
) -> None:
    """Mean Dice (or the loss) of one mode against its dose.

    Parameters
    ----------
    axes : Axes
    curves : DataFrame
        What ``robustness_curves.curves`` gives, of one rule, and of one model or one strategy: the other is `group`.
    lab, mode : str
    value : {"dice", "loss"}
    group : {"strategy", "model"}
        What gets a line each.
    names : sequence of str, optional
        All groups, in the order of colours; those of `curves` by default, whichever mode they occur in.
    legend : bool
    colors : Colors
    """
    shown = curves[(curves["lab"] == lab) & (curves["mode"] == mode)]
    x_label = DEGRADATIONS.get(mode).unit if lab == "degradation" else _X_LABELS[lab]
    dose_curve(
        axes,
        shown,
        "dose",
        value,
        group=group,
        names=list(dict.fromkeys(curves[group])) if names is None else names,
        legend=legend,
        ticks="step" if lab == "jitter" else None,
        x_label=x_label,
        y_label=_Y_LABELS[value],
        title=mode_title(lab, mode),
        colors=colors,
    )
    if axes.axison and value == "dice":
        axes.set_ylim(-0.03, 1.03)


def draw_calibration(
    axes: Axes,
    calibrated: pd.DataFrame,
    *,
    counts: Axes | None = None,
    what: str = "",
    colors: Colors = PLAIN,
) -> None:
    """Predicted against true IoU, with the mean absolute error above.

    Parameters
    ----------
    axes : Axes
    calibrated : DataFrame
        What ``calibration.calibration`` gives, of one model, strategy and rule.
    counts : Axes, optional
        Where the histogram of predictions goes.
    what : str
        Goes before the number in the title.
    colors : Colors
    """
    total = overall(calibrated)
    title = ""
    if len(total):
        row = total.iloc[0]
        title = f"{what}mean absolute error {row['abs_error']:.3f}, n = {int(row['n'])}"
    labels = {"x_label": "predicted IoU", "y_label": "true IoU"}
    calibration(axes, bins_of(calibrated), counts=counts, title=title, colors=colors, **labels)


def save_lab_figures(curves: pd.DataFrame, calibrated: pd.DataFrame, folder: Path) -> list[Path]:
    """Write the figures as PNG and SVG: for every model and rule one of each lab, and one of the calibration.

    Models that were asked the same are also drawn together, for every lab, strategy and rule.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    written: list[Path] = []
    strategies, models = (list(dict.fromkeys(curves[name])) for name in ("strategy", "model"))
    for (lab, model, rule), part in curves.groupby(["lab", "model", "rule"], sort=False):
        figure = curves_figure(part, str(lab), "strategy", strategies)
        figure.suptitle(f"{model}, {rule} rule; {band(part)}", fontsize="medium")
        written += save_figure(figure, folder, f"robustness_{lab}_{model}_{rule}")
    for (lab, strategy, rule), part in curves.groupby(["lab", "strategy", "rule"], sort=False):
        if part["model"].nunique() > 1:
            figure = curves_figure(part, str(lab), "model", models)
            figure.suptitle(f"{strategy}, {rule} rule; {band(part)}", fontsize="medium")
            written += save_figure(figure, folder, f"robustness_{lab}_models_{strategy}_{rule}")
    together = calibrated[calibrated["strategy"] == ALL]
    for (model, rule), part in together.groupby(["model", "rule"], sort=False):
        kinds = list(dict.fromkeys(part["rows"]))
        figure = Figure(figsize=(4.6 * len(kinds), 5.4), layout="constrained")
        grid = figure.subplots(2, len(kinds), squeeze=False, sharex=True, height_ratios=[4, 1])
        for k, kind in enumerate(kinds):
            draw_calibration(grid[0, k], part[part["rows"] == kind], counts=grid[1, k], what=f"{kind}: ")
        figure.suptitle(f"{model}, {rule} rule, all strategies; {band(part)}", fontsize="medium")
        written += save_figure(figure, folder, f"robustness_calibration_{model}_{rule}")
    return written


def curves_figure(curves: pd.DataFrame, lab: str, group: str, known: list[str]) -> Figure:
    """All modes of a lab side by side, with one legend."""
    modes = list(dict.fromkeys(curves["mode"]))
    columns = 2 if len(modes) == 4 else min(3, len(modes))
    n_lines = -(-len(modes) // columns)
    figure = Figure(figsize=(4.4 * columns + 1.2, 3.4 * n_lines + 0.4), layout="constrained")
    grid = figure.subplots(n_lines, columns, squeeze=False).ravel()
    handles: dict[str, Artist] = {}
    for axes, mode in zip(grid, modes, strict=False):
        draw_curves(axes, curves, lab, mode, group=group, names=known, legend=False)
        lines_here, names_here = axes.get_legend_handles_labels()
        handles |= dict(zip(names_here, lines_here, strict=True))
    for axes in grid[len(modes) :]:
        axes.set_visible(False)
    names = [name for name in known if name in handles]
    figure.legend([handles[name] for name in names], names, loc="outside right upper", frameon=False)
    return figure


def band(table: pd.DataFrame) -> str:
    """What the intervals rest on, in words."""
    n_clusters, cluster = int(table["n_clusters"].max()), table["cluster"].iloc[0]
    if n_clusters < 2:
        return f"no interval: 1 {cluster}"
    return f"95 % interval over {n_clusters} {cluster}s"
