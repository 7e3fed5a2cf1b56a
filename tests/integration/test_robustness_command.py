"""The command `robustness` from files to files, with a segmenter whose answers are known."""

import json

import pandas as pd
import pytest

import napari_sam_med.models
from fixtures.cohort_files import write_pair
from fixtures.commands import run_command
from fixtures.fake_segmenter import FakeSegmenter
from napari_sam_med.core.errors import ModelError
from napari_sam_med.evaluation import robustness
from napari_sam_med.evaluation.robustness_rows import read_lab_table

QUICK = (
    "--strategy",
    "S5",
    "--max-slices",
    "2",
    "--labels",
    "1",
    "--rules",
    "score",
    "--degradation",
    "blur=1,2",
)
N_ROWS = 2 * (2 * 10 + 9 + 3)


@pytest.fixture
def model(monkeypatch, tmp_path):
    """The fake that every name but "broken" gives; it counts what it encoded."""
    fake = FakeSegmenter()

    def load_model(name, device="auto", **options):
        if name == "broken":
            raise ModelError("This model is broken; choose another one.")
        return fake

    monkeypatch.setattr(napari_sam_med.models, "load_model", load_model)
    monkeypatch.setenv("NAPARI_SAM_MED_CACHE", str(tmp_path / "cache"))
    return fake


@pytest.fixture
def files(tmp_path):
    """A NIfTI image and its labels."""
    folder = tmp_path / "private person"
    paths = [folder / "scan.nii.gz", folder / "truth.nii.gz"]
    write_pair(*paths)
    return paths


def run(*arguments):
    return run_command("robustness", *arguments)


def test_rows_means_calibration_run_and_figures_are_written(files, model, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    assert run(*files, *QUICK, "-o", out) == 0
    table = read_lab_table(out / "robustness.csv")
    assert len(table) == N_ROWS
    assert set(table["lab"]) == {"jitter", "padding", "degradation"}
    assert (table["error"] == "").all()
    curves = pd.read_csv(out / "robustness_curves.csv")
    tight = curves[(curves["lab"] == "padding") & (curves["step"] == "none")].iloc[0]
    assert (tight["dice"], tight["n_valid"], tight["cluster"]) == (1, 2, "slice")
    # +100 %: 20 x 27 pixels are left of the box of 20 x 28 in the slice
    assert curves.loc[curves["step"] == "+100 %", "dice"].item() == pytest.approx(2 * 140 / (140 + 540))
    calibrated = pd.read_csv(out / "robustness_calibration.csv")
    assert set(calibrated["rows"]) == {"unchanged", "changed"}
    info = json.loads((out / "robustness.json").read_text())
    assert info["models"] == {"builtin": "fake-1"}
    assert (info["n_rows"], info["n_errors"], info["stopped"]) == (N_ROWS, 0, False)
    assert info["intervals_over"] == "slice"
    assert info["config"]["degradations"] == {"blur": [1, 2]}
    figures = {path.name for path in out.glob("*.png")}
    assert figures == {
        "robustness_jitter_builtin_score.png",
        "robustness_padding_builtin_score.png",
        "robustness_degradation_builtin_score.png",
        "robustness_calibration_builtin_score.png",
    }
    assert {path.stem for path in out.glob("*.svg")} == {name.removesuffix(".png") for name in figures}
    for path in out.glob("*.[cj]*"):
        assert b"private person" not in path.read_bytes()
    said = capsys.readouterr().out
    assert "+100 %" in said
    assert "intervals over slices" in said


def test_options_choose_labs_bins_draws_and_paddings(files, model, tmp_path):
    chosen = ["--lab", "jitter,padding", "--bins", "5-5", "--draws", "2", "--padding", "-50,25"]
    assert run(*files, *QUICK, *chosen, "-o", tmp_path) == 0
    table = read_lab_table(tmp_path / "robustness.csv")
    assert set(table["step"]) == {"none", "5-5 px", "-50 %", "+25 %"}
    assert set(table["seed"].dropna()) == {0, 1}
    assert run(*files, *QUICK, "--lab", "jitter", "--bins", "0-10%,10-20%", "-o", tmp_path / "pct") == 0
    assert set(read_lab_table(tmp_path / "pct" / "robustness.csv")["step"]) == {"none", "0-10 %", "10-20 %"}


def test_a_dataset_has_intervals_over_volumes_and_a_broken_case_is_a_row(files, model, tmp_path, capsys):
    image, labels = files
    manifest = tmp_path / "cases.csv"
    lines = ["case,image,labels", *(f"{name},{image},{labels}" for name in ("one", "two"))]
    manifest.write_text("\n".join([*lines, f"lost,{image}.gone,{labels}", ""]))
    out = tmp_path / "out"
    assert run("--dataset", manifest, *QUICK, "-o", out) == 0
    table = read_lab_table(out / "robustness.csv")
    assert len(table) == 2 * N_ROWS + 1
    (lost,) = table[table["case"] == "lost"]["error"]
    assert lost
    curves = pd.read_csv(out / "robustness_curves.csv")
    assert set(curves["cluster"]) == {"volume"}
    assert set(curves["n_clusters"]) == {2}
    assert "1 of" in capsys.readouterr().err


def test_several_models_are_drawn_together_and_one_that_is_broken_is_told_of_once(files, model, tmp_path):
    models = ["--model", "builtin", "--model", "ellipse", "--model", "broken"]
    assert run(*files, *QUICK, *models, "-o", tmp_path) == 0
    table = read_lab_table(tmp_path / "robustness.csv")
    assert (table["model"] == "ellipse").sum() == N_ROWS
    assert table.loc[table["model"] == "broken", "error"].tolist() == [
        "This model is broken; choose another one."
    ]
    assert (tmp_path / "robustness_jitter_models_S5_score.png").is_file()


def test_a_slice_that_fails_as_a_whole_is_a_row_and_the_next_try_mends_it(
    files, model, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        cut = robustness.slice_image

        def failing(volume, axis, index, window):
            if index == 3:
                raise MemoryError("no room")
            return cut(volume, axis, index, window)

        patch.setattr(robustness, "slice_image", failing)
        assert run(*files, *QUICK, "-o", tmp_path) == 0
    table = read_lab_table(tmp_path / "robustness.csv")
    assert len(table) == N_ROWS / 2 + 1
    (failed,) = table[table["error"] != ""].to_dict("records")
    assert (failed["axis"], failed["slice"], failed["lab"]) == ("axial", 3, "")
    assert run(*files, *QUICK, "-o", tmp_path) == 0
    mended = read_lab_table(tmp_path / "robustness.csv")
    assert len(mended) == N_ROWS
    assert (mended["error"] == "").all()


def test_baselines_alone_have_curves_and_no_calibration(files, model, tmp_path):
    assert run(*files, *QUICK, "--model", "ellipse", "-o", tmp_path) == 0
    assert pd.read_csv(tmp_path / "robustness_calibration.csv").empty
    assert not list(tmp_path.glob("robustness_calibration_*"))


def test_nothing_scored_is_a_failure(files, model, tmp_path, capsys):
    assert run(*files, *QUICK, "--model", "broken", "-o", tmp_path) == 1
    assert "broken" in capsys.readouterr().err


def test_ctrl_c_keeps_the_rows_and_the_same_command_goes_on(files, model, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    whole = tmp_path / "whole"
    assert run(*files, *QUICK, "-o", whole) == 0
    decode, asked = FakeSegmenter.decode, []

    def interrupted(self, embedding, prompt):
        asked.append(prompt)
        if len(asked) == 45:
            raise KeyboardInterrupt
        return decode(self, embedding, prompt)

    monkeypatch.setattr(FakeSegmenter, "decode", interrupted)
    assert run(*files, *QUICK, "-o", out) == 1
    assert "Stopped; the" in capsys.readouterr().err
    kept = len(read_lab_table(out / "robustness.csv"))
    assert N_ROWS / 2 <= kept < N_ROWS
    assert json.loads((out / "robustness.json").read_text())["stopped"] is True
    before = len(asked)
    assert run(*files, *QUICK, "-o", out) == 0
    assert f"{N_ROWS // 2} rows are there already" in capsys.readouterr().err
    assert len(asked) - before < 45
    assert (out / "robustness.csv").read_text() == (whole / "robustness.csv").read_text()


@pytest.mark.parametrize(
    "wrong",
    [
        ["--lab", "kitchen"],
        ["--bins", "ten"],
        ["--bins", "10-5"],
        ["--bins", "0-10,10-20%"],
        ["--padding", "-100"],
        ["--padding", "wide"],
        ["--degradation", "rain"],
        ["--degradation", "noise=-5"],
        ["--strategy", "S2", "--lab", "padding"],
        ["--draws", "0"],
    ],
)
def test_wrong_usage_is_status_2_and_writes_nothing(files, model, tmp_path, wrong):
    out = tmp_path / "out"
    assert run(*files, *QUICK, *wrong, "-o", out) == 2
    assert not out.exists()
