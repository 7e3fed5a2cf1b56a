"""Agreement between two masks."""

from napari_sam_med.metrics.base import METRICS, MaskPair, Metric, compute_metrics

__all__ = ["METRICS", "MaskPair", "Metric", "compute_metrics"]
