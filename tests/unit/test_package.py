"""What the installed package carries and says about itself."""

import tomllib
from importlib.metadata import entry_points, metadata
from importlib.resources import files
from pathlib import Path

import napari_sam_med

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_version_and_command():
    assert napari_sam_med.__version__ == PROJECT["version"]
    (command,) = entry_points(group="console_scripts", name="napari-sam-med")
    assert callable(command.load())


def test_files_that_are_not_python_are_there():
    package = files("napari_sam_med")
    assert package.joinpath("py.typed").is_file()
    assert package.joinpath("napari.yaml").is_file()


def test_built_in_weights_are_small():
    weights = Path(str(files("napari_sam_med.models").joinpath("data", "builtin.safetensors")))
    assert 0 < weights.stat().st_size <= 16 * 2**20


def test_napari_finds_it_and_no_qt_binding_is_forced_on_anyone():
    assert "Framework :: napari" in metadata("napari-sam-med").get_all("Classifier")
    bindings = ("pyqt", "pyside")
    assert not [d for d in PROJECT["dependencies"] if any(b in d.lower() for b in bindings)]
    assert any("pyqt" in d.lower() for d in PROJECT["optional-dependencies"]["all"])
