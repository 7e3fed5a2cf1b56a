"""Pictures of tables: pure functions that draw onto given axes, in given colours."""

from napari_sam_med.plots.calibration import calibration
from napari_sam_med.plots.colors import PLAIN, SERIES, Colors
from napari_sam_med.plots.curves import dose_curve
from napari_sam_med.plots.distributions import box_by, histogram, strip_by
from napari_sam_med.plots.heat_map import heat_map
from napari_sam_med.plots.intervals import dot_lines, intervals
from napari_sam_med.plots.overlay import overlay
from napari_sam_med.plots.scatter import scatter

__all__ = [
    "PLAIN",
    "SERIES",
    "Colors",
    "box_by",
    "calibration",
    "dose_curve",
    "dot_lines",
    "heat_map",
    "histogram",
    "intervals",
    "overlay",
    "scatter",
    "strip_by",
]
