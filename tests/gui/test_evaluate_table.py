"""The sortable table and what leaves it."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication

from napari_sam_med.core.errors import OutputError
from napari_sam_med.gui.widgets.table_export import write_csv
from napari_sam_med.gui.widgets.table_model import Column, FrameModel, cell_text
from napari_sam_med.gui.widgets.table_view import FrameTable

pytestmark = pytest.mark.gui

COLUMNS = [Column("dice", "Dice"), Column("name", "Object")]


@pytest.fixture
def frame():
    return pd.DataFrame({"name": ["b", "a", "c", "d"], "dice": [0.5, np.nan, 0.9, 0.1], "extra": range(4)})


def shown(model, column=0):
    return [model.data(model.index(r, column)) for r in range(model.rowCount())]


def test_sorting_keeps_empty_cells_last_both_ways(qtbot, frame):
    model = FrameModel()
    model.set_frame(frame, COLUMNS)
    model.sort(0, Qt.SortOrder.AscendingOrder)
    assert shown(model) == ["0.100", "0.500", "0.900", "–"]
    model.sort(0, Qt.SortOrder.DescendingOrder)
    assert shown(model) == ["0.900", "0.500", "0.100", "–"]
    assert [model.row_at(r) for r in range(4)] == [2, 0, 3, 1]
    assert model.shown_row(3) == 2
    model.sort(1, Qt.SortOrder.AscendingOrder)
    assert shown(model, 1) == ["a", "b", "c", "d"]


def test_sorting_survives_new_rows(qtbot, frame):
    model = FrameModel()
    model.set_frame(frame, COLUMNS)
    model.sort(0, Qt.SortOrder.AscendingOrder)
    more = pd.concat([frame, pd.DataFrame({"name": ["e"], "dice": [0.2], "extra": [9]})], ignore_index=True)
    model.set_frame(more, COLUMNS)
    assert shown(model) == ["0.100", "0.200", "0.500", "0.900", "–"]


def test_nullable_whole_numbers_sort_as_numbers(qtbot):
    model = FrameModel()
    model.set_frame(pd.DataFrame({"slice": pd.array([10, None, 9], dtype="Int64")}))
    model.sort(0, Qt.SortOrder.AscendingOrder)
    assert shown(model) == ["9", "10", "–"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (float("nan"), "–"), (None, "–"), (float("inf"), "∞"), (7, "7"), (pd.NA, "–")],
)
def test_cells_in_words(value, text):
    assert cell_text(value) == text


def test_the_chosen_row_is_told_by_its_place_in_the_frame(qtbot, frame):
    table = FrameTable()
    qtbot.addWidget(table)
    table.set_frame(frame, COLUMNS)
    table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    told = []
    table.row_chosen.connect(told.append)
    table.show()
    target = table.visualRect(table.model().index(0, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=target)
    assert told == [3]
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=target)
    assert told == [3, 3]
    table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
    assert table.current_row() == 3
    table.choose_row(0, tell=False)
    assert told == [3, 3]


def test_copy_gives_titles_and_full_precision(qtbot, frame):
    table = FrameTable()
    qtbot.addWidget(table)
    table.set_frame(frame.assign(dice=[1 / 3, 0.5, 0.25, 0.125]), COLUMNS)
    table.copy(everything=True)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0] == "Dice\tObject"
    assert float(lines[1].split("\t")[0]) == pytest.approx(1 / 3, abs=1e-15)
    table.choose_row(2)
    table.copy()
    assert QGuiApplication.clipboard().text().splitlines()[1:] == ["0.25\tc"]


def test_ten_thousand_rows_sort_without_a_pause(qtbot):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"dice": rng.random(10_000), "name": rng.integers(0, 50, 10_000).astype(str)})
    table = FrameTable()
    qtbot.addWidget(table)
    table.show()
    started = time.perf_counter()
    table.set_frame(frame, COLUMNS)
    table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
    table.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    assert time.perf_counter() - started < 2.0


def test_a_written_table_reads_back(tmp_path, frame):
    written = write_csv(frame, tmp_path / "scores")
    assert written.name == "scores.csv"
    pd.testing.assert_frame_equal(pd.read_csv(written), frame)
    assert [p.name for p in tmp_path.iterdir()] == ["scores.csv"]


def test_a_folder_that_is_missing_is_said_in_words(tmp_path, frame):
    with pytest.raises(OutputError, match=r"scores\.csv"):
        write_csv(frame, tmp_path / "missing" / "scores.csv")


WIDE = [Column("name", "Object", elastic=True), *(Column(f"m{k}", f"Metric {k}") for k in range(8))]


@pytest.fixture
def wide(qtbot):
    """A table of more columns than a narrow dock has room for."""
    table = FrameTable()
    qtbot.addWidget(table)
    frame = pd.DataFrame(
        {"name": ["an object with a very long name"] * 9, **{f"m{k}": 0.5 for k in range(8)}}
    )
    table.resize(300, 200)
    table.show()
    table.set_frame(frame, WIDE)
    return table


def widths(table):
    return [table.columnWidth(i) for i in range(len(WIDE)) if not table.isColumnHidden(i)]


def test_columns_without_room_are_hidden_from_the_last_on_and_named(wide, qtbot):
    assert 0 < len(wide.hidden) < 7
    assert list(wide.hidden) == [f"Metric {k}" for k in range(8 - len(wide.hidden), 8)]
    assert sum(widths(wide)) == wide.viewport().width()
    assert wide.horizontalScrollBar().maximum() == 0
    told = []
    wide.hidden_changed.connect(told.append)
    wide.resize(1500, 200)
    qtbot.waitUntil(lambda: wide.hidden == ())
    assert told[-1] == []
    assert len(widths(wide)) == len(WIDE)
    wide.resize(300, 200)
    qtbot.waitUntil(lambda: len(wide.hidden) > 0)
    assert sum(widths(wide)) == wide.viewport().width()


def test_a_name_gives_up_room_before_a_column_goes(wide, qtbot):
    whole = wide.fontMetrics().horizontalAdvance("an object with a very long name")
    assert wide.columnWidth(0) < whole
    wide.resize(1500, 200)
    qtbot.waitUntil(lambda: wide.columnWidth(0) > whole)


def test_a_copy_has_the_columns_that_are_hidden(wide):
    wide.copy(everything=True)
    assert "Metric 7" in QGuiApplication.clipboard().text()


def test_the_first_columns_stay_however_narrow_the_table(wide, qtbot):
    wide.resize(60, 200)
    qtbot.waitUntil(lambda: len(widths(wide)) == 3)
