"""The results of a report: what was scored, how well, by whom, and by how much one is better than another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from napari_sam_med.evaluation.figures import metric_label
from napari_sam_med.evaluation.report_blocks import (
    NOTHING,
    ONE_VOLUME,
    Block,
    Bullets,
    Cell,
    Group,
    Paragraph,
    Section,
    Table,
    cells,
    count,
    interval,
    listing,
    number,
)
from napari_sam_med.evaluation.report_figures import (
    lines_figure,
    strategies_figure,
)
from napari_sam_med.evaluation.report_load import ReportData
from napari_sam_med.evaluation.report_maker import Maker
from napari_sam_med.evaluation.report_tables import (
    failure_counts,
    records,
    slice_means,
    volume_means,
)
from napari_sam_med.metrics import METRICS

_MOST_LINES = 45
_MOST_REASONS = 15
_OTHERS = ("jaccard", "nsd", "hd95_mm", "assd_mm", "volume_error_pct")


def data_section(data: ReportData, maker: Maker) -> Section:
    """What was scored, and what could not be."""
    scored, info = data.scored, data.info
    places = scored[["case", "axis", "slice"]].drop_duplicates()
    targets = scored[["case", "axis", "slice", "label"]].drop_duplicates()
    objects = scored[["case", "label"]].drop_duplicates()
    text = (
        f"{count(data.n_volumes, 'volume')} with {count(len(objects), 'object')} were scored in "
        f"{count(len(places), 'slice')}, which makes {count(len(targets), 'object in a slice', 'objects in slices')}, "
        f"by {count(len(data.models), 'model')} ({listing(data.models)}) with "
        f"{count(len(data.strategies), 'prompt strategy', 'prompt strategies')} ({listing(data.strategies)}), the "
        f"answer being chosen by {count(len(data.rules), 'rule')} ({listing(data.rules)}): "
        f"{count(len(scored), 'row')}."
    )
    blocks: list[Block] = [Paragraph(text)]
    known = {data.names.get(case, case): facts for case, facts in (info.get("cases") or {}).items()}
    means = volume_means(data.rows(data.rule), by=["case"]).set_index("case")
    rows = []
    for case in dict.fromkeys(data.table["case"]):
        facts = known.get(case) or {}
        mine = scored[scored["case"] == case]
        modality = facts.get("modality") or next(iter(mine["modality"]), "")
        rows.append(
            cells(
                [
                    case,
                    modality or NOTHING,
                    "\u00a0×\u00a0".join(str(n) for n in facts.get("shape") or ()) or NOTHING,
                    "\u00a0×\u00a0".join(f"{mm:.3g}" for mm in facts.get("spacing_mm") or ()) or NOTHING,
                    facts.get("window") or NOTHING,
                    str(len(mine[["axis", "slice"]].drop_duplicates())),
                    str(mine["label"].nunique()),
                    str(int((data.table["case"] == case).sum() - len(mine))),
                    number(means["mean"].get(case, float("nan"))),
                ]
            )
        )
    if rows:
        columns = ["Volume", "Modality", "Voxels (z, y, x)", "Spacing (mm)", "Window (level/width)", "Slices"]
        columns += ["Objects", "Failed rows", f"Mean Dice, rule {data.rule or NOTHING}"]
        note = "Mean Dice over the slices of an object, then objects, over all models and strategies."
        blocks.append(maker.table("Volumes.", columns, [Group("", rows)], note=note, n_texts=5))
    blocks += _failures(data)
    if data.missing:
        blocks.append(
            Paragraph(
                f"The table of scores lacks columns that are left out here: {listing(data.missing)}.", "note"
            )
        )
    return Section("data", "What was evaluated", blocks)


def _failures(data: ReportData) -> list[Block]:
    found = failure_counts(data.table)
    if found.empty:
        return [Paragraph("No row failed.")]
    total = int(found["n_rows"].sum())
    text = f"{count(total, 'row')} could not be scored; all means are of the others:"
    lines = [
        f"{row['error']} ({count(int(row['n_rows']), 'row')}; {listing(row['cases'], 6)})"
        for row in records(found.head(_MOST_REASONS))
    ]
    if len(found) > _MOST_REASONS:
        lines.append(f"{len(found) - _MOST_REASONS} further reasons; see the column “error” of scores.csv.")
    return [Paragraph(text), Bullets(lines)]


def overlap_section(data: ReportData, maker: Maker) -> Section:
    """Dice of models, strategies and rules: by slices, by volumes; other metrics."""
    blocks: list[Block] = []
    by_slice, by_volume = slice_means(data.scored), volume_means(data.scored)
    blocks.append(_slice_table(data, maker, by_slice))
    shown = [rule for rule in data.rules if rule in ("score", "oracle")] or data.rules[:2]
    figure = strategies_figure(data.scored, shown)
    caption = (
        "Dice by strategy; every object in a slice is one value. Boxes span the quartiles, the line is the median, the "
        "diamond the mean, whiskers reach 1.5 quartile distances."
    )
    alt = f"Box plots of Dice by strategy for the rules {listing(shown)}; the medians are those of the table above."
    blocks.append(maker.picture(figure, "dice_by_strategy", caption, alt))
    blocks.append(_volume_table(data, maker, by_volume))
    cases = list(dict.fromkeys(data.scored["case"]))
    if 1 < len(cases) <= _MOST_LINES:
        own = data.rows(data.rule, data.model)
        means = volume_means(own, by=["case", "strategy"])
        caption = f"Mean Dice of every volume, {data.model}, rule {data.rule}; n counts objects."
        alt = "Dot plot: a line for every volume, on it the mean Dice of every strategy."
        figure = lines_figure(_best_first(means, "case"), "case", "n_objects", "mean Dice of the volume")
        blocks.append(maker.picture(figure, "dice_by_volume", caption, alt))
    blocks.append(_other_metrics(data, maker))
    return Section("overlap", "How well the masks fit", blocks, 3)


def _groups_of_rules(
    data: ReportData, means: pd.DataFrame, more: Callable[[Mapping[str, Any]], list[Cell]]
) -> list[Group]:
    """Model, strategy, mean and interval, then `more` cells of each row; a group a rule, its best mean in bold."""
    groups = []
    for rule in data.rules:
        part = means[means["rule"] == rule]
        best = part["mean"].max()
        rows = [
            [
                Cell(row["model"]),
                Cell(row["strategy"]),
                Cell(f"{number(row['mean'])} ({number(row['sd'])})", bool(row["mean"] == best)),
                Cell(interval(row["low"], row["high"])),
                *more(row),
            ]
            for row in records(part)
        ]
        groups.append(Group(f"Rule {rule}", rows))
    return groups


def _slice_table(data: ReportData, maker: Maker, means: pd.DataFrame) -> Table:
    groups = _groups_of_rules(
        data,
        means,
        lambda row: [
            Cell(f"{number(row['median'])} [{number(row['q1'])}, {number(row['q3'])}]"),
            Cell(f"{int(row['n_valid'])}"),
            Cell(f"{int(row['n_volumes'])}"),
        ],
    )
    columns = [
        "Model",
        "Strategy",
        "Mean (SD)",
        "95 % interval of the mean",
        "Median [quartiles]",
        "n",
        "Volumes",
    ]
    note = "n counts objects in slices with a Dice. The interval is a bootstrap over volumes. The best mean is bold."
    if data.n_volumes == 1:
        note += f" {ONE_VOLUME}"
    return maker.table(
        "Dice by slice: every object in a slice counts once.",
        columns,
        groups,
        means,
        "dice_by_slice",
        note,
        2,
    )


def _volume_table(data: ReportData, maker: Maker, means: pd.DataFrame) -> Table:
    groups = _groups_of_rules(
        data,
        means,
        lambda row: [
            Cell(f"{number(row['worst'])} to {number(row['best'])}"),
            Cell(f"{int(row['n_volumes'])}"),
            Cell(f"{int(row['n_objects'])}"),
        ],
    )
    columns = [
        "Model",
        "Strategy",
        "Mean (SD)",
        "95 % interval of the mean",
        "Worst to best volume",
        "Volumes",
    ]
    note = (
        "Slices of an object are averaged first, then objects of a volume, so that neither a long object nor a volume "
        "with many objects outweighs the others. SD between volumes. These are means of slices, not Dice in 3D."
    )
    caption = "Dice by volume: every volume counts once."
    return maker.table(caption, [*columns, "Objects"], groups, means, "dice_by_volume", note, 2)


def _other_metrics(data: ReportData, maker: Maker) -> Table:
    names = [name for name in _OTHERS if data.scored[name].notna().any()]
    found = {name: slice_means(data.rows(data.rule), name) for name in names}
    rows = []
    for k, row in enumerate(records(found[names[0]]) if names else ()):
        texts = [str(row["model"]), str(row["strategy"])]
        for name in names:
            values = found[name].iloc[k]
            digits = 3 if METRICS.get(name).unit == "" else 1
            quartiles = f"{number(values['q1'], digits)}, {number(values['q3'], digits)}"
            text = f"{number(values['median'], digits)} [{quartiles}]"
            texts.append(text + (f", {int(values['n_infinite'])} ∞" if values["n_infinite"] else ""))
        rows.append(cells(texts))
    all_rows = [table.assign(metric=name) for name, table in found.items()]
    return maker.table(
        f"Other metrics, rule {data.rule}: median [quartiles] of objects in slices.",
        ["Model", "Strategy", *(metric_label(name) for name in names)],
        [Group("", rows)],
        pd.concat(all_rows) if all_rows else pd.DataFrame(),
        "other_metrics",
        "Distances to an empty mask are infinite: “∞” counts them, and they take part in median and quartiles.",
        2,
    )


def objects_section(data: ReportData, maker: Maker) -> Section:
    """Dice of every object and strategy."""
    own = data.rows(data.rule, data.model)
    unsorted = slice_means(own, by=["label_name", "strategy"])
    means = _best_first(unsorted, "label_name")
    order = list(dict.fromkeys(means["label_name"]))
    strategies = list(dict.fromkeys(unsorted["strategy"]))
    at = means.set_index(["label_name", "strategy"])
    rows = []
    for name in order:
        line = at.loc[name]
        best = line["mean"].max()
        row = [Cell(str(name) or NOTHING), Cell(str(int(line["n_valid"].max())))]
        for strategy in strategies:
            if strategy not in line.index:
                row.append(Cell(NOTHING))
                continue
            value = line.loc[strategy]
            row.append(
                Cell(f"{number(value['mean'], 2)} ({number(value['sd'], 2)})", bool(value["mean"] == best))
            )
        rows.append(row)
    caption = (
        f"Dice of every object, {data.model}, rule {data.rule}: mean (SD) over its slices in all volumes."
    )
    note = "Objects of one name in several volumes are taken together. Bold: the best strategy of a line."
    blocks: list[Block] = []
    if 1 < len(order) <= _MOST_LINES:
        figure = lines_figure(means, "label_name", "n_valid", "mean Dice")
        alt = (
            f"Dot plot of mean Dice: a line for each of {len(order)} objects, the best on top, a dot for "
            f"each strategy."
        )
        text = f"Mean Dice of every object by strategy, {data.model}, rule {data.rule}; the best object is on top."
        blocks.append(maker.picture(figure, "dice_by_object", text, alt))
    every = slice_means(data.scored, by=["rule", "model", "label_name", "strategy"])
    blocks.append(
        maker.table(
            caption, ["Object", "Slices", *strategies], [Group("", rows)], every, "dice_by_object", note
        )
    )
    return Section("objects", "Object by object", blocks, 3)


def _best_first(means: pd.DataFrame, by: str) -> pd.DataFrame:
    """Rows with the best `by` first: the one with the highest mean over its groups."""
    order = means.groupby(by, sort=False)["mean"].mean().sort_values(ascending=False, kind="stable").index
    place = {name: k for k, name in enumerate(order)}
    return means.sort_values(by, key=lambda column: column.map(place), kind="stable")
