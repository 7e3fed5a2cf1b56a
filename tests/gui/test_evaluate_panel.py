"""The Evaluate panel in a real window: tables, simulated prompts, cancelling, and the way to a slice."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("napari")

from qtpy.QtCore import Qt

from fixtures.evaluate_scene import SPACING_MM, make_scene
from fixtures.fake_segmenter import FakeSegmenter
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.core.prompt import tight_box
from napari_sam_med.gui.app import make_diagnostics_widget, make_evaluate_widget
from napari_sam_med.gui.layers import add_labels, slice_position
from napari_sam_med.gui.settings import Settings
from napari_sam_med.gui.state import workspace_for
from napari_sam_med.gui.widgets.evaluate_scores import MaskKey, board_of
from napari_sam_med.inference.worker import ModelWorker

pytestmark = pytest.mark.gui


class GatedSegmenter(FakeSegmenter):
    """Waits at a gate in every `encode` after the first."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()

    def encode(self, image):
        if self.encoded:
            assert self.gate.wait(20)
        return super().encode(image)


@pytest.fixture
def segmenter():
    return FakeSegmenter()


@pytest.fixture
def scene(make_napari_viewer, segmenter):
    viewer = make_napari_viewer()
    workspace_for(viewer, lambda tell: ModelWorker(tell, load=lambda name, device: segmenter))
    return make_scene(viewer)


@pytest.fixture
def panel(scene, qtbot):
    widget = make_evaluate_widget(scene.viewer)
    scene.viewer.window.add_dock_widget(widget, name="Evaluate")
    widget.form.prediction.choose(scene.prediction)
    widget.form.truth.choose(scene.truth)
    qtbot.waitUntil(lambda: widget.form.simulation.labels.count == 2)
    return widget


def finish(qtbot, panel):
    qtbot.waitUntil(lambda: not panel.busy, timeout=30_000)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_layers_are_guessed_by_their_names(scene, qtbot):
    panel = make_evaluate_widget(scene.viewer)
    qtbot.addWidget(panel)
    assert panel.form.image.layer is scene.image
    assert panel.form.truth.layer is scene.truth
    assert panel.form.prediction.layer is scene.prediction
    scene.viewer.layers.remove(scene.prediction)
    assert panel.form.prediction.layer is scene.truth
    assert panel.form.plane.currentText() == "Axial"


def test_compare_fills_three_levels_with_true_values(panel, scene, qtbot):
    qtbot.mouseClick(panel.form.compare_button, Qt.MouseButton.LeftButton)
    assert panel.busy
    finish(qtbot, panel)
    frames = panel.results.frames()
    truth, found = scene.truth.data, scene.prediction.data
    slices = frames["Slices"].set_index(["slice", "label"])
    assert slices.loc[(7, 1), "dice"] == pytest.approx(dice(truth[7] == 1, found[7] == 1))
    assert len(slices) == sum(len(np.unique(truth[k])) - 1 for k in range(16))
    objects = frames["Objects"].set_index("label")
    assert objects.loc[1, "dice"] == pytest.approx(dice(truth == 1, found == 1))
    assert objects.loc[2, "truth_ml"] == pytest.approx((truth == 2).sum() * np.prod(SPACING_MM) / 1000)
    assert objects.loc[1, "hd95_mm"] == pytest.approx(1.6, abs=0.01)
    whole = frames["Volume"].iloc[0]
    assert whole["dice"] == pytest.approx(dice(truth > 0, found > 0))
    assert slices.loc[(7, 1), "size_px"] == (truth[7] == 1).sum()
    assert board_of(workspace_for(scene.viewer)).scores.frame is frames["Slices"]


def test_a_chosen_row_goes_to_its_slice_and_shows_the_errors(panel, scene, qtbot):
    panel.compare()
    finish(qtbot, panel)
    frame = panel.results.frames()["Slices"]
    row = frame.index[(frame["slice"] == 11) & (frame["label"] == 2)][0]
    panel.results.table.choose_row(int(row))
    position = slice_position(scene.viewer, scene.truth)
    assert (position.axis, position.index) == (0, 11)
    errors = scene.viewer.layers["Errors"].data[11]
    truth, found = scene.truth.data[11] == 2, scene.prediction.data[11] == 2
    np.testing.assert_array_equal(np.isin(errors, (1, 3)), truth & ~found)
    np.testing.assert_array_equal(np.isin(errors, (2, 4)), found & ~truth)
    assert not scene.viewer.layers["Errors"].data[:11].any()


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


def test_cancel_keeps_the_rows_so_far(make_napari_viewer, qtbot):
    segmenter = GatedSegmenter()
    viewer = make_napari_viewer()
    workspace_for(viewer, lambda tell: ModelWorker(tell, load=lambda name, device: segmenter))
    make_scene(viewer)
    panel = make_evaluate_widget(viewer)
    qtbot.addWidget(panel)
    panel.simulate()
    qtbot.waitUntil(lambda: len(panel.results.frames().get("Slices", ())) > 0, timeout=20_000)
    panel.cancel()
    segmenter.gate.set()
    finish(qtbot, panel)
    first = panel.scores.frame["slice"].iloc[0]
    assert set(panel.scores.frame["slice"]) == {first}
    assert board_of(workspace_for(viewer)).scores is panel.scores
    assert panel.form.simulation.simulate_button.isEnabled()


def test_another_grid_is_refused_in_words_and_mended_by_the_button(panel, scene, qtbot):
    coarse = scene.truth.data[:, ::2, ::2].copy()
    affine = np.array([[0, 0, -1.6, 25], [0, -1.6, 0, 20], [-2.5, 0, 0, 30], [0, 0, 0, 1.0]])
    layer = add_labels(scene.viewer, volume_from_source(coarse, affine, name="coarse"))
    panel.form.prediction.choose(layer)
    panel.compare()
    assert not panel.busy
    assert "spacing" in panel.message.text
    assert panel.message.button.isVisibleTo(panel)
    qtbot.mouseClick(panel.message.button, Qt.MouseButton.LeftButton)
    finish(qtbot, panel)
    resampled = panel.form.prediction.layer
    assert resampled.data.shape == scene.truth.data.shape
    panel.compare()
    finish(qtbot, panel)
    assert panel.results.frames()["Volume"]["dice"].iloc[0] > 0.8


def test_a_model_that_cannot_be_loaded_is_said_in_words(make_napari_viewer, qtbot):
    from napari_sam_med.core.errors import ModelError

    def load(name, device):
        raise ModelError("The model is not here; choose another.")

    viewer = make_napari_viewer()
    workspace_for(viewer, lambda tell: ModelWorker(tell, load=load))
    make_scene(viewer)
    panel = make_evaluate_widget(viewer)
    qtbot.addWidget(panel)
    panel.simulate()
    finish(qtbot, panel)
    assert "⚠" in panel.message.text
    assert panel.scores is None


def test_a_device_chosen_in_the_settings_counts_from_the_next_model(make_napari_viewer, monkeypatch, qtbot):
    devices = []

    def load(name, device):
        devices.append(device)
        return FakeSegmenter()

    workspace = workspace_for(make_napari_viewer(), lambda tell: ModelWorker(tell, load=load))
    for device in ("cpu", "mps"):
        monkeypatch.setattr(
            "napari_sam_med.gui.state.read_settings", lambda device=device: Settings(device=device)
        )
        workspace.load_model("builtin")
        qtbot.waitUntil(lambda: workspace.model is not None, timeout=10_000)
    assert devices == ["cpu", "mps"]
    workspace.close()


def test_nothing_to_evaluate_is_said_in_words(make_napari_viewer, qtbot):
    panel = make_evaluate_widget(make_napari_viewer())
    qtbot.addWidget(panel)
    panel.compare()
    assert "Choose an image" in panel.message.text
    panel.simulate()
    assert "Choose an image" in panel.message.text


def test_closing_the_panel_while_it_works_is_safe(make_napari_viewer, qtbot):
    segmenter = GatedSegmenter()
    viewer = make_napari_viewer()
    workspace = workspace_for(viewer, lambda tell: ModelWorker(tell, load=lambda name, device: segmenter))
    make_scene(viewer)
    panel = make_evaluate_widget(viewer)
    dock = viewer.window.add_dock_widget(panel, name="Evaluate")
    panel.simulate()
    qtbot.waitUntil(lambda: len(segmenter.encoded) == 1, timeout=20_000)
    viewer.window.remove_dock_widget(dock)
    with qtbot.waitSignal(panel.destroyed, timeout=5000):
        panel.deleteLater()
    segmenter.gate.set()
    viewer.theme = "light"
    viewer.layers.clear()
    qtbot.waitUntil(lambda: not workspace.worker.running)


def test_the_level_on_screen_is_exported_with_all_columns(panel, tmp_path, qtbot):
    panel.compare()
    finish(qtbot, panel)
    panel.results.show_level("Objects")
    panel.results.export(tmp_path / "objects.csv")
    table = pd.read_csv(tmp_path / "objects.csv")
    assert list(table["label"]) == [1, 2]
    assert {"dice", "jaccard", "hd95_mm", "assd_mm", "prediction_ml", "truth_ml"} <= set(table)


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


def test_a_model_that_fails_among_others_leaves_their_rows(panel, qtbot):
    from napari_sam_med.core.errors import ModelError

    def load(name, device):
        raise ModelError("The weights are damaged; download them again.")

    panel.load_model = load
    form = panel.form.simulation
    form.models.offer([("builtin", "builtin", "", ""), ("broken", "broken", "", "")])
    form.max_slices.setValue(1)
    panel.simulate()
    finish(qtbot, panel)
    table = panel.scores.frame
    assert list(table.loc[table["model"] == "broken", "error"]) == [
        "The weights are damaged; download them again."
    ]
    assert table.loc[table["model"] == "builtin", "dice"].notna().all()


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


def test_a_mask_in_few_slices_is_said_beside_the_dice_of_the_volume(panel, scene, qtbot):
    scene.prediction.data[:7] = 0
    scene.prediction.data[9:] = 0
    panel.compare()
    finish(qtbot, panel)
    frames = panel.results.frames()
    truth, found = scene.truth.data, scene.prediction.data
    tube = frames["Objects"].set_index("label").loc[2]
    assert tube["masked"] == "2 of 16"
    there = [dice(truth[k] == 2, found[k] == 2) for k in (7, 8)]
    assert tube["masked_dice"] == pytest.approx(np.mean(there))
    assert tube["dice"] < tube["masked_dice"]
    assert "2 of 16" in panel.results.summary.text()


def test_no_control_lacks_a_tooltip_and_none_is_wider_than_a_narrow_dock(panel, qtbot):
    form = panel.form
    own = [
        form.image,
        form.truth,
        form.plane,
        form.prediction,
        form.compare_button,
        form.simulation.models,
        form.simulation.strategies,
    ]
    own += [
        form.simulation.slices,
        form.simulation.max_slices,
        form.simulation.labels,
        form.simulation.min_pixels,
        form.simulation.simulate_button,
    ]
    own += [
        panel.bar,
        panel.cancel_button,
        panel.results.table,
        panel.results.copy_button,
        panel.results.export_button,
    ]
    assert [w for w in own if not w.toolTip()] == []
    form.simulation.labels.offer([(k, f"an organ with a long name {k}", "", "") for k in range(3)])
    form.tabs.setCurrentIndex(1)
    assert form.minimumSizeHint().width() <= 320


def test_only_public_napari_is_used_and_only_on_the_main_thread(make_napari_viewer_proxy, qtbot):
    viewer = make_napari_viewer_proxy()
    workspace_for(viewer, lambda tell: ModelWorker(tell, load=lambda name, device: FakeSegmenter()))
    scene = make_scene(viewer)
    panel = make_evaluate_widget(viewer)
    qtbot.addWidget(panel)
    diagnostics = make_diagnostics_widget(viewer)
    qtbot.addWidget(diagnostics)
    panel.compare()
    finish(qtbot, panel)
    panel.results.table.choose_row(3)
    panel.form.simulation.max_slices.setValue(2)
    panel.simulate()
    finish(qtbot, panel)
    diagnostics.show_row(0)
    assert "Errors" in viewer.layers
    diagnostics.hide_overlay()
    viewer.theme = "light"
    scene.viewer.layers.clear()
    assert panel.form.image.layer is None
