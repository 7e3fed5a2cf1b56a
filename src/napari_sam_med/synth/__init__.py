"""Procedural CT/MR phantoms with exact ground truth."""

from napari_sam_med.synth.abdomen import abdomen_ct
from napari_sam_med.synth.slices import random_slice

__all__ = ["abdomen_ct", "random_slice"]
