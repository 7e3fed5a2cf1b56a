from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fixtures.medical_files import make_affine
from napari_sam_med.core.errors import GridMismatchError, InputError
from napari_sam_med.core.geometry import same_grid
from napari_sam_med.io import READ_SUFFIXES, WRITE_SUFFIXES, can_read, read_labels, read_volume


class TestLabels:
    def test_whole_floats_become_integers_and_keep_their_values(self, write_nifti):
        data = np.zeros((4, 4, 4))
        data[0], data[1] = 7, 300
        labels = read_labels(write_nifti(data))
        assert labels.data.dtype == np.uint16
        assert set(np.unique(labels.data)) == {0, 7, 300}
        assert labels.modality == ""

    def test_scaled_labels_are_rounded(self, write_nifti):
        data = np.zeros((4, 4, 4), np.uint8)
        data[0], data[1] = 85, 255
        labels = read_labels(write_nifti(data, edit=lambda h: h.set_slope_inter(3 / 255, 0)))
        assert set(np.unique(labels.data)) == {0, 1, 3}

    @pytest.mark.parametrize("value", [0.5, np.nan, np.inf, 1e30])
    def test_probabilities_and_not_numbers_are_refused(self, write_nifti, value):
        data = np.zeros((4, 4, 4))
        data[2, 2, 2] = value
        with pytest.raises(InputError):
            read_labels(write_nifti(data))

    def test_another_orientation_of_the_same_grid(self, write_nifti, ramp):
        affine = make_affine(degrees=(5, 10, 15))
        image = read_volume(write_nifti(ramp, affine, "image.nii"))
        turned = np.flip(ramp.transpose(2, 0, 1), axis=1)
        flip = np.diag([1, -1, 1, 1.0])
        flip[1, 3] = turned.shape[1] - 1
        step = np.zeros((4, 4))
        for new, old in enumerate((2, 0, 1)):
            step[old, new] = 1
        step[3, 3] = 1
        labels = read_labels(write_nifti(turned, affine @ step @ flip, "labels.nii"), reference=image)
        np.testing.assert_array_equal(labels.data, image.data)
        assert labels.source is image.source

    def test_another_grid_is_refused_or_resampled(self, write_nifti):
        image = read_volume(write_nifti(np.zeros((8, 8, 8), np.int16), np.diag([1, 1, 1, 1.0]), "image.nii"))
        data = np.zeros((4, 4, 4), np.uint8)
        data[1:3, 1:3, 1:3] = 9
        coarse = np.diag([2, 2, 2, 1.0])
        coarse[:3, 3] = 0.5
        path = write_nifti(data, coarse, "labels.nii")
        with pytest.raises(GridMismatchError) as error:
            read_labels(path, reference=image)
        for part in ("(4, 4, 4)", "(8, 8, 8)", "(2, 2, 2) mm", "(1, 1, 1) mm", "origin"):
            assert part in str(error.value)
        labels = read_labels(path, reference=image, resample=True)
        assert same_grid(labels, image)
        assert (labels.data == 9).sum() == 8 * 8
        assert labels.data[2:6, 2:6, 2:6].all()

    def test_stack_of_masks_is_refused_for_a_3d_image(self, write_nifti, ramp):
        image = read_volume(write_nifti(ramp, name="image.nii"))
        path = write_nifti(np.stack([ramp > 3, ramp <= 3], -1).astype(np.uint8), name="labels.nii")
        for resample in (False, True):
            with pytest.raises(InputError, match="4D"):
                read_labels(path, reference=image, resample=resample)

    def test_3d_labels_fit_a_4d_image(self, write_nifti, ramp):
        image = read_volume(write_nifti(np.stack([ramp, ramp], -1), name="image.nii"))
        assert read_labels(write_nifti(ramp, name="l.nii"), reference=image).data.ndim == 3


class TestModality:
    @pytest.mark.parametrize(
        ("low", "high", "modality"),
        [(-1024, 3071, "CT"), (-3024, 1400, "CT"), (0, 4095, ""), (-4096, 4094, ""), (-1000, -950, "")],
    )
    def test_guess_from_values(self, write_nifti, low, high, modality):
        data = np.linspace(low, high, 64).astype(np.int16).reshape(4, 4, 4)
        assert read_volume(write_nifti(data)).modality == modality
        assert read_volume(write_nifti(data.astype(np.float32))).modality == modality

    def test_fractions_are_no_ct(self, write_nifti):
        assert read_volume(write_nifti(np.linspace(-1000, 1000, 64).reshape(4, 4, 4))).modality == ""


class TestPicture:
    def test_rows_and_columns_stay(self, tmp_path):
        data = np.arange(12, dtype=np.uint8).reshape(3, 4)
        for name in ("a.png", "a.tif", "a.TIFF"):
            Image.fromarray(data).save(tmp_path / name)
            volume = read_volume(tmp_path / name)
            np.testing.assert_array_equal(volume.data, data[None])
            assert "mm" in volume.metadata["warnings"][0]

    @pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
    def test_deep_pixels(self, tmp_path, dtype):
        data = (np.arange(12) * 5000).astype(dtype).reshape(3, 4)
        Image.fromarray(data).save(tmp_path / "a.tif")
        np.testing.assert_array_equal(read_volume(tmp_path / "a.tif").data[0], data)

    def test_grey_in_colour_channels(self, tmp_path):
        grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
        Image.fromarray(np.stack([grey] * 3 + [np.full_like(grey, 255)], -1)).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_volume(tmp_path / "a.png").data[0], grey)
        colour = np.stack([grey, grey + 1, grey], -1)
        Image.fromarray(colour).save(tmp_path / "b.png")
        with pytest.raises(InputError, match="colour"):
            read_volume(tmp_path / "b.png")

    def test_palette_indices_are_labels(self, tmp_path):
        index = np.array([[0, 1], [2, 0]], np.uint8)
        picture = Image.fromarray(index, mode=None).convert("P")
        picture.putdata(index.ravel().tolist())
        picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        picture.save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_labels(tmp_path / "a.png").data[0], index)
        with pytest.raises(InputError, match="colour"):
            read_volume(tmp_path / "a.png")

    def test_pages_and_damage(self, tmp_path):
        pages = [Image.fromarray(np.zeros((4, 4), np.uint8)) for _ in range(3)]
        pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
        with pytest.raises(InputError, match="3 pages"):
            read_volume(tmp_path / "stack.tif")
        noise = np.random.default_rng(0).integers(0, 255, (50, 50)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / "a.png")
        (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:900])
        (tmp_path / "b.png").write_bytes(b"no picture")
        for name in ("a.png", "b.png"):
            with pytest.raises(InputError, match=name):
                read_volume(tmp_path / name)


class TestPaths:
    def test_missing_and_unknown(self, tmp_path):
        (tmp_path / "a.xyz").write_bytes(b"hello world")
        for name in ("absent.nii.gz", "a.xyz"):
            with pytest.raises(InputError, match=name):
                read_volume(tmp_path / name)

    def test_can_read_is_about_names_and_first_bytes(self, tmp_path, series, slices):
        for suffix in READ_SUFFIXES:
            assert can_read(tmp_path / f"A{suffix.upper()}")
        assert not can_read(tmp_path / "a.txt")
        path = series.add("noname", 0, slices[0])
        assert can_read(path)
        assert can_read(str(series.folder))
        assert read_volume(path).shape == (1, 6, 7)

    def test_what_is_written_can_be_read(self):
        assert set(WRITE_SUFFIXES) <= set(READ_SUFFIXES)

    def test_importing_the_doors_is_light(self):
        code = (
            "import sys, napari_sam_med.io; "
            "print([m for m in ('nibabel', 'SimpleITK', 'pydicom', 'PIL', 'torch') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
