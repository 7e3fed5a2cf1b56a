"""Agreement between two masks."""

from napari_sam_med.metrics.base import (
    DEFAULT_TOLERANCE_MM,
    METRICS,
    MaskPair,
    Metric,
    check_tolerance,
    compute_metrics,
)
from napari_sam_med.metrics.regions import ErrorRegion, boundary_error, error_regions

__all__ = [
    "DEFAULT_TOLERANCE_MM",
    "METRICS",
    "ErrorRegion",
    "MaskPair",
    "Metric",
    "boundary_error",
    "check_tolerance",
    "compute_metrics",
    "error_regions",
]
