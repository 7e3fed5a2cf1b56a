"""A cohort through the command line: interrupted, damaged, changed, shared; every row is there exactly once."""

import errno
import json
import signal
import subprocess
import sys

import pytest

from fixtures.cohort_files import nnunet_folder, write_pair
from fixtures.commands import run_command
from napari_sam_med.evaluation import figures, opened
from napari_sam_med.evaluation.table import read_table

KEY = ["case", "axis", "slice", "label", "model", "strategy", "rule"]
CHOSEN = ("--model", "ellipse", "--strategy", "S5")


def run(*arguments):
    return run_command("evaluate", *CHOSEN, *arguments)


def scores(folder):
    """The table in one order; a row that is there twice fails."""
    table = read_table(folder / "scores.csv")
    assert not table.duplicated(KEY).any()
    return table.sort_values(KEY).reset_index(drop=True)


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    """They take longer than all else here."""
    monkeypatch.setattr(figures, "save_figures", lambda table, folder: [])


@pytest.fixture
def dataset(tmp_path):
    return nnunet_folder(tmp_path / "Dataset001", 3)


@pytest.fixture
def whole(dataset, tmp_path):
    """Scores of an uninterrupted run."""
    assert run("--dataset", dataset, "-o", tmp_path / "whole") == 0
    return scores(tmp_path / "whole")


@pytest.fixture
def opened_cases(monkeypatch):
    """Cases that are read from now on."""
    names = []
    read = opened.read_case

    def counted(case, resample=False):
        names.append(case.id)
        return read(case, resample)

    monkeypatch.setattr(opened, "read_case", counted)
    return names


def test_a_cohort_with_names_from_dataset_json_and_a_broken_case(dataset, tmp_path, capsys):
    (dataset / "imagesTr" / "case_001_0000.nii.gz").write_bytes(b"not an image")
    (dataset / "labelsTr" / "case_003.nii.gz").write_bytes(b"")
    out = tmp_path / "out"
    assert run("--dataset", dataset, "-o", out) == 0
    table = scores(out)
    assert set(table["case"]) == {"case_000", "case_001", "case_002", "case_003"}
    good = table[table["error"] == ""]
    assert set(good["case"]) == {"case_000", "case_002"}
    assert set(good["label_name"]) == {"box", "disc"}
    assert table[table["error"] != ""]["case"].tolist() == ["case_001", "case_003"]
    assert str(tmp_path) not in (out / "scores.csv").read_text()
    assert "2 of" in capsys.readouterr().err


def test_a_finished_run_is_not_repeated(dataset, whole, tmp_path, opened_cases):
    before = (tmp_path / "whole" / "scores.csv").read_bytes()
    assert run("--dataset", dataset, "-o", tmp_path / "whole") == 0
    assert (tmp_path / "whole" / "scores.csv").read_bytes() == before
    assert opened_cases == []
    info = json.loads((tmp_path / "whole" / "run.json").read_text())
    assert info["models"] == {"ellipse": "ellipse-1"}
    assert set(info["windows"]) == {"case_000", "case_001", "case_002"}


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.73, 0.999])
def test_cut_anywhere_the_table_is_made_whole_again(dataset, whole, tmp_path, share):
    out = tmp_path / "whole"
    for name in ("scores.csv", "progress.jsonl"):
        content = (out / name).read_bytes()
        (out / name).write_bytes(content[: max(int(len(content) * share), 1)])
    assert run("--dataset", dataset, "-o", out) == 0
    assert scores(out).equals(whole)


@pytest.mark.parametrize("lost", ["scores.csv", "progress.jsonl"])
def test_one_of_two_files_cut_is_noticed(dataset, whole, tmp_path, lost):
    path = tmp_path / "whole" / lost
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])
    assert run("--dataset", dataset, "-o", tmp_path / "whole") == 0
    assert scores(tmp_path / "whole").equals(whole)


def test_ctrl_c_and_on_again(dataset, whole, tmp_path, monkeypatch, opened_cases, capsys):
    from napari_sam_med.evaluation import runner

    out = tmp_path / "out"
    compute, calls = runner.compute_factors, []

    def interrupted(target):
        calls.append(target)
        if len(calls) == 14:
            raise KeyboardInterrupt
        return compute(target)

    monkeypatch.setattr(runner, "compute_factors", interrupted)
    assert run("--dataset", dataset, "-o", out) == 1
    assert "goes on" in capsys.readouterr().err
    assert 0 < len(read_table(out / "scores.csv")) < len(whole)
    assert json.loads((out / "run.json").read_text())["stopped"] is True
    monkeypatch.setattr(runner, "compute_factors", compute)
    opened_cases.clear()
    assert run("--dataset", dataset, "-o", out) == 0
    assert "case_000" not in opened_cases
    assert scores(out).equals(whole)


def test_a_mended_case_is_scored_again_and_the_others_are_not(dataset, whole, tmp_path, opened_cases):
    out = tmp_path / "whole"
    labels = dataset / "labelsTr" / "case_001.nii.gz"
    labels.write_bytes(b"")
    assert run("--dataset", dataset, "-o", out) == 0
    assert opened_cases == ["case_001"]
    table = scores(out)
    assert table[table["case"] == "case_001"]["error"].ne("").tolist() == [True]
    write_pair(dataset / "imagesTr" / "case_001_0000.nii.gz", labels, seed=1)
    opened_cases.clear()
    assert run("--dataset", dataset, "-o", out) == 0
    assert opened_cases == ["case_001"]
    assert scores(out).equals(whole)


def test_other_settings_do_not_mix(dataset, whole, tmp_path, capsys):
    out = tmp_path / "whole"
    assert run("--dataset", dataset, "--seed", "3", "--max-slices", "1", "-o", out) == 0
    assert "earlier-1" in capsys.readouterr().err
    assert len(scores(out)) < len(whole)
    assert scores(out / "earlier-1").equals(whole)


def test_rows_of_cases_that_are_not_asked_for_now_are_not_lost(dataset, whole, tmp_path, capsys):
    out = tmp_path / "whole"
    one = [dataset / "imagesTr" / "case_002_0000.nii.gz", dataset / "labelsTr" / "case_002.nii.gz"]
    assert run(*one, "-o", out) == 0
    assert "earlier-1" in capsys.readouterr().err
    assert set(scores(out)["case"]) == {"case_002_0000"}
    assert scores(out / "earlier-1").equals(whole)
    assert run(*one, "-o", out) == 0
    assert not (out / "earlier-2").exists()


def test_other_weights_under_the_same_name_do_not_mix(dataset, whole, tmp_path, monkeypatch):
    from dataclasses import replace

    from napari_sam_med.evaluation.baselines import BASELINES

    changed = replace(BASELINES.get("ellipse"), fingerprint="ellipse-2")
    monkeypatch.setitem(BASELINES._items, "ellipse", changed)
    assert run("--dataset", dataset, "-o", tmp_path / "whole") == 0
    assert scores(tmp_path / "whole" / "earlier-1").equals(whole)


def test_figures_of_another_run_do_not_stay_beside_the_new_ones(dataset, whole, tmp_path):
    old = tmp_path / "whole" / "factors_ellipse_S6_score.png"
    old.write_bytes(b"picture")
    (tmp_path / "whole" / "holiday.png").write_bytes(b"my own")
    assert run("--dataset", dataset, "--seed", "3", "--max-slices", "1", "-o", tmp_path / "whole") == 0
    assert {p.name for p in (tmp_path / "whole").glob("*.png")} == {"holiday.png"}
    assert (tmp_path / "whole" / "earlier-1" / old.name).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_without_a_word_nothing_is_lost(dataset, whole, tmp_path):
    """The process dies at a slice in the middle, as from the kernel's memory killer; the pictures are there too."""
    out = tmp_path / "out"
    code = f"""
import os, signal
from napari_sam_med.cli import main
from napari_sam_med.evaluation import runner
compute, calls = runner.compute_factors, []
def deadly(target):
    calls.append(target)
    if len(calls) == 14:
        os.kill(os.getpid(), signal.SIGKILL)
    return compute(target)
runner.compute_factors = deadly
main(["evaluate", *{CHOSEN!r}, "--dataset", {str(dataset)!r}, "-o", {str(out)!r}])
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert 0 < len(read_table(out / "scores.csv")) < len(whole)
    assert run("--dataset", dataset, "-o", out) == 0
    assert scores(out).equals(whole)
    names = [sorted(p.name for p in (tmp_path / f / "worst").iterdir()) for f in ("out", "whole")]
    assert names[0] == names[1]


def test_a_full_disk_is_a_sentence_and_the_run_goes_on_with_room(
    dataset, whole, tmp_path, monkeypatch, capsys
):
    from napari_sam_med.evaluation import atlas

    out, write, calls = tmp_path / "out", atlas._write, []

    def full(path, failure):
        calls.append(path)
        if len(calls) == 5:
            path.with_suffix(".part").write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, failure)

    monkeypatch.setattr(atlas, "_write", full)
    assert run("--dataset", dataset, "-o", out) == 1
    assert "No space left" in capsys.readouterr().err
    assert run("--dataset", dataset, "-o", out) == 0
    assert scores(out).equals(whole)
    assert not list(out.glob("worst/*.part"))


def test_two_processes_write_the_same_rows(dataset, whole, tmp_path):
    (dataset / "imagesTr" / "case_009_0000.nii.gz").write_bytes(b"broken")
    out = tmp_path / "out"
    assert run("--dataset", dataset, "--workers", "2", "-o", out) == 0
    table = scores(out)
    good = table[table["error"] == ""].reset_index(drop=True)
    assert good.equals(whole)
    assert table[table["error"] != ""]["case"].tolist() == ["case_009"]
    assert sorted(p.name for p in (out / "worst").iterdir()) == sorted(
        p.name for p in (tmp_path / "whole" / "worst").iterdir()
    )


def test_usage(dataset, tmp_path):
    assert run("-o", tmp_path / "o") == 2
    assert run(dataset / "x.nii", dataset / "y.nii", "--dataset", dataset, "-o", tmp_path / "o") == 2
    assert run("--dataset", dataset, "--workers", "0", "-o", tmp_path / "o") == 2
    assert run("--dataset", dataset, "--workers", "2", "--scheduler", "tcp://x", "-o", tmp_path / "o") == 2
    assert run("--dataset", dataset, "--series", "3", "-o", tmp_path / "o") == 2
    assert run("--dataset", dataset, "--time", "1", "-o", tmp_path / "o") == 2
    assert run("--dataset", tmp_path / "nothing", "-o", tmp_path / "o") == 1
    assert not (tmp_path / "o").exists()
