"""One embedding while the built-in model decodes prompts from it: sizes, maps, masks on the slice. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam_med.core.errors import ModelError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.result import Candidates, Embedding
from napari_sam_med.models.builtin_net import (
    BOX_CHANNEL,
    ENCODER_MULTIPLE,
    FEATURE_STRIDE,
    LOCAL_CHANNEL,
    TONE_CHANNEL,
    BuiltinNet,
    Output,
)
from napari_sam_med.models.builtin_roi import (
    MAX_CLICKS,
    PromptBatch,
    paste,
    prompt_maps,
    pyramid,
    roi_of_image,
    roi_points,
    sample_map,
)
from napari_sam_med.models.builtin_tone import guided, smoothed

WORK_MIN, WORK_MAX = 256, 1024
"""Longest side of the image that prompts are drawn on: small slices are enlarged, huge ones reduced."""
ENCODER_MAX = 512
"""Longest side of the image the encoder sees; the decoder still looks at the finer one."""
FAR_OUTSIDE = -12.0
"""Logit of pixels outside the region."""
STEEP, WIDE = 6.0, 1.5
"""Logits over log-ratios of greys, and how widely, in cells, these are smoothed for the consensus."""
REACH, FLAT = 3, 0.1
"""How far, in cells, the outline of the consensus is drawn to edges, and the variance that counts as none."""
Found = tuple[Tensor, Tensor, Tensor]
"""Logits (R, R) on a region, predicted IoU (), the region (4,)."""


@dataclass(frozen=True)
class Frame:
    """Sizes of one slice: as given, as prompts are drawn on, and as the encoder sees it."""

    shape: tuple[int, int]
    work: tuple[int, int]
    encoder: tuple[int, int]

    @classmethod
    def of(cls, shape: tuple[int, int]) -> Frame:
        long = max(shape)
        factor = min(max(long, WORK_MIN), WORK_MAX) / long
        work = _scaled(shape, factor)
        return cls(shape, work, _scaled(work, min(1.0, ENCODER_MAX / max(work))))

    def to_work(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        factor = np.array(self.work) / np.array(self.shape)
        return (np.asarray(points, float) + 0.5) * factor - 0.5

    @property
    def feature_extent(self) -> tuple[int, int]:
        """Working pixels the padded feature map covers, rounded."""
        rows, cols = (
            round((n + -n % ENCODER_MULTIPLE) * w / n) for n, w in zip(self.encoder, self.work, strict=True)
        )
        return (rows, cols)

    @property
    def feature_shape(self) -> tuple[int, int]:
        rows, cols = ((n + -n % ENCODER_MULTIPLE) // FEATURE_STRIDE for n in self.encoder)
        return (rows, cols)


def _scaled(shape: tuple[int, int], factor: float) -> tuple[int, int]:
    return (max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor)))


class Look:
    """One embedding while prompts are decoded from it."""

    def __init__(self, net: BuiltinNet, embedding: Embedding, device: str) -> None:
        self.net, self.device = net, device
        self.frame = Frame.of(embedding.image_shape)
        image = torch.from_numpy(np.array(embedding.arrays["image"])).to(device)
        self.levels = pyramid(image[None, None].float() / 255)
        self.features = torch.from_numpy(np.array(embedding.arrays["features"])).to(device).float()[None]
        self.whole = roi_of_image(self.frame.work).to(device)

    def finish(self, found: list[Found], min_score: float | None) -> Candidates:
        """Bring region answers to the slice: masks on its own grid, logits on the working image."""
        kept = [each for each in found if min_score is None or float(each[1]) > min_score]
        if not kept:
            none = np.zeros(0, np.float32)
            logits = np.zeros((0, *self.frame.work), np.float32)
            return Candidates(np.zeros((0, *self.frame.shape), bool), none, logits, none)
        rows, cols = (torch.arange(n, dtype=torch.float32, device=self.device) for n in self.frame.work)
        scores = torch.stack([score for _, score, _ in kept]).float().cpu().numpy()
        stability = np.array([_stability(values) for values, _, _ in kept], np.float32)
        regions = [(logits, roi) for logits, _, roi in kept]
        pasted = _pasted(regions, rows, cols)
        if self.frame.work == self.frame.shape:
            masks = pasted > 0
        else:
            ys, xs = (
                (torch.arange(n, dtype=torch.float32, device=self.device) + 0.5) * w / n - 0.5
                for n, w in zip(self.frame.shape, self.frame.work, strict=True)
            )
            masks = _pasted(regions, ys, xs) > 0
        return Candidates(masks.cpu().numpy(), scores, pasted.cpu().numpy(), stability)

    def compared(self, found: Sequence[tuple[Tensor, Tensor]], long: int) -> tuple[Tensor, float]:
        """Masks (K, rows, cols), bool, of logits on their regions, on one coarse grid of at most `long` cells a side.

        Also the side of its cells in pixels of the working image.
        """
        step = max(1.0, max(self.frame.work) / long)
        rows, cols = (
            (torch.arange(max(1, round(n / step)), dtype=torch.float32, device=self.device) + 0.5) * step
            - 0.5
            for n in self.frame.work
        )
        return _pasted(found, rows, cols) > 0, step

    def boxes(self, prompts: list[Prompt]) -> Tensor:
        """Outer edges (P, 4) on the working image, NaN where there is no box."""
        edges = np.full((len(prompts), 4), np.nan)
        for row, prompt in zip(edges, prompts, strict=True):
            if prompt.box is not None:
                r0, c0, r1, c1 = prompt.box
                corners = np.array([[r0 - 0.5, c0 - 0.5], [r1 + 0.5, c1 + 0.5]])
                row[:] = self.frame.to_work(corners).ravel()
        return torch.tensor(edges, dtype=torch.float32, device=self.device)

    def clicks(self, prompts: list[Prompt]) -> Tensor:
        """(P, N, 3) on the working image; places that are not used have sign 0."""
        most = min(MAX_CLICKS, max(1, *(len(prompt.points) for prompt in prompts)))
        clicks = np.zeros((len(prompts), most, 3))
        for row, prompt in zip(clicks, prompts, strict=True):
            signs = np.where(prompt.labels == 1, 1.0, -1.0)
            given = np.c_[self.frame.to_work(prompt.points), signs][-most:]
            row[: len(given)] = given
        return torch.tensor(clicks, dtype=torch.float32, device=self.device)

    def previous(self, prompt: Prompt) -> Tensor:
        """Earlier logits as probabilities (1, 1, rows, cols) on the working image."""
        logits = np.asarray(prompt.mask_logits, np.float32)
        if logits.shape != self.frame.work:
            raise ModelError(
                f"The logits fed back have shape {logits.shape}, expected {self.frame.work}; "
                "feed back those of the same model and slice."
            )
        return torch.sigmoid(torch.from_numpy(logits))[None, None].to(self.device)

    def decode(
        self, roi: Tensor, grid: int, box: Tensor, clicks: Tensor, prev: Tensor | None = None
    ) -> Output:
        if prev is None:
            return self.answer(roi, self.fresh_maps(roi, grid, box, clicks))
        return self.answer(roi, self.maps(roi, box, clicks, prev))

    def fresh_maps(self, roi: Tensor, grid: int, box: Tensor, clicks: Tensor, brief: bool = False) -> Tensor:
        """Prompt maps (P, PROMPT_CHANNELS, grid, grid) without an earlier answer, see ``prompt_maps``."""
        unknown = torch.full((len(roi), 1, grid, grid), float("nan"), device=self.device)
        return self.maps(roi, box, clicks, unknown, brief)

    def maps(self, roi: Tensor, box: Tensor, clicks: Tensor, prev: Tensor, brief: bool = False) -> Tensor:
        index = torch.zeros(len(roi), dtype=torch.long, device=self.device)
        return prompt_maps(self.levels, PromptBatch(index, roi, box, clicks, prev), prev.shape[-1], brief)

    def answer(self, roi: Tensor, maps: Tensor) -> Output:
        output: Output = self.net.decoder(maps, self._sampled(roi, maps.shape[-1]))
        return output

    def masks(self, roi: Tensor, maps: Tensor) -> Tensor:
        """The logits (P, 3, R, R) of :meth:`answer` alone."""
        return self.net.decoder.masks(maps, self._sampled(roi, maps.shape[-1]))

    def _sampled(self, roi: Tensor, grid: int) -> Tensor:
        """The embedding on regions (P, 4), at a quarter of the resolution of their grids."""
        index = torch.zeros(len(roi), dtype=torch.long, device=self.device)
        return sample_map(
            self.features, index, roi_points(roi, grid // 4), self.frame.feature_extent, "zeros"
        )


def believed(logits: Tensor) -> Tensor:
    """Mean probability (P, 1, R, R) of the plain answer and the last alternative among answers (P, 3, R, R)."""
    p = torch.sigmoid(logits)
    return (p[:, :1] + p[:, 2:]) / 2


def consensus(both: Tensor, maps: Tensor, greys: Tensor | None = None) -> Tensor:
    """Logits (P, 1, R, R) of the mask on which three answers to a box agree.

    The mean of the plain answer, the last alternative and the likeness to the ellipse in the box, drawn to the edges of
    the image; on training slices it is better than each of them.

    Parameters
    ----------
    both : Tensor, shape (P, 1, R, R)
        What the network's answers say together, see :func:`believed`.
    maps : Tensor, shape (P, PROMPT_CHANNELS, R, R)
        Prompt maps they were given to.
    greys : Tensor, shape (P,), bool, optional
        Where the likeness counts; everywhere unless told.
    """
    alike = torch.sigmoid(STEEP * smoothed(maps[:, TONE_CHANNEL, None], WIDE))
    inside = maps[:, BOX_CHANNEL, None] > 0  # boxes may be too small: beyond them the network decides
    if greys is not None:
        inside = inside & greys[:, None, None, None]
    agreed = torch.where(inside, (2 * both + alike) / 3, both)
    return torch.logit(guided(agreed, maps[:, LOCAL_CHANNEL, None], REACH, FLAT), 1e-4)


def _pasted(found: Sequence[tuple[Tensor, Tensor]], rows: Tensor, cols: Tensor) -> Tensor:
    """Logits on their regions brought to pixels at `rows` × `cols`, (K, rows, cols)."""
    out = []
    for _, group in groupby(found, lambda each: each[1].data_ptr()):  # all answers to a box lie on one region
        logits, regions = zip(*group, strict=True)
        out.append(paste(torch.stack(logits).float(), regions[0], rows, cols, FAR_OUTSIDE))
    return torch.cat(out)


def _stability(logits: Tensor) -> float:
    """IoU of a mask cut one logit higher with the same cut one logit lower; 0 of an empty one."""
    lower = int((logits > -1).sum())
    return int((logits > 1).sum()) / lower if lower else 0.0
