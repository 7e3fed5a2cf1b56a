"""Turn the image planes of a series into one regular grid, or say which slices do not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.io import checks
from napari_sam_med.io.dicom_frame import TIME_KEYS, Frame

_NAMED = 6
_SAME_PLACE_MM = 0.01


@dataclass(frozen=True)
class Grid:
    """Frames in order and their common grid.

    Attributes
    ----------
    frames : list of list of Frame
        ``frames[t][k]``: time point t, slice k along the normal.
    affine : ndarray, shape (4, 4)
        (column, row, slice, 1) to RAS+ mm.
    notes : list of str
        Remarks for the user.
    n_dims : int
        2 for a lone picture, otherwise 3.
    """

    frames: list[list[Frame]]
    affine: NDArray[np.float64]
    notes: list[str]
    n_dims: int = 3


def build_grid(frames: Sequence[Frame], what: str) -> Grid:
    """Sort frames by position along the slice normal, split time points, and derive the affine.

    Positions decide; file names and instance numbers do not. Equal positions are time points if every position has as
    many, otherwise duplicates.

    Raises
    ------
    InputError
        Naming the slices, for mixed sizes, spacings or orientations, missing positions, gaps, duplicates, and slices
        that do not lie on a line.
    """
    _require_one(frames, what, "sizes", lambda f: (f.rows, f.columns), "{0[0]} × {0[1]} pixels")
    spacing, notes = _pixel_spacing(frames, what)
    with_position = [f for f in frames if f.position is not None and f.orientation is not None]
    if not with_position:
        return _without_positions(frames, spacing, what, notes)
    if len(with_position) < len(frames):
        lost = [f for f in frames if f.position is None or f.orientation is None]
        raise InputError(
            f"{what} cannot be sorted: {_names(lost)} has no position or orientation; export it again."
        )
    _require_one(frames, what, "orientations", _rounded_orientation, "{0}")
    axes = np.array(frames[0].orientation, float).reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1)
    if not np.isfinite(axes).all() or (np.abs(lengths - 1) > 0.05).any() or abs(axes[0] @ axes[1]) > 0.05:
        raise InputError(
            f"{what} has an unusable image orientation {frames[0].orientation}; export it again."
        )
    normal = np.cross(axes[0], axes[1])
    normal /= np.linalg.norm(normal)
    places = _places(frames, normal, what)
    _check_steps(places, normal, what)
    times = _split_times(places, what)
    if len(places) == 1 and len(times) > 1:
        notes.append(f"All {len(times)} images lie at one position; they are shown along a time axis.")
    affine = np.eye(4)
    affine[:3, 0] = axes[0] * spacing[1]
    affine[:3, 1] = axes[1] * spacing[0]
    affine[:3, 2] = _step(places, normal)
    affine[:3, 3] = np.array(places[0][0].position, float)
    return Grid(times, checks.LPS_TO_RAS @ affine, notes)


def around(path: Path, frames: Sequence[Frame]) -> tuple[Sequence[Frame], list[str]]:
    """The frames that make a volume with those of the file the user named, and remarks on what was left out.

    Left out are copies of the named image (same position and time under another file name) and images of the series
    in other planes (localizers hold three). A folder names no image, so nothing is left out.
    """
    own = next((f for f in frames if f.path == path), None)
    if own is None or own.index is not None or own.orientation is None:
        return frames, []
    kept: list[Frame] = []
    copies: list[Frame] = []
    turned: list[Frame] = []
    for frame in frames:
        if frame.path != path and (frame.position, frame.time) == (own.position, own.time):
            copies.append(frame)
        elif frame.orientation is not None and _rounded_orientation(frame) != _rounded_orientation(own):
            turned.append(frame)
        else:
            kept.append(frame)
    notes = [f"Left out as copies of {path.name}: {_names(copies)}."] if copies else []
    notes += (
        [f"Left out, because they show other planes than {path.name}: {_names(turned)}."] if turned else []
    )
    return kept, notes


def _pixel_spacing(frames: Sequence[Frame], what: str) -> tuple[tuple[float, float], list[str]]:
    given = [f for f in frames if f.spacing_mm is not None]
    if not given:
        return (1.0, 1.0), [
            f"{what} has no pixel spacing in mm; 1 mm is used, so lengths and volumes are in pixels."
        ]
    _require_one(frames, what, "pixel spacings", _rounded_spacing, "{0} mm")
    row, column = given[0].spacing_mm or (0.0, 0.0)
    if not all(np.isfinite(s) and s > 0 for s in (row, column)):
        raise InputError(
            f"{what} has the pixel spacing ({row:g}, {column:g}) mm; expected two positive numbers."
        )
    return (row, column), []


def _rounded_spacing(frame: Frame) -> tuple[float, ...]:
    return tuple(float(np.round(s, 4)) for s in frame.spacing_mm or (0.0, 0.0))


def _rounded_orientation(frame: Frame) -> tuple[float, ...]:
    # + 0.0 turns -0.0 into 0.0
    return tuple(float(np.round(v, 2)) + 0.0 for v in frame.orientation or ())


def _require_one(
    frames: Sequence[Frame], what: str, plural: str, key: Callable[[Frame], tuple[float, ...]], shown: str
) -> None:
    groups: dict[object, list[Frame]] = {}
    for frame in frames:
        groups.setdefault(key(frame), []).append(frame)
    if len(groups) == 1:
        return
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    parts = [f"{_names(found)}: {shown.format(value)}" for value, found in ordered[1:4]]
    raise InputError(
        f"{what} mixes image {plural}: most are {shown.format(ordered[0][0])}, but {'; '.join(parts)}. "
        "Move the odd images to another folder."
    )


def _without_positions(
    frames: Sequence[Frame], spacing: tuple[float, float], what: str, notes: list[str]
) -> Grid:
    thickness = frames[0].step_mm or frames[0].thickness_mm or 1.0
    affine = checks.plane_affine(spacing[0], spacing[1], thickness)
    if len(frames) == 1:
        return Grid([[frames[0]]], affine, [*notes, f"{what} has no position in the patient."], 2)
    if len({f.path for f in frames}) == 1 and frames[0].step_mm:
        note = (
            f"The {len(frames)} frames have no positions; they are taken for slices {thickness:g} mm apart, and left, "
            "front and top are a guess."
        )
        return Grid([list(frames)], affine, [*notes, note])
    if len({f.path for f in frames}) == 1:
        note = f"The {len(frames)} frames have no positions; they are shown along a time axis."
        return Grid([[f] for f in frames], affine, [*notes, note], 2)
    raise InputError(
        f"{what} has {len(frames)} images without positions (ImagePositionPatient), so their order and distance are "
        "not known; export the series again with its geometry."
    )


def _places(frames: Sequence[Frame], normal: NDArray[np.float64], what: str) -> list[list[Frame]]:
    """Frames grouped by position along the normal, in order."""
    positions = np.array([f.position for f in frames], float)
    if not np.isfinite(positions).all():
        raise InputError(f"{what} has a position that is no number; export the series again.")
    along = positions @ normal
    places: list[list[Frame]] = []
    last = -np.inf
    for index in np.argsort(along, kind="stable"):
        if along[index] - last > _SAME_PLACE_MM:
            places.append([])
            last = along[index]
        places[-1].append(frames[int(index)])
    return places


def _step(places: list[list[Frame]], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """From one slice to the next, in LPS mm; of a lone slice, its thickness along the normal."""
    first, last = (np.array(places[i][0].position, float) for i in (0, -1))
    if len(places) == 1:
        return normal * (places[0][0].thickness_mm or places[0][0].step_mm or 1.0)
    return (last - first) / (len(places) - 1)


def _check_steps(places: list[list[Frame]], normal: NDArray[np.float64], what: str) -> None:
    """Refuse gaps, lone duplicates and positions off the line, naming the slices."""
    positions = np.array([p[0].position for p in places], float)
    problems = []
    counts = [len(p) for p in places]
    if len(set(counts)) > 1:
        usual = int(np.median(counts))
        odd = [p for p in places if len(p) != usual]
        kind = "duplicate slices at one position" if usual == 1 else f"not {usual} images at each position"
        problems.append(f"{kind} ({'; '.join(_names(p) for p in odd[:3])})")
    steps = np.diff(positions @ normal)
    if len(steps):
        usual_mm = float(np.sort(steps)[(len(steps) - 1) // 2])  # of two different steps, the smaller one
        wrong = [i for i, s in enumerate(steps) if abs(s - usual_mm) > 0.02 + 0.05 * usual_mm]
        if wrong:
            named = "; ".join(
                f"{steps[i]:.4g} mm between {places[i][0].label} and {places[i + 1][0].label}"
                for i in wrong[:3]
            )
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            problems.append(
                f"slices that are not evenly spaced: {usual_mm:.4g} mm is usual, but {named}{more}"
            )
    if problems:
        raise InputError(
            f"{what} is no regular volume; it has {' and '.join(problems)}. Add the missing slices, or remove the "
            "extra ones, and try again."
        )
    line = positions[0] + np.outer(np.arange(len(places)), _step(places, normal))
    off = np.linalg.norm(positions - line, axis=1)
    worst = int(off.argmax())
    if off[worst] > 0.1 + 0.05 * float(np.abs(steps).mean() if len(steps) else 0):
        raise InputError(
            f"{what} is no regular volume: {places[worst][0].label} lies {off[worst]:.3g} mm beside the line of the "
            "other slices; export the series again, or split it."
        )
    for place in places:
        spread = np.ptp(np.array([f.position for f in place], float), axis=0).max()
        if spread > 0.1:
            raise InputError(
                f"{what} is no regular volume: {_names(place)} lie in one plane but {spread:.3g} mm apart; split the "
                "series."
            )


def _split_times(places: list[list[Frame]], what: str) -> list[list[Frame]]:
    """``[t][k]`` from equal positions, by the first header element that tells them apart everywhere."""
    n_times = len(places[0])
    if n_times == 1:
        return [[p[0] for p in places]]
    names = list(dict.fromkeys(k for p in places for f in p for k in f.time))
    names.sort(key=lambda k: (TIME_KEYS.index(k.split("/")[0]), "/" not in k))
    for name in names:
        values = [[f.time.get(name) for f in place] for place in places]
        if any(v is None for row in values for v in row) or any(len(set(row)) < n_times for row in values):
            continue
        order = [sorted(range(n_times), key=[_sortable(v or "") for v in row].__getitem__) for row in values]
        return [[place[o[t]] for place, o in zip(places, order, strict=True)] for t in range(n_times)]
    raise InputError(
        f"{what} has {n_times} images at each position that nothing tells apart (for example {_names(places[0])}); "
        "remove the duplicates."
    )


def _sortable(value: str) -> tuple[float, str]:
    try:
        return (float(value), value)
    except ValueError:
        return (0.0, value)


def _names(frames: Sequence[Frame]) -> str:
    names = [f.label for f in frames[:_NAMED]]
    more = len(frames) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
