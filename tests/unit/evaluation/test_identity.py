import pytest

from napari_sam_med.core.errors import InputError
from napari_sam_med.evaluation import identity
from napari_sam_med.evaluation.config import Case, EvaluationConfig
from napari_sam_med.evaluation.identity import case_stamp, settings_key
from napari_sam_med.evaluation.store import RunStore


def key(model):
    return settings_key(EvaluationConfig(models=(model,)))


def test_the_weights_are_part_of_the_settings(tmp_path, monkeypatch):
    weights = tmp_path / "weights.safetensors"
    monkeypatch.setattr(identity, "expected_path", lambda spec: weights)
    weights.write_bytes(b"first")
    before = key("builtin")
    assert key("builtin") == before
    weights.write_bytes(b"second")
    assert key("builtin") != before
    weights.unlink()
    assert key("builtin") != before


def test_a_checkpoint_of_the_working_folder_is_watched_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.pth").write_bytes(b"first")
    before = key("mine.pth")
    assert key(str(tmp_path / "mine.pth")) == before
    (tmp_path / "mine.pth").write_bytes(b"other weights")
    assert key("mine.pth") != before


def test_a_case_changes_with_its_files_and_what_is_made_of_them(tmp_path):
    image, labels = tmp_path / "dicom", tmp_path / "labels.nii"
    image.mkdir()
    (image / "1.dcm").write_bytes(b"one")
    labels.write_bytes(b"labels")
    stamps = [case_stamp(Case("a", image, labels))]
    stamps.append(case_stamp(Case("a", image, labels, modality="MR")))
    stamps.append(case_stamp(Case("a", image, labels, series="3")))
    stamps.append(case_stamp(Case("a", image, labels, time=2)))
    (image / "2.dcm").write_bytes(b"two")
    stamps.append(case_stamp(Case("a", image, labels)))
    labels.unlink()
    stamps.append(case_stamp(Case("a", image, labels)))
    assert len(set(stamps)) == len(stamps)


def test_a_worker_with_other_weights_is_noticed(tmp_path):
    config = EvaluationConfig(models=("ellipse",))
    with RunStore(tmp_path, config) as store:
        store.used({"builtin": "a"})
        store.used({"builtin": "a", "other": "b"})
        with pytest.raises(InputError, match="builtin"):
            store.used({"builtin": "c"})
