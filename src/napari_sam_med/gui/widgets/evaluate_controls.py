"""Small controls of the Evaluate panel: a layer chooser, a chooser of several things, a strip of messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QAction, QResizeEvent
from qtpy.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_sam_med.gui.state import bare
from napari_sam_med.gui.widgets.following import follow


class LayerChooser(QComboBox):
    """Combo box of the viewer's layers of one type, kept in step with the layer list.

    Parameters
    ----------
    viewer : napari.Viewer
        Its layers are offered.
    layer_type : type
        Which layers: ``napari.layers.Image`` or ``Labels``.
    prefer : sequence of str
        Words by which a layer is chosen at first ("truth", "prediction").
    hide : sequence of str
        Names of layers that are never offered (what the panels draw themselves).
    """

    layer_changed = Signal()

    def __init__(
        self,
        viewer: Any,
        layer_type: type[Layer],
        *,
        prefer: Sequence[str] = (),
        hide: Sequence[str] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._type = layer_type
        self._prefer = tuple(word.lower() for word in prefer)
        self._hide = frozenset(hide)
        self._layers: list[Layer] = []
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.renamed):
            follow(self, event, self._refresh)
        self.currentIndexChanged.connect(lambda _: self.layer_changed.emit())
        self._refresh()

    @property
    def layer(self) -> Any:
        """The chosen layer, or None."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def choose(self, layer: Layer | None) -> None:
        """Choose a layer that is in the list; others are ignored."""
        if bare(layer) in self._layers:
            self.setCurrentIndex(self._layers.index(bare(layer)))

    def choose_other_than(self, layer: Layer | None) -> None:
        """Choose the first layer that is not this one, if there is any."""
        for other in self._layers:
            if other is not layer:
                self.choose(other)
                return

    def _refresh(self, event: Any = None) -> None:
        chosen = self.layer
        layers = [
            layer
            for layer in self._viewer.layers
            if type(layer) is self._type and layer.name not in self._hide
        ]
        with QSignalBlocker(self):
            self._layers = layers
            self.clear()
            self.addItems([layer.name for layer in layers])
            for i, layer in enumerate(layers):
                self.setItemData(i, layer.name, Qt.ItemDataRole.ToolTipRole)
            index = layers.index(chosen) if chosen in layers else self._first_guess(layers)
            self.setCurrentIndex(index)
        self.setEnabled(bool(layers))
        if self.layer is not chosen:
            self.layer_changed.emit()

    def _first_guess(self, layers: Sequence[Layer]) -> int:
        for word in self._prefer:
            for i, layer in enumerate(layers):
                if word in layer.name.lower():
                    return i
        return 0 if layers else -1


class ManyChooser(QPushButton):
    """A button with a menu of things that can each be ticked ("All labels", "S2, S5")."""

    changed = Signal()

    def __init__(self, everything: str, nothing: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._everything = everything
        self._nothing = nothing
        self._menu = QMenu(self)
        self._menu.setToolTipsVisible(True)
        self._actions: list[tuple[Any, str, QAction]] = []
        self.setMenu(self._menu)
        self.setStyleSheet("QPushButton { text-align: left; padding-left: 6px; }")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._text = ""
        self._show()

    def offer(self, items: Iterable[tuple[Any, str, str, str]], ticked: Iterable[Any] | None = None) -> None:
        """Offer (value, short text, title, tooltip) items; ticks are kept; `ticked` (default: all) at first."""
        before = {value: action.isChecked() for value, _, action in self._actions}
        wanted = None if ticked is None else set(ticked)
        self._menu.clear()
        self._actions = []
        for value, text, title, tip in items:
            action = QAction(f"{text}  {title}" if title else text, self._menu)
            action.setToolTip(tip)
            action.setCheckable(True)
            action.setChecked(before.get(value, wanted is None or value in wanted))
            action.toggled.connect(self._on_toggled)
            self._menu.addAction(action)
            self._actions.append((value, text, action))
        self._show()

    def values(self) -> list[Any]:
        """What is ticked, in the order offered."""
        return [value for value, _, action in self._actions if action.isChecked()]

    @property
    def count(self) -> int:
        """How many things are offered."""
        return len(self._actions)

    def offered(self) -> list[Any]:
        """All that is offered, in order."""
        return [value for value, _, _ in self._actions]

    def set_values(self, values: Iterable[Any]) -> None:
        """Tick exactly these."""
        wanted = set(values)
        for value, _, action in self._actions:
            action.setChecked(value in wanted)

    def sizeHint(self) -> QSize:
        """A long text is cut to the room there is; it never makes the panel wider."""
        return QSize(100, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """See :meth:`sizeHint`."""
        return self.sizeHint()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Cut the text to the new width."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        room = self.width() - 34  # the arrow and the padding
        self.setText(self.fontMetrics().elidedText(self._text, Qt.TextElideMode.ElideRight, room))

    def _on_toggled(self, _: bool) -> None:
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        texts = [text for _, text, action in self._actions if action.isChecked()]
        if texts and len(texts) == len(self._actions) and len(texts) > 2:
            self._text = f"{self._everything} ({len(texts)})"
        else:
            self._text = ", ".join(texts) or self._nothing
        self._elide()
        self.setEnabled(bool(self._actions))


class MessageStrip(QFrame):
    """One sentence to the user, in words, with at most one button that mends the matter."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.label = QLabel(self)
        self.label.setWordWrap(True)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.button = QPushButton(self)
        self.button.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.label)
        layout.addWidget(self.button, 0, Qt.AlignmentFlag.AlignLeft)

    def say(self, text: str, *, problem: bool = False, button: str = "") -> None:
        """Show a sentence; a problem gets a warning sign before it, `button` a button below it."""
        self.label.setText(f"⚠ {text}" if problem else text)
        self.button.setText(button)
        self.button.setVisible(bool(button))
        self.setVisible(bool(text))

    @property
    def text(self) -> str:
        """What is shown."""
        return str(self.label.text())


class ScrollPanel(QScrollArea):
    """A panel that scrolls up and down when the window is too low, and never sideways."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.body = QWidget(self)
        self.column = QVBoxLayout(self.body)
        self.column.setContentsMargins(6, 6, 6, 6)
        self.column.setSpacing(6)
        self.setWidget(self.body)
        self.setMinimumWidth(340)


def row(*widgets: QWidget, stretch: int = -1) -> QHBoxLayout:
    """Widgets side by side; the one numbered `stretch` takes the spare room."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    for i, widget in enumerate(widgets):
        layout.addWidget(widget, 1 if i == stretch else 0)
    return layout


def title(text: str) -> QElidingLabel:
    """Bold text of any length: cut in its middle to the room there is, it never makes the panel wider."""
    label = QElidingLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setElideMode(Qt.TextElideMode.ElideMiddle)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    bold = label.font()
    bold.setBold(True)
    label.setFont(bold)
    return label
