"""What the user chooses in the Diagnostics panel: which rows, which plot, which factor and colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from napari.layers import Image, Labels
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QSizePolicy, QWidget

from napari_sam_med.factors import FACTORS
from napari_sam_med.gui.widgets.diagnostics_overlay import PASSING_NAMES
from napari_sam_med.gui.widgets.evaluate_controls import LayerChooser, row
from napari_sam_med.gui.widgets.evaluate_scores import Scores
from napari_sam_med.prompts import STRATEGIES

FACTOR, BY_STRATEGY, BY_LABEL, BY_MODEL = "factor", "strategy", "label_name", "model"
CORRELATIONS, CALIBRATION, JITTER = "correlations", "calibration", "jitter"
KINDS = {
    FACTOR: ("Dice against a factor", "A dot for every object in a slice."),
    BY_STRATEGY: ("Dice by prompt", "A box for every prompt; click one to see its dots."),
    BY_LABEL: ("Dice by object", "A box for every object; click one to see its dots."),
    BY_MODEL: ("Dice by model", "A box for every model; click one to see its dots."),
    CORRELATIONS: (
        "Which factors matter",
        "Partial rank correlation of Dice with each factor, all other factors held fixed; click one to see its dots.",
    ),
    CALIBRATION: (
        "Model's own opinion",
        "Calibration: what IoU the model predicted for its masks, and what it really was.",
    ),
    JITTER: ("Dice with moved prompts", "Mean Dice against how far boxes and points were moved at random."),
}
"""Titles and meanings of the plots."""
BOXES = (BY_STRATEGY, BY_LABEL, BY_MODEL)
_MOST_COLOURS = 8
_FILTERS = ("strategy", "rule", "label", "model")
_COLOURS = {
    "label_name": "by object",
    "strategy": "by prompt",
    "rule": "by rule",
    "model": "by model",
    "case": "by volume",
}


class ScoreChoosers(QWidget):
    """Choosers over a table of scores; they draw nothing.

    Parameters
    ----------
    viewer : napari.Viewer
        Its layers are offered for scores from a file.
    """

    filter_changed = Signal()
    """Other rows are wanted."""
    look_changed = Signal()
    """The same rows, looked at in another way."""

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image_layer = LayerChooser(viewer, Image)
        self.image_layer.setToolTip("The image these scores are about; a file does not know it.")
        self.truth_layer = LayerChooser(viewer, Labels, prefer=("truth", "label"), hide=PASSING_NAMES)
        self.truth_layer.setToolTip("The truth these scores were made against; a file does not know it.")
        self.strategy = _combo("Prompt strategy whose rows are shown.")
        self.rule = _combo(
            "Which candidate counts: “score” the one the model rates highest (what a user gets), "
            "“oracle” the one closest to the truth, “largest” and “first” as they say."
        )
        self.label = _combo("Object whose rows are shown.")
        self.model = _combo("Model whose rows are shown.")
        self.kind = _combo("What to plot.")
        self.factor = _combo("Property of the object to plot Dice against.")
        self.colour = _combo("What the colours stand for.")
        self.combos = {name: getattr(self, name) for name in _FILTERS}
        for combo in self.combos.values():
            combo.currentIndexChanged.connect(lambda _: self.filter_changed.emit())
        for combo in (self.factor, self.colour):
            combo.currentIndexChanged.connect(lambda _: self.look_changed.emit())
        self.kind.currentIndexChanged.connect(lambda _: self._on_kind())
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setVerticalSpacing(4)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self._prompt_row = row(self.strategy, self.rule, stretch=0)
        self._object_row = row(self.label, self.model, stretch=0)
        self._factor_row = row(self.factor, self.colour, stretch=0)
        for title, field in (
            ("Image", self.image_layer),
            ("Truth", self.truth_layer),
            ("Prompt", self._prompt_row),
            ("Object", self._object_row),
            ("Plot", self.kind),
            ("Factor", self._factor_row),
        ):
            self._form.addRow(title, field)

    def offer_scores(self, scores: Scores) -> None:
        """Offer what occurs in these scores; what was chosen stays chosen where it can."""
        frame = scores.frame
        for chooser in (self.image_layer, self.truth_layer):
            self._form.setRowVisible(chooser, scores.from_file)
        names = dict(zip(frame["label"], frame.get("label_name", []), strict=False))
        labels = {value: str(names.get(value) or f"label {value}") for value in _values(frame, "label")}
        for name, every, words, first in (
            ("strategy", "All prompts", {}, None),
            ("rule", "All rules", {}, "score"),
            ("label", "All objects", labels, None),
            ("model", "All models", {}, None),
        ):
            values = _values(frame, name)
            offer(
                self.combos[name],
                values,
                titles=words,
                everything=every if len(values) > 1 else "",
                prefer=None if name == "label" else first or (values[0] if values else None),
            )
        for i in range(self.strategy.count()):
            name = self.strategy.itemData(i)
            if name in STRATEGIES:
                self.strategy.setItemData(i, STRATEGIES.get(name).meaning, Qt.ItemDataRole.ToolTipRole)
        self._form.setRowVisible(self._prompt_row, self.strategy.count() > 0)
        self._form.setRowVisible(self._object_row, max(self.label.count(), self.model.count()) > 1)
        self.label.setVisible(self.label.count() > 1)
        self.model.setVisible(self.model.count() > 1)
        self._offer_kinds(scores)

    def offer_factors(self, factors: Sequence[str], strongest: str | None) -> None:
        """Offer factors to plot against, by name; the one chosen before stays, `strongest` is chosen at first."""
        titles = {name: FACTORS.get(name).title for name in factors}
        offer(self.factor, factors, titles=titles, prefer=self.factor.currentData() or strongest)
        for i, name in enumerate(factors):
            self.factor.setItemData(i, FACTORS.get(name).meaning, Qt.ItemDataRole.ToolTipRole)

    def offer_colours(self, frame: pd.DataFrame) -> None:
        """Offer the columns that tell the rows apart in few values."""
        found = [
            name
            for name in _COLOURS
            if name in frame
            and name != self.kind.currentData()
            and 1 < frame[name].nunique() <= _MOST_COLOURS
        ]
        offer(self.colour, found, titles=_COLOURS, everything="One colour", prefer=self.colour.currentData())
        self._show_rows()

    def filtered(self, frame: pd.DataFrame, but: str = "") -> pd.DataFrame:
        """The rows that are chosen, numbered from 0, with the choice of column `but` left open."""
        but = "label" if but == BY_LABEL else but
        for name, combo in self.combos.items():
            if combo.currentData() is not None and name != but:
                frame = frame[frame[name] == combo.currentData()]
        return frame.reset_index(drop=True)

    def mixed(self) -> str:
        """What would have to be chosen first for rows to be of one kind: "prompt and rule"; "" if they are."""
        words = {"strategy": "prompt", "rule": "rule", "model": "model"}
        several = [
            words[n] for n in words if self.combos[n].count() > 1 and self.combos[n].currentData() is None
        ]
        return " and ".join(several)

    def choose(self, combo: QComboBox, value: Any) -> None:
        """Choose a value that is offered."""
        combo.setCurrentIndex(combo.findData(value))

    def _offer_kinds(self, scores: Scores) -> None:
        frame = scores.frame
        kinds = [FACTOR]
        kinds += [kind for kind in BOXES if len(_values(frame, kind)) > 1]
        kinds.append(CORRELATIONS)
        if "predicted_iou" in frame and frame["predicted_iou"].notna().any():
            kinds.append(CALIBRATION)
        if scores.jitter is not None and len(scores.jitter):
            kinds.append(JITTER)
        titles = {kind: KINDS[kind][0] for kind in kinds}
        offer(self.kind, kinds, titles=titles, prefer=self.kind.currentData())
        for i, kind in enumerate(kinds):
            self.kind.setItemData(i, KINDS[kind][1], Qt.ItemDataRole.ToolTipRole)

    def _on_kind(self) -> None:
        self._show_rows()
        self.look_changed.emit()

    def _show_rows(self) -> None:
        kind = self.kind.currentData()
        self.kind.setToolTip(KINDS[kind][1] if kind else "")
        shown = kind == FACTOR or (kind in BOXES and self.colour.count() > 1)
        self._form.setRowVisible(self._factor_row, shown and self.factor.count() > 0)
        # showing a row shows all of it
        self.factor.setVisible(shown and kind == FACTOR)
        self.colour.setVisible(shown and self.colour.count() > 1)
        label = self._form.labelForField(self._factor_row)
        if label is not None:
            label.setText("Factor" if kind == FACTOR else "Colour")


def _combo(tooltip: str) -> QComboBox:
    combo = QComboBox()
    combo.setToolTip(tooltip)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(6)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return combo


def _values(frame: pd.DataFrame, name: str) -> list[Any]:
    """What occurs in a column, in order of appearance; nothing for a column that is missing or empty."""
    if name not in frame:
        return []
    found = frame[name].dropna().unique().tolist()
    return [value for value in found if value != ""]


def offer(
    combo: QComboBox,
    values: Sequence[Any],
    *,
    titles: Mapping[Any, str] | None = None,
    prefer: Any = None,
    everything: str = "",
) -> None:
    """Offer values without telling anybody; what was chosen before stays, or else the preferred one is chosen.

    The only value that there was is no choice, nor is a value that means something else now.
    """
    before, title, had = combo.currentData(), combo.currentText(), combo.count() > 1
    with QSignalBlocker(combo):
        combo.clear()
        if everything:
            combo.addItem(everything, None)
        for value in values:
            combo.addItem((titles or {}).get(value, str(value)), value)
        # "all" is kept like any other choice
        index = combo.findData(before) if before is not None else (0 if everything else -1)
        if not had or (before is not None and combo.itemText(index) != title):
            index = -1
        if index < 0 and prefer is not None:
            index = combo.findData(prefer)
        combo.setCurrentIndex(max(index, 0) if combo.count() else -1)
