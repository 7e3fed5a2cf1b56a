import numpy as np
import pytest

from fixtures.labelled_volumes import as_volume
from napari_sam_med.core.errors import InputError
from napari_sam_med.core.windowing import Window
from napari_sam_med.evaluation.degradations import DEGRADATIONS, degrade
from napari_sam_med.inference.slices import slice_image

WINDOW = Window(100, 200)  # 0 is black, 200 white


def volume(values):
    return as_volume(np.asarray(values, np.float32)[None])


def degraded(values, kind, dose, seed=0, window=WINDOW):
    return degrade(volume(values), 0, 0, window, kind, dose, np.random.default_rng(seed)).pixels


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_the_identity_is_the_slice_as_it_is(kind):
    values = np.random.default_rng(1).uniform(-50, 250, (13, 17))
    plain = slice_image(volume(values), 0, 0, WINDOW).pixels
    assert np.array_equal(degraded(values, kind, DEGRADATIONS.get(kind).identity), plain)
    for dose in DEGRADATIONS.get(kind).doses:
        changed = degraded(values, kind, dose)
        assert changed.shape == plain.shape
        assert not np.array_equal(changed, plain)


def test_inputs_are_left_alone():
    values = np.random.default_rng(1).uniform(0, 200, (1, 12, 12)).astype(np.float32)
    image = as_volume(values.copy())
    for kind, each in DEGRADATIONS.items():
        degrade(image, 0, 0, WINDOW, kind, each.doses[-1], np.random.default_rng(0))
    assert np.array_equal(image.data, values)


def test_contrast_shrinks_differences_about_the_level():
    # grey 51, 127.5 and 204 of 255; half the contrast is left
    assert degraded([[40.0, 100.0, 160.0]], "contrast", 50).tolist() == [[89, 128, 166]]
    # what the window cut off comes back into view
    assert degraded([[-100.0, 0.0, 300.0]], "contrast", 50).tolist() == [[0, 64, 255]]


def test_noise_has_the_standard_deviation_asked_for():
    flat = np.full((400, 400), 100.0)
    noisy = degraded(flat, "noise", 5).astype(float)
    assert noisy.mean() == pytest.approx(127.5, abs=0.3)
    assert noisy.std() == pytest.approx(0.05 * 255, rel=0.02)
    assert np.array_equal(degraded(flat, "noise", 5), degraded(flat, "noise", 5))
    assert not np.array_equal(degraded(flat, "noise", 5), degraded(flat, "noise", 5, seed=1))


def noisy_mr(value, dose, low=0.0, modality="MR"):
    """Voxels of a flat MR image after noise, through a window that shows all of them as value / 4."""
    values = np.full((1, 400, 400), value, np.float32)
    values[0, 0, :200] = low
    image = as_volume(values, modality=modality)
    pixels = degrade(image, 0, 0, Window(510, 1020), "noise", dose, np.random.default_rng(0)).pixels
    return pixels[1:].astype(float) * 4


def test_noise_of_magnitudes_is_rician():
    sd = 0.1 * 1020
    air = noisy_mr(0.0, 10)  # Rayleigh: mean sd sqrt(pi / 2), variance (2 - pi / 2) sd^2
    assert air.mean() == pytest.approx(sd * np.sqrt(np.pi / 2), rel=0.01)
    assert air.std() == pytest.approx(sd * np.sqrt(2 - np.pi / 2), rel=0.02)
    tissue = noisy_mr(500.0, 10)  # nearly Gaussian about sqrt(A^2 + sd^2), as Gudbjartsson and Patz have it
    assert tissue.mean() == pytest.approx(np.hypot(500, sd), rel=0.005)
    assert tissue.std() == pytest.approx(sd, rel=0.03)


@pytest.mark.parametrize(("modality", "low"), [("CT", 0.0), ("", 0.0), ("MR", -300.0)])
def test_noise_of_others_and_of_normalised_images_is_gaussian(modality, low):
    values = np.full((1, 400, 400), 500, np.float32)
    values[0, :100] = low
    image = as_volume(values, modality=modality)
    pixels = degrade(image, 0, 0, Window(510, 1020), "noise", 10, np.random.default_rng(0)).pixels
    assert (pixels[100:].astype(float) * 4).mean() == pytest.approx(500, abs=2)


def test_a_few_voxels_below_zero_leave_it_a_magnitude_image():
    assert noisy_mr(500.0, 10, low=-1.0).mean() == pytest.approx(np.hypot(500, 102), rel=0.005)


def test_blur_spreads_a_point_as_a_gaussian_does():
    point = np.zeros((41, 41))
    point[20, 20] = 200 * 2 * np.pi * 4  # the peak of a Gaussian of sigma 2 is 1 / (2 pi sigma^2)
    blurred = degraded(point, "blur", 2) / 255
    assert blurred[20, 20] == pytest.approx(1, abs=0.02)
    assert blurred[20, 22] == pytest.approx(np.exp(-0.5), abs=0.02)
    assert blurred[24, 20] == pytest.approx(np.exp(-2), abs=0.02)


def test_blur_is_round_in_millimetres():
    # rows of a coronal slice are 3 mm apart, columns 1 mm
    point = np.zeros((21, 1, 41), np.float32)
    point[10, 0, 20] = 20_000
    blurred = degrade(as_volume(point), 1, 0, WINDOW, "blur", 3.0, np.random.default_rng(0)).pixels.astype(
        int
    )
    assert blurred[11, 20] == pytest.approx(blurred[10, 23], abs=6)
    assert blurred[11, 20] > blurred[12, 20] + 20


def test_resolution_halved_averages_blocks():
    # black and white columns of one pixel become grey; of two pixels they stay apart in their middle
    fine = np.tile([0.0, 200.0], (8, 4))
    assert set(degraded(fine, "resolution", 2).ravel()) == {128}
    steps = np.repeat(np.tile([0.0, 200.0], (4, 2)), 4, axis=1)
    coarse = degraded(steps, "resolution", 2)
    assert coarse[0].tolist() == [0, 0, 0, 64, 191, 255, 255, 191, 64, 0, 0, 64, 191, 255, 255, 255]


def test_resolution_of_sides_that_are_no_multiple():
    values = np.arange(5 * 7, dtype=float).reshape(5, 7) * 5
    assert degraded(values, "resolution", 4).shape == (5, 7)
    assert degraded(np.full((5, 7), 100.0), "resolution", 8).tolist() == np.full((5, 7), 128).tolist()


def test_a_window_moved_up_makes_the_picture_darker():
    assert degraded([[100.0]], "window", 25).tolist() == [[64]]
    assert degraded([[100.0]], "window", -25).tolist() == [[191]]


def test_voxels_that_are_no_numbers_do_not_spread():
    values = np.full((9, 9), 100.0)
    values[4, 4] = np.nan
    for kind in ("blur", "resolution", "noise"):
        changed = degraded(values, kind, 2)
        assert changed[0, 0] > 100


@pytest.mark.parametrize(
    ("kind", "dose"),
    [("contrast", 100), ("noise", -1), ("blur", -2), ("resolution", 0.5), ("resolution", 2.5)],
)
def test_impossible_doses_are_refused(kind, dose):
    with pytest.raises(InputError, match=kind):
        degraded(np.zeros((4, 4)), kind, dose)
