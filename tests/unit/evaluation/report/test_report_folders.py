"""Reports of folders that hold less, or more, than a whole run."""

import json

import pandas as pd
import pytest

from fixtures.report_page import Page, numbers
from fixtures.score_folder import failed_row, made_up_rows, write_folder, write_journal
from napari_sam_med.core.errors import InputError, OutputError
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.report import write_report
from napari_sam_med.evaluation.robustness_config import RobustnessConfig
from napari_sam_med.evaluation.robustness_rows import LabRow, lab_table
from napari_sam_med.factors import FACTORS


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


def test_the_noise_of_the_lab_and_its_bins_are_named_with_their_source(tmp_path):
    write_folder(tmp_path, made_up_rows())
    table = lab(("a", "b"))
    table.assign(lab="degradation", mode="noise").to_csv(tmp_path / "robustness.csv", index=False)
    config = RobustnessConfig(EvaluationConfig(("builtin",), ("S2", "S5")), bins=((0.0, 7.0),), bin_unit="%")
    (tmp_path / "robustness.json").write_text(json.dumps({"config": config.describe(), "stopped": False}))
    page = Page(write_report(tmp_path).html)
    assert "Noise was Rician for magnitude MR images, else Gaussian" in page.text
    assert "https://doi.org/10.1002/mrm.1910340618" in page.links
    assert "0-7 percent of the sides" in page.text


def test_without_the_lab_there_is_no_such_section(page):
    assert "Robustness" not in [title for _, title in page.headings]


def test_a_lab_that_is_not_there_is_said(folder, tmp_path):
    with pytest.raises(InputError, match=r"robustness\.csv"):
        write_report(folder, tmp_path / "out", robustness=tmp_path)
