import json
from dataclasses import replace

import pytest

from napari_sam_med.core.errors import OutputError
from napari_sam_med.evaluation.config import Case, EvaluationConfig
from napari_sam_med.evaluation.journal import CasePlan
from napari_sam_med.evaluation.robustness_config import RobustnessConfig
from napari_sam_med.evaluation.robustness_rows import LabRow, read_lab_table
from napari_sam_med.evaluation.robustness_store import PROGRESS, ROWS, LabStore

PLAN = CasePlan({("axial", 3): 2, ("axial", 5): 2}, {"window": "40/400"})


@pytest.fixture
def files(tmp_path):
    for name in ("image", "labels"):
        (tmp_path / name).write_text(name)
    return (tmp_path / "image", tmp_path / "labels")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "out"
    made.mkdir()
    return made


def config(files, **changes):
    evaluation = EvaluationConfig(models=("ellipse",), strategies=("S5",), cases=(Case("one", *files),))
    return RobustnessConfig(evaluation, **changes)


def write(store, index, dice=0.5, error="", finish=True):
    for rule in ("oracle", "score"):
        store.write(LabRow("one", "axial", index, 1, rule=rule, lab="jitter", dice=dice, error=error))
    if finish:
        store.finish("one", ("axial", index), 2)


def start(folder, settings):
    """One slice done, the other half."""
    with LabStore(folder, settings) as store:
        store.planned("one", PLAN)
        store.used({"m": "weights"})
        write(store, 3)
        write(store, 5, finish=False)


def test_finished_slices_are_kept_and_half_done_ones_done_again(folder, files):
    start(folder, config(files))
    with LabStore(folder, config(files)) as store:
        assert store.n_kept == 2
        assert store.left("one", PLAN) == [("axial", 5)]
        assert not store.done("one")
        assert store.fingerprints == {"m": "weights"}
        write(store, 5)
        assert store.done("one")
    table = read_lab_table(folder / ROWS)
    assert table["slice"].tolist() == [3, 3, 5, 5]
    with LabStore(folder, config(files)) as store:
        assert store.done("one")
        assert store.plans["one"].facts == PLAN.facts


def test_rows_of_cases_that_are_not_asked_for_any_more_are_copied_first(folder, files):
    start(folder, config(files))
    whole = config(files).evaluation
    other = RobustnessConfig(replace(whole, cases=(Case("two", *files),)))
    with LabStore(folder, other) as store:
        assert store.n_kept == 0
        assert store.set_aside
    assert read_lab_table(folder / store.set_aside / ROWS)["case"].unique().tolist() == ["one"]


def test_rows_that_were_cut_off_are_left_out(folder, files):
    start(folder, config(files))
    with (folder / ROWS).open("a") as file:
        file.write("one,axial,5,1,half a li")
    with (folder / PROGRESS).open("a") as file:
        file.write('{"done": ["one", "axial", 5], "ro')
    with LabStore(folder, config(files)) as store:
        assert store.left("one", PLAN) == [("axial", 5)]
        write(store, 5)
    assert len(read_lab_table(folder / ROWS)) == 4


def test_a_slice_that_lost_a_row_is_done_again(folder, files):
    with LabStore(folder, config(files)) as store:
        store.planned("one", PLAN)
        write(store, 3)
        write(store, 5)
    lines = (folder / ROWS).read_text().splitlines(keepends=True)
    (folder / ROWS).write_text("".join(lines[:-1]))
    with LabStore(folder, config(files)) as store:
        assert store.left("one", PLAN) == [("axial", 5)]
        write(store, 5)
    assert read_lab_table(folder / ROWS)["slice"].tolist() == [3, 3, 5, 5]


def test_slices_with_errors_are_done_again(folder, files):
    with LabStore(folder, config(files)) as store:
        store.planned("one", PLAN)
        write(store, 3)
        write(store, 5, float("nan"), 'It said "no",\nand left.')
    assert read_lab_table(folder / ROWS)["error"].iloc[-1] == 'It said "no", and left.'
    with LabStore(folder, config(files)) as store:
        assert store.left("one", PLAN) == [("axial", 5)]


def test_a_model_that_failed_makes_all_slices_of_its_case_incomplete(folder, files):
    with LabStore(folder, config(files)) as store:
        store.planned("one", PLAN)
        store.write(LabRow("one", model="broken", error="It is broken."))
        write(store, 3)
    with LabStore(folder, config(files)) as store:
        assert store.left("one", PLAN) == list(PLAN.units)
    assert read_lab_table(folder / ROWS).empty


def test_cases_whose_files_changed_are_done_again(folder, files):
    start(folder, config(files))
    files[1].write_text("other labels")
    with LabStore(folder, config(files)) as store:
        assert store.left("one", PLAN) == list(PLAN.units)
        assert store.n_kept == 0


def test_other_settings_move_what_is_there_aside_but_no_scores(folder, files):
    start(folder, config(files))
    (folder / "robustness_curves.csv").write_text("old")
    (folder / "scores.csv").write_text("of evaluate")
    with LabStore(folder, config(files, bins=((0.0, 5.0),))) as store:
        assert store.set_aside == "earlier-1"
    assert {path.name for path in (folder / "earlier-1").iterdir()} == {
        ROWS,
        PROGRESS,
        "robustness_curves.csv",
    }
    assert (folder / "scores.csv").read_text() == "of evaluate"
    assert read_lab_table(folder / ROWS).empty
    first = json.loads((folder / PROGRESS).read_text().splitlines()[0])
    assert "settings" in first


def test_a_folder_that_cannot_be_written_is_said(tmp_path, files):
    with pytest.raises(OutputError, match="cannot be written"):
        LabStore(tmp_path / "not there", config(files))
