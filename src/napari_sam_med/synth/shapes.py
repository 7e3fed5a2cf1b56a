"""Random label maps: bodies with organs, cells, rings, crescents, tubes, horns, trees, folded bands, pairs, parts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from napari_sam_med.synth.noise import rough_field, smooth_field, warp_labels

Labels = NDArray[np.int32]
Mask = NDArray[np.bool_]


def random_labels(rng: np.random.Generator, size: int) -> Labels:
    """A label map, shape (size, size), of one of several kinds, with further objects laid over it; 0 is background."""
    base = _BASES[rng.choice(len(_BASES), p=_BASE_ODDS)](rng, size)
    top = int(base.max())
    for _ in range(int(rng.integers(0, 9))):
        mask, core = random_shape(rng, size)
        if rng.random() < 0.25 and mask.any():  # a lesion keeps to the organ it lies in
            rows, cols = np.nonzero(mask)
            middle = len(rows) // 2
            mask &= base == base[rows[middle], cols[middle]]
        top += 1
        base[mask] = top
        if core is not None:
            top += 1
            base[core & mask] = top
    if rng.random() < 0.6:
        base = warp_labels(rng, base, float(rng.uniform(0.002, 0.02)))
    return base


def random_shape(rng: np.random.Generator, size: int) -> tuple[Mask, Mask | None]:
    """One object of any kind, both (size, size): all of it, and its core where that is a tissue of its own."""
    return _OBJECTS[rng.choice(len(_OBJECTS), p=_OBJECT_ODDS)](rng, size)


def _polar(
    rng: np.random.Generator, size: int, centre: tuple[float, float], radius: float, aspect: float
) -> NDArray[np.float32]:
    """Distance of each pixel to `centre` in units of a wavy, elliptic outline (inside: below 1)."""
    angle = float(rng.uniform(0, np.pi))
    rows, cols = np.indices((size, size), dtype=np.float32)
    dy, dx = rows - centre[0], cols - centre[1]
    u = (np.cos(angle) * dy + np.sin(angle) * dx) / radius
    v = (-np.sin(angle) * dy + np.cos(angle) * dx) / (radius * aspect)
    theta = np.arctan2(v, u)
    outline = np.ones_like(theta)
    for order in range(2, int(rng.integers(3, 8))):
        outline += float(rng.normal(0, 0.28 / order)) * np.cos(order * theta + float(rng.uniform(0, 6.28)))
    return np.hypot(u, v) / np.maximum(outline, 0.25)


def _centre(rng: np.random.Generator, size: int) -> tuple[float, float]:
    low, high = (-0.02, 1.02) if rng.random() < 0.2 else (0.12, 0.88)
    return float(rng.uniform(low, high) * size), float(rng.uniform(low, high) * size)


def _radius(rng: np.random.Generator, size: int) -> float:
    return float(np.exp(rng.uniform(np.log(0.02), np.log(0.28))) * size)


def blob(rng: np.random.Generator, size: int) -> tuple[Mask, Mask | None]:
    """A compact, wavy ellipse, at times with a core of its own (necrosis, nucleus)."""
    distance = _polar(rng, size, _centre(rng, size), _radius(rng, size), float(rng.uniform(0.35, 1.0)))
    core = distance < rng.uniform(0.3, 0.8) if rng.random() < 0.2 else None
    return distance < 1, core


def ring(rng: np.random.Generator, size: int) -> tuple[Mask, Mask | None]:
    """A wall around a lumen: heart muscle, bowel, skull, vessel wall."""
    distance = _polar(
        rng, size, _centre(rng, size), max(_radius(rng, size), 0.05 * size), float(rng.uniform(0.5, 1))
    )
    hole = distance < rng.uniform(0.45, 0.85)
    if rng.random() < 0.5:
        return (distance < 1) & ~hole, None
    return distance < 1, hole


def crescent(rng: np.random.Generator, size: int) -> tuple[Mask, Mask | None]:
    """What is left of a blob beside another one that lies in it off the middle: lung around the liver, an effusion.

    The other one goes on to the edge of the blob on one side, or beyond it.
    """
    centre, radius = _centre(rng, size), float(np.exp(rng.uniform(np.log(0.05), np.log(0.3)))) * size
    aspect = float(rng.uniform(0.5, 1.0))
    turn, part = float(rng.uniform(0, 6.28)), float(rng.uniform(0.55, 0.9))
    off = radius * float(rng.uniform(1 - part, 1.1 - 0.5 * part))
    inner = (centre[0] + off * np.sin(turn), centre[1] + off * np.cos(turn))
    outer = _polar(rng, size, centre, radius, aspect) < 1
    return outer, _polar(rng, size, inner, radius * part, aspect) < 1


def tube(rng: np.random.Generator, size: int) -> tuple[Mask, Mask | None]:
    """A band along a random smooth path: vessel, cord, bowel loop, airway."""
    t = np.linspace(0, 1, 4)
    start, end = np.array(_centre(rng, size)), np.array(_centre(rng, size))
    knots = (
        start + (end - start) * t[:, None] + rng.normal(0, 0.12 * size, (4, 2)) * np.sin(np.pi * t)[:, None]
    )
    fine = np.linspace(0, 1, 3 * size)
    path = np.stack([np.polyval(np.polyfit(t, knots[:, a], 3), fine) for a in range(2)], 1)
    line = np.ones((size, size), bool)
    _run_through(line, path)
    if line.all():
        return blob(rng, size)
    width = float(np.exp(rng.uniform(np.log(1.2), np.log(0.06 * size))))
    return distance_transform_edt(line) < width, None


def _run_through(line: Mask, path: NDArray[np.float64]) -> None:
    """Clear the cells of `line` that the points (N, 2) of a path lie in; those beyond the slice are left out."""
    cells = np.rint(path).astype(int)
    cells = cells[((cells >= 0) & (cells < line.shape)).all(1)]
    line[cells[:, 0], cells[:, 1]] = False


def island(rng: np.random.Generator, size: int) -> tuple[Mask, Mask | None]:
    """One blob of a thresholded field: lobed, concave, ragged."""
    field = rough_field(rng, (size, size), float(rng.uniform(3, 9)), int(rng.integers(1, 4)))
    window = _polar(rng, size, _centre(rng, size), 1.6 * _radius(rng, size), float(rng.uniform(0.5, 1.0)))
    return (field + (1 - window) * 2) > 0.6, None


def parts(rng: np.random.Generator, size: int) -> tuple[Mask, Mask | None]:
    """Two to five pieces of one target: ribs, kidneys, metastases."""
    total = np.zeros((size, size), bool)
    radius, aspect = min(_radius(rng, size), 0.1 * size), float(rng.uniform(0.4, 1.0))
    middle, spread = _centre(rng, size), float(rng.uniform(0.05, 0.2)) * size
    for _ in range(int(rng.integers(2, 5))):
        place = (middle[0] + float(rng.normal(0, spread)), middle[1] + float(rng.normal(0, spread)))
        total |= _polar(rng, size, place, radius, aspect) < 1
    return total, None


def pair(rng: np.random.Generator, size: int) -> tuple[Mask, Mask | None]:
    """Two pieces that mirror each other, about the same: lungs, kidneys, ventricles, hips."""
    centre = (_centre(rng, size)[0], size / 2 + float(rng.normal(0, 0.05)) * size)
    radius, aspect = (
        float(np.exp(rng.uniform(np.log(0.03), np.log(0.22)))) * size,
        float(rng.uniform(0.4, 1.0)),
    )
    apart = radius * float(rng.uniform(0.7, 1.6))
    one = _polar(rng, size, (centre[0], centre[1] - apart), radius, aspect) < 1
    one[:, int(centre[1]) :] = False
    other = np.roll(one[:, ::-1], round(2 * centre[1]) - size, 1)
    other[:, : int(centre[1])] = False
    if rng.random() < 0.5:
        other = warp_labels(rng, other.astype(np.int32), float(rng.uniform(0.005, 0.03))) > 0
    both = one | other
    return (both.T if rng.random() < 0.3 else both), None


def star(rng: np.random.Generator, size: int) -> tuple[Mask, Mask | None]:
    """A body with a lobed, thin-armed core: grey matter of the cord, a gyrus, a branching lesion."""
    centre, radius = _centre(rng, size), max(_radius(rng, size), 0.03 * size)
    aspect, order = float(rng.uniform(0.5, 1.0)), int(rng.integers(2, 6))
    rows, cols = np.indices((size, size), dtype=np.float32)
    dy, dx = rows - centre[0], (cols - centre[1]) / aspect
    turn, turn2 = rng.uniform(0, 6.28, 2)
    theta = np.arctan2(dy, dx)
    arms = 1 + float(rng.uniform(0.35, 0.8)) * np.cos(order * theta + turn)
    arms += float(rng.normal(0, 0.15)) * np.cos((order + 1) * theta + turn2)
    core = np.hypot(dy, dx) < radius * np.maximum(arms, 0.12) / 1.6
    if rng.random() < 0.3:
        return core, None
    return np.hypot(dy, dx) < radius * float(rng.uniform(0.9, 1.6)), core


def horns(rng: np.random.Generator, size: int) -> tuple[Mask, Mask | None]:
    """Two curved horns that mirror each other, as a rule with a bridge, in a body: grey matter, ventricles, arches.

    They reach all sides of their bounding box and leave most of it empty.
    """
    centre, radius = _centre(rng, size), float(np.exp(rng.uniform(np.log(0.04), np.log(0.22)))) * size
    aspect, turn = float(rng.uniform(0.7, 1.5)), float(rng.normal(0, 0.25))
    if rng.random() < 0.3:
        turn += float(rng.choice((np.pi / 2, np.pi)))
    rows, cols = np.indices((size, size), dtype=np.float32)
    dy, dx = rows - centre[0], cols - centre[1]
    along = (np.cos(turn) * dy + np.sin(turn) * dx) / radius
    across = np.abs(-np.sin(turn) * dy + np.cos(turn) * dx) / (radius * aspect)
    ends, waist = rng.uniform(0.25, 0.9, 2), float(rng.uniform(0.1, 0.45))
    place = np.clip(along, -1, 1)
    bow = place * place
    middle = waist * (1 - bow) + bow * np.where(place < 0, ends[0], ends[1])
    thick = np.interp(place, (-1, -0.3, 0.3, 1), rng.uniform(0.06, 0.3, 4)).astype(np.float32)
    core = (np.abs(across - middle) < thick) & (np.abs(along) < 1)
    if rng.random() < 0.8:
        level, height = float(rng.uniform(-0.5, 0.5)), float(rng.uniform(0.04, 0.2))
        core |= (np.abs(along - level) < height) & (across < middle)
    if rng.random() < 0.3:
        return core, None
    return np.hypot(along, across) < rng.uniform(1.05, 1.7), core


def tree(rng: np.random.Generator, size: int) -> tuple[Mask, Mask | None]:
    """A trunk that branches again and again and gets thinner: vessels of an organ, airways."""
    root, angle = np.array(_centre(rng, size)), float(rng.uniform(0, 6.28))
    length = float(np.exp(rng.uniform(np.log(0.06), np.log(0.22)))) * size
    width = length * float(rng.uniform(0.08, 0.25))
    tips = [(root, angle)]
    total = np.zeros((size, size), bool)
    for _ in range(int(rng.integers(2, 5))):
        line = np.ones((size, size), bool)
        grown = []
        for start, heading in tips:
            bend = float(rng.normal(0, 0.4))
            turns = heading + bend * np.linspace(0, 1, 40)
            steps = np.stack([np.sin(turns), np.cos(turns)], 1) * length / 40 * float(rng.uniform(0.6, 1.3))
            path = start + np.cumsum(steps, 0)
            _run_through(line, path)
            spread = float(rng.uniform(0.3, 0.8))
            grown += [(path[-1], turns[-1] + side * spread) for side in (-1, 1)]
        if not line.all():
            total |= distance_transform_edt(line) < max(width, 0.8)
        tips, length, width = grown, length * 0.75, width * 0.7
    return total, None


def ribbon(rng: np.random.Generator, size: int) -> tuple[Mask, Mask | None]:
    """A band that follows a folded outline, and what it wraps: cortex, wall of a bowel."""
    inner, _ = island(rng, size)
    depth = distance_transform_edt(inner)
    most = float(depth.max())
    if most < 3:
        return inner, None
    band = inner & (depth <= max(1.5, most * float(rng.uniform(0.15, 0.5))))
    return (band, None) if rng.random() < 0.4 else (inner, inner & ~band)


def _cells(rng: np.random.Generator, size: int) -> Labels:
    """Warped noise: the largest of several smooth fields at each pixel."""
    n = int(rng.integers(3, 12))
    cells = float(rng.uniform(2, 8))
    fields = np.stack([smooth_field(rng, (size, size), cells) for _ in range(n)])
    return fields.argmax(0).astype(np.int32)


def _voronoi(rng: np.random.Generator, size: int) -> Labels:
    """Voronoi cells with wavy borders."""
    n = int(rng.integers(5, 30))
    seeds = rng.uniform(0, size, (n, 2)).astype(np.float32)
    rows, cols = np.indices((size, size), dtype=np.float32)
    waves = [smooth_field(rng, (size, size), 6.0) * float(rng.uniform(0, 0.03)) * size for _ in range(2)]
    square = ((rows + waves[0])[..., None] - seeds[:, 0]) ** 2 + (
        (cols + waves[1])[..., None] - seeds[:, 1]
    ) ** 2
    return square.argmin(-1).astype(np.int32)


def _plain(rng: np.random.Generator, size: int) -> Labels:
    return np.zeros((size, size), np.int32)


def _body(rng: np.random.Generator, size: int) -> Labels:
    """A body in air: skin, fat, a cavity full of organs, bones, gas."""
    labels = np.zeros((size, size), np.int32)
    middle = size / 2 + float(rng.normal(0, 0.04)) * size, size / 2 + float(rng.normal(0, 0.04)) * size
    distance = _polar(rng, size, middle, float(rng.uniform(0.3, 0.55)) * size, float(rng.uniform(0.65, 1.0)))
    cavity = distance < rng.uniform(0.75, 0.92)
    labels[distance < 1] = 1
    labels[cavity] = 2
    top = 2
    for _ in range(int(rng.integers(4, 14))):
        place = _place_in(rng, cavity)
        organ = (
            _polar(rng, size, place, float(rng.uniform(0.03, 0.2)) * size, float(rng.uniform(0.4, 1.0))) < 1
        )
        top += 1
        free = organ & (labels == 2) if rng.random() < 0.7 else organ & cavity
        labels[free] = top
    if rng.random() < 0.5:  # a shell of bone: skull, ribs
        rim = (distance < 1) & ~cavity & (smooth_field(rng, (size, size), 8.0) > rng.uniform(-2.5, 0.8))
        top += 1
        labels[rim] = top
    if rng.random() < 0.3:  # the table under the patient
        row = int(size * rng.uniform(0.85, 0.97))
        top += 1
        labels[row : row + int(rng.integers(1, 4))] = top
    return labels


def _place_in(rng: np.random.Generator, mask: Mask) -> tuple[float, float]:
    rows, cols = np.nonzero(mask)
    if len(rows) == 0:
        return mask.shape[0] / 2, mask.shape[1] / 2
    pick = int(rng.integers(len(rows)))
    return float(rows[pick]), float(cols[pick])


_BASES: tuple[Callable[[np.random.Generator, int], Labels], ...] = (_body, _cells, _voronoi, _plain)
_BASE_ODDS = (0.45, 0.25, 0.15, 0.15)
_OBJECTS: tuple[Callable[[np.random.Generator, int], tuple[Mask, Mask | None]], ...] = (
    blob,
    ring,
    tube,
    island,
    parts,
    pair,
    star,
    crescent,
    horns,
    tree,
    ribbon,
)
_OBJECT_ODDS = (0.22, 0.10, 0.10, 0.10, 0.08, 0.07, 0.09, 0.08, 0.08, 0.04, 0.04)
