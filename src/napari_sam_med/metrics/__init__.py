"""Agreement between two masks."""

from napari_sam_med.metrics.base import (
    DEFAULT_TOLERANCE_MM,
    METRICS,
    MaskPair,
    Metric,
    check_tolerance,
    compute_metrics,
)

__all__ = ["DEFAULT_TOLERANCE_MM", "METRICS", "MaskPair", "Metric", "check_tolerance", "compute_metrics"]
