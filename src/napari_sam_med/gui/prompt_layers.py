"""The "Points" and "Boxes" layers, and what they ask of one slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Points, Shapes
from napari.layers.base import ActionType
from numpy.typing import NDArray

from napari_sam_med.core.prompt import Box, Prompt
from napari_sam_med.gui.layers import SlicePosition

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer

POINTS_NAME = "Points"
BOXES_NAME = "Boxes"
Sign = Literal["positive", "negative"]
SIGN_COLOURS: dict[Sign, str] = {"positive": "#00c853", "negative": "#ff3d00"}
SIGN_SYMBOLS: dict[Sign, str] = {"positive": "disc", "negative": "x"}
BOX_COLOUR = "#ffc400"
FEATURE = "prompt"

_SETTLED = (ActionType.ADDED, ActionType.CHANGED, ActionType.REMOVED)


class PromptLayers:
    """A Points and a Shapes layer over one image; every edit is reported once, when it is finished.

    What lies in a slice is the prompt of that slice: all points in it, and of several boxes the selected one, else
    the one drawn last. A box belongs to the plane it was drawn in.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers live.
    on_edit : callable
        Called without arguments after points or boxes were added, moved or removed.
    """

    def __init__(self, viewer: napari.Viewer, on_edit: Callable[[], None]) -> None:
        self._viewer = viewer
        self._on_edit = on_edit
        self._image: Image | None = None
        self._points: Points | None = None
        self._boxes: Shapes | None = None
        self._sign: Sign = "positive"

    @property
    def points(self) -> Points | None:
        """The Points layer, if it is in the viewer."""
        return self._points if self._present(self._points) else None

    @property
    def boxes(self) -> Shapes | None:
        """The Boxes layer, if it is in the viewer."""
        return self._boxes if self._present(self._boxes) else None

    @property
    def sign(self) -> Sign:
        """What the next point means."""
        return self._sign

    @property
    def tool(self) -> str:
        """What a click on the canvas adds: "box", "positive", "negative", or "" for nothing."""
        active = self._viewer.layers.selection.active
        if self.boxes is not None and active == self.boxes and self.boxes.mode == "add_rectangle":
            return "box"
        if self.points is not None and active == self.points and self.points.mode == "add":
            return self._sign
        return ""

    def attach(self, image: Image | None) -> None:
        """Prompt `image` from now on; layers of another geometry are replaced."""
        if image == self._image:
            return
        same = image is not None and self._image is not None and _same_frame(image, self._image)
        self._image = image
        if not same:
            self.remove()

    def ensure(self) -> None:
        """Put the two layers into the viewer unless they are there; the active layer stays."""
        if self._image is None:
            return
        active = self._viewer.layers.selection.active
        if self.boxes is None:
            self._boxes = self._viewer.add_shapes(
                ndim=self._image.ndim,
                name=BOXES_NAME,
                edge_color=BOX_COLOUR,
                face_color="transparent",
                edge_width=max(0.4, max(self._image.data.shape[-2:]) / 250),
                **frame_of(self._image),
            )
            self._boxes.events.data.connect(self._edited)
            self._boxes.selected_data.events.items_changed.connect(self._box_selected)
        if self.points is None:
            self._points = self._viewer.add_points(
                np.empty((0, self._image.ndim)),
                ndim=self._image.ndim,
                name=POINTS_NAME,
                features={FEATURE: np.empty(0, dtype=object)},
                feature_defaults={FEATURE: self._sign},
                size=max(1.5, max(self._image.data.shape[-2:]) / 60),
                canvas_size_limits=(8, 18),
                border_color="white",
                border_width=0.12,
                **frame_of(self._image),
            )
            self._points.events.data.connect(self._edited)
            self.set_sign(self._sign)
        if active is not None:
            self._viewer.layers.selection.active = active

    def remove(self) -> None:
        """Take both layers out of the viewer."""
        for layer in (self.points, self.boxes):
            if layer is not None:
                layer.events.data.disconnect(self._edited)
                self._viewer.layers.remove(layer)
        self._points = self._boxes = None

    def disconnect(self) -> None:
        """Stop listening; the layers stay for the user."""
        for layer in (self._points, self._boxes):
            if layer is not None:
                layer.events.data.disconnect(self._edited)
        if self._boxes is not None:
            self._boxes.selected_data.events.items_changed.disconnect(self._box_selected)

    def draw_boxes(self) -> None:
        """Make the Boxes layer active, ready to draw a rectangle."""
        self.ensure()
        if self.boxes is not None:
            self._viewer.layers.selection.active = self.boxes
            self.boxes.mode = "add_rectangle"

    def add_points(self, sign: Sign) -> None:
        """Make the Points layer active, ready to add points of this sign."""
        self.ensure()
        if self.points is not None:
            self._viewer.layers.selection.active = self.points
            self.points.mode = "add"
            self.set_sign(sign)

    def stop_drawing(self) -> None:
        """Let the mouse move and zoom the canvas again."""
        for layer in (self.points, self.boxes):
            if layer is not None:
                layer.mode = "pan_zoom"

    def set_sign(self, sign: Sign) -> None:
        """Whether the next points belong to the object ("positive") or not."""
        self._sign = sign
        layer = self.points
        if layer is None:
            return
        layer.selected_data.clear()  # else the selected point would change its colour, too
        layer.feature_defaults = {FEATURE: sign}
        layer.current_face_color = SIGN_COLOURS[sign]
        layer.current_symbol = SIGN_SYMBOLS[sign]

    def prompt(self, position: SlicePosition) -> Prompt:
        """What the layers ask of one slice, in (row, col) voxels of the image."""
        indices, voxels = self._points_in(position)
        layer = self.points
        if layer is not None and len(indices):
            signs = np.asarray(layer.features[FEATURE])[indices]
            labels = np.where(signs == "negative", 0, 1).astype(np.int8)
        else:
            labels = np.zeros(0, np.int8)
        found = self._boxes_in(position)
        return Prompt(points=voxels, labels=labels, box=self._box_that_counts(found))

    def clear(self, position: SlicePosition) -> None:
        """Remove the points and boxes of one slice."""
        indices, _ = self._points_in(position)
        if self.points is not None and len(indices):
            self.points.selected_data = {int(i) for i in indices}
            self.points.remove_selected()
        boxes = self._boxes_in(position)
        if self.boxes is not None and boxes:
            self.boxes.selected_data = set(boxes)
            self.boxes.remove_selected()

    def put(self, position: SlicePosition, prompt: Prompt) -> None:
        """Make the points and the box of a prompt the only ones of its slice."""
        self.clear(position)
        self.ensure()
        if self.points is not None and len(prompt.points):
            before = self._sign
            for voxel, label in zip(prompt.points, prompt.labels, strict=True):
                self.set_sign("positive" if label else "negative")
                self.points.add(self._from_voxels(self.points, position, voxel[np.newaxis])[0])
            self.set_sign(before)
        if self.boxes is not None and prompt.box is not None:
            r0, c0, r1, c1 = prompt.box
            low_r, low_c, high_r, high_c = r0 - 0.5, c0 - 0.5, r1 + 0.5, c1 + 0.5
            corners = np.array([[low_r, low_c], [low_r, high_c], [high_r, high_c], [high_r, low_c]])
            self.boxes.add_rectangles(self._from_voxels(self.boxes, position, corners))

    # -- inside -------------------------------------------------------------------------------------------

    def _present(self, layer: Layer | None) -> bool:
        return layer is not None and layer in self._viewer.layers

    def _edited(self, event: Any) -> None:
        if event.action in _SETTLED:
            self._on_edit()

    def _box_selected(self, *_: Any) -> None:
        if self.boxes is not None and self.boxes.mode in ("select", "direct"):
            self._on_edit()

    def _points_in(self, position: SlicePosition) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        layer = self.points
        if layer is None or self._image is None or not len(layer.data):
            return np.zeros(0, np.int64), np.zeros((0, 2))
        voxels = _to_voxels(layer, self._image, np.asarray(layer.data, float))
        inside = _in_slice(voxels, position)
        return np.flatnonzero(inside), _rows_cols(voxels[inside], position.axis)

    def _boxes_in(self, position: SlicePosition) -> dict[int, Box]:
        layer, image = self.boxes, self._image
        if layer is None or image is None:
            return {}
        found: dict[int, Box] = {}
        for number, corners in enumerate(layer.data):
            voxels = _to_voxels(layer, image, np.asarray(corners, float))
            if _in_slice(voxels, position).all():
                found[number] = _box_of(_rows_cols(voxels, position.axis))
        return found

    def _box_that_counts(self, found: dict[int, Box]) -> Box | None:
        if not found:
            return None
        selected = [n for n in found if self.boxes is not None and n in self.boxes.selected_data]
        return found[max(selected or found)]

    def _from_voxels(
        self, layer: Layer, position: SlicePosition, rows_cols: NDArray[np.floating[Any]]
    ) -> NDArray[np.float64]:
        assert self._image is not None
        image = self._image
        spatial = np.insert(np.asarray(rows_cols, float), position.axis, position.index, axis=1)
        voxels = np.zeros((len(spatial), image.ndim))
        n = min(3, image.ndim)
        voxels[:, -n:] = spatial[:, -n:]
        if image.ndim == 4:
            voxels[:, 0] = position.time
        return np.array([layer.world_to_data(image.data_to_world(v)) for v in voxels])


def frame_of(image: Layer) -> dict[str, Any]:
    """Keyword arguments that put another layer into the coordinates of `image`."""
    return {
        "scale": image.scale,
        "translate": image.translate,
        "rotate": image.rotate,
        "shear": image.shear,
        "affine": np.asarray(image.affine),
        "units": image.units,
        "axis_labels": image.axis_labels,
    }


def _same_frame(a: Layer, b: Layer) -> bool:
    return (
        a.ndim == b.ndim
        and np.allclose(a.scale, b.scale)
        and np.allclose(a.translate, b.translate)
        and np.allclose(np.asarray(a.affine), np.asarray(b.affine))
        and tuple(a.data.shape) == tuple(b.data.shape)
    )


def _to_voxels(layer: Layer, image: Layer, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, layer.ndim) data coordinates to (N, 4) voxels (t, z, y, x) of the image."""
    out = np.zeros((len(coordinates), 4))
    for i, point in enumerate(coordinates):
        # world and back leaves noise in the last digits
        out[i, -image.ndim :] = np.round(image.world_to_data(layer.data_to_world(point)), 6)
    return out


def _in_slice(voxels: NDArray[np.float64], position: SlicePosition) -> NDArray[np.bool_]:
    whole = np.rint(voxels)
    return (whole[:, 1 + position.axis] == position.index) & (whole[:, 0] == position.time)


def _rows_cols(voxels: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.delete(voxels[:, 1:], axis, axis=1)


def _box_of(corners: NDArray[np.float64]) -> Box:
    """First and last voxel covered: edges run along voxel borders, half a voxel outside the first and last centre."""
    (r0, c0), (r1, c1) = corners.min(axis=0) + 0.5, corners.max(axis=0) - 0.5
    if r1 < r0:
        r0 = r1 = (r0 + r1) / 2
    if c1 < c0:
        c0 = c1 = (c0 + c1) / 2
    return (float(r0), float(c0), float(r1), float(c1))
