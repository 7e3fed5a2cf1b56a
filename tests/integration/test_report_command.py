"""The command `report` on what `evaluate` left, with files whose folder has a patient's name."""

import re

import pytest

from fixtures.cohort_files import write_pair
from fixtures.commands import run_command
from napari_sam_med.evaluation import report_tables

PATIENT = "Mustermann^Erika"


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """The folder of a cohort: a good case named like a patient, and one whose labels are missing."""
    monkeypatch.setattr(report_tables, "N_FACTOR_SAMPLES", 20)
    folder = tmp_path / PATIENT
    image = folder / f"{PATIENT}.nii.gz"
    write_pair(image, folder / "truth.nii.gz")
    lines = [
        "case,image,labels",
        f"{image.stem},{image},{folder / 'truth.nii.gz'}",
        f"lost,{image},{folder / 'no.nii.gz'}",
    ]
    (tmp_path / "cohort.csv").write_text("\n".join(lines))
    assert (
        run_command(
            "evaluate",
            "--dataset",
            tmp_path / "cohort.csv",
            "--model",
            "ellipse",
            "--strategy",
            "S5",
            "--max-slices",
            "2",
            "-o",
            tmp_path / "out",
        )
        == 0
    )
    return tmp_path / "out"


def test_a_report_of_a_run_names_no_patient_and_no_folder(scored, tmp_path, capsys):
    capsys.readouterr()
    assert run_command("report", scored, "-o", tmp_path / "report", "--title", "Trial") == 0
    said = capsys.readouterr().out
    assert "report.html" in said
    assert "case_key.csv" in said
    html = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert "<title>Trial</title>" in html
    for path in (tmp_path / "report").rglob("*"):
        if path.is_file() and path.name != "case_key.csv":
            text = path.read_bytes()
            for secret in ("Mustermann", "Erika", str(tmp_path), tmp_path.name):
                assert secret.encode() not in text, (path.name, secret)
    assert "There is no file or folder" in html
    assert len(re.findall("<table", html)) > 5


def test_a_folder_without_scores_is_one_sentence(tmp_path, capsys):
    assert run_command("report", tmp_path) == 1
    assert "scores.csv" in capsys.readouterr().err


def test_an_unknown_naming_is_wrong_usage(tmp_path, capsys):
    assert run_command("report", tmp_path, "--names", "secret") == 2
    assert "number" in capsys.readouterr().err
