"""Promptable models behind one protocol. Importing this package does not import torch; loading a model does."""

from napari_sam_med.models.catalog import CATALOG, ModelSpec, licence_of
from napari_sam_med.models.load import load_model
from napari_sam_med.models.weights import describe_models

__all__ = ["CATALOG", "ModelSpec", "describe_models", "licence_of", "load_model"]
