"""Read a 2D picture (PNG, TIFF) as a volume of one axial slice."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.core.volume import Volume
from napari_sam_med.io import checks, sniff


def read_picture(path: Path, as_labels: bool = False) -> Volume:
    """Read a greyscale picture as a volume of shape (1, rows, columns).

    Pictures carry no reliable voxel size: 1 mm is used and a warning says so. Colour pictures whose channels are equal
    are read as grey.

    Parameters
    ----------
    path : Path
        `.png`, `.tif` or `.tiff`.
    as_labels : bool
        Take a palette picture's indices as label values instead of its colours.

    Raises
    ------
    InputError
        If the file is no picture, is cut short, has several pages, or shows colours.
    """
    what = f"The file {path.name}"
    pixels = _grey(_pixels(path, as_labels, what), what)
    notes = [f"{what} has no voxel size in mm; 1 mm is used, so lengths and volumes are in pixels."]
    data = np.ascontiguousarray(pixels).T[:, :, None]
    notes += [n for n in (checks.not_finite_warning(data),) if n]
    return volume_from_source(
        data,
        checks.plane_affine(1.0, 1.0),
        what=what,
        name=sniff.stem_of(path),
        metadata={"format": "picture", "source_ndim": 2, "warnings": tuple(notes)},
    )


def _pixels(path: Path, as_labels: bool, what: str) -> NDArray[Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "TIFF")) as picture:
                pages = getattr(picture, "n_frames", 1)
                if pages > 1:
                    raise InputError(
                        f"{what} has {pages} pages; expected one 2D picture. Save a stack as NIfTI with its "
                        "voxel size."
                    )
                if picture.mode == "P" and not as_labels:
                    return np.asarray(picture.convert("RGB"))
                pixels = np.asarray(picture)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise InputError(f"{what} claims to be larger than any medical picture; crop it first.") from None
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise many types on damaged files
        raise InputError(
            f"{what} is not a picture that can be read, or is damaged; copy or save it again."
        ) from error
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels.astype(pixels.dtype.newbyteorder("="))


def _grey(pixels: NDArray[Any], what: str) -> NDArray[Any]:
    if pixels.ndim == 2:
        return pixels
    colours = pixels[..., : pixels.shape[-1] - (pixels.shape[-1] in (2, 4))]  # without alpha
    if colours.ndim == 3 and (colours == colours[..., :1]).all():
        return colours[..., 0]
    raise InputError(f"{what} is a colour picture; expected grey values. Save it as greyscale.")
