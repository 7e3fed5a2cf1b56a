"""`info` says what a file holds, and what a folder of several series offers."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from fixtures.commands import run_command


def info(capsys, *arguments):
    status = run_command("info", *arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def fact(text: str, name: str) -> str:
    """The value behind a name in the first column."""
    (line,) = [line for line in text.splitlines() if line.startswith(name)]
    return line.removeprefix(name).strip()


def save(path, data, affine=None):
    nibabel.save(nibabel.Nifti1Image(data, np.diag([1.5, 1, 3, 1]) if affine is None else affine), path)
    return path


def test_geometry_type_and_range(tmp_path, capsys):
    data = np.linspace(-3, 12, 4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    code, out, err = info(capsys, save(tmp_path / "naïve 图像.nii.gz", data))
    assert (code, err) == (0, "")
    assert "naïve 图像.nii.gz" in fact(out, "file")
    assert fact(out, "shape (z, y, x)") == "(6, 5, 4)"
    assert fact(out, "shape in the file") == "(4, 5, 6)"
    assert fact(out, "spacing").startswith("(z, y, x)")
    assert "(3, 1, 1.5) mm" in fact(out, "spacing")
    assert fact(out, "stored orientation") == "RAS"
    assert fact(out, "stored type") == "float32"
    assert fact(out, "range") == "-3 to 12"


def test_labels_are_counted(tmp_path, capsys):
    data = np.zeros((4, 5, 6), np.uint8)
    data[0], data[1, 0] = 1, 7
    _, out, _ = info(capsys, save(tmp_path / "labels.nii.gz", data))
    rows = [line.split() for line in out.splitlines()]
    assert ["1", "30", "0.135"] in rows  # 30 voxels of 4.5 mm³
    assert ["7", "6", "0.027"] in rows


def test_an_image_of_many_values_has_no_label_table(tmp_path, capsys):
    data = np.arange(4 * 10 * 10, dtype=np.int16).reshape(4, 10, 10)
    _, out, _ = info(capsys, save(tmp_path / "image.nii.gz", data))
    assert "label" not in out


def test_awkward_voxels_are_counted_and_warned_of(tmp_path, capsys):
    data = np.ones((4, 5, 6), np.float32)
    data[0, 0, 0], data[1, 1, 1] = np.nan, np.inf
    code, out, err = info(capsys, save(tmp_path / "holes.nii.gz", data))
    assert code == 0
    assert fact(out, "range").startswith("1 to 1; 2 voxels")
    assert err.startswith("Warning: ")


def test_a_volume_without_a_finite_voxel(tmp_path, capsys):
    code, out, _ = info(capsys, save(tmp_path / "nan.nii.gz", np.full((4, 5, 6), np.nan, np.float32)))
    assert code == 0
    assert fact(out, "range") == "no finite voxel"


def test_time_points(tmp_path, capsys):
    _, out, _ = info(capsys, save(tmp_path / "fmri.nii.gz", np.ones((4, 5, 6, 3), np.int16)))
    assert fact(out, "time points").startswith("3")


@pytest.mark.shared_data
def test_several_series_are_listed_and_one_can_be_chosen(shared_data, tmp_path, capsys):
    folder = shared_data / "generated-malformed-A" / "dicom_two_series"
    code, out, _ = info(capsys, folder)
    assert code == 0
    uids = [line.split()[-1] for line in out.splitlines() if line.split()[-1:] and "1.2.826" in line]
    assert len(uids) == 2
    for uid in uids:
        code, out, _ = info(capsys, folder, "--series", uid)
        assert code == 0
        assert fact(out, "shape in the file") == "(64, 64, 4)"
    code, _, err = info(capsys, folder, "--series", "1.2.3")
    assert code == 1
    assert "1.2.3" in err
