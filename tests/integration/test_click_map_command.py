"""The command `click-map` from files to files, with a segmenter whose answers are known."""

import pandas as pd
import pytest

import napari_sam_med.models
from fixtures.cohort_files import write_pair
from fixtures.commands import run_command
from fixtures.fake_segmenter import FakeSegmenter


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A NIfTI image and its labels; models are the fake."""
    monkeypatch.setattr(
        napari_sam_med.models, "load_model", lambda name, device="auto", **options: FakeSegmenter(6)
    )
    monkeypatch.setenv("NAPARI_SAM_MED_CACHE", str(tmp_path / "cache"))
    paths = [tmp_path / "scan.nii.gz", tmp_path / "truth.nii.gz"]
    write_pair(*paths)
    return paths


def run(*arguments):
    return run_command("click-map", *arguments)


def test_table_and_figures_of_the_largest_slice(files, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(*files, "--label", "4", "--step", "2", "-o", out) == 0
    table = pd.read_csv(out / "click_map_builtin.csv")
    assert list(table.columns) == ["row", "col", "dice_score", "dice_oracle"]
    # the object is a disc of radius 6 about (28, 35), and the fake answers a click with such a disc
    best = table.loc[table["dice_score"].idxmax()]
    assert abs(best["row"] - 28) + abs(best["col"] - 35) <= 1
    assert best["dice_score"] > 0.9
    assert (table["dice_oracle"] >= table["dice_score"]).all()
    assert {path.suffix for path in out.iterdir()} == {".csv", ".png", ".svg"}
    said = capsys.readouterr().out
    assert "label 4, axial 5" in said
    assert f"{len(table)}" in said


def test_the_slice_and_the_rules_can_be_chosen(files, tmp_path, capsys):
    assert run(*files, "--label", "1", "--at", "coronal:8", "--rules", "first", "-o", tmp_path / "out") == 0
    table = pd.read_csv(tmp_path / "out" / "click_map_builtin.csv")
    assert list(table.columns) == ["row", "col", "dice_first"]
    assert set(table["row"]) == set(range(2, 9))
    assert "coronal 8" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        (["--at", "14"], 2),
        (["--at", "diagonal:3"], 2),
        (["--model", "otsu"], 2),
        (["--rules", "luck"], 2),
        (["--at", "axial:0"], 1),
        (["--at", "axial:99"], 1),
        (["--label", "9"], 1),
    ],
)
def test_what_cannot_be_clicked_is_said(files, tmp_path, capsys, wrong, status):
    out = tmp_path / "out"
    assert run(*files, *wrong, "-o", out) == status
    assert not list(out.glob("*")) if out.exists() else True
    assert capsys.readouterr().err.strip()
