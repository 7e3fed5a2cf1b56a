import sys
from functools import partial
from pathlib import Path

import pytest

from fixtures import deadly_tasks
from napari_sam_med.core.errors import InputError
from napari_sam_med.evaluation.config import Case
from napari_sam_med.evaluation.executors import DaskExecutor, LocalExecutor, Lost
from napari_sam_med.evaluation.work import Task


def task(name):
    return Task(Case(name, Path("image"), Path("labels")))


def run_all(executor, names):
    """Outcomes by name; a task that comes back twice fails."""
    outcomes = {}
    waiting = [task(name) for name in names]
    while waiting or executor.pending:
        while waiting and executor.pending < executor.slots:
            executor.submit(waiting.pop(0))
        done, outcome = executor.next()
        assert done.case.id not in outcomes
        outcomes[done.case.id] = outcome
    return outcomes


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_process_is_replaced_and_only_the_deadly_task_is_given_up(tmp_path):
    executor = LocalExecutor(partial(deadly_tasks.perform, folder=tmp_path), workers=2)
    names = ["a", "once", "b", "always", "c", "d"]
    try:
        outcomes = run_all(executor, names)
    finally:
        executor.close()
    assert set(outcomes) == set(names)
    assert {name for name, outcome in outcomes.items() if isinstance(outcome, Lost)} == {"always"}


def test_closing_with_work_under_way_does_not_wait_for_it(tmp_path):
    executor = LocalExecutor(partial(deadly_tasks.perform, folder=tmp_path), workers=1)
    executor.submit(task("a"))
    executor.close()


def test_no_scheduler_is_a_sentence():
    pytest.importorskip("distributed")
    with pytest.raises(InputError, match="scheduler"):
        DaskExecutor(partial(deadly_tasks.perform, folder=Path()), "tcp://127.0.0.1:9", timeout_s=0.5)


def test_dask_is_asked_for_by_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"napari-sam-med\[distributed\]"):
        DaskExecutor(partial(deadly_tasks.perform, folder=Path()), "tcp://127.0.0.1:9")
