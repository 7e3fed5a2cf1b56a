"""The files of a case as volumes."""

from __future__ import annotations

from dataclasses import replace

from napari_sam_med.core.volume import Volume
from napari_sam_med.evaluation.config import Case
from napari_sam_med.io import read_labels, read_volume


def read_case(case: Case, resample: bool = False) -> tuple[Volume, Volume]:
    """Image and truth of a case, with the modality and the label names that the case gives.

    Parameters
    ----------
    case : Case
    resample : bool
        Bring labels on another grid to the image's (nearest neighbour).

    Raises
    ------
    SamMedError
        If a file cannot be read or the grids differ.
    """
    image = read_volume(case.image)
    if case.modality:
        image = replace(image, modality=case.modality)
    labels = read_labels(case.labels, reference=image, resample=resample)
    if case.label_names and not case.unite_labels:
        labels = replace(labels, label_names={**labels.label_names, **dict(case.label_names)})
    return image, labels
