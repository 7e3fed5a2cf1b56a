"""Rows answered again, from what their run wrote down."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fixtures.cohort_files import write_pair
from fixtures.fake_segmenter import FakeSegmenter
from fixtures.labelled_volumes import boxes_pair
from fixtures.scored_pair import config, score
from napari_sam_med.core.errors import InputError
from napari_sam_med.core.windowing import Window
from napari_sam_med.evaluation.again import RunNotes, answer_again, read_notes
from napari_sam_med.evaluation.atlas import load_failures
from napari_sam_med.evaluation.config import Case, EvaluationConfig
from napari_sam_med.evaluation.engine import Run
from napari_sam_med.evaluation.store import RunStore
from napari_sam_med.inference.session import Session
from napari_sam_med.prompts import STRATEGIES

WINDOW = Window(128, 256)


def again(row, notes, case=""):
    image, labels = boxes_pair()
    truth = labels.slice(row.axis, row.slice) == row.label
    return answer_again(image, truth, replace(row, case=case), notes, Session(FakeSegmenter()), WINDOW)


def test_every_strategy_and_rule_comes_to_the_same_mask_and_prompts():
    settings = config(
        strategies=STRATEGIES.names(),
        rules=("score", "oracle", "largest"),
        seed=7,
        variant="repo",
        n_clicks=3,
    )
    notes = RunNotes(settings.describe())
    rows = [row for row in score(replace(settings, max_slices=1), keep_masks=True) if not row.error]
    assert {row.strategy for row in rows} == set(STRATEGIES.names())
    for row in rows:
        found = again(row, notes)
        np.testing.assert_array_equal(found.mask, row.mask)
        assert len(found.prompts) == len(row.prompts)
    points = next(row for row in rows if row.strategy == "S4")
    other = again(points, RunNotes({**settings.describe(), "variant": "paper"}))
    assert not np.array_equal(other.prompts[0].points, points.prompts[0].points)


def test_an_object_that_is_not_there_is_said():
    row = score(config(max_slices=1))[0]
    image, labels = boxes_pair()
    nothing = np.zeros_like(labels.slice(row.axis, row.slice), bool)
    with pytest.raises(InputError, match="choose the layers"):
        answer_again(image, nothing, row, RunNotes(), Session(FakeSegmenter()), WINDOW)


@pytest.fixture
def folder(tmp_path):
    """What `evaluate` leaves of a case whose labels are united."""
    image, labels = tmp_path / "image.nii.gz", tmp_path / "labels.nii.gz"
    write_pair(image, labels)
    settings = EvaluationConfig(
        ("ellipse",), ("S6",), cases=(Case("a", image, labels, unite_labels=True),), rules=("score",), seed=3
    )
    out = tmp_path / "out"
    out.mkdir()
    with RunStore(out, settings) as store:
        list(Run(settings, store).steps())
    info = {"config": settings.describe(), "windows": {"a": "10/20"}}
    (out / "run.json").write_text(json.dumps(info))
    return out


def test_the_notes_of_a_folder_say_window_labels_seed_and_the_worst_masks(folder):
    notes = read_notes(folder)
    assert notes.window("a") == Window(10, 20)
    assert notes.window("b") is None
    assert notes.unites("a")
    assert not notes.unites("b")
    worst = load_failures(folder / "worst")[0]
    row = replace(score(config())[0], case="a", axis=worst.axis, slice=worst.slice, label=1)
    row = replace(row, model="ellipse", strategy="S6", rule="score")
    assert notes.config(row).seed == 3
    shape = (boxes_pair()[0].slice(worst.axis, worst.slice)).shape
    mask, prompts = notes.kept(row, shape)
    assert mask.shape == shape
    assert mask.sum() == worst.prediction.sum()
    rows, cols = np.nonzero(mask)
    box = prompts[0].box
    assert (rows.min(), cols.min()) >= (box[0], box[1])
    assert (rows.max(), cols.max()) <= (box[2], box[3])
    assert len(prompts[1].points) == 1
    assert notes.kept(row, (4, 4)) is None
    assert notes.kept(replace(row, slice=99), shape) is None


@pytest.mark.parametrize("text", ["", "{", '{"config": 3, "windows": {}}', "[]"])
def test_a_folder_without_notes_gives_empty_ones(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    notes = read_notes(tmp_path)
    assert notes.settings == {}
    assert notes.window("a") is None


def test_pictures_of_older_runs_do_not_tell_where_they_lie(folder):
    failure = load_failures(folder / "worst")[0]
    assert replace(failure, corner=None).in_slice((64, 64)) is None
