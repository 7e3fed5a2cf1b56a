"""The report: what it says is what the scores say, it stands alone, and it names nobody."""

import base64
import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fixtures.score_folder import failed_row, made_up_failure, made_up_rows, write_folder, write_journal
from napari_sam_med.core.errors import InputError, OutputError
from napari_sam_med.evaluation import report_reasons, report_tables
from napari_sam_med.evaluation.config import Case
from napari_sam_med.evaluation.report import write_report
from napari_sam_med.evaluation.report_reasons import worst_of_each
from napari_sam_med.evaluation.robustness_rows import LabRow, lab_table
from napari_sam_med.evaluation.statistics_clusters import clustered_mean, paired_difference
from napari_sam_med.evaluation.statistics_partial import factor_correlations
from napari_sam_med.evaluation.table import read_table
from napari_sam_med.factors import FACTORS

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects what tests ask for, and checks that tags close in order."""

    def __init__(self, path):
        super().__init__()
        self.text, self.ids, self.links, self.images, self.tags = "", [], [], [], []
        self.tables, self.headings = {}, []
        self._open, self._cell, self._caption, self._row = [], None, None, None
        self.feed(path.read_text(encoding="utf-8"))
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [value for name, value in attrs.items() if name in ("href", "src", "srcset", "action")]
        if tag == "img":
            self.images.append(attrs)
        if tag == "table":
            self._rows = []
        if tag in ("td", "th", "caption") or tag in ("h1", "h2", "h3"):
            self._cell = ""
        if tag == "tr":
            self._row = []

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        if tag == "caption":
            self._caption = self._cell
        if tag in ("td", "th"):
            self._row.append(self._cell.strip())
        if tag in ("h1", "h2", "h3"):
            self.headings.append((tag, self._cell))
        if tag == "tr":
            self._rows.append(self._row)
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data):
        if self._open and self._open[-1] != "style":
            self.text += data.replace("\u00a0", " ")
        if self._cell is not None:
            self._cell += data.replace("\u00a0", " ")

    def table(self, words):
        (rows,) = [rows for caption, rows in self.tables.items() if words in caption]
        return rows


def numbers(text):
    return [float(word) for word in re.findall(r"-?\d+\.\d+|-?\d+", text.replace("−", "-"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rows = [*made_up_rows(), failed_row("d"), failed_row("e")]
    return write_folder(tmp_path_factory.mktemp("run") / "out", rows)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Fewer samples and panels, but for the one report of the module, which is made before this."""
    monkeypatch.setattr(report_tables, "N_FACTOR_SAMPLES", 20)
    drawn = report_reasons.factors_figure
    monkeypatch.setattr(
        report_reasons, "factors_figure", lambda table, titles: drawn(table, dict(list(titles.items())[:1]))
    )


@pytest.fixture(scope="module")
def made(folder):
    return write_report(folder, today=date(2026, 1, 2))


@pytest.fixture(scope="module")
def page(made):
    return Page(made.html)


@pytest.fixture(scope="module")
def scored(folder):
    table = read_table(folder / "scores.csv")
    return table[table["error"] == ""]


def rows_of(scored, **which):
    for name, value in which.items():
        scored = scored[scored[name] == value]
    return scored


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


def test_one_volume_has_no_interval_and_says_so(tmp_path):
    page = Page(write_report(write_folder(tmp_path, made_up_rows(cases=("a",)))).html)
    assert "no interval can be given" in page.text
    assert {row[3] for row in page.table("Dice by slice")[1:] if len(row) > 1} == {"–"}
    assert {row[3] for row in page.table("Dice by volume")[1:] if len(row) > 1} == {"–"}
    assert {row[5] for row in page.table("the gap between them")[1:]} == {"–"}


@pytest.mark.parametrize("strategy", ["S5", "clicks", "S1"])
def test_a_single_strategy_of_a_single_model_and_rule(tmp_path, strategy):
    rows = made_up_rows(models=("builtin",), strategies=(strategy,), rules=("score",))
    page = Page(write_report(write_folder(tmp_path, rows)).html)
    titles = [title for _, title in page.headings]
    assert "Paired differences" not in titles
    assert "What the choice of candidate costs" not in titles
    assert ("Correction clicks" in titles) == (strategy == "clicks")
    if strategy == "clicks":
        assert "100% of 24 objects in slices (median 2 clicks)" in page.text


def test_columns_that_are_missing_are_left_out_and_named(tmp_path):
    write_folder(tmp_path, made_up_rows())
    table = pd.read_csv(tmp_path / "scores.csv")
    table.drop(columns=[*FACTORS, "jaccard", "predicted_iou", "hd95_mm", "click_dices", "modality"]).to_csv(
        tmp_path / "scores.csv", index=False
    )
    page = Page(write_report(tmp_path).html)
    titles = [title for _, title in page.headings]
    assert "What goes with failure" not in titles
    assert "Does the model know how good it is?" not in titles
    assert "lacks columns" in page.text
    assert "Jaccard" not in page.table("Other metrics")[0]


@pytest.mark.parametrize("with_json", [True, False])
def test_nothing_but_failures(tmp_path, with_json):
    write_folder(tmp_path, [failed_row("a"), failed_row("b")], run_json=with_json)
    page = Page(write_report(tmp_path).html)
    assert "Nothing was scored" in page.text
    assert "The image is broken" in page.text
    assert "Results" not in [title for _, title in page.headings]


def test_a_killed_run_gives_a_partial_report(tmp_path):
    write_folder(tmp_path, made_up_rows(models=("builtin",), n_slices=2), run_json=False)
    write_journal(tmp_path, {"a": 2, "b": 2, "c": 1}, planned=4)
    with (tmp_path / "scores.csv").open("a") as file:
        file.write("c,axial,3,1,liver,builtin,S2,score,0,0.5,0.9")
    made = write_report(tmp_path)
    page = Page(made.html)
    assert "Not complete" in page.text
    assert "Still to be scored: 7 slices" in page.text
    assert "had not opened is not known" in page.text
    assert "48 rows" in made.partial
    assert ["builtin", "builtin-0123456789abcdef-p1"] in page.table("Models.")
    assert ["max slices", "4"] in page.table("Settings")


def test_a_stopped_run_is_partial_too_and_scores_alone_are_not_trusted(tmp_path):
    made = write_report(write_folder(tmp_path / "stopped", made_up_rows(), stopped=True))
    assert "interrupted" in Page(made.html).text
    made = write_report(write_folder(tmp_path / "bare", made_up_rows(), run_json=False))
    assert "settings are not known" in Page(made.html).text


def test_without_scores_it_says_what_to_give(tmp_path):
    with pytest.raises(InputError, match=r"scores\.csv"):
        write_report(tmp_path)


def test_a_folder_that_cannot_be_written(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_report(folder, tmp_path / "file")


PATIENT = "Mustermann_Erika"


def everything_in(folder: Path) -> bytes:
    return b"".join(
        path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "case_key.csv"
    )


def patient_rows(case):
    rows = [replace(row, case=case) for row in made_up_rows(cases=("x",))]
    home = f"/home/someone/{PATIENT}/ct.nii.gz"
    return [*rows, failed_row(case, f"The file {home} of {PATIENT} is broken; give another.")]


def test_no_patient_and_no_folder_gets_into_it(tmp_path):
    case = Case(PATIENT, Path(f"/home/someone/{PATIENT}"), Path(f"/home/someone/{PATIENT}_labels.nii.gz"))
    write_folder(tmp_path / "in", patient_rows(PATIENT), cases=(case,))
    made = write_report(tmp_path / "in", tmp_path / "out")
    text = everything_in(tmp_path / "out")
    for secret in (b"Mustermann", b"Erika", b"someone", str(tmp_path).encode()):
        assert secret not in text
    pictures = b"".join(base64.b64decode(i["src"].split(",", 1)[1]) for i in Page(made.html).images)
    assert b"Mustermann" not in pictures
    assert "case 1" in Page(made.html).text
    assert made.key.read_text().splitlines() == ["case_in_report,case", f"case 1,{PATIENT}"]


def test_ids_that_someone_chose_are_kept_without_their_folders(tmp_path):
    case = Case("trial/site7/p003", Path("/data/scan.nii.gz"), Path("/data/truth.nii.gz"))
    write_folder(
        tmp_path / "in", [replace(r, case=case.id) for r in made_up_rows(cases=("x",))], cases=(case,)
    )
    page = Page(write_report(tmp_path / "in", tmp_path / "out").html)
    assert "p003" in page.text
    assert "site7" not in page.text


@pytest.mark.parametrize(("naming", "shown"), [("number", "case 1"), ("keep", PATIENT)])
def test_names_can_be_asked_for(tmp_path, naming, shown):
    case = Case(PATIENT, Path(f"/home/{PATIENT}.nii.gz"), Path("/home/labels.nii.gz"))
    rows = [replace(row, case=PATIENT) for row in made_up_rows(cases=("x",))]
    write_folder(tmp_path / "in", rows, cases=(case,))
    made = write_report(tmp_path / "in", tmp_path / "out", naming=naming)
    assert Page(made.html).table("Volumes")[1][0] == shown
    assert (made.key is None) == (naming == "keep")


def test_an_old_key_does_not_outlive_its_names(tmp_path):
    write_folder(tmp_path, made_up_rows())
    assert write_report(tmp_path, naming="number").key.exists()
    assert write_report(tmp_path).key is None
    assert not (tmp_path / "report" / "case_key.csv").exists()


def test_markup_in_names_is_shown_not_obeyed(tmp_path):
    rows = [replace(row, label_name="<b onclick=x>liver</b>") for row in made_up_rows(cases=("a",))]
    made = write_report(write_folder(tmp_path, rows), title="<script>alert(1)</script>")
    page = Page(made.html)
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text
    assert "<b onclick=x>liver</b>" in page.text


def lab(cases):
    doses = ((0.0, "none", 0.0), (5.0, "0-10 px", 0.1), (15.0, "10-20 px", 0.3))
    return lab_table(
        LabRow(
            case,
            "axial",
            k,
            1,
            model="builtin",
            strategy=strategy,
            rule="score",
            lab="jitter",
            mode=mode,
            step=step,
            dose=dose,
            dice=0.8 + 0.01 * k - loss,
            dice_plain=0.8 + 0.01 * k,
        )
        for case in cases
        for strategy, mode in (("S2", "first"), ("S5", "edges"))
        for k in range(3)
        for dose, step, loss in doses
    )


@pytest.mark.parametrize("place", ["in", "in/robust", "elsewhere"])
def test_rows_of_the_robustness_lab_are_reported(tmp_path, place):
    write_folder(tmp_path / "in", made_up_rows())
    (tmp_path / place).mkdir(exist_ok=True)
    lab(("a", "b")).to_csv(tmp_path / place / "robustness.csv", index=False)
    other = tmp_path / place if place == "elsewhere" else None
    page = Page(write_report(tmp_path / "in", tmp_path / "out", robustness=other).html)
    rows = page.table("largest loss")[1:]
    assert [row[:3] for row in rows] == [
        ["The first point moves", "S2", "10-20 px"],
        ["Each edge of the box moves", "S5", "10-20 px"],
    ]
    assert "lab was not finished" in page.text  # it left no robustness.json
    assert numbers(rows[0][3]) == [0.51]
    assert numbers(rows[0][4]) == [-0.3]


def test_without_the_lab_there_is_no_such_section(page):
    assert "Robustness" not in [title for _, title in page.headings]


def test_a_lab_that_is_not_there_is_said(folder, tmp_path):
    with pytest.raises(InputError, match=r"robustness\.csv"):
        write_report(folder, tmp_path / "out", robustness=tmp_path)
