"""Click maps as tables and figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError, OutputError
from napari_sam_med.evaluation.click_map import ClickMap
from napari_sam_med.evaluation.figures import save_figure
from napari_sam_med.inference.slices import SliceImage
from napari_sam_med.plots import heat_map


def largest_slice(mask: NDArray[np.bool_], axis: int) -> int:
    """The slice that shows most of an object.

    Parameters
    ----------
    mask : ndarray, shape (z, y, x), bool
    axis : int

    Raises
    ------
    InputError
        If the object has no voxel.
    """
    counts = np.count_nonzero(mask, axis=tuple(a for a in range(3) if a != axis))
    if not counts.any():
        raise InputError("The object has no voxel; choose a label that the file has.")
    return int(counts.argmax())


def click_table(found: ClickMap) -> pd.DataFrame:
    """A row for each click: ``row``, ``col``, and Dice under each rule as ``dice_<rule>``."""
    places = found.points.astype(int)
    columns = {"row": places[:, 0], "col": places[:, 1]}
    return pd.DataFrame(columns | {f"dice_{rule}": values for rule, values in found.dices.items()})


def save_click_map(found: ClickMap, pixels: SliceImage, folder: Path, name: str, title: str) -> list[Path]:
    """Write a map as CSV, PNG and SVG.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    figure = Figure(figsize=(4.8 * len(found.maps), 4.4), layout="constrained")
    grid = figure.subplots(1, len(found.maps), squeeze=False)[0]
    for axes, (rule, values) in zip(grid, found.maps.items(), strict=True):
        mean = float(np.nanmean(found.dices[rule]))
        heat_map(
            axes,
            pixels.pixels,
            values,
            spacing_mm=pixels.spacing_mm,
            label="Dice of a click here",
            title=f"{rule} rule, mean {mean:.3f}",
        )
    figure.suptitle(title, fontsize="medium")
    written = save_figure(figure, folder, name)
    path = written[0].with_suffix(".csv")
    try:
        click_table(found).to_csv(path, index=False)
    except OSError as error:
        raise OutputError(f"{path.name} cannot be written: {error.strerror or error}.") from error
    return [path, *written]
