"""Click here, get this Dice: what one positive point comes to, for every place on an object."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import Prompt, tight_box
from napari_sam_med.evaluation.answers import SliceAsker, choose, dices_of
from napari_sam_med.evaluation.rules import RULES
from napari_sam_med.inference.everything import EverythingSettings
from napari_sam_med.inference.session import Session
from napari_sam_med.inference.slices import SliceImage

BATCH = 32
USUAL_CLICKS = 250
"""About as many clicks a map takes by default."""


@dataclass(frozen=True, eq=False)
class ClickMap:
    """Dice of one positive click, over an object in one slice.

    Attributes
    ----------
    maps : mapping of str to ndarray, shape (rows, cols), float32
        Dice by rule on the grid of the slice: every pixel of the object has that of its click; NaN outside the object
        and where no answer is known yet.
    points : ndarray, shape (n, 2), float64
        (row, col) of all clicks, on pixels of the object.
    dices : mapping of str to ndarray, shape (n,), float32
        Dice by rule of each click; NaN where it is not known yet.
    done : int
        Clicks answered so far.
    """

    maps: Mapping[str, NDArray[np.float32]]
    points: NDArray[np.float64]
    dices: Mapping[str, NDArray[np.float32]]
    done: int

    @property
    def total(self) -> int:
        """Clicks in all."""
        return len(self.points)

    @property
    def finished(self) -> bool:
        """Whether all clicks are answered."""
        return self.done == self.total


def click_grid(truth: NDArray[np.bool_], step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Clicks over an object, one for every cell of a grid that has pixels of it.

    The grid begins at the first row and column of the object. The click is on the pixel of the object nearest to the
    middle of the cell (the first of several, row by row), so that thin parts are clicked too.

    Parameters
    ----------
    truth : ndarray, shape (rows, cols), bool
        Not empty.
    step : int
        Side of a cell, in pixels.

    Returns
    -------
    points : ndarray, shape (n, 2)
        (row, col).
    cells : ndarray, shape (rows, cols)
        Number of the click each pixel of the object belongs to; -1 outside.

    Raises
    ------
    InputError
        If the mask is empty or the step is less than 1.
    """
    box = tight_box(truth)
    if box is None:
        raise InputError("The object has no pixel in this slice; choose a slice that shows it.")
    if step < 1:
        raise InputError(f"The clicks lie 1 or more pixels apart; found {step}.")
    pixels = np.argwhere(truth)
    place = pixels - np.array(box[:2], np.int64)
    cell = place // step
    away = ((place - (cell * step + (step - 1) / 2)) ** 2).sum(axis=1)
    number = cell[:, 0] * (cell[:, 1].max() + 1) + cell[:, 1]
    _, member = np.unique(number, return_inverse=True)
    # stable: among equally near pixels the first row by row wins
    order = np.lexsort((np.arange(len(pixels)), away, member))
    first = order[np.unique(member[order], return_index=True)[1]]
    cells = np.full(truth.shape, -1, np.int64)
    cells[truth] = member
    return pixels[first], cells


def usual_step(truth: NDArray[np.bool_], n_clicks: int = USUAL_CLICKS) -> int:
    """Pixels between clicks so that a map takes about `n_clicks`, whatever the size of the object."""
    return max(1, math.ceil(math.sqrt(np.count_nonzero(truth) / n_clicks)))


def iter_click_map(
    session: Session,
    pixels: SliceImage,
    truth: NDArray[np.bool_],
    *,
    step: int | None = None,
    rules: Sequence[str] = ("score", "oracle"),
    batch: int = BATCH,
) -> Iterator[ClickMap]:
    """The map as it grows: one message after each batch of clicks, the last one is complete.

    The slice is encoded once, and not at all if its embedding is in the session's cache.

    Parameters
    ----------
    session : Session
    pixels : SliceImage
        The slice as the model sees it.
    truth : ndarray, shape (rows, cols), bool
        The object in this slice; not empty.
    step : int, optional
        Clicks lie so many pixels apart, see :func:`click_grid`; :func:`usual_step` by default.
    rules : sequence of str
        Which candidates count, see ``rules.RULES``.
    batch : int
        Clicks that are decoded together.

    Raises
    ------
    InputError
        If the mask is empty or of another shape than the slice, a rule is unknown or the step is less than 1.
    """
    if truth.shape != pixels.shape:
        raise InputError(f"The object's mask has the shape {truth.shape}; the slice has {pixels.shape}.")
    for rule in rules:
        RULES.get(rule)
    points, cells = click_grid(truth, usual_step(truth) if step is None else step)
    asker = SliceAsker(pixels, session, EverythingSettings())
    dices = {rule: np.full(len(points), np.nan, np.float32) for rule in rules}
    for start in range(0, len(points), batch):
        prompts = [Prompt.from_points(point) for point in points[start : start + batch]]
        for k, candidates in enumerate(asker.ask_many(prompts), start=start):
            for rule, found in choose(candidates, truth, rules, ()).items():
                dices[rule][k] = dices_of(found.mask[None], truth)[0]
        yield _message(points, cells, dices, min(start + batch, len(points)))


def click_map(
    session: Session,
    pixels: SliceImage,
    truth: NDArray[np.bool_],
    *,
    step: int | None = None,
    rules: Sequence[str] = ("score", "oracle"),
) -> ClickMap:
    """The complete map; see :func:`iter_click_map`."""
    *_, last = iter_click_map(session, pixels, truth, step=step, rules=rules)
    return last


def _message(
    points: NDArray[np.int64], cells: NDArray[np.int64], dices: Mapping[str, NDArray[np.float32]], done: int
) -> ClickMap:
    maps = {}
    for rule, values in dices.items():
        # the last place is for pixels outside, whose cell is -1
        maps[rule] = np.append(values, np.float32(np.nan))[cells]
    return ClickMap(maps, points.astype(float), {rule: v.copy() for rule, v in dices.items()}, done)
