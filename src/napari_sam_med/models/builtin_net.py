"""Network of the built-in model: one embedding a slice, a small U-shaped decoder on a region around the prompt.

A transformer decoder such as SAM's needs millions of masks to learn what a box means. Here prompts are drawn as maps
on a fixed grid laid over the region they speak of, so that an object of any size fills the same part of the grid,
beside the pixels themselves and the slice's features. (Rendered clicks: Sofiiuk et al. 2021, RITM; region features: He
et al. 2017, RoIAlign; three candidates with predicted IoU: Kirillov et al. 2023, SAM.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam_med.models.builtin_facts import BOX_FACTS, N_FACTS

N_CANDIDATES = 3
MEMBERS = 15
"""Networks of which a judge is the mean."""
FEATURE_STRIDE = 8
ENCODER_MULTIPLE = 32
PROMPT_CHANNELS = 20
LOCAL_CHANNEL, INSIDE_CHANNEL, BOX_CHANNEL, OFFSET_CHANNEL = 1, 3, 4, 5
HAS_BOX_CHANNEL, SCALE_CHANNEL, TONE_CHANNEL, BRIGHT_CHANNEL, DARK_CHANNEL = 11, 12, 14, 18, 19
"""Places of some of the maps that ``builtin_roi.prompt_maps`` draws; the offsets take two."""


@dataclass(frozen=True)
class BuiltinConfig:
    """Widths of the network; stored with the weights.

    Attributes
    ----------
    encoder : tuple of int
        Channels at strides 2, 4, 8, 16 and 32.
    features : int
        Channels of the embedding at stride 8.
    decoder : tuple of int
        Channels of the decoder at full, half, quarter and eighth of the region grid. Most of the work is done at half
        of it and below; the full grid only sharpens the outline.
    grid : int
        Cells on each side of the region grid (a multiple of 8).
    """

    encoder: tuple[int, ...] = (24, 48, 96, 144, 192)
    features: int = 64
    decoder: tuple[int, ...] = (16, 40, 80, 144)
    grid: int = 96

    def as_dict(self) -> dict[str, Any]:
        """Plain form for the weights file."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BuiltinConfig:
        """Inverse of :meth:`as_dict`."""
        return cls(
            encoder=tuple(values["encoder"]),
            features=int(values["features"]),
            decoder=tuple(values["decoder"]),
            grid=int(values["grid"]),
        )


class Output(NamedTuple):
    """Decoder output for P prompts on a grid of R cells a side."""

    logits: Tensor
    """(P, 3, R, R); candidate 0 is the plain answer, 1 and 2 are alternatives."""
    iou: Tensor
    """(P, 3), predicted IoU in 0..1."""


def _norm(channels: int) -> nn.Module:
    return nn.GroupNorm(max(1, channels // 8), channels)


class _Block(nn.Module):
    """Residual pair of 3×3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = _norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = _norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(x + self.norm2(self.conv2(y)), inplace=True)


class _Conv(nn.Sequential):
    """Convolution, norm, ReLU."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False),
            _norm(n_out),
            nn.ReLU(inplace=True),
        )


class Encoder(nn.Module):
    """Convolutional pyramid fused into one feature map at stride 8."""

    def __init__(self, config: BuiltinConfig) -> None:
        super().__init__()
        c2, c4, c8, c16, c32 = config.encoder
        self.stem = _Conv(1, c2, 2)
        self.down4 = nn.Sequential(_Conv(c2, c4, 2), _Block(c4))
        self.down8 = nn.Sequential(_Conv(c4, c8, 2), _Block(c8))
        self.down16 = nn.Sequential(_Conv(c8, c16, 2), _Block(c16))
        self.down32 = nn.Sequential(_Conv(c16, c32, 2), _Block(c32))
        self.lateral8 = nn.Conv2d(c8, config.features, 1)
        self.lateral16 = nn.Conv2d(c16, config.features, 1)
        self.lateral32 = nn.Conv2d(c32, config.features, 1)
        self.fuse16 = _Conv(config.features, config.features)
        self.fuse8 = nn.Sequential(
            _Conv(config.features, config.features), nn.Conv2d(config.features, config.features, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, H, W) in -1..1, sides multiples of 32 → (B, features, H/8, W/8)."""
        x8 = self.down8(self.down4(self.stem(image)))
        x16 = self.down16(x8)
        x32 = self.down32(x16)
        y16 = self.fuse16(self.lateral16(x16) + _up(self.lateral32(x32)))
        return self.fuse8(self.lateral8(x8) + _up(y16))


class Decoder(nn.Module):
    """U-shaped network over the region grid, with the slice's features entering at a quarter of its resolution."""

    def __init__(self, config: BuiltinConfig) -> None:
        super().__init__()
        d1, d2, d4, d8 = config.decoder
        self.in2 = nn.Sequential(_Conv(4 * PROMPT_CHANNELS, d2), _Conv(d2, d2))
        self.in4 = _Conv(d2, d4, 2)
        self.join4 = nn.Conv2d(config.features, d4, 1)
        self.block4 = _Block(d4)
        self.in8 = nn.Sequential(_Conv(d4, d8, 2), _Block(d8))
        self.context = nn.Linear(d8, d8)
        self.out8 = _Block(d8)
        self.to4 = nn.Conv2d(d8, d4, 1)
        self.out4 = nn.Sequential(_Conv(d4, d4), _Conv(d4, d4))
        self.to2 = nn.Conv2d(d4, d2, 1)
        self.out2 = nn.Sequential(_Conv(d2, d2), _Conv(d2, d2))
        self.to1 = nn.Conv2d(d2, 4 * d1, 1)
        self.out1 = nn.Sequential(_Conv(d1 + PROMPT_CHANNELS, d1), nn.Conv2d(d1, N_CANDIDATES, 3, padding=1))
        # one judgement a candidate, from what lies in it, along its outline, and in the whole region
        self.iou = nn.Sequential(
            nn.Linear(d8 + 2 * d2 + N_CANDIDATES + 8, 96), nn.ReLU(inplace=True), nn.Linear(96, 1)
        )

    def forward(self, maps: Tensor, features: Tensor) -> Output:
        """Decode P prompts.

        Parameters
        ----------
        maps : Tensor, shape (P, PROMPT_CHANNELS, R, R)
            Image and prompt maps on the region grid.
        features : Tensor, shape (P, features, R/4, R/4)
            The embedding sampled on the region grid.
        """
        logits, x8, y2 = self._drawn(maps, features)
        return Output(logits, self._judge(x8, y2, logits, maps))

    def masks(self, maps: Tensor, features: Tensor) -> Tensor:
        """The logits (P, 3, R, R) alone, for those who have a judge of their own; parameters as of :meth:`forward`."""
        return self._drawn(maps, features)[0]

    def _drawn(self, maps: Tensor, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, and what the network knows of the region at an eighth and at half of its resolution."""
        x2 = self.in2(F.pixel_unshuffle(maps, 2))
        x4 = self.block4(self.in4(x2) + self.join4(features))
        x8 = self.in8(x4)
        x8 = self.out8(x8 + self.context(x8.mean((2, 3)))[:, :, None, None])
        y4 = self.out4(_up(self.to4(x8)) + x4)
        y2 = self.out2(_up(self.to2(y4)) + x2)
        y1 = F.pixel_shuffle(self.to1(y2), 2)
        logits = self.out1(torch.cat([y1, maps], 1)).float()
        return logits, x8, y2

    def _judge(self, x8: Tensor, y2: Tensor, logits: Tensor, maps: Tensor) -> Tensor:
        """Predicted IoU (P, 3) of each candidate."""
        p = torch.sigmoid(logits.detach())
        small = F.avg_pool2d(p, 2).flatten(2)
        seen = y2.float().flatten(2).transpose(1, 2)
        pooled = [
            weight @ seen / (weight.sum(2, keepdim=True) + 1e-2) for weight in (small, small * (1 - small))
        ]
        everywhere = x8.float().mean((2, 3))[:, None].expand(-1, N_CANDIDATES, -1)
        which = torch.eye(N_CANDIDATES, device=p.device).expand(len(p), -1, -1)
        facts = [_mask_summary(p), _box_summary(p, maps)]
        judged = self.iou(torch.cat([everywhere, *pooled, which, *facts], 2))
        return torch.sigmoid(judged.float())[..., 0]


def _mask_summary(p: Tensor) -> Tensor:
    """How sure each candidate is: area, doubtful part of it, agreement with the plain answer; (P, 3, 3)."""
    area = p.mean((2, 3))
    doubt = (p * (1 - p)).sum((2, 3)) / (p.sum((2, 3)) + 1.0)
    overlap = torch.minimum(p, p[:, :1]).sum((2, 3)) / (torch.maximum(p, p[:, :1]).sum((2, 3)) + 1e-3)
    return torch.stack([area, doubt, overlap], 2)


def _box_summary(p: Tensor, maps: Tensor) -> Tensor:
    """How far each candidate spans the rows and columns of the box and those outside it, and whether there is one.

    A tight box is touched on all four sides. (P, 3, 5).
    """
    facts = []
    for axis in (3, 2):  # profiles over the rows, then over the columns
        box = maps[:, BOX_CHANNEL].amax(axis - 1)[:, None]
        reach = p.amax(axis)
        for part in (box, 1 - box):
            facts.append((reach * part).sum(2) / part.sum(2).clamp_min(1.0))
    there = maps[:, HAS_BOX_CHANNEL, 0, 0][:, None].expand_as(facts[0])
    return torch.stack([*facts, there], 2).to(p.dtype)


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class _Layers(nn.Module):
    """One linear layer of each of several networks, computed together."""

    def __init__(self, members: int, n_in: int, n_out: int) -> None:
        super().__init__()
        bound = n_in**-0.5
        self.weight = nn.Parameter(torch.empty(members, n_in, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, n_out).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """(members, K, n_in) → (members, K, n_out)."""
        return torch.baddbmm(self.bias, x, self.weight)


class Judge(nn.Module):
    """Predicted IoU of a mask from facts about it, see ``builtin_judge``: the mean of several small networks.

    Parameters
    ----------
    facts : sequence of int
        Places of the facts it goes by.
    compared : bool
        Whether it also goes by how far they are from those of the first mask, and from their mean over all masks.
    members : int
    width : int
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        facts: Sequence[int] = range(N_FACTS),
        compared: bool = False,
        members: int = MEMBERS,
        width: int = 32,
    ) -> None:
        super().__init__()
        self.facts, self.compared, self.members = list(facts), compared, members
        n = len(self.facts) * (3 if compared else 1)
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("std", torch.ones(n))
        self.first = _Layers(members, n, width)
        self.second = _Layers(members, width, width // 2)
        self.last = _Layers(members, width // 2, 1)

    def forward(self, facts: Tensor) -> Tensor:
        """Predicted IoU in 0..1, shape (K,), of all masks of a pool from their facts (K, N_FACTS)."""
        return self.every(facts).mean(0)

    def every(self, facts: Tensor) -> Tensor:
        """What every member predicts, (members, K), of all masks of a pool from their facts (K, N_FACTS)."""
        return self.each(self.seen(facts).expand(self.members, -1, -1))

    def seen(self, facts: Tensor) -> Tensor:
        """What it goes by, (K, n), of the masks of one pool."""
        own = facts[:, self.facts]
        return torch.cat([own, own - own[:1], own - own.mean(0)], 1) if self.compared else own

    def each(self, seen: Tensor) -> Tensor:
        """What every member predicts, (members, K), from what it has :meth:`seen`, (members, K, n), of any pools."""
        x = ((seen - self.mean) / self.std).clamp(-4, 4)
        x = F.relu(self.second(F.relu(self.first(x))))
        return torch.sigmoid(self.last(x))[..., 0]

    @torch.no_grad()
    def raise_logits(self, by: float) -> None:
        """Add to what every member says, in logits; it becomes a part of the weights."""
        self.last.bias.add_(by)


class BuiltinNet(nn.Module):
    """Encoder, decoder and judges with their configuration: one for boxes, one for clicks and corrections."""

    def __init__(self, config: BuiltinConfig | None = None) -> None:
        super().__init__()
        self.config = config or BuiltinConfig()
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)
        self.judge = Judge()
        self.box_judge = Judge(BOX_FACTS, compared=True)
        self.to(memory_format=torch.channels_last)  # on a CPU convolutions take a third less time
