"""The model inside the package: needs no download and runs on a laptop's CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_sam_med.core.errors import ModelError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.result import Candidates, Embedding
from napari_sam_med.models.builtin_answers import by_work
from napari_sam_med.models.builtin_file import read_weights
from napari_sam_med.models.builtin_look import Frame, Look
from napari_sam_med.models.builtin_net import ENCODER_MULTIPLE, BuiltinNet

NAME = "builtin"
PREPROCESSING = 1
"""Raised when the embedding of the same image changes."""


class BuiltinSegmenter:
    """Adapter of :class:`BuiltinNet` to the ``Segmenter`` protocol.

    A box, or an earlier answer fed back, is decoded on one region around it. Clicks alone are looked at on regions of
    several sizes first; the boxes of the most promising answers are then answered as if they had been drawn. So a small
    organ in a large slice is seen at the resolution of its own region, not of the slice. How good an answer is, is
    judged from what can be seen of it.

    Parameters
    ----------
    net : BuiltinNet
    weights_sha256 : str
    device : str
    """

    proposal_limits = (0.6, 0.5)

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
        frame = Frame.of((image.shape[0], image.shape[1]))
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
        return self.decode_many(embedding, [prompt])[0]

    def decode_many(
        self, embedding: Embedding, prompts: Sequence[Prompt], min_score: float | None = None
    ) -> list[Candidates]:
        """Candidates for many prompts on one embedding.

        Parameters
        ----------
        embedding, prompts
            See :meth:`decode`.
        min_score : float, optional
            Leave out candidates with a predicted IoU of this or less before they are brought to the slice. Fewer
            answers to clicks are looked at again then, and the network rates them, not the judge: for grids of points.

        Raises
        ------
        ModelError
            See :meth:`decode`.
        """
        if embedding.model != self.fingerprint:
            raise ModelError("The stored embedding was made by another model; encode the slice again.")
        if any(prompt.empty and prompt.mask_logits is None for prompt in prompts):
            raise ModelError("Give the model a box or at least one positive point.")
        with torch.inference_mode():
            look = Look(self._net, embedding, self.device)
            answers: dict[int, Candidates] = {}
            for places, work in by_work(prompts, fast=min_score is not None):
                found = work(look, [prompts[k] for k in places])
                answers |= {k: look.finish(each, min_score) for k, each in zip(places, found, strict=True)}
            return [answers[k] for k in range(len(prompts))]

    def embedding_bytes(self, shape: tuple[int, int]) -> int:
        """Bytes of the embedding of a slice of `shape` (rows, cols)."""
        frame = Frame.of(shape)
        rows, cols = frame.feature_shape
        return frame.work[0] * frame.work[1] + rows * cols * self._net.config.features * 2


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
