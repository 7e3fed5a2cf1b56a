"""How the built-in model decodes prompts from one embedding: regions, batches, candidates. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_sam_med.core.errors import ModelError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.result import Candidates, Embedding
from napari_sam_med.models.builtin_net import (
    ENCODER_MULTIPLE,
    FEATURE_STRIDE,
    N_CANDIDATES,
    BuiltinNet,
    Output,
)
from napari_sam_med.models.builtin_roi import (
    MAX_CLICKS,
    PromptBatch,
    otsu_sides,
    paste,
    prompt_maps,
    pyramid,
    resample,
    roi_of_image,
    roi_of_mask,
    roi_points,
    sample_map,
)

WORK_MIN, WORK_MAX = 256, 1024
"""Longest side of the image that prompts are drawn on: small slices are enlarged, huge ones reduced."""
ENCODER_MAX = 512
"""Longest side of the image the encoder sees; the decoder still looks at the finer one."""
POINT_SCALES = (1.0, 0.35, 0.12)
"""Regions tried for a prompt without a box, over the longest side of the slice."""
COARSE_GRID = 40
"""Cells on a side of the region grid of clicks alone; finer ones gained nothing on training slices."""
GUESS_GRID = 48
"""The same for the answers to a box that come from guesses."""
SECOND_LOOKS = 5
"""Answers to clicks alone that are looked at again closely."""
BEHIND = 0.01
"""By how much the predicted IoU of an alternative stays below that of the plain answer to a box."""
SAME = 0.9
"""IoU above which two answers to a box are one."""
FAR_OUTSIDE = -12.0
"""Logit of pixels outside the region."""
TOGETHER = 16
"""Prompts decoded in one batch."""

_Found = tuple[Tensor, Tensor, Tensor]
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

    def boxes(self, prompts: list[Prompt]) -> list[list[_Found]]:
        """Each box is decoded on one region around it and the positive clicks: plainly, and from two guesses.

        The guesses are the sides of Otsu's threshold in the box, offered as earlier answers. What comes of them is an
        alternative that never counts more than the plain answer: believing it gained nothing on training slices.
        """
        box, clicks = self._boxes(prompts), self._clicks(prompts)
        n = len(prompts)
        nothing = torch.zeros((n, 8, 8), dtype=torch.bool, device=self.device)
        roi = roi_of_mask(nothing, self.whole.expand(n, -1), clicks, box)
        grid = self.net.config.grid
        unknown = torch.full((n, 1, grid, grid), float("nan"), device=self.device)
        maps = self._maps(roi, box, clicks, unknown)
        plain = self._answer(roi, maps)
        guess = F.interpolate(otsu_sides(maps), (GUESS_GRID, GUESS_GRID), mode="area").flatten(0, 1)[:, None]
        roi2, box2, clicks2 = (t.repeat_interleave(2, 0) for t in (roi, box, clicks))
        guessed = self._answer(roi2, self._maps(roi2, box2, clicks2, guess))
        fine = F.interpolate(guessed.logits, (grid, grid), mode="bilinear", align_corners=False)
        logits = torch.cat([plain.logits, fine.unflatten(0, (n, 2)).flatten(1, 2)], 1)
        most = plain.iou.amax(1, keepdim=True) - BEHIND
        others = torch.minimum(guessed.iou.unflatten(0, (n, 2)).flatten(1, 2), most).clamp_min(0)
        iou = torch.cat([plain.iou, others], 1)
        return [_different(*each) for each in zip(logits, iou, roi, strict=True)]

    def again(self, prompts: list[Prompt]) -> list[list[_Found]]:
        """An earlier answer fed back, with new clicks: one region around it, the box and the positive clicks."""
        (prompt,) = prompts
        box, clicks, prev = self._boxes(prompts), self._clicks(prompts), self._previous(prompt)
        roi = roi_of_mask(_square(prev)[:, 0] > 0.5, self.whole, clicks, box)
        grid = self.net.config.grid
        index = torch.zeros(1, dtype=torch.long, device=self.device)
        known = sample_map(prev, index, roi_points(roi, grid), self.frame.work, "zeros")
        return _ranked(self._decode(roi, grid, box, clicks, known), roi)

    def search(self, prompts: list[Prompt]) -> list[list[_Found]]:
        """Clicks alone: look on several scales, look again closely at five answers, keep the best three that differ.

        The first look sees the first positive click alone and the second all of them, as in training. The five are the
        last alternative of each scale and the two others believed most.
        """
        box, clicks = self._boxes(prompts), self._clicks(prompts)
        roi = torch.cat([self._scales(each) for each in clicks])
        n = len(POINT_SCALES)
        first = _first_positive(clicks).repeat_interleave(n, 0)
        output = self._decode(roi, COARSE_GRID, box.repeat_interleave(n, 0), first)
        p = torch.sigmoid(output.logits).flatten(0, 1)
        n *= N_CANDIDATES
        source = roi.repeat_interleave(N_CANDIDATES, 0)
        fitted = roi_of_mask(p > 0.5, source, clicks.repeat_interleave(n, 0), box.repeat_interleave(n, 0))
        scores = output.iou.reshape(len(prompts), n)
        alternatives = list(range(N_CANDIDATES - 1, n, N_CANDIDATES))
        chosen = []
        for k, score in enumerate(scores):
            others = score.clone()
            others[alternatives] = -1.0
            best = _distinct(others, fitted[k * n : (k + 1) * n], SECOND_LOOKS - len(alternatives))
            chosen += [k * n + place for place in (*alternatives, *best)]
        close = fitted[chosen]
        prev = resample(p[chosen, None], source[chosen], close)
        clicks, box = (t.repeat_interleave(SECOND_LOOKS, 0) for t in (clicks, box))
        second = self._decode(close, COARSE_GRID, box, clicks, prev)
        iou, best_k = second.iou.max(1)
        found = []
        for k in range(0, len(close), SECOND_LOOKS):
            places = [
                k + i for i in _distinct(iou[k : k + SECOND_LOOKS], close[k : k + SECOND_LOOKS], N_CANDIDATES)
            ]
            ranked = sorted(places, key=lambda i: -float(iou[i]))
            found.append([(second.logits[i, best_k[i]], iou[i], close[i]) for i in ranked])
        return found

    def finish(self, found: list[_Found], min_score: float | None) -> Candidates:
        """Bring region answers to the slice: masks on its own grid, logits on the working image."""
        kept = [each for each in found if min_score is None or float(each[1]) > min_score]
        if not kept:
            none = np.zeros(0, np.float32)
            logits = np.zeros((0, *self.frame.work), np.float32)
            return Candidates(np.zeros((0, *self.frame.shape), bool), none, logits, none)
        rows, cols = (torch.arange(n, dtype=torch.float32, device=self.device) for n in self.frame.work)
        scores = torch.stack([score for _, score, _ in kept]).float().cpu().numpy()
        stability = np.array([_stability(values) for values, _, _ in kept], np.float32)
        pasted = torch.cat([paste(v[None].float(), roi, rows, cols, FAR_OUTSIDE) for v, _, roi in kept])
        if self.frame.work == self.frame.shape:
            masks = pasted > 0
        else:
            ys, xs = (
                (torch.arange(n, dtype=torch.float32, device=self.device) + 0.5) * w / n - 0.5
                for n, w in zip(self.frame.shape, self.frame.work, strict=True)
            )
            masks = torch.cat([paste(v[None].float(), roi, ys, xs, FAR_OUTSIDE) for v, _, roi in kept]) > 0
        return Candidates(masks.cpu().numpy(), scores, pasted.cpu().numpy(), stability)

    def _boxes(self, prompts: list[Prompt]) -> Tensor:
        """Outer edges (P, 4) on the working image, NaN where there is no box."""
        edges = np.full((len(prompts), 4), np.nan)
        for row, prompt in zip(edges, prompts, strict=True):
            if prompt.box is not None:
                r0, c0, r1, c1 = prompt.box
                corners = np.array([[r0 - 0.5, c0 - 0.5], [r1 + 0.5, c1 + 0.5]])
                row[:] = self.frame.to_work(corners).ravel()
        return torch.tensor(edges, dtype=torch.float32, device=self.device)

    def _clicks(self, prompts: list[Prompt]) -> Tensor:
        """(P, N, 3) on the working image; places that are not used have sign 0."""
        most = min(MAX_CLICKS, max(1, *(len(prompt.points) for prompt in prompts)))
        clicks = np.zeros((len(prompts), most, 3))
        for row, prompt in zip(clicks, prompts, strict=True):
            signs = np.where(prompt.labels == 1, 1.0, -1.0)
            given = np.c_[self.frame.to_work(prompt.points), signs][-most:]
            row[: len(given)] = given
        return torch.tensor(clicks, dtype=torch.float32, device=self.device)

    def _previous(self, prompt: Prompt) -> Tensor:
        """Earlier logits as probabilities (1, 1, rows, cols) on the working image."""
        logits = np.asarray(prompt.mask_logits, np.float32)
        if logits.shape != self.frame.work:
            raise ModelError(
                f"The logits fed back have shape {logits.shape}, expected {self.frame.work}; "
                "feed back those of the same model and slice."
            )
        return torch.sigmoid(torch.from_numpy(logits))[None, None].to(self.device)

    def _scales(self, clicks: Tensor) -> Tensor:
        """Regions (len(POINT_SCALES), 4) to look for the object of some clicks (N, 3) in: the slice, and closer."""
        positive = clicks[clicks[:, 2] > 0, :2]
        centre = (positive.amin(0) + positive.amax(0)) / 2
        spread = float((positive - centre).abs().max()) * 1.3
        half = max(self.frame.work) / 2
        regions = [self.whole[0]]
        for scale in POINT_SCALES[1:]:
            side = max(half * scale, spread, 8.0)
            regions.append(torch.tensor([*centre.tolist(), side, side], device=self.device))
        return torch.stack(regions)

    def _decode(
        self, roi: Tensor, grid: int, box: Tensor, clicks: Tensor, prev: Tensor | None = None
    ) -> Output:
        if prev is None:
            prev = torch.full((len(roi), 1, grid, grid), float("nan"), device=self.device)
        return self._answer(roi, self._maps(roi, box, clicks, prev))

    def _maps(self, roi: Tensor, box: Tensor, clicks: Tensor, prev: Tensor) -> Tensor:
        index = torch.zeros(len(roi), dtype=torch.long, device=self.device)
        return prompt_maps(self.levels, PromptBatch(index, roi, box, clicks, prev), prev.shape[-1])

    def _answer(self, roi: Tensor, maps: Tensor) -> Output:
        index = torch.zeros(len(roi), dtype=torch.long, device=self.device)
        points = roi_points(roi, maps.shape[-1] // 4)
        sampled = sample_map(self.features, index, points, self.frame.feature_extent, "zeros")
        output: Output = self.net.decoder(maps, sampled)
        return output


def _ranked(output: Output, roi: Tensor) -> list[list[_Found]]:
    """The candidates of each prompt on its region, the highest predicted IoU first."""
    order = torch.argsort(output.iou, dim=1, descending=True, stable=True)
    return [
        [(logits[k], iou[k], region) for k in ranks]
        for logits, iou, region, ranks in zip(output.logits, output.iou, roi, order, strict=True)
    ]


def _first_positive(clicks: Tensor) -> Tensor:
    """The first positive of the clicks (P, N, 3) alone, (P, 1, 3)."""
    first = (clicks[:, :, 2] > 0).float().argmax(1)
    return clicks[torch.arange(len(clicks), device=clicks.device), first][:, None]


def _different(logits: Tensor, iou: Tensor, roi: Tensor) -> list[_Found]:
    """Of the answers (K, R, R) to one prompt the best three that differ, the highest predicted IoU first."""
    masks = (logits > 0).flatten(1).float()
    shared = masks @ masks.T
    sizes = masks.sum(1)
    alike = shared / (sizes[:, None] + sizes[None] - shared).clamp_min(1.0) > SAME
    order = [int(k) for k in torch.argsort(iou, descending=True, stable=True)]
    chosen: list[int] = []
    for k in order:
        if not any(bool(alike[k, c]) for c in chosen):
            chosen.append(k)
    chosen = (chosen + [k for k in order if k not in chosen])[:N_CANDIDATES]
    return [(logits[k], iou[k], roi) for k in sorted(chosen, key=order.index)]


def _stability(logits: Tensor) -> float:
    """IoU of a mask cut one logit higher with the same cut one logit lower; 0 of an empty one."""
    lower = int((logits > -1).sum())
    return int((logits > 1).sum()) / lower if lower else 0.0


def _square(prev: Tensor) -> Tensor:
    """(1, 1, rows, cols) on the working image to (1, 1, n, n) on the whole-image region."""
    roi = roi_of_image((prev.shape[-2], prev.shape[-1])).to(prev.device)
    size = max(prev.shape[-2:])
    index = torch.zeros(1, dtype=torch.long, device=prev.device)
    return sample_map(prev, index, roi_points(roi, size), (prev.shape[-2], prev.shape[-1]), "zeros")


def _distinct(scores: Tensor, regions: Tensor, n: int) -> list[int]:
    """Indices of the `n` best scores whose regions differ; the best of the rest fill up."""
    order = [int(k) for k in torch.argsort(scores, descending=True, stable=True)]
    chosen: list[int] = []
    for k in order:
        if all(_overlap(regions[k], regions[c]) < 0.7 for c in chosen):
            chosen.append(k)
        if len(chosen) == n:
            return chosen
    return chosen + [k for k in order if k not in chosen][: n - len(chosen)]


def _overlap(a: Tensor, b: Tensor) -> float:
    """IoU of two regions."""
    low = torch.maximum(a[:2] - a[2:], b[:2] - b[2:])
    high = torch.minimum(a[:2] + a[2:], b[:2] + b[2:])
    both = float((high - low).clamp_min(0).prod())
    return both / (4 * float(a[2:].prod()) + 4 * float(b[2:].prod()) - both)


_Work = Callable[[Look, list[Prompt]], list[list[_Found]]]


def by_work(prompts: Sequence[Prompt]) -> Iterator[tuple[list[int], _Work]]:
    """Places of prompts that are decoded together, and how."""
    fed_back = [k for k, prompt in enumerate(prompts) if prompt.mask_logits is not None]
    others = [k for k, prompt in enumerate(prompts) if prompt.mask_logits is None]
    boxes = [k for k in others if prompts[k].box is not None]
    clicks = [k for k in others if prompts[k].box is None]
    yield from (([k], Look.again) for k in fed_back)
    for places, work in ((boxes, Look.boxes), (clicks, Look.search)):
        for start in range(0, len(places), TOGETHER):
            yield places[start : start + TOGETHER], work
