"""Prompts as the command line and prompt files write them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.volume import AXES, Volume, axis_number

BOX_FORM = "AXIS:INDEX:R0,C0,R1,C1"
POINT_FORM = "AXIS:INDEX:R,C[:-]"
MAX_LABEL = 65535


@dataclass(frozen=True, eq=False)
class SlicePrompt:
    """What to segment on one slice, and under which label.

    Attributes
    ----------
    axis : int
        0 axial, 1 coronal, 2 sagittal.
    index : int
        Slice along `axis`.
    prompt : Prompt
        In (row, col) voxels of that slice.
    label : int
        Value of the object in the mask, 1 to 65535.
    """

    axis: int
    index: int
    prompt: Prompt
    label: int

    @property
    def where(self) -> str:
        """The slice in words ("axial 14")."""
        return f"{AXES[self.axis]} {self.index}"

    def check_inside(self, volume: Volume) -> None:
        """Refuse a slice or a prompt outside `volume`.

        Raises
        ------
        InputError
            Naming the slice.
        """
        shape = volume.slice(self.axis, self.index).shape
        try:
            self.prompt.check_inside((shape[0], shape[1]))
        except InputError as error:
            raise InputError(f"On slice {self.where}: {error}") from None

    def cut(self, volume: Volume) -> str:
        """A sentence about the part of the box outside `volume`, which is left out; "" where there is none."""
        shape = volume.slice(self.axis, self.index).shape
        kept = self.prompt.clipped((shape[0], shape[1]))
        if kept is self.prompt or self.prompt.box is None or kept.box is None:
            return ""
        given, used = (",".join(f"{v:g}" for v in box) for box in (self.prompt.box, kept.box))
        return (
            f"The box {given} on slice {self.where} reaches beyond its {shape[0]} × {shape[1]} voxels; "
            f"the part inside, {used}, is used."
        )


def parse_box(text: str) -> tuple[int, int, Prompt]:
    """Axis, index and prompt of ``AXIS:INDEX:R0,C0,R1,C1``.

    Raises
    ------
    InputError
        If the text has another form.
    """
    parts = text.split(":")
    if len(parts) != 3:
        raise InputError(f"{text!r} is no box; expected {BOX_FORM}, for example axial:14:60,40,88,75.")
    corners = _numbers(parts[2], 4, text, BOX_FORM)
    return axis_number(parts[0]), _index(parts[1], text), Prompt.from_box(tuple(corners))


def parse_point(text: str) -> tuple[int, int, Prompt]:
    """Axis, index and prompt of ``AXIS:INDEX:R,C``, with ``:-`` behind a point that is outside the object.

    Raises
    ------
    InputError
        If the text has another form.
    """
    parts = text.split(":")
    if len(parts) not in (3, 4) or (len(parts) == 4 and parts[3] not in ("+", "-")):
        raise InputError(f"{text!r} is no point; expected {POINT_FORM}, for example axial:14:70,52.")
    position = _numbers(parts[2], 2, text, POINT_FORM)
    label = 0 if len(parts) == 4 and parts[3] == "-" else 1
    return axis_number(parts[0]), _index(parts[1], text), Prompt.from_points([position], [label])


def collect(boxes: Sequence[str], points: Sequence[str], label: int) -> list[SlicePrompt]:
    """Objects to segment from command-line options.

    Every box is one object. The points of one slice belong together; on a slice with one box they refine that box.

    Raises
    ------
    InputError
        If a text cannot be read, a slice has points and several boxes, or all its points are negative.
    """
    box_prompts = [parse_box(text) for text in boxes]
    on_slice: dict[tuple[int, int], Prompt] = {}
    for axis, index, prompt in (parse_point(text) for text in points):
        before = on_slice.get((axis, index), Prompt())
        on_slice[axis, index] = before.with_points(prompt.points, prompt.labels)

    found = []
    for axis, index, prompt in box_prompts:
        refinement = on_slice.get((axis, index))
        if refinement is not None:
            if sum((a, i) == (axis, index) for a, i, _ in box_prompts) > 1:
                raise InputError(
                    f"Slice {AXES[axis]} {index} has several boxes and points, and it is not clear which belong "
                    "together; write them to a file for --prompts."
                )
            prompt = prompt.with_points(refinement.points, refinement.labels)
            del on_slice[axis, index]
        found.append(SlicePrompt(axis, index, prompt, label))
    found += [SlicePrompt(axis, index, prompt, label) for (axis, index), prompt in on_slice.items()]
    for item in found:
        _require_positive(item)
    return found


def read_prompts(path: Path, label: int) -> list[SlicePrompt]:
    """Objects to segment from a JSON file: ``{"prompts": [{...}, ...]}``.

    Every entry is one object on one slice: ``axis``, ``index``, and a ``box`` [r0, c0, r1, c1], ``points``
    [[row, col], ...] inside the object, ``negative`` [[row, col], ...] outside it, and a ``label``.

    Parameters
    ----------
    path : Path
        The file, UTF-8.
    label : int
        For entries without one.

    Raises
    ------
    InputError
        If the file cannot be read or an entry is wrong; the message names the entry.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"The prompt file {path} cannot be read: {error.strerror or error}.") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"The prompt file {path} is not valid JSON: {error}.") from None
    entries = content.get("prompts") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise InputError(f'The prompt file {path} needs a list called "prompts" with at least one entry.')
    found = []
    for number, entry in enumerate(entries, start=1):
        try:
            found.append(_entry(entry, label))
        except InputError as error:
            raise InputError(f"Entry {number} of the prompt file {path}: {error}") from None
    return found


def _entry(entry: Any, default_label: int) -> SlicePrompt:
    if not isinstance(entry, Mapping):
        raise InputError("expected an object with axis, index and box or points.")
    unknown = set(entry) - {"axis", "index", "box", "points", "negative", "label"}
    if unknown:
        raise InputError(
            f"unknown name {sorted(unknown)[0]!r}; expected axis, index, box, points, negative, label."
        )
    index, label = entry.get("index"), entry.get("label", default_label)
    if not isinstance(index, int) or isinstance(index, bool):
        raise InputError(f"index must be a slice number; found {index!r}.")
    if not isinstance(label, int) or isinstance(label, bool) or not 1 <= label <= MAX_LABEL:
        raise InputError(f"label must be a number from 1 to {MAX_LABEL}; found {label!r}.")
    positive, negative = _points(entry, "points"), _points(entry, "negative")
    prompt = Prompt(
        points=positive + negative,  # type: ignore[arg-type]
        labels=[1] * len(positive) + [0] * len(negative),  # type: ignore[arg-type]
        box=_box(entry.get("box")),
    )
    item = SlicePrompt(axis_number(entry.get("axis", "")), index, prompt, label)
    _require_positive(item)
    return item


def _box(value: Any) -> tuple[float, float, float, float] | None:
    if value is None:
        return None
    if not _is_numbers(value, 4):
        raise InputError(f"box must be four numbers [r0, c0, r1, c1]; found {value!r}.")
    r0, c0, r1, c1 = value
    return (r0, c0, r1, c1)


def _points(entry: Mapping[str, Any], name: str) -> list[list[float]]:
    value = entry.get(name, [])
    if not isinstance(value, list) or not all(_is_numbers(point, 2) for point in value):
        raise InputError(f"{name} must be a list of [row, col]; found {value!r}.")
    return value


def _is_numbers(value: Any, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    )


def _require_positive(item: SlicePrompt) -> None:
    if item.prompt.empty:
        raise InputError(f"Slice {item.where} has neither a box nor a point inside the object; add one.")


def _index(text: str, whole: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"In {whole!r}, {text!r} is no slice number.") from None


def _numbers(text: str, count: int, whole: str, form: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count:
        raise InputError(f"In {whole!r}, {text!r} is not {count} numbers; expected {form}.")
    return values
