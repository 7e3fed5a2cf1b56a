"""Correction clicks: where a user would click next, given what the model has answered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.prompts.components import largest_component
from napari_sam_med.prompts.points import Points, deepest_point


def next_click(
    prediction: NDArray[np.bool_], truth: NDArray[np.bool_], clicked: Points | None = None
) -> tuple[Points, int] | None:
    """The click that corrects the largest error: in its deepest interior point.

    Missed and extra pixels are separate errors, each split into 8-connected components. With an empty prediction this
    is the first click, in the largest component of the object. After Mazurowski et al. 2023 (Medical Image Analysis,
    arXiv 2304.10517), who follow Sofiiuk et al. 2021 (RITM).

    Parameters
    ----------
    prediction, truth : ndarray, shape (rows, cols), bool
    clicked : ndarray, shape (n, 2), optional
        Clicks so far, on pixels; they are not given again, and where they did not help the next one keeps off them.

    Returns
    -------
    point : ndarray, shape (1, 2)
        (row, col) of a wrong pixel.
    label : int
        1 where the object was missed, 0 where the prediction is extra.
        Of two equally large errors the missed one is corrected first.

    None is returned when there is no error left.
    """
    wrong = prediction != truth
    if clicked is not None:
        rows, cols = clicked.astype(np.int64).T
        wrong[rows, cols] = False
    missed = largest_component(wrong & truth)
    extra = largest_component(wrong & prediction)
    if missed is None and extra is None:
        return None
    if extra is None or (missed is not None and np.count_nonzero(missed) >= np.count_nonzero(extra)):
        assert missed is not None
        return deepest_point(missed), 1
    return deepest_point(extra), 0
