import numpy as np
import pytest

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.core.volume import Volume, axis_number


def make(shape=(4, 5, 6), spacing=(1.0, 2.0, 3.0)):
    """A volume whose file order is canonical order: axis 0 to Inferior, 1 to Posterior, 2 to Left."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = -spacing[0], -spacing[1], -spacing[2], 1
    return volume_from_source(np.arange(np.prod(shape)).reshape(shape), affine)


@pytest.mark.parametrize(
    ("given", "number"),
    [("axial", 0), ("Coronal", 1), (" SAGITTAL ", 2), (0, 0), ("2", 2), (np.int64(1), 1)],
)
def test_axes_have_names_and_numbers(given, number):
    assert axis_number(given) == number


@pytest.mark.parametrize("given", ["z", 3, -1, "", "axial "[:3]])
def test_other_axes_are_refused_with_the_names(given):
    with pytest.raises(InputError, match="axial, coronal or sagittal"):
        axis_number(given)


@pytest.mark.parametrize(("axis", "spacing"), [(0, (2.0, 3.0)), (1, (1.0, 3.0)), (2, (1.0, 2.0))])
def test_slices_and_their_spacing(axis, spacing):
    volume = make()
    np.testing.assert_array_equal(volume.slice(axis, 2), np.take(volume.data, 2, axis))
    assert volume.slice_spacing_mm(axis) == spacing
    assert np.shares_memory(volume.slice(axis, 2), volume.data)


@pytest.mark.parametrize("index", [-1, 4])
def test_slices_that_do_not_exist_are_refused(index):
    with pytest.raises(InputError, match="0 to 3"):
        make().slice("axial", index)


def test_time_points():
    flat = make()
    four_d = Volume(np.stack([flat.data, flat.data + 1000]), flat.spacing_mm, flat.affine, flat.source)
    assert (flat.n_times, four_d.n_times) == (1, 2)
    assert four_d.shape == flat.shape
    np.testing.assert_array_equal(four_d.frame(1), flat.data + 1000)
    np.testing.assert_array_equal(four_d.slice(1, 2, time=1), flat.slice(1, 2) + 1000)
    np.testing.assert_array_equal(flat.frame(7), flat.data)
    with pytest.raises(InputError, match="0 to 1"):
        four_d.frame(2)


def test_voxel_volume_in_millilitres():
    assert make(spacing=(1.0, 2.0, 3.0)).voxel_ml == pytest.approx(0.006)


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [((5, 1, 1), 0), ((1, 5, 1), 1), ((1, 1, 5), 2), ((1, 1, 1), 0), ((1.0001, 1, 1), 0), ((2, 2, 1), 0)],
)
def test_best_axis_has_the_finest_slices_and_axial_wins_ties(spacing, axis):
    assert make(spacing=spacing).best_axis() == axis


def test_all_axes_of_cubic_voxels_are_equally_fine_but_lines_do_not_count():
    assert make(spacing=(1, 1, 1)).finest_axes() == (0, 1, 2)
    assert make(spacing=(2, 1, 2)).finest_axes() == (0, 2)
    single = make((1, 5, 6), spacing=(1, 3, 3))  # thinner than its pixels are wide
    assert single.finest_axes() == (0,)
    assert single.best_axis() == 0


def test_other_voxels_on_the_same_grid():
    volume = make()
    mask = volume.with_data(np.ones(volume.shape, np.uint8), name="mask")
    assert mask.name == "mask"
    assert mask.source is volume.source
    assert volume.name == "volume"
    with pytest.raises(InputError, match="shape"):
        volume.with_data(np.ones((4, 5, 7)))


@pytest.mark.parametrize("shape", [(3,), (3, 3), (1, 1, 2, 2, 2)])
def test_a_volume_has_three_or_four_axes(shape):
    source = make().source
    with pytest.raises(InputError):
        Volume(np.zeros(shape), (1, 1, 1), np.eye(4), source)


@pytest.mark.parametrize("spacing", [(0, 1, 1), (1, np.nan, 1), (1, 1, -1), (1, 1)])
def test_spacing_must_be_positive_numbers(spacing):
    source = make().source
    with pytest.raises(InputError, match="spacing"):
        Volume(np.zeros((2, 2, 2)), spacing, np.eye(4), source)
