"""The installed command in a process of its own, with the built-in model."""

from __future__ import annotations

import os
import subprocess
import sys

import nibabel
import numpy as np
import pytest

from napari_sam_med.core.geometry import from_canonical, volume_from_source
from napari_sam_med.core.prompt import tight_box
from napari_sam_med.metrics import compute_metrics


def command(*arguments, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "napari_sam_med", *(str(a) for a in arguments)],
        capture_output=True,
        timeout=200,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def abdomen(tmp_path_factory):
    """A synthetic CT as a file, its label array in file order, and its affine."""
    from napari_sam_med.synth import abdomen_ct

    image, labels = abdomen_ct(seed=0)
    path = tmp_path_factory.mktemp("ct") / "abdomen.nii.gz"
    affine = image.source.affine
    nibabel.save(nibabel.Nifti1Image(from_canonical(image.data, image.source).astype(np.int16), affine), path)
    return path, image, labels


def test_a_box_around_the_largest_organ_segments_it(abdomen, tmp_path):
    path, image, labels = abdomen
    values, counts = np.unique(labels.data[labels.data > 0], return_counts=True)
    organ = labels.data == values[np.argmax(counts)]
    index = int(organ.sum(axis=(1, 2)).argmax())
    r0, c0, r1, c1 = (int(v) for v in tight_box(organ[index]))
    done = command(
        "segment",
        path,
        "--box",
        f"axial:{index}:{r0},{c0},{r1},{c1}",
        "--label",
        4,
        "-o",
        tmp_path / "mask.nii.gz",
    )
    assert done.returncode == 0, done.stderr.decode()

    saved = nibabel.load(tmp_path / "mask.nii.gz")
    np.testing.assert_allclose(saved.affine, image.source.affine, atol=1e-4)
    assert saved.shape == image.source.shape
    mask = volume_from_source(np.asanyarray(saved.dataobj), saved.affine).data
    assert set(np.unique(mask)) == {0, 4}
    assert set(np.flatnonzero(mask.any(axis=(1, 2)))) == {index}
    spacing = image.slice_spacing_mm(0)
    assert compute_metrics(mask[index] == 4, organ[index], spacing)["dice"] > 0.7


def test_a_console_that_cannot_show_a_letter_is_no_reason_to_fail(tmp_path):
    path = tmp_path / "图像.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 5, 6), np.uint8), np.eye(4)), path)
    done = command("info", path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr.decode()
    assert b"(6, 5, 4)" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status"), [(["info", "gone.nii.gz"], 1), (["info"], 2), (["--version"], 0)]
)
def test_exit_status(arguments, status):
    done = command(*arguments)
    assert done.returncode == status
    assert b"Traceback" not in done.stderr
