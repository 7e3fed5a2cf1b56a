"""A sortable, copyable table that tells which row the user chose."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from qtpy.QtCore import QItemSelectionModel, QModelIndex, QPoint, Qt, Signal
from qtpy.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableView, QWidget

from napari_sam_med.gui.widgets.table_model import Column, FrameModel, frame_text


class FrameTable(QTableView):
    """Table over a DataFrame: click a heading to sort, Ctrl+C to copy, click or arrows to choose a row."""

    row_chosen = Signal(int)
    """Position in the frame of the row the user chose."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = FrameModel(self)
        self._quiet = False
        self._pressed_row = -1
        self.setModel(self._model)
        self.setSortingEnabled(True)
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._show_menu)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 8)
        self.selectionModel().currentRowChanged.connect(self._on_current)
        self.clicked.connect(self._on_clicked)
        self.setMinimumHeight(120)

    @property
    def frame(self) -> pd.DataFrame:
        """All rows, in their own order."""
        return self._model.frame

    @property
    def columns(self) -> Sequence[Column]:
        """Columns as shown."""
        return self._model.columns

    def set_frame(self, frame: pd.DataFrame, columns: Sequence[Column] | None = None) -> None:
        """Show other rows, keeping the sorting and, where the number of rows only grew, the chosen row."""
        current = self.current_row()
        titles = [c.title for c in self._model.columns]
        grown = 0 < len(self._model.frame) <= len(frame)
        self._model.set_frame(frame, columns)
        header = self.horizontalHeader()
        header.blockSignals(True)
        header.setSortIndicator(*self._model.sorting)
        header.blockSignals(False)
        if not grown or [c.title for c in self._model.columns] != titles:
            self.fit_columns()
        if 0 <= current < len(frame):
            self.choose_row(current, tell=False)

    def current_row(self) -> int:
        """Position in the frame of the chosen row; -1 when none is."""
        index = self.currentIndex()
        return self._model.row_at(index.row()) if index.isValid() else -1

    def choose_row(self, position: int, tell: bool = True) -> None:
        """Choose the row at `position` of the frame and bring it into view; `tell` emits ``row_chosen``."""
        row = self._model.shown_row(position)
        if row < 0:
            return
        index = self._model.index(row, max(0, self.currentIndex().column()))
        self._quiet = not tell
        try:
            flags = QItemSelectionModel.SelectionFlag
            self.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
        finally:
            self._quiet = False
        self.scrollTo(index)

    def fit_columns(self) -> None:
        """Make every column wide enough for its heading and first rows; an elastic one fills the rest."""
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setResizeContentsPrecision(100)
        self.resizeColumnsToContents()
        elastic = [i for i, column in enumerate(self._model.columns) if column.elastic]
        header.setStretchLastSection(not elastic)
        for i in elastic:
            header.setSectionResizeMode(i, QHeaderView.ResizeMode.Stretch)

    def copy(self, everything: bool = False) -> None:
        """Copy the selected rows (or all) with headings, as text a spreadsheet understands."""
        rows = sorted({i.row() for i in self.selectionModel().selectedRows()})
        shown = self._model.shown_frame()
        frame = shown if everything or not rows else shown.iloc[rows]
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(frame_text(frame, self._model.columns))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ctrl+C copies rows with headings; Qt's own would copy one cell."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
            event.accept()
            return
        super().keyPressEvent(event)

    def _on_current(self, current: QModelIndex, previous: QModelIndex) -> None:
        if current.isValid() and not self._quiet:
            self.row_chosen.emit(self._model.row_at(current.row()))

    def _on_clicked(self, index: QModelIndex) -> None:
        # A click on the row that is current already means "take me there again".
        if index.isValid() and index.row() == self._pressed_row:
            self.row_chosen.emit(self._model.row_at(index.row()))

    def mousePressEvent(self, event) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        """Remember which row was current before the click."""
        self._pressed_row = self.currentIndex().row() if self.currentIndex().isValid() else -1
        super().mousePressEvent(event)

    def _show_menu(self, where: QPoint) -> None:
        menu = QMenu(self)
        menu.addAction("Copy selected rows", lambda: self.copy())
        menu.addAction("Copy whole table", lambda: self.copy(everything=True))
        menu.exec(self.viewport().mapToGlobal(where))
