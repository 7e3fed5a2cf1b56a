"""Volumes of every family go in by `segment --box`, and the mask lies on the grid of the file it was made for."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from fixtures.commands import run_command
from fixtures.fake_segmenter import FakeSegmenter

LPI = np.diag([-1.0, -1.0, -1.0, 1.0])  # file order (i, j, k) is (x, y, z) of the slices as they are shown
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture
def fake(monkeypatch):
    """`segment` loads a model whose mask is exactly the box."""
    model = FakeSegmenter()
    monkeypatch.setattr("napari_sam_med.models.load_model", lambda *_: model)
    return model


def grid_of(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape (i, j, k) and RAS affine, read without this package."""
    if path.is_dir():
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path))
        image = sitk.ReadImage(names)
    elif path.name.lower().endswith((".nii", ".nii.gz")):
        loaded = nibabel.load(path)
        return loaded.shape[:3], loaded.affine
    else:
        image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return image.GetSize(), LPS_TO_RAS @ affine


def voxels_of(path: Path) -> np.ndarray:
    """Voxels in (i, j, k), read without this package."""
    if path.name.endswith((".nii", ".nii.gz")):
        return np.asanyarray(nibabel.load(path).dataobj)
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T


def nifti(folder: Path, affine: np.ndarray, shape=(20, 16, 12), name="scan.nii.gz") -> Path:
    data = np.random.default_rng(0).integers(0, 1000, shape).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(data, affine), folder / name)
    return folder / name


def oblique() -> np.ndarray:
    angle = np.radians(25)
    affine = np.eye(4)
    affine[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, -1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    affine[:3, :3] *= (0.7, 0.7, 3.0)
    affine[:3, 3] = (12.5, -30.25, 101)
    return affine


@pytest.mark.parametrize("affine", [np.diag([-1.0, -1, 2, 1]), oblique()], ids=["axis-aligned", "oblique"])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_box_comes_out_where_it_was_drawn_on_the_source_grid(tmp_path, fake, capsys, affine, suffix):
    source = nifti(tmp_path, affine, name="naïve 图像.nii.gz")
    mask = tmp_path / f"máscara{suffix}"
    assert run_command("segment", source, "--box", "axial:3:2,4,6,9", "--label", 7, "-o", mask) == 0
    text = capsys.readouterr().out
    assert "30 voxels" in text
    assert f"{30 * abs(np.linalg.det(affine[:3, :3])) / 1000:.3f} ml" in text

    shape, found = grid_of(mask)
    assert shape == (20, 16, 12)
    np.testing.assert_allclose(found, affine, atol=1e-4)
    # The file runs to the left or right, to the back, and up: slice 3 from the top of 12 is k = 8, rows are j,
    # and columns 4 to 9 from the patient's right are i = 4 to 9 or, from the other end of 20, 10 to 15.
    expected = np.zeros((20, 16, 12), int)
    expected[slice(4, 10) if affine[0, 0] < 0 else slice(10, 16), 2:7, 8] = 7
    np.testing.assert_array_equal(voxels_of(mask), expected)


def test_a_box_that_reaches_beyond_the_slice_is_cut_and_said_so(tmp_path, fake, capsys):
    source, mask = nifti(tmp_path, LPI), tmp_path / "mask.nii.gz"
    boxes = ("axial:3:2,4,6,9", "axial:4:-3,4,6,90")
    assert run_command("segment", source, "--box", boxes[0], "--box", boxes[1], "-o", mask) == 0
    said = capsys.readouterr().err
    assert said.count("Warning") == 1
    assert "axial 4" in said
    assert "0,4,6,19" in said
    assert np.count_nonzero(voxels_of(mask)) == 5 * 6 + 7 * 16


def test_prompt_files_make_one_mask_of_several_labels_and_later_prompts_win(tmp_path, fake):
    source = nifti(tmp_path, LPI)
    prompts = tmp_path / "prompts.json"
    prompts.write_text(
        json.dumps(
            {
                "prompts": [
                    {"axis": "axial", "index": 3, "box": [0, 0, 3, 3], "label": 300},
                    {"axis": "axial", "index": 3, "box": [2, 2, 5, 5], "label": 2},
                    {"axis": "coronal", "index": 9, "points": [[6, 10]], "label": 3},
                ]
            }
        ),
        encoding="utf-8",
    )
    assert run_command("segment", source, "--prompts", prompts, "-o", tmp_path / "m.nii.gz") == 0
    mask = voxels_of(tmp_path / "m.nii.gz")
    slice_3 = mask[:, :, 3].T
    assert (slice_3[0:2, 0:2] == 300).all()
    assert (slice_3[2:6, 2:6] == 2).all()
    disc = np.argwhere(mask == 3)
    assert set(disc[:, 1]) == {9}
    np.testing.assert_allclose(disc[:, [2, 0]].mean(axis=0), (6, 10))


def test_points_and_several_boxes(tmp_path, fake, capsys):
    source = nifti(tmp_path, LPI)
    code = run_command(
        *("segment", source, "-o", tmp_path / "m.nrrd"),
        *("--box", "axial:2:0,0,3,3", "--box", "axial:2:8,8,9,9"),
        *("--point", "sagittal:5:6,8", "--point", "sagittal:5:6,9:-"),
    )
    assert code == 0
    assert [len(p.points) for p in fake.prompts] == [0, 0, 2]
    assert len(capsys.readouterr().out.strip().splitlines()) == 5


def test_the_model_sees_the_chosen_window(tmp_path, fake, monkeypatch):
    images = []
    encode = fake.encode
    monkeypatch.setattr(fake, "encode", lambda image: (images.append(image), encode(image))[1])
    source = nifti(tmp_path, LPI)
    for window in ("500/1000", "-600/1500"):
        assert (
            run_command(
                "segment", source, "--box", "axial:3:2,4,6,9", "--window", window, "-o", tmp_path / "m.nrrd"
            )
            == 0
        )
    data = voxels_of(source)[:, :, 3].T.astype(float)
    np.testing.assert_array_equal(images[0], np.rint(np.clip(data / 1000 * 255, 0, 255)))
    assert (images[1] >= 229).all()  # all voxels are at the bright end of the lung window


@pytest.mark.parametrize(
    "arguments",
    [
        ["--box", "axial:12:2,4,6,9"],
        ["--box", "axial:3:30,30,40,40"],
        ["--point", "coronal:3:2,40"],
        ["--box", "axial:3:2,4,6,9", "--window", "dicom"],
    ],
)
def test_what_does_not_fit_the_volume_is_one_sentence_and_nothing_is_written(
    tmp_path, fake, capsys, arguments
):
    source = nifti(tmp_path, np.eye(4))
    out = tmp_path / "m.nii.gz"
    assert run_command("segment", source, *arguments, "-o", out) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("Error: ")
    assert len(captured.err.strip().splitlines()) == 1
    assert not out.exists()
    assert fake.encoded == []


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "truncated"])
def test_bad_volumes_are_one_sentence(tmp_path, capsys, kind):
    source = tmp_path / "broken.nii.gz"
    if kind == "truncated":
        whole = nifti(tmp_path, np.eye(4)).read_bytes()
        source.write_bytes(whole[: len(whole) // 2])
    elif kind != "missing":
        source.write_text("" if kind == "empty" else "<html>404</html>")
    for command in (
        ["info", source],
        ["segment", source, "--box", "axial:3:2,4,6,9", "-o", tmp_path / "m.nii.gz"],
    ):
        assert run_command(*command) == 1
        captured = capsys.readouterr()
        assert captured.err.startswith("Error: ")
        assert "broken.nii.gz" in captured.err
        assert "Traceback" not in captured.err


def test_the_volume_itself_is_never_replaced(tmp_path, fake):
    source = nifti(tmp_path, np.eye(4))
    before = source.read_bytes()
    assert run_command("segment", source, "--box", "axial:3:2,4,6,9", "-o", source) == 2
    assert source.read_bytes() == before


REAL = {
    "NIfTI": ("totalsegmentator/example_ct_sm.nii.gz", ".nii.gz", "axial"),
    "NIfTI, oblique 4.6°": ("sct/mt/mt1.nii.gz", ".nii.gz", "axial"),
    "NIfTI, oblique 35°": ("dipy/aniso_vox.nii.gz", ".nrrd", "sagittal"),
    "DICOM series": ("dcmqi/segmentations/ct-3slice", ".nii.gz", "axial"),
    "DICOM series, oblique 39°": ("dicom2nifti/hitachi/anatomical/001", ".nii.gz", "sagittal"),
    "NRRD": ("pyradiomics/brain1_image.nrrd", ".nrrd", "axial"),
    "NRRD, oblique 4.6°": ("fnndsc/nrrd/adi_brain/adi_slice.nrrd", ".mha", "sagittal"),
}


@pytest.mark.shared_data
@pytest.mark.parametrize("case", REAL)
def test_real_files_come_out_on_their_own_grid(shared_data, tmp_path, fake, capsys, case):
    name, suffix, axis = REAL[case]
    source, mask = shared_data / name, tmp_path / f"mask{suffix}"
    assert run_command("segment", source, "--box", f"{axis}:0:5,6,14,15", "-o", mask) == 0
    shape, affine = grid_of(source)
    mask_shape, mask_affine = grid_of(mask)
    if (
        source.is_dir()
    ):  # a series has no order of its own along the slices: compare the corners of the volume
        np.testing.assert_allclose(corners(mask_shape, mask_affine), corners(shape, affine), atol=1e-3)
    else:
        assert mask_shape == shape
        np.testing.assert_allclose(mask_affine, affine, atol=1e-4)
    assert np.count_nonzero(voxels_of(mask)) == 100
    assert "100 voxels" in capsys.readouterr().out


def corners(shape, affine) -> np.ndarray:
    """The eight corner voxels in world coordinates, sorted."""
    index = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    return world[np.lexsort(np.round(world, 2).T)]
