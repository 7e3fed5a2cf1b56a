"""The Diagnostics panel, docked in a viewer, with scores that the Evaluate panel would have sent."""

from __future__ import annotations

import pytest

pytest.importorskip("napari")

from fixtures.evaluate_scene import make_scene, small_volumes
from fixtures.fake_segmenter import FakeSegmenter
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.runner import iter_pair_scores
from napari_sam_med.evaluation.table import rows_to_table
from napari_sam_med.gui.app import make_diagnostics_widget
from napari_sam_med.gui.state import workspace_for
from napari_sam_med.gui.widgets.evaluate_scores import MaskKey, MaskStore, Scores, board_of
from napari_sam_med.inference.session import Session


@pytest.fixture(scope="session")
def simulated():
    """Scores and masks of S2 and S5 over all slices, by a model that answers with the box or a disc."""
    image, labels = small_volumes()
    config = EvaluationConfig(models=("fake",), axes=("axial",), rules=("score", "oracle"))
    session = Session(FakeSegmenter())
    rows = list(iter_pair_scores(image, labels, config, lambda name: session, keep_masks=True))
    masks = MaskStore()
    for row in rows:
        masks.put(MaskKey(row.model, row.strategy, row.rule, 0, row.slice, row.label), row.mask, row.prompts)
    return rows_to_table(rows), masks


@pytest.fixture
def scene(make_napari_viewer):
    return make_scene(make_napari_viewer(show=True))


@pytest.fixture
def scores(scene, simulated):
    table, masks = simulated
    return Scores(table, "simulated prompts", scene.image, scene.truth, None, masks)


@pytest.fixture
def panel(scene, scores, qtbot):
    """A docked panel that was told of the scores the way the Evaluate panel tells."""
    scene.viewer.window.resize(1200, 800)
    widget = make_diagnostics_widget(scene.viewer)
    scene.viewer.window.add_dock_widget(widget, name="Diagnostics")
    board_of(workspace_for(scene.viewer)).publish(scores)
    qtbot.wait(100)
    return widget
