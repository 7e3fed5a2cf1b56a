"""Everything: all objects of a slice without a prompt, from the embedding that is there already.

The automatic mask generation of Kirillov et al. 2023 (SAM, its default of one crop), for any segmenter: a grid of
points, one prompt each; masks with a low predicted IoU or an unstable border go, then those whose box overlaps that of
a better one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import Prompt, tight_box
from napari_sam_med.core.result import BatchSegmenter, Candidates, Embedding, Segmenter

MIN_SIDE, MAX_SIDE = 8, 64
SAM_LIMITS = (0.88, 0.95)
"""Predicted IoU and stability for models that do not give limits of their own."""
_BATCH = 64
_BATCH_PIXELS = _BATCH * 512 * 512

OnBatch = Callable[[int, int], None]
"""``on_batch(done, total)``: points asked so far; may raise ``Cancelled``."""


@dataclass(frozen=True)
class EverythingSettings:
    """How Everything searches and what it keeps.

    Attributes
    ----------
    points_per_side : int
        The grid has this many points along each side of the slice, 8 to 64.
    min_iou, min_stability : float, optional
        Keep masks with a predicted IoU above, and a stability of at least this, 0..1; by default the model's own
        limits: SAM's published 0.88 and 0.95, and for the built-in model what its scores mean.
    nms_iou : float
        Of two masks whose boxes overlap by more than this IoU, only the one with the higher predicted IoU is kept.

    Raises
    ------
    InputError
        If a number is out of range.
    """

    points_per_side: int = 32
    min_iou: float | None = None
    min_stability: float | None = None
    nms_iou: float = 0.7

    def __post_init__(self) -> None:
        if not MIN_SIDE <= self.points_per_side <= MAX_SIDE:
            raise InputError(
                f"The grid of Everything has {MIN_SIDE} to {MAX_SIDE} points a side; found {self.points_per_side}."
            )
        for name, value in (
            ("predicted IoU", self.min_iou),
            ("stability", self.min_stability),
            ("box overlap", self.nms_iou),
        ):
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"The limit of the {name} lies between 0 and 1; found {value:g}.")

    def limits(self, model: Segmenter) -> tuple[float, float]:
        """Predicted IoU and stability to ask of a model's masks."""
        iou, stability = model.proposal_limits if isinstance(model, BatchSegmenter) else SAM_LIMITS
        return (
            iou if self.min_iou is None else self.min_iou,
            stability if self.min_stability is None else self.min_stability,
        )


def find_everything(
    model: Segmenter,
    embedding: Embedding,
    settings: EverythingSettings | None = None,
    on_batch: OnBatch | None = None,
) -> Candidates:
    """All masks that a grid of points finds.

    Parameters
    ----------
    model : Segmenter
        Points are decoded together where it can (``BatchSegmenter``).
    embedding : Embedding
        Of the slice; the slice is not encoded again.
    settings : EverythingSettings, optional
    on_batch : callable, optional
        Told of the progress after each batch of points.

    Returns
    -------
    Candidates
        On the grid of the encoded image, the highest predicted IoU first; none where nothing passes. ``low_res`` is
        empty, (K, 0, 0): these masks are not meant to be fed back.
    """
    settings = settings or EverythingSettings()
    min_iou, min_stability = settings.limits(model)
    points = grid_points(embedding.image_shape, settings.points_per_side)
    rows, cols = embedding.image_shape
    size = max(4, min(_BATCH, _BATCH_PIXELS // max(1, rows * cols)))
    found: list[_Proposal] = []
    for start in range(0, len(points), size):
        prompts = [Prompt.from_points(point) for point in points[start : start + size]]
        for answer in _ask(model, embedding, prompts, min_iou):
            found.extend(_proposals(answer, min_iou, min_stability))
        if on_batch is not None:
            on_batch(min(start + size, len(points)), len(points))
    kept = [found[k] for k in best_boxes([p.box for p in found], [p.score for p in found], settings.nms_iou)]
    masks = np.zeros((len(kept), rows, cols), bool)
    for mask, proposal in zip(masks, kept, strict=True):
        proposal.draw(mask)
    return Candidates(
        masks,
        np.array([p.score for p in kept], np.float32),
        np.zeros((len(kept), 0, 0), np.float32),
        np.array([p.stability for p in kept], np.float32),
    )


def grid_points(shape: tuple[int, int], per_side: int) -> NDArray[np.float64]:
    """Points in the middle of each cell of a grid over an image, shape (per_side², 2), (row, col), row by row.

    As SAM counts them: in fractions of the whole side, without the half pixel between a pixel's edge and its centre.
    """
    step = (np.arange(per_side) + 0.5) / per_side
    rows, cols = (np.minimum(step * n, n - 0.5) for n in shape)
    return np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)


def best_boxes(
    boxes: Sequence[tuple[float, float, float, float]], scores: Sequence[float], max_iou: float
) -> list[int]:
    """Non-maximum suppression: places of the boxes to keep, the best first.

    A box goes if its IoU with a better one that stays is above `max_iou`. As where SAM gives boxes of first and last
    pixels to torchvision's ``nms``, sides are last minus first; so lines have no area and suppress nothing.
    """
    if not len(boxes):
        return []
    corners = np.asarray(boxes, np.float64)
    area = (corners[:, 2:] - corners[:, :2]).prod(axis=1)
    left = np.argsort(-np.asarray(scores), kind="stable")
    kept = []
    while left.size:
        first, left = left[0], left[1:]
        kept.append(int(first))
        low = np.maximum(corners[first, :2], corners[left, :2])
        high = np.minimum(corners[first, 2:], corners[left, 2:])
        both = np.clip(high - low, 0, None).prod(axis=1)
        left = left[both <= max_iou * (area[first] + area[left] - both)]
    return kept


@dataclass(frozen=True, eq=False)
class _Proposal:
    """One mask, kept as the bits inside its box: a grid can yield thousands before the duplicates go."""

    box: tuple[float, float, float, float]
    score: float
    stability: float
    bits: NDArray[np.uint8]

    def draw(self, mask: NDArray[np.bool_]) -> None:
        r0, c0, r1, c1 = (int(v) for v in self.box)
        shape = (r1 - r0 + 1, c1 - c0 + 1)
        mask[r0 : r1 + 1, c0 : c1 + 1] = np.unpackbits(self.bits, count=shape[0] * shape[1]).reshape(shape)


def _ask(
    model: Segmenter, embedding: Embedding, prompts: list[Prompt], min_iou: float
) -> Sequence[Candidates]:
    if isinstance(model, BatchSegmenter):
        return model.decode_many(embedding, prompts, min_iou)
    return [model.decode(embedding, prompt) for prompt in prompts]


def _proposals(answer: Candidates, min_iou: float, min_stability: float) -> Iterator[_Proposal]:
    stability = _stability(answer.low_res) if answer.stability is None else answer.stability
    for mask, score, stable in zip(answer.masks, answer.scores, stability, strict=True):
        if score > min_iou and stable >= min_stability:
            box = tight_box(mask)
            if box is not None:
                r0, c0, r1, c1 = (int(v) for v in box)
                bits = np.packbits(mask[r0 : r1 + 1, c0 : c1 + 1])
                yield _Proposal(box, float(score), float(stable), bits)


def _stability(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stability of logits (K, h, w) for a model that does not tell; see ``Candidates.stability``."""
    higher, lower = ((logits > offset).sum(axis=(1, 2)) for offset in (1.0, -1.0))
    return (higher / np.maximum(lower, 1)).astype(np.float32)
