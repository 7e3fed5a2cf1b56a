"""The table of the Evaluate panel: by slice, object and volume, with a summary line and export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QLabel, QPushButton, QSizePolicy, QTabBar, QVBoxLayout, QWidget

from napari_sam_med.core.errors import SamMedError
from napari_sam_med.gui.widgets.evaluate_controls import row
from napari_sam_med.gui.widgets.table_export import write_csv
from napari_sam_med.gui.widgets.table_model import Column
from napari_sam_med.gui.widgets.table_view import FrameTable


@dataclass(frozen=True, eq=False)
class Level:
    """One way to look at the results.

    Attributes
    ----------
    title : str
        Of the tab: "Slices", "Objects", "Volume".
    tooltip : str
        What one row of it is.
    frame : DataFrame
    columns : sequence of Column
        What is shown; the export has every column.
    """

    title: str
    tooltip: str
    frame: pd.DataFrame
    columns: Sequence[Column]


class ResultsView(QWidget):
    """Tabs for the levels over one sortable table.

    Signals
    -------
    row_chosen : (str, int)
        Title of the level and position in its frame.
    said : str
        A sentence for the panel's message strip; the flag says whether it is a problem.
    """

    row_chosen = Signal(str, int)
    said = Signal(str, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._levels: dict[str, Level] = {}
        self.tabs = QTabBar()
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(True)
        self.tabs.currentChanged.connect(lambda _: self._show())
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.table = FrameTable()
        self.table.setToolTip("Click a row to go to its slice; click a heading to sort; Ctrl+C copies.")
        self.table.row_chosen.connect(lambda position: self.row_chosen.emit(self.level, position))
        self.wider = QLabel()
        self.wider.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.table.hidden_changed.connect(self._show_hidden)
        self._show_hidden([])
        self.copy_button = QPushButton("Copy table")
        self.copy_button.setToolTip("Copy the table with its headings, ready for a spreadsheet.")
        self.copy_button.clicked.connect(self._copy)
        self.export_button = QPushButton("Export CSV…")
        self.export_button.setToolTip("Save this table with all its columns.")
        self.export_button.clicked.connect(self._ask_export)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.tabs)
        column.addWidget(self.summary)
        column.addWidget(self.table, 1)
        column.addWidget(self.wider)
        column.addLayout(row(self.copy_button, self.export_button))

    @property
    def level(self) -> str:
        """Title of the level on screen; "" without results."""
        return str(self.tabs.tabText(self.tabs.currentIndex())) if self.tabs.count() else ""

    def show_level(self, title: str) -> None:
        """Bring a level to the front."""
        for i in range(self.tabs.count()):
            if self.tabs.tabText(i) == title:
                self.tabs.setCurrentIndex(i)

    def set_levels(self, levels: Sequence[Level], summary: str) -> None:
        """Show other results, staying on the level on screen where it still exists.

        Parameters
        ----------
        levels : sequence of Level
        summary : str
            One line of rich text above the table.
        """
        before = self.level
        self._levels = {level.title: level for level in levels}
        if [self.tabs.tabText(i) for i in range(self.tabs.count())] != list(self._levels):
            self.tabs.blockSignals(True)
            while self.tabs.count():
                self.tabs.removeTab(0)
            for i, level in enumerate(levels):
                self.tabs.addTab(level.title)
                self.tabs.setTabToolTip(i, level.tooltip)
            self.tabs.blockSignals(False)
            self.show_level(before)
        self.summary.setText(summary)
        self._show()

    def frames(self) -> Mapping[str, pd.DataFrame]:
        """All rows of each level, by title."""
        return {title: level.frame for title, level in self._levels.items()}

    def export(self, path: Path) -> None:
        """Save the level on screen as CSV, and say so."""
        try:
            written = write_csv(self._levels[self.level].frame, path)
        except SamMedError as error:
            self.said.emit(str(error), True)
        else:
            self.said.emit(f"Saved {written.name} with {len(self._levels[self.level].frame)} rows.", False)

    def _show(self) -> None:
        level = self._levels.get(self.level)
        if level is not None:
            self.table.set_frame(level.frame, level.columns)

    def _show_hidden(self, titles: Sequence[str]) -> None:
        """Say which columns a wider panel would show."""
        columns = "column" if len(titles) == 1 else "columns"
        self.wider.setText(f"{len(titles)} more {columns} in a wider panel")
        self.wider.setToolTip(f"{', '.join(titles)}. Copies and exports have all columns.")
        self.wider.setVisible(bool(titles))

    def _copy(self) -> None:
        self.table.copy(everything=True)
        self.said.emit(f"Copied {len(self.table.frame)} rows.", False)

    def _ask_export(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Export scores", f"scores-{self.level.lower()}.csv", "CSV (*.csv)"
        )
        if name:
            self.export(Path(name))
