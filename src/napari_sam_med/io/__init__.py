"""Volumes in, masks out: readers and writers of medical image files. Libraries are imported when a file needs them."""

from napari_sam_med.io.reader import read_labels, read_volume
from napari_sam_med.io.save import save_labels
from napari_sam_med.io.series import SeriesInfo, list_series
from napari_sam_med.io.sniff import READ_SUFFIXES, WRITE_SUFFIXES, can_read

__all__ = [
    "READ_SUFFIXES",
    "WRITE_SUFFIXES",
    "SeriesInfo",
    "can_read",
    "list_series",
    "read_labels",
    "read_volume",
    "save_labels",
]
