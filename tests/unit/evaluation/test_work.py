"""What a process does with a task, and what becomes of a failure that is no matter of one row."""

from dataclasses import replace

import pytest

from fixtures.cohort_files import write_pair
from napari_sam_med.core.errors import InputError
from napari_sam_med.evaluation import runner
from napari_sam_med.evaluation.config import Case, EvaluationConfig
from napari_sam_med.evaluation.engine import Run
from napari_sam_med.evaluation.store import RunStore
from napari_sam_med.evaluation.table import read_table
from napari_sam_med.evaluation.work import Task, Worker


@pytest.fixture
def config(tmp_path):
    image, labels = tmp_path / "image.nii.gz", tmp_path / "labels.nii.gz"
    write_pair(image, labels)
    return EvaluationConfig(
        models=("ellipse",), strategies=("S5",), rules=("score",), cases=(Case("a", image, labels),)
    )


@pytest.fixture
def one_bad_slice(monkeypatch):
    cut = runner.slice_image

    def slice_image(volume, axis, index, window):
        if index == 4:
            raise MemoryError("no memory for slice 4")
        return cut(volume, axis, index, window)

    monkeypatch.setattr(runner, "slice_image", slice_image)


def test_a_slice_that_fails_is_a_row_and_the_others_are_scored(config, one_bad_slice, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with RunStore(out, config) as store:
        list(Run(config, store).steps())
    table = read_table(out / "scores.csv")
    failed = table[table["error"] != ""]
    assert failed["slice"].tolist() == [4]
    assert "no memory" in failed["error"].iloc[0]
    assert set(table["slice"]) == set(range(2, 9))


def test_a_task_loses_no_row_of_its_other_slices(config, one_bad_slice):
    (case,) = config.cases
    worker = Worker(config)
    plan = worker.do(Task(case)).plan
    result = worker.do(Task(case, tuple(plan.units)))
    assert [row.slice for row in result.rows if row.error] == [4]
    assert {row.slice for row in result.rows} == set(range(2, 9))
    assert result.fingerprints == {}


def test_a_file_that_goes_away_meanwhile_is_an_error_for_each_slice(config):
    (case,) = config.cases
    units = tuple(Worker(config).do(Task(case)).plan.units)
    case.image.unlink()
    result = Worker(config).do(Task(case, units))
    assert [(row.axis, row.slice) for row in result.rows] == list(units)
    assert all("image.nii.gz" in row.error for row in result.rows)


class Hands:
    """An executor that answers at once, each task by a worker of its own."""

    slots = 1

    def __init__(self, workers):
        self.workers = workers
        self.waiting = []

    @property
    def pending(self):
        return len(self.waiting)

    def submit(self, task):
        self.waiting.append(task)

    def next(self):
        task = self.waiting.pop(0)
        return task, self.workers.pop(0)(task)


def test_rows_of_a_worker_with_other_weights_are_not_written(config, tmp_path):
    worker = Worker(config)

    def with_weights(digest):
        return lambda task: replace(worker.do(task), fingerprints={"builtin": digest})

    config = replace(config, cases=(*config.cases, replace(config.cases[0], id="b")))
    out = tmp_path / "out"
    out.mkdir()
    with RunStore(out, config) as store, pytest.raises(InputError, match="weights"):
        list(Run(config, store).steps(Hands([worker.do, with_weights("1"), worker.do, with_weights("2")])))
    assert set(read_table(out / "scores.csv")["case"]) == {"a"}
