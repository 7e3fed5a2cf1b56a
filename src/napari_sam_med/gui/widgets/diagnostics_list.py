"""The rows under the plot of the Diagnostics panel: the worst ones, or those that were brushed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy, QSpinBox, QVBoxLayout, QWidget

from napari_sam_med.gui.widgets.diagnostics_table import worst, worst_columns
from napari_sam_med.gui.widgets.evaluate_controls import row
from napari_sam_med.gui.widgets.table_view import FrameTable


class RowList(QWidget):
    """A table of rows of scores, lowest Dice first, that tells which one was chosen."""

    row_chosen = Signal(int)
    """Position of the row among those given to :meth:`show_rows`."""
    cleared = Signal()
    """The user wants the worst rows again."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows = pd.DataFrame(columns=["dice", "slice", "label"])
        self.selected: tuple[int, ...] = ()
        self.title = QLabel("<b>Worst slices</b>")
        self.title.setToolTip("The rows with the lowest Dice, worst first.")
        self.count = QSpinBox()
        self.count.setRange(1, 500)
        self.count.setValue(10)
        self.count.setToolTip("How many of the lowest Dice values to list.")
        self.count.valueChanged.connect(lambda _: self._fill())
        self.clear_button = QPushButton("Clear selection")
        self.clear_button.setToolTip("List the worst slices again, of all dots.")
        self.clear_button.clicked.connect(self.cleared)
        self.clear_button.hide()
        self.table = FrameTable()
        self.table.setMinimumHeight(84)
        # takes what room there is: its wish alone never makes the panel scroll
        self.table.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        self.table.setToolTip("Click a row to go to its slice.")
        self.table.row_chosen.connect(self._on_row)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(row(self.title, self.count, self.clear_button, QWidget(), stretch=3))
        column.addWidget(self.table, 1)

    def show_rows(self, rows: pd.DataFrame) -> None:
        """List others, numbered 0..n-1; a selection of the rows before ends."""
        self._rows = rows
        self.select(())

    def select(self, positions: Sequence[int]) -> None:
        """List these positions alone; the worst ones for none."""
        self.selected = tuple(positions)
        chosen = bool(self.selected)
        self.count.setVisible(not chosen)
        self.clear_button.setVisible(chosen)
        self.title.setText(f"<b>{len(self.selected)} selected</b>" if chosen else "<b>Worst slices</b>")
        self._fill()

    def mark(self, position: int) -> None:
        """Mark a row without telling; none if it is not listed."""
        found = np.flatnonzero(self.table.frame["position"] == position)
        if found.size:
            self.table.choose_row(int(found[0]), tell=False)
        else:
            self.table.clearSelection()

    def _fill(self) -> None:
        shown = worst(self._rows, None if self.selected else self.count.value(), self.selected or None)
        self.table.set_frame(shown, worst_columns(shown))
        self.table.fit_columns()

    def _on_row(self, number: int) -> None:
        self.row_chosen.emit(int(self.table.frame["position"].to_numpy()[number]))
