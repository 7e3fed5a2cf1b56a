"""Many cases at once: an nnU-Net folder or a CSV manifest becomes a list of cases."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from napari_sam_med.core.errors import InputError
from napari_sam_med.evaluation.config import Case
from napari_sam_med.io.sniff import stem_of

_CHANNEL = re.compile(r"_(\d{4})$")
_MODALITIES = {
    "ct": "CT",
    "mr": "MR",
    "mri": "MR",
    "pet": "PT",
    "pt": "PT",
    "t1": "MR",
    "t2": "MR",
    "flair": "MR",
    "adc": "MR",
    "dwi": "MR",
}
_COLUMNS = ("case", "image", "labels")


def read_cohort(path: Path, channel: int = 0) -> tuple[Case, ...]:
    """Cases of a folder in nnU-Net's layout or of a CSV manifest. No image is opened.

    Parameters
    ----------
    path : Path
        A folder with ``imagesTr``, ``labelsTr`` and ``dataset.json`` (nnU-Net v1 and v2, Medical Segmentation
        Decathlon), or a CSV file with the columns case, image, labels and optionally modality; paths in it are relative
        to its folder.
    channel : int
        Which channel of a folder's images: 1 is ``<case>_0001.nii.gz``.

    Returns
    -------
    tuple of Case
        In the order of the manifest, or of the names. A case whose image or labels are missing is among them:
        reading it gives the error, so that it gets a row of its own.

    Raises
    ------
    InputError
        If the path is neither, or what it lists cannot be understood.
    """
    if path.is_dir():
        return _read_folder(path, channel)
    if path.suffix.lower() in {".csv", ".tsv", ".txt"} and path.is_file():
        return _read_manifest(path)
    if not path.exists():
        raise InputError(f"There is no dataset {path}; give an nnU-Net folder or a CSV file.")
    raise InputError(
        f"{path.name} is no dataset: expected a folder with imagesTr, labelsTr and dataset.json, or a CSV file "
        "with the columns case, image, labels."
    )


def _read_folder(folder: Path, channel: int) -> tuple[Case, ...]:
    images, labels = folder / "imagesTr", folder / "labelsTr"
    absent = [p.name for p in (images, labels, folder / "dataset.json") if not p.exists()]
    if absent:
        raise InputError(
            f"{folder.name} is no nnU-Net folder: it lacks {', '.join(absent)}. Expected imagesTr, labelsTr and "
            "dataset.json; other layouts go into a CSV file with the columns case, image, labels."
        )
    info = _read_json(folder / "dataset.json")
    ending = str(info.get("file_ending") or "")
    found_images = _by_case(images, ending, channel)
    found_labels = {stem_of(p): p for p in _files(labels, ending)}
    names = sorted(set(found_images) | set(found_labels))
    if not names:
        raise InputError(f"{folder.name} has no images in imagesTr and no labels in labelsTr.")
    modality, label_names = _modality(info, channel), _label_names(info)
    suffix = ending or ".nii.gz"
    return tuple(
        Case(
            name,
            found_images.get(name, images / f"{name}_{channel:04d}{suffix}"),
            found_labels.get(name, labels / f"{name}{suffix}"),
            modality,
            label_names=label_names,
        )
        for name in names
    )


def _by_case(folder: Path, ending: str, channel: int) -> dict[str, Path]:
    """Image of every case: of the channel asked for, or the only one where names carry no channel."""
    found: dict[str, Path] = {}
    for path in _files(folder, ending):
        stem = stem_of(path)
        marked = _CHANNEL.search(stem)
        if marked is None:
            found.setdefault(stem, path)
        elif int(marked[1]) == channel:
            found[stem[: marked.start()]] = path
    return found


def _files(folder: Path, ending: str) -> list[Path]:
    # macOS leaves "._name" twins in archives
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.name.endswith(ending))


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path.name} must hold a JSON object; found a {type(content).__name__}.")
    return content


def _modality(info: Mapping[str, Any], channel: int) -> str:
    """The DICOM word for a channel's name; "" where it says nothing, and the file decides."""
    channels = info.get("channel_names") or info.get("modality") or {}
    name = str(channels.get(str(channel), "")) if isinstance(channels, dict) else ""
    word = re.split(r"[^a-z0-9]+", name.strip().lower())[0]
    return _MODALITIES.get(word, "")


def _label_names(info: Mapping[str, Any]) -> tuple[tuple[int, str], ...]:
    """Names by value, from ``{"liver": 1}`` (v2) or ``{"1": "liver"}`` (v1); regions of several values have none."""
    labels = info.get("labels") or {}
    if not isinstance(labels, dict):
        return ()
    names: dict[int, str] = {}
    for key, value in labels.items():
        if isinstance(value, int):
            names[value] = str(key)
        elif str(key).isdigit() and isinstance(value, str):
            names[int(key)] = value
    return tuple(sorted((value, name) for value, name in names.items() if value > 0))


def _read_manifest(path: Path) -> tuple[Case, ...]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} cannot be read as a CSV file: {error}.") from error
    lines = text.splitlines()
    first = lines[0] if lines else ""
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(lines, delimiter=delimiter)
    header = [(name or "").strip().lower() for name in reader.fieldnames or []]
    absent = [name for name in _COLUMNS if name not in header]
    if absent:
        raise InputError(
            f"{path.name} lacks the column{'s' if len(absent) > 1 else ''} {', '.join(absent)}; expected "
            f"case, image, labels and optionally modality, found {', '.join(header) or 'nothing'}."
        )
    reader.fieldnames = header
    cases = [_case(path, reader.line_num, row) for row in reader if any(_cells(row))]
    if not cases:
        raise InputError(f"{path.name} lists no case.")
    _require_unique(path, cases)
    return tuple(cases)


def _case(path: Path, line: int, row: Mapping[str, Any]) -> Case:
    cells = {name: (row.get(name) or "").strip() for name in (*_COLUMNS, "modality")}
    empty = [name for name in _COLUMNS if not cells[name]]
    if empty:
        raise InputError(f"Line {line} of {path.name} has no {' and no '.join(empty)}; fill it in.")
    modality = cells["modality"]
    return Case(
        cells["case"],
        path.parent / Path(cells["image"]).expanduser(),
        path.parent / Path(cells["labels"]).expanduser(),
        _MODALITIES.get(modality.lower(), modality.upper()),
    )


def _cells(row: Mapping[str, Any]) -> Iterable[str]:
    return (value.strip() for value in row.values() if isinstance(value, str))


def _require_unique(path: Path, cases: Iterable[Case]) -> None:
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise InputError(
                f"{path.name} lists the case {case.id!r} twice; give every case a name of its own."
            )
        seen.add(case.id)
