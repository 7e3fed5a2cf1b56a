"""``napari-sam-med info``: what a file holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from napari_sam_med.cli import console

if TYPE_CHECKING:
    from napari_sam_med.core.volume import Volume

MOST_LABELS = 200
"""An integer volume with more values than this is an image, not labels."""

SERIES_HELP = "Series of a DICOM folder: its number or UID, as `info FOLDER` lists them."


def info(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Image, label file or DICOM folder.", show_default=False)
    ],
    series: Annotated[str | None, typer.Option("--series", metavar="SERIES", help=SERIES_HELP)] = None,
) -> None:
    """Print shape, spacing, orientation, value range and warnings of a volume."""
    from napari_sam_med.core.geometry import describe_grid
    from napari_sam_med.io import read_volume

    if series is None and file.is_dir() and _print_series(file):
        return
    volume = read_volume(file, series=series)
    rows = [("file", str(file)), ("name", volume.name), *describe_grid(volume).items()]
    if volume.n_times > 1:
        rows.append(("time points", f"{volume.n_times}, {volume.time_step:g} s apart"))
    rows += [
        ("shape in the file", str(volume.source.shape)),
        ("stored type", str(volume.source.dtype)),
        ("modality", volume.modality or "not stated"),
        ("range", _range(volume)),
        ("window", _windows(volume)),
    ]
    console.facts(rows)
    _print_labels(volume)
    for sentence in volume.metadata.get("warnings", ()):
        console.warn(sentence)


def _print_series(folder: Path) -> bool:
    """List the series of a folder if it holds several, and say whether it does."""
    from napari_sam_med.io import list_series

    found = list_series(folder)
    if len(found) < 2:
        return False
    console.table(
        ("number", "modality", "images", "rows", "columns", "description", "UID"),
        [
            (
                "-" if item.number is None else str(item.number),
                item.modality,
                *(str(n) for n in item.shape),
                item.description,
                item.uid,
            )
            for item in found
        ],
        right=("number", "images", "rows", "columns"),
    )
    console.say(f"\n{folder} holds {len(found)} series; choose one with --series, by number or UID.")
    return True


def _range(volume: Volume) -> str:
    data = volume.data
    finite = data[np.isfinite(data)] if data.dtype.kind == "f" else data
    if finite.size == 0:
        return "no finite voxel"
    text = f"{finite.min():g} to {finite.max():g}"
    return (
        text if finite.size == data.size else f"{text}; {data.size - finite.size} voxels are NaN or infinite"
    )


def _windows(volume: Volume) -> str:
    from napari_sam_med.core.windowing import default_window_name, dicom_window, resolve_window

    stored = dicom_window(volume)
    default = f"{default_window_name(volume)} ({resolve_window(None, volume)}) by default"
    return default if stored is None else f"{default}; the file's own is {stored}"


def _print_labels(volume: Volume) -> None:
    if volume.data.dtype.kind not in "iub" or volume.n_times > 1:
        return
    values, counts = np.unique(volume.data, return_counts=True)
    if len(values) > MOST_LABELS or values[0] < 0 or volume.modality:
        return
    console.say("")
    console.table(
        ("label", "name", "voxels", "ml"),
        [
            (str(value), volume.label_names.get(int(value), ""), str(count), f"{count * volume.voxel_ml:.3f}")
            for value, count in zip(values, counts, strict=True)
            if value != 0
        ],
        right=("label", "voxels", "ml"),
    )
