"""What the tests of the panels share: a viewer whose model is a stand-in with known answers."""

from __future__ import annotations

import pytest

pytest.importorskip("napari")

from fixtures.fake_segmenter import FakeSegmenter
from napari_sam_med.gui.state import workspace_for
from napari_sam_med.inference.worker import ModelWorker


@pytest.fixture
def segmenter():
    return FakeSegmenter()


@pytest.fixture
def viewer(make_napari_viewer, segmenter):
    found = make_napari_viewer()
    workspace_for(found, lambda tell: ModelWorker(tell, load=lambda name, device: segmenter))
    return found
