"""Grey-value cues of the built-in model: what sets the object's pixels apart from those around it.

A convolution sees neighbours only; whether a pixel is rather an inner or an outer grey is a question about the whole
region. So the histograms of both are compared here and drawn as maps. (Colour models of object and background from a
box: Rother et al. 2004, GrabCut; threshold between two classes: Otsu 1979.)
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BINS = 32
RANGE = 3.0
"""Histograms cover this many standard deviations of the region on either side of its mean."""
BIN_SMOOTH = (1 / 12, 3 / 12, 4 / 12, 3 / 12, 1 / 12)
TONE_CHANNELS = 6
SMOOTH = 1.0
"""Standard deviation, in cells, of the smoothing before a side of the box is cut out again."""
ROUNDS = 2
"""How often object and background learn from each other's pixels, beginning at Otsu's threshold."""


@torch.no_grad()
def tone_maps(
    local: Tensor,
    inner: Tensor,
    outer: Tensor,
    core: Tensor,
    box: Tensor,
    prev: Tensor,
    has_prev: Tensor,
    brief: bool = False,
) -> Tensor:
    """Six maps (P, 6, R, R) in -1..1 that tell the object's greys from the others.

    Parameters
    ----------
    local : Tensor, shape (P, 1, R, R)
        Pixels, standardised inside the region.
    inner, outer : Tensor, shape (P, 1, R, R)
        How much each pixel counts as object and as surroundings, by the prompt alone.
    core : Tensor, shape (P, 1, R, R)
        The innermost part of `inner`.
    box : Tensor, shape (P, 1, R, R)
        1 inside the box; 0 everywhere where there is none.
    prev : Tensor, shape (P, 1, R, R)
        Probability of an earlier answer.
    has_prev : Tensor, shape (P, 1, 1, 1)
        1 where there is an earlier answer.
    brief : bool
        Draw the first map alone; the others are 0.

    Returns
    -------
    Tensor
        Log-ratio of the two histograms at each pixel's grey; the same once more with the histograms of the earlier
        answer (without one: of the first ratio, as one iteration of GrabCut); position over Otsu's threshold of the
        inner pixels; log-ratio of the core and everything but the inner pixels; and for the bright and the dark side
        of that threshold, inside the box, the log-ratio of the side and all else, its pixels taken anew twice.
    """
    with torch.autocast(local.device.type, enabled=False):  # counts need more digits than bfloat16 has
        shares = bin_shares(local)
        inner_, outer_ = inner.flatten(1), outer.flatten(1)
        first, within = _log_ratios(shares, inner_[:, None], outer_[:, None])
        if brief:
            return F.pad(first.view_as(local), (0, 0, 0, 0, 0, TONE_CHANNELS - 1))
        seen, has = prev.flatten(1), has_prev.flatten(1) > 0
        weight = torch.where(has, seen, torch.sigmoid(3 * first[:, 0]) * inner_)
        known = torch.where(has, torch.ones_like(seen), (inner_ + outer_).clamp(max=1))
        known_ = (inner_ + outer_ + box.flatten(1)).clamp(max=1)
        objects = torch.stack([weight, core.flatten(1)], 1)
        others = torch.stack([known * (1 - weight).clamp_min(0), known_ * (1 - inner_)], 1)
        second, third = _log_ratios(shares, objects, others)[0].unbind(1)
        over = ((bin_places(local) - _otsu(within[:, 0])[:, None]) / 4).clamp(-1, 1)
        maps = torch.stack([first[:, 0], second, over, third], 1).unflatten(2, local.shape[2:])
        if not bool((box > 0).any()):
            return F.pad(maps, (0, 0, 0, 0, 0, 2))
        return torch.cat([maps, _sides(shares, maps[:, 2:3], box, known_)], 1)


def _sides(shares: Tensor, over: Tensor, box: Tensor, known: Tensor) -> Tensor:
    """Log-ratios (P, 2, R, R) of either side of a threshold in the box and all else; 0 outside the box."""
    ratio = torch.cat([over, -over], 1)
    for _ in range(ROUNDS):
        side = ((smoothed(ratio) > 0) & (box > 0)).to(over.dtype).flatten(2) * known[:, None]
        ratio = _log_ratios(shares, side, known[:, None] * (1 - side))[0].view_as(ratio)
    return smoothed(ratio) * box


def smoothed(x: Tensor, sigma: float = SMOOTH) -> Tensor:
    """Gaussian smoothing of maps (..., R, R) by `sigma` cells."""
    reach = math.ceil(3 * sigma)
    kernel = tuple(math.exp(-(k**2) / (2 * sigma**2)) for k in range(-reach, reach + 1))
    return windowed(x, tuple(v / sum(kernel) for v in kernel))


def guided(p: Tensor, image: Tensor, radius: int, flat: float) -> Tensor:
    """Probabilities (P, 1, R, R) whose steps are moved to steps of the image (P, 1, R, R) nearby.

    The guided filter of He et al. (2013), over windows of `radius` cells on either side; variances of the image below
    `flat` count as none.
    """
    side = 2 * radius + 1

    def means(*maps: Tensor) -> tuple[Tensor, ...]:
        return windowed(torch.stack(maps), (1 / side,) * side, replicate=True).unbind()

    image_mean, p_mean, both, square = means(image, p, image * p, image * image)
    slope = (both - image_mean * p_mean) / (square - image_mean.square() + flat)
    slope, offset = means(slope, p_mean - slope * image_mean)
    return slope * image + offset


def windowed(x: Tensor, weights: tuple[float, ...], replicate: bool = False) -> Tensor:
    """Maps (..., R, R) summed with `weights` (an odd number) along their rows and columns.

    Beyond the grid there is nothing, or the outermost cell again. On grids this small two products with a matrix take
    a fraction of the time of a convolution or a pooling.
    """
    rows, cols = (_band(n, weights, replicate, x.device).to(x.dtype) for n in x.shape[-2:])
    return rows @ x @ cols.T


@lru_cache(maxsize=64)
def _band(n: int, weights: tuple[float, ...], replicate: bool, device: torch.device) -> Tensor:
    """Matrix (n, n) that sums a column of n cells with `weights` around each."""
    reach = len(weights) // 2
    band = np.zeros((n, n), np.float32)
    for step, weight in enumerate(weights, -reach):
        at = np.arange(n) + step
        there = np.full(n, True) if replicate else (at >= 0) & (at < n)
        np.add.at(band, (np.arange(n)[there], at.clip(0, n - 1)[there]), weight)
    with torch.inference_mode(False):  # it is kept, and training may need it too
        return torch.from_numpy(band).to(device)


def bin_places(local: Tensor) -> Tensor:
    """Where pixels standardised inside their region, (P, ...), lie among the bins; (P, N)."""
    return ((local.flatten(1) / RANGE + 1) / 2 * BINS - 0.5).clamp(0, BINS - 1)


def bin_shares(local: Tensor) -> Tensor:
    """How much pixels standardised inside their region, (P, ...), belong to each bin; (P, N, BINS).

    A pixel between the middles of two bins counts for both, so a product with this matrix is a histogram, and one with
    its transpose looks up a value for every pixel.
    """
    place = bin_places(local)
    low = place.long().clamp_(max=BINS - 2)
    part = place - low
    shares = place.new_zeros((*place.shape, BINS))
    return shares.scatter_(2, torch.stack([low, low + 1], 2), torch.stack([1 - part, part], 2))


def histograms(shares: Tensor, weights: Tensor) -> Tensor:
    """Smoothed histograms (P, W, BINS) that sum to 1, from :func:`bin_shares` (P, N, BINS) and weights (P, W, N)."""
    smooth = weights @ shares @ _band(BINS, BIN_SMOOTH, False, shares.device).to(shares.dtype)
    return smooth / smooth.sum(2, keepdim=True).clamp_min(1e-6)


def _log_ratios(shares: Tensor, inner: Tensor, outer: Tensor) -> tuple[Tensor, Tensor]:
    """How much likelier each value is inside than outside, (P, W, N), as tanh of half the log-ratio (-1..1).

    For W pairs of weights (P, W, N) each; with the histograms (P, W, BINS) of the inner ones.
    """
    floor = 0.2 / BINS
    within, without = histograms(shares, torch.cat([inner, outer], 1)).chunk(2, 1)
    inside, outside = within + floor, without + floor
    ratio = (inside - outside) / (inside + outside)  # = tanh(log(inside / outside) / 2)
    return ratio @ shares.transpose(1, 2), within


def _otsu(share: Tensor) -> Tensor:
    """Bin position (P,) of Otsu's threshold of histograms (P, BINS)."""
    bins = torch.arange(BINS, dtype=share.dtype, device=share.device)
    below = share.cumsum(1)
    mean = (share * bins).cumsum(1)
    between = (mean[:, -1:] * below - mean).square() / (below * (1 - below)).clamp_min(1e-4)
    return between.argmax(1).to(share.dtype) + 0.5
