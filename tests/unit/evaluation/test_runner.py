import math

import numpy as np
import pytest

from fixtures.fake_segmenter import FakeSegmenter
from fixtures.labelled_volumes import as_volume, boxes_pair
from fixtures.scored_pair import config, score
from napari_sam_med.core.errors import Cancelled, GridMismatchError, InputError, ModelError
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.evaluation import cases as case_files
from napari_sam_med.evaluation import runner
from napari_sam_med.evaluation.config import Case
from napari_sam_med.evaluation.plan import plan_pair, spread
from napari_sam_med.factors import FACTORS
from napari_sam_med.inference.session import Session
from napari_sam_med.metrics import METRICS


def test_one_row_for_every_slice_label_strategy_and_rule():
    rows = score(config(strategies=("S2", "S5")))
    expected = {
        ("axial", index, label, strategy, rule)
        for label, slices in ((1, range(2, 9)), (4, range(5, 8)))
        for index in slices
        for strategy in ("S2", "S5")
        for rule in ("oracle", "score")
    }
    found = [(row.axis, row.slice, row.label, row.strategy, row.rule) for row in rows]
    assert len(found) == len(expected)
    assert set(found) == expected
    assert {row.error for row in rows} == {""}
    assert {row.label_name for row in rows} == {"box", "disc"}
    for row in rows:
        assert set(row.metrics) == set(METRICS)
        assert set(row.factors) == set(FACTORS)


def test_each_slice_is_encoded_once_for_all_labels_and_strategies():
    model = FakeSegmenter()
    score(config(strategies=("S2", "S3", "S4", "S5", "S6")), model, pair=boxes_pair(noise=5))
    assert len(model.encoded) == 7
    assert len(model.prompts) == (7 + 3) * 5


def test_rules_choose_the_fitting_and_the_believed_candidate():
    rows = {(r.rule, r.slice): r for r in score(config(labels=(1,)))}
    # the fake believes in candidate 1, which is the box itself
    believed = rows["score", 4]
    assert (believed.candidate, believed.metrics["dice"]) == (1, 1.0)
    assert believed.predicted_iou == pytest.approx(0.9)
    point = {r.rule: r for r in score(config(strategies=("S2",), labels=(1,))) if r.slice == 4}
    assert point["oracle"].candidate == 2  # the largest disc covers most of the box
    assert point["score"].candidate == 1
    assert point["oracle"].metrics["dice"] > point["score"].metrics["dice"]


def test_factors_and_metrics_are_of_the_object_in_its_slice():
    row = next(r for r in score(config(labels=(1,), rules=("score",))) if r.slice == 2)
    assert row.factors["size_px"] == 140
    assert row.factors["aspect_ratio"] == pytest.approx(10 / 14)
    assert row.factors["intensity_difference"] == pytest.approx(100, abs=1)
    assert row.factors["slice_position"] == 1
    assert row.metrics["hd95_mm"] == 0
    assert row.prompt.box == (5, 6, 14, 19)


def test_masks_are_kept_on_demand_only():
    rows = score(config(), keep_masks=True)
    assert all(row.mask.shape == (40, 50) for row in rows)
    assert all(row.mask is None for row in score(config()))


def test_min_pixels_decides_which_slices_count():
    assert {r.slice for r in score(config(labels=(1,), min_pixels=3))} == set(range(2, 10))
    assert {r.slice for r in score(config(labels=(1,), min_pixels=139))} == set(range(2, 9))
    with pytest.raises(InputError, match="pixels"):
        score(config(min_pixels=140))


def test_axes_by_name_and_default():
    assert {r.axis for r in score(config(axes=("coronal", "2")))} == {"coronal", "sagittal"}
    coronal = {r.slice for r in score(config(axes=("coronal",), labels=(1,)))}
    assert coronal == set(range(5, 15))


def test_equally_fine_axes_stand_in_for_one_without_large_objects():
    data = np.zeros((20, 20, 20), np.uint8)
    data[5:15, 4:14, 10] = 1  # a plate that only sagittal slices show in full
    affine = np.diag([-1.0, -1.0, -1.0, 1])
    labels = volume_from_source(data.transpose(2, 1, 0), affine)
    rows = score(config(), pair=(labels.with_data(data * 100.0), labels))
    assert {(r.axis, r.slice) for r in rows} == {("sagittal", 10)}
    with pytest.raises(InputError, match="axial"):
        score(config(axes=("axial",)), pair=(labels, labels))


def test_max_slices_spreads_over_the_eligible_ones():
    assert {r.slice for r in score(config(max_slices=3))} == {3, 5, 7}
    assert {r.slice for r in score(config(max_slices=99))} == set(range(2, 9))
    assert spread(10, 1) == [5]
    assert spread(4, None) == [0, 1, 2, 3]
    for available in range(1, 30):
        for wanted in range(1, available + 1):
            chosen = spread(available, wanted)
            assert len(set(chosen)) == wanted
            assert 0 <= min(chosen) <= max(chosen) < available


def test_plan_knows_the_number_of_rows_and_the_window():
    image, labels = boxes_pair()
    settings = config(strategies=("S2", "S5"), models=("fake", "ellipse"))
    plan = plan_pair(image, labels, settings)
    assert plan.n_rows == len(score(settings)) == (7 + 3) * 3 * 2
    assert str(plan.window) == "128/255"
    assert plan.extent(4, 0) == (5, 7)


def test_every_prompt_has_its_own_repeatable_chance():
    rows = score(config(strategies=("S2",)))
    first = {(r.slice, r.label): runner.prompt_rng(7, r).random() for r in rows}
    alone = score(config(strategies=("S2",), labels=(4,)))
    assert all(runner.prompt_rng(7, r).random() == first[r.slice, r.label] for r in alone)
    assert len(set(first.values())) == len(first)
    assert runner.prompt_rng(8, rows[0]).random() != runner.prompt_rng(7, rows[0]).random()


def test_baselines_answer_boxes_without_any_session():
    def no_session(name):
        raise AssertionError("a baseline needs no model")

    image, labels = boxes_pair()
    settings = config(models=("ellipse", "otsu"), strategies=("S2", "S5"))
    rows = list(runner.iter_pair_scores(image, labels, settings, no_session))
    assert {(r.model, r.strategy) for r in rows} == {("ellipse", "S5"), ("otsu", "S5")}
    assert all(math.isnan(r.predicted_iou) for r in rows)
    disc = {(r.model, r.rule): r for r in rows if r.label == 4 and r.slice == 6}
    assert disc["otsu", "oracle"].metrics["dice"] == 1  # dark on bright
    assert disc["ellipse", "score"].metrics["dice"] > 0.9
    with pytest.raises(InputError, match="box"):
        config(models=("ellipse",), strategies=("S2",))


def test_a_prompt_that_fails_gives_rows_with_its_error_and_the_run_goes_on():
    class Moody(FakeSegmenter):
        def decode(self, embedding, prompt):
            if prompt.box is None:
                raise ModelError("This model does not understand points.")
            return super().decode(embedding, prompt)

    rows = score(config(strategies=("S2", "S5")), Moody())
    failed = [r for r in rows if r.error]
    assert {r.strategy for r in failed} == {"S2"}
    assert {r.rule for r in failed} == {"oracle", "score"}
    assert {r.error for r in failed} == {"This model does not understand points."}
    assert len(rows) == 2 * len(failed)


def test_an_unexpected_failure_is_a_row_and_logged(caplog):
    class Broken(FakeSegmenter):
        def encode(self, image):
            raise ZeroDivisionError("oops")

    rows = score(config(max_slices=1, labels=(1,)), Broken())
    assert [r.error for r in rows] == ["Unexpected ZeroDivisionError: oops"] * 2
    assert "ZeroDivisionError" in caplog.text


def test_a_model_that_cannot_be_loaded_is_one_row():
    def session_for(name):
        if name == "/home/somebody/bad.pth":
            raise ModelError("bad.pth is no checkpoint.")
        return Session(FakeSegmenter())

    image, labels = boxes_pair()
    settings = config(models=("/home/somebody/bad.pth", "fake"))
    rows = list(runner.iter_pair_scores(image, labels, settings, session_for))
    assert [(r.model, r.error) for r in rows if r.error] == [("bad.pth", "bad.pth is no checkpoint.")]
    assert len([r for r in rows if r.model == "fake"]) == 20


def test_what_is_given_twice_is_scored_once():
    settings = config(
        models=("fake", "fake"), strategies=("S5", "S2", "S5"), rules=("score", "score"), axes=("axial", "0"),
        labels=(4, 4),
    )  # fmt: skip
    rows = score(settings)
    keys = [(r.axis, r.slice, r.label, r.model, r.strategy, r.rule) for r in rows]
    assert len(keys) == len(set(keys)) == 3 * 2
    assert plan_pair(*boxes_pair(), settings).n_rows == len(rows)


def test_models_that_tables_cannot_tell_apart_are_refused():
    with pytest.raises(InputError, match=r"best\.pth"):
        config(models=("a/best.pth", "b/best.pth"))


def test_the_folder_of_a_model_stays_out_of_its_error(tmp_path):
    file = tmp_path / "weights of somebody" / "bad.pth"

    def session_for(name):
        raise ModelError(f"{name} is no checkpoint.")

    image, labels = boxes_pair()
    (row,) = runner.iter_pair_scores(image, labels, config(models=(str(file),)), session_for)
    assert row.error == "bad.pth is no checkpoint."


def test_an_error_of_several_lines_is_one():
    found = runner.error_sentence(ModelError("The file is damaged:\r\n  byte 3\rand more."))
    assert found == "The file is damaged: byte 3 and more."


def test_cancelling_gets_through():
    class Stopped(FakeSegmenter):
        def encode(self, image):
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        score(config(), Stopped())


def test_labels_that_cannot_be_scored_are_refused():
    image, labels = boxes_pair()
    with pytest.raises(InputError, match="empty"):
        score(config(), pair=(image, labels.with_data(np.zeros(labels.shape, np.uint8))))
    with pytest.raises(InputError, match="9"):
        score(config(labels=(9,)))
    with pytest.raises(GridMismatchError):
        score(config(), pair=(image, as_volume(labels.data, shift_mm=(9, 0, 0))))
    with pytest.raises(InputError, match="whole numbers"):
        score(config(), pair=(image, labels.with_data(labels.data * 0.3)))


@pytest.fixture
def files(monkeypatch, tmp_path):
    """Volumes that are "read" by file name."""
    image, labels = boxes_pair()
    found = {"image": image, "labels": labels}

    def read_volume(path, series=None):
        if path.name not in found:
            raise InputError(f"There is no file {path}.")
        return found[path.name]

    monkeypatch.setattr(case_files, "read_volume", read_volume)
    monkeypatch.setattr(case_files, "read_labels", lambda path, reference, resample: read_volume(path))
    return tmp_path


def test_cases_run_one_after_another_and_a_broken_one_is_a_row(files):
    cases = (
        Case("first", files / "image", files / "labels"),
        Case("broken", files / "nothing.nii", files / "labels"),
        Case("united", files / "image", files / "labels", unite_labels=True),
    )
    plans, loads = [], []

    def session_for(name):
        loads.append(name)
        return Session(FakeSegmenter())

    rows = list(runner.iter_scores(config(cases=cases), session_for, plans.append))
    assert [p.case for p in plans] == ["first", "united"]
    assert sum(p.n_rows for p in plans) == len([r for r in rows if not r.error])
    assert loads == ["fake"]
    broken = [r for r in rows if r.case == "broken"]
    assert [r.error for r in broken] == ["There is no file nothing.nii."]
    assert str(files) not in broken[0].error
    assert {r.label for r in rows if r.case == "united"} == {1}
    # two objects in one slice are one target
    assert max(r.factors["size_px"] for r in rows if r.case == "united") == 140 + 113


def test_modality_of_a_case_decides_the_window(files):
    windows = {}
    for modality in ("", "CT"):
        cases = (Case("case", files / "image", files / "labels", modality=modality),)
        plans = []
        list(
            runner.iter_scores(
                config(cases=cases, window=None), lambda name: Session(FakeSegmenter()), plans.append
            )
        )
        windows[modality] = str(plans[0].window)
    assert windows["CT"] == "40/400"
    assert windows[""] != "40/400"


@pytest.mark.parametrize(
    "changes",
    [
        {"strategies": ("S99",)},
        {"rules": ("luck",)},
        {"axes": ("diagonal",)},
        {"models": ()},
        {"strategies": ()},
        {"max_slices": 0},
        {"min_pixels": -1},
    ],
)
def test_impossible_configurations_are_refused(changes):
    with pytest.raises(InputError):
        config(**changes)
