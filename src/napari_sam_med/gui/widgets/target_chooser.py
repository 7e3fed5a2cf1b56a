"""The Labels layer that accepted masks go to; a new one unless the user chooses another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget

from napari_sam_med.gui.mask_layers import PREVIEW_NAME
from napari_sam_med.gui.state import bare
from napari_sam_med.gui.widgets.diagnostics_overlay import OVERLAY_NAMES
from napari_sam_med.gui.widgets.following import follow

if TYPE_CHECKING:
    import napari

_NEW = "New label layer"


class TargetChooser(QComboBox):
    """Combo box of Labels layers with "New label layer" first, so that a truth is never written by accident.

    Attributes
    ----------
    target_changed : Signal()
        The user chose another layer, or the chosen one left the viewer.
    """

    target_changed = Signal()

    def __init__(self, viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[Labels] = []
        self.setToolTip("The label layer that accepted masks are written to")
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.renamed):
            follow(self, event, self._refresh)
        self.currentIndexChanged.connect(lambda _: self.target_changed.emit())
        self._refresh()

    @property
    def layer(self) -> Any:
        """The chosen layer; None for a new one."""
        index = self.currentIndex() - 1
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def choose(self, layer: Labels | None) -> None:
        """Choose a layer (None: a new one)."""
        known = bare(layer)
        self.setCurrentIndex(self._layers.index(known) + 1 if known in self._layers else 0)

    def _refresh(self, event: Any = None) -> None:
        chosen = self.layer
        hidden = {PREVIEW_NAME, *OVERLAY_NAMES}
        layers = [x for x in self._viewer.layers if isinstance(x, Labels) and x.name not in hidden]
        with QSignalBlocker(self):
            self._layers = layers
            self.clear()
            self.addItems([_NEW, *(layer.name for layer in layers)])
            for i, layer in enumerate(layers, start=1):
                self.setItemData(i, layer.name, Qt.ItemDataRole.ToolTipRole)
            self.setCurrentIndex(layers.index(chosen) + 1 if chosen in layers else 0)
        if chosen is not None and chosen not in layers:
            self.target_changed.emit()
