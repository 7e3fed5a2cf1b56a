"""What tests share: where real images are, and a segmenter that needs no weights."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")

from fixtures.fake_segmenter import FakeSegmenter

REPOSITORY = Path(__file__).resolve().parents[1]


def _shared_data_folder() -> Path:
    told = os.environ.get("NAPARI_SAM_MED_DATA")
    return Path(told) if told else REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images outside the repository; tests that ask for it are skipped without it."""
    folder = _shared_data_folder()
    if not (folder / "pairs.csv").is_file():
        pytest.skip(f"needs real images: no pairs.csv in {folder} (set NAPARI_SAM_MED_DATA to their folder)")
    return folder


_MEASURED = pytest.StashKey[list[str]]()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print a line about something measured at the end of the run, where a busy machine must not fail a test."""
    return request.config.stash.setdefault(_MEASURED, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash.get(_MEASURED, [])
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything under tests/gui drives a window; without a display Qt would end the whole run."""
    headless = sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    for item in items:
        if item.path.is_relative_to(REPOSITORY / "tests" / "gui"):
            item.add_marker(pytest.mark.gui)
        if headless and item.get_closest_marker("gui"):
            item.add_marker(
                pytest.mark.skip(reason="needs a display: install Xvfb (tools/system-packages.sh)")
            )


@pytest.fixture(scope="session", autouse=True)
def _own_embedding_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests' embeddings out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_SAM_MED_CACHE", str(tmp_path_factory.mktemp("embeddings")))
        yield


@pytest.fixture
def fake_segmenter() -> FakeSegmenter:
    """A segmenter that answers at once: the box, or a disc around the positive points."""
    return FakeSegmenter()
