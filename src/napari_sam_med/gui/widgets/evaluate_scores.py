"""What the Evaluate panel hands to the Diagnostics panel: scores, the layers they are about, and the masks."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psygnal import Signal

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.evaluation.again import RunNotes, read_notes

NEEDED_COLUMNS = ("axis", "slice", "label", "dice")


class MaskKey(NamedTuple):
    """Which prediction: who answered, how it was prompted and chosen, and where it lies."""

    model: str
    strategy: str
    rule: str
    axis: int
    slice: int
    label: int


class MaskStore:
    """2D masks by key, one bit a voxel, and the prompts they answer."""

    def __init__(self) -> None:
        self._masks: dict[MaskKey, tuple[tuple[int, int], NDArray[np.uint8]]] = {}
        self._prompts: dict[MaskKey, tuple[Prompt, ...]] = {}

    def put(self, key: MaskKey, mask: NDArray[np.bool_], prompts: Sequence[Prompt] = ()) -> None:
        """Keep a mask, shape (rows, cols), and what it answers, without the logits that were fed back."""
        rows, cols = mask.shape
        self._masks[key] = ((rows, cols), np.packbits(mask))
        if prompts:
            self._prompts[key] = tuple(replace(prompt, mask_logits=None) for prompt in prompts)

    def prompts(self, key: MaskKey) -> tuple[Prompt, ...]:
        """What the mask of this key answers; empty if there was no prompt."""
        return self._prompts.get(key, ())

    def get(self, key: MaskKey) -> NDArray[np.bool_] | None:
        """The mask of this key, or None."""
        found = self._masks.get(key)
        if found is None:
            return None
        (rows, cols), bits = found
        return np.unpackbits(bits, count=rows * cols).reshape(rows, cols).astype(bool)

    def __len__(self) -> int:
        return len(self._masks)


@dataclass(frozen=True, eq=False)
class Scores:
    """One table of scores and what is needed to show any of its rows.

    Attributes
    ----------
    frame : DataFrame
        One row for each slice and object (and strategy and rule): axis, slice, label, metrics, factors, error.
    source : str
        Where they come from, for the heading of a panel.
    image, truth, prediction : Layer or None
        The layers they are about, where known.
    masks : MaskStore
        Simulated predictions; empty for scores from a file.
    from_file : bool
        Read from a CSV, which knows no layers.
    jitter : DataFrame, optional
        Rows of prompts that were moved, see ``evaluation.robustness_rows``.
    notes : RunNotes
        What stands beside a file of scores; empty for others.
    """

    frame: pd.DataFrame
    source: str
    image: Any = None
    truth: Any = None
    prediction: Any = None
    masks: MaskStore = field(default_factory=MaskStore)
    from_file: bool = False
    jitter: pd.DataFrame | None = None
    notes: RunNotes = field(default_factory=RunNotes)

    @property
    def from_compare(self) -> bool:
        """Whether a mask was scored and no model."""
        return "strategy" not in self.frame


class ScoreBoard:
    """The last scores of one workspace; panels listen to `changed`."""

    changed = Signal(object)

    def __init__(self) -> None:
        self.scores: Scores | None = None

    def publish(self, scores: Scores) -> None:
        """Make these the last scores and tell the panels."""
        self.scores = scores
        self.changed.emit(scores)


_boards: weakref.WeakKeyDictionary[Any, ScoreBoard] = weakref.WeakKeyDictionary()


def board_of(workspace: Any) -> ScoreBoard:
    """The score board of a workspace; made at the first call."""
    return _boards.setdefault(workspace, ScoreBoard())


def read_scores(path: Path) -> Scores:
    """Scores written by ``napari-sam-med evaluate`` or exported from the Evaluate panel.

    Raises
    ------
    InputError
        If the file cannot be read or is no table of scores by slice.
    """
    try:
        frame = pd.read_csv(path)
    except OSError as error:
        raise InputError(f"{path.name} could not be read: {error.strerror or error}.") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path.name} is not a CSV table; choose a scores.csv.") from error
    missing = [name for name in NEEDED_COLUMNS if name not in frame.columns]
    if missing:
        raise InputError(
            f"{path.name} has no column {', '.join(missing)}; expected scores by slice, as Evaluate exports them."
        )
    if not pd.api.types.is_numeric_dtype(frame["dice"]):
        raise InputError(
            f"The column dice of {path.name} has values that are not numbers; choose a scores.csv."
        )
    return Scores(frame, path.name, from_file=True, notes=read_notes(path.parent))
