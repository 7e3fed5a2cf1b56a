"""Rows of the catalog, where weights are looked for, and names that lead to models."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import subprocess
import sys

import pytest

from fixtures.tiny_sam import save_checkpoint
from napari_sam_med.core.errors import Cancelled, InputError, ModelError
from napari_sam_med.models import CATALOG, describe_models, licence_of, load_model, weights

CONTENT = b"weights" * 100_000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SAM_MED_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def spec():
    """A row whose file is small enough for a test."""
    return dataclasses.replace(
        CATALOG.get("sam_vit_b"), sha256=hashlib.sha256(CONTENT).hexdigest(), size_bytes=len(CONTENT)
    )


@pytest.mark.parametrize("name", list(CATALOG))
def test_rows_are_complete(name):
    spec = CATALOG.get(name)
    assert spec.name == name
    assert spec.title
    assert spec.licence
    assert spec.prompts
    if not spec.bundled:
        assert spec.url.startswith("https://")
        assert spec.url.endswith(spec.file_name)
        assert len(spec.sha256) == 64
        assert spec.size_bytes > 10**6


def test_licences_by_name():
    assert licence_of("sam_vit_b") == "Apache-2.0"
    assert licence_of("my.pth") == "not stated"


def test_neither_the_package_nor_its_list_imports_torch():
    code = (
        "import sys, napari_sam_med.models as m, napari_sam_med.inference.worker; m.describe_models();"
        "sys.exit('torch' in sys.modules or 'pooch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_list_says_what_is_here(folder):
    rows = {row["name"]: row for row in describe_models()}
    assert list(rows) == list(CATALOG)
    assert not rows["sam_vit_b"]["installed"]
    assert rows["sam_vit_b"]["path"] == folder / "sam_vit_b_01ec64.pth"
    assert rows["sam_vit_b"]["size_bytes"] == CATALOG.get("sam_vit_b").size_bytes


def test_a_file_put_there_by_hand_is_found_when_it_is_complete(folder, spec):
    folder.mkdir()
    path = folder / spec.file_name
    path.write_bytes(CONTENT[:-1])
    assert weights.find(spec) is None
    path.write_bytes(CONTENT)
    assert weights.find(spec) == path
    assert weights.fetch(spec) == path


class Answer:
    """As much of a response of requests as a download takes."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.headers = {"content-length": str(len(content))}

    def raise_for_status(self) -> None:
        pass

    def iter_content(self, chunk_size: int):
        for start in range(0, len(self.content), chunk_size):
            yield self.content[start : start + chunk_size]

    def close(self) -> None:
        pass


def serve(monkeypatch, answer) -> None:
    import requests

    def get(*args, **kwargs):
        if isinstance(answer, Exception):
            raise answer
        return Answer(answer)

    monkeypatch.setattr(requests, "get", get)


def test_a_download_is_verified_and_reports_its_progress(folder, spec, monkeypatch):
    serve(monkeypatch, CONTENT)
    seen: list[tuple[int, int]] = []
    path = weights.fetch(spec, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_another_file_than_the_published_one_is_not_kept(folder, spec, monkeypatch):
    serve(monkeypatch, CONTENT[:-1] + b"!")
    with pytest.raises(ModelError, match="SHA-256"):
        weights.fetch(spec)
    assert weights.find(spec) is None
    assert list(folder.iterdir()) == []


def test_without_a_network_the_sentence_says_what_to_do_by_hand(folder, spec, monkeypatch):
    import requests

    serve(monkeypatch, requests.ConnectionError("no route"))
    with pytest.raises(ModelError) as caught:
        weights.fetch(spec)
    assert spec.url in str(caught.value)
    assert str(folder / spec.file_name) in str(caught.value)


def test_a_download_can_be_stopped_and_leaves_nothing(folder, spec, monkeypatch):
    serve(monkeypatch, CONTENT)

    def stop(done: int, total: int) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        weights.fetch(spec, stop)
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_gets_a_sentence(tmp_path, spec, monkeypatch):
    serve(monkeypatch, CONTENT)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NAPARI_SAM_MED_WEIGHTS", str(tmp_path / "file" / "weights"))
    with pytest.raises(ModelError, match="written"):
        weights.fetch(spec)


def test_a_known_name_loads_its_verified_file(folder, monkeypatch):
    folder.mkdir()
    spec = CATALOG.get("sam_vit_l")
    path = save_checkpoint(folder / spec.file_name)
    row = dataclasses.replace(spec, sha256=weights.sha256_of(path), size_bytes=path.stat().st_size)
    monkeypatch.setitem(CATALOG._items, "sam_vit_l", row)
    model = load_model("sam_vit_l", "cpu")
    assert model.name == "sam_vit_l"
    assert row.sha256 in model.fingerprint
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ModelError, match="SHA-256"):
        load_model("sam_vit_l", "cpu")


def test_the_built_in_model_needs_no_download(folder):
    model = load_model("builtin", "cpu")
    assert model.name == "builtin"
    assert not folder.exists()


def test_weights_of_the_built_in_architecture_load_from_a_file_of_ones_own(tmp_path):
    own = shutil.copy(weights.expected_path(CATALOG.get("builtin")), tmp_path / "mine.safetensors")
    model = load_model(own, "cpu")
    assert model.name == "mine.safetensors"
    assert model.fingerprint == load_model("builtin", "cpu").fingerprint


@pytest.mark.parametrize("name", ["sam_vit_x", "nowhere/sam.pth"])
def test_a_name_that_is_neither_model_nor_file_lists_the_models(name):
    with pytest.raises(ModelError) as caught:
        load_model(name)
    assert "builtin" in str(caught.value)
    assert name in str(caught.value)


def test_an_unknown_row_is_an_input_error():
    with pytest.raises(InputError):
        CATALOG.get("sam_vit_x")
