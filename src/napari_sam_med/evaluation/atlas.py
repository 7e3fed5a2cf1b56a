"""The worst answers of a run, kept as small pictures beside the scores while it goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import OutputError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.rows import ScoreRow
from napari_sam_med.inference.slices import SliceImage

Place = tuple[str, str, int, int]

N_WORST = 8
_NEAR = 8  # neighbouring slices of an object fail alike: one picture for so many
_MARGIN = 0.35
_LEAST_SIDE = 48


@dataclass(frozen=True, eq=False)
class Failure:
    """One answer with all it takes to draw it.

    Attributes
    ----------
    case, axis, slice, label, label_name, model, strategy, rule
        As in :class:`~napari_sam_med.evaluation.rows.ScoreRow`.
    dice, predicted_iou : float
    image : ndarray, shape (rows, cols), uint8
        A part of the slice, through the window.
    truth, prediction : ndarray, shape (rows, cols), bool
        On the same pixels.
    spacing_mm : tuple of float
        (row, col).
    points : list of (row, col, label)
        In pixels of `image`; label 1 is positive.
    boxes : list of (r0, c0, r1, c1)
        Inclusive, in pixels of `image`.
    corner : tuple of int, optional
        Where the first pixel of `image` lies in the slice, (row, col); older files do not tell.
    """

    case: str
    axis: str
    slice: int
    label: int
    label_name: str
    model: str
    strategy: str
    rule: str
    dice: float
    predicted_iou: float
    image: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    prediction: NDArray[np.bool_]
    spacing_mm: tuple[float, float]
    points: list[tuple[float, float, int]] = field(default_factory=list)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    corner: tuple[int, int] | None = None

    def in_slice(self, shape: tuple[int, int]) -> tuple[NDArray[np.bool_], tuple[Prompt, ...]] | None:
        """Prediction and prompts in the whole slice of this shape; None where it is not known where they lie."""
        rows, cols = self.prediction.shape
        if self.corner is None or self.corner[0] + rows > shape[0] or self.corner[1] + cols > shape[1]:
            return None
        r, c = self.corner
        mask = np.zeros(shape, bool)
        mask[r : r + rows, c : c + cols] = self.prediction
        prompts = [Prompt.from_box((r0 + r, c0 + c, r1 + r, c1 + c)) for r0, c0, r1, c1 in self.boxes]
        if self.points:
            places = [(row + r, col + c) for row, col, _ in self.points]
            prompts.append(Prompt.from_points(places, [sign for *_, sign in self.points]))
        return mask, tuple(prompts)

    @property
    def group(self) -> tuple[str, str]:
        """Failures compete within a model and strategy."""
        return (self.model, self.strategy)

    @property
    def place(self) -> Place:
        """Slices of one object that lie near each other share a place."""
        return (self.case, self.axis, self.label, self.slice // _NEAR)


def crop_failure(row: ScoreRow, pixels: SliceImage, truth: NDArray[np.bool_]) -> Failure:
    """Cut truth, prediction and prompt out of a slice, with some of what surrounds them.

    Parameters
    ----------
    row : ScoreRow
        With its mask.
    pixels : SliceImage
    truth : ndarray, shape (rows, cols), bool
    """
    mask = np.asarray(row.mask, bool)
    prompts = row.prompts or ((row.prompt,) if row.prompt is not None else ())
    points = [
        (float(r), float(c), int(v)) for q in prompts for (r, c), v in zip(q.points, q.labels, strict=True)
    ]
    boxes = [q.box for q in prompts if q.box is not None]
    corners = np.argwhere(truth | mask).astype(float)
    marks = [point[:2] for point in points] + [box[:2] for box in boxes] + [box[2:] for box in boxes]
    spots = np.concatenate([corners, np.array(marks, float).reshape(-1, 2)])
    r0, r1 = _span(spots[:, 0], pixels.shape[0])
    c0, c1 = _span(spots[:, 1], pixels.shape[1])
    return Failure(
        **{
            name: getattr(row, name)
            for name in ("case", "axis", "slice", "label", "label_name", "model", "strategy", "rule")
        },
        dice=float(row.metrics["dice"]),
        predicted_iou=row.predicted_iou,
        image=pixels.pixels[r0:r1, c0:c1].copy(),
        truth=truth[r0:r1, c0:c1].copy(),
        prediction=mask[r0:r1, c0:c1].copy(),
        spacing_mm=pixels.spacing_mm,
        points=[(r - r0, c - c0, v) for r, c, v in points],
        boxes=[(a - r0, b - c0, c - r0, d - c0) for a, b, c, d in boxes],
        corner=(r0, c0),
    )


def _span(values: NDArray[np.float64], length: int) -> tuple[int, int]:
    low, high = float(values.min()), float(values.max())
    half = max((high - low + 1) * (0.5 + _MARGIN), _LEAST_SIDE / 2)
    middle = (low + high) / 2
    return max(0, round(middle - half)), min(length, round(middle + half) + 1)


class Atlas:
    """The worst answers so far: at most `size` for every model and strategy, and one for neighbouring slices.

    Parameters
    ----------
    size : int
    rule : str
        Only answers chosen by this rule.
    """

    def __init__(self, size: int = N_WORST, rule: str = "score") -> None:
        self.size = size
        self.rule = rule
        self._kept: dict[tuple[str, str], dict[Place, Failure]] = {}
        self._saved_in: Path | None = None

    def __iter__(self) -> Any:
        return iter(
            sorted((f for g in self._kept.values() for f in g.values()), key=lambda f: _order(f, f.dice))
        )

    def offer(self, row: ScoreRow, make: Callable[[ScoreRow], Failure]) -> None:
        """Keep the picture of a row, which `make` draws, if it is among the worst."""
        dice = row.metrics.get("dice", float("nan"))
        if row.rule != self.rule or row.error or row.mask is None or not np.isfinite(dice):
            return
        place = (row.case, row.axis, row.label or 0, (row.slice or 0) // _NEAR)
        if self._wanted(self._kept.get((row.model, row.strategy), {}), place, _order(row, dice)):
            self.add(make(row))

    def add(self, failure: Failure) -> None:
        """Keep a failure if it is among the worst."""
        kept = self._kept.setdefault(failure.group, {})
        if not self._wanted(kept, failure.place, _order(failure, failure.dice)):
            return
        kept[failure.place] = failure
        self._saved_in = None
        if len(kept) > self.size:
            best = max(kept, key=lambda place: _order(kept[place], kept[place].dice))
            del kept[best]

    def drop(self, keep: Callable[[Failure], bool]) -> None:
        """Forget all failures that `keep` does not want."""
        for kept in self._kept.values():
            for place in [place for place, failure in kept.items() if not keep(failure)]:
                del kept[place]
                self._saved_in = None

    def _wanted(self, kept: dict[Place, Failure], place: Place, order: tuple[Any, ...]) -> bool:
        if place in kept:
            return order < _order(kept[place], kept[place].dice)
        return len(kept) < self.size or order < max(_order(f, f.dice) for f in kept.values())

    def save(self, folder: Path) -> None:
        """Make the files of a folder those of this atlas; nothing is done where nothing changed since the last time.

        Raises
        ------
        OutputError
            If a file cannot be written.
        """
        if self._saved_in == folder:
            return
        names = {_file_name(failure): failure for failure in self}
        try:
            if names:
                folder.mkdir(exist_ok=True)
            for path in folder.glob("*.npz"):
                if path.name not in names:
                    path.unlink()
            for path in folder.glob("*.part"):  # of a run that ended while it wrote
                path.unlink()
            for name, failure in names.items():
                if not (folder / name).exists():
                    _write(folder / name, failure)
            self._saved_in = folder
        except OSError as error:
            raise OutputError(
                f"{folder.name} cannot be written: {error.strerror or error}. Free space or choose another folder; "
                "the same command goes on from here."
            ) from error


def load_failures(folder: Path) -> list[Failure]:
    """The failures in a folder, worst first; damaged files are left out."""
    found = []
    for path in sorted(folder.glob("*.npz")):
        try:
            found.append(_read(path))
        except (OSError, ValueError, KeyError, TypeError, EOFError):
            continue
    return sorted(found, key=lambda f: _order(f, f.dice))


def atlas_rule(config: EvaluationConfig) -> str:
    """The rule whose failures are shown: what a user gets, where it is among the rules."""
    return "score" if "score" in config.rules else config.rules[0]


def merge(atlas: Atlas, failures: Iterable[Failure]) -> None:
    """Offer failures of another atlas."""
    for failure in failures:
        atlas.add(failure)


_ARRAYS = ("image", "truth", "prediction")


def _order(item: Failure | ScoreRow, dice: float) -> tuple[Any, ...]:
    """Worst first, and always the same among equals, so that the order in which rows come does not matter."""
    return (dice, item.case, item.axis, item.slice, item.label, item.strategy)


def _file_name(failure: Failure) -> str:
    identity = [failure.case, failure.axis, failure.slice, failure.label, *failure.group, failure.dice]
    return hashlib.sha256(repr(identity).encode()).hexdigest()[:16] + ".npz"


def _write(path: Path, failure: Failure) -> None:
    facts = {k: v for k, v in asdict(failure).items() if k not in _ARRAYS}
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez_compressed(
            file,
            facts=np.frombuffer(json.dumps(facts).encode(), np.uint8),
            **{name: getattr(failure, name) for name in _ARRAYS},
        )
    os.replace(partial, path)


def _read(path: Path) -> Failure:
    with np.load(path, allow_pickle=False) as stored:
        facts = json.loads(stored["facts"].tobytes())
        arrays = {name: stored[name] for name in _ARRAYS}
    facts["spacing_mm"] = tuple(facts["spacing_mm"])
    if facts.get("corner") is not None:
        row, col = facts["corner"]
        facts["corner"] = (int(row), int(col))
    return Failure(**facts, **arrays)
