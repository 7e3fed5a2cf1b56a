"""The doors for reading: one for images, one for labels."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import require_same_grid, resample_labels, same_grid
from napari_sam_med.core.volume import Volume
from napari_sam_med.io import checks, sniff

# Labels stored with a scale factor come back as 2.9999; probabilities do not stay this close to whole numbers.
_WHOLE = 1e-3


def read_volume(path: str | os.PathLike[str], series: str | int | None = None) -> Volume:
    """Read an image volume.

    Parameters
    ----------
    path : path
        A NIfTI, NRRD, MetaImage, PNG or TIFF file, a DICOM file (its series is gathered from its folder), or a folder
        with a DICOM series.
    series : str or int, optional
        SeriesInstanceUID or series number, where a folder holds several series.

    Returns
    -------
    Volume
        (z, y, x), or (t, z, y, x) for 4D data, in canonical axes. Without a modality in the file, "CT" is guessed from
        Hounsfield-like values. Keys of ``metadata``: ``format``, ``source_ndim`` (2 for a file with one plane),
        ``warnings`` (sentences the user should see), and from DICOM ``window_hu`` (level, width) and ``photometric``.

    Raises
    ------
    InputError
        With one sentence: what is wrong, what was expected, what to do.
    """
    return _read(Path(path).expanduser(), series, as_labels=False)


def read_labels(
    path: str | os.PathLike[str], reference: Volume | None = None, resample: bool = False
) -> Volume:
    """Read a label volume.

    Parameters
    ----------
    path : path
        A file that :func:`read_volume` understands.
    reference : Volume, optional
        The image the labels must lie on. Labels stored in another orientation of the same grid are turned.
    resample : bool
        Bring labels of another grid to the reference by nearest neighbour instead of refusing them.

    Returns
    -------
    Volume
        Integer voxels with the label values of the file; on the reference's grid, source grid included, if given.

    Raises
    ------
    GridMismatchError
        If the labels lie on another grid than `reference` and `resample` is off.
    InputError
        If the file cannot be read or holds no labels (probabilities, NaN, a stack of one-hot masks).
    """
    where = Path(path).expanduser()
    volume = _read(where, None, as_labels=True)
    what = f"The label file {where.name}"
    n_times = reference.n_times if reference is not None else volume.n_times
    if volume.data.ndim == 4 and volume.n_times != n_times:
        raise InputError(
            f"{what} is 4D with {volume.n_times} volumes; expected one 3D volume of label values. "
            "Merge one-hot or per-segment masks into one label map first."
        )
    data = _whole_numbers(volume.data, what)
    labels = replace(volume, data=data, modality="")
    if reference is None:
        return labels
    if not same_grid(reference, labels):
        if resample and labels.data.ndim == 3:
            return resample_labels(labels, reference)
        require_same_grid(reference, labels)
    # the image's own grid, so that tiny differences in the label file's header do not reach a saved mask
    metadata = {**labels.metadata, "source_ndim": reference.metadata.get("source_ndim", 3)}
    return replace(
        labels,
        spacing_mm=reference.spacing_mm,
        affine=reference.affine,
        source=reference.source,
        metadata=metadata,
    )


def _read(path: Path, series: str | int | None, as_labels: bool) -> Volume:
    if not path.exists():
        raise InputError(f"There is no file or folder {path.name} at {path.parent}; check the path.")
    if path.is_dir():
        from napari_sam_med.io.dicom import read_dicom

        return read_dicom(path, series)
    if not path.is_file():
        raise InputError(f"{path.name} is neither a file nor a folder; choose an image file.")
    sniff.refuse_other_content(path)
    suffix = sniff.suffix_of(path)
    if suffix in sniff.NIFTI_SUFFIXES:
        from napari_sam_med.io.nifti import read_nifti

        return read_nifti(path)
    if suffix in sniff.NRRD_SUFFIXES:
        from napari_sam_med.io.nrrd import read_nrrd

        return read_nrrd(path)
    if suffix in sniff.META_SUFFIXES:
        from napari_sam_med.io.metaimage import read_metaimage

        return read_metaimage(path)
    if suffix in sniff.PICTURE_SUFFIXES:
        from napari_sam_med.io.png import read_picture

        return read_picture(path, as_labels)
    if suffix in sniff.DICOM_SUFFIXES or sniff.is_dicom(path):
        from napari_sam_med.io.dicom import read_dicom

        return read_dicom(path, series)
    raise InputError(
        f"{path.name} is no image that can be read; expected DICOM or one of: {', '.join(sniff.READ_SUFFIXES)}."
    )


def _whole_numbers(data: NDArray[Any], what: str) -> NDArray[Any]:
    """Label values as integers; floats only where every one is a whole number."""
    if data.dtype.kind in "iu":
        return data
    low, high = np.inf, -np.inf
    for part in checks.slabs(data):
        if not np.isfinite(part).all():
            raise InputError(
                f"{what} holds NaN or infinite values; expected whole numbers, one for each structure."
            )
        if np.abs(np.rint(part) - part).max(initial=0) > _WHOLE:
            low, high = float(part.min()), float(part.max())
            raise InputError(
                f"{what} holds values that are not whole numbers ({low:.3g} to {high:.3g}), like a probability map; "
                "expected whole numbers, one for each structure. Threshold it first, for example at 0.5."
            )
        low, high = min(low, float(part.min())), max(high, float(part.max()))
    dtype = checks.smallest_integer(int(low), int(high))
    if dtype is None or max(abs(low), abs(high)) > 2**53:
        raise InputError(f"{what} holds values too large for labels ({low:.3g} to {high:.3g}).")
    return np.rint(data).astype(dtype)
