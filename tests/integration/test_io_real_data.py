"""Real images: every labelled pair, every malformed file, and formats against each other."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from napari_sam_med.core.errors import GridMismatchError, InputError
from napari_sam_med.core.geometry import from_canonical, same_grid
from napari_sam_med.io import READ_SUFFIXES, list_series, read_labels, read_volume, save_labels
from napari_sam_med.io.sniff import is_dicom

pytestmark = pytest.mark.shared_data

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
BAD = "generated-malformed-A"


def pairs(folder: Path) -> list[dict[str, str]]:
    with (folder / "pairs.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_pair_loads_and_shares_its_grid(shared_data):
    for pair in pairs(shared_data):
        image = read_volume(shared_data / pair["image"])
        labels = read_labels(shared_data / pair["label"], reference=image)
        named = {int(part.split("=")[0]) for part in pair["labels"].split(";")}
        assert set(np.unique(labels.data)) - {0} == named
        assert labels.shape == image.shape
        assert image.modality in (("CT",) if pair["what"].startswith("CT") else ("", "MR"))


def test_every_pair_returns_to_its_grid(shared_data, tmp_path):
    """The mask of each image, written in each format, has the image's shape and affine for an independent reader."""
    suffixes = itertools.cycle((".nii.gz", ".nrrd", ".mha"))
    for pair in pairs(shared_data):
        image = read_volume(shared_data / pair["image"])
        labels = read_labels(shared_data / pair["label"], reference=image)
        path = save_labels(labels, tmp_path / f"{pair['id']}{next(suffixes)}")
        np.testing.assert_array_equal(read_labels(path, reference=image).data, labels.data)
        shape, affine = grid_by_others(path)
        expected_shape, expected_affine = grid_by_others(shared_data / pair["image"])
        assert shape == expected_shape
        np.testing.assert_allclose(affine, expected_affine, atol=1e-4)


def grid_by_others(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and RAS affine as nibabel or SimpleITK give them."""
    if ".nii" in path.name.lower():
        image = nibabel.load(path)
        return image.shape, image.affine
    if path.is_dir():
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
        image = reader.Execute()
    else:
        image = sitk.ReadImage(str(path))
    n = image.GetDimension()
    affine = np.eye(4)
    affine[:n, :n] = np.array(image.GetDirection()).reshape(n, n) * np.array(image.GetSpacing())
    affine[:n, 3] = image.GetOrigin()
    return image.GetSize(), LPS @ affine


REFUSED = [
    "header_only.nii",
    "html_404.nii.gz",
    "huge_dims.nii",
    "missing_data.mhd",
    "missing_data.nhdr",
    "no_geometry.nii.gz",
    "not_gzipped.nii.gz",
    "short_data.mha",
    "short_data.nrrd",
    "singular_sform.nii.gz",
    "truncated_gz.nii.gz",
    "truncated_raw.nii",
    "zero_bytes.nii.gz",
    "dicom_missing_and_duplicate",
    "dicom_mixed_size",
    "dicom_no_position",
    "dicom_with_junk",
    "dicom_empty_folder",
    "dicom_two_series",
]
SHAPES = {
    "all_nan.nii.gz": (10, 12, 8),
    "constant.nii.gz": (40, 40, 40),
    "five_d.nii.gz": (40, 40, 6),
    "four_d.nii.gz": (2, 40, 40, 40),
    "nan_inf.nii.gz": (40, 40, 40),
    "naïve name (copy) 图像.NII.GZ": (40, 40, 40),
    "ok_image.nii.gz": (40, 40, 40),
    "one_slice.nii.gz": (40, 40, 1),
    "two_d.nii.gz": (40, 40, 1),
    "dicom_shuffled": (6, 64, 64),
}


@pytest.mark.parametrize("name", REFUSED)
def test_malformed_input_gives_one_sentence(shared_data, name):
    with pytest.raises(InputError) as error:
        read_volume(shared_data / BAD / name)
    assert len(str(error.value)) > 40
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "shape"), SHAPES.items())
def test_awkward_input_is_read(shared_data, name, shape):
    assert read_volume(shared_data / BAD / name).data.shape == shape


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        (
            "dicom_missing_and_duplicate",
            ("02_CTHead44.dcm", "03_CTHead46.dcm", "05_CTHead48.dcm", "06_CTHead48.dcm"),
        ),
        ("dicom_mixed_size", ("06_half_size.dcm",)),
        ("dicom_with_junk", ("truncated.dcm",)),
    ],
)
def test_bad_slices_are_named(shared_data, folder, names):
    with pytest.raises(InputError) as error:
        read_volume(shared_data / BAD / folder)
    assert all(name in str(error.value) for name in names)


def test_labels_of_the_malformed_set(shared_data):
    folder = shared_data / BAD
    image = read_volume(folder / "ok_image.nii.gz")
    truth = read_labels(folder / "ok_label.nii.gz", reference=image)
    turned = read_labels(folder / "label_other_orientation.nii.gz", reference=image)
    np.testing.assert_array_equal(turned.data, truth.data)
    values = {"255": 255, "large_values": 70000, "negative": -1}
    for name, value in values.items():
        assert value in read_labels(folder / f"label_{name}.nii.gz", reference=image).data
    for name in ("shape_mismatch", "shifted_affine"):
        with pytest.raises(GridMismatchError):
            read_labels(folder / f"label_{name}.nii.gz", reference=image)
        assert read_labels(folder / f"label_{name}.nii.gz", image, resample=True).shape == image.shape
    for name in ("probability", "four_d_onehot"):
        with pytest.raises(InputError):
            read_labels(folder / f"label_{name}.nii.gz", reference=image)


@pytest.mark.slow
def test_every_file_is_read_or_refused_in_words(shared_data):
    """No file of the collection raises anything but InputError; what other readers can open agrees with them."""
    read = 0
    for path in candidates(shared_data):
        try:
            volume = read_volume(path)
        except InputError:
            continue
        read += 1
        name = path.name.lower()
        if name.endswith((".nii", ".nii.gz")):
            image = nibabel.load(path)
            other = np.asanyarray(image.dataobj).squeeze()
            np.testing.assert_allclose(volume.source.affine, image.affine, atol=1e-4)
        elif name.endswith((".mha", ".mhd", ".nrrd", ".nhdr")) and readable_by_itk(path):
            other = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T.squeeze()
        else:
            continue
        found = from_canonical(volume.data, volume.source)
        found = np.moveaxis(found, 0, -1) if found.ndim == 4 else found
        np.testing.assert_allclose(found.squeeze(), other, rtol=1e-5, atol=1e-4)
    assert read > 250


def candidates(folder: Path) -> Iterator[Path]:
    """Every file that may be an image; of a folder with a long DICOM series, every ninth."""
    seen: Counter[Path] = Counter()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (path.name.lower().endswith(READ_SUFFIXES) or is_dicom(path)):
            seen[path.parent] += 1
            if (
                path.suffix != ".dcm"
                or seen[path.parent] < 4
                or seen[path.parent] % 9 == 0
                or "pydicom" in str(path)
            ):
                yield path


def readable_by_itk(path: Path) -> bool:
    return path.name not in ("BallBinary30x30x30_bz2.nrrd", "test_simple4d_raw.nrrd")


class TestDicom:
    @pytest.mark.parametrize(
        "name",
        [
            "generic/anatomical",
            "ge/dti",
            "hitachi/anatomical",
            "hyperfine/anatomical",
            "philips_enhanced/anatomical",
        ],
    )
    def test_like_the_published_conversion(self, shared_data, name):
        folder = shared_data / "dicom2nifti" / name
        (truth_path,) = folder.glob("*_ground_truth.nii.gz")
        volume = read_volume(folder / truth_path.name[:3])
        truth = read_volume(truth_path)
        assert same_grid(volume, truth)
        np.testing.assert_allclose(volume.data, truth.data, atol=1e-3)

    @pytest.mark.parametrize("by_simpleitk", [False, True])
    def test_lossless_compression_gives_the_same_voxels(self, shared_data, monkeypatch, by_simpleitk):
        if by_simpleitk:
            decode = pydicom.dataset.Dataset.pixel_array.fget

            def fail(self):
                if self.file_meta.TransferSyntaxUID.is_compressed:
                    raise RuntimeError("no decoder")
                return decode(self)

            monkeypatch.setattr(pydicom.dataset.Dataset, "pixel_array", property(fail))
        lossy = ("too_short", ".4.50.", ".4.51.", ".4.81.")
        for first, pattern in (
            ("cornerstone3D/CTImage.dcm", "CTImage.dcm_*"),
            ("pydicom-data/emri_small.dcm", "emri_*"),
        ):
            plain = read_volume(shared_data / first)
            copies = [
                p for p in (shared_data / first).parent.glob(pattern) if not any(x in p.name for x in lossy)
            ]
            assert len(copies) >= 5
            for path in copies:
                np.testing.assert_array_equal(read_volume(path).data, plain.data, err_msg=path.name)

    def test_four_codecs_agree(self, shared_data):
        folders = [
            shared_data / "dicom2nifti/generic" / f"compressed_{c}" / "001"
            for c in ("j2k", "jpeg", "jpegls", "rle")
        ]
        first, *others = [read_volume(f).data for f in folders]
        for other in others:
            np.testing.assert_array_equal(other, first)

    def test_gantry_tilt_keeps_the_sheared_affine(self, shared_data):
        volume = read_volume(shared_data / "dicom2nifti/failing/gantrytilting/001")
        assert any("14.0°" in w for w in volume.metadata["warnings"])
        np.testing.assert_allclose(volume.source.affine[:3, 2], (0, 0, 5), atol=1e-6)

    def test_gap_of_a_real_series(self, shared_data):
        found = list((shared_data / "picai_prep/dcm/ProstateX-missing-slice").rglob("8.0*"))
        with pytest.raises(InputError, match="6 mm"):
            read_volume(found[0])

    def test_nineteen_series_are_listed(self, shared_data):
        found = list_series(shared_data / "panimg/dicom_4d")
        assert len(found) == 19
        assert all(s.shape == (4, 2, 3) for s in found)
        assert read_volume(shared_data / "panimg/dicom_4d", series=found[3].uid).data.shape == (4, 2, 3)

    def test_no_identity_in_what_is_kept(self, shared_data):
        for name in ("pydicom/CT_small.dcm", "slicer/CTHeadAxialDicom", "dcmqi/segmentations/ct-3slice"):
            path = shared_data / name
            volume = read_volume(path)
            file = path if path.is_file() else next(p for p in sorted(path.iterdir()) if is_dicom(p))
            header = pydicom.dcmread(file, stop_before_pixels=True)
            kept = repr((volume.name, volume.metadata, volume.label_names))
            for tag in (
                "PatientName",
                "PatientID",
                "PatientBirthDate",
                "StudyInstanceUID",
                "InstitutionName",
            ):
                value = str(header.get(tag, ""))
                assert not value or value not in kept
