"""Panel "Diagnostics": which factor goes with failure, and the way from a dot to its slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Image, Labels
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_sam_med.core.errors import SamMedError
from napari_sam_med.evaluation.statistics import Correlation
from napari_sam_med.factors import FACTORS
from napari_sam_med.gui.state import workspace_for
from napari_sam_med.gui.widgets.diagnostics_draw import draw_overview, draw_scatter
from napari_sam_med.gui.widgets.diagnostics_legend import legend_html
from napari_sam_med.gui.widgets.diagnostics_overlay import PASSING_NAMES, failure_view
from napari_sam_med.gui.widgets.diagnostics_table import (
    correlations,
    describe_row,
    known_factors,
    worst,
    worst_columns,
)
from napari_sam_med.gui.widgets.evaluate_controls import LayerChooser, MessageStrip, ScrollPanel, row
from napari_sam_med.gui.widgets.evaluate_scores import Scores, board_of, read_scores
from napari_sam_med.gui.widgets.evaluate_show import show_score
from napari_sam_med.gui.widgets.figure import FigurePanel
from napari_sam_med.gui.widgets.following import follow
from napari_sam_med.gui.widgets.table_export import write_csv
from napari_sam_med.gui.widgets.table_view import FrameTable

EMPTY_TEXT = (
    "<b>No scores yet.</b><br><br>"
    "1. Open the <b>Evaluate</b> panel, choose an image and its truth, and press <b>Compare</b> or "
    "<b>Simulate prompts</b>; the scores appear here by themselves.<br><br>"
    "2. Or open a <b>scores.csv</b> that was exported there or written by <i>napari-sam-med evaluate</i>."
)


MIN_ROWS = 8
"""Fewer rows than this get a warning beside their correlation."""


class DiagnosticsPanel(QWidget):
    """Dice against each factor, the worst slices, and the failure itself in the viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where slices and overlays are shown. Scores come from the viewer's Evaluate panel.
    """

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._scores: Scores | None = None
        self._shown = pd.DataFrame()
        self._correlations: dict[str, Correlation] = {}
        self.failure = failure_view(viewer)
        self._workspace = workspace_for(viewer)
        self._workspace.attach(self)
        self._board = board_of(self._workspace)
        self._build()
        follow(self, self._board.changed, self.show_scores)
        if self._board.scores is not None:
            self.show_scores(self._board.scores)

    # ---- building

    def _build(self) -> None:
        self.source_label = QLabel("<b>Scores</b>")
        self.source_label.setWordWrap(True)
        self.message = MessageStrip()
        self.message.say("")
        self.legend = QLabel(legend_html())
        self.legend.setToolTip(
            "Colours in the viewer: voxels missed and extra, outlines of truth and prediction."
        )
        self.legend.hide()
        empty = QLabel(EMPTY_TEXT)
        empty.setWordWrap(True)
        empty.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.pages = QStackedWidget()
        self.pages.addWidget(empty)
        self.pages.addWidget(self._build_results())
        scroll = ScrollPanel(self)
        scroll.column.addWidget(self.source_label)
        scroll.column.addWidget(self.message)
        scroll.column.addWidget(self.legend)
        scroll.column.addWidget(self.pages, 1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(scroll, 1)
        footer = self._build_files()
        footer.setContentsMargins(6, 4, 6, 4)
        outer.addLayout(footer)

    def _build_results(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(self._build_choosers())
        self.overview = FigurePanel(self._viewer, describe=self._describe_factor, minimum=(240, 132))
        self.overview.setMaximumHeight(150)
        self.overview.setToolTip("How strongly Dice goes with each factor; click a bar to see its dots.")
        self.overview.picked.connect(self._choose_factor)
        column.addWidget(self.overview)
        self.scatter = FigurePanel(self._viewer, describe=self._describe_row, minimum=(240, 180))
        self.scatter.picked.connect(self.show_row)
        column.addWidget(self.scatter, 3)
        self.worst_count = QSpinBox()
        self.worst_count.setRange(1, 500)
        self.worst_count.setValue(10)
        self.worst_count.setToolTip("How many of the lowest Dice values to list.")
        self.worst_count.valueChanged.connect(lambda _: self._fill_worst())
        title = QLabel("<b>Worst slices</b>")
        title.setToolTip("The rows with the lowest Dice, worst first.")
        self.hide_button = QPushButton("Hide overlay")
        self.hide_button.setToolTip("Take the overlay away and show the label layers again that it hid.")
        self.hide_button.clicked.connect(self.hide_overlay)
        column.addLayout(row(title, self.worst_count, QWidget(), self.hide_button, stretch=2))
        self.worst_table = FrameTable()
        self.worst_table.setMinimumHeight(96)
        self.worst_table.setToolTip("Click a row to go to its slice.")
        self.worst_table.row_chosen.connect(self._on_worst_row)
        column.addWidget(self.worst_table, 2)
        return page

    def _build_files(self) -> QHBoxLayout:
        self.load_button = QPushButton("Open scores…")
        self.load_button.setToolTip(
            "Show scores.csv: exported from Evaluate, or written by the command line."
        )
        self.load_button.clicked.connect(self._ask_scores)
        self.csv_button = QPushButton("Export CSV…")
        self.csv_button.setToolTip("Save the rows that are plotted, with all metrics and factors.")
        self.csv_button.clicked.connect(self._ask_export_csv)
        self.figure_button = QPushButton("Export figure…")
        self.figure_button.setToolTip("Save the scatter plot as PNG, SVG or PDF, on white.")
        self.figure_button.clicked.connect(self._ask_export_figure)
        for button in (self.csv_button, self.figure_button):
            button.setEnabled(False)
        return row(self.load_button, self.csv_button, self.figure_button)

    def _build_choosers(self) -> QFormLayout:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        self.image_layer = LayerChooser(self._viewer, Image)
        self.image_layer.setToolTip("The image these scores are about; a file does not know it.")
        self.truth_layer = LayerChooser(self._viewer, Labels, prefer=("truth", "label"), hide=PASSING_NAMES)
        self.truth_layer.setToolTip("The truth these scores were made against; a file does not know it.")
        self.strategy = _combo("Prompt strategy whose rows are shown.")
        self.rule = _combo(
            "Which candidate counts: “score” the one the model rates highest (what a user gets), "
            "“oracle” the one closest to the truth."
        )
        self.label = _combo("Object whose rows are shown.")
        self.factor = _combo("Property of the object to plot Dice against.")
        for combo in (self.strategy, self.rule, self.label):
            combo.currentIndexChanged.connect(lambda _: self._refilter())
        self.factor.currentIndexChanged.connect(lambda _: self._draw())
        self._prompt_row = row(self.strategy, self.rule, stretch=0)
        form.addRow("Image", self.image_layer)
        form.addRow("Truth", self.truth_layer)
        form.addRow("Prompt", self._prompt_row)
        form.addRow("Object", self.label)
        form.addRow("Factor", self.factor)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self._form = form
        return form

    # ---- scores in

    def show_scores(self, scores: Scores) -> None:
        """Show other scores; the Evaluate panel's arrive here by themselves."""
        self._scores = scores
        self.source_label.setText(f"<b>{scores.source}</b>")
        self.source_label.setToolTip(f"{len(scores.frame)} rows")
        for chooser in (self.image_layer, self.truth_layer):
            self._form.setRowVisible(chooser, scores.from_file)
        _offer(self.strategy, _values(scores.frame, "strategy"))
        _offer(self.rule, _values(scores.frame, "rule"), prefer="score")
        labels = _values(scores.frame, "label")
        names = dict(zip(scores.frame["label"], scores.frame.get("label_name", []), strict=False))
        titles = {value: str(names.get(value) or f"label {value}") for value in labels}
        _offer(self.label, labels, titles=titles, everything="All objects")
        self._form.setRowVisible(self._prompt_row, self.strategy.count() > 0)
        self._form.setRowVisible(self.label, len(labels) > 1)
        self.pages.setCurrentIndex(1)
        self._refilter()

    def open_scores(self, path: Path) -> None:
        """Show the scores of a file; a file that is none is refused in words."""
        try:
            self.show_scores(read_scores(path))
        except SamMedError as error:
            self.message.say(str(error), problem=True)

    def show_row(self, position: int) -> None:
        """Go to the slice of a row of :attr:`shown`, and show its truth, prediction and errors."""
        if self._scores is None or not 0 <= position < len(self._shown):
            return
        scores = self._scores
        if scores.from_file:
            scores = replace(scores, image=self.image_layer.layer, truth=self.truth_layer.layer)
        try:
            values = self._shown.iloc[position]
            text = show_score(self._viewer, self._workspace, self.failure, scores, values)
        except SamMedError as error:
            self.message.say(str(error), problem=True)
            return
        self.message.say(text)
        self.legend.show()
        self.scatter.mark(position)
        found = np.flatnonzero(self.worst_table.frame["position"] == position)
        if found.size:
            self.worst_table.choose_row(int(found[0]), tell=False)
        else:
            self.worst_table.clearSelection()

    def hide_overlay(self) -> None:
        """Take the overlay away and show again the layers that it hid."""
        self.failure.clear()
        self.legend.hide()
        self.scatter.mark(None)

    @property
    def shown(self) -> pd.DataFrame:
        """The rows that are plotted, numbered from 0: those of the chosen prompt, rule and object."""
        return self._shown

    # ---- drawing

    def _refilter(self) -> None:
        if self._scores is None:
            return
        frame = self._scores.frame
        for name, combo in (("strategy", self.strategy), ("rule", self.rule), ("label", self.label)):
            if combo.currentData() is not None:
                frame = frame[frame[name] == combo.currentData()]
        self._shown = frame.reset_index(drop=True)
        factors = known_factors(self._shown)
        self._correlations = correlations(self._shown, factors)
        titles = {name: FACTORS.get(name).title for name in factors}
        _offer(self.factor, factors, titles=titles, prefer=self.factor.currentData())
        for i, name in enumerate(factors):
            self.factor.setItemData(i, FACTORS.get(name).meaning, Qt.ItemDataRole.ToolTipRole)
        for widget in (self.overview, self.scatter):
            widget.setVisible(bool(factors))
        self._form.setRowVisible(self.factor, bool(factors))
        self.csv_button.setEnabled(len(self._shown) > 0)
        self.figure_button.setEnabled(bool(factors))
        self._draw()
        self._fill_worst()
        self._say_state(factors)

    def _draw(self) -> None:
        table, factor, found = self._shown, self.factor.currentData(), self._correlations
        if factor is None:
            self.scatter.plot(None)
            self.overview.plot(None)
            return
        self.factor.setToolTip(FACTORS.get(factor).meaning)
        self.overview.plot(lambda figure, palette: draw_overview(figure, palette, found, factor))
        self.scatter.plot(lambda figure, palette: draw_scatter(figure, palette, table, factor, found[factor]))

    def _say_state(self, factors: list[str]) -> None:
        n = int(self._shown["dice"].notna().sum())
        if not n:
            self.message.say("No row has a Dice value; choose another prompt or object, or evaluate again.")
        elif not factors:
            self.message.say("These scores have no factors; compare or simulate in the Evaluate panel.")
        elif n < MIN_ROWS:
            self.message.say(f"{n} rows are too few for a correlation; evaluate more slices.", problem=True)
        else:
            self.message.say("Click a dot or a row to go to its slice.")

    def _fill_worst(self) -> None:
        lowest = worst(self._shown, self.worst_count.value())
        self.worst_table.set_frame(lowest, worst_columns(lowest))
        self.worst_table.fit_columns()

    def _on_worst_row(self, number: int) -> None:
        self.show_row(int(self.worst_table.frame["position"].to_numpy()[number]))

    def _choose_factor(self, name: str) -> None:
        self.factor.setCurrentIndex(self.factor.findData(name))

    def _describe_row(self, position: int) -> str:
        return describe_row(self._shown.iloc[position], self.factor.currentData())

    def _describe_factor(self, name: str) -> str:
        return f"{FACTORS.get(name).title}: {FACTORS.get(name).meaning}\nClick to see its dots."

    # ---- files

    def _ask_scores(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open scores", "", "Scores (*.csv)")
        if name:
            self.open_scores(Path(name))

    def _ask_export_csv(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Export scores", "scores.csv", "CSV (*.csv)")
        if name:
            self.save(lambda: write_csv(self._shown, Path(name)))

    def _ask_export_figure(self) -> None:
        kinds = "PNG (*.png);;SVG (*.svg);;PDF (*.pdf)"
        name, _ = QFileDialog.getSaveFileName(self, "Export figure", "dice-against-factor.png", kinds)
        if name:
            self.save(lambda: self.scatter.save(Path(name)))

    def save(self, write: Callable[[], Path]) -> None:
        """Call `write` and say what was saved, or why it was not."""
        try:
            self.message.say(f"Saved {write().name}.")
        except SamMedError as error:
            self.message.say(str(error), problem=True)


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


def _offer(
    combo: QComboBox,
    values: Sequence[Any],
    *,
    titles: Mapping[Any, str] | None = None,
    prefer: Any = None,
    everything: str = "",
) -> None:
    """Offer values without telling anybody; the preferred one, or the one chosen before, is chosen."""
    before = combo.currentData() if prefer is None else prefer
    with QSignalBlocker(combo):
        combo.clear()
        if everything:
            combo.addItem(everything, None)
        for value in values:
            combo.addItem((titles or {}).get(value, str(value)), value)
        index = combo.findData(before) if before is not None else -1
        combo.setCurrentIndex(max(index, 0) if combo.count() else -1)
