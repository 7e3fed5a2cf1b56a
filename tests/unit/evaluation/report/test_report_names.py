"""The report names nobody, unless it is asked to, and obeys no markup in names."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.report_page import Page
from fixtures.score_folder import failed_row, made_up_rows, write_folder
from napari_sam_med.evaluation.config import Case
from napari_sam_med.evaluation.report import write_report

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
