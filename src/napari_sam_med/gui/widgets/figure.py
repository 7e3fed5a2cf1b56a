"""Base of every matplotlib panel: follows napari's theme, picks dots, tells what lies under the mouse."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import Event, LocationEvent, MouseButton, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QSizePolicy, QToolTip, QVBoxLayout, QWidget

from napari_sam_med.core.errors import OutputError
from napari_sam_med.gui.widgets.figure_theme import PRINT, Palette, dress, palette_of, rc_params
from napari_sam_med.gui.widgets.following import follow
from napari_sam_med.gui.widgets.table_export import write_whole

PICK_RADIUS_PX = 14.0
"""How far from a dot, in screen pixels, a click still means that dot."""
FIGURE_SUFFIXES = (".png", ".svg", ".pdf")


@dataclass(frozen=True, eq=False)
class Dots:
    """Dots (or bars) of a plot that can be pointed at.

    Attributes
    ----------
    axes : Axes
        Where they are drawn.
    x, y : ndarray, shape (N,)
        Data coordinates; NaN cannot be picked.
    keys : sequence, length N
        What a click on a dot reports (a row of a table, the name of a factor).
    whole_row : bool
        The dots stand for horizontal bars: a click anywhere in a bar's band means that bar.
    """

    axes: Axes
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    keys: Sequence[Any]
    whole_row: bool = False


Draw = Callable[[Figure, Palette], Sequence[Dots]]
"""Draws onto an empty figure and returns what can be picked."""


class FigurePanel(QWidget):
    """A matplotlib figure in napari's colours, with clickable dots.

    Parameters
    ----------
    viewer : napari.Viewer
        Its theme is followed.
    describe : callable, optional
        Text for the tooltip of a key.
    minimum : tuple of int
        Least width and height, in pixels.
    """

    picked = Signal(object)
    """Key of the dot that was clicked."""

    def __init__(
        self,
        viewer: Any,
        *,
        describe: Callable[[Any], str] | None = None,
        minimum: tuple[int, int] = (240, 200),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._describe = describe or str
        self._draw: Draw | None = None
        self._dots: Sequence[Dots] = ()
        self._marked: Any = None
        self._hovered: Any = None
        self._ring: list[Line2D] = []
        self.figure = Figure(figsize=(3.2, 2.2), layout="constrained")
        self.canvas = FigureCanvasQTAgg(self.figure)
        self.canvas.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.canvas.setMinimumSize(QSize(*minimum))
        self.canvas.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.canvas)
        self.canvas.mpl_connect("button_press_event", self._on_press)
        self.canvas.mpl_connect("motion_notify_event", self._on_move)
        self.canvas.mpl_connect("figure_leave_event", self._on_leave)
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.timeout.connect(self.redraw)
        follow(self, viewer.events.theme, self._on_theme)
        self.redraw()

    def plot(self, draw: Draw | None) -> None:
        """Show what `draw` draws, now and after every change of theme; None empties the figure."""
        self._draw = draw
        self._marked = None
        self.redraw()

    def redraw(self) -> None:
        """Draw everything again in the viewer's colours."""
        palette = palette_of(self._viewer.theme)
        self._dots = paint(self.figure, self._draw, palette)
        self._ring = []
        self._show_ring(palette)
        self.canvas.draw_idle()

    def mark(self, key: Any) -> None:
        """Put a ring around the dot with this key (None: around none)."""
        self._marked = key
        self._show_ring(palette_of(self._viewer.theme))
        self.canvas.draw_idle()

    def position_of(self, key: Any) -> tuple[float, float] | None:
        """Pixel (x, y) of a dot on the widget, origin top left; None when it is not shown."""
        found = self._find(key)
        if found is None:
            return None
        if self.figure.stale:
            self.canvas.draw()  # the layout places the axes only when they are drawn
        x, y = _pixels(found[0])[found[1]]
        ratio = self.canvas.device_pixel_ratio
        return (float(x / ratio), float(self.canvas.height() - y / ratio))

    def key_at(self, x: float, y: float) -> Any:
        """Key of the dot nearest to a figure pixel (origin bottom left); None beyond the forgiving radius."""
        best, best_distance = None, PICK_RADIUS_PX * self.canvas.device_pixel_ratio
        for dots in self._dots:
            pixels = _pixels(dots)
            if dots.whole_row:
                inside = dots.axes.get_tightbbox()
                if inside is None or not inside.contains(x, y):
                    continue
                distances = np.abs(pixels[:, 1] - y)
            else:
                distances = np.hypot(pixels[:, 0] - x, pixels[:, 1] - y)
            if not np.isfinite(distances).any():
                continue
            nearest = int(np.nanargmin(distances))
            if distances[nearest] <= best_distance:
                best, best_distance = dots.keys[nearest], float(distances[nearest])
        return best

    def save(self, path: Path) -> Path:
        """Write the figure as PNG (200 dpi), SVG or PDF on white, whatever the theme on screen.

        Raises
        ------
        OutputError
            If there is nothing to save, the suffix is none of these, or the file cannot be written.
        """
        if self._draw is None:
            raise OutputError("There is no figure to save yet; choose scores first.")
        target = path if path.suffix else path.with_suffix(".png")
        if target.suffix.lower() not in FIGURE_SUFFIXES:
            raise OutputError(f"A figure can be saved as PNG, SVG or PDF; found {target.suffix!r}.")
        width = max(5.0, self.canvas.width() / 96)
        height = width * self.canvas.height() / max(1, self.canvas.width())
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure, self._draw, PRINT)
        kind = target.suffix[1:].lower()
        with mpl.rc_context(rc_params(PRINT)):
            write_whole(target, lambda partial: figure.savefig(partial, dpi=200, format=kind))
        return target

    def changeEvent(self, event: QEvent) -> None:
        """A new font or style asks for a redraw."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._redraw.start(50)

    def _on_theme(self, event: Any = None) -> None:
        self._redraw.start(0)

    def _find(self, key: Any) -> tuple[Dots, int] | None:
        for dots in self._dots:
            for i, candidate in enumerate(dots.keys):
                if candidate == key and math.isfinite(dots.x[i]) and math.isfinite(dots.y[i]):
                    return dots, i
        return None

    def _show_ring(self, palette: Palette) -> None:
        for line in self._ring:
            line.remove()
        self._ring = []
        for key, alpha in ((self._marked, 1.0), (self._hovered, 0.6)):
            found = None if key is None else self._find(key)
            if found is None or found[0].whole_row:
                continue
            dots, i = found
            x, y = [dots.x[i]], [dots.y[i]]
            style: dict[str, Any] = {
                "markersize": 13,
                "markerfacecolor": "none",
                "markeredgewidth": 2,
                "zorder": 10,
            }
            self._ring += dots.axes.plot(
                x,
                y,
                "o",
                markeredgecolor=palette.accent,
                alpha=alpha,
                clip_on=False,
                scalex=False,
                scaley=False,
                **style,
            )

    def _on_press(self, event: Event) -> None:
        if isinstance(event, MouseEvent) and event.button == MouseButton.LEFT:
            key = self.key_at(event.x, event.y)
            if key is not None:
                self.picked.emit(key)

    def _on_move(self, event: Event) -> None:
        if not isinstance(event, LocationEvent):
            return
        key = self.key_at(event.x, event.y)
        self.canvas.setCursor(
            Qt.CursorShape.ArrowCursor if key is None else Qt.CursorShape.PointingHandCursor
        )
        if key == self._hovered:
            return
        self._hovered = key
        self._show_ring(palette_of(self._viewer.theme))
        self.canvas.draw_idle()
        if key is None:
            QToolTip.hideText()
        else:
            QToolTip.showText(QCursor.pos(), self._describe(key), self.canvas)

    def _on_leave(self, event: Event) -> None:
        if self._hovered is not None:
            self._hovered = None
            self._show_ring(palette_of(self._viewer.theme))
            self.canvas.draw_idle()


def paint(figure: Figure, draw: Draw | None, palette: Palette) -> Sequence[Dots]:
    """Empty `figure`, draw onto it in the colours of `palette` and return what can be picked."""
    with mpl.rc_context(rc_params(palette)):
        figure.clear()
        dots = draw(figure, palette) if draw is not None else ()
        dress(figure, palette)
    return dots


def _pixels(dots: Dots) -> NDArray[np.float64]:
    points = np.column_stack([np.asarray(dots.x, float), np.asarray(dots.y, float)])
    return np.asarray(dots.axes.transData.transform(points), float)
