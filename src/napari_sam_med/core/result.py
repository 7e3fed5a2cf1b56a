"""What a model gives back: an embedding for a slice, candidates for a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.prompt import Prompt


@dataclass(frozen=True, eq=False)
class Embedding:
    """Everything a model keeps of one slice image; the model can decode any prompt from it, with no other state.

    Attributes
    ----------
    arrays : mapping of str to ndarray
        Float16, float32, uint8 or integer arrays; the cache stores them as they are.
    image_shape : tuple of int
        (rows, cols) of the image that was encoded.
    model : str
        Fingerprint of the model that made it.
    """

    arrays: Mapping[str, NDArray[Any]]
    image_shape: tuple[int, int]
    model: str

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return int(sum(a.nbytes for a in self.arrays.values()))


@dataclass(frozen=True, eq=False)
class Candidates:
    """Masks a model proposes for one prompt, best guess not yet chosen.

    Attributes
    ----------
    masks : ndarray, shape (K, rows, cols), bool
        On the grid of the image (or of the voxel slice once the session has brought them back).
    scores : ndarray, shape (K,), float32
        IoU with the wanted object as the model predicts it, 0..1.
    low_res : ndarray, shape (K, h, w), float32
        Low-resolution logits, to be fed back as ``Prompt.mask_logits`` to the same model.
    stability : ndarray, shape (K,), float32, optional
        IoU of each mask cut at one logit higher with the same cut at one logit lower, 0..1 (Kirillov et al. 2023):
        near 1 the border does not depend on the threshold. None where the model does not tell.
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    low_res: NDArray[np.float32]
    stability: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def best(self) -> int:
        """Index of the candidate with the highest predicted IoU (the ``score`` rule)."""
        return int(np.argmax(self.scores))

    def ranked(self) -> NDArray[np.int64]:
        """Candidate indices from the highest predicted IoU to the lowest."""
        return np.argsort(-self.scores, kind="stable")


@runtime_checkable
class Segmenter(Protocol):
    """A promptable 2D model without hidden state.

    Images are uint8, shape (rows, cols), square pixels; prompts are (row, col) in that image.
    """

    name: str
    """Name in the catalog, or of the checkpoint file."""
    fingerprint: str
    """Architecture, weights SHA-256, preprocessing version and dtype: part of every cache key."""
    device: str
    """Where it runs: "cpu", "cuda", "mps"."""

    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        """Embed one slice image."""
        ...

    def decode(self, embedding: Embedding, prompt: Prompt) -> Candidates:
        """Candidate masks for one prompt, on the grid of the encoded image."""
        ...

    def embedding_bytes(self, shape: tuple[int, int]) -> int:
        """Bytes one embedding of an image of `shape` takes, for the estimate shown before a long job."""
        ...


@runtime_checkable
class BatchSegmenter(Segmenter, Protocol):
    """A segmenter that answers many prompts on one embedding together."""

    proposal_limits: tuple[float, float]
    """Predicted IoU above which, and stability from which, a mask nobody asked for is worth proposing."""

    def decode_many(
        self, embedding: Embedding, prompts: Sequence[Prompt], min_score: float | None = None
    ) -> list[Candidates]:
        """Candidates for each prompt, as :meth:`decode` gives them up to rounding.

        Parameters
        ----------
        embedding : Embedding
        prompts : sequence of Prompt
        min_score : float, optional
            Leave out candidates with a predicted IoU of this or less, before the work of bringing them to the grid of
            the image; an answer may then have none. Meant for grids of points: a model may look less closely then.
        """
        ...
