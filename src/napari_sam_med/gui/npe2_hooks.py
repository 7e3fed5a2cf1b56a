"""What napari calls: the reader, the label writer and the sample data. All named in ``napari.yaml``."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_error, show_warning

from napari_sam_med.core.errors import InputError, SamMedError
from napari_sam_med.core.volume import Volume
from napari_sam_med.gui.layers import LayerTuple, image_tuple, labels_tuple, volume_of_layer

if TYPE_CHECKING:
    from napari_sam_med.io import SeriesInfo

logger = logging.getLogger(__name__)

NO_LAYER: list[Any] = [(None,)]
_LABEL_NAME = re.compile(
    r"(^|[^a-z])(labels?|seg|segmentations?|masks?|gt|truth|aseg)([^a-z]|$)", re.IGNORECASE
)
_MOST_LABELS = 512


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[Any]] | None:
    """A reader for medical volumes, or None for a path that is none.

    Parameters
    ----------
    path : str or sequence of str
        A file, a DICOM folder, or several of them.
    """
    from napari_sam_med.io import can_read

    paths = [path] if isinstance(path, (str, Path)) else list(path)
    if not paths or not all(can_read(p) for p in paths):
        return None
    return read_layers


def read_layers(path: str | Sequence[str]) -> list[Any]:
    """Layer data tuples of files and folders; what cannot be read is reported in one sentence and left out."""
    paths = [path] if isinstance(path, (str, Path)) else list(path)
    layers: list[Any] = []
    for one in paths:
        try:
            layers += [_tuple_of(volume, Path(one)) for volume in _volumes(Path(one))]
        except SamMedError as error:
            show_error(str(error))
        except MemoryError:
            show_error(
                f"There is not enough memory to open {Path(one).name}; close other programs or crop the image."
            )
    return layers or NO_LAYER


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save a Labels layer on the exact grid of the image it belongs to, read it back and compare.

    Parameters
    ----------
    path : str
        Ends with .nii.gz, .nii, .nrrd, .mha or .mhd.
    data : array
        The labels.
    meta : dict
        The layer's attributes; ``meta["metadata"]`` knows the source grid.

    Returns
    -------
    list of str
        The file that was written.

    Raises
    ------
    OutputError
        If the file cannot be written or differs when read back.
    """
    from napari.layers import Labels

    from napari_sam_med.io import save_labels

    known = ("name", "scale", "translate", "rotate", "shear", "affine", "units", "axis_labels", "metadata")
    layer = Labels(data, **{k: meta[k] for k in known if meta.get(k) is not None})
    return [str(save_labels(volume_of_layer(layer), path))]


# napari insists on layers from a sample and shows the text of an error, so the errors below are not caught


def sample_brain() -> list[LayerTuple]:
    """The ICBM152 T1 brain with its mask and its grey and white matter.

    Raises
    ------
    InputError
        If nilearn, whose wheel holds the files, is not installed.
    """
    from napari_sam_med.io.samples import brain_mask_sample, brain_sample

    image, tissues = brain_sample()
    brain = labels_tuple(brain_mask_sample())
    brain[1]["visible"] = False
    return [image_tuple(image), brain, _faint(labels_tuple(tissues))]


def sample_abdomen() -> list[LayerTuple]:
    """A synthetic abdominal CT with its organs."""
    from napari_sam_med.synth import abdomen_ct

    image, organs = abdomen_ct(seed=0)
    return [image_tuple(image), _faint(labels_tuple(organs))]


def sample_mr_head() -> list[LayerTuple]:
    """A public MR head, downloaded once.

    Raises
    ------
    InputError
        If there is no network.
    """
    return _public("mr-head")


def sample_ct_chest() -> list[LayerTuple]:
    """A public CT of a chest, downloaded once.

    Raises
    ------
    InputError
        If there is no network.
    """
    return _public("ct-chest")


def looks_like_labels(volume: Volume, file_name: str) -> bool:
    """Whether a file is a label map rather than an image: by its label names, or by its name and whole numbers."""
    if not np.issubdtype(volume.data.dtype, np.integer):
        return False
    if volume.label_names:
        return True
    if not _LABEL_NAME.search(file_name):
        return False
    flat = volume.data.reshape(-1)
    return len(np.unique(flat[:: max(1, flat.size // 1_000_000)])) <= _MOST_LABELS


def _volumes(path: Path) -> Iterator[Volume]:
    from napari_sam_med.io import read_volume

    if not path.is_dir():
        yield read_volume(path)
        return
    for series in _choose_series(path):
        yield read_volume(path, series=series.uid or series.number)


def _choose_series(folder: Path) -> list[SeriesInfo]:
    from napari_sam_med.io import list_series

    found = list_series(folder)
    if not found:
        raise InputError(
            f"The folder {folder.name} holds no DICOM image; choose a folder with a DICOM series."
        )
    if len(found) == 1:
        return found
    from napari_sam_med.gui.widgets.series_dialog import choose_series

    return choose_series(folder.name, found)


def _tuple_of(volume: Volume, path: Path) -> LayerTuple:
    warnings = volume.metadata.get("warnings", ())
    if warnings:
        show_warning(f"{volume.name}: {' '.join(warnings)}")
    if looks_like_labels(volume, path.name):
        return labels_tuple(volume)
    return image_tuple(volume)


def _public(name: str) -> list[LayerTuple]:
    from napari_sam_med.io.samples import public_sample

    return [image_tuple(public_sample(name))]


def _faint(layer: LayerTuple) -> LayerTuple:
    layer[1]["opacity"] = 0.35
    return layer
