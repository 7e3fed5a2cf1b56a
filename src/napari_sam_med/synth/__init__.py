"""Procedural CT/MR phantoms with exact ground truth."""

from napari_sam_med.synth.slices import random_slice

__all__ = ["random_slice"]
