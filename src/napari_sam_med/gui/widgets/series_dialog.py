"""Which DICOM series of a folder to open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from napari_sam_med.io import SeriesInfo


class SeriesDialog(QDialog):
    """A list of series; several can be chosen. The largest one is chosen at first."""

    def __init__(self, folder: str, series: Sequence[SeriesInfo], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Choose a series")
        self._series = list(series)
        self.list = QListWidget()
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setToolTip("Hold Ctrl or Shift to open several series")
        for info in self._series:
            self.list.addItem(QListWidgetItem(str(info)))
        largest = max(range(len(self._series)), key=lambda i: self._series[i].n_files)
        self.list.item(largest).setSelected(True)
        self.list.itemDoubleClicked.connect(self.accept)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel,
            Qt.Orientation.Horizontal,
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel(f"The folder {folder} holds {len(self._series)} series:"))
        layout.addWidget(self.list)
        layout.addWidget(buttons)
        self.resize(520, 320)

    def chosen(self) -> list[SeriesInfo]:
        """The chosen series, in the order of the list."""
        return [info for i, info in enumerate(self._series) if self.list.item(i).isSelected()]


def choose_series(folder: str, series: Sequence[SeriesInfo]) -> list[SeriesInfo]:
    """Ask which series to open; all of them where there is nobody to ask (no Qt application)."""
    if QApplication.instance() is None:
        return list(series)
    dialog = SeriesDialog(folder, series, QApplication.activeWindow())
    try:
        return dialog.chosen() if dialog.exec() == QDialog.DialogCode.Accepted else []
    finally:
        dialog.deleteLater()
