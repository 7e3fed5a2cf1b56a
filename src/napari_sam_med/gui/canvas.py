"""The layers side of the Segment panel: prompts, preview, and the label layer that masks are written to."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import require_same_grid
from napari_sam_med.core.volume import Volume
from napari_sam_med.gui.controller import Proposal
from napari_sam_med.gui.layers import METADATA_KEY, SlicePosition, slice_position
from napari_sam_med.gui.mask_layers import (
    ObjectColours,
    PreviewLayer,
    SliceChange,
    new_labels,
    read_slice,
    write_slice,
)
from napari_sam_med.gui.objects import MergeMode, ObjectTable, merge_mask
from napari_sam_med.gui.prompt_layers import PromptLayers
from napari_sam_med.gui.state import Workspace, bare
from napari_sam_med.inference.requests import SliceRef

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels

_UNDO_STEPS = 100


class SegmentCanvas:
    """Layers of one Segment panel; it knows no widget.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers live.
    workspace : Workspace
        Knows the volumes behind the layers.
    on_edit : callable
        Called after the prompts were edited.
    """

    def __init__(self, viewer: napari.Viewer, workspace: Workspace, on_edit: Callable[[], None]) -> None:
        self._viewer = viewer
        self._workspace = workspace
        self.image: Image | None = None
        self.target: Labels | None = None
        self.prompts = PromptLayers(viewer, on_edit)
        self.preview = PreviewLayer(viewer)
        self.table = ObjectTable()
        self.colours = ObjectColours(None)
        self._tables: weakref.WeakKeyDictionary[Any, tuple[ObjectTable, ObjectColours]]
        self._tables = weakref.WeakKeyDictionary()
        self._changes: OrderedDict[int, tuple[weakref.ref[Any], SliceChange]] = OrderedDict()

    def attach(self, image: Image | None) -> None:
        """Segment another image (None: none)."""
        self.image = image
        self.preview.hide()
        self.prompts.attach(image)
        if image is not None:
            self.preview.prepare(image)
            self.prompts.ensure()

    def position(self) -> SlicePosition | None:
        """The slice of the image on screen."""
        return None if self.image is None else slice_position(self._viewer, self.image)

    def ref(self) -> SliceRef | None:
        """The slice on screen, as requests name it."""
        found = self.position()
        if found is None or self.image is None:
            return None
        return SliceRef(str(self.image.unique_id), found.axis, found.index, found.time)

    def set_target(self, layer: Labels | None) -> None:
        """Write to another label layer from now on (None: to a new one, made when the first mask is accepted)."""
        self.target = None if layer is None else bare(layer)
        if self.target is None:
            self.table, self.colours = ObjectTable(), ObjectColours(None)
            return
        if self.target not in self._tables:
            names = dict(self._workspace.volume_of(self.target).label_names)
            self._tables[self.target] = (ObjectTable(names), ObjectColours(self.target))
        self.table, self.colours = self._tables[self.target]

    def check_target(self) -> None:
        """Refuse a label layer on another grid than the image.

        Raises
        ------
        GridMismatchError
            With both grids in words.
        """
        if self.target is not None and self.image is not None:
            require_same_grid(self._workspace.volume_of(self.image), self._workspace.volume_of(self.target))

    def show(self, proposal: Proposal | None) -> None:
        """Preview a candidate; None shows none."""
        if proposal is None or self.image is None:
            self.preview.hide()
            return
        colour = self.colours.of(self.table.current.label)
        self.preview.show(self.image, _position(proposal.ref), proposal.mask, colour)

    def show_objects(self) -> None:
        """Bring the layers in step with the table: colours, hidden objects, the label to paint, names."""
        self.preview.paint(self.colours.of(self.table.current.label))
        self.colours.apply(self.table.rows)
        if self.target is None:
            return
        if self.target.selected_label != self.table.current.label:
            self.target.selected_label = self.table.current.label
        stored = self.target.metadata.get(METADATA_KEY)
        names = {row.label: row.name for row in self.table.rows}
        if isinstance(stored, Volume) and dict(stored.label_names) != names:
            self.target.metadata[METADATA_KEY] = replace(stored, label_names=names)

    def accept(self, proposal: Proposal, mode: MergeMode, overwrite: bool) -> SliceChange:
        """Write a candidate into the current object, as one step of napari's undo.

        Raises
        ------
        InputError
            If the object is locked, or the label layer does not fit the image.
        """
        position = _position(proposal.ref)
        target = self._require_target()
        labels = read_slice(target, position)
        merged = merge_mask(labels, proposal.mask, self.table.current, mode, self.table.locked, overwrite)
        change = write_slice(target, position, merged)
        self.preview.hide()
        self.prompts.clear(position)
        return change

    def clear_object(self, ref: SliceRef) -> SliceChange:
        """Erase the current object from a slice.

        Raises
        ------
        InputError
            If the object is locked, or there is no label layer yet.
        """
        row = self.table.current
        if row.locked:
            raise InputError(f"{row.name} is locked as finished; unlock it before you erase it.")
        if self.target is None:
            raise InputError("There is no mask yet; accept one first.")
        self.check_target()
        position = _position(ref)
        labels = read_slice(self.target, position).copy()
        labels[labels == row.label] = 0
        return write_slice(self.target, position, labels)

    def remember(self, event_number: int, change: SliceChange) -> None:
        """Keep a change so that the event can be taken back; the oldest of a hundred goes."""
        assert self.target is not None
        self._changes[event_number] = (weakref.ref(self.target), change)
        while len(self._changes) > _UNDO_STEPS:
            self._changes.popitem(last=False)

    def revert(self, event_number: int) -> bool:
        """Take back the voxels an event wrote; False if its layer is gone or it is too long ago."""
        layer, change = self._changes.pop(event_number, (None, None))
        found = layer() if layer is not None else None
        if found is None or change is None or found not in self._viewer.layers:
            return False
        change.revert(found)
        return True

    def disconnect(self) -> None:
        """The panel is gone: stop listening and take the preview away."""
        self.prompts.disconnect()
        self.preview.remove()

    def _require_target(self) -> Labels:
        if self.target is not None:
            self.check_target()
            return self.target
        if self.image is None:
            raise InputError("Choose an image first.")
        table = self.table
        layer = bare(new_labels(self._viewer, self.image, self._workspace.volume_of(self.image)))
        self._tables[layer] = (table, ObjectColours(layer))
        self.target, self.colours = layer, self._tables[layer][1]
        return layer


def _position(ref: SliceRef) -> SlicePosition:
    return SlicePosition(ref.axis, ref.index, ref.time)
