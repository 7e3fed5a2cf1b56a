"""Objects of the Segment panel: accept, undo, clear, choose where masks go, save."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog

from napari_sam_med.core.errors import GridMismatchError, SamMedError
from napari_sam_med.core.volume import AXES, Volume
from napari_sam_med.gui.events import Accepted, ObjectCleared, ObjectEdited, PromptEdited, Undone
from napari_sam_med.gui.layers import SlicePosition, add_labels, go_to_slice
from napari_sam_med.gui.objects import ObjectTable
from napari_sam_med.gui.widgets.segment_files import LabelJobs
from napari_sam_med.io import WRITE_SUFFIXES

if TYPE_CHECKING:
    import napari

    from napari_sam_med.gui.canvas import SegmentCanvas
    from napari_sam_med.gui.controller import SegmentController
    from napari_sam_med.gui.state import Workspace
    from napari_sam_med.gui.widgets.segment_view import SegmentView

_RESAMPLE = "Resample labels to this image"
_FILTERS = "NIfTI (*.nii.gz *.nii);;NRRD (*.nrrd);;MetaImage (*.mha *.mhd)"


class ObjectActions(QObject):
    """What the Objects part of the panel does.

    Attributes
    ----------
    said : Signal(str, bool, str)
        A sentence, whether it tells of a problem, and the text of a button that mends it.
    changed : Signal()
        What can be done has changed.
    """

    said = Signal(str, bool, str)
    changed = Signal()

    def __init__(
        self,
        viewer: napari.Viewer,
        workspace: Workspace,
        controller: SegmentController,
        canvas: SegmentCanvas,
        view: SegmentView,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._workspace = workspace
        self._controller = controller
        self._canvas = canvas
        self._view = view
        self._mismatch = False
        self._table: ObjectTable | None = None
        self.jobs = LabelJobs(self)
        self.jobs.failed.connect(self._warn)
        self.jobs.busy_changed.connect(self._busy_changed)
        self.show_target()

    # -- masks --------------------------------------------------------------------------------------------

    def accept(self) -> None:
        """Write the candidate on screen into the current object."""
        proposal = self._controller.proposal
        if proposal is None:
            self.said.emit("There is no candidate to accept; draw a box or add a point first.", False, "")
            return
        mode = self._view.mode.currentData()
        row = self._canvas.table.current
        had_target = self._canvas.target is not None
        try:
            change = self._canvas.accept(proposal, mode, self._view.overwrite.isChecked())
        except SamMedError as error:
            self._refuse(error)
            return
        if not had_target:
            self._view.target.choose(self._canvas.target)
            self.show_target()
        event = self._controller.accepted(row.label, mode, change.voxels)
        if event is not None:
            self._canvas.remember(event.number, change)
        if change.voxels:
            place = f"{AXES[proposal.ref.axis]} slice {proposal.ref.index}"
            self.said.emit(f"{row.name}: {change.voxels} voxels changed in {place}.", False, "")
        else:
            self.said.emit(
                "Nothing changed: all voxels of the mask belong to other objects or to this one already.",
                False,
                "",
            )
        self.changed.emit()

    def clear_object(self) -> None:
        """Erase the current object from the slice on screen."""
        ref = self._controller.position
        if ref is None:
            return
        row = self._canvas.table.current
        try:
            change = self._canvas.clear_object(ref)
        except SamMedError as error:
            self._refuse(error)
            return
        if not change.voxels:
            self.said.emit(f"{row.name} has no voxels in this slice.", False, "")
            return
        event = self._controller.log.add(ObjectCleared(ref, row.label, change.voxels))
        self._canvas.remember(event.number, change)
        self.said.emit(f"{row.name}: {change.voxels} voxels erased from slice {ref.index}.", False, "")
        self.changed.emit()

    def undo(self) -> None:
        """Take back the last prompt, accepted mask or cleared object of this image, and go to its slice."""
        controller, scene = self._controller, self._controller.scene
        event = None if scene is None else controller.log.last_undoable(scene.volume_id)
        if event is None or self._canvas.image is None:
            self.said.emit("There is nothing to undo.", False, "")
            return
        assert isinstance(event, (PromptEdited, Accepted, ObjectCleared))
        controller.log.add(Undone(event.number))
        position = SlicePosition(event.ref.axis, event.ref.index, event.ref.time)
        go_to_slice(self._viewer, self._canvas.image, position.axis, position.index, position.time)
        controller.show(event.ref)
        text = "The last prompt was taken back."
        if isinstance(event, (Accepted, ObjectCleared)):
            done = self._canvas.revert(event.number)
            what = "accepted mask" if isinstance(event, Accepted) else "erased object"
            text = (
                f"The last {what} was taken back."
                if done
                else f"The last {what} is too long ago to take back."
            )
        if isinstance(event, (PromptEdited, Accepted)):
            prompt = event.before if isinstance(event, PromptEdited) else event.prompt
            controller.remember_prompt(event.ref, prompt)
            self._canvas.prompts.put(position, prompt)
            if self._view.live.isChecked():
                controller.ask()
            else:
                controller.ask_nothing()
        self.said.emit(text, False, "")
        self.changed.emit()

    # -- objects ------------------------------------------------------------------------------------------

    def add_object(self) -> None:
        """Start another object."""
        row = self._canvas.table.add()
        self._log_object(row.label)

    def object_edited(self, label: int) -> None:
        """The user renamed, locked or hid an object."""
        self._log_object(label)

    def _log_object(self, label: int) -> None:
        row = next(r for r in self._canvas.table.rows if r.label == label)
        self._controller.log.add(ObjectEdited(row.label, row.name, row.locked))

    # -- where masks go -----------------------------------------------------------------------------------

    def target_chosen(self) -> None:
        """The user chose another label layer."""
        try:
            self._canvas.set_target(self._view.target.layer)
        except SamMedError as error:
            self._refuse(error)
            self._view.target.choose(None)
            return
        self.show_target()
        self.check_target()
        target = self._canvas.target
        if target is not None:
            table = weakref.ref(self._canvas.table)

            def found(labels: list[int]) -> None:
                alive = table()
                if alive is not None:
                    alive.found(labels)

            self.jobs.find_labels(self._workspace.volume_of(target), found)

    def show_target(self) -> None:
        """Show the objects of the label layer in use."""
        if self._table is not None:
            self._table.changed.disconnect(self._objects_changed)
        self._table = self._canvas.table
        self._table.changed.connect(self._objects_changed)
        self._view.objects.set_table(self._table, self._canvas.colours.of)
        self._objects_changed()

    def check_target(self) -> None:
        """Say so if the label layer lies on another grid than the image."""
        try:
            self._canvas.check_target()
        except SamMedError as error:
            self._refuse(error)
            return
        if self._mismatch:
            self._mismatch = False
            self.said.emit("", False, "")

    def resample_target(self) -> None:
        """Add a copy of the label layer on the image's grid and write to that."""
        target, image = self._canvas.target, self._canvas.image
        if target is None or image is None:
            return
        labels = self._workspace.volume_of(target)
        self.said.emit("Resampling the labels…", False, "")
        self.jobs.resample(labels, self._workspace.volume_of(image), self._resampled)

    def _resampled(self, labels: Volume) -> None:
        self._mismatch = False
        layer = add_labels(self._viewer, replace(labels, name=f"{labels.name} on image grid"))
        self._view.target.choose(layer)
        self.said.emit(
            f"{layer.name} was added; masks go there now. The original layer is unchanged.", False, ""
        )

    def _objects_changed(self) -> None:
        self._canvas.show_objects()
        self.changed.emit()

    # -- saving -------------------------------------------------------------------------------------------

    def ask_and_save(self) -> None:
        """Ask for a file name and save the label layer in use."""
        target = self._canvas.target
        if target is None:
            self.said.emit(
                "There is no mask to save yet; accept one, or choose a label layer above.", False, ""
            )
            return
        name, chosen = QFileDialog.getSaveFileName(
            self._view, "Save objects", f"{target.name}.nii.gz", _FILTERS
        )
        if not name:
            return
        if not name.lower().endswith(WRITE_SUFFIXES):
            name += {"NRRD": ".nrrd", "MetaI": ".mha"}.get(chosen[:5].rstrip(" ("), ".nii.gz")
        self.save(Path(name))

    def save(self, path: Path) -> None:
        """Save the label layer in use on the grid of its image's file; "saved" is said after it was read back."""
        target = self._canvas.target
        if target is None:
            return
        names = {row.label: row.name for row in self._canvas.table.rows}
        labels = replace(self._workspace.volume_of(target), label_names=names)
        self.said.emit(f"Saving {path.name}…", False, "")
        self.jobs.save(labels, path, self._saved)

    def _saved(self, path: Path) -> None:
        self.said.emit(
            f"Saved {path.name} in {path.parent}, read back and compared: all voxels agree.", False, ""
        )

    # -- messages -----------------------------------------------------------------------------------------

    def _busy_changed(self, busy: bool) -> None:
        self._view.save.setEnabled(not busy)

    def _warn(self, text: str) -> None:
        self.said.emit(text, True, "")

    def _refuse(self, error: SamMedError) -> None:
        self._mismatch = isinstance(error, GridMismatchError)
        self.said.emit(str(error), True, _RESAMPLE if self._mismatch else "")
