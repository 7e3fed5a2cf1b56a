from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from napari_sam_med.core.errors import OutputError
from napari_sam_med.core.geometry import from_canonical, volume_from_source
from napari_sam_med.io import WRITE_SUFFIXES, read_labels, read_volume, save, save_labels

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def labels_on(affine, data, **fields):
    return volume_from_source(data, affine, **fields)


def independent(path):
    """(voxels in file order, RAS affine) by the library that did not write the file."""
    if ".nii" in path.name:
        image = nibabel.load(path)
        return np.asanyarray(image.dataobj), image.affine
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = direction * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, LPS @ affine


@pytest.mark.parametrize("suffix", WRITE_SUFFIXES)
def test_mask_lands_on_the_source_grid(tmp_path, ramp, any_affine, suffix):
    labels = labels_on(any_affine, ramp)
    path = save_labels(labels, tmp_path / f"mask{suffix}")
    voxels, affine = independent(path)
    np.testing.assert_array_equal(voxels, ramp)
    np.testing.assert_allclose(affine, any_affine, atol=1e-4)
    again = read_labels(path, reference=labels)
    np.testing.assert_array_equal(again.data, labels.data)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("suffix", WRITE_SUFFIXES)
def test_label_names_survive(tmp_path, ramp, suffix):
    names = {1: "liver", 70: "left kidney"}
    path = save_labels(labels_on(np.eye(4), ramp, label_names=names), tmp_path / f"a{suffix}")
    assert read_labels(path).label_names == names


@pytest.mark.parametrize("suffix", WRITE_SUFFIXES)
def test_picture_comes_back_in_two_dimensions(tmp_path, suffix):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4), np.float32)), str(tmp_path / "flat.mha"))
    image = read_volume(tmp_path / "flat.mha")
    mask = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    path = save_labels(image.with_data(mask), tmp_path / f"mask{suffix}")
    found = nibabel.load(path).shape if ".nii" in suffix else sitk.ReadImage(str(path)).GetSize()
    assert found == (4, 3)
    np.testing.assert_array_equal(read_labels(path, reference=image).data, mask)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ((0, 1), "u1"),
        ((0, 255), "u1"),
        ((-1, 3), "i1"),
        ((0, 256), "u2"),
        ((-200, 3), "i2"),
        ((0, 70000), "u4"),
        ((-1, 70000), "i4"),
    ],
)
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_smallest_type_that_holds_the_values(tmp_path, values, dtype, suffix):
    data = np.zeros((3, 4, 5), np.int64)
    data[0, 0, 0], data[1, 2, 3] = values
    path = save_labels(labels_on(np.eye(4), data), tmp_path / f"a{suffix}")
    voxels, _ = independent(path)
    assert voxels.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(voxels, data)


def test_booleans_become_zero_and_one(tmp_path):
    path = save_labels(labels_on(np.eye(4), np.eye(3, dtype=bool)[None]), tmp_path / "a.nii.gz")
    assert independent(path)[0].dtype == np.uint8


def test_time_axis_in_nifti_only(tmp_path, ramp):
    labels = labels_on(np.eye(4), np.stack([ramp, ramp + 1]), time_step=2.0)
    path = save_labels(labels, tmp_path / "a.nii.gz")
    again = read_labels(path)
    assert (again.n_times, again.time_step) == (2, 2.0)
    np.testing.assert_array_equal(from_canonical(again.data, again.source)[1], ramp + 1)
    with pytest.raises(OutputError, match="NIfTI"):
        save_labels(labels, tmp_path / "a.nrrd")


def test_existing_file_is_replaced(tmp_path, ramp):
    for suffix in WRITE_SUFFIXES:
        path = tmp_path / f"a{suffix}"
        save_labels(labels_on(np.eye(4), ramp), path)
        save_labels(labels_on(np.eye(4), ramp[:3]), path)
        assert read_labels(path).data.size == ramp[:3].size


class TestFailure:
    """The target keeps what it had, no draft stays, and the user gets a sentence."""

    @pytest.fixture(params=WRITE_SUFFIXES)
    def target(self, request, tmp_path, ramp):
        path = tmp_path / f"mask{request.param}"
        save_labels(labels_on(np.eye(4), ramp), path)
        return path

    def attempt(self, path, ramp):
        before = {p.name: p.read_bytes() for p in path.parent.iterdir()}
        with pytest.raises(OutputError) as error:
            save_labels(labels_on(np.eye(4), ramp + 1), path)
        assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before
        return str(error.value)

    def test_read_only_folder(self, target, ramp, monkeypatch):
        def refuse(*args, **kwargs):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(tempfile, "mkdtemp", refuse)
        assert "Permission denied" in self.attempt(target, ramp)

    def test_read_only_target(self, target, ramp):
        target.chmod(0o444)
        assert "read-only" in self.attempt(target, ramp)

    def test_file_that_cannot_be_placed(self, target, ramp, monkeypatch):
        replace = os.replace

        def refuse(source, place):
            # the file itself fails, the data file of a header goes through
            if str(place) == str(target) and "kept-" not in str(source):
                raise PermissionError(13, "Permission denied")
            replace(source, place)

        monkeypatch.setattr(save.os, "replace", refuse)
        assert "Permission denied" in self.attempt(target, ramp)

    def test_voxels_that_read_back_differently(self, target, ramp, monkeypatch):
        write = save._write

        def wrong(path, suffix, voxels, labels):
            voxels = voxels.copy()
            voxels[1, 1, 1] += 1
            write(path, suffix, voxels, labels)

        monkeypatch.setattr(save, "_write", wrong)
        assert "differs" in self.attempt(target, ramp)

    def test_affine_that_reads_back_differently(self, target, ramp, monkeypatch):
        write = save._write

        def wrong(path, suffix, voxels, labels):
            write(path, suffix, voxels, labels_on(np.diag([1, 1, 1.001, 1]), voxels))

        monkeypatch.setattr(save, "_write", wrong)
        assert "affine" in self.attempt(target, ramp)

    def test_file_cut_while_writing(self, target, ramp, monkeypatch):
        write = save._write

        def cut(path, *args):
            write(path, *args)
            largest = max(path.parent.iterdir(), key=lambda p: p.stat().st_size)
            largest.write_bytes(largest.read_bytes()[:-10])

        monkeypatch.setattr(save, "_write", cut)
        self.attempt(target, ramp)

    def test_header_that_cannot_be_placed_leaves_no_data_file(self, tmp_path, ramp, monkeypatch):
        replace = os.replace

        def refuse(source, place):
            if str(place).endswith(".mhd"):
                raise PermissionError(13, "Permission denied")
            replace(source, place)

        monkeypatch.setattr(save.os, "replace", refuse)
        with pytest.raises(OutputError):
            save_labels(labels_on(np.eye(4), ramp), tmp_path / "mask.mhd")
        assert not list(tmp_path.iterdir())


FULL_DISK = """
import resource, signal, sys
import numpy as np
import nibabel, SimpleITK
from napari_sam_med.core.errors import OutputError
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.io import save_labels
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
data = np.random.default_rng(0).integers(0, 200, (60, 60, 60)).astype(np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    save_labels(volume_from_source(data, np.eye(4)), sys.argv[1])
except OutputError as error:
    print("refused:", error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the file size as Linux does")
@pytest.mark.parametrize("suffix", WRITE_SUFFIXES)
def test_full_disk(tmp_path, suffix):
    """A limit on the file size fails in the middle of a write, as a full disk does."""
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / f"a{suffix}")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith("refused:"), done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.txt", "a", "a.png", "absent/a.nii.gz", "folder.nii.gz"])
def test_targets_that_cannot_be(tmp_path, ramp, name):
    (tmp_path / "folder.nii.gz").mkdir()
    with pytest.raises(OutputError):
        save_labels(labels_on(np.eye(4), ramp), tmp_path / name)


def test_floats_are_no_labels(tmp_path, ramp):
    with pytest.raises(OutputError, match="whole numbers"):
        save_labels(labels_on(np.eye(4), ramp.astype(np.float32)), tmp_path / "a.nii.gz")
