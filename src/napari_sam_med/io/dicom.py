"""Read a DICOM series: single-frame files of a folder, or multi-frame files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.core.volume import Volume
from napari_sam_med.io import checks
from napari_sam_med.io.dicom_grid import around, build_grid
from napari_sam_med.io.dicom_pixels import load_voxels
from napari_sam_med.io.dicom_scan import Scan, Series, quiet, scan

_NAMED = 5


def read_dicom(path: Path, series: str | int | None = None) -> Volume:
    """Read one image series.

    Parameters
    ----------
    path : Path
        A folder, or one file of the series (the others are gathered from its folder; a multi-frame file stands alone).
    series : str or int, optional
        SeriesInstanceUID or series number; needed where a folder holds several image series.

    Returns
    -------
    Volume
        (z, y, x), or (t, z, y, x) where several images share each position. CT voxels are HU: every slice is rescaled
        by its own slope and intercept. ``metadata`` has ``window_hu`` (level, width) and ``photometric`` if the file
        says so, and no patient identity.

    Raises
    ------
    InputError
        If there is no image, a choice between series is needed, or slices are missing, doubled, mixed or damaged (they
        are named).
    """
    found = scan(path)
    chosen = _choose(found, path, series)
    title = _title(chosen)
    what = f"The DICOM series {title!r}" if path.is_dir() else f"The DICOM series of {path.name}"
    _refuse_colours(chosen, what)
    with quiet():
        frames, notes = around(path, chosen.frames)
        grid = build_grid(frames, what)
        voxels = load_voxels(grid.frames, what)
    data = voxels.transpose(0, 3, 2, 1)  # (t, column, row, slice): DICOM's i, j, k
    data = data if len(grid.frames) > 1 else data[0]
    notes += grid.notes
    if found.skipped:
        more = len(found.skipped) - _NAMED
        names = ", ".join(found.skipped[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        notes.append(f"Skipped in the folder, because they are no DICOM images: {names}.")
    notes += [n for n in (checks.shear_warning(grid.affine), checks.not_finite_warning(data)) if n]
    metadata: dict[str, Any] = {"format": "DICOM", "source_ndim": grid.n_dims}
    if chosen.facts["window_hu"]:
        metadata["window_hu"] = chosen.facts["window_hu"]
    if chosen.facts["photometric"]:
        metadata["photometric"] = chosen.facts["photometric"]
    if chosen.facts["photometric"] == "MONOCHROME1":
        notes.append("This picture is meant to be shown inverted (MONOCHROME1: low values are white).")
    if notes:
        metadata["warnings"] = tuple(notes)
    return volume_from_source(
        data,
        grid.affine,
        what=what,
        name=title,
        modality=chosen.info.modality,
        metadata=metadata,
        time_step=chosen.facts["time_step"],
    )


def _title(series: Series) -> str:
    info = series.info
    if info.description:
        return info.description
    return f"{info.modality or 'DICOM'} series{'' if info.number is None else f' {info.number}'}"


def _choose(found: Scan, path: Path, wanted: str | int | None) -> Series:
    if wanted is None:
        if len(found.series) == 1:
            return found.series[0]
        raise InputError(
            f"The folder {path.name} holds {len(found.series)} image series; choose one by its number or UID: "
            f"{_listed(found.series)}."
        )
    matches = [s for s in found.series if str(wanted).strip() in (s.info.uid, str(s.info.number))]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise InputError(
            f"{len(matches)} series have the number {wanted}; choose one by its UID: {_listed(tuple(matches))}."
        )
    raise InputError(f"There is no series {wanted!r} in {path.name}; it has: {_listed(found.series)}.")


def _listed(series: tuple[Series, ...]) -> str:
    numbers = [s.info.number for s in series]
    texts = [
        f"{s.info}, UID {s.info.uid}" if numbers.count(s.info.number) > 1 else str(s.info)
        for s in series[: 2 * _NAMED]
    ]
    more = len(series) - len(texts)
    return "; ".join(texts) + (f"; and {more} more" if more > 0 else "")


def _refuse_colours(series: Series, what: str) -> None:
    facts = series.facts
    if facts["samples"] != 1 or facts["photometric"] not in ("", "MONOCHROME1", "MONOCHROME2"):
        raise InputError(
            f"{what} holds colours ({facts['photometric'] or facts['samples']}); expected grey values. "
            "Export it as greyscale."
        )
