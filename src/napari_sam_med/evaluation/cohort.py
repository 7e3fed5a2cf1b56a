"""Many cases at once: an nnU-Net folder or a CSV manifest becomes a list of cases."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from napari_sam_med.core.errors import InputError
from napari_sam_med.evaluation.config import Case
from napari_sam_med.io.sniff import READ_SUFFIXES, stem_of

_CHANNEL = re.compile(r"_(\d{4})$")
_MODALITIES = {
    **dict.fromkeys(("ct", "cta", "cbct"), "CT"),
    **dict.fromkeys(("pet", "pt"), "PT"),
    **dict.fromkeys(("mr", "mri", "mra", "flair", "adc", "dwi", "dce", "swi", "cine", "lge", "bssfp"), "MR"),
}
_MR_WEIGHTING = re.compile(r"t[12]\D*")  # T1, T1w, t1gd, T1ce, T2, ...
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
        Which channel of a folder's images: 1 is ``<case>_0001.nii.gz``, or in files whose names carry no channel the
        second volume of a 4D image.

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
        if channel:
            raise InputError(
                f"{path.name} names the images itself; a channel is chosen of an nnU-Net folder alone."
            )
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
    ending = str(info.get("file_ending") or "").lower()
    found_labels = {stem_of(p): p for p in _files(labels, ending)}
    found_images, unmarked = _by_case(_files(images, ending), set(found_labels), channel)
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
            # the Decathlon keeps channels as the fourth axis of one file
            time=channel if name in unmarked else 0,
        )
        for name in names
    )


def _by_case(paths: Iterable[Path], labels: set[str], channel: int) -> tuple[dict[str, Path], set[str]]:
    """Image of every case, of the channel asked for; and the cases whose only image carries no channel in its name.

    Names may end in four digits without meaning a channel (amos_0001): the name of the labels decides.
    """
    found: dict[str, Path] = {}
    unmarked: set[str] = set()
    for path in paths:
        stem = stem_of(path)
        marked = _CHANNEL.search(stem)
        if stem in labels or marked is None:
            if stem not in found:
                unmarked.add(stem)
                found[stem] = path
        elif int(marked[1]) == channel:
            found[stem[: marked.start()]] = path
            unmarked.discard(stem[: marked.start()])
    return found, unmarked


def _files(folder: Path, ending: str) -> list[Path]:
    """Images of a folder: with the ending that dataset.json gives, or any that can be read."""
    endings = ending or READ_SUFFIXES
    # macOS leaves "._name" twins in archives
    return sorted(
        p for p in folder.iterdir() if not p.name.startswith(".") and p.name.lower().endswith(endings)
    )


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
    return _dicom_word(word)


def _dicom_word(word: str) -> str:
    return "MR" if _MR_WEIGHTING.fullmatch(word) else _MODALITIES.get(word, "")


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
        raise InputError(f"{path.name} cannot be read as a CSV file in UTF-8: {error}.") from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    try:
        header = [(name or "").strip().lower() for name in reader.fieldnames or []]
        absent = [name for name in _COLUMNS if name not in header]
        if absent:
            raise InputError(
                f"{path.name} lacks the column{'s' if len(absent) > 1 else ''} {', '.join(absent)}; expected "
                f"case, image, labels and optionally modality, found {', '.join(header) or 'nothing'}."
            )
        reader.fieldnames = header
        cases = [_case(path, reader.line_num, row) for row in reader if any(_cells(row))]
    except csv.Error as error:
        raise InputError(f"Line {reader.line_num + 1} of {path.name} cannot be read: {error}.") from error
    if not cases:
        raise InputError(f"{path.name} lists no case.")
    _require_unique(path, cases)
    return tuple(cases)


def _case(path: Path, line: int, row: Mapping[str | None, Any]) -> Case:
    if any(row.get(None) or ()):
        raise InputError(
            f"Line {line} of {path.name} has more cells than there are columns; put quotes around a text that holds "
            "the delimiter."
        )
    cells = {name: (row.get(name) or "").strip() for name in (*_COLUMNS, "modality")}
    empty = [name for name in _COLUMNS if not cells[name]]
    if empty:
        raise InputError(f"Line {line} of {path.name} has no {' and no '.join(empty)}; fill it in.")
    modality = cells["modality"]
    return Case(
        cells["case"],
        _place(path.parent, cells["image"]),
        _place(path.parent, cells["labels"]),
        _dicom_word(modality.lower()) or modality.upper(),
    )


def _place(folder: Path, text: str) -> Path:
    return folder / (Path(text).expanduser() if text.startswith("~/") else text)


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
