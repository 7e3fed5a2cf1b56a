"""A model and its cache: slice images and prompts in voxels go in, masks on the voxel grid come out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import SquareGrid
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.result import BatchSegmenter, Candidates, Embedding, Segmenter
from napari_sam_med.embeddings.cache import EmbeddingCache
from napari_sam_med.embeddings.key import embedding_key
from napari_sam_med.inference.everything import EverythingSettings, OnBatch, find_everything
from napari_sam_med.inference.slices import SliceImage


class Session:
    """One model with one embedding cache.

    Parameters
    ----------
    model : Segmenter
        See :func:`napari_sam_med.models.load_model`.
    cache : EmbeddingCache, optional
        Several sessions may share one. Without one, embeddings are kept in memory alone.
    """

    def __init__(self, model: Segmenter, cache: EmbeddingCache | None = None) -> None:
        self.model = model
        self.cache = EmbeddingCache() if cache is None else cache

    def is_cached(self, image: SliceImage) -> bool:
        """Whether the embedding of a slice image is at hand (a file found damaged later is made again)."""
        return self._key(image) in self.cache

    def embed(self, image: SliceImage) -> Embedding:
        """The embedding of a slice image, from the cache or made now."""
        return self.lookup(image)[0]

    def lookup(self, image: SliceImage) -> tuple[Embedding, bool]:
        """The embedding of a slice image and whether it came from the cache."""
        key = self._key(image)
        found = self.cache.get(key)
        if found is not None:
            return found, True
        made = self.model.encode(image.grid.to_square(image.pixels))
        self.cache.put(key, made)
        return made, False

    def predict(self, image: SliceImage, prompt: Prompt, embedding: Embedding | None = None) -> Candidates:
        """Candidate masks for one prompt.

        Parameters
        ----------
        image : SliceImage
            On the voxel grid.
        prompt : Prompt
            In voxels of the slice. The part of a box that lies outside the slice is cut off.
        embedding : Embedding, optional
            What :meth:`embed` returned for this image, if it is at hand.

        Returns
        -------
        Candidates
            Masks on the voxel grid; ``low_res`` as the model gave it.

        Raises
        ------
        InputError
            If the prompt is empty or lies outside the slice.
        """
        return self.predict_many(image, [prompt], embedding)[0]

    def predict_many(
        self, image: SliceImage, prompts: Sequence[Prompt], embedding: Embedding | None = None
    ) -> list[Candidates]:
        """Candidate masks for many prompts on one slice, decoded together where the model can (``BatchSegmenter``).

        All masks are held at once: ask in batches.

        Parameters
        ----------
        image, prompts, embedding
            See :meth:`predict`.

        Raises
        ------
        InputError
            If a prompt is empty or lies outside the slice.
        """
        for prompt in prompts:
            if prompt.empty:
                raise InputError("There is nothing to segment; draw a box or place a positive point first.")
            prompt.check_inside(image.shape)
        grid = image.grid
        known = self.embed(image) if embedding is None else embedding
        squares = [prompt.clipped(image.shape).to_square(grid) for prompt in prompts]
        if len(squares) > 1 and isinstance(self.model, BatchSegmenter):
            found = self.model.decode_many(known, squares)
        else:
            found = [self.model.decode(known, square) for square in squares]
        return [_on_voxels(each, grid) for each in found]

    def everything(
        self,
        image: SliceImage,
        settings: EverythingSettings | None = None,
        embedding: Embedding | None = None,
        on_batch: OnBatch | None = None,
    ) -> Candidates:
        """Masks of all objects of a slice, without a prompt; see :func:`inference.everything.find_everything`.

        Parameters
        ----------
        image : SliceImage
            On the voxel grid.
        settings : EverythingSettings, optional
        embedding : Embedding, optional
            What :meth:`embed` returned for this image, if it is at hand.
        on_batch : callable, optional
            ``on_batch(done, total)`` after each batch of points; may raise ``Cancelled``.

        Returns
        -------
        Candidates
            Masks on the voxel grid, the highest predicted IoU first.
        """
        known = self.embed(image) if embedding is None else embedding
        return _on_voxels(find_everything(self.model, known, settings, on_batch), image.grid)

    def estimate(self, shapes: Iterable[tuple[int, int]], spacing_mm: tuple[float, float]) -> int:
        """Bytes that the embeddings of slices take.

        Parameters
        ----------
        shapes : iterable of (rows, cols)
            One for each slice, in voxels.
        spacing_mm : tuple of float
            (row, col) spacing of these slices, in mm.
        """
        return sum(self.model.embedding_bytes(SquareGrid.of(s, spacing_mm).square_shape) for s in shapes)

    def _key(self, image: SliceImage) -> str:
        return embedding_key(image.pixels, image.spacing_mm, self.model.fingerprint)


def _on_voxels(found: Candidates, grid: SquareGrid) -> Candidates:
    if grid.identity:
        return found
    masks = np.zeros((len(found), *grid.shape), bool)
    for mask, square in zip(masks, found.masks, strict=True):
        mask[:] = grid.to_voxels(square.astype(np.float32)) >= 0.5
    return replace(found, masks=masks)
