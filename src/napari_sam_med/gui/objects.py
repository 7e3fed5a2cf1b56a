"""The objects of a segmentation, and how a new mask joins them. No Qt, no napari."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_sam_med.core.errors import InputError

MergeMode = Literal["add", "replace", "subtract"]
MERGE_MODES: tuple[MergeMode, ...] = ("add", "replace", "subtract")


@dataclass(frozen=True)
class ObjectRow:
    """One object.

    Attributes
    ----------
    label : int
        Its value in the Labels layer.
    name : str
        What the user calls it.
    locked : bool
        A finished object: no mask is written over it, nor added to it.
    visible : bool
        Whether it is drawn.
    """

    label: int
    name: str
    locked: bool = False
    visible: bool = True


class ObjectTable:
    """The objects of one Labels layer, in order of their label values.

    Attributes
    ----------
    changed : Signal()
        A row was added or edited, or another one became current.
    """

    changed = Signal()

    def __init__(self, names: Mapping[int, str] | None = None) -> None:
        self._rows: dict[int, ObjectRow] = {}
        for label, name in sorted((names or {}).items()):
            if label > 0:
                self._rows[label] = ObjectRow(label, name)
        if not self._rows:
            self._rows[1] = ObjectRow(1, "Object 1")
        self._current = next(iter(self._rows))

    @property
    def rows(self) -> tuple[ObjectRow, ...]:
        """All objects."""
        return tuple(self._rows[label] for label in sorted(self._rows))

    @property
    def current(self) -> ObjectRow:
        """The object that new masks belong to."""
        return self._rows[self._current]

    @property
    def locked(self) -> frozenset[int]:
        """Labels of finished objects."""
        return frozenset(r.label for r in self._rows.values() if r.locked)

    def add(self, name: str | None = None) -> ObjectRow:
        """A new object with the next free label; it becomes current."""
        label = max(self._rows) + 1
        row = ObjectRow(label, name or f"Object {label}")
        self._rows[label] = row
        self._current = label
        self.changed.emit()
        return row

    def found(self, labels: Iterable[int]) -> None:
        """Make rows for label values that are in the voxels but not in the table."""
        new = [int(v) for v in labels if int(v) > 0 and int(v) not in self._rows]
        for label in new:
            self._rows[label] = ObjectRow(label, f"Object {label}")
        if new:
            self.changed.emit()

    def select(self, label: int) -> None:
        """Make an object current."""
        if label in self._rows and label != self._current:
            self._current = label
            self.changed.emit()

    def edit(self, label: int, **changes: Any) -> ObjectRow:
        """Rename, lock or hide an object; an empty name is not taken."""
        if "name" in changes:
            changes["name"] = str(changes["name"]).strip() or self._rows[label].name
        row = replace(self._rows[label], **changes)
        if row != self._rows[label]:
            self._rows[label] = row
            self.changed.emit()
        return row


def merge_mask(
    labels: NDArray[Any],
    mask: NDArray[np.bool_],
    row: ObjectRow,
    mode: MergeMode,
    locked: frozenset[int] = frozenset(),
    overwrite: bool = False,
) -> NDArray[Any]:
    """The labels of a slice after a mask has joined an object.

    Parameters
    ----------
    labels : ndarray, shape (rows, cols), integer
        The slice as it is.
    mask : ndarray, shape (rows, cols), bool
        The accepted candidate.
    row : ObjectRow
        The object it belongs to.
    mode : str
        "add" to the object, "replace" the object in this slice, or "subtract" from it.
    locked : frozenset of int
        Labels of finished objects, never written over.
    overwrite : bool
        Whether voxels of other objects that are not locked may be taken.

    Returns
    -------
    ndarray
        A new array of the same shape and dtype.

    Raises
    ------
    InputError
        If the object itself is locked, or its label does not fit the dtype.
    """
    if row.locked:
        raise InputError(f"{row.name} is locked as finished; unlock it or choose another object.")
    if row.label > np.iinfo(labels.dtype).max:
        raise InputError(
            f"Label {row.label} does not fit the layer's type {labels.dtype}; make a new label layer for this object."
        )
    out = labels.copy()
    own = labels == row.label
    if mode == "subtract":
        out[mask & own] = 0
        return out
    if mode == "replace":
        out[own & ~mask] = 0
    free = (labels == 0) | own
    if overwrite:
        free |= ~np.isin(labels, list(locked)) if locked else True
    out[mask & free] = row.label
    return out
