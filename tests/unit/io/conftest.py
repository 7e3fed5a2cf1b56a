"""Small volumes and DICOM series, made on the spot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from fixtures.medical_files import AFFINES, SHAPE, Series, make_affine


@pytest.fixture(params=sorted(AFFINES))
def any_affine(request) -> np.ndarray:
    return AFFINES[request.param]


@pytest.fixture
def ramp() -> np.ndarray:
    """Voxels (i, j, k) that are all different."""
    return np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)


@pytest.fixture
def write_nifti(tmp_path) -> Callable[..., Path]:
    def write(data, affine=None, name="image.nii.gz", edit=None, kind=nibabel.Nifti1Image) -> Path:
        image = kind(data, make_affine() if affine is None else affine, dtype=data.dtype)
        image.header.set_xyzt_units("mm", "sec")
        if edit is not None:
            edit(image.header)
        path = tmp_path / name
        image.to_filename(path)
        return path

    return write


@pytest.fixture
def series(tmp_path) -> Iterator[Series]:
    # pydicom warns about float strings that need more than 16 characters
    with pydicom.config.disable_value_validation():
        yield Series(tmp_path / "series")


@pytest.fixture
def slices() -> np.ndarray:
    """(k, row, column) stored values."""
    return np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
