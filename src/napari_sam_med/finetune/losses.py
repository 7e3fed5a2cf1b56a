"""Losses of the built-in model's training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam_med.models.builtin_net import Output


def mask_losses(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice loss of each candidate; (P, 3, R, R) against (P, 1, R, R) → (P, 3)."""
    wanted = target.expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean((2, 3))
    p = torch.sigmoid(logits)
    dice = 1 - (2 * (p * wanted).sum((2, 3)) + 1) / (p.sum((2, 3)) + wanted.sum((2, 3)) + 1)
    return entropy + dice


def true_iou(logits: Tensor, target: Tensor, area: Tensor) -> Tensor:
    """IoU of thresholded candidates with the whole object, (P, 3).

    Parameters
    ----------
    logits : Tensor, shape (P, 3, R, R)
    target : Tensor, shape (P, 1, R, R)
    area : Tensor, shape (P,)
        Area of the whole object in cells: a region that holds a part of it cannot claim an IoU of 1.
    """
    mask = (logits > 0).float()
    overlap = (mask * target).sum((2, 3))
    return overlap / (mask.sum((2, 3)) + area[:, None] - overlap).clamp_min(1.0)


def training_loss(output: Output, target: Tensor, area: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and the true IoU of every candidate.

    Candidate 0 always learns; of all three the closest one learns again (Kirillov et al. 2023, SAM, training on the
    minimum over masks), and the IoU head learns the true IoU of each.
    """
    each = mask_losses(output.logits, target)
    iou = true_iou(output.logits.detach(), target, area)
    masks = 0.6 * each[:, 0] + each.min(1).values + 0.05 * each.mean(1)
    return (masks + 2.0 * F.smooth_l1_loss(output.iou, iou, beta=0.1, reduction="none").mean(1)).mean(), iou
