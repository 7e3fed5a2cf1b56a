"""Training samples: a slice, some of its objects, and a first prompt for each, as a user would give it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label

from napari_sam_med.core.prompt import tight_box
from napari_sam_med.finetune.targets import visible_share

MIN_PIXELS = 16
MAX_SHARE = 0.85

KIND_BOX, KIND_POINT, KIND_BOTH = 0, 1, 2
KIND_ODDS = (0.58, 0.3, 0.12)

PIECE_ODDS, UNITED_ODDS, ALL_ODDS = 0.4, 0.12, 0.04
ALIKE = 15.0
"""Labels whose mean greys differ by no more (of 255) may be one target."""

CRUMB = 0.04
"""Pieces smaller than this share of the object are left out of it."""
MOST_PIECES = 6
FULL, FULL_ODDS = 0.62, 0.4
"""Objects that fill more of their bounding box than this are kept with these odds: they are easy and many."""

TIGHT_ODDS, ROOMY_ODDS, LOOSE_ODDS = 0.48, 0.14, 0.14
"""Shares of the boxes that are tight, loose by up to 20 % on each edge, and up to twice as long as the object; the
edges of the others are off by up to 10 %."""
OUTWARDS = np.array([-1, -1, 1, 1])

HIDDEN_ODDS = 0.08
"""An object with hardly any visible outline is kept with these odds."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One slice with P prompted objects.

    Attributes
    ----------
    image : ndarray, shape (H, W), uint8
    masks : ndarray, shape (P, H, W), bool
    boxes : ndarray, shape (P, 4), float32
        Outer edges (r0, c0, r1, c1) of the drawn box, NaN where the prompt has none.
    clicks : ndarray, shape (P, 3), float32
        (row, col, 1) of the first click; sign 0 where the prompt has none.
    windows : ndarray, shape (P, 4), float32
        Region (centre row, centre col, half height, half width) for prompts without a box.
    source : str
        Case the slice is of; empty for a procedural one.
    """

    image: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    boxes: NDArray[np.float32]
    clicks: NDArray[np.float32]
    windows: NDArray[np.float32]
    source: str = ""


def make_sample(
    rng: np.random.Generator,
    image: NDArray[np.uint8],
    labels: NDArray[np.int32],
    prompts: int,
    unite: bool = True,
) -> Sample | None:
    """Choose objects of a labelled slice and draw a first prompt for each; None when the slice has no object.

    Objects whose outline cannot be seen are mostly passed over: they teach nothing but to fill the box. `unite` says
    whether several labels together may be one.
    """
    masks: list[NDArray[np.bool_]] = []
    objects = _Objects(image, labels)
    for _ in range(3 * prompts):
        mask = _pick(rng, objects, unite)
        if mask is None or not taken(objects.visible_share(mask), rng):
            continue
        if objects.fill(mask) <= FULL or rng.random() < FULL_ODDS:
            masks.append(mask)
        if len(masks) == prompts:
            break
    if not masks:
        return None
    while len(masks) < prompts:
        masks.append(masks[int(rng.integers(len(masks)))])
    boxes = np.full((prompts, 4), np.nan, np.float32)
    clicks = np.zeros((prompts, 3), np.float32)
    windows = np.zeros((prompts, 4), np.float32)
    for i, mask in enumerate(masks):
        kind = int(rng.choice(3, p=KIND_ODDS))
        if kind == KIND_POINT and _scattered(mask):
            kind = KIND_BOX  # one click cannot mean them all
        if kind != KIND_POINT:
            boxes[i] = drawn_box(rng, mask)
        if kind != KIND_BOX:
            clicks[i] = (*inner_click(rng, mask), 1)
        windows[i] = _window(rng, image.shape, clicks[i])
    return Sample(image, np.stack(masks), boxes, clicks, windows)


def taken(visible: float, rng: np.random.Generator) -> bool:
    """Whether to take an object of whose outline this share can be seen; those that cannot be seen teach little."""
    return visible + HIDDEN_ODDS > rng.random()


class _Objects:
    """A labelled slice from which objects are picked again and again: what is known of one is not found out twice."""

    def __init__(self, image: NDArray[np.uint8], labels: NDArray[np.int32]) -> None:
        self.image, self.labels = image, labels
        values = np.unique(labels)
        self.values = values[values > 0]
        self._pieces: dict[bytes, tuple[NDArray[np.int32], NDArray[np.intp]]] = {}
        self._seen: dict[bytes, float] = {}
        self._fills: dict[bytes, float] = {}

    def pieces(self, mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
        """Connected pieces of a mask, numbered from 1, and their sizes, that of 0 as 0."""
        key = mask.tobytes()
        if key not in self._pieces:
            pieces, n = label(mask)
            sizes = np.bincount(pieces.ravel(), minlength=n + 1)
            sizes[0] = 0
            self._pieces[key] = pieces, sizes
        return self._pieces[key]

    def visible_share(self, mask: NDArray[np.bool_]) -> float:
        """See ``targets.visible_share``."""
        key = mask.tobytes()
        if key not in self._seen:
            self._seen[key] = visible_share(self.image, mask)
        return self._seen[key]

    def fill(self, mask: NDArray[np.bool_]) -> float:
        """Share of its bounding box that an object fills."""
        key = mask.tobytes()
        if key not in self._fills:
            self._fills[key] = _fill(mask)
        return self._fills[key]


def _pick(rng: np.random.Generator, objects: _Objects, unite: bool) -> NDArray[np.bool_] | None:
    """One target: all of a label, one connected piece of it, labels of like grey together, or all of them."""
    if len(objects.values) == 0:
        return None
    labels = objects.labels
    for _ in range(4):
        mask = labels == int(rng.choice(objects.values))
        style = rng.random()
        if style < PIECE_ODDS:
            pieces, sizes = objects.pieces(mask)
            n = len(sizes) - 1
            if n > 1:
                mask = pieces == int(rng.choice(n, p=sizes[1:] / sizes.sum())) + 1
        elif unite and style < PIECE_ODDS + UNITED_ODDS:
            mask = _with_alike(rng, objects.image, labels, mask)
        elif unite and style < PIECE_ODDS + UNITED_ODDS + ALL_ODDS:
            mask = labels > 0
        mask = _without_crumbs(mask, *objects.pieces(mask))
        if MIN_PIXELS <= int(mask.sum()) <= MAX_SHARE * mask.size:
            return mask
    return None


def _without_crumbs(
    mask: NDArray[np.bool_], pieces: NDArray[np.int32], sizes: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """The larger pieces of an object; nothing of one that is scattered into many."""
    if len(sizes) <= 2:
        return mask
    large = sizes >= CRUMB * sizes.sum()
    return large[pieces] if np.count_nonzero(large) <= MOST_PIECES else np.zeros_like(mask)


def _fill(mask: NDArray[np.bool_]) -> float:
    """Share of its bounding box that an object fills."""
    rows, cols = np.nonzero(mask)
    return len(rows) / float((np.ptp(rows) + 1) * (np.ptp(cols) + 1))


def _with_alike(
    rng: np.random.Generator, image: NDArray[np.uint8], labels: NDArray[np.int32], mask: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """`mask` with one or two labels of the most similar mean grey: both lungs, both kidneys, several vertebrae."""
    counts = np.bincount(labels.ravel())
    means = np.bincount(labels.ravel(), image.ravel()) / np.maximum(counts, 1)
    far = np.abs(means - image[mask].mean()).astype(float)
    far[far > ALIKE] = np.inf
    far[(counts == 0) | (np.arange(len(far)) == 0)] = np.inf
    far[labels[mask][0]] = np.inf
    alike = np.argsort(far)[: int(rng.integers(1, 3))]
    return mask | np.isin(labels, alike[np.isfinite(far[alike])])


def _scattered(mask: NDArray[np.bool_]) -> bool:
    """Whether no connected piece holds four fifths of the object."""
    pieces, n = label(mask)
    return bool(n > 1 and np.bincount(pieces.ravel())[1:].max() < 0.8 * np.count_nonzero(mask))


def outer_box(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The tight box of a mask that is not empty; outer edges."""
    tight = tight_box(mask)
    assert tight is not None
    return np.array(tight, np.float32) + np.array([-0.5, -0.5, 0.5, 0.5], np.float32)


def drawn_box(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A box as users draw it: tight, loose by up to 20 %, a little off on each edge, or far too large; outer edges."""
    box = outer_box(mask)
    height, width = box[2] - box[0], box[3] - box[1]
    sides = np.array([height, width, height, width], np.float32)
    style = rng.random()
    if style < TIGHT_ODDS:
        shift = np.zeros(4)
    elif style < TIGHT_ODDS + ROOMY_ODDS:
        shift = rng.uniform(0, 0.2, 4) * OUTWARDS
    elif style < TIGHT_ODDS + ROOMY_ODDS + LOOSE_ODDS:
        shift = rng.uniform(0, 0.5, 4) * OUTWARDS
    else:
        shift = rng.uniform(-0.1, 0.1, 4)
    return (box + sides * shift).astype(np.float32)


def centre_click(mask: NDArray[np.bool_]) -> tuple[float, float] | None:
    """The pixel at the centre of mass, None where it is outside the object."""
    rows, cols = np.nonzero(mask)
    centre = round(rows.mean()), round(cols.mean())
    return (float(centre[0]), float(centre[1])) if mask[centre] else None


def inner_click(rng: np.random.Generator, mask: NDArray[np.bool_]) -> tuple[float, float]:
    """A click inside the object: anywhere, at its centre of mass, or at its deepest point."""
    rows, cols = np.nonzero(mask)
    style = rng.random()
    if style < 0.3:
        centre = centre_click(mask)
        if centre is not None:
            return centre
    if style < 0.6:
        r0, r1, c0, c1 = rows.min(), rows.max() + 1, cols.min(), cols.max() + 1
        depth = distance_transform_edt(np.pad(mask[r0:r1, c0:c1], 1))
        row, col = np.unravel_index(int(depth.argmax()), depth.shape)
        return float(row - 1 + r0), float(col - 1 + c0)
    pick = int(rng.integers(len(rows)))
    return float(rows[pick]), float(cols[pick])


def _window(
    rng: np.random.Generator, shape: tuple[int, ...], click: NDArray[np.float32]
) -> tuple[float, float, float, float]:
    """Region for a prompt of points: the whole slice or a window of any size around the click."""
    half = max(shape) / 2
    if click[2] == 0 or rng.random() < 0.3:
        return ((shape[0] - 1) / 2, (shape[1] - 1) / 2, half, half)
    half *= float(np.exp(rng.uniform(np.log(0.08), np.log(0.6))))
    offset = rng.normal(0, 0.08 * half, 2)
    return (float(click[0] + offset[0]), float(click[1] + offset[1]), half, half)
