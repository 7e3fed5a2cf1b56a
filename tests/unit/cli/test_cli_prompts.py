import json

import numpy as np
import pytest

from napari_sam_med.cli.prompts import collect, parse_box, parse_point, read_prompts
from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import volume_from_source


def test_a_box():
    axis, index, prompt = parse_box("coronal:14:60,40,88.5,75")
    assert (axis, index) == (1, 14)
    assert prompt.box == (60, 40, 88.5, 75)
    assert len(prompt.points) == 0


@pytest.mark.parametrize(
    ("text", "label"), [("2:3:70,52", 1), ("sagittal:3:70,52:-", 0), ("Sagittal:3:70,52:+", 1)]
)
def test_a_point(text, label):
    axis, index, prompt = parse_point(text)
    assert (axis, index) == (2, 3)
    assert prompt.points.tolist() == [[70, 52]]
    assert prompt.labels.tolist() == [label]


@pytest.mark.parametrize(
    "text",
    [
        "axial:14:60,40,88",
        "axial:14:60,40,88,75,3",
        "axial:14",
        "axial:x:1,2,3,4",
        "axial:1.5:1,2,3,4",
        "z:14:1,2,3,4",
        "axial:14:a,2,3,4",
        "axial:14:1,2,3,nan",
        "",
    ],
)
def test_what_is_no_box_is_refused(text):
    with pytest.raises(InputError):
        parse_box(text)


@pytest.mark.parametrize(
    "text", ["axial:14:60", "axial:14:60,40,3", "axial:14:60,40:x", "axial:14:60,40:-:-"]
)
def test_what_is_no_point_is_refused(text):
    with pytest.raises(InputError):
        parse_point(text)


def test_every_box_is_an_object_and_points_of_a_slice_belong_together():
    items = collect(
        ["axial:3:0,0,5,5", "axial:3:6,6,9,9"],
        ["axial:4:1,2", "coronal:4:3,4", "axial:4:5,6:-"],
        label=7,
    )
    assert [(i.axis, i.index) for i in items] == [(0, 3), (0, 3), (0, 4), (1, 4)]
    assert {i.label for i in items} == {7}
    together = items[2].prompt
    assert together.points.tolist() == [[1, 2], [5, 6]]
    assert together.labels.tolist() == [1, 0]


def test_points_refine_the_only_box_of_their_slice():
    (item,) = collect(["axial:3:0,0,5,5"], ["axial:3:4,4:-"], label=1)
    assert item.prompt.box == (0, 0, 5, 5)
    assert item.prompt.labels.tolist() == [0]


def test_points_beside_several_boxes_are_ambiguous():
    with pytest.raises(InputError, match="axial 3"):
        collect(["axial:3:0,0,5,5", "axial:3:6,6,9,9"], ["axial:3:4,4"], label=1)


def test_negative_points_alone_ask_for_nothing():
    with pytest.raises(InputError, match="axial 3"):
        collect([], ["axial:3:4,4:-"], label=1)


def write(tmp_path, content):
    path = tmp_path / "prompts ü.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_a_prompt_file(tmp_path):
    path = write(
        tmp_path,
        {
            "prompts": [
                {"axis": "axial", "index": 2, "box": [1, 2, 3, 4], "label": 5},
                {"axis": 1, "index": 0, "points": [[1, 2.5]], "negative": [[3, 4], [5, 6]]},
            ]
        },
    )
    first, second = read_prompts(path, label=9)
    assert (first.axis, first.index, first.label, first.prompt.box) == (0, 2, 5, (1, 2, 3, 4))
    assert (second.axis, second.index, second.label) == (1, 0, 9)
    assert second.prompt.points.tolist() == [[1, 2.5], [3, 4], [5, 6]]
    assert second.prompt.labels.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    "entry",
    [
        "axial",
        {"axis": "axial", "index": 2},
        {"axis": "axial", "index": 2, "negative": [[1, 1]]},
        {"axis": "up", "index": 2, "box": [1, 2, 3, 4]},
        {"index": 2, "box": [1, 2, 3, 4]},
        {"axis": "axial", "index": 2.5, "box": [1, 2, 3, 4]},
        {"axis": "axial", "index": True, "box": [1, 2, 3, 4]},
        {"axis": "axial", "index": 2, "box": [1, 2, 3]},
        {"axis": "axial", "index": 2, "box": [1, 2, 3, "4"]},
        {"axis": "axial", "index": 2, "points": [1, 2]},
        {"axis": "axial", "index": 2, "points": [[1, 2]], "label": 0},
        {"axis": "axial", "index": 2, "points": [[1, 2]], "label": 70000},
        {"axis": "axial", "index": 2, "points": [[1, 2]], "labels": [1]},
    ],
)
def test_a_wrong_entry_is_named_by_its_number(tmp_path, entry):
    good = {"axis": "axial", "index": 2, "box": [1, 2, 3, 4]}
    with pytest.raises(InputError, match="Entry 2"):
        read_prompts(write(tmp_path, {"prompts": [good, entry]}), label=1)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"prompts": []}', '{"prompts": {}}', "3"])
def test_a_file_without_prompts_is_refused(tmp_path, content):
    with pytest.raises(InputError):
        read_prompts(write(tmp_path, content), label=1)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="gone"):
        read_prompts(tmp_path / "gone.json", label=1)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="binary"):
        read_prompts(tmp_path / "binary.json", label=1)


def test_prompts_are_checked_against_the_volume():
    volume = volume_from_source(np.zeros((8, 6, 4)), np.eye(4))  # (z, y, x) = (4, 6, 8)
    collect(["axial:3:0,0,5,7"], [], 1)[0].check_inside(volume)
    with pytest.raises(InputError, match="0 to 3"):
        collect(["axial:4:0,0,5,7"], [], 1)[0].check_inside(volume)
    with pytest.raises(InputError, match="coronal 2"):
        collect([], ["coronal:2:4.6,0"], 1)[0].check_inside(volume)
