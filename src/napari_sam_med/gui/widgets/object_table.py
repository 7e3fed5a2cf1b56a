"""The objects of a segmentation: colour, name, shown or hidden, finished or not."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_sam_med.gui.mask_layers import Colour
from napari_sam_med.gui.objects import ObjectTable

_NAME, _SHOWN, _LOCKED = range(3)
_MIN_ROWS, _MAX_ROWS = 2, 5


class ObjectTableView(QTableWidget):
    """Table of an :class:`ObjectTable`; the selected row is the current object.

    Attributes
    ----------
    edited : Signal(int)
        Label of an object that the user renamed, hid, showed, locked or unlocked.
    """

    edited = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 3, parent)
        self._table: ObjectTable | None = None
        self._colour: Callable[[int], Colour] = lambda label: (0.5, 0.5, 0.5, 1.0)
        self.setHorizontalHeaderLabels(["Object", "Show", "Finished"])
        tips = (
            "Double-click to rename; the selected object gets the next mask",
            "Whether the object is drawn",
            "A finished object is locked: no mask can change it",
        )
        for column, tip in enumerate(tips):
            self.horizontalHeaderItem(column).setToolTip(tip)
        header = self.horizontalHeader()
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        for column in (_SHOWN, _LOCKED):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(24)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setShowGrid(False)
        self.setToolTip("Objects of this segmentation; the selected one gets the next mask")
        self._fit(0)
        self.itemChanged.connect(self._item_changed)
        self.itemSelectionChanged.connect(self._row_selected)

    def set_table(self, table: ObjectTable, colour: Callable[[int], Colour]) -> None:
        """Show the objects of a table in these colours."""
        if self._table is not None:
            self._table.changed.disconnect(self.refresh)
        self._table = table
        self._colour = colour
        table.changed.connect(self.refresh)
        self.refresh()

    def _fit(self, n_rows: int) -> None:
        """As high as the rows need, within bounds: the panel has little room on a low screen."""
        self.setFixedHeight(24 * min(max(n_rows, _MIN_ROWS), _MAX_ROWS) + 32)

    def refresh(self) -> None:
        """Show the table as it is now."""
        if self._table is None:
            return
        with QSignalBlocker(self):
            rows = self._table.rows
            self.setRowCount(len(rows))
            self._fit(len(rows))
            for i, row in enumerate(rows):
                name = QTableWidgetItem(_swatch(self._colour(row.label)), row.name)
                name.setData(Qt.ItemDataRole.UserRole, row.label)
                name.setToolTip(f"{row.name} (label {row.label}); double-click to rename")
                self.setItem(i, _NAME, name)
                self.setItem(i, _SHOWN, _check(row.visible, "Show or hide this object"))
                self.setItem(i, _LOCKED, _check(row.locked, "Lock this object as finished"))
            current = [row.label for row in rows].index(self._table.current.label)
            self.selectRow(current)

    def _label(self, row: int) -> int:
        return int(self.item(row, _NAME).data(Qt.ItemDataRole.UserRole))

    def _row_selected(self) -> None:
        chosen = self.selectionModel().selectedRows()
        if self._table is not None and chosen:
            self._table.select(self._label(chosen[0].row()))

    def _item_changed(self, item: QTableWidgetItem) -> None:
        if self._table is None:
            return
        label = self._label(item.row())
        checked = item.checkState() == Qt.CheckState.Checked
        if item.column() == _NAME:
            self._table.edit(label, name=item.text())
        elif item.column() == _SHOWN:
            self._table.edit(label, visible=checked)
        else:
            self._table.edit(label, locked=checked)
        self.edited.emit(label)


def _check(on: bool, tip: str) -> QTableWidgetItem:
    item = QTableWidgetItem()
    item.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
    item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
    item.setToolTip(tip)
    return item


def _swatch(colour: Colour) -> QIcon:
    pixmap = QPixmap(14, 14)
    pixmap.fill(QColor.fromRgbF(*colour))
    return QIcon(pixmap)
