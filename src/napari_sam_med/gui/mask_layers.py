"""The preview of a candidate, and label slices written so that napari's undo works."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap
from numpy.typing import NDArray

from napari_sam_med.core.volume import Volume
from napari_sam_med.gui.layers import METADATA_KEY, SlicePosition, linear_part
from napari_sam_med.gui.prompt_layers import frame_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels

    from napari_sam_med.gui.objects import ObjectRow

PREVIEW_NAME = "Preview"
Colour = tuple[float, float, float, float]

# Ten colours that stay apart on grey images and for colour-blind eyes (after Okabe and Ito, brightened).
PALETTE: tuple[Colour, ...] = (
    (0.34, 0.71, 0.96, 1.0),
    (0.95, 0.62, 0.10, 1.0),
    (0.10, 0.75, 0.55, 1.0),
    (0.94, 0.89, 0.26, 1.0),
    (0.85, 0.45, 0.70, 1.0),
    (0.90, 0.37, 0.10, 1.0),
    (0.35, 0.45, 0.95, 1.0),
    (0.60, 0.85, 0.35, 1.0),
    (0.70, 0.55, 0.95, 1.0),
    (0.95, 0.60, 0.60, 1.0),
)


def palette_colour(label: int) -> Colour:
    """Colour of a label in layers made by this plugin."""
    return PALETTE[(label - 1) % len(PALETTE)]


@dataclass(frozen=True, eq=False)
class SliceChange:
    """Voxels that were written, so that they can be taken back.

    Attributes
    ----------
    indices : tuple of ndarray
        One array of indices an axis of the layer.
    before, after : ndarray
        Values at these indices.
    """

    indices: tuple[NDArray[np.int64], ...]
    before: NDArray[Any]
    after: NDArray[Any]

    @property
    def voxels(self) -> int:
        """How many voxels changed."""
        return len(self.before)

    def revert(self, layer: Labels) -> None:
        """Take the change back where the voxels still hold what was written; napari can undo that, too."""
        now = np.asarray(layer.data[self.indices])
        ours = now == self.after
        layer.data_setitem(tuple(i[ours] for i in self.indices), self.before[ours])


def read_slice(layer: Labels, position: SlicePosition) -> NDArray[Any]:
    """One slice of a label layer, shape (rows, cols)."""
    return np.asarray(layer.data[_key(layer, position)])


def write_slice(layer: Labels, position: SlicePosition, values: NDArray[Any]) -> SliceChange:
    """Write one slice of a label layer as one step of napari's undo; only voxels that differ are touched.

    Parameters
    ----------
    layer : Labels
        2D, 3D or 4D.
    position : SlicePosition
        Which slice.
    values : ndarray, shape (rows, cols), integer
        The slice as it shall be.
    """
    before = read_slice(layer, position)
    rows, cols = np.nonzero(before != values)
    indices: list[NDArray[np.int64]] = []
    in_plane = [rows, cols]
    for part in _key(layer, position):
        indices.append(in_plane.pop(0) if isinstance(part, slice) else np.full(len(rows), part, np.int64))
    change = SliceChange(tuple(indices), before[rows, cols].copy(), values[rows, cols].astype(before.dtype))
    if change.voxels:
        layer.data_setitem(change.indices, change.after)
    return change


def new_labels(viewer: napari.Viewer, image: Image, volume: Volume) -> Labels:
    """An empty label layer on the grid of an image; it knows the image's file grid, so it can be saved to it."""
    data = np.zeros(image.data.shape, np.uint8)
    labels = volume.with_data(
        data if data.ndim >= 3 else data[np.newaxis],
        name=f"{image.name} masks",
        modality="",
        label_names={},
        metadata={},
    )
    active = viewer.layers.selection.active
    layer = viewer.add_labels(
        data,
        name=labels.name,
        metadata={METADATA_KEY: labels},
        colormap=CyclicLabelColormap(colors=_cyclic_palette()),
        opacity=0.6,
        **frame_of(image),
    )
    move_below(viewer, layer, ("Points", "Shapes"), PREVIEW_NAME)
    viewer.layers.selection.active = active
    return layer


def move_below(viewer: napari.Viewer, layer: Labels, kinds: tuple[str, ...], name: str = "") -> None:
    """Move a layer below the first layer of these kinds, or of this name."""
    above = [i for i, x in enumerate(viewer.layers) if type(x).__name__ in kinds or x.name == name]
    place = viewer.layers.index(layer)
    if above and min(above) < place:
        viewer.layers.move(place, min(above))


class PreviewLayer:
    """The candidate on screen, in a layer of its own: nothing that is finished can be lost by looking."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._layer: Labels | None = None

    @property
    def layer(self) -> Labels | None:
        """The layer, if it is in the viewer."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    def show(self, image: Image, position: SlicePosition, mask: NDArray[np.bool_], colour: Colour) -> None:
        """Show a mask, shape (rows, cols), on one slice of an image."""
        data = mask.astype(np.uint8)
        if image.ndim > 2:
            data = np.expand_dims(data, position.axis)
        if image.ndim == 4:
            data = data[np.newaxis]
        place = {**frame_of(image), "translate": self._translate(image, position)}
        layer = self.layer
        if layer is not None and layer.ndim != image.ndim:
            self.remove()
            layer = None
        if layer is None:
            active = self._viewer.layers.selection.active
            self._layer = layer = self._viewer.add_labels(data, name=PREVIEW_NAME, opacity=0.65, **place)
            move_below(self._viewer, layer, ("Points", "Shapes"))
            if active is not None:
                self._viewer.layers.selection.active = active
        else:
            layer.data = data
            for name in ("scale", "rotate", "shear", "affine", "translate"):
                setattr(layer, name, place[name])
        self.paint(colour)
        layer.visible = True

    def prepare(self, image: Image) -> None:
        """Add the layer, hidden, before it is needed: making a layer takes longer than changing one."""
        if self.layer is None or self.layer.ndim != image.ndim:
            position = SlicePosition(0, 0)
            rows, cols = image.data.shape[-2:]
            self.show(image, position, np.zeros((rows, cols), bool), palette_colour(1))
            self.hide()

    def paint(self, colour: Colour) -> None:
        """Show the candidate in the colour of its object."""
        if self.layer is not None:
            clear = (0.0, 0.0, 0.0, 0.0)
            self.layer.colormap = DirectLabelColormap(color_dict={None: clear, 0: clear, 1: colour})

    def hide(self) -> None:
        """Show no candidate."""
        if self.layer is not None:
            self.layer.visible = False

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        layer, self._layer = self.layer, None
        if layer is not None:
            self._viewer.layers.remove(layer)

    @staticmethod
    def _translate(image: Image, position: SlicePosition) -> NDArray[np.float64]:
        """Where the one-slice layer starts; the layer's affine, if any, still comes after it."""
        step = np.zeros(image.ndim)
        if image.ndim >= 3:
            step[image.ndim - 3 + position.axis] = position.index
        if image.ndim == 4:
            step[0] = position.time
        outer = np.asarray(image.affine)[:-1, :-1]
        return np.asarray(image.translate, float) + np.linalg.solve(outer, linear_part(image) @ step)


class ObjectColours:
    """Colours of the objects of one label layer; hidden objects are drawn transparent."""

    def __init__(self, layer: Labels | None) -> None:
        self._layer = layer
        self._own = None if layer is None else layer.colormap

    def of(self, label: int) -> Colour:
        """Colour of an object, hidden or not."""
        if self._own is None:
            return palette_colour(label)
        red, green, blue, _ = (float(v) for v in np.asarray(self._own.map(label)).reshape(-1)[:4])
        return (red, green, blue, 1.0)

    def apply(self, rows: Iterable[ObjectRow]) -> None:
        """Hide what shall be hidden."""
        if self._layer is None or self._own is None:
            return
        hidden = [row.label for row in rows if not row.visible]
        if not hidden:
            if self._layer.colormap is not self._own:
                self._layer.colormap = self._own
            return
        colours: dict[int | None, Any] = {row.label: self.of(row.label) for row in rows}
        colours.update(dict.fromkeys(hidden, (0.0, 0.0, 0.0, 0.0)))
        colours[0] = (0.0, 0.0, 0.0, 0.0)
        colours[None] = (0.6, 0.6, 0.6, 1.0)
        self._layer.colormap = DirectLabelColormap(color_dict=colours)


def _cyclic_palette() -> NDArray[np.float32]:
    # a cyclic colormap draws label n in colour n modulo the number of colours, and the first one for the background
    return np.array([(0, 0, 0, 0), *PALETTE], np.float32)


def _key(layer: Labels, position: SlicePosition) -> tuple[int | slice, ...]:
    if layer.ndim == 2:
        return (slice(None), slice(None))
    key: list[int | slice] = [slice(None)] * 3
    key[position.axis] = position.index
    return (position.time, *key) if layer.ndim == 4 else tuple(key)
