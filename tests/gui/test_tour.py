"""The demo: a screen where there is none, clear words where there can be none, and the whole tour."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from napari_sam_med.core.errors import OutputError
from napari_sam_med.gui import tour, xvfb
from napari_sam_med.gui.xvfb import DisplayError, missing_packages, screen

pytestmark = [
    pytest.mark.gui,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Xvfb is for Linux"),
]


@pytest.fixture
def no_display(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


def test_importing_the_demo_loads_neither_qt_nor_napari():
    code = (
        "import sys, napari_sam_med.gui.tour;"
        "print([m for m in sys.modules if m in ('napari', 'qtpy', 'torch')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_screen_lives_as_long_as_its_block(no_display):
    with screen(320, 240):
        display = os.environ["DISPLAY"]
        socket = f"/tmp/.X11-unix/X{display.removeprefix(':')}"
        assert os.path.exists(socket)
    assert "DISPLAY" not in os.environ
    assert not os.path.exists(socket)


def test_a_display_that_is_there_is_used(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":77")
    with screen():
        assert os.environ["DISPLAY"] == ":77"


def test_missing_packages_are_named_in_the_line_that_installs_them(no_display, monkeypatch):
    monkeypatch.setattr(xvfb.shutil, "which", lambda name: None)
    monkeypatch.setattr(xvfb, "_loads", lambda library: library != "libEGL.so.1")
    assert missing_packages() == ["libegl1", *xvfb.DISPLAY_PACKAGES]
    with pytest.raises(DisplayError, match=r"apt-get install .*libegl1 xvfb"), screen():
        pass


def test_the_shell_script_installs_the_same_packages():
    script = (Path(__file__).parents[2] / "tools" / "system-packages.sh").read_text()
    named = re.search(r'^PACKAGES="([^"]*)"', script, re.MULTILINE)[1].split()
    named.append(re.search(r"^GLIB=(\S+)", script, re.MULTILINE)[1])
    assert sorted(named) == sorted([*xvfb.SYSTEM_LIBRARIES.values(), *xvfb.DISPLAY_PACKAGES])


def test_a_server_that_does_not_start_is_said_in_words(no_display, monkeypatch, tmp_path):
    broken = tmp_path / "Xvfb"
    broken.write_text("#!/bin/sh\necho 'no memory for a screen' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(DisplayError, match="no memory for a screen"), screen():
        pass


def test_without_a_display_the_user_is_told_of_headless(no_display):
    with pytest.raises(DisplayError, match="--headless"):
        tour.run_demo(None)


def test_a_folder_that_cannot_be_made_is_said_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        tour.run_demo(tmp_path / "file")


@pytest.mark.slow
def test_the_tour_leaves_pictures_and_scores_of_both_samples(tmp_path):
    pytest.importorskip("nilearn")
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    folder = tmp_path / "demo"
    code = f"from pathlib import Path; from napari_sam_med.gui.tour import run_demo; run_demo(Path({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Dice" in done.stdout
    pictures = sorted(folder.glob("*.png"))
    assert [p.name[:2] for p in pictures] == [f"{n:02d}" for n in range(1, len(pictures) + 1)]
    assert len(pictures) >= 6
    table = pd.read_csv(folder / "scores.csv", keep_default_na=False, na_values={"dice": [""]})
    assert table["case"].nunique() == 2
    assert set(table["strategy"]) == {"S2", "S5"}
    assert (table["error"] == "").all()
    box = table[(table["strategy"] == "S5") & (table["rule"] == "score")]
    point = table[(table["strategy"] == "S2") & (table["rule"] == "score")]
    assert box["dice"].mean() > point["dice"].mean()
