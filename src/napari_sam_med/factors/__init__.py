"""Properties of an object in a slice that may explain why it is hard to segment."""

from napari_sam_med.factors.base import FACTORS, Factor, FactorInput, compute_factors

__all__ = ["FACTORS", "Factor", "FactorInput", "compute_factors"]
