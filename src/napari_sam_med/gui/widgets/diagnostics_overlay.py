"""Shows one failure in the viewer: the slice, outlines of truth and prediction, and the voxels that are wrong."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer, Shapes
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from skimage.measure import find_contours

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.gui.layers import go_to_slice
from napari_sam_med.gui.mask_layers import PREVIEW_NAME
from napari_sam_med.gui.state import bare
from napari_sam_med.gui.widgets.diagnostics_legend import (
    BOUNDARY_COLORMAP,
    ERROR_COLOURS,
    PREDICTION_COLOUR,
    PROMPT_COLOUR,
    TRUTH_COLOUR,
    region_features,
)
from napari_sam_med.metrics import ErrorRegion, boundary_error, error_regions

ERRORS_NAME = "Errors"
OUTLINES_NAME = "Outlines"
BOUNDARY_NAME = "Boundary error (mm)"
OVERLAY_NAMES = (ERRORS_NAME, OUTLINES_NAME, BOUNDARY_NAME)
PASSING_NAMES = (*OVERLAY_NAMES, PREVIEW_NAME)
"""Layers that panels draw for a moment: never to be evaluated."""

_MAX_OUTLINES = 200
_MARK_MM = 2.0
"""Half the size of the cross that stands for a point of the prompt."""


class FailureView:
    """Layers of its own that show one object of one slice; the user's labels are hidden meanwhile, not changed.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets a Labels layer of the errors and a Shapes layer of outlines and prompt, made when first needed, and on
        demand an Image layer of the boundary error.

    Attributes
    ----------
    regions : list of ErrorRegion
        What is wrong in the slice that is shown, largest first.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer_ref = weakref.ref(bare(viewer))
        self._hidden: list[Layer] = []
        self._filled: tuple[int, int] | None = None
        self._last: tuple[Any, ...] | None = None
        self._boundary = False
        self._boundary_range: tuple[float, float] | None = None
        self.regions: list[ErrorRegion] = []

    def show(
        self,
        reference: Layer,
        axis: int,
        index: int,
        truth: NDArray[np.bool_] | None,
        prediction: NDArray[np.bool_] | None,
        prompts: Sequence[Prompt] = (),
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
        prompts : sequence of Prompt
            What the model was asked, in voxels of the slice.
        """
        self._hide_others()
        self._last = (weakref.ref(reference), axis, index, truth, prediction)
        self._show_errors(reference, axis, index, truth, prediction)
        self._show_outlines(reference, axis, index, truth, prediction, prompts)
        self._show_boundary()
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
            if layer in self._viewer.layers:
                layer.visible = True
        self._hidden = []
        self._filled = None
        self._last = None
        self.regions = []

    @property
    def boundary(self) -> bool:
        """Whether the boundary error is shown, too."""
        return self._boundary

    @boundary.setter
    def boundary(self, wanted: bool) -> None:
        self._boundary = wanted
        self._show_boundary()

    @property
    def boundary_range(self) -> tuple[float, float] | None:
        """Least and largest signed boundary error in mm that is shown; None where there is none."""
        return self._boundary_range

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
            colours: dict[int | None, Any] = {None: np.zeros(4), 0: np.zeros(4)}
            colours |= ERROR_COLOURS.items()
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
        self.regions = []
        if truth is not None and prediction is not None:
            spacing = _in_plane(reference, axis)
            layer.data[_at(axis, index)], self.regions = error_regions(prediction, truth, spacing)
        layer.features = region_features(self.regions)  # napari's status bar and tooltip show them
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
        prompts: Sequence[Prompt],
    ) -> None:
        """Lines are drawn in square units of the finer in-plane spacing, so that they are equally thin both ways."""
        scale = np.array(reference.scale[-3:], float)
        in_plane = [a for a in range(3) if a != axis]
        unit = float(np.abs(scale[in_plane]).min())
        stretch = scale[in_plane] / unit
        lines = [(line, TRUTH_COLOUR) for line in ([] if truth is None else outlines(truth))]
        lines += [(line, PREDICTION_COLOUR) for line in ([] if prediction is None else outlines(prediction))]
        arm = np.maximum(_MARK_MM / np.abs(scale[in_plane]), 1.0)
        lines += [(line, PROMPT_COLOUR) for prompt in prompts for line in prompt_lines(prompt, arm)]
        paths, colours = [], []
        for line, colour in lines:
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

    def _show_boundary(self) -> None:
        """The boundary error as an image of the one slice, so that a large volume costs no memory."""
        old = self._layer(BOUNDARY_NAME)
        if old is not None:
            self._viewer.layers.remove(old)
        self._boundary_range = None
        if not self._boundary or self._last is None:
            return
        kept, axis, index, truth, prediction = self._last
        reference = kept()
        if reference is None or truth is None or prediction is None:
            return
        error = boundary_error(prediction, truth, _in_plane(reference, axis))
        known = error[np.isfinite(error)]
        most = 1.0
        if known.size:
            self._boundary_range = (float(known.min()), float(known.max()))
            most = max(most, float(np.abs(known).max()))
        scale, translate = np.array(reference.scale[-3:], float), np.array(reference.translate[-3:], float)
        translate[axis] += index * scale[axis]
        self._add(
            Image(
                np.expand_dims(error, axis),
                name=BOUNDARY_NAME,
                colormap=BOUNDARY_COLORMAP,
                contrast_limits=(-most, most),
                blending="translucent",
                scale=scale,
                translate=translate,
                units=reference.units[-3:],
                axis_labels=reference.axis_labels[-3:],
            )
        )

    def _layer(self, name: str) -> Any:
        return next((layer for layer in self._viewer.layers if layer.name == name), None)

    def _add(self, layer: Layer) -> None:
        """Add a layer of ours without taking the user's layer out of his hand."""
        active = self._viewer.layers.selection.active
        layer.editable = False
        self._viewer.add_layer(layer)
        if active is not None and active in self._viewer.layers:
            self._viewer.layers.selection.active = active


def prompt_lines(prompt: Prompt, arm: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """A prompt as lines in (row, col): the box around its voxels, + for positive points, × for negative ones.

    Parameters
    ----------
    prompt : Prompt
    arm : ndarray, shape (2,)
        Half the size of a cross, in voxels of each direction.
    """
    lines: list[NDArray[np.float64]] = []
    if prompt.box is not None:
        r0, c0, r1, c1 = np.asarray(prompt.box, float) + np.array([-0.5, -0.5, 0.5, 0.5])
        lines.append(np.array([(r0, c0), (r0, c1), (r1, c1), (r1, c0), (r0, c0)]))
    for point, sign in zip(np.asarray(prompt.points, float), prompt.labels, strict=True):
        ends = ((1, 0), (0, 1)) if sign > 0 else ((0.7, 0.7), (0.7, -0.7))
        lines += [np.array([point - end * arm, point + end * arm]) for end in np.array(ends)]
    return lines


def outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Closed outlines of a mask, holes too, in (row, col); the longest ones if there are very many."""
    padded = np.pad(mask, 1).astype(np.float32)
    found = [line - 1.0 for line in find_contours(padded, 0.5)]
    return sorted(found, key=len, reverse=True)[:_MAX_OUTLINES]


_views: weakref.WeakKeyDictionary[Any, FailureView] = weakref.WeakKeyDictionary()


def failure_view(viewer: Any) -> FailureView:
    """The one failure view of a viewer, shared by its panels."""
    return _views.setdefault(bare(viewer), FailureView(viewer))


def _in_plane(reference: Layer, axis: int) -> tuple[float, float]:
    """Voxel size of a slice in mm, (row, col)."""
    scale = np.abs(np.asarray(reference.scale[-3:], float))
    rows, cols = (float(scale[a]) for a in range(3) if a != axis)
    return rows, cols


def _at(axis: int, index: int) -> tuple[Any, ...]:
    return tuple(index if a == axis else slice(None) for a in range(3))
