"""Two looks at each prompted object: the first prompt, then a correction with the first answer fed back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from napari_sam_med.finetune.losses import training_loss
from napari_sam_med.finetune.samples import Sample
from napari_sam_med.models.builtin_net import FEATURE_STRIDE, BuiltinNet, Output
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
    extent = (features.shape[-2] * FEATURE_STRIDE, features.shape[-1] * FEATURE_STRIDE)
    points = roi_points(prompts.roi, grid // 4)
    sampled = sample_map(features, prompts.image, points, extent, "zeros")
    return net.decoder(prompt_maps(levels, prompts, grid), sampled)


def target_on(batch: Batch, prompts: PromptBatch, grid: int) -> tuple[Tensor, Tensor]:
    """The wanted mask on the region grids (P, 1, R, R), and each object's whole area in cells (P,)."""
    shape = (batch.masks.shape[-2], batch.masks.shape[-1])
    every = torch.arange(len(batch.masks), device=batch.masks.device)
    target = sample_map(batch.masks, every, roi_points(prompts.roi, grid), shape, "zeros")
    cell = (prompts.roi[:, 2] * 2 / grid) * (prompts.roi[:, 3] * 2 / grid)
    return target, torch.maximum(batch.masks.sum((1, 2, 3)) / cell, (target > 0.5).float().sum((1, 2, 3)))


def two_looks(
    net: BuiltinNet, batch: Batch, grid: int, rng: np.random.Generator, second: bool = True
) -> tuple[Tensor, dict[str, float]]:
    """Loss over both looks and running figures; the IoUs are those of the candidate believed in most.

    Up to five further corrections are made between the two, without a loss of their own. Without the second look a
    step costs less than half, and its IoU is NaN.
    """
    features = net.encoder(pad_for_encoder(batch.images * 2 - 1))
    levels = pyramid(batch.images)
    first = decode(net, features, levels, batch.prompts, grid)
    target, area = target_on(batch, batch.prompts, grid)
    loss, iou = training_loss(first, target, area)
    found = _believed(first, iou)
    boxed = ~torch.isnan(batch.prompts.box).any(1)
    figures = {
        "loss": float(loss.detach()),
        "iou_box": float(found[boxed].mean()) if boxed.any() else float("nan"),
        "iou_point": float(found[~boxed].mean()) if (~boxed).any() else float("nan"),
        "iou_second": float("nan"),
        "iou_error": float((first.iou.detach() - iou).abs().mean()),
    }
    if not second:
        return loss, figures
    prompts = second_prompts(first, batch.prompts, target, grid, rng)
    for _ in range(int(rng.choice(MORE_CLICKS))):
        with torch.no_grad():
            between = decode(net, features, levels, prompts, grid)
        prompts = second_prompts(between, prompts, target_on(batch, prompts, grid)[0], grid, rng)
    last = decode(net, features, levels, prompts, grid)
    loss_last, iou_last = training_loss(last, *target_on(batch, prompts, grid))
    figures["iou_second"] = float(_believed(last, iou_last).mean())
    return loss + loss_last, figures


def _believed(output: Output, iou: Tensor) -> Tensor:
    """True IoU (P,) of the candidate with the highest predicted one."""
    return iou.gather(1, output.iou.argmax(1, keepdim=True))[:, 0]


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
