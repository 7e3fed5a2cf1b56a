"""What the figure of the Diagnostics panel shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napari_sam_med import plots
from napari_sam_med.evaluation.calibration import ALL, bins_of
from napari_sam_med.evaluation.statistics import Correlation, spearman
from napari_sam_med.factors import FACTORS
from napari_sam_med.gui.widgets.diagnostics_statistics import Found
from napari_sam_med.gui.widgets.figure_dots import Dots
from napari_sam_med.gui.widgets.figure_theme import Palette
from napari_sam_med.plots import Colors

MOST_FACTORS = 9
"""What the figure has room for at a readable size."""
_LONG_TICKS = 26
_LEGEND_LETTERS = 42


def draw_scatter(
    figure: Figure, palette: Palette, table: pd.DataFrame, factor: str, colour: str | None = None
) -> Sequence[Dots]:
    """Dice against one factor, rho and n in the title; keys of the dots are positions in `table`.

    Parameters
    ----------
    table : DataFrame
        Numbered 0..n-1, with ``dice`` and the factor.
    colour : str, optional
        Column whose values get a colour each.
    """
    axes = figure.add_subplot()
    known = FACTORS.get(factor)
    label = f"{known.title} ({known.unit})" if known.unit else known.title
    shown = plots.scatter(
        axes, table, factor, "dice", x_label=label, y_label="Dice", group=colour, colors=colors(palette)
    )
    if not shown:
        return ()
    axes.set_title(correlation_text(spearman(table[factor], table["dice"])), loc="right")
    axes.set_ylim(-0.04, 1.04)
    _quiet_grid(axes)
    places = np.array(shown, dtype=int)
    x, y = (table[name].to_numpy(float)[places] for name in (factor, "dice"))
    if np.ptp(x) > 0 and x.min() > 0 and x.max() / x.min() > 30:
        axes.set_xscale("log")  # sizes span decades; on a straight axis all but the largest lie on a heap
    if colour is not None:
        _legend_above(axes)
    return (Dots(axes, x, y, places.tolist()),)


def draw_boxes(
    figure: Figure, palette: Palette, table: pd.DataFrame, by: str, colour: str | None = None
) -> Sequence[Dots]:
    """A box of Dice for each value of a column; keys are the values."""
    axes = figure.add_subplot()
    known = table[np.isfinite(table["dice"].astype(float))]
    plots.box_by(axes, known, "dice", by, group=colour, value_label="Dice", colors=colors(palette))
    if known.empty:
        return ()
    names = list(dict.fromkeys(known[by]))
    if sum(len(str(name)) + 3 for name in names) > _LONG_TICKS:
        counts = known[by].value_counts()
        texts = [f"{name} ({counts[name]})" for name in names]
        axes.set_xticks(range(len(names)), texts, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_ylim(-0.04, 1.04)
    axes.grid(True, axis="y", linewidth=0.6)
    axes.set_axisbelow(True)
    if colour is not None:
        _legend_above(axes)
    medians = known.groupby(by, sort=False)["dice"].median().reindex(names).to_numpy(float)
    return (Dots(axes, np.arange(len(names), dtype=float), medians, names, band="column"),)


def draw_correlations(
    figure: Figure, palette: Palette, found: Found, chosen: str | None = None
) -> Sequence[Dots]:
    """Partial rho of Dice with the strongest factors, with intervals; keys are the factors' names."""
    axes = figure.add_subplot()
    names = strongest(found.table, chosen)
    if not names:
        notes = [str(note) for note in found.table.get("note", ()) if note]
        reason = notes[0] if notes else "no factor is known"
        plots.colors.say(axes, f"No partial correlations: {reason}.", colors(palette))
        return ()
    table = found.table.set_index("factor").loc[names].reset_index()
    table["title"] = [FACTORS.get(name).title for name in names]
    plots.intervals(
        axes, table, "title", "partial_rho", "partial_low", "partial_high",
        x_label="partial ρ with Dice", limits=(-1.05, 1.05), colors=colors(palette),
    )  # fmt: skip
    axes.set_xticks([-1, 0, 1])
    axes.tick_params(axis="y", length=0)
    axes.set_title(clusters_text(found, int(table["partial_n"].max())), loc="right")
    if chosen in names:
        axes.get_yticklabels()[names.index(chosen)].set_color(palette.accent)
    x = table["partial_rho"].to_numpy(float)
    return (Dots(axes, x, np.arange(len(names), dtype=float), names, band="row"),)


def draw_calibration(figure: Figure, palette: Palette, found: Found) -> Sequence[Dots]:
    """Predicted against true IoU in bins, with the mean error in the title."""
    axes = figure.add_subplot()
    plots.calibration(
        axes,
        bins_of(found.table),
        x_label="IoU the model predicted",
        y_label="true IoU",
        colors=colors(palette),
    )
    whole = found.table[found.table["bins"] == ALL]
    if len(whole):
        _quiet_grid(axes)
        axes.set_title(f"mean error {whole['abs_error'].iloc[0]:.2f}, n = {found.n_rows}", loc="right")
    return ()


def draw_jitter(
    figure: Figure, palette: Palette, found: Found, rule: str | None, model: str | None
) -> Sequence[Dots]:
    """Mean Dice against how far prompts were moved, a line for each prompt and way of moving it."""
    axes = figure.add_subplot()
    table = found.table
    for name, value in (("rule", rule), ("model", model)):
        table = table if value is None else table[table[name] == value]
    parts = ["strategy", "mode", *(name for name in ("model", "rule") if table[name].nunique() > 1)]
    table = table.assign(line=table[parts].agg(" ".join, axis=1))
    plots.dose_curve(
        axes, table, group="line", x_label="moved by (middle of the bin)", y_label="mean Dice",
        ticks="step", colors=colors(palette),
    )  # fmt: skip
    axes.set_ylim(-0.04, 1.04)
    _quiet_grid(axes)
    _legend_above(axes)
    return ()


def draw_text(figure: Figure, palette: Palette, text: str) -> Sequence[Dots]:
    """A sentence in place of a plot."""
    plots.colors.say(figure.add_subplot(), text, colors(palette))
    return ()


def strongest(table: pd.DataFrame, chosen: str | None, most: int = MOST_FACTORS) -> list[str]:
    """The factors with the largest absolute partial rho, the chosen one among them, strongest first."""
    if table.empty:
        return []
    known = table[table["partial_rho"].notna()]
    order = known["partial_rho"].abs().sort_values(ascending=False, kind="stable").index
    names: list[str] = known.loc[order, "factor"].tolist()
    if chosen in names[most:]:
        return [*names[: most - 1], str(chosen)]
    return names[:most]


def clusters_text(found: Found, n: int) -> str:
    """What the intervals are about, for a title."""
    if not found.cluster:
        return f"n = {n}; intervals follow…"
    if found.n_clusters < 2:
        return f"n = {n}, no interval"
    whole = "volumes" if found.cluster == "volume" else "slices of one volume"
    if not found.table["partial_low"].notna().any():
        return f"n = {n}, too few {whole} for intervals"
    return f"n = {n}, 95 % over {found.n_clusters} {whole}"


def colors(palette: Palette) -> Colors:
    """The palette as the plots take it."""
    return Colors(palette.dots, palette.accent, palette.text, palette.muted)


def correlation_text(correlation: Correlation) -> str:
    """ "ρ = −0.42, n = 120"."""
    return f"ρ = {rho_text(correlation.rho)}, n = {correlation.n_valid}"


def rho_text(rho: float) -> str:
    """Two decimals with a true minus; "–" where there is no correlation to speak of."""
    return "–" if math.isnan(rho) else f"{rho:.2f}".replace("-", "−")


def interval_text(value: float, low: float, high: float) -> str:
    """ "−0.42 (−0.60 to −0.20)"."""
    bounds = "" if math.isnan(low) else f" ({rho_text(low)} to {rho_text(high)})"
    return rho_text(value) + bounds


def _quiet_grid(axes: Axes) -> None:
    axes.grid(True, linewidth=0.6)
    axes.set_axisbelow(True)


def _legend_above(axes: Axes) -> None:
    """Put the legend over the axes, where it hides no dots."""
    old, figure = axes.get_legend(), axes.get_figure()
    if old is None or figure is None:
        return
    handles, labels = axes.get_legend_handles_labels()
    color, scale = old.get_texts()[0].get_color(), old.markerscale
    old.remove()
    columns = _LEGEND_LETTERS // (4 + max(len(label) for label in labels))
    figure.legend(
        handles, labels, loc="outside upper left", ncols=max(1, min(len(labels), columns)), frameon=False,
        labelcolor=color, markerscale=scale, handletextpad=0.2, columnspacing=0.8, borderpad=0,
    )  # fmt: skip
