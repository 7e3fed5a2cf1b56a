"""A sortable, copyable table that tells which row the user chose."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from qtpy.QtCore import QItemSelectionModel, QModelIndex, QPoint, QSize, Qt, Signal
from qtpy.QtGui import QGuiApplication, QKeyEvent, QKeySequence, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableView, QWidget

from napari_sam_med.gui.widgets.table_model import Column, FrameModel, frame_text

_LEAST_HEIGHT = 120
_HEADING_PX = 14
"""Room beside a heading, and for the arrow of the sorted column."""
_ALWAYS = 3
"""Columns that are shown however narrow the table is."""


class FrameTable(QTableView):
    """Table over a DataFrame: click a heading to sort, Ctrl+C to copy, click or arrows to choose a row.

    It never scrolls sideways as long as its first columns fit: the last ones are hidden where there is no room for
    them, and come back in a wider table. Copies and exports have all of them.
    """

    row_chosen = Signal(int)
    """Position in the frame of the row the user chose."""
    hidden_changed = Signal(list)
    """Titles of the columns that have no room."""

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
        self._natural: list[int] = []
        self._headings: list[int] = []
        header = self.horizontalHeader()
        header.setHighlightSections(False)  # bold headings would be cut off
        header.setStyleSheet("QHeaderView::section { padding: 3px 2px; }")
        self._hidden: list[str] = []
        self.setMinimumHeight(_LEAST_HEIGHT)

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

    @property
    def hidden(self) -> Sequence[str]:
        """Titles of the columns that have no room."""
        return tuple(self._hidden)

    def sizeHint(self) -> QSize:
        """Low, so that no panel scrolls for the sake of rows that the table can scroll itself."""
        return QSize(super().sizeHint().width(), _LEAST_HEIGHT)

    def fit_columns(self) -> None:
        """Make every column wide enough for its heading and first rows, and lay them out in the room there is."""
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setResizeContentsPrecision(100)
        titles = [column.title or column.name for column in self._model.columns]
        self._headings = [header.fontMetrics().horizontalAdvance(title) + _HEADING_PX for title in titles]
        for i in range(len(titles)):
            self.setColumnHidden(i, False)  # a hidden column has no size
        self._natural = [max(self.sizeHintForColumn(i), self._headings[i]) for i in range(len(titles))]
        self._lay_out()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Lay the columns out anew."""
        super().resizeEvent(event)
        if len(self._natural) == self._model.columnCount():
            self._lay_out()

    def _lay_out(self) -> None:
        """Names give up room first, then the last columns go; what room is left goes to names, else to the last."""
        room = self.viewport().width()
        least = [
            heading if column.elastic else natural
            for heading, natural, column in zip(
                self._headings, self._natural, self._model.columns, strict=True
            )
        ]
        n_shown = len(least)
        while n_shown > _ALWAYS and sum(least[:n_shown]) > room:
            n_shown -= 1
        widths = least[:n_shown]
        elastic = [i for i in range(n_shown) if self._model.columns[i].elastic]
        spare = max(0, room - sum(widths))
        for i in elastic:
            more = min(self._natural[i] - widths[i], spare)
            widths[i] += more
            spare -= more
        if widths:
            widths[(elastic or [n_shown - 1])[0]] += spare
        for i in range(len(least)):
            self.setColumnHidden(i, i >= n_shown)
            if i < n_shown:
                self.setColumnWidth(i, widths[i])
        hidden = [column.title or column.name for column in self._model.columns[n_shown:]]
        if hidden != self._hidden:
            self._hidden = hidden
            self.hidden_changed.emit(hidden)

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
