"""The way from a row of scores to its slice in the viewer."""

from __future__ import annotations

from typing import Any

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


def show_score(
    viewer: Any, workspace: Workspace, failure: FailureView, scores: Scores, values: pd.Series
) -> str:
    """Go to the slice of a row; show truth, prediction and errors as far as they are known.

    Returns
    -------
    str
        What is shown, in a sentence.

    Raises
    ------
    InputError
        If the layers of the scores are gone, or have no such slice.
    """
    if pd.isna(values["slice"]) or not str(values["axis"]):
        raise InputError("This row is about no single slice; choose another.")
    axis, index, label = axis_number(values["axis"]), int(values["slice"]), int(values["label"])
    reference = next((x for x in (scores.truth, scores.image) if x is not None and x in viewer.layers), None)
    if reference is None:
        raise InputError(
            "The layers of these scores are not in the viewer any more; open them and try again."
        )
    truth = _mask(viewer, workspace, scores.truth, axis, index, label)
    model, strategy, rule = (str(values.get(name, "")) for name in ("model", "strategy", "rule"))
    key = MaskKey(model, strategy, rule, axis, index, label)
    prediction = scores.masks.get(key)
    if prediction is None:
        prediction = _mask(viewer, workspace, scores.prediction, axis, index, label)
    failure.show(reference, axis, index, truth, prediction, scores.masks.prompts(key))
    text = (
        f"{AXES[axis].capitalize()} slice {index}, {object_name(values)}: Dice {cell_text(values['dice'])}."
    )
    if str(values.get("error", "")) not in ("", "nan"):
        return f"{text} {values['error']}"
    if prediction is None:
        return f"{text} The prediction is not at hand, only the slice and its truth."
    wrong = regions_text(failure.regions)
    return f"{text[:-1]}: {wrong}." if wrong else text


def object_name(values: pd.Series) -> str:
    """Name of the object of a row, or its number."""
    name = str(values.get("label_name", ""))
    return name if name not in ("", "nan") else f"label {int(values['label'])}"


def _mask(
    viewer: Any, workspace: Workspace, layer: Any, axis: int, index: int, label: int
) -> NDArray[np.bool_] | None:
    if layer is None or layer not in viewer.layers:
        return None
    volume = workspace.volume_of(layer)
    if not 0 <= index < volume.shape[axis]:
        raise InputError(
            f"{layer.name} has {volume.shape[axis]} {AXES[axis]} slices and these scores name slice {index}; "
            "choose the layers that the scores were made on."
        )
    return volume.slice(axis, index) == label
