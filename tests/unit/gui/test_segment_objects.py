"""How masks join objects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_sam_med.core.errors import InputError
from napari_sam_med.gui.objects import MERGE_MODES, ObjectRow, ObjectTable, merge_mask

LABELS = arrays(np.uint8, (6, 7), elements=st.integers(0, 3))
MASKS = arrays(bool, (6, 7))


@given(LABELS, MASKS, st.sampled_from(MERGE_MODES), st.booleans())
def test_locked_objects_never_lose_or_gain_a_voxel(labels, mask, mode, overwrite):
    out = merge_mask(labels, mask, ObjectRow(1, "a"), mode, frozenset({3}), overwrite)
    assert np.array_equal(out == 3, labels == 3)


@given(LABELS, MASKS, st.sampled_from(MERGE_MODES))
def test_other_objects_are_left_alone_unless_the_user_says_so(labels, mask, mode):
    out = merge_mask(labels, mask, ObjectRow(1, "a"), mode)
    others = labels > 1
    assert np.array_equal(out[others], labels[others])


@given(LABELS, MASKS)
def test_modes_do_what_they_say(labels, mask):
    row = ObjectRow(1, "a")
    own, free = labels == 1, labels <= 1
    assert np.array_equal(merge_mask(labels, mask, row, "add") == 1, own | (mask & free))
    assert np.array_equal(merge_mask(labels, mask, row, "replace") == 1, mask & free)
    assert np.array_equal(merge_mask(labels, mask, row, "subtract") == 1, own & ~mask)
    assert np.array_equal(merge_mask(labels, mask, row, "add", overwrite=True) == 1, own | mask)


@given(LABELS, MASKS)
def test_the_slice_itself_is_not_changed(labels, mask):
    before = labels.copy()
    merge_mask(labels, mask, ObjectRow(2, "b"), "replace", overwrite=True)
    assert np.array_equal(labels, before)


def test_a_locked_object_takes_no_mask():
    with pytest.raises(InputError, match="locked"):
        merge_mask(np.zeros((2, 2), np.uint8), np.ones((2, 2), bool), ObjectRow(1, "a", locked=True), "add")


def test_a_label_beyond_the_type_is_refused_rather_than_wrapped():
    with pytest.raises(InputError, match="300"):
        merge_mask(np.zeros((2, 2), np.uint8), np.ones((2, 2), bool), ObjectRow(300, "a"), "add")


def test_table_starts_with_the_names_of_the_file():
    table = ObjectTable({2: "spleen", 1: "liver", 0: "background"})
    assert [(r.label, r.name) for r in table.rows] == [(1, "liver"), (2, "spleen")]
    assert table.current.label == 1
    assert table.add("kidney").label == 3
    assert table.current.name == "kidney"


def test_table_tells_of_changes_once_and_keeps_a_name():
    table = ObjectTable()
    told = []
    table.changed.connect(lambda: told.append(1))
    table.edit(1, name="  ")
    assert table.current.name == "Object 1"
    assert told == []
    table.edit(1, locked=True)
    table.edit(1, locked=True)
    assert told == [1]
    assert table.locked == {1}


def test_labels_found_in_the_voxels_get_rows():
    table = ObjectTable({4: "liver"})
    table.found([0, 4, 7, -1])
    assert [r.label for r in table.rows] == [4, 7]
    table.select(7)
    assert table.current.label == 7
    table.select(99)
    assert table.current.label == 7
