"""Volumes to layers and back, without a window."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import canonical_affine, from_canonical, same_grid, volume_from_source
from napari_sam_med.gui.layers import image_tuple, labels_tuple, volume_of_layer

OBLIQUE = np.array(
    [[-0.78, 0.12, 0.4, 30.0], [0.1, 0.79, -0.2, -20.0], [-0.15, 0.1, 2.9, 12.0], [0.0, 0.0, 0.0, 1.0]]
)


def source_volume(shape=(5, 6, 7), affine=OBLIQUE, dtype=np.int16, **fields):
    data = np.random.default_rng(0).integers(0, 90, shape).astype(dtype)
    return data, volume_from_source(data, affine, name="scan", **fields)


def layer_of(layer_tuple):
    data, kwargs, kind = layer_tuple
    return {"image": Image, "labels": Labels}[kind](data, **kwargs)


def test_image_layer_gives_its_volume_back():
    _, volume = source_volume(modality="CT")
    layer = layer_of(image_tuple(volume))
    assert np.shares_memory(layer.data, volume.data)
    found = volume_of_layer(layer)
    assert same_grid(found, volume)
    assert (found.modality, found.source) == ("CT", volume.source)
    assert tuple(layer.scale) == pytest.approx(volume.spacing_mm)
    assert tuple(layer.translate) == pytest.approx(volume.origin_ipl_mm)
    assert {str(u) for u in layer.units} == {"millimeter"}
    assert tuple(layer.contrast_limits) == pytest.approx((-160, 240))


def test_edited_labels_are_read_from_the_layer_and_the_file_is_kept():
    data, volume = source_volume(dtype=np.uint8, label_names={3: "liver"})
    layer = layer_of(labels_tuple(volume))
    layer.data[0, 0, 0] = 200
    found = volume_of_layer(layer)
    assert found.data[0, 0, 0] == 200
    assert dict(found.label_names) == {3: "liver"}
    assert np.array_equal(from_canonical(volume.data, volume.source), data)


def test_labels_that_are_no_whole_numbers_are_refused():
    _, volume = source_volume()
    with pytest.raises(InputError, match="whole numbers"):
        labels_tuple(volume.with_data(volume.data + 0.5))
    tuple_ = labels_tuple(volume.with_data(volume.data.astype(float)))
    assert np.issubdtype(tuple_[0].dtype, np.integer)


def test_time_series_keeps_its_time_axis():
    data = np.zeros((3, 5, 6, 7), np.float32)
    volume = volume_from_source(data, OBLIQUE, name="fmri", time_step=2.0)
    layer = layer_of(image_tuple(volume))
    assert layer.ndim == 4
    assert layer.scale[0] == 2.0
    assert layer.axis_labels[0] == "time"
    assert volume_of_layer(layer).n_times == 3


@pytest.mark.parametrize("affine", [OBLIQUE, np.diag([1.0, 2.0, 3.0, 1.0]), np.diag([-1.0, -1.0, 4.0, 1.0])])
def test_layers_of_napari_nifti_go_back_to_their_file(affine):
    # as that plugin does it: axes grow to superior, anterior, right; negative scale; the file's affine kept aside
    data, volume = source_volume(affine=affine)
    sar = volume.data[::-1, ::-1, ::-1]
    layer = Image(sar, scale=[-s for s in volume.spacing_mm], metadata={"affine": affine})
    found = volume_of_layer(layer)
    assert np.array_equal(from_canonical(found.data, found.source), data)
    assert np.allclose(found.affine, canonical_affine(found.source))
    # a voxel of the layer lies where the same voxel of the file lies
    last = [n - 1 for n in volume.shape]
    assert np.allclose(found.affine @ [0, 0, 0, 1], volume.affine @ [*last, 1])


def test_layers_made_by_hand_take_spacing_and_place_from_the_transform():
    layer = Image(np.zeros((4, 5, 6)), scale=(5, 1, 2), translate=(10, 20, 30))
    found = volume_of_layer(layer)
    assert found.spacing_mm == pytest.approx((5, 1, 2))
    assert found.origin_ipl_mm == pytest.approx((10, 20, 30))
    assert found.source.shape == (4, 5, 6)


def test_units_of_a_layer_become_millimetres():
    layer = Image(np.zeros((4, 5, 6)), scale=(500, 100, 100), units="micrometer")
    assert volume_of_layer(layer).spacing_mm == pytest.approx((0.5, 0.1, 0.1))


def test_a_negative_scale_without_an_affine_is_a_spacing():
    layer = Image(np.zeros((4, 5, 6)), scale=(-3, 1, 1))
    assert volume_of_layer(layer).spacing_mm == pytest.approx((3, 1, 1))


def test_a_rotated_layer_keeps_its_spacing():
    c, s = np.cos(0.3), np.sin(0.3)
    layer = Image(np.zeros((4, 5, 6)), scale=(3, 1, 2), rotate=[[1, 0, 0], [0, c, -s], [0, s, c]])
    assert volume_of_layer(layer).spacing_mm == pytest.approx((3, 1, 2))


def test_a_flat_image_is_one_slice():
    layer = Image(np.zeros((5, 6)), scale=(0.5, 0.25))
    found = volume_of_layer(layer)
    assert found.shape == (1, 5, 6)
    assert found.spacing_mm == pytest.approx((1, 0.5, 0.25))


def test_a_label_layer_on_the_image_layer_has_the_same_grid():
    image = Image(np.zeros((4, 5, 6)), scale=(5, 1, 2))
    labels = Labels(np.zeros((4, 5, 6), np.uint8), scale=(5, 1, 2))
    assert same_grid(volume_of_layer(image), volume_of_layer(labels))


@pytest.mark.parametrize(
    "layer",
    [
        Image(np.zeros((5, 6, 3), np.uint8), rgb=True),
        Image(np.zeros((2, 2, 4, 5, 6))),
        Image([np.zeros((8, 8, 8)), np.zeros((4, 4, 4))], multiscale=True),
    ],
    ids=["colour", "5D", "multiscale"],
)
def test_what_is_no_volume_is_refused_in_words(layer):
    with pytest.raises(InputError, match=layer.name):
        volume_of_layer(layer)
