"""What the report says is what the scores say, and it stands alone."""

import base64
import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from fixtures.report_page import Page, numbers, rows_of
from fixtures.score_folder import made_up_failure, made_up_rows, write_folder
from napari_sam_med.evaluation.report import write_report
from napari_sam_med.evaluation.report_reasons import worst_of_each
from napari_sam_med.evaluation.statistics_clusters import clustered_mean, paired_difference
from napari_sam_med.evaluation.statistics_partial import factor_correlations
from napari_sam_med.evaluation.table import read_table
from napari_sam_med.factors import FACTORS


def test_it_stands_alone(made, page):
    assert "script" not in page.tags
    assert "link" not in page.tags
    outside = [link for link in page.links if not link.startswith(("data:", "#"))]
    assert outside
    assert all(re.match(r"https://(doi|arxiv)\.org/", link) for link in outside)
    css = re.search(r"<style>(.*?)</style>", made.html.read_text("utf-8"), re.S)[1]
    assert "@import" not in css
    assert "url(" not in css
    for image in page.images:
        kind, data = re.match(r"data:(image/[\w+]+);base64,(.*)", image["src"], re.S).groups()
        content = base64.b64decode(data)
        assert content.startswith(b"\x89PNG" if kind == "image/png" else b"<?xml")
        assert b"<script" not in content


def test_it_can_be_read_with_other_than_eyes(page):
    assert all(len(image["alt"]) > 20 for image in page.images)
    levels = [int(tag[1]) for tag, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    numbered = [int(re.match(r"Table (\d+)", caption)[1]) for caption in page.tables]
    assert numbered == list(range(1, len(numbered) + 1))
    assert all(len({len(row) for row in rows if len(row) > 1}) == 1 for rows in page.tables.values())


def test_slice_means_are_those_of_the_scores(page, scored):
    rows = page.table("Dice by slice")
    rule, seen = "", 0
    for row in rows[1:]:
        if len(row) == 1:
            rule = row[0].removeprefix("Rule ")
            continue
        part = rows_of(scored, model=row[0], strategy=row[1], rule=rule)
        mean, sd = numbers(row[2])
        assert mean == pytest.approx(part["dice"].mean(), abs=6e-4)
        assert sd == pytest.approx(part["dice"].std(), abs=6e-4)
        found = clustered_mean(part, "dice")
        assert numbers(row[3]) == pytest.approx([found.low, found.high], abs=6e-4)
        assert numbers(row[4]) == pytest.approx(list(part["dice"].quantile([0.5, 0.25, 0.75])), abs=6e-4)
        assert [int(row[5]), int(row[6])] == [len(part), 3]
        seen += 1
    assert seen == 8


def test_volume_means_are_not_slice_means(tmp_path):
    rows = [row for row in made_up_rows(models=("builtin",)) if row.case != "a" or row.slice == 0]
    page = Page(write_report(write_folder(tmp_path, rows)).html)
    table = read_table(tmp_path / "scores.csv")
    part = rows_of(table, strategy="S5", rule="score")
    by_volume = part.groupby(["case", "label"])["dice"].mean().groupby("case").mean()
    assert abs(by_volume.mean() - part["dice"].mean()) > 2e-3  # or the test tests nothing
    (row,) = [r for r in page.table("Dice by volume")[1:6] if r[:2] == ["builtin", "S5"]]
    assert numbers(row[2]) == pytest.approx([by_volume.mean(), by_volume.std()], abs=6e-4)
    assert numbers(row[4]) == pytest.approx([by_volume.min(), by_volume.max()], abs=6e-4)


def test_differences_are_paired_and_turned_towards_the_best(page, scored):
    (row,) = page.table("between strategies")[1:]
    found = paired_difference(rows_of(scored, model="builtin", rule="score"), "strategy", "S2", "S5")
    assert row[1] == "S2 − S5"
    assert numbers(row[2]) == pytest.approx([-found.mean], abs=6e-4)
    assert numbers(row[3]) == pytest.approx([-found.high, -found.low], abs=6e-4)
    assert found.mean == pytest.approx(0.1)


def test_gap_objects_and_infinite_distances(page, scored):
    gaps = page.table("the gap between them")[1:]
    assert [numbers(row[4]) for row in gaps] == [pytest.approx([0.05], abs=6e-4)] * 4
    (liver,) = [row for row in page.table("Dice of every object")[1:] if row[0] == "liver"]
    part = rows_of(scored, label_name="liver", model="builtin", rule="score", strategy="S2")
    assert int(liver[1]) == len(part)
    assert numbers(liver[2])[0] == pytest.approx(part["dice"].mean(), abs=6e-3)
    s2, s5 = page.table("Other metrics")[1:3]
    assert "3 ∞" in s2[4]
    assert "∞" not in s5[4]


def test_factors_come_with_rho_and_interval(page, scored):
    rows = {row[0]: row[1:] for row in page.table("with each factor")[1:]}
    part = rows_of(scored, model="builtin", rule="score", strategy="S5")
    (found,) = [
        f for f in factor_correlations(part, list(FACTORS), n_samples=1000) if f.factor == "contrast_to_noise"
    ]
    row = rows["Contrast to noise"]
    assert numbers(row[0]) == pytest.approx([found.rho], abs=6e-3)
    assert any(numbers(cell) == pytest.approx([found.partial_rho], abs=6e-3) for cell in row)
    assert "rises with" in page.text
    assert set(rows) == {f"{f.title} ({f.unit})" if f.unit else f.title for _, f in FACTORS.items()}


def test_failures_versions_weights_and_seed_are_told(page):
    assert "2 rows could not be scored" in page.text
    assert "The image is broken; give another one. (2 rows; d and e)" in page.text
    assert "2026-01-02" in page.text
    assert ["builtin", "builtin-0123456789abcdef-p1"] in page.table("Models.")
    assert ["seed", "7"] in page.table("Settings")
    assert "At most 4 slices" in page.text
    assert dict(page.table("Versions.")[1:])["numpy"] == np.__version__


def test_tables_and_figures_lie_beside_it(made, page):
    assert {path.suffix for path in made.figures} == {".png", ".svg"}
    for name in re.findall(r"tables/\w+\.csv", page.text):
        table = pd.read_csv(made.html.parent / name)
        assert len(table)
    full = pd.read_csv(made.html.parent / "tables" / "dice_by_slice.csv")
    assert full["mean"].iloc[0] != round(full["mean"].iloc[0], 3)


def test_the_worst_answers_of_each_strategy_are_shown(page):
    shown = [image["alt"] for image in page.images if image["src"].startswith("data:image/png")]
    assert len(shown) == 2  # one of neighbouring slices of an object, for each strategy of the model
    assert all("200 pixels missed, 200 extra" in alt for alt in shown)


def test_the_atlas_takes_strategies_in_turn_and_leaves_out_baselines():
    rows = made_up_rows(strategies=("S1", "S2", "S5"), rules=("score",), n_slices=6)
    failures = sorted((made_up_failure(row) for row in rows), key=lambda f: f.dice)
    chosen = worst_of_each(failures, 6)
    assert [f.strategy for f in chosen] == ["S1", "S1", "S2", "S2", "S5", "S5"]
    assert {f.model for f in chosen} == {"builtin"}
    own = [f for f in failures if (f.model, f.strategy) == ("builtin", "S2")]
    assert [f.dice for f in chosen[2:4]] == [f.dice for f in own[:2]]
    assert worst_of_each([f for f in failures if f.model == "ellipse"], 2)
    assert worst_of_each([], 5) == []
