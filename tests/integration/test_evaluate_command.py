"""The command `evaluate` from files to files, with a segmenter whose answers are known."""

import json
import math

import nibabel as nib
import numpy as np
import pytest

import napari_sam_med.models
from fixtures.cohort_files import write_pair
from fixtures.commands import run_command
from fixtures.fake_segmenter import FakeSegmenter
from fixtures.medical_files import Series
from napari_sam_med.core.errors import ModelError
from napari_sam_med.evaluation import figures
from napari_sam_med.evaluation.table import columns, read_table

QUICK = ("--strategy", "S5", "--max-slices", "1")


@pytest.fixture
def loaded(monkeypatch, tmp_path):
    """Models that were asked for; every name but "broken" gives the fake."""
    names = []

    def load_model(name, device="auto"):
        names.append(name)
        if name == "broken":
            raise ModelError("This model is broken; choose another one.")
        return FakeSegmenter()

    monkeypatch.setattr(napari_sam_med.models, "load_model", load_model)
    monkeypatch.setenv("NAPARI_SAM_MED_CACHE", str(tmp_path / "cache"))
    return names


@pytest.fixture
def files(tmp_path):
    """A NIfTI image and its labels."""
    folder = tmp_path / "private person"
    paths = [folder / "scan.v2.nii.gz", folder / "truth.nii.gz"]
    write_pair(*paths)
    return paths


@pytest.fixture
def no_figures(monkeypatch):
    """They take longer than all else here."""
    monkeypatch.setattr(figures, "save_figures", lambda table, folder: [])


def run(*arguments):
    return run_command("evaluate", *arguments)


def test_scores_summary_run_and_figures_are_written(files, loaded, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    assert run(*files, "--model", "builtin", "--model", "ellipse", "--strategy", "S2,S5", "-o", out) == 0
    assert loaded == ["builtin"]
    table = read_table(out / "scores.csv")
    assert list(table.columns) == columns()
    assert len(table) == (7 + 3) * (2 + 1) * 2
    assert set(table["case"]) == {"scan.v2"}
    assert (table["error"] == "").all()
    box = table[(table["model"] == "builtin") & (table["strategy"] == "S5") & (table["label"] == 1)]
    assert (box["dice"] == 1).all()

    info = json.loads((out / "run.json").read_text())
    assert info["models"] == {"builtin": "fake-1", "ellipse": "ellipse-1"}
    assert (info["n_rows"], info["n_errors"], info["stopped"]) == (60, 0, False)
    assert list(info["windows"]) == ["scan.v2"]
    assert (out / "summary.csv").is_file()
    assert {path.suffix for path in out.iterdir() if path.is_file()} == {
        ".csv",
        ".json",
        ".jsonl",
        ".png",
        ".svg",
    }
    for path in (*out.glob("*.[cj]*"), *out.glob("worst/*")):
        assert b"private person" not in path.read_bytes()
    assert "ellipse" in capsys.readouterr().out


def test_options_choose_slices_labels_axis_and_window(files, loaded, tmp_path):
    chosen = [
        "--labels",
        "4",
        "--axis",
        "coronal",
        "--max-slices",
        "2",
        "--min-pixels",
        "10",
        "--window",
        "128/300",
    ]
    assert run(*files, *chosen, "--strategy", "S6", "-o", tmp_path) == 0
    table = read_table(tmp_path / "scores.csv")
    assert set(table["label"]) == {4}
    assert set(table["axis"]) == {"coronal"}
    assert set(table["strategy"]) == {"S6"}
    assert table["slice"].nunique() == 2
    info = json.loads((tmp_path / "run.json").read_text())
    assert info["windows"] == {"scan.v2": "128/300"}


def test_one_of_several_series_and_its_labels(loaded, no_figures, tmp_path, capsys):
    folder = tmp_path / "study"
    folder.mkdir()
    series = Series(folder)
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    labels = np.zeros((6, 30, 32), np.int16)
    labels[1:5, 8:20, 9:25] = 1
    for number, bright in ((3, 1100), (4, 1300)):
        values = np.where(labels, bright, 1000).astype(np.int16)
        series.fill(values, f"s{number}_", affine=affine, uid=f"1.2.{number}", number=number)
    lps = affine.copy()
    lps[:2] *= -1
    truth = tmp_path / "truth.nii.gz"
    nib.save(nib.Nifti1Image(np.ascontiguousarray(labels.transpose(2, 1, 0)), lps), truth)
    assert run(folder, truth, *QUICK, "-o", tmp_path / "out") == 1
    assert "series" in capsys.readouterr().err
    differences = []
    for number in ("3", "4"):
        out = tmp_path / f"out{number}"
        assert run(folder, truth, *QUICK, "--series", number, "--window", "100/400", "-o", out) == 0
        differences.append(read_table(out / "scores.csv")["intensity_difference"].iloc[0])
    assert differences[1] == pytest.approx(3 * differences[0], rel=0.05)


def test_one_of_several_time_points(files, loaded, no_figures, tmp_path, capsys):
    image, labels = files
    still = nib.load(image)
    data = np.asarray(still.dataobj, np.float32)
    moving = tmp_path / "moving.nii.gz"
    nib.save(nib.Nifti1Image(np.stack([data, 255 - data], axis=-1), still.affine), moving)
    differences = []
    for time in (0, 1):
        out = tmp_path / f"out{time}"
        assert run(moving, labels, *QUICK, "--time", time, "--window", "128/255", "-o", out) == 0
        table = read_table(out / "scores.csv")
        differences.append(table[table["label"] == 1]["intensity_difference"].iloc[0])
    assert differences[0] == pytest.approx(-differences[1], rel=0.02)
    assert json.loads((tmp_path / "out1" / "run.json").read_text())["config"]["cases"][0]["time"] == 1
    assert run(moving, labels, *QUICK, "--time", "2", "-o", tmp_path / "out2") == 1
    assert "0 to 1" in capsys.readouterr().err


def test_a_folder_given_as_a_dot_has_its_name(files, loaded, no_figures, tmp_path, monkeypatch):
    monkeypatch.chdir(files[0].parent)
    assert run(".", files[1], *QUICK, "-o", tmp_path / "out") == 1
    assert set(read_table(tmp_path / "out" / "scores.csv")["case"]) == {"private person"}


@pytest.mark.parametrize(
    "wrong",
    [
        ["--strategy", "S99"],
        ["--axis", "diagonal"],
        ["--labels", "liver"],
        ["--window", "purple"],
        ["--max-slices", "0"],
        ["--model", "ellipse", "--strategy", "S2"],
    ],
)
def test_wrong_usage_is_status_2_and_writes_nothing(files, loaded, tmp_path, wrong):
    out = tmp_path / "out"
    assert run(*files, *wrong, "-o", out) == 2
    assert not out.exists()
    assert not loaded


def test_labels_on_another_grid_fail_in_words_or_are_resampled(files, loaded, tmp_path, capsys):
    image, labels = files
    grid = nib.load(labels)
    coarse = tmp_path / "coarse.nii.gz"
    affine = grid.affine @ np.diag([2, 2, 1, 1])
    nib.save(nib.Nifti1Image(np.asarray(grid.dataobj)[::2, ::2], affine), coarse)
    assert run(image, coarse, "-o", tmp_path / "out") == 1
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert "grid" in message
    assert run(image, coarse, *QUICK, "--resample", "-o", tmp_path / "out") == 0
    assert len(read_table(tmp_path / "out" / "scores.csv"))


def test_nothing_scored_is_status_1_and_one_broken_model_is_not(files, loaded, tmp_path, capsys):
    assert run(*files, "--model", "broken", "-o", tmp_path) == 1
    assert "This model is broken" in capsys.readouterr().err
    assert read_table(tmp_path / "scores.csv")["error"].tolist() == [
        "This model is broken; choose another one."
    ]
    assert run(*files, *QUICK, "--model", "broken", "--model", "fake", "-o", tmp_path) == 0
    assert "This model is broken" in capsys.readouterr().err


def test_missing_files_and_unwritable_folders_are_sentences(files, loaded, tmp_path, capsys):
    assert run(tmp_path / "no.nii", files[1], "-o", tmp_path / "a") == 1
    (tmp_path / "file").write_text("")
    assert run(*files, "-o", tmp_path / "file") == 1
    assert "Traceback" not in capsys.readouterr().err


def test_ctrl_c_keeps_the_rows_so_far(files, loaded, tmp_path, monkeypatch, capsys):
    calls = []

    class Interrupted(FakeSegmenter):
        def decode(self, embedding, prompt):
            calls.append(prompt)
            if len(calls) > 4:
                raise KeyboardInterrupt
            return super().decode(embedding, prompt)

    monkeypatch.setattr(napari_sam_med.models, "load_model", lambda name, device="auto": Interrupted())
    assert run(*files, "--strategy", "S5", "-o", tmp_path) == 1
    table = read_table(tmp_path / "scores.csv")
    assert len(table) == 8
    assert not any(math.isnan(dice) for dice in table["dice"])
    assert json.loads((tmp_path / "run.json").read_text())["stopped"] is True
    assert "8 rows" in capsys.readouterr().err
