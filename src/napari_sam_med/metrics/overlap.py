"""Overlap and volume of two masks, from the number of voxels in each and in both."""

from __future__ import annotations


def dice(n_prediction: int, n_truth: int, n_both: int) -> float:
    """2·|A∩B| / (|A|+|B|) (Dice 1945); NaN when both are empty, 0 when one is."""
    total = n_prediction + n_truth
    return 2.0 * n_both / total if total else float("nan")


def jaccard(n_prediction: int, n_truth: int, n_both: int) -> float:
    """|A∩B| / |A∪B| (Jaccard 1912); NaN when both are empty, 0 when one is."""
    union = n_prediction + n_truth - n_both
    return n_both / union if union else float("nan")


def volume_error_pct(n_prediction: int, n_truth: int, n_both: int) -> float:
    """100·(|A|-|B|) / |B|, A the prediction: above 0 it is too large; inf where only the truth is empty."""
    if n_truth:
        return 100.0 * (n_prediction - n_truth) / n_truth
    return float("inf") if n_prediction else float("nan")
