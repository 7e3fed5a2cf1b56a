"""Panel "Diagnostics": which factor goes with failure, and the way from a dot to its slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_sam_med.core.errors import SamMedError
from napari_sam_med.factors import FACTORS
from napari_sam_med.gui.state import workspace_for
from napari_sam_med.gui.widgets import diagnostics_draw as draw
from napari_sam_med.gui.widgets.advice import AdviceStrip
from napari_sam_med.gui.widgets.diagnostics_choosers import (
    BOXES,
    CALIBRATION,
    CORRELATIONS,
    FACTOR,
    JITTER,
    ScoreChoosers,
)
from napari_sam_med.gui.widgets.diagnostics_legend import OverlayBar
from napari_sam_med.gui.widgets.diagnostics_list import RowList
from napari_sam_med.gui.widgets.diagnostics_overlay import failure_view
from napari_sam_med.gui.widgets.diagnostics_show import RowInViewer
from napari_sam_med.gui.widgets.diagnostics_statistics import (
    Found,
    Statistics,
    calibration_steps,
    jitter_steps,
    partial_steps,
)
from napari_sam_med.gui.widgets.diagnostics_table import describe_row, known_factors, strongest_factor
from napari_sam_med.gui.widgets.evaluate_controls import MessageStrip, ScrollPanel, row, title
from napari_sam_med.gui.widgets.evaluate_scores import Scores, board_of, read_scores
from napari_sam_med.gui.widgets.figure import Draw, FigurePanel
from napari_sam_med.gui.widgets.figure_dots import Dots
from napari_sam_med.gui.widgets.figure_theme import Palette
from napari_sam_med.gui.widgets.following import follow
from napari_sam_med.gui.widgets.table_export import write_csv

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
        self._wanted: Any = None
        self._edition = 0
        self.failure = failure_view(viewer)
        self._workspace = workspace_for(viewer)
        self._workspace.attach(self)
        self._board = board_of(self._workspace)
        self.row = RowInViewer(viewer, self._workspace, self.failure, self)
        self.row.said.connect(
            lambda text, problem, button: self.message.say(text, problem=problem, button=button)
        )
        self.row.shown.connect(self._on_shown)
        self.statistics = Statistics(self)
        self.statistics.arrived.connect(self._on_statistics)
        self.statistics.failed.connect(lambda text: self.message.say(text, problem=True))
        self._build()
        follow(self, self._board.changed, self.show_scores)
        if self._board.scores is not None:
            self.show_scores(self._board.scores)

    # ---- building

    def _build(self) -> None:
        self.source_label = title("Scores")
        self.message = MessageStrip()
        self.message.say("")
        self.message.button.setToolTip("Do without the prediction of this row.")
        self.message.button.clicked.connect(self.row.cancel)
        self.advice = AdviceStrip()
        self.overlay_bar = OverlayBar()
        self.overlay_bar.hide_asked.connect(self.hide_overlay)
        self.overlay_bar.boundary.toggled.connect(self._show_boundary)
        empty = QLabel(EMPTY_TEXT)
        empty.setWordWrap(True)
        empty.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.pages = QStackedWidget()
        self.pages.addWidget(empty)
        self.pages.addWidget(self._build_results())
        scroll = ScrollPanel(self)
        for widget in (self.source_label, self.message, self.advice, self.overlay_bar):
            scroll.column.addWidget(widget)
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
        column.setSpacing(4)
        self.choosers = ScoreChoosers(self._viewer)
        self.choosers.filter_changed.connect(self._refilter)
        self.choosers.look_changed.connect(self._draw)
        self.figure = FigurePanel(self._viewer, describe=self._describe, minimum=(240, 140))
        self.figure.picked.connect(self._on_picked)
        self.figure.brushed.connect(self.select)
        self.list = RowList()
        self.list.row_chosen.connect(self.show_row)
        self.list.cleared.connect(lambda: self.select(()))
        column.addWidget(self.choosers)
        column.addWidget(self.figure, 3)
        column.addWidget(self.list, 2)
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
        self.figure_button.setToolTip("Save the plot as PNG, SVG or PDF, on white.")
        self.figure_button.clicked.connect(self._ask_export_figure)
        for button in (self.csv_button, self.figure_button):
            button.setEnabled(False)
        return row(self.load_button, self.csv_button, self.figure_button)

    # ---- scores in

    def show_scores(self, scores: Scores) -> None:
        """Show other scores; the Evaluate panel's arrive here by themselves."""
        self._scores = scores
        self.row.forget()
        self._edition += 1  # an answer about the scores before may still be on its way
        self.statistics.clear()
        self.source_label.setText(scores.source)
        self.source_label.setToolTip(f"{scores.source}: {len(scores.frame)} rows")
        self.choosers.offer_scores(scores)
        self.advice.show_table(scores.frame)
        self.pages.setCurrentIndex(1)
        self._refilter()

    def open_scores(self, path: Path) -> None:
        """Show the scores of a file; a file that is none is refused in words."""
        try:
            self.show_scores(read_scores(path))
        except SamMedError as error:
            self.message.say(str(error), problem=True)

    @property
    def shown(self) -> pd.DataFrame:
        """The rows that are plotted, numbered from 0: those of the chosen prompt, rule, object and model."""
        return self._shown

    # ---- one row, several rows

    def show_row(self, position: int) -> None:
        """Go to the slice of a row of :attr:`shown`, and show its truth, prediction, prompt and errors."""
        if self._scores is None or not 0 <= position < len(self._shown):
            return
        scores = self._scores
        if scores.from_file:
            layers = self.choosers.image_layer.layer, self.choosers.truth_layer.layer
            scores = replace(scores, image=layers[0], truth=layers[1])
        self.row.show(scores, self._shown.iloc[position], position)

    def _on_shown(self, position: int) -> None:
        self.overlay_bar.show()
        self.overlay_bar.show_range(self.failure.boundary_range)
        self.figure.mark(position)
        self.list.mark(position)

    def select(self, positions: Sequence[int]) -> None:
        """List these rows of :attr:`shown` alone; the worst ones again for none."""
        self.figure.select(positions)
        self.list.select(positions)

    def hide_overlay(self) -> None:
        """Take the overlay away and show again the layers that it hid."""
        self.row.hide()
        self.overlay_bar.hide()
        self.figure.mark(None)

    def _show_boundary(self, wanted: bool) -> None:
        self.failure.boundary = wanted
        self.overlay_bar.show_range(self.failure.boundary_range)

    # ---- drawing

    def _refilter(self) -> None:
        if self._scores is None:
            return
        self._shown = self.choosers.filtered(self._scores.frame)
        factors = known_factors(self._shown)
        self.choosers.offer_factors(factors, strongest_factor(self._shown, factors))
        self.csv_button.setEnabled(len(self._shown) > 0)
        self.list.show_rows(self._shown)
        self._draw()
        self._say_state(factors)

    def _draw(self) -> None:
        """Draw the plot that is chosen; what must be computed first is drawn when it arrives."""
        if self._scores is None:
            return
        kind = self.choosers.kind.currentData()
        self.choosers.offer_colours(self._shown)
        self._wanted = None
        if kind == FACTOR or kind in BOXES:
            self.statistics.stop()
        self.figure.plot(self._plot(kind))
        self.figure_button.setEnabled(len(self._shown) > 0)
        if kind == FACTOR:
            self.figure.select(self.list.selected)
            self.figure.setToolTip(
                "Click a dot to go to its slice; drag to choose dots, with Shift by a free line."
            )
        else:
            self.figure.setToolTip("")

    def _plot(self, kind: str) -> Draw | None:
        frame, choose = self._shown, self.choosers
        colour = choose.colour.currentData()
        if kind == FACTOR:
            factor = choose.factor.currentData()
            if factor is None:
                return _text("These scores have no factors.")
            choose.factor.setToolTip(FACTORS.get(factor).meaning)
            return lambda figure, palette: draw.draw_scatter(figure, palette, frame, factor, colour)
        assert self._scores is not None
        if kind in BOXES:
            table = choose.filtered(self._scores.frame, but=kind)
            return lambda figure, palette: draw.draw_boxes(figure, palette, table, kind, colour)
        if kind != JITTER and choose.mixed():
            return _text(f"Choose one {choose.mixed()} above: rows of different kinds would be mixed.")
        found = self._compute(kind)
        if found is None:
            return _text("Computing…")
        if kind == CORRELATIONS:
            chosen = choose.factor.currentData()
            return lambda figure, palette: draw.draw_correlations(figure, palette, found, chosen)
        if kind == CALIBRATION:
            return lambda figure, palette: draw.draw_calibration(figure, palette, found)
        rule, model = choose.rule.currentData(), choose.model.currentData()
        return lambda figure, palette: draw.draw_jitter(figure, palette, found, rule, model)

    def _compute(self, kind: str) -> Found | None:
        """The statistics of a plot as far as they are there; the rest comes to :meth:`_on_statistics`."""
        assert self._scores is not None
        if kind == JITTER:
            assert self._scores.jitter is not None
            rows = self._scores.jitter
            self._wanted = (kind, self._edition)
            return self.statistics.ask(self._wanted, jitter_steps(rows))
        self._wanted = (
            kind,
            self._edition,
            *(combo.currentData() for combo in self.choosers.combos.values()),
        )
        steps = partial_steps(self._shown) if kind == CORRELATIONS else calibration_steps(self._shown)
        return self.statistics.ask(self._wanted, steps)

    def _on_statistics(self, key: Any) -> None:
        if key == self._wanted:
            self.figure.plot(self._plot(self.choosers.kind.currentData()))

    def _say_state(self, factors: list[str]) -> None:
        n = int(self._shown["dice"].notna().sum())
        if not n:
            self.message.say("No row has a Dice value; choose another prompt or object, or evaluate again.")
        elif not factors:
            self.message.say("These scores have no factors; compare or simulate in the Evaluate panel.")
        elif n < MIN_ROWS:
            self.message.say(f"{n} rows are too few for a correlation; evaluate more slices.", problem=True)
        else:
            self.message.say("Click a dot or row to see it; drag to list dots.")

    # ---- the mouse

    def _on_picked(self, key: Any) -> None:
        kind = self.choosers.kind.currentData()
        if kind == FACTOR:
            self.show_row(int(key))
        elif kind == CORRELATIONS:
            self.choosers.choose(self.choosers.factor, key)
            self.choosers.choose(self.choosers.kind, FACTOR)
        elif kind in BOXES:
            self._choose_box(kind, key)

    def _choose_box(self, kind: str, key: Any) -> None:
        """Show the dots of one box."""
        assert self._scores is not None
        name = kind
        if kind not in self.choosers.combos:
            frame = self._scores.frame
            name, key = "label", frame.loc[frame[kind] == key, "label"].tolist()[0]
        self.choosers.choose(self.choosers.kind, FACTOR)
        self.choosers.choose(self.choosers.combos[name], key)

    def _describe(self, key: Any) -> str:
        kind = self.choosers.kind.currentData()
        if kind == FACTOR:
            return describe_row(self._shown.iloc[int(key)], self.choosers.factor.currentData())
        if kind == CORRELATIONS:
            return self._describe_factor(str(key))
        return f"{key}\nClick to see its dots."

    def _describe_factor(self, name: str) -> str:
        lines = [f"{FACTORS.get(name).title}: {FACTORS.get(name).meaning}"]
        found = self._compute(CORRELATIONS)
        if found is not None:
            known = dict(found.table[found.table["factor"] == name].iloc[0])
            for title, prefix in (("alone", ""), ("given the other factors", "partial_")):
                values = (known[f"{prefix}{end}"] for end in ("rho", "low", "high"))
                lines.append(f"ρ {title}: {draw.interval_text(*(float(v) for v in values))}")
        return "\n".join([*lines, "Click to see its dots."])

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
        name, _ = QFileDialog.getSaveFileName(
            self, "Export figure", f"{self.choosers.kind.currentData()}.png", kinds
        )
        if name:
            self.save(lambda: self.figure.save(Path(name)))

    def save(self, write: Callable[[], Path]) -> None:
        """Call `write` and say what was saved, or why it was not."""
        try:
            self.message.say(f"Saved {write().name}.")
        except SamMedError as error:
            self.message.say(str(error), problem=True)


def _text(text: str) -> Draw:
    def drawn(figure: Figure, palette: Palette) -> Sequence[Dots]:
        return draw.draw_text(figure, palette, text)

    return drawn
