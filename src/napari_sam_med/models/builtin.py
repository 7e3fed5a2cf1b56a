"""The model inside the package: needs no download and runs on a laptop's CPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_sam_med.core.errors import ModelError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.result import Candidates, Embedding
from napari_sam_med.models.builtin_file import read_weights
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
    paste,
    prompt_maps,
    pyramid,
    roi_of_image,
    roi_of_mask,
    roi_points,
    sample_map,
)

NAME = "builtin"
PREPROCESSING = 1
"""Raised when the embedding of the same image changes."""
WORK_MIN, WORK_MAX = 256, 1024
"""Longest side of the image that prompts are drawn on: small slices are enlarged, huge ones reduced."""
ENCODER_MAX = 512
"""Longest side of the image the encoder sees; the decoder still looks at the finer one."""
POINT_SCALES = (1.0, 0.35, 0.12)
"""Regions tried for a prompt without a box, over the longest side of the slice."""
COARSE_GRID = 64
FAR_OUTSIDE = -12.0
"""Logit of pixels outside the region."""


@dataclass(frozen=True)
class _Frame:
    """Sizes of one slice: as given, as prompts are drawn on, and as the encoder sees it."""

    shape: tuple[int, int]
    work: tuple[int, int]
    encoder: tuple[int, int]

    @classmethod
    def of(cls, shape: tuple[int, int]) -> _Frame:
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


class BuiltinSegmenter:
    """Adapter of :class:`BuiltinNet` to the ``Segmenter`` protocol.

    A box, or an earlier answer fed back, is decoded on one region around it. Clicks alone are looked at on regions of
    several sizes first; the most promising answers are then looked at again, closely. So a small organ in a large
    slice is seen at the resolution of its own region, not of the slice.

    Parameters
    ----------
    net : BuiltinNet
    weights_sha256 : str
    device : str
    """

    def __init__(self, net: BuiltinNet, weights_sha256: str, device: str = "cpu") -> None:
        self.name = NAME
        self.device = device
        self.fingerprint = f"builtin-{weights_sha256[:16]}-p{PREPROCESSING}-fp32"
        self._net = net.eval().requires_grad_(False).to(device)

    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        """Embed one slice image, shape (rows, cols), uint8.

        Raises
        ------
        ModelError
            If the image is not a uint8 slice.
        """
        if image.ndim != 2 or image.dtype != np.uint8 or 0 in image.shape:
            raise ModelError(
                f"A slice image is (rows, cols) of uint8; found shape {image.shape}, {image.dtype}."
            )
        frame = _Frame.of((image.shape[0], image.shape[1]))
        with torch.inference_mode():
            pixels = torch.from_numpy(np.ascontiguousarray(image))[None, None].to(self.device).float()
            work = _resize(pixels, frame.work).round().clamp(0, 255)
            small = _resize(work, frame.encoder) / 127.5 - 1
            padded = F.pad(
                small, (0, -small.shape[-1] % ENCODER_MULTIPLE, 0, -small.shape[-2] % ENCODER_MULTIPLE)
            )
            features = self._net.encoder(padded)[0].clamp(-6e4, 6e4).half().cpu().numpy()
            return Embedding(
                {"image": work[0, 0].byte().cpu().numpy(), "features": features},
                frame.shape,
                self.fingerprint,
            )

    def decode(self, embedding: Embedding, prompt: Prompt) -> Candidates:
        """Three candidates for one prompt, on the grid of the encoded image.

        Raises
        ------
        ModelError
            If the prompt has neither a box nor a positive point, or the embedding is another model's.
        """
        if embedding.model != self.fingerprint:
            raise ModelError("The stored embedding was made by another model; encode the slice again.")
        if prompt.empty and prompt.mask_logits is None:
            raise ModelError("Give the model a box or at least one positive point.")
        with torch.inference_mode():
            look = _Look(self._net, embedding, prompt, self.device)
            return look.candidates()

    def embedding_bytes(self, shape: tuple[int, int]) -> int:
        """Bytes of the embedding of a slice of `shape` (rows, cols)."""
        frame = _Frame.of(shape)
        rows, cols = frame.feature_shape
        return frame.work[0] * frame.work[1] + rows * cols * self._net.config.features * 2


class _Look:
    """One prompt on one embedding, while it is decoded."""

    def __init__(self, net: BuiltinNet, embedding: Embedding, prompt: Prompt, device: str) -> None:
        self.net, self.device = net, device
        self.frame = _Frame.of(embedding.image_shape)
        image = torch.from_numpy(np.array(embedding.arrays["image"])).to(device)
        self.levels = pyramid(image[None, None].float() / 255)
        self.features = torch.from_numpy(np.array(embedding.arrays["features"])).to(device).float()[None]
        self.box = torch.full((1, 4), float("nan"), device=device)
        if prompt.box is not None:
            r0, c0, r1, c1 = prompt.box
            edges = self.frame.to_work(np.array([[r0 - 0.5, c0 - 0.5], [r1 + 0.5, c1 + 0.5]]))
            self.box = torch.tensor(edges.reshape(1, 4), dtype=torch.float32, device=device)
        self.clicks = self._clicks(prompt)
        self.prev = self._previous(prompt)

    def _clicks(self, prompt: Prompt) -> Tensor:
        points = self.frame.to_work(prompt.points)
        signs = np.where(prompt.labels == 1, 1.0, -1.0)
        rows = np.c_[points, signs][-MAX_CLICKS:] if len(points) else np.zeros((1, 3))
        return torch.tensor(rows[None], dtype=torch.float32, device=self.device)

    def _previous(self, prompt: Prompt) -> Tensor | None:
        """Earlier logits as probabilities (1, 1, rows, cols) on the working image."""
        if prompt.mask_logits is None:
            return None
        logits = np.asarray(prompt.mask_logits, np.float32)
        if logits.shape != self.frame.work:
            raise ModelError(
                f"The logits fed back have shape {logits.shape}, expected {self.frame.work}; "
                "feed back those of the same model and slice."
            )
        return torch.sigmoid(torch.from_numpy(logits))[None, None].to(self.device)

    def candidates(self) -> Candidates:
        if self.prev is not None or not torch.isnan(self.box).any():
            roi = self._region()
            output = self._decode(roi, self.net.config.grid, self._previous_on(roi, self.net.config.grid))
            order = torch.argsort(output.iou[0], descending=True, stable=True)
            return self._finish([(output.logits[0, k], output.iou[0, k], roi[0]) for k in order])
        return self._finish(self._search())

    def _region(self) -> Tensor:
        """The region of a box, an earlier answer, and the positive clicks, together."""
        whole = roi_of_image(self.frame.work).to(self.device)
        if self.prev is None:
            mask = torch.zeros((1, 8, 8), dtype=torch.bool, device=self.device)
            return roi_of_mask(mask, whole, self.clicks, self.box)
        return roi_of_mask(_square(self.prev)[:, 0] > 0.5, whole, self.clicks, self.box)

    def _search(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Clicks alone: look on several scales, keep the best three different answers, look again closely."""
        positive = self.clicks[0, self.clicks[0, :, 2] > 0, :2]
        centre = (positive.amin(0) + positive.amax(0)) / 2
        spread = float((positive - centre).abs().max()) * 1.3
        half = max(self.frame.work) / 2
        regions = [roi_of_image(self.frame.work)[0].to(self.device)]
        for scale in POINT_SCALES[1:]:
            side = max(half * scale, spread, 8.0)
            regions.append(torch.tensor([*centre.tolist(), side, side], device=self.device))
        roi = torch.stack(regions)
        output = self._decode(roi, COARSE_GRID, None)
        p = torch.sigmoid(output.logits)
        n = len(regions)
        source = roi.repeat_interleave(N_CANDIDATES, 0)
        masks = (p > 0.5).flatten(0, 1)
        clicks, box = self.clicks.expand(n * N_CANDIDATES, -1, -1), self.box.expand(n * N_CANDIDATES, -1)
        fitted = roi_of_mask(masks, source, clicks, box)
        chosen = _distinct(output.iou.flatten(), fitted, N_CANDIDATES)
        close = fitted[chosen]
        prev = torch.cat([self._carry(p.flatten(0, 1)[k], source[k], fitted[k]) for k in chosen])
        again = self._decode(close, COARSE_GRID, prev)
        best = again.iou.argmax(1)
        found = [(again.logits[i, k], again.iou[i, k], close[i]) for i, k in enumerate(best)]
        return sorted(found, key=lambda f: -float(f[1]))

    def _carry(self, p: Tensor, source: Tensor, wanted: Tensor) -> Tensor:
        points = roi_points(wanted[None], COARSE_GRID)
        unit = ((points - source[:2]) / source[2:]).flip(-1)
        return F.grid_sample(p[None, None], unit, mode="bilinear", padding_mode="zeros", align_corners=False)

    def _previous_on(self, roi: Tensor, grid: int) -> Tensor | None:
        if self.prev is None:
            return None
        index = torch.zeros(len(roi), dtype=torch.long, device=self.device)
        return sample_map(self.prev, index, roi_points(roi, grid), self.frame.work, "zeros")

    def _decode(self, roi: Tensor, grid: int, prev: Tensor | None) -> Output:
        n = len(roi)
        index = torch.zeros(n, dtype=torch.long, device=self.device)
        if prev is None:
            prev = torch.full((n, 1, grid, grid), float("nan"), device=self.device)
        batch = PromptBatch(index, roi, self.box.expand(n, -1), self.clicks.expand(n, -1, -1), prev)
        maps = prompt_maps(self.levels, batch, grid)
        points = roi_points(roi, grid // 4)
        sampled = sample_map(self.features, index, points, self.frame.feature_extent, "zeros")
        output: Output = self.net.decoder(maps, sampled)
        return output

    def _finish(self, found: list[tuple[Tensor, Tensor, Tensor]]) -> Candidates:
        """Bring region answers to the slice: masks on its own grid, logits on the working image."""
        rows, cols = (torch.arange(n, dtype=torch.float32, device=self.device) for n in self.frame.work)
        scores = torch.stack([score for _, score, _ in found]).float().cpu().numpy()
        logits = torch.cat([paste(v[None].float(), roi, rows, cols, FAR_OUTSIDE) for v, _, roi in found])
        if self.frame.work == self.frame.shape:
            masks = logits > 0
        else:
            ys, xs = (
                (torch.arange(n, dtype=torch.float32, device=self.device) + 0.5) * w / n - 0.5
                for n, w in zip(self.frame.shape, self.frame.work, strict=True)
            )
            masks = torch.cat([paste(v[None].float(), roi, ys, xs, FAR_OUTSIDE) for v, _, roi in found]) > 0
        return Candidates(masks.cpu().numpy(), scores, logits.cpu().numpy())


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


def _resize(image: Tensor, shape: tuple[int, int]) -> Tensor:
    if (image.shape[-2], image.shape[-1]) == shape:
        return image
    return F.interpolate(image, shape, mode="bilinear", align_corners=False, antialias=True)


def weights_path() -> Path:
    """Where the weights lie inside the package."""
    return Path(__file__).parent / "data" / "builtin.safetensors"


def load_builtin(path: Path | None = None, device: str = "cpu") -> BuiltinSegmenter:
    """Load the built-in model, or another file written by ``train-builtin``.

    Raises
    ------
    ModelError
        If the file is missing, damaged or of another kind.
    """
    net, digest = read_weights(path or weights_path())
    return BuiltinSegmenter(net, digest, device)
