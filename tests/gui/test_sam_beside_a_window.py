"""SAM's library is loaded while napari draws: torch and the graphics driver must not bring the process down."""

import subprocess
import sys

SCRIPT = """
import napari
import numpy as np

viewer = napari.Viewer()
viewer.add_image(np.random.default_rng(0).random((32, 32)))
viewer.window.screenshot()

import napari_sam_med.models.sam
import torch

from napari_sam_med.models.no_triton import without_triton

with without_triton():
    torch.optim.AdamW(torch.nn.Linear(2, 2).parameters())
print("still here", flush=True)
import os

os._exit(0)
"""


def test_sam_is_loaded_while_a_window_is_open():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "still here" in done.stdout
