"""Regions, prompt maps and sampling of the built-in model; training and inference share every line of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam_med.models.builtin_tone import tone_maps

MARGIN = 1.5
"""Side of the region over the side of the box."""
MIN_HALF = 6.0
"""Smallest half side of a region, in pixels."""
MAX_ASPECT = 2.0
"""A region's long side is at most this many times its short side."""
CLICK_SIGMA = 0.03
"""Standard deviation of a drawn click over the region's side."""
MAX_CLICKS = 24


@dataclass
class PromptBatch:
    """P prompts on images of one batch, in (row, col) pixels of their image.

    Attributes
    ----------
    image : Tensor, shape (P,), int64
        Which image of the batch each prompt belongs to.
    roi : Tensor, shape (P, 4)
        Region as (centre row, centre col, half height, half width).
    box : Tensor, shape (P, 4)
        (r0, c0, r1, c1) as outer edges; NaN where there is no box.
    clicks : Tensor, shape (P, N, 3)
        (row, col, sign) with sign +1, -1, or 0 for an unused place.
    prev : Tensor, shape (P, 1, R, R)
        Probability of an earlier mask on the region grid; NaN where there is none.
    """

    image: Tensor
    roi: Tensor
    box: Tensor
    clicks: Tensor
    prev: Tensor


def roi_of_box(box: Tensor, margin: float = MARGIN) -> Tensor:
    """Regions (P, 4) around outer box edges (P, 4), with a margin and a bounded aspect ratio."""
    centre = (box[:, :2] + box[:, 2:]) / 2
    half = ((box[:, 2:] - box[:, :2]) / 2 * margin).clamp_min(MIN_HALF)
    half = torch.maximum(half, half.flip(1) / MAX_ASPECT)
    return torch.cat([centre, half], 1)


def roi_of_image(shape: tuple[int, int], n: int = 1) -> Tensor:
    """The square region (n, 4) that holds the whole image of `shape` (rows, cols)."""
    half = max(*shape, 2 * MIN_HALF) / 2
    return torch.tensor([[(shape[0] - 1) / 2, (shape[1] - 1) / 2, half, half]], dtype=torch.float32).repeat(
        n, 1
    )


def roi_points(roi: Tensor, size: int) -> Tensor:
    """Pixel coordinates (P, size, size, 2) (row, col) of the cell centres of each region's grid."""
    step = (torch.arange(size, device=roi.device, dtype=roi.dtype) + 0.5) / size * 2 - 1
    rows = roi[:, 0, None] + step * roi[:, 2, None]
    cols = roi[:, 1, None] + step * roi[:, 3, None]
    return torch.stack([rows[:, :, None].expand(-1, -1, size), cols[:, None, :].expand(-1, size, -1)], dim=-1)


def cells_at(roi: Tensor, points: Tensor, size: int) -> Tensor:
    """Cells (P, N, 2) (row, col) of the grids of regions (P, 4) that points (P, N, 2) lie in, or the nearest ones."""
    cell = roi[:, None, 2:] * 2 / size
    return ((points - (roi[:, None, :2] - roi[:, None, 2:])) / cell).floor().long().clamp(0, size - 1)


def sample_map(source: Tensor, index: Tensor, points: Tensor, shape: tuple[int, int], outside: str) -> Tensor:
    """Bilinear samples (P, C, size, size) of `source` (B, C, h, w), which covers an image of `shape` pixels.

    `outside` is grid_sample's padding mode: "zeros" or "border".
    """
    extent = torch.tensor(shape, device=points.device, dtype=points.dtype)
    unit = ((points + 0.5) / extent * 2 - 1).flip(-1)
    if source.shape[0] == 1:  # all prompts on one image: sample once, along a long grid
        flat = unit.reshape(1, -1, unit.shape[2], 2)
        out = F.grid_sample(source, flat, mode="bilinear", padding_mode=outside, align_corners=False)
        return out.reshape(source.shape[1], *unit.shape[:3]).transpose(0, 1)
    return F.grid_sample(source[index], unit, mode="bilinear", padding_mode=outside, align_corners=False)


def pyramid(image: Tensor, levels: int = 4) -> list[Tensor]:
    """The image (B, 1, H, W) and its halvings, so that a large region is averaged and not skipped over."""
    out = [image]
    while len(out) < levels and min(out[-1].shape[-2:]) >= 16:
        x = out[-1]
        if x.shape[-2] % 2 or x.shape[-1] % 2:
            out.append(F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False))
        else:  # the same in half the time
            x = x[..., 0::2, :] + x[..., 1::2, :]
            out.append((x[..., 0::2] + x[..., 1::2]) / 4)
    return out


def crop_image(levels: list[Tensor], batch: PromptBatch, size: int) -> Tensor:
    """Image values (P, 1, size, size) on the region grids, from the pyramid level that fits each region."""
    rows, cols = levels[0].shape[-2:]
    points = roi_points(batch.roi, size)
    step = batch.roi[:, 2:].amax(1) * 2 / size
    wanted = torch.log2(step.clamp_min(1.0)).round().long().clamp(max=len(levels) - 1)
    out = torch.zeros((len(points), 1, size, size), device=points.device, dtype=levels[0].dtype)
    for number, level in enumerate(levels):
        chosen = (wanted == number).nonzero().flatten()
        if len(chosen) == 0:
            continue
        # a pooled level with ceil_mode covers slightly more than the image
        covered = (level.shape[-2] * 2**number, level.shape[-1] * 2**number)
        out[chosen] = sample_map(level, batch.image[chosen], points[chosen], covered, "border")
    inside = ((points > -0.5) & (points < points.new_tensor([rows - 0.5, cols - 0.5]))).all(-1)
    return out * inside[:, None]


def prompt_maps(levels: list[Tensor], batch: PromptBatch, size: int, brief: bool = False) -> Tensor:
    """Image and prompt maps (P, PROMPT_CHANNELS, size, size) on the region grids; images in 0..1.

    `brief` leaves out all cues from greys but the first, for those who do not look at them.
    """
    rows, cols = levels[0].shape[-2:]
    points = roi_points(batch.roi, size)
    crop = crop_image(levels, batch, size)
    inside = (
        ((points > -0.5) & (points < points.new_tensor([rows - 0.5, cols - 0.5]))).all(-1).float()[:, None]
    )
    click_maps, near = _click_maps(points, batch)
    box_maps = _box_maps(points, batch)
    count = inside.sum((2, 3), keepdim=True).clamp_min(1.0)
    mean = (crop * inside).sum((2, 3), keepdim=True) / count
    std = (((crop - mean) * inside).square().sum((2, 3), keepdim=True) / count).sqrt().clamp_min(0.01)
    local = (crop - mean) / std * inside
    # what the object may look like: pixels near positive clicks, else the middle of the box
    weight = torch.where(near.sum((2, 3), keepdim=True) > 0, near, box_maps[:, 3:4]) + 1e-6
    reference = (local * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True)
    unlike = (local - reference).abs() * inside
    has_prev = (~torch.isnan(batch.prev).any(dim=(2, 3), keepdim=True)).float()
    known = torch.nan_to_num(batch.prev, nan=0.5)
    weights = _inner_outer_core(box_maps, near, inside)
    tones = tone_maps(local, *weights, box_maps[:, :1] * inside, known, has_prev, brief)
    prev = known * 2 - 1
    one = torch.ones_like(crop)
    scale = torch.log2(batch.roi[:, 2:].mean(1) / 32.0)[:, None, None, None] / 3
    return torch.cat(
        [
            crop * 2 - 1,
            local.clamp(-4, 4),
            unlike.clamp(max=4),
            inside,
            box_maps[:, :3],
            click_maps,
            prev,
            has_prev * one,
            box_maps[:, 4:5],
            scale * one,
            box_maps[:, 3:4],
            tones,
        ],
        dim=1,
    )


def _inner_outer_core(box_maps: Tensor, near: Tensor, inside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What counts as object, as surroundings and surely as object by the prompt alone, each (P, 1, R, R).

    With a box: the ellipse in it, what lies outside the box, and half of the ellipse. Without: the pixels near positive
    clicks, and all others.
    """
    boxed = box_maps[:, 4:5]
    from_middle = box_maps[:, 1:3].square().sum(1, keepdim=True)
    ellipse, half = ((from_middle <= part).to(near.dtype) * box_maps[:, :1] for part in (1.0, 0.5))
    inner = torch.where(boxed > 0, ellipse, near) * inside
    core = torch.where(boxed > 0, half, near) * inside
    outer = torch.where(boxed > 0, 1 - box_maps[:, :1], 1 - near) * inside
    return inner, outer, core


def _box_maps(points: Tensor, batch: PromptBatch) -> Tensor:
    """(P, 5, R, R): inside the box, row and col offsets in half boxes, a bump on its middle, whether there is one."""
    box = torch.nan_to_num(batch.box)
    has = (~torch.isnan(batch.box).any(1)).float()[:, None, None, None]
    centre = (box[:, :2] + box[:, 2:])[:, None, None] / 2
    half = ((box[:, 2:] - box[:, :2]) / 2).clamp_min(0.5)[:, None, None]
    offset = ((points - centre) / half).permute(0, 3, 1, 2).contiguous()
    inside = (offset.abs() <= 1).all(1, keepdim=True).float()
    bump = torch.exp(-offset.square().sum(1, keepdim=True) / (2 * 0.4**2))
    one = torch.ones_like(inside)
    return torch.cat([inside * has, offset.clamp(-1.5, 1.5) * has, bump * has, one * has], 1)


def _click_maps(points: Tensor, batch: PromptBatch) -> tuple[Tensor, Tensor]:
    """(P, 2, R, R) bumps at positive and negative clicks, and (P, 1, R, R) a wider one at the positive."""
    side = batch.roi[:, 2:] * 2
    delta = (points[:, None] - batch.clicks[:, :, None, None, :2]) / side[:, None, None, None]
    square = delta.square().sum(-1)
    sign = batch.clicks[:, :, 2, None, None]
    bump = torch.exp(-square / (2 * CLICK_SIGMA**2))
    positive = (bump * (sign > 0)).amax(1, keepdim=True)
    negative = (bump * (sign < 0)).amax(1, keepdim=True)
    return torch.cat([positive, negative], 1), positive


def paste(values: Tensor, roi: Tensor, rows: Tensor, cols: Tensor, fill: float) -> Tensor:
    """Bring region-grid values (C, R, R) of one region (4,) to the pixels at `rows` × `cols`; `fill` outside."""
    y = (rows - roi[0]) / roi[2]
    x = (cols - roi[1]) / roi[3]
    out = values.new_full((values.shape[0], len(rows), len(cols)), fill)
    ys, xs = (y.abs() <= 1).nonzero().flatten(), (x.abs() <= 1).nonzero().flatten()
    if len(ys) == 0 or len(xs) == 0:
        return out
    grid = torch.stack([x[xs][None, :].expand(len(ys), -1), y[ys][:, None].expand(-1, len(xs))], dim=-1)
    inner = F.grid_sample(
        values[None], grid[None], mode="bilinear", padding_mode="border", align_corners=False
    )[0]
    out[:, int(ys[0]) : int(ys[-1]) + 1, int(xs[0]) : int(xs[-1]) + 1] = inner
    return out


def resample(p: Tensor, source: Tensor, wanted: Tensor, size: int | None = None) -> Tensor:
    """Probabilities (P, 1, R, R) on regions `source` brought to regions `wanted` (both (P, 4)); 0 outside.

    On the same number of cells, or on `size` a side.
    """
    points = roi_points(wanted, size or p.shape[-1])
    unit = ((points - source[:, None, None, :2]) / source[:, None, None, 2:]).flip(-1)
    return F.grid_sample(p, unit, mode="bilinear", padding_mode="zeros", align_corners=False)


def box_of_mask(mask: Tensor, roi: Tensor) -> tuple[Tensor, Tensor]:
    """Outer edges (P, 4) in image pixels of masks (P, R, R) on regions (P, 4), and which of them are not empty (P,)."""
    cell = roi[:, 2:] * 2 / mask.shape[-1]
    low, high = [], []
    for axis in range(2):
        on = mask.any(2 - axis)
        low.append(on.float().argmax(1))
        high.append(on.shape[1] - on.flip(1).float().argmax(1))
    corner = roi[:, :2] - roi[:, 2:]
    edges = [corner + torch.stack(each, 1) * cell for each in (low, high)]
    return torch.cat(edges, 1), mask.flatten(1).any(1)


def roi_of_mask(mask: Tensor, roi: Tensor, clicks: Tensor, box: Tensor) -> Tensor:
    """Regions (P, 4) that fit the answer so far: masks (P, R, R) on regions `roi`, clicks and boxes together.

    A prompt whose mask is empty and that has no box keeps its region.
    """
    size = mask.shape[-1]
    points = roi_points(roi, size)
    step = roi[:, 2:] / size
    far = torch.tensor(float("inf"), device=roi.device)
    on = mask[..., None]
    low = torch.where(on, points, far).amin((1, 2)) - step
    high = torch.where(on, points, -far).amax((1, 2)) + step
    used = (clicks[:, :, 2] > 0)[..., None]
    low = torch.minimum(low, torch.where(used, clicks[:, :, :2], far).amin(1))
    high = torch.maximum(high, torch.where(used, clicks[:, :, :2], -far).amax(1))
    has_box = ~torch.isnan(box).any(1, keepdim=True)
    low = torch.where(has_box, torch.fmin(low, box[:, :2]), low)
    high = torch.where(has_box, torch.fmax(high, box[:, 2:]), high)
    seen = mask.any(2).any(1)[:, None] | has_box
    edges = torch.where(seen, torch.cat([low, high], 1), torch.zeros_like(roi))
    return torch.where(seen, roi_of_box(torch.nan_to_num(edges, posinf=0.0, neginf=0.0)), roi)
