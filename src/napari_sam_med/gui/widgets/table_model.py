"""A Qt table model over a pandas DataFrame that sorts ten thousand rows without a pause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt


@dataclass(frozen=True)
class Column:
    """How one column of a table is shown.

    Attributes
    ----------
    name : str
        Column of the DataFrame.
    title : str
        Heading; "" shows the name.
    decimals : int
        Decimals of floating-point numbers.
    tooltip : str
        Meaning and unit of the numbers.
    elastic : bool
        Takes the room that the other columns leave, and gives it up first; for names.
    """

    name: str
    title: str = ""
    decimals: int = 3
    tooltip: str = ""
    elastic: bool = False


class FrameModel(QAbstractTableModel):
    """Rows of a DataFrame, in the order the user sorted them.

    The frame itself keeps its order: :meth:`row_at` gives the position in the frame of a row on screen.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._frame = pd.DataFrame()
        self._columns: list[Column] = []
        self._order: NDArray[np.intp] = np.arange(0)
        self._sort: tuple[int, Qt.SortOrder] = (-1, Qt.SortOrder.AscendingOrder)

    @property
    def frame(self) -> pd.DataFrame:
        """All rows, in their own order."""
        return self._frame

    @property
    def columns(self) -> Sequence[Column]:
        """Columns as shown."""
        return tuple(self._columns)

    @property
    def sorting(self) -> tuple[int, Qt.SortOrder]:
        """Column shown that sorts the rows (-1: none), and which way."""
        return self._sort

    def set_frame(self, frame: pd.DataFrame, columns: Sequence[Column] | None = None) -> None:
        """Show other rows; columns missing from the frame are left out, the user's sorting is kept.

        Parameters
        ----------
        frame : DataFrame
            One row a table row; never changed here.
        columns : sequence of Column, optional
            What to show, in this order; by default every column of the frame.
        """
        self.beginResetModel()
        sorted_by = self._columns[self._sort[0]].name if 0 <= self._sort[0] < len(self._columns) else None
        wanted = columns if columns is not None else [Column(str(name)) for name in frame.columns]
        self._frame = frame
        self._columns = [c for c in wanted if c.name in frame.columns]
        names = [c.name for c in self._columns]
        self._sort = (names.index(sorted_by) if sorted_by in names else -1, self._sort[1])
        self._order = self._sorted_order()
        self.endResetModel()

    def row_at(self, shown_row: int) -> int:
        """Position in the frame of the row that is shown at `shown_row`."""
        return int(self._order[shown_row])

    def shown_row(self, position: int) -> int:
        """Row on screen of the frame's row at `position`; -1 when there is none."""
        found = np.flatnonzero(self._order == position)
        return int(found[0]) if found.size else -1

    def shown_frame(self) -> pd.DataFrame:
        """The rows as sorted on screen, with every column of the frame."""
        return self._frame.iloc[self._order]

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of rows."""
        return 0 if parent is not None and parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Number of columns shown."""
        return 0 if parent is not None and parent.isValid() else len(self._columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, alignment and tooltip of one cell."""
        if not index.isValid():
            return None
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            column = self._columns[index.column()]
            value = self._frame[column.name].iat[self._order[index.row()]]
            return cell_text(value, column.decimals)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            numeric = pd.api.types.is_numeric_dtype(self._frame[self._columns[index.column()].name])
            side = Qt.AlignmentFlag.AlignRight if numeric else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Titles and their meanings; rows are numbered as shown."""
        if orientation == Qt.Orientation.Horizontal and section < len(self._columns):
            column = self._columns[section]
            if role == Qt.ItemDataRole.DisplayRole:
                return column.title or column.name
            if role == Qt.ItemDataRole.ToolTipRole:
                return f"{column.tooltip or column.name}\nClick to sort."
        elif orientation == Qt.Orientation.Vertical and role == Qt.ItemDataRole.DisplayRole:
            return str(section + 1)
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; empty cells (NaN) come last either way, ties keep the frame's order."""
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        positions = [self._order[i.row()] for i in before]
        self._sort = (column, order)
        self._order = self._sorted_order()
        shown = np.empty(len(self._order), np.intp)
        shown[self._order] = np.arange(len(self._order))
        after = [self.index(int(shown[p]), i.column()) for p, i in zip(positions, before, strict=True)]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _sorted_order(self) -> NDArray[np.intp]:
        column, order = self._sort
        if not 0 <= column < len(self._columns):
            return np.arange(len(self._frame))
        values = self._frame[self._columns[column].name].reset_index(drop=True)
        if not pd.api.types.is_numeric_dtype(values):
            values = values.map(lambda v: None if _is_empty(v) else str(v))
        ascending = order == Qt.SortOrder.AscendingOrder
        return np.asarray(values.sort_values(ascending=ascending, kind="stable", na_position="last").index)


def cell_text(value: object, decimals: int = 3) -> str:
    """A value as shown in a cell: "–" for none, "∞" for inf, numbers with fixed decimals."""
    if _is_empty(value):
        return "–"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        if np.isinf(value):
            return "∞" if value > 0 else "−∞"
        return f"{value:.{decimals}f}"
    return str(value)


def frame_text(frame: pd.DataFrame, columns: Sequence[Column]) -> str:
    """Tab-separated text of a frame with its titles, full precision: what the clipboard gets."""
    titles: Mapping[str, str] = {c.name: c.title or c.name for c in columns}
    shown = frame[[c.name for c in columns]].rename(columns=titles)
    return shown.to_csv(sep="\t", index=False)


def _is_empty(value: object) -> bool:
    return (
        value is None or value is pd.NA or (isinstance(value, (float, np.floating)) and bool(np.isnan(value)))
    )
