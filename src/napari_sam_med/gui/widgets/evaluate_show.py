"""The way from a row of scores to its slice in the viewer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.volume import AXES, axis_number
from napari_sam_med.gui.state import Workspace
from napari_sam_med.gui.widgets.diagnostics_legend import regions_text
from napari_sam_med.gui.widgets.diagnostics_overlay import FailureView
from napari_sam_med.gui.widgets.evaluate_scores import MaskKey, Scores
from napari_sam_med.gui.widgets.table_model import cell_text


class Shown(NamedTuple):
    """What is on screen.

    Attributes
    ----------
    text : str
        In a sentence.
    lacking : bool
        The row has a prediction, and it is not at hand.
    """

    text: str
    lacking: bool = False


def show_score(
    viewer: Any, workspace: Workspace, failure: FailureView, scores: Scores, values: pd.Series
) -> Shown:
    """Go to the slice of a row; show truth, prediction and errors as far as they are known.

    Raises
    ------
    InputError
        If the layers of the scores are gone, or have no such slice.
    """
    key = key_of(values)
    axis, index = key.axis, key.slice
    reference = next((x for x in (scores.truth, scores.image) if x is not None and x in viewer.layers), None)
    if reference is None:
        raise InputError(
            "The layers of these scores are not in the viewer any more; open them and try again."
        )
    unite = scores.notes.unites(case_of(values))
    truth = object_mask(viewer, workspace, scores.truth, key, unite)
    prediction = scores.masks.get(key)
    if prediction is None:
        prediction = object_mask(viewer, workspace, scores.prediction, key, unite)
    failure.show(reference, axis, index, truth, prediction, scores.masks.prompts(key))
    text = (
        f"{AXES[axis].capitalize()} slice {index}, {object_name(values)}: Dice {cell_text(values['dice'])}."
    )
    if str(values.get("error", "")) not in ("", "nan"):
        return Shown(f"{text} {values['error']}")
    if prediction is None:
        return Shown(text, lacking=True)
    wrong = regions_text(failure.regions)
    return Shown(f"{text[:-1]}: {wrong}." if wrong else text)


def key_of(values: pd.Series) -> MaskKey:
    """Which prediction a row is about.

    Raises
    ------
    InputError
        If it is about no single slice.
    """
    if pd.isna(values["slice"]) or not str(values["axis"]):
        raise InputError("This row is about no single slice; choose another.")
    model, strategy, rule = (text_of(values, name) for name in ("model", "strategy", "rule"))
    axis = axis_number(values["axis"])
    return MaskKey(model, strategy, rule, axis, int(values["slice"]), int(values["label"]))


def case_of(values: pd.Series) -> str:
    """Case of a row; "" where there is none."""
    return text_of(values, "case")


def text_of(values: pd.Series, name: str) -> str:
    """Text in a column of a row; "" where there is none."""
    value = values.get(name, "")
    return "" if pd.isna(value) else str(value)


def object_name(values: pd.Series) -> str:
    """Name of the object of a row, or its number."""
    return text_of(values, "label_name") or f"label {int(values['label'])}"


def object_mask(
    viewer: Any, workspace: Workspace, layer: Any, key: MaskKey, unite: bool
) -> NDArray[np.bool_] | None:
    """The object of a row in its slice of a label layer, shape (rows, cols); None without the layer.

    Raises
    ------
    InputError
        If the layer has no such slice.
    """
    if layer is None or layer not in viewer.layers:
        return None
    volume = workspace.volume_of(layer)
    if not 0 <= key.slice < volume.shape[key.axis]:
        raise InputError(
            f"{layer.name} has {volume.shape[key.axis]} {AXES[key.axis]} slices and these scores name slice "
            f"{key.slice}; choose the layers that the scores were made on."
        )
    values = volume.slice(key.axis, key.slice)
    return np.asarray(values > 0 if unite else values == key.label)
