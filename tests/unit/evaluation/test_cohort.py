import json

import pytest

from napari_sam_med.core.errors import InputError
from napari_sam_med.evaluation.cohort import read_cohort


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


@pytest.fixture
def folder(tmp_path):
    touch(tmp_path / "imagesTr", "a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz", "._a_0000.nii.gz")
    touch(tmp_path / "labelsTr", "a.nii.gz", "b.nii.gz")
    write(tmp_path, {"0": "CT", "1": "T2"}, {"background": 0, "liver": 1, "tumour": 2, "both": [1, 2]})
    return tmp_path


def write(folder, channels, labels, **more):
    (folder / "dataset.json").write_text(
        json.dumps({"channel_names": channels, "labels": labels, "file_ending": ".nii.gz", **more})
    )


def test_nnunet_folder(folder):
    a, b = read_cohort(folder)
    assert (a.id, b.id) == ("a", "b")
    assert a.image == folder / "imagesTr" / "a_0000.nii.gz"
    assert a.labels == folder / "labelsTr" / "a.nii.gz"
    assert a.modality == "CT"
    assert a.label_names == ((1, "liver"), (2, "tumour"))


def test_another_channel_and_a_case_without_it(folder):
    a, b = read_cohort(folder, channel=1)
    assert a.image.name == "a_0001.nii.gz"
    assert a.modality == "MR"
    assert b.image.name == "b_0001.nii.gz"
    assert not b.image.exists()


def test_decathlon_folder_without_channels_in_its_names(tmp_path):
    touch(tmp_path / "imagesTr", "liver_1.nii.gz", "liver_2.nii.gz")
    touch(tmp_path / "labelsTr", "liver_1.nii.gz", "liver_2.nii.gz")
    info = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "liver"}}
    (tmp_path / "dataset.json").write_text(json.dumps(info))
    cases = read_cohort(tmp_path)
    assert [case.image.name for case in cases] == ["liver_1.nii.gz", "liver_2.nii.gz"]
    assert {case.modality for case in cases} == {"MR"}
    assert cases[0].label_names == ((1, "liver"),)


def test_half_a_case_is_still_a_case(folder):
    (folder / "labelsTr" / "a.nii.gz").unlink()
    touch(folder / "labelsTr", "c.nii.gz")
    cases = {case.id: case for case in read_cohort(folder)}
    assert set(cases) == {"a", "b", "c"}
    assert not cases["a"].labels.exists()
    assert not cases["c"].image.exists()


@pytest.mark.parametrize("missing", ["imagesTr", "labelsTr", "dataset.json"])
def test_a_folder_of_another_kind_is_refused(folder, missing):
    (folder / missing).rename(folder / "elsewhere")
    with pytest.raises(InputError, match=missing):
        read_cohort(folder)


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_broken_dataset_json_is_refused(folder, text):
    (folder / "dataset.json").write_text(text)
    with pytest.raises(InputError, match=r"dataset\.json"):
        read_cohort(folder)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_manifest(tmp_path, delimiter):
    absolute = tmp_path / "far" / "b.nrrd"
    lines = [
        ["Case", "image", "labels", "modality"],
        ["one", "scans/a.nii.gz", "truth/a.nii.gz", "mri"],
        ["", "", "", ""],
        ["two", str(absolute), "truth/b.nrrd", ""],
    ]
    path = tmp_path / "list.csv"
    path.write_text("\n".join(delimiter.join(line) for line in lines), encoding="utf-8-sig")
    one, two = read_cohort(path)
    assert (one.id, one.image, one.modality) == ("one", tmp_path / "scans" / "a.nii.gz", "MR")
    assert (two.image, two.labels, two.modality) == (absolute, tmp_path / "truth" / "b.nrrd", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "case, image, labels"),
        ("case,image\na,b\n", "labels"),
        ("case,image,labels\n", "no case"),
        ("case,image,labels\na,x,y\na,z,y\n", "twice"),
        ("case,image,labels\na,x,y\nb,,y\n", "Line 3"),
    ],
)
def test_a_manifest_that_cannot_be_understood(tmp_path, text, words):
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_cohort(path)


def test_neither_folder_nor_manifest(tmp_path):
    (tmp_path / "scan.nii").touch()
    for path in (tmp_path / "scan.nii", tmp_path / "nothing"):
        with pytest.raises(InputError, match=path.name):
            read_cohort(path)
