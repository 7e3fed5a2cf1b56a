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


def test_four_digits_of_a_case_are_no_channel(tmp_path):
    for folder in ("imagesTr", "labelsTr"):
        touch(tmp_path / folder, "amos_0001.nii.gz", "amos_0004.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps({"modality": {"0": "CT"}, "labels": {"1": "spleen"}}))
    cases = read_cohort(tmp_path)
    assert [(c.id, c.image.name, c.labels.name) for c in cases] == [
        (name, f"{name}.nii.gz", f"{name}.nii.gz") for name in ("amos_0001", "amos_0004")
    ]


def test_channels_of_the_decathlon_are_the_fourth_axis(tmp_path):
    for folder in ("imagesTr", "labelsTr"):
        touch(tmp_path / folder, "BRATS_001.nii.gz")
    info = {"modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}, "labels": {"1": "edema"}}
    (tmp_path / "dataset.json").write_text(json.dumps(info))
    for channel in range(4):
        (case,) = read_cohort(tmp_path, channel)
        assert (case.image.name, case.time, case.modality) == ("BRATS_001.nii.gz", channel, "MR")


def test_channels_in_files_of_their_own_are_no_time(folder):
    assert [case.time for case in read_cohort(folder, channel=1)] == [0, 0]


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii"])
def test_other_endings(tmp_path, ending):
    touch(tmp_path / "imagesTr", f"a_0000{ending}", "a_0000.nii.gz")
    touch(tmp_path / "labelsTr", f"a{ending}")
    write(tmp_path, {"0": "MRI"}, {"background": 0, "x": 1}, file_ending=ending)
    (case,) = read_cohort(tmp_path)
    assert (case.image.name, case.labels.name) == (f"a_0000{ending}", f"a{ending}")


def test_files_that_are_no_images_are_no_cases(folder):
    touch(folder / "imagesTr", "Thumbs.db", "a_0000.json", "readme.txt", "SCAN_0000.NII.GZ")
    info = json.loads((folder / "dataset.json").read_text())
    del info["file_ending"]
    (folder / "dataset.json").write_text(json.dumps(info))
    assert [case.id for case in read_cohort(folder)] == ["SCAN", "a", "b"]


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


def test_an_empty_dataset_is_refused(folder):
    for path in (*(folder / "imagesTr").iterdir(), *(folder / "labelsTr").iterdir()):
        path.unlink()
    with pytest.raises(InputError, match="no images"):
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


def test_manifest_with_quotes_and_old_line_ends(tmp_path):
    path = tmp_path / "list.csv"
    lines = ['"case","image","labels"', '"a, left","x, y.nii","z.nii"', 'b,"q""uoted.nii",z.nii']
    for end in ("\r", "\r\n", "\n"):
        path.write_bytes(end.join(lines).encode())
        one, two = read_cohort(path)
        assert (one.id, one.image.name, two.image.name) == ("a, left", "x, y.nii", 'q"uoted.nii')


def test_a_manifest_has_no_channels(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("case,image,labels\na,x,y\n")
    with pytest.raises(InputError, match="channel"):
        read_cohort(path, channel=1)


def test_names_with_a_tilde(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("case,image,labels\na,~scan.nii,~/truth.nii\n")
    (case,) = read_cohort(path)
    assert case.image == tmp_path / "~scan.nii"
    assert case.labels.is_absolute()
    assert "~" not in str(case.labels)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "case, image, labels"),
        ("case,image\na,b\n", "labels"),
        ("case,image,labels\n", "no case"),
        ("case,image,labels\na,x,y\na,z,y\n", "twice"),
        ("case,image,labels\na,x,y\nb,,y\n", "Line 3"),
        ("case,image,labels\na,x, y.nii,z\n", "Line 2"),
        ("case,image,labels\na," + "x" * 200_000 + ",z\n", "Line 2"),
    ],
)
def test_a_manifest_that_cannot_be_understood(tmp_path, text, words):
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_cohort(path)


def test_a_manifest_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "list.csv"
    path.write_bytes("case,image,labels\nMüller,x,y\n".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        read_cohort(path)


def test_neither_folder_nor_manifest(tmp_path):
    (tmp_path / "scan.nii").touch()
    for path in (tmp_path / "scan.nii", tmp_path / "nothing"):
        with pytest.raises(InputError, match=path.name):
            read_cohort(path)
