"""Folders for results are made, or refused in a sentence."""

import pytest

from napari_sam_med.core.errors import OutputError
from napari_sam_med.core.folders import make_folder


def test_folders_are_made_with_those_above_them(tmp_path):
    folder = tmp_path / "study" / "results"
    assert make_folder(folder) == folder
    assert make_folder(folder).is_dir()  # there already


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "study").write_text("a file")
    with pytest.raises(OutputError, match="study"):
        make_folder(tmp_path / "study" / "results")
