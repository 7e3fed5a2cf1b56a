"""Grey-value cues of the built-in model: what sets the object's pixels apart from those around it.

A convolution sees neighbours only; whether a pixel is rather an inner or an outer grey is a question about the whole
region. So the histograms of both are compared here and drawn as maps. (Colour models of object and background from a
box: Rother et al. 2004, GrabCut; threshold between two classes: Otsu 1979.)
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

BINS = 32
RANGE = 3.0
"""Histograms cover this many standard deviations of the region on either side of its mean."""
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

    Returns
    -------
    Tensor
        Log-ratio of the two histograms at each pixel's grey; the same once more with the histograms of the earlier
        answer (without one: of the first ratio, as one iteration of GrabCut); position over Otsu's threshold of the
        inner pixels; log-ratio of the core and everything but the inner pixels; and for the bright and the dark side
        of that threshold, inside the box, the log-ratio of the side and all else, its pixels taken anew twice.
    """
    place = bin_places(local)
    inner_, outer_ = inner.flatten(1), outer.flatten(1)
    first = _log_ratio(place, inner_, outer_)
    seen = prev.flatten(1)
    guess = torch.sigmoid(3 * first) * inner_
    weight = torch.where(has_prev.flatten(1) > 0, seen, guess)
    known = torch.where(has_prev.flatten(1) > 0, torch.ones_like(seen), (inner_ + outer_).clamp(max=1))
    second = _log_ratio(place, weight, known * (1 - weight).clamp_min(0))
    cut = _otsu(place, inner_)
    over = ((place - cut[:, None]) / 4).clamp(-1, 1)
    known_ = (inner_ + outer_ + box.flatten(1)).clamp(max=1)
    third = _log_ratio(place, core.flatten(1), known_ * (1 - inner_))
    maps = torch.stack([first, second, over, third], 1).unflatten(2, local.shape[2:])
    bright = _side(place, maps[:, 2:3], box, known_)
    dark = _side(place, -maps[:, 2:3], box, known_)
    return torch.cat([maps, bright, dark], 1)


def _side(place: Tensor, over: Tensor, box: Tensor, known: Tensor) -> Tensor:
    """Log-ratio (P, 1, R, R) of one side of a threshold in the box and all else; 0 outside the box."""
    ratio = over
    for _ in range(ROUNDS):
        side = ((smoothed(ratio) > 0) & (box > 0)).to(place.dtype).flatten(1) * known
        ratio = _log_ratio(place, side, known * (1 - side)).view_as(over)
    return smoothed(ratio) * box


def smoothed(x: Tensor, sigma: float = SMOOTH) -> Tensor:
    """Gaussian smoothing of maps (P, 1, R, R) by `sigma` cells."""
    reach = math.ceil(3 * sigma)
    places = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-(places**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    along = F.conv2d(x, kernel[None, None, :, None], padding=(reach, 0))
    return F.conv2d(along, kernel[None, None, None], padding=(0, reach))


def guided(p: Tensor, image: Tensor, radius: int, flat: float) -> Tensor:
    """Probabilities (P, 1, R, R) whose steps are moved to steps of the image (P, 1, R, R) nearby.

    The guided filter of He et al. (2013), over windows of `radius` cells on either side; variances of the image below
    `flat` count as none.
    """

    def mean(x: Tensor) -> Tensor:
        around = F.pad(x, (radius,) * 4, mode="replicate")
        return F.avg_pool2d(around, 2 * radius + 1, 1)

    image_mean, p_mean = mean(image), mean(p)
    slope = (mean(image * p) - image_mean * p_mean) / (mean(image * image) - image_mean.square() + flat)
    return mean(slope) * image + mean(p_mean - slope * image_mean)


def bin_places(local: Tensor) -> Tensor:
    """Where pixels standardised inside their region, (P, ...), lie among the bins; (P, N)."""
    return ((local.flatten(1) / RANGE + 1) / 2 * BINS - 0.5).clamp(0, BINS - 1)


def histogram(place: Tensor, weight: Tensor) -> Tensor:
    """Smoothed histograms (P, BINS) that sum to 1, of values at bin positions `place` (P, N)."""
    low = place.floor().long()
    part = place - low
    counts = torch.zeros(len(place), BINS + 1, dtype=place.dtype, device=place.device)
    counts.scatter_add_(1, low, weight * (1 - part))
    counts.scatter_add_(1, low + 1, weight * part)
    kernel = place.new_tensor([1.0, 3.0, 4.0, 3.0, 1.0])[None, None] / 12
    smooth = F.conv1d(counts[:, None, :BINS], kernel, padding=2)[:, 0]
    return smooth / smooth.sum(1, keepdim=True).clamp_min(1e-6)


def _log_ratio(place: Tensor, inner: Tensor, outer: Tensor) -> Tensor:
    """How much likelier each value is inside than outside, (P, N), as tanh of half the log-ratio (-1..1)."""
    floor = 0.2 / BINS
    inside, outside = histogram(place, inner) + floor, histogram(place, outer) + floor
    ratio = (inside - outside) / (inside + outside)  # = tanh(log(inside / outside) / 2)
    low = place.floor().long().clamp(max=BINS - 2)
    part = place - low
    return ratio.gather(1, low) * (1 - part) + ratio.gather(1, low + 1) * part


def _otsu(place: Tensor, weight: Tensor) -> Tensor:
    """Bin position (P,) of Otsu's threshold of the weighted values."""
    share = histogram(place, weight)
    bins = torch.arange(BINS, dtype=place.dtype, device=place.device)
    below = share.cumsum(1)
    mean = (share * bins).cumsum(1)
    between = (mean[:, -1:] * below - mean).square() / (below * (1 - below)).clamp_min(1e-4)
    return between.argmax(1).to(place.dtype) + 0.5
