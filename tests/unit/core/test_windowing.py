import numpy as np
import pytest

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.core.windowing import (
    CT_PRESETS,
    WINDOW_NAMES,
    Window,
    default_window_name,
    dicom_window,
    percentile_window,
    resolve_window,
)


def volume(data, **fields):
    return volume_from_source(np.asarray(data), np.eye(4), **fields)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("soft-tissue", -160, 240),
        ("lung", -1350, 150),
        ("bone", -500, 1300),
        ("brain", 0, 80),
        ("mediastinum", -125, 225),
        ("liver", -20, 140),
    ],
)
def test_ct_presets_in_hounsfield_units(name, low, high):
    assert CT_PRESETS[name].limits == (low, high)


def test_mapping_to_grey():
    window = Window(50, 100)
    values = np.array([-1000, 0, 50, 100, 3000], np.int16)
    assert window.apply(values).tolist() == [0, 0, 128, 255, 255]
    assert window.apply(values).dtype == np.uint8
    assert values.tolist() == [-1000, 0, 50, 100, 3000]


def test_awkward_values_become_black_or_white_without_a_warning():
    values = np.array([np.nan, -np.inf, np.inf, 1e300, -1e300, 20.0])
    assert Window(10, 20).apply(values).tolist() == [0, 0, 255, 255, 0, 255]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, ">i2", ">f4", np.float64])
def test_any_stored_type_can_be_windowed(dtype):
    assert Window(5, 10).apply(np.array([0, 5, 10], dtype)).tolist() == [0, 128, 255]


@pytest.mark.parametrize(("level", "width"), [(0, 0), (0, -5), (np.nan, 1), (0, np.inf)])
def test_a_window_needs_a_width(level, width):
    with pytest.raises(InputError):
        Window(level, width)


def test_limits_round_trip_and_text():
    window = Window.from_limits(-160, 240)
    assert window == Window(40, 400)
    assert str(window) == "40/400"
    assert Window.from_limits(7, 7).width > 0


def test_percentiles_ignore_zero_nan_and_inf_and_see_the_whole_volume():
    data = np.zeros((10, 10, 21), np.float32)
    data[..., :10] = np.linspace(100, 200, 1000).reshape(10, 10, 10)
    data[0, 0, 20], data[0, 1, 20] = np.nan, np.inf
    low, high = percentile_window(volume(data)).limits
    assert low == pytest.approx(100.5, abs=0.2)
    assert high == pytest.approx(199.5, abs=0.2)


@pytest.mark.parametrize("value", [0, np.nan, 7])
def test_percentiles_of_a_flat_volume_still_give_a_window(value):
    assert percentile_window(volume(np.full((3, 3, 3), value, np.float32))).width > 0


def test_the_files_own_window():
    assert dicom_window(volume(np.zeros((2, 2, 2)))) is None
    assert dicom_window(volume(np.zeros((2, 2, 2)), metadata={"window_hu": (40, 0)})) is None
    assert dicom_window(volume(np.zeros((2, 2, 2)), metadata={"window_hu": (45, 350)})) == Window(45, 350)


def test_resolving_names_numbers_and_the_default():
    ct = volume(np.ones((2, 2, 2)), modality="CT", metadata={"window_hu": (45, 350)})
    mr = volume(np.ones((2, 2, 2)), modality="MR")
    assert default_window_name(ct) == "soft-tissue"
    assert default_window_name(mr) == default_window_name(volume(np.ones((2, 2, 2)))) == "mr-percentile"
    assert resolve_window(None, ct) == CT_PRESETS["soft-tissue"]
    assert resolve_window(" Lung ", mr) == CT_PRESETS["lung"]
    assert resolve_window("-600/1500", ct) == Window(-600, 1500)
    assert resolve_window("dicom", ct) == Window(45, 350)
    assert resolve_window(None, mr) == percentile_window(mr)
    for name in WINDOW_NAMES:
        assert resolve_window(name, ct).width > 0


@pytest.mark.parametrize("text", ["lungs", "40", "40/", "/400", "40/400/1", "40/0", "nan/4", "40/inf"])
def test_what_is_no_window_is_refused(text):
    with pytest.raises(InputError):
        resolve_window(text, volume(np.ones((2, 2, 2)), modality="CT"))


def test_a_file_without_its_own_window_is_named():
    with pytest.raises(InputError, match="scan"):
        resolve_window("dicom", volume(np.ones((2, 2, 2)), name="scan"))


def test_percentiles_do_not_copy_a_flipped_volume():
    import tracemalloc

    voxels = np.zeros((300, 300, 250), np.int16)  # 45 MB
    voxels[::7, ::5, ::3] = 100
    volume = volume_from_source(voxels, np.diag([1.0, 1.0, 1.0, 1.0]))
    assert any(volume.source.flips)
    tracemalloc.start()
    percentile_window(volume)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.9 * voxels.nbytes
