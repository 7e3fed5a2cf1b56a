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
from napari_sam_med.models.builtin_tone import BINS, bin_places, bin_shares, histograms, smoothed, windowed

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
    seen = _Seen.of(p, maps)
    rows = {**_shape(p, seen), **_greys(seen), **_edges(seen), **_classes(seen), **_beyond(seen)}
    rows["scale"] = maps[:, SCALE_CHANNEL, 0, 0]
    return torch.stack([rows[name] for name in NAMES[: len(rows)]], 1)


def place_facts(
    masks: Tensor, overlap: Tensor, boxes: Tensor, middle: Tensor, cell: float, boxed: bool
) -> Tensor:
    """How candidates of one prompt lie to each other and to the click.

    Parameters
    ----------
    masks : Tensor, shape (K, rows, cols), bool
        All candidates on one grid.
    overlap : Tensor, shape (K, K)
        Their IoU, see :func:`mask_iou`.
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
    others = overlap - torch.diag(overlap.diagonal())
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


def _sums(*maps: Tensor) -> tuple[Tensor, ...]:
    """Sum (P,) of each of some maps (P, R, R); all at once, for small ones cost their number."""
    return torch.stack(maps, 1).flatten(2).sum(2).unbind(1)


def _grown(masks: Tensor, cells: int) -> Tensor:
    return (windowed(masks, (1.0,) * (2 * cells + 1)) > 0.5).to(masks.dtype)


def _gradient(x: Tensor) -> tuple[Tensor, Tensor]:
    rows = F.pad(x, (0, 0, 1, 1), mode="replicate")
    cols = F.pad(x, (1, 1, 0, 0), mode="replicate")
    return (rows[..., 2:, :] - rows[..., :-2, :]) / 2, (cols[..., 2:] - cols[..., :-2]) / 2


class _Seen(NamedTuple):
    """Masks (P, R, R) of 0 and 1, what is around and deep inside of them, and what the slice shows there."""

    own: Tensor
    ring: Tensor
    near: Tensor
    deep: Tensor
    thick: Tensor
    """What is left of the mask without its three outermost cells."""
    box: Tensor
    outside: Tensor
    """A border of BORDER cells just outside the box."""
    edge: Tensor
    """The same just inside."""
    inside: Tensor
    """Where there is a slice."""
    local: Tensor
    offset: Tensor
    tone: Tensor
    slopes: tuple[Tensor, Tensor]
    """Gradient of the mask and of the greys along rows and columns, each (P, 2, R, R)."""

    @classmethod
    def of(cls, p: Tensor, maps: Tensor) -> _Seen:
        own = (p > 0.5).to(p.dtype)
        box, inside, local = maps[:, BOX_CHANNEL], maps[:, INSIDE_CHANNEL], maps[:, LOCAL_CHANNEL]
        grown = _grown(torch.stack([own, 1 - own, box, 1 - box], 1), BORDER).unbind(1)
        near, thin = _grown(torch.stack([own, 1 - own], 1), 3).unbind(1)
        return cls(
            own,
            ring=grown[0] - own,
            near=near,
            deep=1 - grown[1],
            thick=1 - thin,
            box=box,
            outside=(grown[2] - box) * inside,
            edge=box - 1 + grown[3],
            inside=inside,
            local=local,
            offset=maps[:, OFFSET_CHANNEL : OFFSET_CHANNEL + 2],
            tone=maps[:, TONE_CHANNEL],
            slopes=_gradient(smoothed(torch.stack([own, local], 1))),
        )


def _shape(p: Tensor, seen: _Seen) -> dict[str, Tensor]:
    """Outline and fit to the box."""
    mask, box = seen.own, seen.box
    sides = torch.cat([-seen.offset, seen.offset], 1)
    touched = ((mask * box)[:, None] * (sides > 0.86)).amax((2, 3))
    reaches = (mask[:, None] * (sides.clamp(-1.5, 1.5) + 1.5)).amax((2, 3)) - 1.5
    far = seen.offset.abs()
    rim, corners = (box * (distance > at) for distance, at in ((far.amax(1), 0.88), (far.amin(1), 0.7)))
    outline = torch.hypot(seen.slopes[0][:, 0], seen.slopes[1][:, 0])
    closed = 1 - _grown(1 - seen.near, 3)
    thin = 1 - _grown(1 - mask, 1)
    n, boxed, over, in_rim, rims, in_corners, all_corners, length, thin_n, thick_n, closed_n, doubt = _sums(
        mask,
        box,
        mask * (1 - box),
        mask * rim,
        rim,
        mask * corners,
        corners,
        outline,
        thin,
        seen.thick,
        closed,
        p * (1 - p),
    )
    area = n + 1.0
    return {
        "fill": area / (boxed + 1.0),
        "over": over / area,
        "touched": touched.mean(1),
        "least_reach": reaches.amin(1),
        "mean_reach": reaches.mean(1),
        "rim": in_rim / (rims + 1.0),
        "corners": in_corners / (all_corners + 1.0),
        "perimeter": length / area.sqrt(),
        "thin": thin_n / area,
        "thick": thick_n / area,
        "bays": (closed_n / area).clamp(max=3),
        "doubt": doubt / area,
    }


def _greys(seen: _Seen) -> dict[str, Tensor]:
    """Grey inside against that around, in standard deviations."""
    mask, inside, x = seen.own, seen.inside, seen.local
    around = (1 - mask) * inside
    weights = torch.stack(
        [mask, seen.ring * inside, mask - seen.deep, seen.box * around, (1 - seen.box) * around], 1
    )
    powers = torch.stack([torch.ones_like(x), x, x * x], 3).flatten(1, 2)
    n, first, second = (weights.flatten(2) @ powers).unbind(2)
    mean = first / (n + 1e-3)
    var = (second / (n + 1e-3) - mean.square()).clamp_min(0)

    def contrast(a: int, b: int) -> Tensor:
        apart = (mean[:, a] - mean[:, b]).abs()
        return (apart / (var[:, a] + var[:, b] + 0.05).sqrt()).clamp(max=LIMIT)

    return {
        "sd_in": var[:, 0].sqrt(),
        "sd_ring": var[:, 1].sqrt(),
        "contrast_ring": contrast(0, 1),
        "contrast_edge": contrast(2, 1),
        "contrast_rest": contrast(0, 3),
        "contrast_out": contrast(0, 4),
        "mean_in": mean[:, 0].abs(),
    }


def _edges(seen: _Seen) -> dict[str, Tensor]:
    """Whether the grey changes where the outline runs, in its direction and always to the same side."""
    rows, cols = seen.slopes
    outline, grey = torch.hypot(rows, cols).unbind(1)
    along = rows[:, 0] * rows[:, 1] + cols[:, 0] * cols[:, 1]
    both, line, ahead, either, seen_n, boxed, all_box, within, deep = _sums(
        grey * outline,
        outline,
        along,
        along.abs(),
        outline * (grey > EDGE_SEEN),
        grey * seen.box,
        seen.box,
        grey * seen.deep,
        seen.deep,
    )
    length, box_edge = line + 1e-3, boxed / (all_box + 1.0)
    return {
        "edge": both / length,
        "edge_over_box": (both / length / (box_edge + 0.02)).clamp(max=LIMIT),
        "edge_one_way": ahead.abs() / (both + 1e-3),
        "edge_along": either / (both + 1e-3),
        "edge_inside": within / (deep + 1.0),
        "edge_seen": seen_n / length,
        "edge_box": box_edge,
    }


def _classes(seen: _Seen) -> dict[str, Tensor]:
    """Overlap of the histograms of the object, of what is around it, and of what lies beyond the box."""
    mask, inside, box = seen.own, seen.inside, seen.box
    rest, outside = box * (1 - mask), (1 - box) * inside
    parts = torch.stack([mask, rest, outside * (1 - mask), seen.ring, 1 - mask, box], 1) * inside[:, None]
    if seen.local.stride(0) == 0:  # all on one region
        counted = histograms(bin_shares(seen.local[:1]), parts.flatten(2).flatten(0, 1)[None])
        counted = counted.view(*parts.shape[:2], BINS)
    else:
        counted = histograms(bin_shares(seen.local), parts.flatten(2))
    within, around, beyond, ring, others, share = counted.unbind(1)
    place = bin_places(seen.local).round().long()
    alike = (within > others).to(mask.dtype).gather(1, place).view_as(mask)
    bins = torch.arange(BINS, dtype=mask.dtype, device=mask.device)
    below, mean = share.cumsum(1), (share * bins).cumsum(1)
    between = ((mean[:, -1:] * below - mean).square() / (below * (1 - below)).clamp_min(1e-4)).amax(1)
    spread = (share * bins.square()).sum(1) - mean[:, -1].square()
    near_out, there = seen.near * outside, rest * inside
    leak, near_n, alike_out, out_n, alike_rest, rest_n, tone_in, n, tone_rest = _sums(
        alike * near_out,
        near_out,
        alike * outside,
        outside,
        alike * there,
        there,
        seen.tone * mask,
        mask,
        seen.tone * there,
    )
    return {
        "same_rest": torch.minimum(within, around).sum(1),
        "same_out": torch.minimum(within, beyond).sum(1),
        "same_ring": torch.minimum(within, ring).sum(1),
        "leak": leak / (near_n + 1.0),
        "alike_out": alike_out / (out_n + 1.0),
        "alike_rest": alike_rest / (rest_n + 1.0),
        "tone_in": tone_in / (n + 1.0),
        "tone_rest": tone_rest / (rest_n + 1.0),
        "two_classes": between / spread.clamp_min(0.01),
    }


def _beyond(seen: _Seen) -> dict[str, Tensor]:
    """Whether what lies just outside the box looks like the object or like the rest of the box.

    A box that somebody drew around an object has none of it outside.
    """
    mask, box, x, outside = seen.own, seen.box, seen.local, seen.outside
    own, rest = mask * box, box * (1 - mask)
    weights = torch.stack([own, rest, outside], 1).flatten(2)
    powers = torch.stack([torch.ones_like(x), x], 3).flatten(1, 2)
    counts, sums = (weights @ powers).unbind(2)
    mean, other, around = (sums / (counts + 1e-3)).unbind(1)
    apart = mean - other
    apart = apart + 0.05 * torch.sign(apart) + 1e-6
    like = ((x - mean[:, None, None]).abs() < (x - other[:, None, None]).abs()).to(x.dtype)
    next_to = _grown(mask * seen.edge, BORDER) * outside
    like_out, like_in, like_rest, goes_on, next_n = _sums(
        like * outside, like * own, like * rest, like * next_to, next_to
    )
    return {
        "beyond": ((around - other) / apart).clamp(-3, 3),
        "like_beyond": like_out / (counts[:, 2] + 1.0),
        "like_inside": like_in / (counts[:, 0] + 1.0),
        "like_rest": like_rest / (counts[:, 1] + 1.0),
        "goes_on": goes_on / (next_n + 1.0),
    }
