"""What a model must beat: two answers to a box that take no learning.

They are chosen like models (``--model ellipse``) and answer the same prompts; prompts without a box are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.registry import Registry
from napari_sam_med.core.result import Candidates


@dataclass(frozen=True)
class Baseline:
    """A stand-in for a model.

    Attributes
    ----------
    name : str
        Name in tables and on the command line.
    title : str
        A few words.
    fingerprint : str
        Changes with the method, like that of a model.
    predict : callable
        ``predict(pixels, prompt) -> Candidates``; pixels uint8, shape (rows, cols).
    """

    name: str
    title: str
    fingerprint: str
    predict: Callable[[NDArray[np.uint8], Prompt], Candidates]


BASELINES: Registry[Baseline] = Registry("baseline")


def ellipse_in_box(pixels: NDArray[np.uint8], prompt: Prompt) -> Candidates:
    """The ellipse inscribed in the box, whatever the image shows."""
    return _candidates([_ellipse(pixels.shape, prompt)], [1.0])


def otsu_in_box(pixels: NDArray[np.uint8], prompt: Prompt) -> Candidates:
    """The bright and the dark side of Otsu's threshold (1979) inside the box, as two candidates.

    The ``oracle`` rule then takes the side that fits the truth better, an upper bound for one threshold. The score
    of a side is its IoU with the inscribed ellipse, so the ``score`` rule takes the side that fills the middle.
    """
    ellipse = _ellipse(pixels.shape, prompt)
    rows, cols = _box_slices(pixels.shape, prompt)
    inside = pixels[rows, cols]
    bright = np.zeros(pixels.shape, bool)
    dark = np.zeros(pixels.shape, bool)
    bright[rows, cols] = inside > threshold_otsu(inside)
    dark[rows, cols] = ~bright[rows, cols]
    sides = [bright, dark]
    return _candidates(sides, [_iou(side, ellipse) for side in sides])


def _box_slices(shape: tuple[int, ...], prompt: Prompt) -> tuple[slice, slice]:
    if prompt.box is None:
        raise InputError("A baseline answers to a box; the prompt has none.")
    r0, c0, r1, c1 = prompt.box
    rows = slice(max(0, round(r0)), min(shape[0], round(r1) + 1))
    cols = slice(max(0, round(c0)), min(shape[1], round(c1) + 1))
    return rows, cols


def _ellipse(shape: tuple[int, ...], prompt: Prompt) -> NDArray[np.bool_]:
    rows, cols = _box_slices(shape, prompt)
    r, c = np.ogrid[: shape[0], : shape[1]]
    middle_r, middle_c = (rows.start + rows.stop - 1) / 2, (cols.start + cols.stop - 1) / 2
    half_r, half_c = (rows.stop - rows.start) / 2, (cols.stop - cols.start) / 2
    return ((r - middle_r) / half_r) ** 2 + ((c - middle_c) / half_c) ** 2 <= 1.0


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 0.0


def _candidates(masks: list[NDArray[np.bool_]], scores: list[float]) -> Candidates:
    low_res = np.zeros((len(masks), 1, 1), np.float32)
    return Candidates(np.stack(masks), np.array(scores, np.float32), low_res)


BASELINES.add("ellipse", Baseline("ellipse", "Ellipse inscribed in the box", "ellipse-1", ellipse_in_box))
BASELINES.add(
    "otsu",
    Baseline("otsu", "Otsu's threshold inside the box (oracle: better side)", "otsu-1", otsu_in_box),
)
