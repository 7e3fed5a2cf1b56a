"""SAM (Kirillov et al. 2023) behind the package's protocol, without the state of ``SamPredictor``. Imports torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide

from napari_sam_med.core.errors import ModelError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.result import Candidates, Embedding
from napari_sam_med.models.catalog import ModelSpec, spec_of_hash
from napari_sam_med.models.sam_checkpoint import build_sam, read_state
from napari_sam_med.models.weights import sha256_of

# Part of every fingerprint: raise it when preprocessing or the stored arrays change, and old embeddings are not used.
PREPROCESSING = "longest-side-1"
_DTYPE = "float16"


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
        if embedding.model != self.fingerprint:
            raise ModelError("This embedding was made by another model; encode the slice again.")
        sam, shape = self._sam, embedding.image_shape
        features = torch.from_numpy(embedding.arrays["image_embedding"].astype(np.float32)).to(self.device)[
            None
        ]
        sparse, dense = sam.prompt_encoder(
            points=self._points(prompt, shape), boxes=self._box(prompt, shape), masks=self._logits(prompt)
        )
        low_res, scores = sam.mask_decoder(
            image_embeddings=features,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        input_size = self._resize.get_preprocess_shape(*shape, self._resize.target_length)
        masks = sam.postprocess_masks(low_res, input_size, shape)[0] > sam.mask_threshold
        return Candidates(masks.cpu().numpy(), scores[0].cpu().numpy(), low_res[0].cpu().numpy())

    def embedding_bytes(self, shape: tuple[int, int]) -> int:
        """Bytes of one embedding; the same for every `shape`, since images are brought to one size."""
        side = self._sam.image_encoder.img_size // self._sam.image_encoder.patch_embed.proj.stride[0]
        return int(self._sam.prompt_encoder.embed_dim * side * side * 2)

    def _points(self, prompt: Prompt, shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor] | None:
        if not len(prompt.points):
            return None
        xy = self._resize.apply_coords(prompt.points[:, ::-1], shape)
        # float32 here: MPS has no float64
        return (
            torch.as_tensor(xy.astype(np.float32), device=self.device)[None],
            torch.as_tensor(prompt.labels.astype(np.int32), device=self.device)[None],
        )

    def _box(self, prompt: Prompt, shape: tuple[int, int]) -> torch.Tensor | None:
        if prompt.box is None:
            return None
        r0, c0, r1, c1 = prompt.box
        xyxy = self._resize.apply_boxes(np.array([[c0, r0, c1, r1]]), shape)
        return torch.as_tensor(xyxy.astype(np.float32), device=self.device)

    def _logits(self, prompt: Prompt) -> torch.Tensor | None:
        if prompt.mask_logits is None:
            return None
        expected = tuple(self._sam.prompt_encoder.mask_input_size)
        if prompt.mask_logits.shape != expected:
            raise ModelError(
                f"Fed-back logits must be {expected[0]} × {expected[1]} for this model; found shape "
                f"{prompt.mask_logits.shape}: use those of the same model's last answer."
            )
        return torch.as_tensor(prompt.mask_logits, dtype=torch.float32, device=self.device)[None, None]


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
