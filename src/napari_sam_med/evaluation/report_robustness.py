"""The part of a report about the robustness lab: Dice when prompts move and images get worse."""

from __future__ import annotations

import pandas as pd

from napari_sam_med.evaluation.degradations import DEGRADATIONS
from napari_sam_med.evaluation.report_blocks import (
    Block,
    Cell,
    Definitions,
    Group,
    Paragraph,
    Section,
    count,
    excludes_zero,
    interval,
    listing,
    number,
    signed,
)
from napari_sam_med.evaluation.report_load import ReportData
from napari_sam_med.evaluation.report_maker import Maker
from napari_sam_med.evaluation.report_tables import records
from napari_sam_med.evaluation.robustness_config import NOTHING
from napari_sam_med.evaluation.robustness_curves import curves
from napari_sam_med.evaluation.robustness_figures import band, curves_figure, mode_title

_TITLES = {
    "jitter": "Prompts moved at random",
    "padding": "Boxes tighter or looser",
    "degradation": "Images made worse",
}


def robustness_section(data: ReportData, maker: Maker) -> Section | None:
    """Curves of Dice against dose and what is lost at the strongest; None without rows of the lab."""
    if data.lab is None:
        return None
    found = curves(data.lab)
    found = found[found["dice"].notna()]
    if found.empty:
        return None
    rules = list(dict.fromkeys(found["rule"]))
    rule = data.rule if data.rule in rules else rules[0]
    models = list(dict.fromkeys(found["model"]))
    model = data.model if data.model in models else models[0]
    own = found[(found["rule"] == rule) & (found["model"] == model)]
    n_volumes = data.lab.loc[data.lab["dice"].notna(), "case"].nunique()
    text = (
        f"The lab asked {listing(models)} again about objects of {count(n_volumes, 'volume')}, with prompts that were "
        f"moved and images that were made worse, each compared with the same object, strategy and rule with nothing "
        f"changed ({band(own)}). Every object in a slice and every draw counts once."
    )
    n_errors = int((data.lab["error"] != "").sum())
    if n_errors:
        text += f" {count(n_errors, 'row')} of the lab failed and are left out."
    blocks: list[Block] = [Paragraph(text)]
    if data.lab_info.get("stopped", True):
        blocks.append(
            Paragraph("The visit to the lab was not finished; these are the rows so far.", "warning")
        )
    strategies = list(dict.fromkeys(own["strategy"]))
    for lab, part in own.groupby("lab", sort=False):
        caption = (
            f"{_TITLES.get(str(lab), str(lab))}: mean Dice against the dose, {model}, rule {rule}; bands: "
            f"{band(part)}."
        )
        alt = f"Curves of mean Dice against the dose for {listing(strategies)}, one plot for each way of changing."
        figure = curves_figure(part, str(lab), "strategy", strategies)
        blocks.append(maker.picture(figure, f"robustness_{lab}", caption, alt))
    blocks.append(_losses(maker, own, found, model, rule))
    kinds = [
        mode for mode in dict.fromkeys(own.loc[own["lab"] == "degradation", "mode"]) if mode in DEGRADATIONS
    ]
    if kinds:
        blocks.append(
            Definitions([(DEGRADATIONS.get(kind).title, DEGRADATIONS.get(kind).meaning) for kind in kinds])
        )
    return Section("robustness", "Robustness", blocks, 3)


def _losses(maker: Maker, own: pd.DataFrame, every: pd.DataFrame, model: str, rule: str) -> Block:
    """Dice lost at the dose where a strategy loses most."""
    rows = []
    for (lab, mode, strategy), part in own.groupby(["lab", "mode", "strategy"], sort=False):
        changed = part[(part["step"] != NOTHING) & part["loss"].notna()]
        if changed.empty:
            continue
        worst = records(changed.nlargest(1, "loss"))[0]
        rows.append(
            [
                Cell(mode_title(str(lab), str(mode))),
                Cell(str(strategy)),
                Cell(str(worst["step"])),
                Cell(number(worst["dice"])),
                Cell(signed(-worst["loss"]), excludes_zero(worst["loss_low"], worst["loss_high"])),
                Cell(interval(-worst["loss_high"], -worst["loss_low"], plus=True)),
                Cell(f"{int(worst['n_valid'])}"),
            ]
        )
    columns = ["What is changed", "Strategy", "Worst dose", "Mean Dice", "Change", "95 % interval", "n"]
    caption = f"The largest loss of Dice by each change, {model}, rule {rule}."
    note = "Change: against the same objects with nothing changed. All doses are in the file."
    return maker.table(caption, columns, [Group("", rows)], every, "robustness", note, 3)
