"""What may be imported when: the command line's help and the model list must not wait for torch or napari."""

import json
import subprocess
import sys
import time

import pytest

HEAVY = (
    "torch",
    "torchvision",
    "napari",
    "qtpy",
    "magicgui",
    "pandas",
    "matplotlib",
    "SimpleITK",
    "nibabel",
    "scipy",
)


def modules_after(code: str) -> set[str]:
    """Names of the modules that a fresh interpreter holds after running `code`."""
    ask = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", ask], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.strip().splitlines()[-1]))


@pytest.mark.parametrize(
    "module", ["napari_sam_med", "napari_sam_med.models", "napari_sam_med.io", "napari_sam_med.cli"]
)
def test_importing_is_light(module):
    assert not modules_after(f"import {module}") & set(HEAVY)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["segment", "--help"], ["evaluate", "--help"], ["--version"]]
)
def test_help_imports_nothing_heavy(arguments):
    code = f"""
from napari_sam_med.cli import main
try:
    main({arguments!r})
except SystemExit as done:
    assert not done.code"""
    assert not modules_after(code) & set(HEAVY)


def test_listing_models_imports_no_torch():
    assert "torch" not in modules_after(
        "from napari_sam_med.models import describe_models\ndescribe_models()"
    )


def test_help_is_quick(measured):
    """The aim is one second; a busy machine is forgiven."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "napari_sam_med", "--help"], check=True, capture_output=True, timeout=60
    )
    measured(f"napari-sam-med --help: {time.perf_counter() - began:.2f} s (aim: under 1 s)")
