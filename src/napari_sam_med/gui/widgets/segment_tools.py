"""Tools of the Segment panel: which one draws on the canvas, and what is done with the prompt that it drew."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_sam_med.gui.prompt_layers import Sign
from napari_sam_med.gui.widgets.following import follow

if TYPE_CHECKING:
    from napari_sam_med.gui.canvas import SegmentCanvas
    from napari_sam_med.gui.controller import SegmentController
    from napari_sam_med.gui.widgets.segment_view import SegmentView

HELLO = "Open an image or a sample (File ▸ Open Sample), then draw a box around an object."
DRAW = "Draw a box, or click a point on the object."


class PromptTools(QObject):
    """What the Prompt part of the panel does.

    Attributes
    ----------
    said : Signal(str)
        A sentence for the user.
    """

    said = Signal(str)

    def __init__(
        self,
        controller: SegmentController,
        canvas: SegmentCanvas,
        view: SegmentView,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._controller = controller
        self._canvas = canvas
        self._view = view
        self._followed: weakref.WeakSet[Any] = weakref.WeakSet()

    def draw_box(self) -> None:
        """Draw boxes with the mouse; once more moves the canvas again."""
        self._use("box", self._canvas.prompts.draw_boxes)

    def add_positive(self) -> None:
        """Add points on the object."""
        self._use("positive", lambda: self._canvas.prompts.add_points("positive"))

    def add_negative(self) -> None:
        """Add points beside the object."""
        self._use("negative", lambda: self._canvas.prompts.add_points("negative"))

    def switch_points(self) -> None:
        """Add points; while doing so, switch between points on the object and beside it."""
        switch: dict[str, Sign] = {"positive": "negative", "negative": "positive"}
        self._canvas.prompts.add_points(switch.get(self._canvas.prompts.tool, "positive"))
        self.show()

    def segment(self) -> None:
        """Segment the slice on screen by its prompt."""
        ref = self._controller.position
        if ref is None or self._controller.prompt_of(ref).empty:
            self.said.emit(DRAW if self._controller.scene is not None else HELLO)
            return
        self._controller.ask()

    def clear(self) -> None:
        """Remove the prompt of the slice on screen."""
        position = self._canvas.position()
        if position is not None:
            self._canvas.prompts.clear(position)

    def next_candidate(self) -> None:
        """Show the next candidate."""
        self._controller.next_candidate()

    def follow_layers(self) -> None:
        """Follow the mode of the prompt layers, which come and go with the image; napari's buttons change it, too."""
        for layer in (self._canvas.prompts.points, self._canvas.prompts.boxes):
            if layer is not None and layer not in self._followed:
                self._followed.add(layer)
                follow(self, layer.events.mode, self.show)

    def show(self, event: Any = None) -> None:
        """Show which tool is in use."""
        tool = self._canvas.prompts.tool
        self._view.box.setChecked(tool == "box")
        self._view.positive.setChecked(tool == "positive")
        self._view.negative.setChecked(tool == "negative")

    def _use(self, tool: str, start: Callable[[], None]) -> None:
        if self._canvas.image is None:
            self.said.emit(HELLO)
        elif self._canvas.prompts.tool == tool:
            self._canvas.prompts.stop_drawing()
        else:
            start()
            self.follow_layers()
        self.show()
