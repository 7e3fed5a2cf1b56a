"""Read back what was written, with other code than wrote it, and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError, OutputError
from napari_sam_med.core.geometry import from_canonical

AFFINE_TOLERANCE = 1e-4


def verify_saved(path: Path, voxels: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Compare a file with what it should hold: shape, every voxel, and the affine to 1e-4.

    Parameters
    ----------
    path : Path
        The file just written; nibabel and SimpleITK write, the project's own readers read.
    voxels : ndarray, shape (i, j, k) or (t, i, j, k)
        In the order of the file.
    affine : ndarray, shape (4, 4)
        Voxel to RAS+ mm.

    Raises
    ------
    OutputError
        If the file cannot be read back or differs.
    """
    from napari_sam_med.io.reader import read_labels

    try:
        found = read_labels(path)
    except InputError as error:
        raise OutputError(f"The saved file could not be read back ({error}); it was removed.") from error
    stored = from_canonical(found.data, found.source)
    difference = (
        float(np.abs(found.source.affine - affine).max()) if found.source.affine.shape == (4, 4) else np.inf
    )
    if stored.shape != voxels.shape or difference > AFFINE_TOLERANCE or not np.array_equal(stored, voxels):
        raise OutputError(
            f"What was read back from {path.name} differs from the labels (shape {stored.shape} for {voxels.shape}, "
            f"affine off by {difference:.2g}); the file was removed. Try another format or another disk."
        )
