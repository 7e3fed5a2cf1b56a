"""`evaluate --scheduler` on a real scheduler with two workers, one of which is killed."""

import json
import operator
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fixtures.cohort_files import nnunet_folder
from fixtures.commands import run_command
from napari_sam_med.core.errors import InputError
from napari_sam_med.evaluation import figures
from napari_sam_med.evaluation.config import Case
from napari_sam_med.evaluation.executors import DaskExecutor
from napari_sam_med.evaluation.table import read_table
from napari_sam_med.evaluation.work import Task

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
]

KEY = ["case", "axis", "slice", "label", "model", "strategy", "rule"]


def wait_for(ready, seconds=40.0):
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.fixture
def cluster(tmp_path):
    """Address of a scheduler, its worker processes, and its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s"}
    logs = (tmp_path / "cluster.log").open("w")
    processes = []

    def dask(*arguments):
        started = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments],
            stdout=logs,
            stderr=logs,
            env=environment,
            cwd=tmp_path,
        )
        processes.append(started)
        return started

    address_file = tmp_path / "scheduler.json"
    dask(
        "scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(address_file),
    )
    wait_for(address_file.exists)
    workers = [
        dask("worker", "--scheduler-file", str(address_file), "--host", "127.0.0.1", "--nthreads", "1",
             "--no-nanny", "--no-dashboard")
        for _ in range(2)
    ]  # fmt: skip
    log = tmp_path / "cluster.log"
    wait_for(lambda: log.read_text().count("Registered to:") == 2)
    yield json.loads(address_file.read_text())["address"], workers, processes[0]
    for process in reversed(processes):
        process.kill()
        process.wait()
    logs.close()


def evaluate(*arguments):
    return run_command("evaluate", "--model", "ellipse", "--strategy", "S5,S6", *arguments)


def test_a_killed_worker_loses_no_row_and_doubles_none(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "save_figures", lambda table, folder: [])
    address, workers, _ = cluster
    dataset = nnunet_folder(tmp_path / "Dataset002", 10)
    (dataset / "labelsTr" / "case_004.nii.gz").write_bytes(b"broken")
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert evaluate("--dataset", dataset, "-o", alone) == 0
    expected = read_table(alone / "scores.csv").sort_values(KEY).reset_index(drop=True)
    n_at_kill = []

    def kill_half_way():
        scores = shared / "scores.csv"
        wait_for(lambda: scores.exists() and scores.read_text().count("\n") > len(expected) // 4)
        os.kill(workers[0].pid, signal.SIGKILL)
        n_at_kill.append(scores.read_text().count("\n") - 1)

    killer = threading.Thread(target=kill_half_way)
    killer.start()
    assert evaluate("--dataset", dataset, "--scheduler", address, "-o", shared) == 0
    killer.join()
    assert workers[0].wait(5) == -signal.SIGKILL
    assert n_at_kill[0] < len(expected)
    found = read_table(shared / "scores.csv")
    assert not found.duplicated(KEY).any()
    assert found.sort_values(KEY).reset_index(drop=True).equals(expected)


def test_a_worker_that_cannot_work_is_a_sentence(cluster):
    executor = DaskExecutor(operator.methodcaller("nothing"), cluster[0])
    executor.submit(Task(Case("a", Path("image"), Path("labels"))))
    with pytest.raises(InputError, match="version"):
        executor.next()
    executor.close()


def test_a_scheduler_that_goes_away_is_a_sentence_and_the_run_goes_on_without(
    cluster, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(figures, "save_figures", lambda table, folder: [])
    address, _, scheduler = cluster
    dataset, out = nnunet_folder(tmp_path / "Dataset003", 6), tmp_path / "out"

    def kill():
        scores = out / "scores.csv"
        wait_for(lambda: scores.exists() and scores.read_text().count("\n") > 20)
        scheduler.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    assert evaluate("--dataset", dataset, "--scheduler", address, "-o", out) == 1
    killer.join()
    said = capfd.readouterr().err
    assert "scheduler is gone" in said
    assert "Traceback" not in said
    assert evaluate("--dataset", dataset, "-o", out) == 0
    table = read_table(out / "scores.csv")
    assert not table.duplicated(KEY).any()
    assert table.groupby("case").size().tolist() == [40] * 6
