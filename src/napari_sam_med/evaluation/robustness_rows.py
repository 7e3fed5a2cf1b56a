"""One line of the robustness lab, and tables of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import Prompt

NAN = float("nan")

COLUMNS = (
    "case",
    "axis",
    "slice",
    "label",
    "label_name",
    "modality",
    "size_px",
    "model",
    "strategy",
    "rule",
    "lab",
    "mode",
    "step",
    "dose",
    "dose_low",
    "dose_high",
    "seed",
    "moved_px",
    "candidate",
    "predicted_iou",
    "dice",
    "dice_plain",
    "error",
)
"""Of ``robustness.csv``, in order; docs/cli.md says what each means."""
TEXTS = (
    "case",
    "axis",
    "label_name",
    "modality",
    "model",
    "strategy",
    "rule",
    "lab",
    "mode",
    "step",
    "error",
)
WHOLE = ("slice", "label", "size_px", "seed", "candidate")


@dataclass(frozen=True, eq=False)
class LabRow:
    """Dice of one model for one object in one slice after one change, or the error in its place.

    Attributes
    ----------
    case, axis, slice, label, label_name, modality, model, strategy, rule
        As in :class:`evaluation.rows.ScoreRow`.
    size_px : int, optional
        Pixels of the object.
    lab, mode, step, dose, dose_low, dose_high, seed
        What was changed and by how much, see :class:`robustness_config.Step`.
    moved_px : float
        How far the prompt moved once it was brought back into the slice; NaN where no prompt was changed.
    candidate : int, optional
        Which candidate the rule chose.
    predicted_iou : float
        The model's own guess for that candidate; NaN for baselines.
    dice : float
    dice_plain : float
        Dice of the same object, strategy and rule with nothing changed.
    error : str
        A sentence; "" if all went well.
    prompt : Prompt, optional
        The changed prompt; it is not in the table.
    mask : ndarray of bool, optional
        The chosen candidate, if masks were to be kept; it is not in the table.
    """

    case: str
    axis: str = ""
    slice: int | None = None
    label: int | None = None
    label_name: str = ""
    modality: str = ""
    size_px: int | None = None
    model: str = ""
    strategy: str = ""
    rule: str = ""
    lab: str = ""
    mode: str = ""
    step: str = ""
    dose: float = NAN
    dose_low: float = NAN
    dose_high: float = NAN
    seed: int | None = None
    moved_px: float = NAN
    candidate: int | None = None
    predicted_iou: float = NAN
    dice: float = NAN
    dice_plain: float = NAN
    error: str = ""
    prompt: Prompt | None = None
    mask: NDArray[np.bool_] | None = None

    def as_dict(self) -> dict[str, Any]:
        """One flat table row."""
        return {name: getattr(self, name) for name in COLUMNS}


def lab_table(rows: Iterable[LabRow]) -> pd.DataFrame:
    """Rows as a table with the types of :func:`read_lab_table`."""
    return _typed(pd.DataFrame([row.as_dict() for row in rows], columns=list(COLUMNS)))


def read_lab_table(path: Path) -> pd.DataFrame:
    """The table in ``robustness.csv``.

    Returns
    -------
    DataFrame
        Text columns hold "" where there is nothing, whole-number columns are nullable ``Int64``, others float.

    Raises
    ------
    InputError
        If the file is missing or is another table.
    """
    numbers = {name: [""] for name in COLUMNS if name not in TEXTS}
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=numbers)
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} cannot be read as a table of the robustness lab: {error}.") from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise InputError(f"{path.name} is no table of the robustness lab: it lacks {', '.join(missing)}.")
    return _typed(table)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    for name in COLUMNS:
        if name in TEXTS:
            table[name] = table[name].fillna("").astype(object)
        else:
            table[name] = table[name].astype("Int64" if name in WHOLE else float)
    return table
