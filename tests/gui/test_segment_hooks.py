"""What napari calls: files in, labels out, samples, settings, and the plugin proxy."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")

from napari.layers import Image, Labels
from napari.utils._proxies import PublicOnlyProxy
from napari.utils.notifications import notification_manager

from fixtures.evaluate_scene import small_volumes
from fixtures.fake_segmenter import FakeSegmenter
from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import from_canonical, same_grid, volume_from_source
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.gui import npe2_hooks, settings
from napari_sam_med.gui.app import make_segment_widget
from napari_sam_med.gui.layers import METADATA_KEY, SlicePosition, add_labels, volume_of_layer
from napari_sam_med.gui.state import workspace_for
from napari_sam_med.gui.widgets.series_dialog import SeriesDialog
from napari_sam_med.inference.worker import ModelWorker
from napari_sam_med.io import SeriesInfo, read_labels, read_volume, save_labels

pytestmark = pytest.mark.gui

OBLIQUE = np.array(
    [[-0.78, 0.12, 0.4, 30.0], [0.1, 0.79, -0.2, -20.0], [-0.15, 0.1, 2.9, 12.0], [0.0, 0.0, 0.0, 1.0]]
)


@pytest.fixture
def label_file(tmp_path):
    data = np.zeros((7, 8, 9), np.uint8)
    data[2:5, 3:6, 1:4] = 3
    labels = volume_from_source(data, OBLIQUE, name="organs")
    return save_labels(labels, tmp_path / "organs_seg.nii.gz"), data


@pytest.fixture
def image_file(tmp_path):
    import nibabel

    data = np.random.default_rng(0).normal(100, 40, (7, 8, 9)).astype(np.float32)
    path = tmp_path / "HEAD.NII.GZ"
    nibabel.save(nibabel.Nifti1Image(data, OBLIQUE), path)
    return path, data


def test_files_open_as_image_and_labels(make_napari_viewer, image_file, label_file):
    viewer = make_napari_viewer()
    image, labels = (viewer.open(path, plugin="napari-sam-med")[0] for path in (image_file[0], label_file[0]))
    assert isinstance(image, Image)
    assert isinstance(labels, Labels)
    assert np.array_equal(from_canonical(labels.data, volume_of_layer(labels).source), label_file[1])
    assert np.allclose(from_canonical(image.data, volume_of_layer(image).source), image_file[1])
    assert same_grid(volume_of_layer(image), volume_of_layer(labels))
    assert tuple(image.translate) == pytest.approx(tuple(labels.translate))


@pytest.mark.parametrize("content", [b"", b"this is no image", b"\x1f\x8b\x08\x00 cut"])
def test_a_bad_file_is_told_in_a_sentence_and_nothing_is_lost(make_napari_viewer, tmp_path, content):
    path = tmp_path / "bad.nii.gz"
    path.write_bytes(content)
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((3, 4)), name="mine")
    notification_manager.records.clear()
    viewer.open(path, plugin="napari-sam-med")
    assert [layer.name for layer in viewer.layers] == ["mine"]
    said = notification_manager.records[-1]
    assert "bad.nii.gz" in said.message
    assert getattr(said, "exception", None) is None  # a sentence, no traceback to show


def test_other_files_are_left_to_other_readers(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    assert npe2_hooks.get_reader(str(text)) is None
    assert npe2_hooks.get_reader([]) is None
    (tmp_path / "empty").mkdir()
    assert npe2_hooks.get_reader(str(tmp_path / "empty")) is None


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_labels_are_saved_by_napari_on_their_file_s_grid(make_napari_viewer, tmp_path, label_file, suffix):
    viewer = make_napari_viewer()
    layer = viewer.open(label_file[0], plugin="napari-sam-med")[0]
    layer.data[0, 0, 0] = 9
    target = tmp_path / f"again{suffix}"
    assert layer.save(str(target), plugin="napari-sam-med") == [str(target)]
    before, after = read_volume(label_file[0]), read_labels(target)
    assert np.allclose(after.source.affine, before.source.affine, atol=1e-4)
    assert after.source.shape == before.source.shape
    assert np.array_equal(after.data, layer.data)


def test_painted_labels_of_a_plain_layer_are_saved_too(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer()
    layer = viewer.add_labels(np.eye(6, dtype=np.uint8)[np.newaxis].repeat(4, 0), scale=(3, 1, 1))
    target = tmp_path / "painted.nrrd"
    layer.save(str(target), plugin="napari-sam-med")
    found = read_labels(target)
    assert np.array_equal(found.data, layer.data)
    assert found.spacing_mm == pytest.approx((3, 1, 1))


def test_brain_sample_opens_with_its_truth(make_napari_viewer):
    pytest.importorskip("nilearn", reason="the brain sample is in nilearn's wheel")
    viewer = make_napari_viewer()
    layers = viewer.open_sample("napari-sam-med", "brain")
    assert [type(layer) for layer in layers] == [Image, Labels, Labels]
    assert layers[0].metadata[METADATA_KEY].modality == "MR"
    assert dict(volume_of_layer(layers[2]).label_names) == {1: "grey matter", 2: "white matter"}


def test_abdomen_sample_opens_with_its_truth(make_napari_viewer):
    viewer = make_napari_viewer()
    image, organs = viewer.open_sample("napari-sam-med", "abdomen")
    assert same_grid(volume_of_layer(image), volume_of_layer(organs))
    assert tuple(image.contrast_limits) == pytest.approx((-160, 240))
    assert len(volume_of_layer(organs).label_names) > 2


def test_a_sample_that_cannot_be_had_is_told_in_a_sentence(make_napari_viewer, monkeypatch):
    import pooch

    def offline(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr(pooch, "retrieve", offline)
    viewer = make_napari_viewer()
    with pytest.raises(InputError, match=r"MRHead\.nrrd"):
        viewer.open_sample("napari-sam-med", "mr-head")


def series(n_files, number):
    return SeriesInfo(f"1.2.{number}", number, f"series {number}", "CT", n_files, (n_files, 16, 16))


def test_the_user_chooses_among_series(qtbot):
    dialog = SeriesDialog("study", [series(3, 1), series(40, 2), series(5, 3)])
    qtbot.addWidget(dialog)
    assert [s.number for s in dialog.chosen()] == [2]
    dialog.list.item(2).setSelected(True)
    assert [s.number for s in dialog.chosen()] == [2, 3]


def test_a_folder_of_several_series_opens_the_chosen_ones(monkeypatch, tmp_path):
    found = [series(3, 1), series(40, 2)]
    read = []
    monkeypatch.setattr("napari_sam_med.io.list_series", lambda folder: found)

    def fake_read(path, series=None):
        read.append(series)
        return small_volumes()[0]

    monkeypatch.setattr("napari_sam_med.io.read_volume", fake_read)
    monkeypatch.setattr("napari_sam_med.gui.widgets.series_dialog.choose_series", lambda name, s: [s[1]])
    assert len(npe2_hooks.read_layers(str(tmp_path))) == 1
    assert read == ["1.2.2"]
    monkeypatch.setattr("napari_sam_med.gui.widgets.series_dialog.choose_series", lambda name, s: [])
    assert npe2_hooks.read_layers(str(tmp_path)) == npe2_hooks.NO_LAYER


@pytest.mark.parametrize(
    ("name", "values", "labels"),
    [
        ("liver_seg.nii.gz", [0, 1, 2], True),
        ("case01-label.nrrd", [0, 1], True),
        ("segmented_by_nobody.nii", list(range(2000)), False),
        ("ct.nii.gz", [0, 1, 2], False),
        ("staging.nii.gz", [0, 1], False),
    ],
)
def test_label_maps_are_told_from_images(name, values, labels):
    data = np.resize(np.array(values, np.int16), (10, 20, 30))
    assert npe2_hooks.looks_like_labels(volume_from_source(data, np.eye(4)), name) is labels


def test_settings_of_napari_reach_the_workspace(make_napari_viewer):
    from napari.settings import get_plugin_settings

    stored = get_plugin_settings(settings.PLUGIN)
    before = stored.cache.memory_mib
    try:
        stored.cache.memory_mib = 64
        assert settings.read_settings().memory_mib == 64
        assert workspace_for(make_napari_viewer()).settings.memory_mib == 64
    finally:
        stored.cache.memory_mib = before


def test_the_panel_keeps_to_the_public_api(make_napari_viewer, qtbot):
    # warnings are errors here: napari warns of private access through its plugin proxy
    viewer = make_napari_viewer()
    proxy = PublicOnlyProxy(viewer)
    workspace_for(viewer, lambda tell: ModelWorker(tell, load=lambda name, device: FakeSegmenter()))
    image, labels = small_volumes()
    from napari_sam_med.gui.layers import add_volume

    add_volume(proxy, image)
    add_labels(proxy, labels)
    panel = make_segment_widget(proxy)
    viewer.window.add_dock_widget(panel, name="Segment")
    qtbot.waitUntil(lambda: panel.controller.position is not None and panel.controller.model is not None)
    position = SlicePosition(0, panel.controller.position.index)
    panel.tools.draw_box()
    panel.canvas.prompts.put(position, Prompt(points=[[9, 9]], labels=[1], box=(4, 4, 20, 20)))
    qtbot.waitUntil(lambda: panel.controller.proposal is not None)
    panel.objects.accept()
    assert panel.canvas.target.data.any()
    panel.objects.undo()
    assert not panel.canvas.target.data.any()
