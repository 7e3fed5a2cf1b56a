import signal

import pytest

from fixtures.commands import run_command
from napari_sam_med.finetune.trainer import Progress


def run(*arguments):
    return run_command("train-builtin", *arguments)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("steps = 40\nseed = 3\n", encoding="utf-8")
    return path


@pytest.fixture
def trainings(monkeypatch):
    """What `train` was asked for; it presses Ctrl+C at step 20 when told to."""
    calls = []

    def train(settings, folder, stop):
        call = {"settings": settings, "folder": folder, "stopped": False}
        calls.append(call)
        figures = {"loss": 0.5, "iou_box": 0.8}
        for step in (20, 40):
            yield Progress(
                step, settings.steps, 1.0, figures, validation={"iou_box": 0.7} if step == 40 else None
            )
            if train.interrupt:
                signal.raise_signal(signal.SIGINT)
            if stop():
                call["stopped"] = True
                return

    train.interrupt = False
    monkeypatch.setattr("napari_sam_med.finetune.trainer.train", train)
    return calls, train


def test_settings_and_folder_reach_the_trainer(config, tmp_path, trainings, capsys):
    calls, _ = trainings
    assert run("--config", config, "-o", tmp_path / "run") == 0
    assert (calls[0]["settings"].steps, calls[0]["settings"].seed) == (40, 3)
    assert calls[0]["folder"] == tmp_path / "run"
    captured = capsys.readouterr()
    assert str(tmp_path / "run") in captured.out
    assert "step 40" in captured.err
    assert "iou_box 0.7" in captured.err


def test_ctrl_c_ends_the_run_after_a_step_and_the_handler_is_put_back(config, tmp_path, trainings, capsys):
    calls, train = trainings
    train.interrupt = True
    before = signal.getsignal(signal.SIGINT)
    assert run("--config", config, "-o", tmp_path / "run") == 0
    assert calls[0]["stopped"]
    assert signal.getsignal(signal.SIGINT) is before
    assert "again" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["steps = [", "stepps = 3\n", 'steps = "many"\n'])
def test_wrong_settings_are_one_sentence(config, trainings, capsys, content):
    config.write_text(content, encoding="utf-8")
    assert run("--config", config) == 1
    assert capsys.readouterr().err.startswith("Error: ")
    assert trainings[0] == []


def test_missing_settings(tmp_path, capsys):
    assert run("--config", tmp_path / "gone.toml") == 1
    assert "gone.toml" in capsys.readouterr().err
