"""Volumes to napari layers and back. Everything here runs on the Qt main thread and uses napari's public API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import canonical_affine, canonical_axes, check_affine
from napari_sam_med.core.volume import AXIS_LABELS, SourceGrid, Volume, axis_number
from napari_sam_med.core.windowing import Window, resolve_window

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels, Layer

METADATA_KEY = "napari_sam_med"
LayerTuple = tuple[Any, dict[str, Any], str]

# World coordinates of our layers are (Inferior, Posterior, Left) mm; affines are RAS+.
_RAS_OF_IPL = np.array([[0.0, 0.0, -1.0], [0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]])


@dataclass(frozen=True)
class SlicePosition:
    """Which slice of a layer the viewer shows.

    Attributes
    ----------
    axis : int
        0 axial, 1 coronal, 2 sagittal.
    index : int
        Slice number along that axis.
    time : int
        Time point; 0 for 3D data.
    """

    axis: int
    index: int
    time: int = 0


def layer_geometry(volume: Volume) -> dict[str, Any]:
    """``scale``, ``translate``, ``units`` and ``axis_labels`` of a layer that shows `volume`."""
    scale, translate = volume.spacing_mm, volume.origin_ipl_mm
    units, labels = ("mm",) * 3, AXIS_LABELS
    if volume.data.ndim == 4:
        step = volume.time_step if np.isfinite(volume.time_step) and volume.time_step > 0 else 1.0
        return {
            "scale": (step, *scale),
            "translate": (0.0, *translate),
            "units": ("s", *units),
            "axis_labels": ("time", *labels),
        }
    return {"scale": scale, "translate": translate, "units": units, "axis_labels": labels}


def image_tuple(volume: Volume) -> LayerTuple:
    """Layer data tuple of an image volume: grey, in its default window, carrying the volume in its metadata."""
    window = resolve_window(None, volume)
    return (
        volume.data,
        {
            "name": volume.name,
            "colormap": "gray",
            "contrast_limits": window.limits,
            "metadata": {METADATA_KEY: volume},
            **layer_geometry(volume),
        },
        "image",
    )


def labels_tuple(volume: Volume) -> LayerTuple:
    """Layer data tuple of a label volume; the layer edits a copy, the volume keeps what was read.

    Raises
    ------
    InputError
        If the values are not whole numbers.
    """
    return (
        _integer_copy(volume),
        {"name": volume.name, "metadata": {METADATA_KEY: volume}, **layer_geometry(volume)},
        "labels",
    )


def add_volume(viewer: napari.Viewer, volume: Volume) -> Image:
    """Add an image volume to the viewer."""
    data, kwargs, _ = image_tuple(volume)
    return viewer.add_image(data, **kwargs)


def add_labels(viewer: napari.Viewer, volume: Volume) -> Labels:
    """Add a label volume to the viewer.

    Raises
    ------
    InputError
        If the values are not whole numbers.
    """
    data, kwargs, _ = labels_tuple(volume)
    return viewer.add_labels(data, **kwargs)


def volume_of_layer(layer: Layer) -> Volume:
    """The volume a layer shows, with the layer's present voxels (not copied; lazy arrays are read into memory).

    Layers of this plugin carry their volume. For layers made by napari-nifti the exact affine in their metadata is
    used; for all others axes are taken as displayed and spacing and position from the layer's transform.

    Parameters
    ----------
    layer : Image or Labels
        2D (one slice), 3D (z, y, x) or 4D (t, z, y, x).

    Raises
    ------
    InputError
        If the layer holds no single-channel 2D, 3D or 4D array, or its transform is singular.
    """
    data = _array_of(layer)
    stored = layer.metadata.get(METADATA_KEY)
    if isinstance(stored, Volume) and stored.shape == data.shape[-3:]:
        named = stored if stored.name == layer.name else stored.with_data(stored.data, name=layer.name)
        return named if data is stored.data else named.with_data(data)
    affine = layer.metadata.get("affine")
    nifti = (
        affine is not None and np.shape(affine) == (4, 4) and bool((np.asarray(layer.scale)[:3] < 0).all())
    )
    if nifti:
        return _volume_of_napari_nifti(layer, data, np.asarray(affine, float))
    return _volume_as_displayed(layer, data)


def grid_source(layer: Layer) -> str:
    """Where the geometry of a layer comes from, as a short text for a tooltip."""
    if isinstance(layer.metadata.get(METADATA_KEY), Volume):
        return "geometry from the file"
    return "geometry from the layer's scale and translate"


def slice_position(viewer: napari.Viewer, layer: Layer) -> SlicePosition | None:
    """The slice of `layer` on screen; None in 3D display, outside the layer, or across the time axis."""
    dims = viewer.dims
    if dims.ndisplay != 2:
        return None
    spatial = [dims.ndim - n for n in (3, 2, 1)]
    displayed = set(dims.displayed)
    hidden = [axis for axis, dim in enumerate(spatial) if dim not in displayed]
    if len(hidden) != 1 or (layer.ndim == 2 and hidden != [0]):
        return None
    voxel = np.rint(layer.world_to_data(np.asarray(dims.point, float))).astype(int)
    axis = hidden[0]
    if layer.ndim == 2:
        return SlicePosition(0, 0)
    index = int(voxel[layer.ndim - 3 + axis])
    time = int(voxel[0]) if layer.ndim == 4 else 0
    n_times = layer.data.shape[0] if layer.ndim == 4 else 1
    if not (0 <= index < layer.data.shape[layer.ndim - 3 + axis] and 0 <= time < n_times):
        return None
    return SlicePosition(axis, index, time)


def go_to_slice(viewer: napari.Viewer, layer: Layer, axis: str | int, index: int, time: int = 0) -> None:
    """Show one slice of `layer` in 2D display, rows and columns the way radiologists look at it.

    Raises
    ------
    InputError
        If the axis is unknown.
    """
    number = axis_number(axis)
    dims = viewer.dims
    if dims.ndisplay != 2:
        dims.ndisplay = 2
    first = dims.ndim - 3
    if first >= 0:
        rest = [first + a for a in range(3) if a != number]
        order = (*range(first), first + number, *rest)
        if tuple(dims.order) != order:
            dims.order = order
    if layer.ndim == 2:
        return
    voxel = np.array([(n - 1) / 2 for n in layer.data.shape[-layer.ndim :]], float)
    voxel[layer.ndim - 3 + number] = index
    if layer.ndim == 4:
        voxel[0] = time
    world = layer.data_to_world(voxel)
    dims.set_point(first + number, float(world[layer.ndim - 3 + number]))
    if layer.ndim == 4:
        dims.set_point(first - 1, float(world[0]))


def apply_window(layer: Image, window: Window) -> None:
    """Show `layer` in a window: its contrast limits, with a slider range that leaves room around them."""
    low, high = window.limits
    bottom, top = layer.contrast_limits_range
    if low < bottom or high > top:
        layer.contrast_limits_range = (min(low, bottom), max(high, top))
    layer.contrast_limits = (low, high)


def linear_part(layer: Layer) -> NDArray[np.float64]:
    """Matrix (n, n) from data steps to world steps of a layer, n = ``layer.ndim``."""
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)), float)
    columns = [np.asarray(layer.data_to_world(unit), float) - origin for unit in np.eye(layer.ndim)]
    return np.stack(columns, axis=1)


def _integer_copy(volume: Volume) -> NDArray[Any]:
    data = volume.data
    if np.issubdtype(data.dtype, np.bool_):
        return np.array(data, dtype=np.uint8, order="C")
    if np.issubdtype(data.dtype, np.integer):
        return np.array(data, dtype=data.dtype.newbyteorder("="), order="C")
    whole = np.rint(data)
    if not np.array_equal(whole, data):
        raise InputError(
            f"The labels {volume.name} have values that are not whole numbers ({data.dtype}); "
            "threshold them or choose a label file."
        )
    return np.array(whole, dtype=np.int32, order="C")


def _array_of(layer: Layer) -> Any:
    if getattr(layer, "multiscale", False):
        raise InputError(
            f"The layer {layer.name} is multiscale; add its full-resolution image as a layer of its own."
        )
    if getattr(layer, "rgb", False):
        raise InputError(
            f"The layer {layer.name} is a colour image; choose a layer with one grey value a voxel."
        )
    data = getattr(layer, "data", None)
    shape = getattr(data, "shape", ())
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise InputError(
            f"The layer {layer.name} has an array of shape {tuple(shape)}; expected 2D, (z, y, x) or (t, z, y, x)."
        )
    if not isinstance(
        data, np.ndarray
    ):  # dask, zarr: read once, the worker cannot wait for a disk at each slice
        data = np.asarray(data)
    return data[np.newaxis] if data.ndim == 2 else data


def _unit_mm(layer: Layer) -> NDArray[np.float64]:
    factors = []
    for unit in layer.units[-3:]:
        quantity = 1 * unit
        factors.append(float(quantity.to("mm").magnitude) if quantity.check("[length]") else 1.0)
    return np.array([1.0] * (3 - len(factors)) + factors)


def _volume_as_displayed(layer: Layer, data: NDArray[Any]) -> Volume:
    n = min(layer.ndim, 3)
    matrix = np.eye(3)
    matrix[-n:, -n:] = linear_part(layer)[-n:, -n:]
    origin = np.zeros(3)
    origin[-n:] = np.asarray(layer.data_to_world(np.zeros(layer.ndim)), float)[-n:]
    to_mm = _unit_mm(layer)
    affine = np.eye(4)
    affine[:3, :3] = _RAS_OF_IPL @ (to_mm[:, np.newaxis] * matrix)
    affine[:3, 3] = _RAS_OF_IPL @ (to_mm * origin)
    check_affine(affine, f"The layer {layer.name}")
    z, y, x = data.shape[-3:]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    step = float(layer.scale[0]) if layer.ndim == 4 else 1.0
    return Volume(
        data,
        (float(spacing[0]), float(spacing[1]), float(spacing[2])),
        affine,
        SourceGrid((z, y, x), affine, np.dtype(data.dtype)),
        name=layer.name,
        time_step=step,
    )


def _volume_of_napari_nifti(layer: Layer, data: NDArray[Any], affine: NDArray[np.float64]) -> Volume:
    """Arrays of napari-nifti grow to (Superior, Anterior, Right): our canonical order with all axes flipped."""
    if data.ndim != 3:
        raise InputError(
            f"The layer {layer.name} keeps time as its last axis; "
            "open the file with the reader of napari-sam-med to get a time slider."
        )
    check_affine(affine, f"The layer {layer.name}")
    permutation, flips = canonical_axes(affine)
    shape = [0, 0, 0]
    for axis, stored in enumerate(permutation):
        shape[stored] = data.shape[axis]
    source = SourceGrid(
        (shape[0], shape[1], shape[2]),
        affine,
        np.dtype(data.dtype),
        permutation,
        (not flips[0], not flips[1], not flips[2]),
    )
    turned = canonical_affine(source)
    spacing = np.linalg.norm(turned[:3, :3], axis=0)
    return Volume(
        data, (float(spacing[0]), float(spacing[1]), float(spacing[2])), turned, source, name=layer.name
    )
