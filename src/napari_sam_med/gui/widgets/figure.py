"""Base of every matplotlib panel: follows napari's theme, picks dots, tells what lies under the mouse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backend_bases import Event, LocationEvent, MouseButton, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from qtpy.QtCore import QEvent, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QSizePolicy, QToolTip, QVBoxLayout, QWidget

from napari_sam_med.core.errors import OutputError
from napari_sam_med.gui.widgets.figure_dots import PICK_RADIUS_PX, Dots, Places
from napari_sam_med.gui.widgets.figure_overlay import FigureOverlay
from napari_sam_med.gui.widgets.figure_theme import PRINT, Palette, dress, palette_of, rc_params
from napari_sam_med.gui.widgets.following import follow
from napari_sam_med.gui.widgets.table_export import write_whole

FIGURE_SUFFIXES = (".png", ".svg", ".pdf")
_DRAG_PX = 5
"""Less than this between press and release is a click."""

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
    brushed = Signal(list)
    """Keys of the dots that were chosen with the brush: a drag is a rectangle, a drag with Shift a lasso."""

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
        self._known: Places | None = None
        self._marked: Any = None
        self._hovered: Any = None
        self._chosen: list[Any] = []
        self._stroke: Stroke | None = None
        self.figure = Figure(figsize=(3.2, 2.2), layout="constrained")
        self.canvas = FigureCanvasQTAgg(self.figure)
        self.canvas.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.canvas.setMinimumSize(QSize(*minimum))
        self.canvas.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.canvas)
        self.overlay = FigureOverlay(self.canvas)
        self.canvas.mpl_connect("draw_event", self._on_drawn)
        self.canvas.mpl_connect("button_press_event", self._on_press)
        self.canvas.mpl_connect("button_release_event", self._on_release)
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
        self._marked = self._hovered = None
        self._chosen = []
        self.redraw()

    def redraw(self) -> None:
        """Draw everything again in the viewer's colours."""
        palette = palette_of(self._viewer.theme)
        self._dots = paint(self.figure, self._draw, palette)
        self._known = None
        self.canvas.draw_idle()

    def mark(self, key: Any) -> None:
        """Put a ring around the dot with this key (None: around none)."""
        self._marked = key
        self._show_rings()

    def position_of(self, key: Any) -> tuple[float, float] | None:
        """Pixel (x, y) of a dot on the widget, origin top left; None when it is not shown."""
        if self.figure.stale:
            self.canvas.draw()  # the layout places the axes only when they are drawn
        place = self._places.of(key)
        return None if place is None else self._to_widget(*place)

    def key_at(self, x: float, y: float) -> Any:
        """Key of the dot nearest to a figure pixel (origin bottom left); None beyond the forgiving radius."""
        return self._places.nearest(x, y, PICK_RADIUS_PX * self.canvas.device_pixel_ratio)

    def select(self, keys: Sequence[Any]) -> None:
        """Show these dots as chosen; none by an empty sequence."""
        self._chosen = list(keys)
        self._place_overlay()

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

    def sizeHint(self) -> QSize:
        """The least size: a figure grows into the room there is, and never makes a panel scroll for more."""
        return QSize(self.canvas.minimumSize())

    def changeEvent(self, event: QEvent) -> None:
        """A new font or style asks for a redraw."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._redraw.start(50)

    def _on_theme(self, event: Any = None) -> None:
        self._redraw.start(0)

    # ---- what lies over the figure

    @property
    def _places(self) -> Places:
        if self._known is None:
            self._known = Places(self._dots)
        return self._known

    def _on_drawn(self, event: Event) -> None:
        self._known = None  # the layout or the size may be another
        self._place_overlay()

    def _place_overlay(self) -> None:
        self.overlay.setGeometry(self.canvas.rect())
        self.overlay.set_color(palette_of(self._viewer.theme).accent)
        places = [self._places.of(key) for key in self._chosen]
        self.overlay.set_chosen([self._to_widget(*place) for place in places if place is not None])
        self._show_rings()

    def _show_rings(self) -> None:
        rings = []
        for key, opacity in ((self._marked, 1.0), (self._hovered, 0.6)):
            place = self._places.of(key) if key is not None and self._places.is_dot(key) else None
            if place is not None:
                rings.append((*self._to_widget(*place), opacity))
        self.overlay.set_rings(rings)

    def _to_widget(self, x: float, y: float) -> tuple[float, float]:
        ratio = self.canvas.device_pixel_ratio
        return (x / ratio, self.canvas.height() - y / ratio)

    # ---- the mouse

    def _on_press(self, event: Event) -> None:
        if isinstance(event, MouseEvent) and event.button == MouseButton.LEFT:
            self._hide_hover()
            free = bool(event.guiEvent.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self._stroke = Stroke((event.x, event.y), free)

    def _on_release(self, event: Event) -> None:
        stroke, self._stroke = self._stroke, None
        if stroke is None or not isinstance(event, MouseEvent):
            return
        self.overlay.set_brush(())
        if stroke.extent < _DRAG_PX * self.canvas.device_pixel_ratio:
            key = self.key_at(*stroke.path[0])
            if key is not None:
                self.picked.emit(key)
        elif self._places.any_dots:
            self.brushed.emit(self._places.within(stroke.corners))

    def _on_move(self, event: Event) -> None:
        if not isinstance(event, LocationEvent):
            return
        if self._stroke is not None:
            self._stroke.path.append((event.x, event.y))
            if self._places.any_dots:
                self.overlay.set_brush([self._to_widget(*corner) for corner in self._stroke.corners])
            return
        key = self.key_at(event.x, event.y)
        if key == self._hovered:
            return
        self.canvas.setCursor(
            Qt.CursorShape.ArrowCursor if key is None else Qt.CursorShape.PointingHandCursor
        )
        self._hovered = key
        self._show_rings()
        if key is None:
            QToolTip.hideText()
        else:
            QToolTip.showText(QCursor.pos(), self._describe(key), self.canvas)

    def _on_leave(self, event: Event) -> None:
        self._hide_hover()

    def _hide_hover(self) -> None:
        if self._hovered is not None:
            self._hovered = None
            self._show_rings()
            QToolTip.hideText()


@dataclass(eq=False)
class Stroke:
    """A drag with the mouse, in figure pixels.

    Attributes
    ----------
    start : tuple of float
    free : bool
        A free-hand lasso; otherwise a rectangle from the start to the last place.
    path : list of tuple of float
        Places the mouse was at.
    """

    start: tuple[float, float]
    free: bool
    path: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.path.append(self.start)

    @property
    def extent(self) -> float:
        """Largest distance from the start along either direction."""
        return max(max(abs(x - self.start[0]), abs(y - self.start[1])) for x, y in self.path)

    @property
    def corners(self) -> list[tuple[float, float]]:
        """The closed shape."""
        if self.free:
            return [*self.path, self.start]
        (x0, y0), (x1, y1) = self.start, self.path[-1]
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]


def paint(figure: Figure, draw: Draw | None, palette: Palette) -> Sequence[Dots]:
    """Empty `figure`, draw onto it in the colours of `palette` and return what can be picked."""
    with mpl.rc_context(rc_params(palette)):
        figure.clear()
        dots = draw(figure, palette) if draw is not None else ()
        dress(figure, palette)
    return dots
