"""SAM (Kirillov et al. 2023) behind the package's protocol, without the state of ``SamPredictor``. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from napari_sam_med.core.errors import ModelError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.result import Candidates, Embedding
from napari_sam_med.models.catalog import ModelSpec, spec_of_hash
from napari_sam_med.models.sam_checkpoint import build_sam, read_state
from napari_sam_med.models.sam_library import ResizeLongestSide, Sam
from napari_sam_med.models.sam_many import ManyDecoder
from napari_sam_med.models.weights import sha256_of

# Part of every fingerprint: raise it when preprocessing or the stored arrays change, and old embeddings are not used.
PREPROCESSING = "longest-side-1"
_DTYPE = "float16"
_STABILITY_OFFSET = 1.0
# prompts decoded together: a few share the reading of the weights; each keeps 2 MiB until it is drawn
_TOGETHER = {"cpu": 4, "mps": 16, "cuda": 64}

_Enlarge = Callable[[torch.Tensor, tuple[int, int]], torch.Tensor]


class SamSegmenter:
    """A SAM network as a :class:`~napari_sam_med.core.result.Segmenter`.

    Weights and arithmetic are float32; the embedding is kept as float16, (256, 64, 64) for SAM's 1024 pixels, so that
    a slice takes 2 MiB. :meth:`decode` always starts from the float16 numbers, fresh or from the disk alike, so an
    answer does not depend on the cache. Given the same features, masks, scores and logits are those of
    ``SamPredictor.predict(..., multimask_output=True)``.

    The three multimask candidates are returned for every prompt. SAM's authors advise its single-mask output for
    unambiguous prompts; the candidates cover it, and the paper's selection rules need all three.

    Parameters
    ----------
    sam : Sam
        With its weights, in evaluation mode, on `device`.
    name : str
        Name in the catalog or of the checkpoint file.
    weights_sha256 : str
        Identity of the weights.
    architecture : str
        Name of the network, such as "sam_vit_b".
    device : str
        "cpu", "cuda" or "mps".
    """

    proposal_limits = (0.88, 0.95)

    def __init__(
        self, sam: Sam, name: str, weights_sha256: str, architecture: str, device: str = "cpu"
    ) -> None:
        self.name = name
        self.fingerprint = f"{architecture}/{weights_sha256}/{PREPROCESSING}/{_DTYPE}"
        self.device = device
        self._sam = sam
        self._resize = ResizeLongestSide(sam.image_encoder.img_size)

    @torch.inference_mode()
    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        """Embed one slice image.

        Parameters
        ----------
        image : ndarray, shape (rows, cols), uint8
            Square pixels.

        Returns
        -------
        Embedding
            ``arrays["image_embedding"]``: float16, (256, side/16, side/16).
        """
        rows, cols = image.shape
        resized = self._resize.apply_image(np.repeat(image[:, :, None], 3, axis=2))
        tensor = torch.as_tensor(resized, device=self.device).permute(2, 0, 1).contiguous()[None]
        features = self._sam.image_encoder(self._sam.preprocess(tensor))
        stored = features[0].to(torch.float16).cpu().numpy()
        return Embedding({"image_embedding": stored}, (rows, cols), self.fingerprint)

    @torch.inference_mode()
    def decode(self, embedding: Embedding, prompt: Prompt) -> Candidates:
        """Three candidates for one prompt.

        Parameters
        ----------
        embedding : Embedding
            Made by this model.
        prompt : Prompt
            In the pixels of the encoded image. As for ``SamPredictor``, coordinates are pixel indices: a box runs from
            its first to its last pixel.

        Returns
        -------
        Candidates
            ``masks`` (3, rows, cols), ``scores`` (3,) as predicted (not clipped), ``low_res`` (3, 256, 256).

        Raises
        ------
        ModelError
            If the embedding is another model's, or the fed-back logits have another size.
        """
        return self.decode_many(embedding, [prompt])[0]

    @torch.inference_mode()
    def decode_many(
        self, embedding: Embedding, prompts: Sequence[Prompt], min_score: float | None = None
    ) -> list[Candidates]:
        """Candidates for many prompts on one embedding; those of one kind (as many points, a box, logits) go together.

        They agree with those of :meth:`decode` up to rounding, and take a fraction of the time (see :mod:`.sam_many`).

        Parameters
        ----------
        embedding, prompts
            See :meth:`decode`.
        min_score : float, optional
            Leave out candidates with a predicted IoU of this or less before they are enlarged to the image.

        Raises
        ------
        ModelError
            See :meth:`decode`.
        """
        if embedding.model != self.fingerprint:
            raise ModelError("This embedding was made by another model; encode the slice again.")
        sam, shape = self._sam, embedding.image_shape
        stored = torch.from_numpy(embedding.arrays["image_embedding"].astype(np.float32))
        features = stored.to(self.device)[None]
        together = ManyDecoder(sam, features) if len(prompts) > 1 else None
        answers: dict[int, Candidates] = {}
        for places in _alike(prompts, _TOGETHER[self.device]):
            batch = [prompts[k] for k in places]
            logits = self._logits(batch)
            sparse, dense = sam.prompt_encoder(
                points=self._points(batch, shape), boxes=self._boxes(batch, shape), masks=logits
            )
            if together is not None and logits is None:
                found, enlarge = together(sparse, min_score), self._enlarge_fast
            else:
                found, enlarge = self._one_by_one(features, sparse, dense, min_score), self._enlarge_exactly
            for place, low_res, scores in zip(places, *found, strict=True):
                answers[place] = self._candidates(low_res, scores, shape, enlarge)
        return [answers[k] for k in range(len(prompts))]

    def _one_by_one(
        self, features: torch.Tensor, sparse: torch.Tensor, dense: torch.Tensor, min_score: float | None
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Logits and scores of each prompt by SAM's own decoder, to the last bit those of ``SamPredictor``."""
        sam = self._sam
        low_res, scores = sam.mask_decoder(
            image_embeddings=features,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        kept = [slice(None) if min_score is None else score > min_score for score in scores]
        return [x[k] for x, k in zip(low_res, kept, strict=True)], [
            x[k] for x, k in zip(scores, kept, strict=True)
        ]

    def _candidates(
        self, low_res: torch.Tensor, scores: torch.Tensor, shape: tuple[int, int], enlarge: _Enlarge
    ) -> Candidates:
        """Candidates of one prompt from their logits (K, h, w), on the grid of the image."""
        if not len(scores):
            size = tuple(low_res.shape[1:])
            none = np.zeros(0, np.float32)
            return Candidates(np.zeros((0, *shape), bool), none, np.zeros((0, *size), np.float32), none)
        logits = enlarge(low_res, shape)
        threshold = self._sam.mask_threshold
        return Candidates(
            (logits > threshold).cpu().numpy(),
            scores.cpu().numpy(),
            low_res.cpu().numpy(),
            _stability(logits, threshold, _STABILITY_OFFSET).cpu().numpy(),
        )

    def _enlarge_exactly(self, low_res: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Logits (K, h, w) on the image, as ``SamPredictor`` brings them there: by the size of the input."""
        input_size = self._resize.get_preprocess_shape(*shape, self._resize.target_length)
        return self._sam.postprocess_masks(low_res[None], input_size, shape)[0]

    def _enlarge_fast(self, low_res: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """The same up to rounding: an image of half the input's size takes the mean of two neighbours on one line."""
        side = self._resize.target_length // 2
        if max(shape) != side or 2 * low_res.shape[-1] != side:
            return self._enlarge_exactly(low_res, shape)
        whole = F.interpolate(low_res[None], (side, side), mode="bilinear", align_corners=False)[0]
        return whole[:, : shape[0], : shape[1]]

    def embedding_bytes(self, shape: tuple[int, int]) -> int:
        """Bytes of one embedding; the same for every `shape`, since images are brought to one size."""
        side = self._sam.image_encoder.img_size // self._sam.image_encoder.patch_embed.proj.stride[0]
        return int(self._sam.prompt_encoder.embed_dim * side * side * 2)

    def _points(
        self, prompts: list[Prompt], shape: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        if not len(prompts[0].points):
            return None
        xy = self._resize.apply_coords(np.stack([prompt.points[:, ::-1] for prompt in prompts]), shape)
        labels = np.stack([prompt.labels for prompt in prompts])
        # float32 here: MPS has no float64
        return (
            torch.as_tensor(xy.astype(np.float32), device=self.device),
            torch.as_tensor(labels.astype(np.int32), device=self.device),
        )

    def _boxes(self, prompts: list[Prompt], shape: tuple[int, int]) -> torch.Tensor | None:
        if prompts[0].box is None:
            return None
        corners = np.array([prompt.box for prompt in prompts], np.float64)[:, [1, 0, 3, 2]]
        xyxy = self._resize.apply_boxes(corners, shape)
        return torch.as_tensor(xyxy.astype(np.float32), device=self.device)

    def _logits(self, prompts: list[Prompt]) -> torch.Tensor | None:
        given = [prompt.mask_logits for prompt in prompts if prompt.mask_logits is not None]
        if not given:
            return None
        expected = tuple(self._sam.prompt_encoder.mask_input_size)
        for logits in given:
            if logits.shape != expected:
                raise ModelError(
                    f"Fed-back logits must be {expected[0]} × {expected[1]} for this model; found shape "
                    f"{logits.shape}: use those of the same model's last answer."
                )
        return torch.as_tensor(np.stack(given), dtype=torch.float32, device=self.device)[:, None]


def _stability(logits: torch.Tensor, threshold: float, offset: float) -> torch.Tensor:
    """IoU (K,) of the masks that logits (K, h, w) give with a higher and a lower threshold; 0 for no mask at all.

    The number of ``segment_anything``'s ``calculate_stability_score``, which on a CPU takes several times as long.
    """
    high, low = (
        torch.stack([torch.count_nonzero(mask) for mask in logits > limit])
        for limit in (threshold + offset, threshold - offset)
    )
    return high / low.clamp_min(1)


def _alike(prompts: Sequence[Prompt], together: int) -> Iterator[list[int]]:
    """Places of prompts that can share one batch: as many points, with or without a box and logits."""
    kinds: dict[tuple[int, bool, bool], list[int]] = {}
    for place, prompt in enumerate(prompts):
        kind = (len(prompt.points), prompt.box is None, prompt.mask_logits is None)
        kinds.setdefault(kind, []).append(place)
    for places in kinds.values():
        for start in range(0, len(places), together):
            yield places[start : start + together]


def load_sam(path: Path, device: str, spec: ModelSpec | None = None) -> SamSegmenter:
    """Load a SAM checkpoint of any ViT size.

    Parameters
    ----------
    path : Path
        PyTorch checkpoint.
    device : str
        "cpu", "cuda" or "mps".
    spec : ModelSpec, optional
        The catalog's row this file is meant to be; its SHA-256 must then fit. Without it, a file whose hash is in the
        catalog is recognised.

    Raises
    ------
    ModelError
        If the file is damaged, or not a SAM checkpoint (naming the missing weights).
    """
    if path.stem == "medsam_vit_b":
        # it would load without an error and give wrong features: it was trained with another resize and normalisation
        raise ModelError(
            f"{path.name} is MedSAM, which needs another preparation of the image than SAM and is not supported yet; "
            "choose a SAM checkpoint or the built-in model."
        )
    sha256 = sha256_of(path)
    if spec is not None and sha256 != spec.sha256:
        raise ModelError(
            f"{path} is not the published {spec.title} (its SHA-256 differs); delete the file and download it again."
        )
    known = spec or spec_of_hash(sha256)
    sam, shape = build_sam(read_state(path), path.name)
    return SamSegmenter(sam.to(device), known.name if known else path.name, sha256, shape.name, device)
