import os
import signal
import subprocess
import sys
import time
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


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_process_killed_while_it_waits_is_replaced(tmp_path):
    executor = LocalExecutor(partial(deadly_tasks.perform, folder=tmp_path), workers=1)
    try:
        assert set(run_all(executor, ["a"])) == {"a"}
        (process,) = executor._pool._processes.values()
        process.kill()
        process.join()
        wait_for(lambda: executor._pool._broken)
        assert set(run_all(executor, ["b", "c"])) == {"b", "c"}
    finally:
        executor.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_after_a_crash_both_processes_have_work_again(tmp_path):
    executor = LocalExecutor(partial(deadly_tasks.perform, folder=tmp_path), workers=2)
    try:
        for name in ("once", "a", "b"):
            executor.submit(task(name))
        most = 0
        names = [f"more {k}" for k in range(8)]
        while names:
            executor.next()
            while names and executor.pending < executor.slots:
                executor.submit(task(names.pop()))
                most = max(most, len(executor._running))
        assert most == 3
    finally:
        executor.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_processes_end_with_a_killed_parent(tmp_path):
    code = f"""
import os, signal, sys
from functools import partial
from pathlib import Path
from fixtures import deadly_tasks
from napari_sam_med.evaluation.config import Case
from napari_sam_med.evaluation.executors import LocalExecutor
from napari_sam_med.evaluation.work import Task
if __name__ == "__main__":
    executor = LocalExecutor(partial(deadly_tasks.perform, folder=Path({str(tmp_path)!r})), workers=1)
    executor.submit(Task(Case("a", Path("image"), Path("labels"))))
    executor.next()
    print(*executor._pool._processes, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    script = tmp_path / "parent.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, timeout=60, env=environment
    )
    assert ended.returncode == -signal.SIGKILL
    child = int(ended.stdout)
    wait_for(lambda: not is_running(child))


def is_running(process):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(ready, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


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
