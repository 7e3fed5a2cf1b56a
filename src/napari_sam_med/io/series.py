"""What DICOM series a folder holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from napari_sam_med.core.errors import InputError


@dataclass(frozen=True)
class SeriesInfo:
    """One DICOM image series, without anything about the patient.

    Attributes
    ----------
    uid : str
        SeriesInstanceUID; "" if the files have none.
    number : int or None
        Series number.
    description : str
        Series description.
    modality : str
        "CT", "MR", ...
    n_files : int
        Number of files.
    shape : tuple of int
        (images, rows, columns) as stored; a time axis is not told apart here.
    """

    uid: str
    number: int | None
    description: str
    modality: str
    n_files: int
    shape: tuple[int, int, int]

    def __str__(self) -> str:
        images, rows, columns = self.shape
        name = " ".join(t for t in (self.modality, self.description) if t)
        return f"series {self.number if self.number is not None else self.uid}: {name}, {images} × {rows} × {columns}"


def list_series(path: str | os.PathLike[str]) -> list[SeriesInfo]:
    """The image series in a folder (or of one file), ordered by series number.

    Raises
    ------
    InputError
        If the path does not exist or holds no DICOM image.
    """
    where = Path(path).expanduser()
    if not where.exists():
        raise InputError(f"There is no file or folder {where.name} at {where.parent}; check the path.")
    from napari_sam_med.io.dicom_scan import scan

    return [found.info for found in scan(where).series]
