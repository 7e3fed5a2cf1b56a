"""Vessels and other thin, branching or scattered targets, which promptable models are known to fail on."""

from __future__ import annotations

from collections.abc import Mapping

THIN_SKELETON = 0.12
"""Skeleton over area from which an object is thin: about 8 pixels wide or less."""
SPARSE_BOX = 0.35
"""Area over box up to which an object leaves most of its box empty."""
MANY_PARTS = 4
WINDING_ORDER = 12.0
"""Full boundary complexity from which an outline is winding."""

VESSEL_ADVICE = (
    "This object looks like a vessel: thin, branching or in many parts. A single box or point on such a target usually "
    "fails; use a box for each part or several points on its branches, correct by hand, or tune the model on a few "
    "slices of it."
)


def is_vessel_like(factors: Mapping[str, float]) -> bool:
    """Whether at least three of these are true of an object: thin, fills little of its box, winding, in many parts.

    Zero-shot SAM fails on such targets (retinal vessels in Shi et al. 2023, arXiv 2304.12637). The limits are ours.

    Parameters
    ----------
    factors : mapping of str to float
        With "skeleton_ratio", "area_box_ratio", "boundary_complexity_full" and "components"; one that is missing or
        NaN counts as not true.
    """
    nan = float("nan")
    signs = (
        factors.get("skeleton_ratio", nan) >= THIN_SKELETON,
        factors.get("area_box_ratio", nan) <= SPARSE_BOX,
        factors.get("boundary_complexity_full", nan) >= WINDING_ORDER,
        factors.get("components", nan) >= MANY_PARTS,
    )
    return sum(signs) >= 3
