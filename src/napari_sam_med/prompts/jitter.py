"""Prompts as careless hands give them: moved at random, or boxes drawn too tight and too loose.

Huang et al. 2024 (Medical Image Analysis, arXiv 2304.14660) move boxes and points at random by 0-10, 10-20 and 20-30
pixels, and leave open whether a box moves as a whole or edge by edge, and how many of several points move. Each reading
is a mode here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import Box, Prompt

BOX_MODES = ("edges", "shift")
POINT_MODES = ("first", "all")

Shape = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Moved:
    """A prompt that was changed.

    Attributes
    ----------
    prompt : Prompt
    moved_px : float
        How far its parts moved on average once they were brought back into the slice: edges of a box across
        themselves, a box that moves as a whole and points in a straight line.
    """

    prompt: Prompt
    moved_px: float


def jitter(
    prompt: Prompt,
    mode: str,
    low: float,
    high: float,
    shape: Shape,
    rng: np.random.Generator,
    unit_px: tuple[float, float] = (1.0, 1.0),
) -> Moved:
    """Move a prompt by a random distance between `low` and `high`.

    Parameters
    ----------
    prompt : Prompt
        Inside the slice.
    mode : str
        "edges": each edge of the box moves outwards or inwards by a distance of its own; one that passes the opposite
        edge changes places with it. "shift": the box moves as a whole, in any direction. In both, points beside the box
        move too, each by itself. "first": the first point moves, in any direction; "all": each point by itself.
    low, high : float
        0 <= low <= high, in `unit_px`; the distance is uniform between them.
    shape : tuple of int
        (rows, cols) of the slice. Edges and points stop at its first and last pixels; a box that moves as a whole keeps
        its size and goes no further than the border. So near the border things may move less than `low`.
    rng : Generator
        The only source of chance.
    unit_px : tuple of float
        Pixels along (rows, cols) that count as a distance of 1: pixels themselves, or a hundredth of an object's sides.

    Raises
    ------
    InputError
        If the mode is unknown or the prompt has nothing to move by it.
    """
    if mode not in (*BOX_MODES, *POINT_MODES):
        known = ", ".join((*BOX_MODES, *POINT_MODES))
        raise InputError(f"There is no way {mode!r} to move a prompt; choose one of: {known}.")
    distances: list[float] = []
    draw = _Draw(low, high, np.array(unit_px, float), rng)
    box, points = prompt.box, prompt.points
    if mode in BOX_MODES:
        if box is None:
            raise InputError(f"The prompt has no box to move by {mode!r}; choose first or all.")
        move = _move_edges if mode == "edges" else _shift_box
        box, how_far = move(box, draw, shape)
        distances += how_far
    elif not len(points):
        raise InputError(f"The prompt has no point to move by {mode!r}; choose edges or shift.")
    count = 1 if mode == "first" else len(points)
    points, how_far = _move_points(points, count, draw, shape)
    distances += how_far
    return Moved(replace(prompt, box=box, points=points), float(np.mean(distances)))


def pad_box(prompt: Prompt, percent: float, shape: Shape) -> Moved:
    """Make both sides of the box longer by `percent` of themselves, or shorter, about the same centre.

    Parameters
    ----------
    prompt : Prompt
        With a box; points stay.
    percent : float
        Above -100: 100 doubles the sides, -20 leaves 80 % of them.
    shape : tuple of int
        (rows, cols) of the slice; edges stop at its first and last pixels.

    Raises
    ------
    InputError
        If there is no box, or nothing would be left of it.
    """
    if prompt.box is None:
        raise InputError("The prompt has no box to make larger or smaller.")
    if percent <= -100:
        raise InputError(f"A box can lose less than 100 % of its sides; found {percent:g} %.")
    before = np.array(prompt.box)
    side = before[2:] - before[:2] + 1
    grow = side * percent / 200
    after = _inside(np.concatenate([before[:2] - grow, before[2:] + grow]), shape)
    # less than a pixel is left of a small box: its edges would pass each other
    crossed = after[:2] > after[2:]
    middle = (before[:2] + before[2:]) / 2
    after = np.where(np.tile(crossed, 2), np.tile(middle, 2), after)
    return Moved(replace(prompt, box=_box(after)), float(np.abs(after - before).mean()))


@dataclass(frozen=True, eq=False)
class _Draw:
    """Random distances."""

    low: float
    high: float
    unit_px: NDArray[np.float64]
    rng: np.random.Generator

    def edges(self) -> NDArray[np.float64]:
        """Steps of the four edges, outwards or inwards, in pixels."""
        steps = self.rng.uniform(self.low, self.high, 4) * self.rng.choice([-1.0, 1.0], 4)
        return steps * np.tile(self.unit_px, 2)

    def steps(self, count: int) -> NDArray[np.float64]:
        """Steps (count, 2) in any direction, in pixels."""
        length, angle = self.rng.uniform(self.low, self.high, count), self.rng.uniform(0, 2 * np.pi, count)
        return np.stack([length * np.sin(angle), length * np.cos(angle)], axis=1) * self.unit_px


def _move_edges(box: Box, draw: _Draw, shape: Shape) -> tuple[Box, list[float]]:
    before = np.array(box)
    after = _inside(before + draw.edges(), shape)
    return _box(after), [float(step) for step in np.abs(after - before)]


def _shift_box(box: Box, draw: _Draw, shape: Shape) -> tuple[Box, list[float]]:
    before = np.array(box)
    room = np.array([shape[0] - 1, shape[1] - 1]) - before[2:]
    step = np.clip(draw.steps(1)[0], np.minimum(-before[:2], 0), np.maximum(room, 0))
    return _box(before + np.tile(step, 2)), [float(np.hypot(*step))]


def _move_points(
    points: NDArray[np.float64], count: int, draw: _Draw, shape: Shape
) -> tuple[NDArray[np.float64], list[float]]:
    """The first `count` points moved, and by how much each."""
    count = min(count, len(points))
    after = points.copy()
    after[:count] += draw.steps(count)
    after[:count] = np.clip(after[:count], 0, np.array(shape) - 1)
    return after, [float(step) for step in np.hypot(*(after - points)[:count].T)]


def _inside(edges: NDArray[np.float64], shape: Shape) -> NDArray[np.float64]:
    return np.clip(edges, 0, np.tile(np.array(shape, float) - 1, 2))


def _box(edges: NDArray[np.float64]) -> Box:
    r0, c0, r1, c1 = (float(v) for v in edges)
    return (min(r0, r1), min(c0, c1), max(r0, r1), max(c0, c1))
