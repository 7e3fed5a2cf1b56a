"""Segment CT and MR volumes with the Segment Anything Model in napari, and see where and why it fails."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("napari-sam-med")
except PackageNotFoundError:  # running from a source tree that is not installed
    __version__ = "0+unknown"
