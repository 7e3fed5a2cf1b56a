import itertools
import re

import pytest

from fixtures.commands import run_command
from napari_sam_med import __version__
from napari_sam_med.cli import main
from napari_sam_med.cli.console import size_text
from napari_sam_med.core.errors import InputError

COMMANDS = ("demo", "info", "segment", "evaluate", "models", "cache", "train-builtin")


def test_help_lists_every_command(capsys):
    assert run_command("--help") == 0
    text = capsys.readouterr().out
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize("command", [*COMMANDS, "cache info", "cache clear"])
def test_every_command_has_help(command, capsys):
    assert run_command(*command.split(), "--help") == 0
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_descriptions_fill_a_narrow_terminal(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run_command(command, "--help") == 0
    above_options = capsys.readouterr().out.split("╭")[0].split("Usage:")[1]
    for paragraph in re.split(r"\n\s*\n", above_options)[1:]:
        lines = [line.strip() for line in paragraph.splitlines() if line.strip()]
        for line, below in itertools.pairwise(lines):
            assert len(line) + 1 + len(below.split()[0]) > 76, f"broken early: {line!r}"


def test_version(capsys):
    assert run_command("--version") == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["info"],
        ["info", "a.nii", "b.nii"],
        ["segment", "scan.nii.gz"],
        ["segment", "scan.nii.gz", "-o", "mask.nii.gz"],
        ["segment", "scan.nii.gz", "-o", "mask.nii.gz", "--box", "axial:3"],
        ["segment", "scan.nii.gz", "-o", "mask.nii.gz", "--box", "axial:3:1,2,3,4", "--label", "0"],
        ["segment", "scan.nii.gz", "-o", "mask.nii.gz", "--box", "axial:3:1,2,3,4", "--label", "70000"],
        ["segment", "scan.nii.gz", "-o", "mask.nii.gz", "--box", "axial:3:1,2,3,4", "--window", "foggy"],
        ["segment", "scan.nii.gz", "-o", "mask.nii.gz", "--box", "axial:3:1,2,3,4", "--window", "40/0"],
        ["segment", "scan.nii.gz", "-o", "mask.doc", "--box", "axial:3:1,2,3,4"],
        ["segment", "scan.nii.gz", "-o", "m.nii.gz", "--box", "axial:3:1,2,3,4", "--prompts", "p.json"],
        ["train-builtin"],
        ["cache", "burn"],
    ],
)
def test_wrong_usage_is_status_2(arguments, capsys):
    assert run_command(*arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.fixture
def failing(monkeypatch):
    """The command "models" fails, with a sentence or by a bug."""

    def install(error):
        def fail():
            raise error

        monkeypatch.setattr("napari_sam_med.models.describe_models", fail)

    return install


def test_an_error_for_the_user_is_one_sentence_and_status_1(failing, capsys):
    failing(InputError("The file [b]ünïcode[/b] is empty; choose another one."))
    assert run_command("models") == 1
    captured = capsys.readouterr()
    assert captured.err.strip() == "Error: The file [b]ünïcode[/b] is empty; choose another one."
    assert captured.out == ""


def test_debug_shows_where_it_came_from(failing):
    failing(InputError("no"))
    with pytest.raises(InputError):
        main(["--debug", "models"])
    assert run_command("models") == 1  # one run's option does not stay for the next


def test_a_bug_is_not_dressed_as_a_sentence(failing):
    failing(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["models"])


def test_models_lists_names_licences_and_where_weights_come_from(capsys):
    assert run_command("models") == 0
    text = capsys.readouterr().out
    assert all(part in text for part in ("builtin", "sam_vit_b", "sam_vit_h", "BSD-3-Clause", "Apache-2.0"))


def test_cache_counts_and_clears(tmp_path, monkeypatch, capsys, fake_segmenter):
    import numpy as np

    from napari_sam_med.embeddings import EmbeddingCache

    monkeypatch.setenv("NAPARI_SAM_MED_CACHE", str(tmp_path / "kept"))
    assert run_command("cache", "info") == 0
    assert "0" in capsys.readouterr().out.split()
    EmbeddingCache.default().put("a" * 64, fake_segmenter.encode(np.zeros((8, 8), np.uint8)))
    assert run_command("cache", "info") == 0
    text = capsys.readouterr().out
    assert str(tmp_path / "kept") in text
    assert "1" in text.split()
    assert run_command("cache", "clear") == 0
    assert EmbeddingCache.default().info().count == 0
    assert "1 embedding" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * 2**40, "3.0 TiB"), (2**60, "1048576.0 TiB")],
)
def test_sizes_in_words(n_bytes, text):
    assert size_text(n_bytes) == text


def test_demo_hands_its_folder_to_the_tour(monkeypatch, tmp_path):
    import sys
    import types

    asked = []
    tour = types.ModuleType("napari_sam_med.gui.tour")
    tour.run_demo = asked.append
    monkeypatch.setitem(sys.modules, "napari_sam_med.gui.tour", tour)
    assert run_command("demo") == 0
    assert run_command("demo", "--headless", tmp_path) == 0
    assert asked == [None, tmp_path]
