"""Simulated prompts in a real window: strategies, models, baselines, moved prompts, what they cost."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")

from qtpy.QtCore import Qt

from fixtures.evaluate_panel import dice, finish
from fixtures.fake_segmenter import FakeSegmenter
from napari_sam_med.core.prompt import tight_box
from napari_sam_med.gui.app import make_diagnostics_widget
from napari_sam_med.gui.widgets.evaluate_scores import MaskKey

pytestmark = pytest.mark.gui


def test_simulated_prompts_are_scored_and_their_masks_kept(panel, scene, segmenter, qtbot):
    panel.form.tabs.setCurrentIndex(1)
    panel.form.simulation.max_slices.setValue(3)
    qtbot.mouseClick(panel.form.simulation.simulate_button, Qt.MouseButton.LeftButton)
    finish(qtbot, panel)
    table = panel.scores.frame
    assert table["slice"].nunique() == 3
    assert set(zip(table["strategy"], table["rule"], strict=True)) == {
        (s, r) for s in ("S2", "S5") for r in ("score", "oracle")
    }
    assert (table["error"] == "").all()
    row = table[(table["strategy"] == "S5") & (table["rule"] == "score")].iloc[0]
    truth = scene.truth.data[row["slice"]] == row["label"]
    r0, c0, r1, c1 = (int(v) for v in tight_box(truth))
    box = np.zeros(truth.shape, bool)
    box[r0 : r1 + 1, c0 : c1 + 1] = True
    assert row["dice"] == pytest.approx(dice(box, truth))
    mask = panel.scores.masks.get(MaskKey("builtin", "S5", "score", 0, int(row["slice"]), int(row["label"])))
    np.testing.assert_array_equal(mask, box)
    objects = panel.results.frames()["Objects"].set_index(["label", "strategy", "rule"])
    of_liver = table[(table["label"] == 1) & (table["strategy"] == "S2") & (table["rule"] == "score")]
    assert objects.loc[(1, "S2", "score"), "dice"] == pytest.approx(of_liver["dice"].mean())
    assert len(segmenter.encoded) == 3


def test_only_the_slice_on_screen_and_the_ticked_object(panel, scene, qtbot):
    scene.viewer.dims.set_point(0, scene.truth.data_to_world((5, 0, 0))[0])
    panel.form.simulation.slices.setCurrentIndex(panel.form.simulation.slices.findData("current"))
    panel.form.simulation.labels.set_values([2])
    panel.form.simulation.strategies.set_values(["S5"])
    panel.simulate()
    finish(qtbot, panel)
    table = panel.scores.frame
    assert set(table["slice"]) == {5}
    assert set(table["label"]) == {2}
    assert len(table) == 2


def test_models_and_baselines_are_compared_on_the_same_prompts(panel, segmenter, qtbot):
    form = panel.form.simulation
    panel.load_model = lambda name, device: FakeSegmenter()
    form.models.offer(
        [("builtin", "builtin", "", ""), ("other", "other", "", ""), ("ellipse", "ellipse", "", "")]
    )
    form.models.set_values(["builtin", "other", "ellipse"])
    form.max_slices.setValue(2)
    panel.simulate()
    finish(qtbot, panel)
    table = panel.scores.frame
    assert set(zip(table["model"], table["strategy"], strict=True)) == {
        ("builtin", "S2"),
        ("builtin", "S5"),
        ("other", "S2"),
        ("other", "S5"),
        ("ellipse", "S5"),
    }
    assert "Model" in [c.title for c in panel.results.table.columns]
    assert "ellipse S5" in panel.results.summary.text()
    assert len(segmenter.encoded) == 2


def test_moved_prompts_have_a_table_of_their_own_and_lose_dice(panel, scene, qtbot):
    form = panel.form.simulation
    form.strategies.set_values(["S5"])
    form.max_slices.setValue(2)
    form.jitter.set_values(form.jitter.offered()[-1:])
    form.modes.set_values(["shift"])
    form.seeds.setValue(2)
    panel.simulate()
    finish(qtbot, panel)
    jitter = panel.results.frames()["Jitter"]
    of_score = jitter[jitter["rule"] == "score"]
    assert list(of_score["step"]) == ["none", "20-30 px"]
    assert of_score["loss"].iloc[0] == 0
    assert of_score["loss"].iloc[1] > 0.2
    scores = panel.scores.frame
    plain = scores[(scores["strategy"] == "S5") & (scores["rule"] == "score")]["dice"].mean()
    assert of_score["dice"].iloc[0] == pytest.approx(plain)
    assert set(scores["strategy"]) == {"S5"}
    diagnostics = make_diagnostics_widget(scene.viewer)
    qtbot.addWidget(diagnostics)
    diagnostics.choosers.choose(diagnostics.choosers.kind, "jitter")
    qtbot.waitUntil(lambda: not diagnostics.statistics.busy, timeout=30_000)
    ticks = [text.get_text() for text in diagnostics.figure.figure.axes[0].get_xticklabels()]
    assert ticks == ["none", "20-30 px"]


def test_jitter_that_fits_no_prompt_is_refused_in_words(panel):
    form = panel.form.simulation
    form.strategies.set_values(["S1"])
    form.jitter.set_values(form.jitter.offered())
    panel.simulate()
    assert not panel.busy
    assert "S1" in panel.message.text


def test_the_cost_is_counted_before_and_timed_after_a_job(panel, qtbot):
    panel.form.tabs.setCurrentIndex(1)
    form = panel.form.simulation
    form.max_slices.setValue(3)
    form.strategies.set_values(["S2", "S5", "clicks"])
    qtbot.waitUntil(lambda: form.cost.text() != "", timeout=10_000)
    text = form.cost.text()
    panel.simulate()
    finish(qtbot, panel)
    table = panel.scores.frame
    objects = len(table[["slice", "label"]].drop_duplicates())
    assert text == f"3 slices, {objects} objects, {objects * (2 + 5)} prompts"
    qtbot.waitUntil(lambda: form.cost.text().startswith(f"{text}: about "), timeout=10_000)


def test_choices_under_more_reach_the_evaluation(panel):
    form = panel.form.simulation
    assert not form.more.isVisibleTo(form)
    form.more_button.click()
    assert form.more.isVisibleTo(form)
    form.rules.set_values(["largest", "first"])
    form.variant.setCurrentIndex(1)
    form.grid.setValue(9)
    form.clicks.setValue(3)
    config, jitter, only = panel._choices()
    assert (config.rules, config.variant) == (("largest", "first"), "repo")
    assert (config.everything.points_per_side, config.n_clicks) == (9, 3)
    assert jitter is None
    assert only is None
    assert {"S1", "S6", "center", "boxes", "clicks"} <= set(form.strategies.offered())
