"""Objects of a label volume: their values, names and bounding boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.volume import Volume

Box3D = tuple[slice, slice, slice]

# find_objects makes a list as long as the highest value
_DENSE_LIMIT = 65_535


def label_array(labels: Volume, unite: bool = False) -> NDArray[np.integer[Any]]:
    """Label values as integers, shape (z, y, x); of a 4D volume the first time point.

    Parameters
    ----------
    labels : Volume
    unite : bool
        Make every value above 0 a 1.

    Raises
    ------
    InputError
        If values are not whole numbers.
    """
    data = labels.frame()
    if data.dtype == bool:
        return data.astype(np.uint8)
    if not np.issubdtype(data.dtype, np.integer):
        whole = np.rint(np.nan_to_num(data)).astype(np.int64)
        if not np.array_equal(whole, np.nan_to_num(data)):
            raise InputError(
                f"Labels are whole numbers; {labels.name} holds fractions such as "
                f"{data[whole != np.nan_to_num(data)].flat[0]:.3g}. Give a label map, not an image or probabilities."
            )
        data = whole
    return (data > 0).astype(np.uint8) if unite else data


def label_boxes(data: NDArray[np.integer[Any]]) -> dict[int, Box3D]:
    """Bounding box of each value above 0, by value."""
    if data.size == 0 or data.max() <= 0:
        return {}
    values: NDArray[Any]
    if data.max() <= _DENSE_LIMIT:
        found = ndimage.find_objects(np.maximum(data, 0).astype(np.int32, copy=False))
        return {value: box for value, box in enumerate(found, start=1) if box is not None}
    values, inverse = np.unique(data, return_inverse=True)
    found = ndimage.find_objects(inverse.reshape(data.shape).astype(np.int32) + 1)
    return {int(value): box for value, box in zip(values, found, strict=True) if value > 0}


def label_name(labels: Volume, value: int) -> str:
    """Name of a label value; "label 3" where the file gives none."""
    return labels.label_names.get(value) or f"label {value}"
