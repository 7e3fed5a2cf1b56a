"""The second half of a report's results: what goes with failure, how robust and how honest the model is, the worst."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from napari_sam_med.evaluation.atlas import Failure
from napari_sam_med.evaluation.baselines import BASELINES
from napari_sam_med.evaluation.calibration import ALL, GROUPS, calibration, overall
from napari_sam_med.evaluation.report_blocks import (
    NOTHING,
    ONE_VOLUME,
    Block,
    Cell,
    Definitions,
    Group,
    Paragraph,
    Section,
    cells,
    count,
    excludes_zero,
    interval,
    listing,
    number,
    signed,
)
from napari_sam_med.evaluation.report_figures import (
    calibration_figure,
    correlations_figure,
    factors_figure,
    failure_figure,
)
from napari_sam_med.evaluation.report_load import ReportData
from napari_sam_med.evaluation.report_maker import Maker
from napari_sam_med.evaluation.report_tables import factor_table, records
from napari_sam_med.factors import FACTORS
from napari_sam_med.prompts import STRATEGIES

_DRAWN = ("S5", "S2", "S6", "center", "S3", "S4")
_MOST_DRAWN = 3


def factors_section(data: ReportData, maker: Maker) -> Section | None:
    """Dice against every factor; None where no factor is known."""
    found = factor_table(data.rows(data.rule), list(FACTORS))
    if found.empty:
        return None
    factors = list(dict.fromkeys(found["factor"]))
    own = found[found["model"] == data.model]
    drawn = _drawn(list(dict.fromkeys(own["strategy"])))
    shown = own[own["strategy"].isin(drawn)].copy()
    shown["strategy"] = pd.Categorical(shown["strategy"], drawn)
    shown = shown.sort_values("strategy", kind="stable").astype({"strategy": object})
    partly = bool(np.isfinite(shown["partial_low"]).any())
    findings = _findings(shown[shown["strategy"] == drawn[0]], partly, data.model, drawn[0])
    text = (
        "Each factor is measured on the true object. Spearman's ρ says how Dice goes with it; the partial ρ does so "
        f"with all other factors held fixed. Of {count(len(factors), 'interval')}, about one in twenty leaves out zero "
        f"by chance alone. {findings}"
    )
    blocks: list[Block] = [Paragraph(text)]
    if data.n_volumes == 1:
        blocks.append(Paragraph(ONE_VOLUME, "note"))
    elif not partly:
        why = (
            "The partial ρ have no intervals: in too many bootstrap samples there are too few different rows for "
            f"{count(len(factors), 'factor')}. More volumes mend that."
        )
        blocks.append(Paragraph(why, "note"))
    what = "Partial Spearman correlation" if partly else "Spearman's correlation"
    caption = f"{what} of Dice with each factor, {data.model}, rule {data.rule}."
    if data.n_volumes > 1:
        caption += " Lines are 95 % intervals from a bootstrap over volumes; a filled dot's interval leaves out zero."
    alt = f"Dots with intervals around a line at zero: a line for each factor, a colour for each of {listing(drawn)}."
    if shown["rho"].notna().any():
        blocks.append(maker.picture(correlations_figure(shown, partly), "factors_rho", caption, alt))
    blocks.append(_factor_table(data, maker, shown, found, drawn, partly))
    for strategy in drawn[:2]:
        own_rows = records(shown[(shown["strategy"] == strategy) & shown["rho"].notna()])
        if not own_rows:
            continue
        titles = {row["factor"]: _numbers_of(row, partly) for row in own_rows}
        figure = factors_figure(data.rows(data.rule, data.model, strategy), titles)
        caption = (
            f"Dice against each factor, {data.model}, {_strategy(strategy)}, rule {data.rule}; each dot "
            "is an object in a slice. The line joins medians of parts of equal size."
        )
        alt = f"Scatter plots of Dice against {len(titles)} factors, each with its rho above."
        blocks.append(maker.picture(figure, f"factors_{strategy}", caption, alt))
    blocks.append(Definitions([(_factor_title(name), FACTORS.get(name).meaning) for name in factors]))
    blocks += _vessels(data)
    return Section("factors", "What goes with failure", blocks, 3)


def _factor_table(
    data: ReportData, maker: Maker, shown: pd.DataFrame, every: pd.DataFrame, drawn: list[str], partly: bool
) -> Block:
    """Rho and partial rho of every factor, with the interval of the partial one where it is known."""
    low, high = ("partial_low", "partial_high") if partly else ("low", "high")
    rows = []
    for factor, lines in shown.groupby("factor", sort=False):
        row = [Cell(_factor_title(str(factor)))]
        by = {row["strategy"]: row for row in records(lines)}
        for strategy in drawn:
            at = by[strategy]
            rho = Cell(signed(at["rho"], 2), excludes_zero(at["low"], at["high"]))
            sure = excludes_zero(at["partial_low"], at["partial_high"])
            partial = Cell(signed(at["partial_rho"], 2), sure)
            bounds = Cell(interval(at[low], at[high], 2, plus=True))
            row += [rho, partial, bounds] if partly else [rho, bounds, partial]
        rows.append(row)
    columns = ["Factor"]
    for strategy in drawn:
        columns += [
            f"{strategy}: ρ",
            *(("partial ρ", "95 % interval") if partly else ("95 % interval", "partial ρ")),
        ]
    first = shown[shown["strategy"] == drawn[0]]
    note = (
        f"ρ rests on up to {int(first['n_valid'].max())} objects in slices, partial ρ on "
        f"{int(first['partial_n'].max())} in which all factors are known. Bold: the interval leaves out zero."
    )
    why = {f"{_factor_title(row['factor'])}: {row['note']}" for row in records(first) if row["note"]}
    if why:
        note += f" Without partial ρ: {'; '.join(sorted(why))}."
    caption = f"Spearman's ρ and partial ρ of Dice with each factor, {data.model}, rule {data.rule}."
    return maker.table(caption, columns, [Group("", rows)], every, "factors", note)


def _numbers_of(row: dict[str, Any], partly: bool) -> str:
    """Rho, partial rho and n of a factor; the interval is that of the partial one where it is known."""
    low, high = ("partial_low", "partial_high") if partly else ("low", "high")
    bounds = interval(row[low], row[high], 2, plus=True)
    within = "" if bounds == NOTHING else f" ({bounds})"
    rho, partial = f"ρ {signed(row['rho'], 2)}", f"partial {signed(row['partial_rho'], 2)}"
    words = [rho, partial + within] if partly else [rho + within, partial]
    return ", ".join([*words, f"n = {int(row['n_valid'])}"])


def _findings(table: pd.DataFrame, partly: bool, model: str, strategy: str) -> str:
    """Which factors go with Dice, in words."""
    rho, low, high = (f"partial_{name}" if partly else name for name in ("rho", "low", "high"))
    rows = [row for row in records(table) if excludes_zero(row[low], row[high])]
    who = f"{model} with {_strategy(strategy)}"
    if not rows:
        known = bool(np.isfinite(table[low]).any())
        return f"{'No interval leaves out zero' if known else 'No interval could be computed'} for {who}."
    parts = []
    for word, sign in (("rises", 1), ("falls", -1)):
        part = sorted((row for row in rows if row[rho] * sign > 0), key=lambda row: -abs(row[rho]))
        names = [f"{FACTORS.get(row['factor']).title.lower()} ({signed(row[rho], 2)})" for row in part]
        parts += [f"{word} with {listing(names)}"] * bool(names)
    return f"For {who}, Dice {' and '.join(parts)}{'' if partly else ', other factors not held fixed'}."


def _vessels(data: ReportData) -> list[Block]:
    own = data.rows(data.rule, data.model)
    flags = own["vessel_like"].astype(float)
    if not (flags == 1).any():
        return []
    targets = own[flags == 1][["case", "axis", "slice", "label"]].drop_duplicates()
    lines = [
        f"{strategy} {number(part.loc[flags[part.index] == 1, 'dice'].mean(), 2)} (others "
        f"{number(part.loc[flags[part.index] == 0, 'dice'].mean(), 2)})"
        for strategy, part in own.groupby("strategy", sort=False)
    ]
    text = (
        f"{count(len(targets), 'object in a slice is', 'objects in slices are')} thin, branching or scattered like "
        f"vessels; mean Dice there: {listing(lines)}. A box for each part (strategy boxes) or several points "
        f"on the branches suit "
        "such objects better than a single box or point."
    )
    return [Paragraph(text)]


def calibration_section(data: ReportData, maker: Maker) -> Section | None:
    """Predicted against true IoU; None where no model predicts."""
    rows = data.rows(data.rule)
    rows = rows[np.isfinite(rows["predicted_iou"]) & np.isfinite(rows["dice"])]
    if rows.empty:
        return None
    if rows["jaccard"].isna().all():
        rows = rows.drop(columns="jaccard")
    together, apart = calibration(rows, by=("model", "rule")), calibration(rows, by=GROUPS)
    caption = (
        f"Predicted against true IoU of the chosen candidate, all strategies, rule {data.rule}. On the dashed line "
        "predictions are right, below it too high; the bars below count the predictions."
    )
    if data.n_volumes > 1:
        caption += " Vertical lines are 95 % intervals from a bootstrap over volumes."
    models = list(dict.fromkeys(together["model"]))
    alt = f"Reliability diagrams with histograms of predicted IoU for {listing(models)}."
    blocks: list[Block] = [maker.picture(calibration_figure(together), "calibration", caption, alt)]
    lines = pd.concat([overall(together), overall(apart)])
    texts = [
        cells(
            [
                row["model"],
                "all strategies" if row["strategy"] == ALL else row["strategy"],
                number(row["predicted_iou"]),
                number(row["true_iou"]),
                signed(row["predicted_iou"] - row["true_iou"]),
                number(row["abs_error"]),
                interval(row["abs_error_low"], row["abs_error_high"])
                if row["cluster"] == "volume"
                else NOTHING,
                str(int(row["n"])),
            ]
        )
        for row in records(lines)
    ]
    columns = [
        "Model",
        "Strategy",
        "Predicted IoU",
        "True IoU",
        "Bias",
        "Mean absolute error",
        "95 % interval",
        "n",
    ]
    every = pd.concat([together, apart])
    caption = f"How far the model's own guess of IoU is off, rule {data.rule}."
    blocks.append(maker.table(caption, columns, [Group("", texts)], every, "calibration", "", 2))
    return Section("calibration", "Does the model know how good it is?", blocks, 3)


def atlas_section(data: ReportData, maker: Maker, n_worst: int) -> Section | None:
    """The worst answers; None where none were kept."""
    chosen = worst_of_each(data.failures, n_worst)
    if not chosen:
        return None
    figures = []
    for k, failure in enumerate(chosen, start=1):
        where = f"{failure.case}, {failure.axis} slice {failure.slice}"
        prompt = _strategy(failure.strategy)
        caption = (
            f"{failure.label_name or f'label {failure.label}'}, {failure.model}, {prompt}: Dice "
            f"{number(failure.dice, 2)}, "
            f"predicted IoU {number(failure.predicted_iou, 2)}. {where}."
        )
        missed = int((failure.truth & ~failure.prediction).sum())
        extra = int((failure.prediction & ~failure.truth).sum())
        alt = f"Slice with outlines of truth and prediction; {missed} pixels missed, {extra} extra. {caption}"
        figures.append((failure_figure(failure), f"worst_{k:02d}", caption, alt))
    rule = chosen[0].rule
    caption = (
        f"The worst answers of every model and strategy, rule {rule}. Green outline: truth; yellow: "
        f"prediction; orange: "
        "missed; blue: extra; green plus and red cross: positive and negative points; dashed: box."
    )
    text = (
        "Of neighbouring slices of one object only the worst is kept. Slices are counted from 0 in the "
        "program's order."
    )
    return Section("worst", "Failure atlas", [Paragraph(text, "note"), maker.gallery(figures, caption)], 3)


def worst_of_each(failures: list[Failure], n: int) -> list[Failure]:
    """The worst answers of models, each model and strategy in turn.

    So one hopeless strategy does not fill the atlas. Baselines are left out unless there is nothing else.
    """
    own = [f for f in failures if f.model not in BASELINES] or failures
    groups: dict[tuple[str, str], list[Failure]] = {}
    for failure in own:
        groups.setdefault(failure.group, []).append(failure)
    deepest = max((len(group) for group in groups.values()), default=0)
    in_turn = [group[k] for k in range(deepest) for group in groups.values() if k < len(group)]
    order = list(STRATEGIES)
    key = {name: k for k, name in enumerate(order)}
    return sorted(in_turn[: max(n, 0)], key=lambda f: (f.model, key.get(f.strategy, len(order)), f.dice))


def _drawn(strategies: list[str]) -> list[str]:
    """The strategies that figures of factors show: a box, a point, and one more."""
    preferred = [name for name in _DRAWN if name in strategies]
    return [*preferred, *(name for name in strategies if name not in preferred)][:_MOST_DRAWN]


def _strategy(name: str) -> str:
    return f"{name} ({STRATEGIES.get(name).title})" if name in STRATEGIES else name


def _factor_title(name: str) -> str:
    factor = FACTORS.get(name)
    return f"{factor.title} ({factor.unit})" if factor.unit else factor.title
