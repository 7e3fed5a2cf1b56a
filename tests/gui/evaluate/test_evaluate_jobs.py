"""Jobs of the Evaluate panel that are cancelled or fail, and the panel as a part of the window."""

from __future__ import annotations

import pytest

pytest.importorskip("napari")

from fixtures.evaluate_panel import finish
from fixtures.evaluate_scene import make_scene
from fixtures.fake_segmenter import FakeSegmenter, GatedSegmenter
from napari_sam_med.gui.app import make_diagnostics_widget, make_evaluate_widget
from napari_sam_med.gui.settings import Settings
from napari_sam_med.gui.state import workspace_for
from napari_sam_med.gui.widgets.evaluate_scores import board_of
from napari_sam_med.inference.worker import ModelWorker

pytestmark = pytest.mark.gui


def test_cancel_keeps_the_rows_so_far(make_napari_viewer, qtbot):
    segmenter = GatedSegmenter(free=1)
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
    segmenter = GatedSegmenter(free=1)
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
