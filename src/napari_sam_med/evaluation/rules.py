"""Which candidate counts: the rules are applied after the model has answered, to the same candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from napari_sam_med.core.registry import Registry
from napari_sam_med.core.result import Candidates

Rule = Callable[[Candidates, Sequence[float]], int]
"""``rule(candidates, dices) -> index``; `dices` are the candidates' Dice against the truth."""

RULES: Registry[Rule] = Registry("rule")


@RULES.register("oracle")
def oracle(candidates: Candidates, dices: Sequence[float]) -> int:
    """The candidate with the best Dice against the truth, as in Huang et al. 2024: an upper bound."""
    return max(range(len(dices)), key=lambda k: dices[k])


@RULES.register("score")
def score(candidates: Candidates, dices: Sequence[float]) -> int:
    """The candidate with the highest predicted IoU: what a user gets."""
    return candidates.best


@RULES.register("largest")
def largest(candidates: Candidates, dices: Sequence[float]) -> int:
    """The candidate with the most pixels."""
    return int(np.count_nonzero(candidates.masks, axis=(1, 2)).argmax())


@RULES.register("first")
def first(candidates: Candidates, dices: Sequence[float]) -> int:
    """The model's first candidate: SAM's smallest-scale output, the best-rated one of the built-in model."""
    return 0
