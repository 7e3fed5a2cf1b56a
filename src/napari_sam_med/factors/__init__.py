"""Properties of an object in a slice that may explain why it is hard to segment."""

from napari_sam_med.factors import catalog  # noqa: F401 - fills the registry
from napari_sam_med.factors.base import FACTORS, Factor, FactorInput, compute_factors
from napari_sam_med.factors.vessel import VESSEL_ADVICE, is_vessel_like

__all__ = ["FACTORS", "VESSEL_ADVICE", "Factor", "FactorInput", "compute_factors", "is_vessel_like"]
