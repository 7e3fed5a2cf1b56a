"""The files of a case as volumes."""

from __future__ import annotations

from dataclasses import replace

from napari_sam_med.core.volume import Volume
from napari_sam_med.evaluation.config import Case
from napari_sam_med.io import read_labels, read_volume


def read_case(case: Case, resample: bool = False) -> tuple[Volume, Volume]:
    """Image and truth of a case, both 3D, with the modality and the label names that the case gives.

    Parameters
    ----------
    case : Case
    resample : bool
        Bring labels on another grid to the image's (nearest neighbour).

    Raises
    ------
    SamMedError
        If a file cannot be read, the grids differ, or there is no such time point.
    """
    image = read_volume(case.image, series=case.series)
    if case.modality:
        image = replace(image, modality=case.modality)
    labels = _frame(read_labels(case.labels, reference=image, resample=resample), case.time)
    image = _frame(image, case.time)
    if case.label_names and not case.unite_labels:
        labels = replace(labels, label_names={**labels.label_names, **dict(case.label_names)})
    return image, labels


def _frame(volume: Volume, time: int) -> Volume:
    """One time point of a 4D volume, so that the others need no memory; a 3D volume as it is."""
    return volume if volume.data.ndim == 3 else volume.with_data(volume.frame(time).copy(order="K"))
