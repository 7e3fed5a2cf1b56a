"""Pictures of tables: pure functions that draw onto given axes, in given colours."""

from napari_sam_med.plots.colors import PLAIN, SERIES, Colors
from napari_sam_med.plots.distributions import box_by, histogram
from napari_sam_med.plots.grouped import grouped_boxes
from napari_sam_med.plots.intervals import calibration, curves, forest
from napari_sam_med.plots.overlays import failure
from napari_sam_med.plots.scatter import scatter

__all__ = [
    "PLAIN",
    "SERIES",
    "Colors",
    "box_by",
    "calibration",
    "curves",
    "failure",
    "forest",
    "grouped_boxes",
    "histogram",
    "scatter",
]
