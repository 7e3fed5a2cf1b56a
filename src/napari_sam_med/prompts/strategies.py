"""The registered strategies: S2 to S6 of Huang et al. 2024 (arXiv 2304.14660), and the deepest point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.registry import Registry
from napari_sam_med.prompts.points import deepest_point, negative_points, positive_points, require_box

MakePrompt = Callable[[NDArray[np.bool_], np.random.Generator], Prompt]


@dataclass(frozen=True)
class Strategy:
    """How a prompt is made from the truth of one object in one slice.

    Attributes
    ----------
    name : str
        Short name in tables and on the command line ("S5").
    title : str
        A few words for menus.
    meaning : str
        One sentence for a tooltip.
    has_box : bool
        Whether its prompts have a box.
    make : callable
        ``make(mask, rng) -> Prompt``: mask is bool, shape (rows, cols), not empty; `rng` is the only source
        of chance, so the same seed gives the same prompt. An empty mask raises ``InputError``.
    """

    name: str
    title: str
    meaning: str
    has_box: bool
    make: MakePrompt


STRATEGIES: Registry[Strategy] = Registry("prompt strategy")


def _add(name: str, title: str, meaning: str, make: MakePrompt, has_box: bool = False) -> None:
    STRATEGIES.add(name, Strategy(name, title, meaning, has_box, make))


def _points(positive: int, negative: int = 0) -> MakePrompt:
    def make(mask: NDArray[np.bool_], rng: np.random.Generator) -> Prompt:
        mask = np.asarray(mask, bool)
        prompt = Prompt.from_points(positive_points(mask, positive))
        if not negative:
            return prompt
        outside = negative_points(mask, negative)
        return prompt.with_points(outside, np.zeros(len(outside)))

    return make


def _box(positive: int = 0) -> MakePrompt:
    def make(mask: NDArray[np.bool_], rng: np.random.Generator) -> Prompt:
        mask = np.asarray(mask, bool)
        prompt = Prompt.from_box(require_box(mask))
        if not positive:
            return prompt
        inside = positive_points(mask, positive)
        return prompt.with_points(inside, np.ones(len(inside)))

    return make


def _deepest(mask: NDArray[np.bool_], rng: np.random.Generator) -> Prompt:
    return Prompt.from_points(deepest_point(np.asarray(mask, bool)))


_add(
    "S2",
    "one point",
    "One positive point: the centre of mass, or else the middle pixel of the object.",
    _points(1),
)
_add(
    "S3",
    "five points",
    "Five positive points: the centre of mass and others spread over the object.",
    _points(5),
)
_add(
    "S4",
    "five + five points",
    "Five positive points, and five negative ones around the object.",
    _points(5, 5),
)
_add("S5", "tight box", "The tight box around the object.", _box(), has_box=True)
_add("S6", "box + point", "The tight box and one positive point.", _box(1), has_box=True)
_add("center", "deepest point", "One positive point, as far inside the object as possible.", _deepest)
