"""The Segment panel: draw a box or a point, look at the candidates, accept one into an object."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget
from superqt.utils import QSignalDebouncer

from napari_sam_med.core.errors import SamMedError
from napari_sam_med.core.volume import Volume
from napari_sam_med.core.windowing import Window
from napari_sam_med.gui.canvas import SegmentCanvas
from napari_sam_med.gui.controller import Proposal, SegmentController
from napari_sam_med.gui.encoding import EncodeProgress, Scene
from napari_sam_med.gui.layers import apply_window, go_to_slice
from napari_sam_med.gui.prompt_layers import PromptLayers
from napari_sam_med.gui.state import ModelState, workspace_for
from napari_sam_med.gui.widgets.following import Stopper, follow
from napari_sam_med.gui.widgets.segment_keys import CanvasBindings
from napari_sam_med.gui.widgets.segment_objects import ObjectActions
from napari_sam_med.gui.widgets.segment_tools import DRAW, HELLO, PromptTools
from napari_sam_med.gui.widgets.segment_view import SegmentView, value_bounds

if TYPE_CHECKING:
    import napari

_EDIT_MS = 40
_SLICE_MS = 50
_WINDOW_MS = 200


class SegmentPanel(QWidget):
    """Segments the slice on screen by points and boxes.

    Parameters
    ----------
    viewer : napari.Viewer
        The panel's viewer; panels of one viewer share its workspace.
    """

    def __init__(self, viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._workspace = workspace_for(viewer)
        self._workspace.attach(self)
        self.controller = SegmentController(self._workspace, self._workspace.settings.neighbours)
        self._edits = self._debouncer(_EDIT_MS, self._prompt_edited)
        self._slices = self._debouncer(_SLICE_MS, self._slice_changed)
        self._windows = self._debouncer(_WINDOW_MS, self._scene_changed)
        self._images = QTimer(self)
        self._images.setSingleShot(True)
        self._images.timeout.connect(self._image_changed)
        self.canvas = SegmentCanvas(viewer, self._workspace, self._edits.throttle)
        self.view = SegmentView(viewer)
        self.tools = PromptTools(self.controller, self.canvas, self.view, self)
        self.objects = ObjectActions(viewer, self._workspace, self.controller, self.canvas, self.view, self)
        self._volume: Volume | None = None
        self._drag_from: Window | None = None
        self._followed: weakref.WeakSet[Any] = weakref.WeakSet()
        # fills its dock, so that napari adds no stretch below it
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)
        self._connect_view()
        self._connect_model()
        self._connect_viewer()
        self._say(HELLO)
        self._images.start(0)

    # -- wiring -------------------------------------------------------------------------------------------

    def _debouncer(self, ms: int, slot: Any) -> QSignalDebouncer:
        made = QSignalDebouncer(parent=self)
        made.setTimeout(ms)
        made.triggered.connect(slot)
        return made

    def _connect_view(self) -> None:
        view, tools = self.view, self.tools
        view.image.layer_changed.connect(self._images_changed)
        view.window_control.window_changed.connect(self.set_window)
        view.model.model_chosen.connect(self.load_model)
        view.model.cancelled.connect(self._workspace.cancel_model)
        view.box.clicked.connect(tools.draw_box)
        view.positive.clicked.connect(tools.add_positive)
        view.negative.clicked.connect(tools.add_negative)
        view.live.toggled.connect(self._live_toggled)
        view.segment.clicked.connect(tools.segment)
        view.clear_prompts.clicked.connect(tools.clear)
        view.candidates.chosen.connect(self.controller.choose)
        view.next.clicked.connect(tools.next_candidate)
        objects = self.objects
        view.target.target_changed.connect(objects.target_chosen)
        view.add_object.clicked.connect(objects.add_object)
        view.objects.edited.connect(objects.object_edited)
        view.accept.clicked.connect(objects.accept)
        view.undo.clicked.connect(objects.undo)
        view.clear_object.clicked.connect(objects.clear_object)
        view.encode.asked.connect(self.controller.encoding.encode_all)
        view.encode.cancelled.connect(self.controller.encoding.cancel_all)
        view.encode.strip.slice_clicked.connect(self.go_to)
        view.save.clicked.connect(objects.ask_and_save)
        view.message.button.clicked.connect(objects.resample_target)
        objects.said.connect(self._say)
        tools.said.connect(self._say)
        objects.changed.connect(self._show_actions)

    def _connect_model(self) -> None:
        controller, workspace = self.controller, self._workspace
        controller.proposal_changed.connect(self._show_proposal)
        controller.status_changed.connect(self._show_status)
        controller.failed.connect(self._warn)
        controller.encoding.changed.connect(self._show_encoded)
        controller.encoding.progress.connect(self._show_progress)
        follow(self, workspace.worker_event, controller.handle)
        follow(self, workspace.model_changed, self._model_changed)
        follow(self, workspace.model_failed, self._model_failed)
        follow(self, workspace.model_progress, self.view.model.show_download)
        workspace.ensure_model()
        if workspace.model is None:
            self.view.model.show_loading(workspace.model_request)
        else:
            self._model_changed(workspace.model)

    def _connect_viewer(self) -> None:
        events = self._viewer.dims.events
        for emitter in (events.point, events.order, events.ndisplay):
            follow(self, emitter, self._dims_changed)
        follow(self, self._viewer.layers.selection.events.active, self.tools.show)
        self._bindings = CanvasBindings(
            self._viewer,
            self,
            {
                "box": self.tools.draw_box,
                "point": self.tools.switch_points,
                "segment": self.tools.segment,
                "next": self.tools.next_candidate,
                "accept": self.objects.accept,
                "undo": self.objects.undo,
                "clear": self.tools.clear,
                "object": self.objects.add_object,
            },
        )
        self._stopper = Stopper(self, self._release(self._bindings, self.canvas.prompts))

    @staticmethod
    def _release(bindings: CanvasBindings, prompts: PromptLayers) -> Callable[[], None]:
        def release() -> None:
            bindings.release()
            prompts.disconnect()

        return release

    def event(self, event: QEvent | None) -> bool:
        """Closing its dock takes the panel out of the window; then it is of no more use."""
        handled = bool(super().event(event))
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._bindings.release()
            self.canvas.preview.remove()
            self.deleteLater()
        return handled

    # -- image, slice, window -----------------------------------------------------------------------------

    def _images_changed(self, event: Any = None) -> None:
        # layers are added to the viewer below, which must not happen inside its own "inserted" event
        self._images.start(0)

    def _image_changed(self) -> None:
        layer = self.view.image.layer
        old = self.canvas.image
        volume = None
        if layer is not None:
            try:
                volume = self._workspace.volume_of(layer)
            except SamMedError as error:
                self._warn(str(error))
                layer = None
        self._volume = volume
        if layer is not None and layer not in self._followed:
            self._followed.add(layer)
            follow(self, layer.events.contrast_limits, self._limits_changed)
            follow(self, layer.events.data, self._images_changed)
        self.canvas.attach(layer)
        self.tools.follow_layers()
        self.view.show_volume(volume)
        if volume is None or layer is None:
            self.controller.set_scene(None)
            if old is not None and self.view.image.layer is None:
                self._say(HELLO)
            return
        if layer is not old:  # what was said was about the image before
            self._say("")
        self.view.window_control.set_volume(volume, value_bounds(volume))
        self.view.window_control.show_window(Window.from_limits(*layer.contrast_limits))
        self._scene_changed()
        self._slice_changed()
        self.objects.check_target()

    def _dims_changed(self, event: Any = None) -> None:
        self._slices.throttle()

    def _slice_changed(self) -> None:
        """Another slice, plane or time point is on screen."""
        if self._volume is None:
            return
        self.controller.show(self.canvas.ref())
        self._show_encoded()
        self._prompt_edited()
        if self.view.live.isChecked() and self.controller.proposal is None and not self.controller.waiting:
            self.controller.ask()

    def _scene_changed(self) -> None:
        """Another volume or window is segmented."""
        layer = self.canvas.image
        if layer is None or self._volume is None:
            return
        window = Window.from_limits(*layer.contrast_limits)
        self.controller.set_scene(Scene(str(layer.unique_id), self._volume, window))
        if self.view.live.isChecked():
            self.controller.ask()

    def set_window(self, window: Window) -> None:
        """Show the image in a window; the model sees the same a moment later."""
        if self.canvas.image is not None:
            apply_window(self.canvas.image, window)

    def _limits_changed(self, event: Any = None) -> None:
        if self.canvas.image is not None:
            self.view.window_control.show_window(Window.from_limits(*self.canvas.image.contrast_limits))
            self._windows.throttle()

    def begin_window_drag(self) -> bool:
        """A right-drag begins on the canvas."""
        image = self.canvas.image
        self._drag_from = None if image is None else Window.from_limits(*image.contrast_limits)
        return self._drag_from is not None

    def drag_window(self, right_px: float, down_px: float) -> None:
        """Right makes the window wider, down darkens the image (raises the level)."""
        start = self._drag_from
        if start is not None:
            width = start.width * float(np.exp(right_px / 200))
            self.set_window(Window(start.level + start.width * down_px / 300, width))

    def go_to(self, index: int) -> None:
        """Show another slice of the plane on screen."""
        ref, image = self.controller.position, self.canvas.image
        if ref is not None and image is not None:
            go_to_slice(self._viewer, image, ref.axis, index, ref.time)

    # -- prompts ------------------------------------------------------------------------------------------

    def _prompt_edited(self) -> None:
        ref, position = self.controller.position, self.canvas.position()
        if ref is None or position is None or ref != self.canvas.ref():
            return
        if self.controller.prompt_edited(ref, self.canvas.prompts.prompt(position)):
            if self.view.live.isChecked():
                self.controller.ask()
            else:
                self.controller.ask_nothing()
        self._show_actions()

    def _live_toggled(self, on: bool) -> None:
        if on and self.controller.proposal is None:
            self.controller.ask()

    # -- model --------------------------------------------------------------------------------------------

    def load_model(self, name_or_file: str) -> None:
        """Segment with another model."""
        self._workspace.load_model(name_or_file)

    def _model_changed(self, state: ModelState | None) -> None:
        self.controller.set_model(None if state is None else state.fingerprint)
        if state is None:
            self.view.model.show_loading(self._workspace.model_request)
        else:
            self.view.model.show_asked(self._workspace.model_request)
            self.view.model.show_model(state)
            if self.view.live.isChecked():
                self.controller.ask()
        self._show_actions()

    def _model_failed(self, message: str) -> None:
        if self._workspace.model is None:
            self.view.model.show_failed()
        self._warn(message)

    # -- what is shown ------------------------------------------------------------------------------------

    def _show_proposal(self, proposal: Proposal | None) -> None:
        self.canvas.show(proposal)
        self.view.candidates.show_scores(
            () if proposal is None else proposal.scores, 0 if proposal is None else proposal.chosen
        )
        self._show_status("")
        self._show_actions()

    def _show_status(self, text: str) -> None:
        proposal = self.controller.proposal
        if not text and proposal is not None:
            took = (
                f"{proposal.seconds:.1f} s" if proposal.seconds >= 1 else f"{1000 * proposal.seconds:.0f} ms"
            )
            text = f"{int(proposal.mask.sum())} voxels, answered in {took}"
        elif not text and self.controller.position is None and self._volume is not None:
            text = "Show the image in 2D to segment its slices."
        elif not text and self._volume is not None:
            text = DRAW
        self.view.status.setText(text)

    def _show_encoded(self) -> None:
        ref = self.controller.position
        self.view.encode.show_plan(
            self.controller.encoding, None if ref is None else ref.axis, -1 if ref is None else ref.index
        )

    def _show_progress(self, progress: EncodeProgress | None) -> None:
        self.view.encode.show_progress(progress)
        self._show_encoded()

    def _show_actions(self) -> None:
        """Enable what can be done now."""
        controller, view = self.controller, self.view
        scene, ref = controller.scene, controller.position
        prompt = None if ref is None else controller.prompt_of(ref)
        asked = prompt is not None and (prompt.box is not None or len(prompt.points) > 0)
        view.segment.setEnabled(prompt is not None and not prompt.empty and controller.model is not None)
        view.clear_prompts.setEnabled(asked)
        view.accept.setEnabled(controller.proposal is not None)
        view.next.setEnabled(controller.proposal is not None and len(controller.proposal.order) > 1)
        view.clear_object.setEnabled(ref is not None and self.canvas.target is not None)
        view.undo.setEnabled(scene is not None and controller.log.last_undoable(scene.volume_id) is not None)
        view.save.setEnabled(self.canvas.target is not None and not self.objects.jobs.busy)

    def _say(self, text: str, problem: bool = False, button: str = "") -> None:
        self.view.message.say(text, problem=problem, button=button)

    def _warn(self, text: str) -> None:
        self._say(text, problem=True)
