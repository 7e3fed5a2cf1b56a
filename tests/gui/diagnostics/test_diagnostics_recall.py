"""Predictions of scores from a file: made again by the model, kept by the run, or said to be missing."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")

from fixtures.evaluate_scene import make_scene
from fixtures.fake_segmenter import GatedSegmenter
from napari_sam_med.evaluation.again import RunNotes
from napari_sam_med.gui.app import make_diagnostics_widget
from napari_sam_med.gui.widgets import evaluate_scores

pytestmark = pytest.mark.gui


@pytest.fixture
def scene(viewer):
    return make_scene(viewer)


@pytest.fixture
def opened(scene, simulated, tmp_path, qtbot):
    """Opens the simulated scores from a file, of another model if need be."""

    def open_file(model="builtin", drop=()):
        frame = simulated[0].assign(model=model).drop(columns=list(drop))
        path = tmp_path / "scores.csv"
        frame.to_csv(path, index=False)
        panel = make_diagnostics_widget(scene.viewer)
        qtbot.addWidget(panel)
        panel.open_scores(path)
        panel.choosers.image_layer.choose(scene.image)
        panel.choosers.truth_layer.choose(scene.truth)
        return panel

    return open_file


def shown_dice(panel, scene, position):
    """Dice of what the error layer shows against the truth."""
    row = panel.shown.iloc[position]
    truth = np.count_nonzero(scene.truth.data[row["slice"]] == row["label"])
    errors = scene.viewer.layers["Errors"].data[row["slice"]]
    missed, extra = np.isin(errors, (1, 3)).sum(), np.isin(errors, (2, 4)).sum()
    both = truth - missed
    return 2 * both / (2 * both + missed + extra)


def wait_for_prediction(panel, scene, qtbot, position):
    qtbot.waitUntil(lambda: not panel.row.recall.busy, timeout=20_000)
    assert scene.viewer.layers["Errors"].data.any()
    assert shown_dice(panel, scene, position) == pytest.approx(panel.shown["dice"].iloc[position])


def test_the_model_in_use_is_asked_once_more_and_only_once(opened, scene, segmenter, qtbot):
    panel = opened()
    target = int(panel.shown["dice"].argmin())
    panel.show_row(target)
    assert panel.message.button.isVisibleTo(panel)
    wait_for_prediction(panel, scene, qtbot, target)
    assert "⚠" not in panel.message.text
    assert not panel.message.button.isVisibleTo(panel)
    assert len(scene.viewer.layers["Outlines"].data) > 2  # the prompt is drawn, too
    asked = len(segmenter.prompts)
    panel.hide_overlay()
    panel.show_row(target)
    assert shown_dice(panel, scene, target) == pytest.approx(panel.shown["dice"].iloc[target])
    assert len(segmenter.prompts) == asked


def test_baselines_need_no_model(opened, scene, segmenter, qtbot):
    panel = opened("ellipse")
    panel.choosers.choose(panel.choosers.strategy, "S5")
    panel.show_row(0)
    qtbot.waitUntil(lambda: not panel.row.recall.busy, timeout=20_000)
    assert segmenter.encoded == []
    # the scores are those of the box, which the ellipse does not come to
    assert "comes to a Dice of" in panel.message.text
    assert scene.viewer.layers["Errors"].data.any()


def test_another_answer_than_the_one_that_was_scored_is_said(opened, segmenter, qtbot):
    segmenter.radius = 15.0
    panel = opened()
    panel.show_row(0)
    qtbot.waitUntil(lambda: not panel.row.recall.busy, timeout=20_000)
    assert "⚠" in panel.message.text
    assert "comes to a Dice of" in panel.message.text


def test_other_layers_get_no_mask_of_those_before(opened, scene, segmenter, qtbot):
    panel = opened()
    panel.show_row(0)
    wait_for_prediction(panel, scene, qtbot, 0)
    asked = len(segmenter.prompts)
    panel.choosers.truth_layer.choose(scene.prediction)
    panel.show_row(0)
    qtbot.waitUntil(lambda: not panel.row.recall.busy, timeout=20_000)
    assert len(segmenter.prompts) == asked + 1


@pytest.mark.parametrize(("model", "word"), [("sam_vit_h", "sam_vit_h"), ("mine.pth", "mine.pth")])
def test_a_model_that_is_not_here_is_named(opened, scene, model, word, monkeypatch):
    monkeypatch.setattr("napari_sam_med.gui.widgets.diagnostics_recall.find", lambda spec: None)
    panel = opened(model)
    panel.show_row(0)
    assert not panel.row.recall.busy
    assert word in panel.message.text
    assert "Segment panel" in panel.message.text
    assert not scene.viewer.layers["Errors"].data.any()


def test_scores_of_a_mask_that_was_compared_hold_none(opened):
    panel = opened(drop=("strategy", "rule", "model"))
    panel.show_row(0)
    assert not panel.row.recall.busy
    assert "does not hold the mask" in panel.message.text


class TestWhileTheModelWorks:
    @pytest.fixture
    def segmenter(self):
        return GatedSegmenter()

    def test_asking_can_be_cancelled(self, opened, scene, segmenter, qtbot):
        panel = opened()
        panel.show_row(0)
        assert panel.row.recall.busy
        panel.message.button.click()
        assert "Cancelled" in panel.message.text
        segmenter.gate.set()
        qtbot.wait(300)
        assert not scene.viewer.layers["Errors"].data.any()
        assert "Cancelled" in panel.message.text

    def test_another_row_takes_the_place_of_the_one_that_is_asked_for(self, opened, scene, segmenter, qtbot):
        panel = opened()
        panel.show_row(0)
        panel.show_row(3)
        segmenter.gate.set()
        wait_for_prediction(panel, scene, qtbot, 3)
        qtbot.wait(200)
        assert panel.list.table.frame["position"].iloc[panel.list.table.current_row()] == 3


def test_masks_that_the_run_kept_are_shown_without_the_model(opened, scene, segmenter, monkeypatch):
    row = {}

    class Notes(RunNotes):
        def kept(self, asked, shape):
            row.update(slice=asked.slice, label=asked.label)
            mask = scene.truth.data[asked.slice] == asked.label
            return np.roll(mask, 1, axis=1), ()

    monkeypatch.setattr(evaluate_scores, "read_notes", lambda folder: Notes())
    panel = opened("mine.pth")
    panel.show_row(2)
    assert not panel.row.recall.busy
    assert row["slice"] == panel.shown["slice"].iloc[2]
    assert scene.viewer.layers["Errors"].data.any()
    assert segmenter.encoded == []
