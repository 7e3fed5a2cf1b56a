import math

import numpy as np
import pytest

from fixtures.fake_segmenter import FakeSegmenter
from fixtures.labelled_volumes import boxes_pair
from napari_sam_med.core.errors import InputError, ModelError
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.robustness import iter_pair_robustness
from napari_sam_med.evaluation.robustness_config import RobustnessConfig
from napari_sam_med.evaluation.robustness_rows import COLUMNS, lab_table, read_lab_table
from napari_sam_med.evaluation.runner import iter_pair_scores
from napari_sam_med.inference.everything import EverythingSettings
from napari_sam_med.inference.session import Session


def config(strategies=("S5",), labs=("jitter",), rules=("score",), **changes):
    own = {name: changes.pop(name) for name in list(changes) if name in RobustnessConfig.__dataclass_fields__}
    base = {"models": ("fake",), "window": "128/255", "labels": (1,), "max_slices": 1, **changes}
    return RobustnessConfig(EvaluationConfig(strategies=strategies, rules=rules, **base), labs, **own)


def lab(settings, model=None, pair=None, **options):
    session = Session(model or FakeSegmenter())
    image, labels = pair or boxes_pair()
    return list(iter_pair_robustness(image, labels, settings, lambda name: session, **options))


def test_one_row_for_every_mode_bin_seed_and_rule_beside_the_unmoved_one():
    rows = lab(config(("S2", "S3", "S5"), rules=("oracle", "score")))
    found = {(r.strategy, r.mode, r.step, r.seed, r.rule) for r in rows}
    moved = [(step, seed) for step in ("0-10 px", "10-20 px", "20-30 px") for seed in (0, 1, 2)]
    expected = {
        (strategy, mode, step, seed, rule)
        for strategy, modes in (("S2", ["first"]), ("S3", ["first", "all"]), ("S5", ["edges", "shift"]))
        for mode in modes
        for step, seed in [("none", None), *moved]
        for rule in ("oracle", "score")
    }
    assert found == expected
    assert len(rows) == len(expected) == config(("S2", "S3", "S5"), rules=("oracle", "score")).n_rows(1)
    assert {r.error for r in rows} == {""}


def test_dice_is_that_of_the_moved_prompt():
    truth = np.zeros((40, 50), bool)
    truth[5:15, 6:20] = True
    for row in lab(config(), keep_masks=True):
        # the fake believes in the mask that is the box
        rows, cols = np.mgrid[:40, :50]
        r0, c0, r1, c1 = row.prompt.box
        box = (rows > r0 - 0.5) & (rows < r1 + 0.5) & (cols > c0 - 0.5) & (cols < c1 + 0.5)
        assert np.array_equal(row.mask, box)
        assert row.dice == pytest.approx(2 * (box & truth).sum() / (box.sum() + truth.sum()))
        assert row.dice_plain == 1
        assert row.predicted_iou == pytest.approx(0.9)
        if row.step == "none":
            assert row.dice == 1
            assert math.isnan(row.moved_px)
        else:
            assert row.moved_px <= row.dose_high


def test_jitter_in_percent_goes_by_the_sides_of_the_object():
    rows = lab(config(bins=((10.0, 10.0),), bin_unit="%", box_modes=("edges",)))
    assert {r.step for r in rows} == {"none", "10-10 %"}
    for row in rows[1:]:
        # the object is 10 rows by 14 columns: edges move by one pixel and by 1.4
        steps = np.abs(np.array(row.prompt.box) - (5, 6, 14, 19))
        assert steps == pytest.approx([1, 1.4, 1, 1.4])
        assert row.moved_px == pytest.approx(1.2)


@pytest.mark.parametrize("variant", ["paper", "repo"])
def test_curves_begin_where_evaluate_ends(variant):
    settings = config(("S2", "S4", "S5"), ("jitter", "padding", "degradation"), labels=None, variant=variant)
    image, labels = boxes_pair()
    session = Session(FakeSegmenter())
    scores = {
        (row.label, row.strategy): row.metrics["dice"]
        for row in iter_pair_scores(image, labels, settings.evaluation, lambda name: session)
    }
    rows = lab(settings)
    assert {(r.label, r.strategy): r.dice for r in rows if r.step == "none"} == scores
    assert all(r.dice_plain == scores[r.label, r.strategy] for r in rows)


def test_the_slice_is_encoded_once_for_all_moved_and_padded_prompts():
    model = FakeSegmenter()
    rows = lab(config(("S2", "S3", "S4", "S5", "S6", "center"), ("jitter", "padding"), labels=None), model)
    assert len(model.encoded) == 1
    assert {r.label for r in rows} == {1, 4}


def test_degraded_slices_are_encoded_once_each_and_their_embeddings_not_kept():
    model = FakeSegmenter()
    session = Session(model)
    image, labels = boxes_pair(noise=5)
    kinds = (("blur", (1.0, 2.0)), ("noise", (10.0,)))
    settings = config(("S2", "S5"), ("degradation",), labels=None, degradations=kinds)
    rows = list(iter_pair_robustness(image, labels, settings, lambda name: session))
    assert len(model.encoded) == 1 + 3
    assert session.cache.info().memory_count == 1
    doses = {(r.mode, r.dose, r.step) for r in rows}
    assert doses == {
        ("blur", 0, "none"),
        ("blur", 1, "1 px"),
        ("blur", 2, "2 px"),
        ("noise", 0, "none"),
        ("noise", 10, "10 % of the window"),
    }
    # the fake does not look at the picture
    assert all(r.dice == r.dice_plain for r in rows)
    assert len(rows) == 5 * 2 * 2 == settings.n_rows(2)


def test_padding_runs_from_shrunk_to_grown_through_the_tight_box():
    rows = lab(config(("S2", "S5"), ("padding",), paddings=(-20.0, 0.0, 100.0)))
    assert [(r.strategy, r.dose, r.step) for r in rows] == [
        ("S5", 0, "none"),
        ("S5", -20, "-20 %"),
        ("S5", 100, "+100 %"),
    ]
    # the object is 10 x 14; at +100 % the box is cut by the slice at row 0, two rows above lie outside
    assert rows[0].dice == 1
    assert rows[1].dice == pytest.approx(2 * 8 * 12 / (8 * 12 + 140))
    assert rows[2].prompt.box == (0, 0, 19, 26)
    assert rows[2].dice == pytest.approx(2 * 140 / (20 * 27 + 140))


def test_all_models_get_the_same_prompts_and_every_seed_others():
    settings = config(models=("one", "two"))
    rows = lab(settings)
    boxes = {m: [r.prompt.box for r in rows if r.model == m] for m in ("one", "two")}
    assert boxes["one"] == boxes["two"]
    moved = [r.prompt.box for r in rows if r.model == "one" and r.seed is not None]
    assert len(set(moved)) == len(moved)
    assert moved != [r.prompt.box for r in lab(config(seed=1)) if r.seed is not None]
    alone = [r.prompt.box for r in lab(config(box_modes=("shift",)))]
    assert alone == [r.prompt.box for r in rows if r.model == "one" and r.mode == "shift"]


def test_baselines_take_part_where_there_is_a_box():
    settings = config(("S2", "S5"), ("jitter", "padding", "degradation"), models=("ellipse",))
    rows = lab(settings)
    assert {r.strategy for r in rows} == {"S5"}
    assert {r.error for r in rows} == {""}
    assert all(math.isnan(r.predicted_iou) for r in rows)


def test_strategies_of_several_prompts_can_only_be_degraded():
    quick = {"degradations": (("blur", (1.0,)),), "everything": EverythingSettings(points_per_side=8)}
    settings = config(("S1", "boxes", "clicks"), ("jitter", "padding", "degradation"), **quick)
    assert {s.lab for name in ("S1", "boxes", "clicks") for s in settings.steps(name)} == {"degradation"}
    assert {r.error for r in lab(settings)} == {""}


def test_failures_are_rows_and_the_work_goes_on():
    class Moody(FakeSegmenter):
        def decode(self, embedding, prompt):
            if len(self.prompts) == 3:
                self.prompts.append(prompt)
                raise ModelError("Not now.")
            return super().decode(embedding, prompt)

    settings = config(("S2", "S5"), ("jitter",), labels=None)
    rows = lab(settings, Moody())
    assert len(rows) == settings.n_rows(2)
    failed = [r for r in rows if r.error]
    assert {r.error for r in failed} == {"Not now."}
    assert {(r.label, r.strategy) for r in failed} == {(4, "S5")}
    assert {r.step for r in failed} == {"none", "0-10 px", "10-20 px", "20-30 px"}


def test_a_model_that_does_not_load_is_a_row_and_the_others_go_on():
    def sessions(name):
        if name == "folder/broken":
            raise ModelError("It is broken.")
        return Session(FakeSegmenter())

    image, labels = boxes_pair()
    first, *rest = iter_pair_robustness(image, labels, config(models=("folder/broken", "fake")), sessions)
    assert (first.model, first.error, first.lab) == ("broken", "It is broken.", "")
    assert len(rest) == config().n_rows(1)
    assert {(r.model, r.error) for r in rest} == {("fake", "")}


def test_what_cannot_be_tried_is_said():
    with pytest.raises(InputError, match="jitter takes"):
        config(("S2",), ("padding",))
    with pytest.raises(InputError, match="jitter, padding, degradation"):
        config(labs=("cooking",))
    with pytest.raises(InputError, match="0 or more to more"):
        config(bins=((10.0, 0.0),))
    with pytest.raises(InputError, match="-100"):
        config(paddings=(-100.0,))
    with pytest.raises(InputError, match="contrast"):
        config(degradations=(("contrast", (100.0,)),))
    with pytest.raises(InputError, match="no degradation"):
        config(degradations=(("rain", (1.0,)),))


def test_a_table_comes_back_from_its_file_as_it_was(tmp_path):
    table = lab_table(lab(config(("S2", "S5"), ("jitter", "padding"))))
    assert tuple(table.columns) == COLUMNS
    table.to_csv(tmp_path / "robustness.csv", index=False)
    again = read_lab_table(tmp_path / "robustness.csv")
    assert (again.dtypes == table.dtypes).all()
    assert again.astype(str).equals(table.astype(str))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="lacks case"):
        read_lab_table(tmp_path / "other.csv")
