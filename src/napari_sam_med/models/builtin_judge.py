"""How good a mask is, judged without its truth: what it looks like, not what the network thinks of it. Imports torch.

The network's own estimate of its IoU learns the anatomy it was trained on and believes too much elsewhere. Facts that
any good outline shares generalise better: grey that changes at the outline and not within, a surrounding that does not
look like the object, a box that is touched on all sides, answers from several looks that agree. A small network turns
them into the predicted IoU. (Predicted IoU of a mask: Kirillov et al. 2023, SAM; regions by their greys: Chan and Vese
2001.)
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam_med.models.builtin_facts import NAMES
from napari_sam_med.models.builtin_net import (
    BOX_CHANNEL,
    INSIDE_CHANNEL,
    LOCAL_CHANNEL,
    OFFSET_CHANNEL,
    SCALE_CHANNEL,
    TONE_CHANNEL,
)
from napari_sam_med.models.builtin_tone import BINS, bin_places, histogram, smoothed, windowed

FACT_GRID = 36
"""Cells on a side of the region grid on which masks are judged."""
EDGE_SEEN = 0.25
"""Grey step per cell, in standard deviations of the region, that counts as an edge."""
LIMIT = 10.0
BORDER = 2
"""Cells on either side of the box's edges that are compared."""


def image_facts(p: Tensor, maps: Tensor) -> Tensor:
    """What can be told of masks from the slice around them.

    Parameters
    ----------
    p : Tensor, shape (P, FACT_GRID, FACT_GRID)
        Probability of each mask on its region grid; how far a fact reaches is counted in its cells.
    maps : Tensor, shape (P, PROMPT_CHANNELS, FACT_GRID, FACT_GRID)
        Prompt maps on the same grids, drawn with the box of the prompt, else with the mask's own.

    Returns
    -------
    Tensor, shape (P, 41)
        The first of ``NAMES``, up to the scale.
    """
    mask = _Mask.of(p)
    rows = {
        **_shape(p, mask, maps),
        **_greys(mask, maps),
        **_edges(mask, maps),
        **_classes(mask, maps),
        **_beyond(mask, maps),
    }
    rows["scale"] = maps[:, SCALE_CHANNEL, 0, 0]
    return torch.stack([rows[name] for name in NAMES[: len(rows)]], 1)


def place_facts(masks: Tensor, boxes: Tensor, middle: Tensor, cell: float, boxed: bool) -> Tensor:
    """How candidates of one prompt lie to each other and to the click.

    Parameters
    ----------
    masks : Tensor, shape (K, rows, cols), bool
        All candidates on one grid.
    boxes : Tensor, shape (K, 4)
        Box (r0, c0, r1, c1) of each on this grid.
    middle : Tensor, shape (2,)
        Mean of the positive clicks, else the middle of the box, on this grid.
    cell : float
        Side of a cell over the longest side of the slice.
    boxed : bool
        Whether the prompt has a box.

    Returns
    -------
    Tensor, shape (K, 7)
        The last of ``NAMES``: size, agreement with all others, with the nearest; distance of the click from the
        mask's and the box's middle over the size; whether the click is in the mask; `boxed`.
    """
    area = masks.flatten(1).float().sum(1)
    iou = mask_iou(masks)
    others = iou - torch.diag(iou.diagonal())
    n = max(1, len(masks) - 1)
    rows, cols = (torch.arange(side, dtype=torch.float32, device=masks.device) for side in masks.shape[1:])
    weight = masks.float()
    centre = torch.stack([(weight.sum(2) @ rows), (weight.sum(1) @ cols)], 1) / area.clamp_min(1)[:, None]
    side = area.sqrt().clamp_min(1)
    row, col = (int(middle[k].round().clamp(0, masks.shape[1 + k] - 1)) for k in range(2))
    out = [
        side * cell,
        others.sum(1) / n,
        others.amax(1),
        (centre - middle).norm(dim=1) / side,
        ((boxes[:, :2] + boxes[:, 2:]) / 2 - middle).norm(dim=1) / side,
        weight[:, row, col],
        torch.full_like(area, float(boxed)),
    ]
    return torch.stack(out, 1).clamp(-LIMIT, LIMIT)


def mask_iou(masks: Tensor) -> Tensor:
    """IoU (K, K) of masks (K, rows, cols)."""
    flat = masks.flatten(1).float()
    shared, area = flat @ flat.T, flat.sum(1)
    return shared / (area[:, None] + area[None] - shared).clamp_min(1)


def _sum(x: Tensor) -> Tensor:
    return x.flatten(1).sum(1)


def _share(x: Tensor, of: Tensor) -> Tensor:
    return _sum(x * of) / (_sum(of) + 1.0)


def _grown(mask: Tensor, cells: int) -> Tensor:
    return (windowed(mask, (1.0,) * (2 * cells + 1)) > 0.5).to(mask.dtype)


def _shrunk(mask: Tensor, cells: int) -> Tensor:
    return 1 - _grown(1 - mask, cells)


class _Mask(NamedTuple):
    """Masks (P, R, R) of 0 and 1, and what is around and deep inside of them."""

    own: Tensor
    ring: Tensor
    near: Tensor
    deep: Tensor

    @classmethod
    def of(cls, p: Tensor) -> _Mask:
        own = (p > 0.5).to(p.dtype)
        return cls(own, _grown(own, 2) - own, _grown(own, 3), _shrunk(own, 2))


def _shape(p: Tensor, masks: _Mask, maps: Tensor) -> dict[str, Tensor]:
    """Outline and fit to the box."""
    mask = masks.own
    box, offset = maps[:, BOX_CHANNEL], maps[:, OFFSET_CHANNEL : OFFSET_CHANNEL + 2]
    area = _sum(mask) + 1.0
    touched, reach = [], []
    for axis in range(2):
        for sign in (-1.0, 1.0):
            place = offset[:, axis] * sign
            touched.append((mask * box * (place > 0.86)).flatten(1).amax(1))
            reach.append((mask * (place.clamp(-1.5, 1.5) + 1.5)).flatten(1).amax(1) - 1.5)
    reaches = torch.stack(reach, 1)
    far = offset.abs()
    gradient = torch.stack(_gradient(smoothed(mask[:, None])[:, 0]), 0).square().sum(0).sqrt()
    return {
        "fill": area / (_sum(box) + 1.0),
        "over": _sum(mask * (1 - box)) / area,
        "touched": torch.stack(touched, 1).mean(1),
        "least_reach": reaches.amin(1),
        "mean_reach": reaches.mean(1),
        "rim": _share(mask, box * (far.amax(1) > 0.88)),
        "corners": _share(mask, box * (far.amin(1) > 0.7)),
        "perimeter": _sum(gradient) / area.sqrt(),
        "thin": _sum(_shrunk(mask, 1)) / area,
        "thick": _sum(_shrunk(mask, 3)) / area,
        "bays": (_sum(_shrunk(masks.near, 3)) / area).clamp(max=3),
        "doubt": _sum(p * (1 - p)) / area,
    }


def _moments(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    n = _sum(weight) + 1e-3
    mean = _sum(x * weight) / n
    return mean, (_sum(x * x * weight) / n - mean.square()).clamp_min(0)


def _greys(masks: _Mask, maps: Tensor) -> dict[str, Tensor]:
    """Grey inside against that around, in standard deviations."""
    mask = masks.own
    x, inside, box = maps[:, LOCAL_CHANNEL], maps[:, INSIDE_CHANNEL], maps[:, BOX_CHANNEL]
    within = _moments(x, mask)
    ring = _moments(x, masks.ring * inside)
    edge = _moments(x, mask - masks.deep)
    rest = _moments(x, box * (1 - mask) * inside)
    out = _moments(x, (1 - box) * (1 - mask) * inside)

    def contrast(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
        return ((a[0] - b[0]).abs() / (a[1] + b[1] + 0.05).sqrt()).clamp(max=LIMIT)

    return {
        "sd_in": within[1].sqrt(),
        "sd_ring": ring[1].sqrt(),
        "contrast_ring": contrast(within, ring),
        "contrast_edge": contrast(edge, ring),
        "contrast_rest": contrast(within, rest),
        "contrast_out": contrast(within, out),
        "mean_in": within[0].abs(),
    }


def _gradient(x: Tensor) -> tuple[Tensor, Tensor]:
    rows = F.pad(x[:, None], (0, 0, 1, 1), mode="replicate")[:, 0]
    cols = F.pad(x[:, None], (1, 1, 0, 0), mode="replicate")[:, 0]
    return (rows[:, 2:] - rows[:, :-2]) / 2, (cols[:, :, 2:] - cols[:, :, :-2]) / 2


def _edges(masks: _Mask, maps: Tensor) -> dict[str, Tensor]:
    """Whether the grey changes where the outline runs, in its direction and always to the same side."""
    mask = masks.own
    dy, dx = _gradient(smoothed(maps[:, LOCAL_CHANNEL : LOCAL_CHANNEL + 1])[:, 0])
    my, mx = _gradient(smoothed(mask[:, None])[:, 0])
    grey, outline = torch.hypot(dy, dx), torch.hypot(my, mx)
    both = _sum(grey * outline)
    along = my * dy + mx * dx
    length = _sum(outline) + 1e-3
    box_edge = _share(grey, maps[:, BOX_CHANNEL])
    return {
        "edge": both / length,
        "edge_over_box": (both / length / (box_edge + 0.02)).clamp(max=LIMIT),
        "edge_one_way": _sum(along).abs() / (both + 1e-3),
        "edge_along": _sum(along.abs()) / (both + 1e-3),
        "edge_inside": _share(grey, masks.deep),
        "edge_seen": _sum(outline * (grey > EDGE_SEEN)) / length,
        "edge_box": box_edge,
    }


def _classes(masks: _Mask, maps: Tensor) -> dict[str, Tensor]:
    """Overlap of the histograms of the object, of what is around it, and of what lies beyond the box."""
    mask = masks.own
    inside, box = maps[:, INSIDE_CHANNEL], maps[:, BOX_CHANNEL]
    place = bin_places(maps[:, LOCAL_CHANNEL])

    rest = box * (1 - mask)
    parts = (mask, rest, (1 - box) * (1 - mask), masks.ring, 1 - mask, box)
    counted = histogram(
        place.repeat(len(parts), 1), torch.cat([(part * inside).flatten(1) for part in parts])
    )
    within, around, beyond, ring, others, share = counted.chunk(len(parts))
    alike = (within > others).to(mask.dtype).gather(1, place.round().long()).view_as(mask)
    outside = (1 - box) * inside
    bins = torch.arange(BINS, dtype=mask.dtype, device=mask.device)
    below, mean = share.cumsum(1), (share * bins).cumsum(1)
    between = ((mean[:, -1:] * below - mean).square() / (below * (1 - below)).clamp_min(1e-4)).amax(1)
    spread = (share * bins.square()).sum(1) - mean[:, -1].square()
    return {
        "same_rest": torch.minimum(within, around).sum(1),
        "same_out": torch.minimum(within, beyond).sum(1),
        "same_ring": torch.minimum(within, ring).sum(1),
        "leak": _share(alike, masks.near * outside),
        "alike_out": _share(alike, outside),
        "alike_rest": _share(alike, rest * inside),
        "tone_in": _share(maps[:, TONE_CHANNEL], mask),
        "tone_rest": _share(maps[:, TONE_CHANNEL], rest * inside),
        "two_classes": between / spread.clamp_min(0.01),
    }


def _beyond(masks: _Mask, maps: Tensor) -> dict[str, Tensor]:
    """Whether what lies just outside the box looks like the object or like the rest of the box.

    A box that somebody drew around an object has none of it outside.
    """
    mask, box, inside = masks.own, maps[:, BOX_CHANNEL], maps[:, INSIDE_CHANNEL]
    x = maps[:, LOCAL_CHANNEL]
    outside = (_grown(box, BORDER) - box) * inside
    edge = box - _shrunk(box, BORDER)
    rest = box * (1 - mask)

    def mean(weight: Tensor) -> Tensor:
        return (_sum(x * weight) / (_sum(weight) + 1e-3))[:, None, None]

    own, other = mean(mask * box), mean(rest)
    apart = own - other
    apart = apart + 0.05 * torch.sign(apart) + 1e-6
    like = ((x - own).abs() < (x - other).abs()).to(x.dtype)
    next_to = _grown(mask * edge, BORDER) * outside
    return {
        "beyond": ((mean(outside) - other) / apart).clamp(-3, 3)[:, 0, 0],
        "like_beyond": _share(like, outside),
        "like_inside": _share(like, mask * box),
        "like_rest": _share(like, rest),
        "goes_on": _share(like, next_to),
    }
