"""Shows one failure in the viewer: the slice, outlines of truth and prediction, and the voxels that are wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_sam_med.gui.layers import go_to_slice

ERRORS_NAME = "Errors"
TRUTH_NAME = "Truth outline"
PREDICTION_NAME = "Prediction outline"
OVERLAY_NAMES = (ERRORS_NAME, TRUTH_NAME, PREDICTION_NAME)

MISSED, EXTRA = 1, 2
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


def legend_html(text_colour: str = "") -> str:
    """Colours of the overlay as a line of rich text for a label."""
    entries = (
        ("■", MISSED_COLOUR, "missed"),
        ("■", EXTRA_COLOUR, "extra"),
        ("▢", TRUTH_COLOUR, "truth"),
        ("▢", PREDICTION_COLOUR, "prediction"),
    )
    marks = [f"<span style='color:{colour}; font-size:large'>{mark}</span>&nbsp;{text}" for mark, colour, text in entries]
    return "&nbsp;&nbsp; ".join(marks)


class FailureView:
    """Layers of its own that show one object of one slice; the user's layers are hidden meanwhile, not changed.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets up to three Labels layers, made when first needed.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._hidden: list[Layer] = []
        self._filled: tuple[Any, ...] | None = None

    def show(
        self,
        reference: Layer,
        axis: int,
        index: int,
        truth: NDArray[np.bool_] | None,
        prediction: NDArray[np.bool_] | None,
        time: int = 0,
    ) -> None:
        """Go to a slice and show what is known about it.

        Parameters
        ----------
        reference : Layer
            Whose grid the masks lie on.
        axis, index, time : int
            The slice.
        truth, prediction : ndarray of bool, shape (rows, cols), optional
            The object in this slice; errors are shown where both are known.
        """
        errors = None if truth is None or prediction is None else error_map(prediction, truth)
        self._hide_others()
        self._fill(ERRORS_NAME, reference, axis, index, errors)
        self._fill(TRUTH_NAME, reference, axis, index, truth)
        self._fill(PREDICTION_NAME, reference, axis, index, prediction)
        self._filled = (axis, index)
        self.go(reference, axis, index, time)

    def go(self, reference: Layer, axis: int, index: int, time: int = 0) -> None:
        """Only go to the slice; the view is fitted when the plane changes."""
        before = tuple(self._viewer.dims.order)
        go_to_slice(self._viewer, reference, axis, index, time)
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

    @property
    def shown(self) -> bool:
        """Whether any layer of the overlay is in the viewer."""
        return any(name in self._viewer.layers for name in OVERLAY_NAMES)

    def _hide_others(self) -> None:
        for layer in self._viewer.layers:
            if isinstance(layer, Labels) and layer.name not in OVERLAY_NAMES and layer.visible:
                layer.visible = False
                self._hidden.append(layer)

    def _fill(
        self, name: str, reference: Layer, axis: int, index: int, values: NDArray[Any] | None
    ) -> None:
        layer = self._layer(name, reference, needed=values is not None)
        if layer is None:
            return
        if self._filled is not None:
            old_axis, old_index = self._filled
            if old_index < layer.data.shape[old_axis]:
                layer.data[_at(old_axis, old_index)] = 0
        if values is not None:
            layer.data[_at(axis, index)] = values
        layer.visible = values is not None
        layer.refresh()

    def _layer(self, name: str, reference: Layer, needed: bool) -> Labels | None:
        shape = tuple(reference.data.shape[-3:])
        placed = {"scale": tuple(reference.scale[-3:]), "translate": tuple(reference.translate[-3:])}
        layer = self._viewer.layers[name] if name in self._viewer.layers else None
        if layer is not None and (layer.data.shape != shape or not _same_place(layer, placed)):
            self._viewer.layers.remove(layer)
            layer = None
        if layer is not None or not needed:
            return layer
        active = self._viewer.layers.selection.active
        layer = Labels(
            np.zeros(shape, np.uint8),
            name=name,
            colormap=_colours(name),
            opacity=0.65 if name == ERRORS_NAME else 1.0,
            units=reference.units[-3:],
            axis_labels=reference.axis_labels[-3:],
            **placed,
        )
        layer.editable = False
        if name != ERRORS_NAME:
            layer.contour = 1
        self._viewer.add_layer(layer)
        if active is not None:
            self._viewer.layers.selection.active = active
        return layer


def _colours(name: str) -> DirectLabelColormap:
    transparent = np.zeros(4, np.float32)
    colours: dict[int | None, Any] = {None: transparent, 0: transparent}
    if name == ERRORS_NAME:
        colours |= {MISSED: MISSED_COLOUR, EXTRA: EXTRA_COLOUR}
    else:
        colours[1] = TRUTH_COLOUR if name == TRUTH_NAME else PREDICTION_COLOUR
    return DirectLabelColormap(color_dict=colours)


def _same_place(layer: Layer, placed: dict[str, tuple[float, ...]]) -> bool:
    return bool(np.allclose(layer.scale, placed["scale"]) and np.allclose(layer.translate, placed["translate"]))


def _at(axis: int, index: int) -> tuple[Any, ...]:
    return tuple(index if a == axis else slice(None) for a in range(3))
