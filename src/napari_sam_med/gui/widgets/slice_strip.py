"""Which slices are encoded, as a strip."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPalette
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

_ENCODED = QColor("#2e9e6b")


class SliceStrip(QWidget):
    """A cell a slice: filled where the slice is encoded, a line where the viewer is. A click goes to the slice.

    Attributes
    ----------
    slice_clicked : Signal(int)
        Index of the slice under the mouse.
    """

    slice_clicked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._n = 0
        self._current = -1
        self._encoded: frozenset[int] = frozenset()
        self.setFixedHeight(16)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Slices that are encoded answer at once; click to go to a slice")
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def show_slices(self, n: int, encoded: frozenset[int], current: int) -> None:
        """Show `n` slices; -1 means that none is on screen."""
        if (n, encoded, current) != (self._n, self._encoded, self._current):
            self._n, self._encoded, self._current = n, encoded, current
            self.update()

    @property
    def encoded(self) -> frozenset[int]:
        """Slices drawn as encoded."""
        return self._encoded

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the cells."""
        painter = QPainter(self)
        palette = self.palette()
        text = palette.color(QPalette.ColorRole.WindowText)
        frame = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        ground = QColor(text)
        ground.setAlpha(28)
        painter.fillRect(frame, ground)
        if self._n:
            cell = frame.width() / self._n
            for first, last in _runs(self._encoded):
                painter.fillRect(
                    QRectF(
                        frame.left() + first * cell, frame.top(), (last - first + 1) * cell, frame.height()
                    ),
                    _ENCODED,
                )
            if self._current >= 0:
                x = frame.left() + (self._current + 0.5) * cell
                painter.fillRect(QRectF(x - 1, frame.top(), 2, frame.height()), text)
        border = QColor(text)
        border.setAlpha(90)
        painter.setPen(border)
        painter.drawRect(frame)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Go to the slice under the mouse."""
        if event is not None and self._n:
            self.slice_clicked.emit(self._index_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Drag through the slices."""
        self.mousePressEvent(event)

    def event(self, event: Any) -> bool:
        """Say which slice is under the mouse."""
        if self._n and event is not None and event.type() == QEvent.Type.ToolTip:
            index = self._index_at(event.pos().x())
            state = "encoded" if index in self._encoded else "not encoded yet"
            QToolTip.showText(event.globalPos(), f"Slice {index}: {state}; click to go there", self)
            return True
        return bool(super().event(event))

    def _index_at(self, x: float) -> int:
        return min(max(int(x / max(1, self.width()) * self._n), 0), self._n - 1)


def _runs(indices: frozenset[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for index in sorted(indices):
        if runs and runs[-1][1] == index - 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return runs
