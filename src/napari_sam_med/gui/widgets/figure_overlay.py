"""What moves over a figure: rings around dots, chosen dots, the brush. The figure below is not drawn again for it."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

_RING_PX = 6.5


class FigureOverlay(QWidget):
    """A transparent sheet over a canvas; the mouse does not feel it.

    All places are in the pixels of the widget, origin top left.

    Parameters
    ----------
    canvas : QWidget
        What lies below.
    """

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self._color = QColor("orange")
        self._rings: list[tuple[float, float, float]] = []
        self._chosen = QPolygonF()
        self._brush = QPolygonF()
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)

    def set_color(self, color: str) -> None:
        """Colour of all that is drawn."""
        self._color = QColor(color)
        self.update()

    def set_rings(self, rings: Sequence[tuple[float, float, float]]) -> None:
        """Rings at (x, y) with an opacity."""
        if list(rings) != self._rings:
            self._rings = list(rings)
            self.update()

    def set_chosen(self, places: Sequence[tuple[float, float]]) -> None:
        """Discs over dots that were chosen."""
        self._chosen = QPolygonF([QPointF(x, y) for x, y in places])
        self.update()

    def set_brush(self, corners: Sequence[tuple[float, float]]) -> None:
        """The shape that is being drawn; empty for none."""
        self._brush = QPolygonF([QPointF(x, y) for x, y in corners])
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self._chosen.isEmpty():
            pen = QPen(self._color, 6.5)
            pen.setCapStyle(Qt.PenCapStyle.RoundCap)
            painter.setPen(pen)
            painter.drawPoints(self._chosen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for x, y, opacity in self._rings:
            painter.setOpacity(opacity)
            painter.setPen(QPen(self._color, 2.0))
            painter.drawEllipse(QRectF(x - _RING_PX, y - _RING_PX, 2 * _RING_PX, 2 * _RING_PX))
        painter.setOpacity(1.0)
        if not self._brush.isEmpty():
            inside = QColor(self._color)
            inside.setAlpha(40)
            painter.setPen(QPen(self._color, 1.5))
            painter.setBrush(inside)
            painter.drawPolygon(self._brush)
        painter.end()
