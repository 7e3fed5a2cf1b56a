"""The comparisons of a report: models and strategies with each other, the two rules, and click after click."""

from __future__ import annotations

import numpy as np
import pandas as pd

from napari_sam_med.evaluation.report_blocks import (
    NOTHING,
    ONE_VOLUME,
    Block,
    Bullets,
    Cell,
    Group,
    Paragraph,
    Section,
    count,
    excludes_zero,
    interval,
    number,
    signed,
)
from napari_sam_med.evaluation.report_figures import (
    clicks_figure,
    differences_figure,
)
from napari_sam_med.evaluation.report_load import ReportData
from napari_sam_med.evaluation.report_maker import Maker
from napari_sam_med.evaluation.report_tables import (
    click_curves,
    differences,
    records,
    volume_means,
)
from napari_sam_med.evaluation.robustness_curves import oracle_gap


def differences_section(data: ReportData, maker: Maker) -> Section | None:
    """Paired differences between models and between strategies; None if there is one of each."""
    blocks: list[Block] = []
    for between, held in (("model", "strategy"), ("strategy", "model")):
        every = differences(data.scored, between)
        if every.empty:
            continue
        shown = every[every["rule"] == data.rule]
        reference = ""
        if between == "strategy":
            shown = shown[shown["held"] == data.model]
            reference = _best_strategy(data)
            shown = _against(shown, reference)
        if shown.empty:
            continue
        blocks += _difference_blocks(data, maker, between, held, shown, every, reference)
    if not blocks:
        return None
    text = (
        "The same objects in the same slices are compared with each other, so what makes an object hard weighs on both "
        "sides. Differences are averaged over slices, objects and volumes in turn; intervals are a bootstrap over "
        "volumes, and in bold where they leave out zero."
    )
    if data.n_volumes == 1:
        text += f" {ONE_VOLUME}"
    return Section("differences", "Paired differences", [Paragraph(text), *blocks], 3)


def _difference_blocks(
    data: ReportData,
    maker: Maker,
    between: str,
    held: str,
    shown: pd.DataFrame,
    every: pd.DataFrame,
    reference: str,
) -> list[Block]:
    rows = [
        [
            Cell(str(row["held"])),
            Cell(f"{row['second']} − {row['first']}"),
            Cell(signed(row["difference"]), excludes_zero(row["low"], row["high"])),
            Cell(interval(row["low"], row["high"], plus=True)),
            Cell(f"{int(row['n_pairs'])}"),
            Cell(f"{int(row['n_volumes'])}"),
        ]
        for row in records(shown)
    ]
    what = {"model": "models", "strategy": f"strategies, each against {reference} (the best mean by volume)"}[
        between
    ]
    columns = [held.capitalize(), "Difference in Dice of", "Mean", "95 % interval", "Pairs", "Volumes"]
    note = f"Rule {data.rule}. All pairs and rules are in the file."
    table = maker.table(
        f"Paired differences between {what}.",
        columns,
        [Group("", rows)],
        every,
        f"differences_{between}",
        note,
        2,
    )
    if between == "model" or len(shown) < 2:
        return [table]
    named = shown.assign(name=shown["second"])
    figure = differences_figure(named, reference)
    caption = (
        f"Difference in Dice from {reference}, {data.model}, rule {data.rule}. A filled dot's interval "
        f"leaves out 0."
    )
    alt = f"Dots with intervals: mean paired difference of every strategy from {reference}, with a line at zero."
    return [maker.picture(figure, "differences_strategy", caption, alt), table]


def _best_strategy(data: ReportData) -> str:
    means = volume_means(data.rows(data.rule, data.model), by=["strategy"])
    best = records(means.dropna(subset="mean").nlargest(1, "mean"))
    return str(best[0]["strategy"]) if best else ""


def _against(table: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Differences of all others from one, turned where it stands second."""
    turned = table["second"] == reference
    out = table[turned | (table["first"] == reference)].copy()
    flip = turned.loc[out.index]
    columns = ["first", "second", "low", "high"]
    out.loc[flip, columns] = out.loc[flip, ["second", "first", "high", "low"]].to_numpy()
    out.loc[flip, ["difference", "low", "high"]] *= -1
    return out.astype({"difference": float, "low": float, "high": float})


def gap_section(data: ReportData, maker: Maker) -> Section | None:
    """What the model's own choice costs; None without both rules."""
    gaps = oracle_gap(data.scored)
    if gaps.empty:
        return None
    several = data.n_volumes > 1  # over the slices of one volume an interval would promise too much
    rows = [
        [
            Cell(str(row["model"])),
            Cell(str(row["strategy"])),
            Cell(number(row["score"])),
            Cell(number(row["oracle"])),
            Cell(signed(row["gap"]), several and excludes_zero(row["gap_low"], row["gap_high"])),
            Cell(interval(row["gap_low"], row["gap_high"], plus=True) if several else NOTHING),
            Cell(f"{int(row['n_valid'])}"),
        ]
        for row in records(gaps)
    ]
    note = "Every object in a slice counts once. "
    note += "The interval is a bootstrap over volumes; bold: it leaves out zero." if several else ONE_VOLUME
    text = (
        "The oracle picks the candidate that fits the truth best, which no user can: the gap is what a perfect guess "
        "of quality would still gain."
    )
    columns = ["Model", "Strategy", "Score", "Oracle", "Gap", "95 % interval", "n"]
    caption = "Mean Dice by the two rules, and the gap between them."
    table = maker.table(caption, columns, [Group("", rows)], gaps, "oracle_gap", note, 2)
    return Section("gap", "What the choice of candidate costs", [Paragraph(text), table], 3)


def clicks_section(data: ReportData, maker: Maker) -> Section | None:
    """Dice after each correction click; None without that strategy."""
    curves = click_curves(data.scored)
    if curves.empty:
        return None
    n_clicks = int(curves["click"].max())
    target = data.config.get("target_dice", float("nan"))
    lines = []
    for (rule, model), part in data.scored[data.scored["strategy"] == "clicks"].groupby(
        ["rule", "model"], sort=False
    ):
        reached = part["clicks_to_target"].astype(float)
        auc = part["click_auc"].astype(float)
        median = f" (median {np.nanmedian(reached):.0f} clicks)" if reached.notna().any() else ""
        lines.append(
            f"{model}, rule {rule}: Dice {number(target, 2)} was reached within {count(n_clicks, 'click')} in "
            f"{reached.notna().mean():.0%} of {count(len(part), 'object in a slice', 'objects in slices')}{median}; "
            f"mean area under the curve {number(auc.mean())}."
        )
    caption = (
        "Mean Dice after each click; the first lies deep inside the object, each other corrects the largest "
        "error."
    )
    if data.n_volumes > 1:
        caption += " Bands are 95 % intervals from a bootstrap over volumes."
    alt = "Lines of mean Dice against the number of clicks, one for each rule and model."
    figure = maker.picture(clicks_figure(curves, n_clicks), "clicks", caption, alt)
    maker.save(curves, "clicks")
    return Section("clicks", "Correction clicks", [figure, Bullets(lines)], 3)
