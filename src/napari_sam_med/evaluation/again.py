"""A row of scores answered again: files of scores hold no masks, but all it takes to make them once more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.volume import Volume, axis_number
from napari_sam_med.core.windowing import Window, parse_window
from napari_sam_med.evaluation.answers import Answer, SliceAsker, answer
from napari_sam_med.evaluation.atlas import Failure, load_failures
from napari_sam_med.evaluation.baselines import Baseline
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.rows import ScoreRow
from napari_sam_med.evaluation.runner import prompt_rng
from napari_sam_med.evaluation.store import INFO, WORST
from napari_sam_med.inference.everything import EverythingSettings
from napari_sam_med.inference.session import Session
from napari_sam_med.inference.slices import slice_image
from napari_sam_med.prompts import STRATEGIES

Identity = tuple[str, str, int | None, int | None, str, str, str]


@dataclass(frozen=True, eq=False)
class RunNotes:
    """What a run wrote down beside its scores, as far as it is there.

    Attributes
    ----------
    settings : mapping
        The configuration, as ``EvaluationConfig.describe`` gives it; empty where nothing is known.
    windows : mapping of str to str
        ``LEVEL/WIDTH`` of each case.
    failures : mapping of Identity to Failure
        The worst answers, which the run kept.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    windows: Mapping[str, str] = field(default_factory=dict)
    failures: Mapping[Identity, Failure] = field(default_factory=dict)

    def window(self, case: str) -> Window | None:
        """The grey window of a case, if it was written down."""
        text = self.windows.get(case)
        return None if text is None else parse_window(text)

    def unites(self, case: str) -> bool:
        """Whether all labels of a case were one object."""
        return bool(self._case(case).get("unite_labels", False))

    def time(self, case: str) -> int:
        """Time point that was scored."""
        return int(self._case(case).get("time", 0))

    def config(self, row: ScoreRow) -> EvaluationConfig:
        """What a row was scored with; defaults stand for what is not known.

        Raises
        ------
        InputError
            If the row's strategy or rule is unknown.
        """
        known = {
            name: self.settings[name] for name in ("seed", "variant", "n_clicks") if name in self.settings
        }
        given = self.settings.get("everything") or {}
        names = [each.name for each in fields(EverythingSettings) if each.name in given]
        everything = EverythingSettings(**{name: given[name] for name in names})
        return EvaluationConfig(
            (row.model,), (row.strategy,), rules=(row.rule,), everything=everything, **known
        )

    def kept(
        self, row: ScoreRow, shape: tuple[int, int]
    ) -> tuple[NDArray[np.bool_], tuple[Prompt, ...]] | None:
        """Mask and prompts of a row in a slice of this shape, if it is among the worst, which the run kept."""
        found = self.failures.get(_identity(row))
        return None if found is None else found.in_slice(shape)

    def _case(self, case: str) -> Mapping[str, Any]:
        return next((each for each in self.settings.get("cases", ()) if each.get("id") == case), {})


def read_notes(folder: Path) -> RunNotes:
    """What the run of a folder wrote down; a folder without such files gives empty notes."""
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
        settings, windows = dict(info["config"]), dict(info["windows"])
    except (OSError, ValueError, KeyError, TypeError):
        settings, windows = {}, {}
    failures = {_identity(failure): failure for failure in load_failures(folder / WORST)}
    return RunNotes(settings, windows, failures)


def answer_again(
    image: Volume,
    truth: NDArray[np.bool_],
    row: ScoreRow,
    notes: RunNotes,
    asked: Session | Baseline,
    window: Window,
) -> Answer:
    """Ask the prompt of a row once more; the same model and settings give the same answer.

    Parameters
    ----------
    image : Volume
    truth : ndarray, shape (rows, cols), bool
        The object in the row's slice.
    row : ScoreRow
        Its case, axis, slice, label, model, strategy and rule count.
    notes : RunNotes
    asked : Session or Baseline
    window : Window
        For cases whose window was not written down.

    Raises
    ------
    InputError
        If the object is not in the slice, or the strategy or rule is unknown.
    """
    if not truth.any():
        raise InputError(
            f"The chosen truth has no {row.label_name or f'label {row.label}'} in slice {row.slice}; choose the layers "
            "that the scores were made on."
        )
    config = notes.config(row)
    axis = axis_number(row.axis)
    pixels = slice_image(image, axis, row.slice or 0, notes.window(row.case) or window, notes.time(row.case))
    asker = SliceAsker(pixels, asked, config.everything)
    return answer(STRATEGIES.get(row.strategy), truth, prompt_rng(config.seed, row), asker, config)[row.rule]


def _identity(row: ScoreRow | Failure) -> Identity:
    return (row.case, row.axis, row.slice, row.label, row.model, row.strategy, row.rule)
