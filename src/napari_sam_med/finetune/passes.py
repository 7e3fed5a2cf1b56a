"""Two looks at each prompted object: the first prompt, then a correction with the first answer fed back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from napari_sam_med.finetune.losses import training_loss
from napari_sam_med.finetune.samples import Sample
from napari_sam_med.models.builtin_net import (
    BOX_CHANNEL,
    BRIGHT_CHANNEL,
    DARK_CHANNEL,
    FEATURE_STRIDE,
    BuiltinNet,
    Output,
)
from napari_sam_med.models.builtin_roi import (
    PromptBatch,
    prompt_maps,
    pyramid,
    resample,
    roi_of_box,
    roi_of_mask,
    roi_points,
    sample_map,
)

GUESS_SHARE, GOOD_GUESS = 0.5, 0.35
"""Share of the boxes whose last look starts from a guess, and the IoU from which a guess is a good one."""
GUESS_LOW, GUESS_HIGH = 0.1, 0.9
"""Probabilities outside and inside a guess that is offered as an earlier answer."""
MORE_CLICKS = (0, 0, 0, 0, 1, 1, 2, 5)
"""Numbers of corrections between the two graded looks, drawn evenly."""


@dataclass
class Batch:
    """A training batch on the device: images (B, 1, H, W) in 0..1, masks (P, 1, H, W), prompts."""

    images: Tensor
    masks: Tensor
    prompts: PromptBatch


def collate(samples: list[Sample], grid: int, device: torch.device) -> Batch:
    """Stack samples of one size into a :class:`Batch`."""
    images = torch.from_numpy(np.stack([s.image for s in samples]))[:, None].to(device).float() / 255
    masks = torch.from_numpy(np.concatenate([s.masks for s in samples]))[:, None].to(device).float()
    index = torch.from_numpy(np.repeat(np.arange(len(samples)), [len(s.masks) for s in samples])).to(device)
    box = torch.from_numpy(np.concatenate([s.boxes for s in samples])).to(device)
    window = torch.from_numpy(np.concatenate([s.windows for s in samples])).to(device)
    clicks = torch.from_numpy(np.concatenate([s.clicks for s in samples]))[:, None].to(device)
    roi = torch.where(torch.isnan(box).any(1, keepdim=True), window, roi_of_box(torch.nan_to_num(box)))
    prev = torch.full((len(masks), 1, grid, grid), float("nan"), device=device)
    return Batch(images, masks, PromptBatch(index, roi, box, clicks, prev))


def decode(
    net: BuiltinNet, features: Tensor, levels: list[Tensor], prompts: PromptBatch, grid: int
) -> Output:
    """Run the decoder for a batch of prompts."""
    return decode_maps(net, features, prompts, prompt_maps(levels, prompts, grid))


def decode_maps(net: BuiltinNet, features: Tensor, prompts: PromptBatch, maps: Tensor) -> Output:
    """Run the decoder for prompts whose maps are drawn, (P, PROMPT_CHANNELS, R, R)."""
    extent = (features.shape[-2] * FEATURE_STRIDE, features.shape[-1] * FEATURE_STRIDE)
    sampled = sample_map(
        features, prompts.image, roi_points(prompts.roi, maps.shape[-1] // 4), extent, "zeros"
    )
    return net.decoder(maps, sampled)


def target_on(batch: Batch, prompts: PromptBatch, grid: int) -> tuple[Tensor, Tensor]:
    """The wanted mask on the region grids (P, 1, R, R), and each object's whole area in cells (P,)."""
    shape = (batch.masks.shape[-2], batch.masks.shape[-1])
    every = torch.arange(len(batch.masks), device=batch.masks.device)
    target = sample_map(batch.masks, every, roi_points(prompts.roi, grid), shape, "zeros")
    cell = (prompts.roi[:, 2] * 2 / grid) * (prompts.roi[:, 3] * 2 / grid)
    return target, torch.maximum(batch.masks.sum((1, 2, 3)) / cell, (target > 0.5).float().sum((1, 2, 3)))


def two_looks(
    net: BuiltinNet, batch: Batch, grid: int, rng: np.random.Generator
) -> tuple[Tensor, dict[str, float], tuple[Tensor, Tensor]]:
    """Loss over both looks, running figures, and per-prompt IoU (by predicted score) of both looks.

    Up to five further corrections are made between the two, without a loss of their own.
    """
    features = net.encoder(pad_for_encoder(batch.images * 2 - 1))
    levels = pyramid(batch.images)
    maps = prompt_maps(levels, batch.prompts, grid)
    first = decode_maps(net, features, batch.prompts, maps)
    target, area = target_on(batch, batch.prompts, grid)
    loss1, iou1 = training_loss(first, target, area)
    prompts = second_prompts(first, batch.prompts, target, grid, rng)
    for _ in range(int(rng.choice(MORE_CLICKS))):
        with torch.no_grad():
            between = decode(net, features, levels, prompts, grid)
        prompts = second_prompts(between, prompts, target_on(batch, prompts, grid)[0], grid, rng)
    prompts, weight = some_guesses(prompts, batch.prompts, maps, target, rng)
    second = decode(net, features, levels, prompts, grid)
    target2, area2 = target_on(batch, prompts, grid)
    loss2, iou2 = training_loss(second, target2, area2, weight)
    by_score = [
        iou.gather(1, out.iou.argmax(1, keepdim=True))[:, 0] for iou, out in ((iou1, first), (iou2, second))
    ]
    boxed = ~torch.isnan(batch.prompts.box).any(1)
    figures = {
        "loss": float((loss1 + loss2).detach()) / 2,
        "iou_box": float(by_score[0][boxed].mean()) if boxed.any() else float("nan"),
        "iou_point": float(by_score[0][~boxed].mean()) if (~boxed).any() else float("nan"),
        "iou_second": float(by_score[1].mean()),
        "iou_error": float((first.iou.detach() - iou1).abs().mean()),
    }
    return loss1 + loss2, figures, (by_score[0], by_score[1])


@torch.no_grad()
def some_guesses(
    prompts: PromptBatch, first: PromptBatch, maps: Tensor, target: Tensor, rng: np.random.Generator
) -> tuple[PromptBatch, Tensor]:
    """`prompts`, half of the boxes in them replaced by the first look with the bright or dark part of the box as guess.

    Also the weight (P,) of each prompt's masks in the loss: 0 after a bad guess. So the network learns to go where the
    guess points, to say how good that is, and its answers to different guesses stay different.
    """
    n = len(maps)
    sides = guessed_sides(maps)
    found, wanted = sides > 0.5, target > 0.5
    iou = (found & wanted).sum((2, 3)) / (found | wanted).sum((2, 3)).clamp_min(1)
    better = iou.argmax(1)
    other = torch.from_numpy(rng.random(n) < 0.3).to(maps.device)
    side = torch.where(other, 1 - better, better)
    every = torch.arange(n, device=maps.device)
    taken = torch.from_numpy(rng.random(n) < GUESS_SHARE).to(maps.device) & ~torch.isnan(first.box).any(1)
    weight = (~taken | (iou[every, side] > GOOD_GUESS)).to(maps.dtype)
    unused = torch.zeros_like(prompts.clicks)
    unused[:, : first.clicks.shape[1]] = first.clicks
    guessed = replace(
        prompts,
        roi=torch.where(taken[:, None], first.roi, prompts.roi),
        clicks=torch.where(taken[:, None, None], unused, prompts.clicks),
        prev=torch.where(taken[:, None, None, None], sides[every, side][:, None], prompts.prev),
    )
    return guessed, weight


def guessed_sides(maps: Tensor) -> Tensor:
    """What is bright and what is dark inside the box, as faint earlier answers (P, 2, R, R).

    A first guess for objects that leave most of their box empty: two lungs, a butterfly of grey matter.
    """
    sides = (maps[:, [BRIGHT_CHANNEL, DARK_CHANNEL]] > 0) & (maps[:, BOX_CHANNEL, None] > 0)
    return GUESS_LOW + (GUESS_HIGH - GUESS_LOW) * sides.to(maps.dtype)


@torch.no_grad()
def second_prompts(
    output: Output, prompts: PromptBatch, target: Tensor, grid: int, rng: np.random.Generator
) -> PromptBatch:
    """The first answer fed back on a region that fits it, most often with a click on its deepest error."""
    chosen = output.iou.argmax(1)
    logits = output.logits[torch.arange(len(chosen)), chosen][:, None]
    p = torch.sigmoid(logits)
    has_box = ~torch.isnan(prompts.box).any(1)
    clicks = torch.zeros_like(prompts.clicks[:, :1])
    wrong = ((p > 0.5) != (target > 0.5))[:, 0].cpu().numpy()
    missed = (target > 0.5)[:, 0].cpu().numpy()
    cells = roi_points(prompts.roi, grid).cpu().numpy()
    for i in range(len(wrong)):
        if wrong[i].any() and rng.random() < (0.85 if has_box[i] else 0.5):
            depth = distance_transform_edt(np.pad(wrong[i], 1))[1:-1, 1:-1]
            if rng.random() < 0.3:  # users do not hit the deepest point
                depth = depth * rng.uniform(0.3, 1.0, depth.shape)
            r, c = np.unravel_index(int(depth.argmax()), depth.shape)
            row, col = cells[i, r, c]
            clicks[i, 0] = torch.tensor([row, col, 1.0 if missed[i, r, c] else -1.0])
    both = torch.cat([prompts.clicks, clicks], 1)
    fitted = roi_of_mask(p[:, 0] > 0.5, prompts.roi, both, prompts.box)
    keep = torch.from_numpy(rng.random(len(fitted)) < 0.2).to(fitted.device)
    roi = torch.where(keep[:, None], prompts.roi, fitted)
    return replace(prompts, roi=roi, clicks=both, prev=resample(p, prompts.roi, roi))


def pad_for_encoder(images: Tensor) -> Tensor:
    """Zero-pad (B, 1, H, W) at the bottom and right to multiples of 32."""
    rows, cols = images.shape[-2:]
    return torch.nn.functional.pad(images, (0, -cols % 32, 0, -rows % 32))
