"""Shows one failure in the viewer: the slice, outlines of truth and prediction, and the voxels that are wrong."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from napari.layers import Labels, Layer, Shapes
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from skimage.measure import find_contours

from napari_sam_med.gui.layers import go_to_slice
from napari_sam_med.gui.mask_layers import PREVIEW_NAME
from napari_sam_med.gui.state import bare

ERRORS_NAME = "Errors"
OUTLINES_NAME = "Outlines"
OVERLAY_NAMES = (ERRORS_NAME, OUTLINES_NAME)
PASSING_NAMES = (*OVERLAY_NAMES, PREVIEW_NAME)
"""Layers that panels draw for a moment: never to be evaluated."""

MISSED, EXTRA = 1, 2
_MAX_OUTLINES = 200
# Told apart by colour-blind eyes, on grey tissue and on black air (Okabe & Ito's orange, sky blue, yellow; a green).
MISSED_COLOUR = "#ff8c1a"
EXTRA_COLOUR = "#4db8ff"
TRUTH_COLOUR = "#3ddc84"
PREDICTION_COLOUR = "#fff04d"


def error_map(prediction: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Voxels of the truth that are missed (1), voxels outside it that are extra (2), all else 0; any shape."""
    errors = np.zeros(truth.shape, np.uint8)
    errors[truth & ~prediction] = MISSED
    errors[prediction & ~truth] = EXTRA
    return errors


def legend_html() -> str:
    """Colours of the overlay as a line of rich text, on a dark ground as in the image, for every theme."""
    entries = (
        ("■", MISSED_COLOUR, "missed"),
        ("■", EXTRA_COLOUR, "extra"),
        ("○", TRUTH_COLOUR, "truth"),
        ("○", PREDICTION_COLOUR, "prediction"),
    )
    marks = [
        f"<span style='color:{colour}; background-color:#2b2b2b'>&nbsp;{mark}&nbsp;</span>&nbsp;{text}"
        for mark, colour, text in entries
    ]
    return "&nbsp;&nbsp; ".join(marks)


class FailureView:
    """Two layers of its own that show one object of one slice; the user's labels are hidden meanwhile, not changed.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets a Labels layer of the errors and a Shapes layer of the outlines, made when first needed.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer_ref = weakref.ref(bare(viewer))
        self._hidden: list[Layer] = []
        self._filled: tuple[int, int] | None = None

    def show(
        self,
        reference: Layer,
        axis: int,
        index: int,
        truth: NDArray[np.bool_] | None,
        prediction: NDArray[np.bool_] | None,
    ) -> None:
        """Go to a slice and show what is known about it.

        Parameters
        ----------
        reference : Layer
            Whose grid the masks lie on.
        axis, index : int
            The slice.
        truth, prediction : ndarray of bool, shape (rows, cols), optional
            The object in this slice; errors are shown where both are known.
        """
        self._hide_others()
        self._show_errors(reference, axis, index, truth, prediction)
        self._show_outlines(reference, axis, index, truth, prediction)
        before = tuple(self._viewer.dims.order)
        go_to_slice(self._viewer, reference, axis, index)
        if tuple(self._viewer.dims.order) != before:
            self._viewer.reset_view()

    def clear(self) -> None:
        """Take the overlay away and show again what it hid."""
        for name in OVERLAY_NAMES:
            if name in self._viewer.layers:
                self._viewer.layers.remove(name)
        for layer in self._hidden:
            layer.visible = True
        self._hidden = []
        self._filled = None

    @property
    def _viewer(self) -> Any:
        return self._viewer_ref()

    def _hide_others(self) -> None:
        for layer in self._viewer.layers:
            if isinstance(layer, Labels) and layer.name not in PASSING_NAMES and layer.visible:
                layer.visible = False
                self._hidden.append(layer)

    def _show_errors(
        self,
        reference: Layer,
        axis: int,
        index: int,
        truth: NDArray[np.bool_] | None,
        prediction: NDArray[np.bool_] | None,
    ) -> None:
        shape = tuple(reference.data.shape[-3:])
        layer = self._layer(ERRORS_NAME)
        place = {"scale": reference.scale[-3:], "translate": reference.translate[-3:]}
        if layer is not None and not (
            layer.data.shape == shape and all(np.allclose(getattr(layer, k), v) for k, v in place.items())
        ):
            self._viewer.layers.remove(layer)
            layer = None
        if layer is None:
            colours = {None: np.zeros(4), 0: np.zeros(4), MISSED: MISSED_COLOUR, EXTRA: EXTRA_COLOUR}
            layer = Labels(
                np.zeros(shape, np.uint8),
                name=ERRORS_NAME,
                colormap=DirectLabelColormap(color_dict=colours),
                opacity=0.6,
                units=reference.units[-3:],
                axis_labels=reference.axis_labels[-3:],
                **place,
            )
            self._add(layer)
        elif self._filled is not None:
            layer.data[_at(*self._filled)] = 0
        if truth is not None and prediction is not None:
            layer.data[_at(axis, index)] = error_map(prediction, truth)
        self._filled = (axis, index)
        layer.visible = True
        layer.refresh()

    def _show_outlines(
        self,
        reference: Layer,
        axis: int,
        index: int,
        truth: NDArray[np.bool_] | None,
        prediction: NDArray[np.bool_] | None,
    ) -> None:
        """Lines are drawn in square units of the finer in-plane spacing, so that they are equally thin both ways."""
        scale = np.array(reference.scale[-3:], float)
        in_plane = [a for a in range(3) if a != axis]
        unit = float(np.abs(scale[in_plane]).min())
        stretch = scale[in_plane] / unit
        paths, colours = [], []
        for mask, colour in ((truth, TRUTH_COLOUR), (prediction, PREDICTION_COLOUR)):
            for line in [] if mask is None else outlines(mask):
                path = np.full((len(line), 3), float(index))
                path[:, in_plane] = line * stretch
                paths.append(path)
                colours.append(colour)
        layer = self._layer(OUTLINES_NAME)
        if layer is not None:
            self._viewer.layers.remove(layer)
        scale[in_plane] = unit
        layer = Shapes(
            ndim=3,
            name=OUTLINES_NAME,
            scale=scale,
            translate=reference.translate[-3:],
            units=reference.units[-3:],
            axis_labels=reference.axis_labels[-3:],
        )
        if paths:
            width = 0.4 * float(stretch.min())
            layer.add_paths(paths, edge_width=width, edge_color=colours)
        self._add(layer)

    def _layer(self, name: str) -> Any:
        return next((layer for layer in self._viewer.layers if layer.name == name), None)

    def _add(self, layer: Layer) -> None:
        """Add a layer of ours without taking the user's layer out of his hand."""
        active = self._viewer.layers.selection.active
        layer.editable = False
        self._viewer.add_layer(layer)
        if active is not None and active in self._viewer.layers:
            self._viewer.layers.selection.active = active


def outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Closed outlines of a mask, holes too, in (row, col); the longest ones if there are very many."""
    padded = np.pad(mask, 1).astype(np.float32)
    found = [line - 1.0 for line in find_contours(padded, 0.5)]
    return sorted(found, key=len, reverse=True)[:_MAX_OUTLINES]


_views: weakref.WeakKeyDictionary[Any, FailureView] = weakref.WeakKeyDictionary()


def failure_view(viewer: Any) -> FailureView:
    """The one failure view of a viewer, shared by its panels."""
    return _views.setdefault(bare(viewer), FailureView(viewer))


def _at(axis: int, index: int) -> tuple[Any, ...]:
    return tuple(index if a == axis else slice(None) for a in range(3))
