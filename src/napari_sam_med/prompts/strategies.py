"""The registered strategies: S1 to S6 of Huang et al. 2024 (arXiv 2304.14660), and others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.registry import Registry
from napari_sam_med.prompts.points import (
    VARIANTS,
    Variant,
    deepest_point,
    negative_points,
    positive_points,
    require_box,
)
from napari_sam_med.prompts.repo_points import repo_points

Kind = Literal["prompt", "everything", "components", "clicks"]


class MakePrompt(Protocol):
    """``make(mask, rng, variant) -> Prompt``; see :class:`Strategy`."""

    def __call__(
        self, mask: NDArray[np.bool_], rng: np.random.Generator, variant: Variant = "paper"
    ) -> Prompt: ...


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
        ``make(mask, rng, variant="paper") -> Prompt``: mask is bool, shape (rows, cols), not empty; `rng` is the only
        source of chance, so the same seed gives the same prompt; `variant` see ``points.Variant``. An empty mask raises
        ``InputError``.
    kind : str
        How the prompt is used: "prompt", as it is; "components", one made from each connected component, and the
        answers united; "clicks", the first of a series of correction clicks (``clicks.next_click`` makes the others);
        "everything", not at all: the model proposes masks for the whole slice, and the prompt is empty.
    """

    name: str
    title: str
    meaning: str
    has_box: bool
    make: MakePrompt
    kind: Kind = "prompt"


STRATEGIES: Registry[Strategy] = Registry("prompt strategy")


def check_variant(variant: str) -> None:
    """Refuse an unknown variant.

    Raises
    ------
    InputError
        The message names the known ones.
    """
    if variant not in VARIANTS:
        raise InputError(
            f"There is no variant {variant!r} of the strategies; choose one of: {', '.join(VARIANTS)}."
        )


def _add(
    name: str, title: str, meaning: str, make: MakePrompt, has_box: bool = False, kind: Kind = "prompt"
) -> None:
    STRATEGIES.add(name, Strategy(name, title, meaning, has_box, make, kind))


def _nothing(mask: NDArray[np.bool_], rng: np.random.Generator, variant: Variant = "paper") -> Prompt:
    require_box(mask)
    return Prompt()


def _points(positive: int, negative: int = 0, box: bool = False) -> MakePrompt:
    """`positive` and `negative` points, with the tight box or without."""

    def make(mask: NDArray[np.bool_], rng: np.random.Generator, variant: Variant = "paper") -> Prompt:
        check_variant(variant)
        mask = np.asarray(mask, bool)
        tight = require_box(mask)
        if variant == "repo":
            points, labels = repo_points(mask)
            points, labels = points[: positive + negative], labels[: positive + negative]
        else:
            inside = positive_points(mask, positive)
            outside = negative_points(mask, negative)
            points = np.concatenate([inside, outside])
            labels = np.repeat(np.array([1, 0], np.int8), [len(inside), len(outside)])
        return Prompt(points, labels, tight if box else None)

    return make


def _box(mask: NDArray[np.bool_], rng: np.random.Generator, variant: Variant = "paper") -> Prompt:
    return Prompt.from_box(require_box(mask))


def _deepest(mask: NDArray[np.bool_], rng: np.random.Generator, variant: Variant = "paper") -> Prompt:
    return Prompt.from_points(deepest_point(np.asarray(mask, bool)))


_add(
    "S1",
    "everything",
    "No prompt: a grid of points asks for all objects of the slice, and the rule chooses among the masks.",
    _nothing,
    kind="everything",
)
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
_add("S5", "tight box", "The tight box around the object.", _box, has_box=True)
_add("S6", "box + point", "The tight box and one positive point.", _points(1, box=True), has_box=True)
_add("center", "deepest point", "One positive point, as far inside the object as possible.", _deepest)
_add(
    "boxes",
    "box per part",
    "A tight box around each connected part of the object; the answers are united.",
    _box,
    has_box=True,
    kind="components",
)
_add(
    "clicks",
    "correction clicks",
    "One point deep inside, then clicks that correct the largest error, each with the last answer fed back.",
    _deepest,
    kind="clicks",
)
