"""Loss and validation curves of a run, as a picture."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

SHOWN = (("iou_box", "box", "C0"), ("iou_point", "point", "C1"), ("iou_second", "second look", "C2"))


def draw_curves(log: Path, validation: Path, out: Path) -> None:
    """Draw loss, IoU and learning rate against the step; nothing is drawn before the first line of the log."""
    if not log.exists():
        return
    table = pd.read_csv(log).drop_duplicates("step", keep="last")
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    loss, iou = figure.subplots(1, 2)
    smooth = table.rolling(10, min_periods=1).mean()
    loss.plot(table["step"], table["loss"], color="0.8", lw=0.8)
    loss.plot(table["step"], smooth["loss"], color="C0", label="training (mean of 10)")
    for column, name, colour in SHOWN:
        iou.plot(table["step"], smooth[column], color=colour, lw=0.8, alpha=0.6)
        if validation.exists():
            held = pd.read_csv(validation).drop_duplicates("step", keep="last")
            iou.plot(held["step"], held[column], "o-", ms=3, color=colour, label=f"{name}, held-out")
    if validation.exists():
        loss.plot(held["step"], held["loss"], "o-", ms=3, color="C3", label="held-out slices")
    loss.set(xlabel="step", ylabel="loss", title="Loss")
    iou.set(xlabel="step", ylabel="IoU (score rule)", title="IoU", ylim=(0, 1))
    for axes in (loss, iou):
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=110)
