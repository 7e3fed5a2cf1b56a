"""Strategies against a model whose answers are foreseeable."""

import math

import numpy as np
import pytest

from fixtures.fake_segmenter import FakeSegmenter
from fixtures.labelled_volumes import as_volume, boxes_pair
from fixtures.scored_pair import config, score
from napari_sam_med.core.errors import InputError
from napari_sam_med.core.result import Candidates
from napari_sam_med.evaluation.answers import clicks_to, correct
from napari_sam_med.evaluation.rows import ScoreRow
from napari_sam_med.evaluation.rules import RULES
from napari_sam_med.evaluation.table import RowWriter, read_table
from napari_sam_med.inference.everything import EverythingSettings


class Painter(FakeSegmenter):
    """Answers with discs around positive clicks, less discs around negative ones, and what was fed back."""

    def decode(self, embedding, prompt):
        self.prompts.append(prompt)
        before = prompt.mask_logits > 0 if prompt.mask_logits is not None else np.zeros(embedding.image_shape)
        masks = np.stack([self._mask(embedding.image_shape, prompt, grow) for grow in (0, -2)])
        masks = masks | (before.astype(bool) & ~self._negatives(embedding.image_shape, prompt))
        return Candidates(masks, np.array([0.5, 0.9], np.float32), np.where(masks, 5.0, -5.0))

    def _negatives(self, shape, prompt):
        rows, cols = np.mgrid[: shape[0], : shape[1]]
        near = [
            (rows - r) ** 2 + (cols - c) ** 2 <= self.radius**2 for r, c in prompt.points[prompt.labels == 0]
        ]
        return np.any(near, axis=0) if near else np.zeros(shape, bool)


def two_blocks():
    """One object of two parts, 10 x 12 and 6 x 6 pixels, in three slices."""
    labels = np.zeros((3, 40, 50), np.uint8)
    labels[:, 5:15, 6:18] = 1
    labels[:, 30:36, 35:41] = 1
    image = np.where(labels, 200, 50).astype(np.float32)
    image[0, 0, :2] = 1, 255
    return as_volume(image, name="image", modality="MR"), as_volume(labels, name="truth")


def test_rules():
    masks = np.zeros((3, 4, 4), bool)
    masks[0, :1], masks[1, :3], masks[2, :2] = True, True, True
    candidates = Candidates(masks, np.array([0.1, 0.2, 0.9], np.float32), np.zeros((3, 1, 1), np.float32))
    chosen = {name: RULES.get(name)(candidates, [0.9, 0.2, 0.1]) for name in RULES}
    assert chosen == {"oracle": 0, "score": 2, "largest": 1, "first": 0}


def test_all_candidates_are_kept_so_that_rules_can_be_applied_afterwards(tmp_path):
    settings = config(
        strategies=("S1", "S2", "S5", "boxes", "clicks"), rules=("oracle", "score", "first"), max_slices=2,
        everything=EverythingSettings(8, min_iou=0.1, min_stability=0.1),
    )  # fmt: skip
    with RowWriter(tmp_path / "scores.csv") as writer:
        for row in score(settings):
            writer.write(row)
    table = read_table(tmp_path / "scores.csv")
    assert (table[table["strategy"] == "boxes"]["candidate_dices"] == "").all()
    for row in table[table["strategy"] != "boxes"].itertuples():
        dices, ious = (
            [float(v) for v in text.split(";")] for text in (row.candidate_dices, row.candidate_ious)
        )
        assert len(dices) == len(ious) == row.n_candidates
        places = {"oracle": np.argmax(dices), "score": np.argmax(ious), "first": 0}
        assert dices[places[row.rule]] == pytest.approx(row.dice, abs=1e-4)
        assert ious[row.candidate] == pytest.approx(row.predicted_iou, abs=1e-4)


def test_a_box_for_each_part_unites_the_answers():
    rows = score(config(strategies=("S5", "boxes"), rules=("score",)), pair=two_blocks(), keep_masks=True)
    whole, parts = ({r.slice: r for r in rows if r.strategy == name}[1] for name in ("S5", "boxes"))
    assert whole.metrics["dice"] < 0.5
    assert parts.metrics["dice"] == 1
    assert [p.box for p in parts.prompts] == [(5, 6, 14, 17), (30, 35, 35, 40)]
    assert parts.prompt is parts.prompts[0]
    assert parts.candidate is None
    assert parts.n_candidates == 6
    assert parts.predicted_iou == pytest.approx(0.9)
    assert parts.mask.sum() == 120 + 36
    assert whole.prompts == (whole.prompt,)


def test_baselines_answer_boxes_of_parts():
    rows = score(config(models=("ellipse",), strategies=("S1", "boxes", "clicks")), pair=two_blocks())
    assert {r.strategy for r in rows} == {"boxes"}
    assert all(math.isnan(r.predicted_iou) for r in rows)
    assert all(r.metrics["dice"] > 0.85 for r in rows)


def test_everything_is_searched_once_a_slice_for_all_objects_and_rules():
    model = FakeSegmenter()
    settings = config(
        strategies=("S1", "S2"),
        rules=("oracle", "score", "largest", "first"),
        everything=EverythingSettings(10, min_iou=0.6, min_stability=0.0),
    )
    rows = [r for r in score(settings, model, pair=boxes_pair(noise=3)) if r.strategy == "S1"]
    assert len(model.encoded) == 7
    assert len(model.prompts) == 7 * 100 + 10
    assert all(r.error == "" and r.prompt is None and r.prompts == () for r in rows)
    for r in rows:
        assert r.n_candidates > 10
        assert 0 <= r.candidate < r.n_candidates
        assert r.predicted_iou == pytest.approx(0.9) or r.rule in ("oracle", "largest")
    best = {(r.slice, r.label): r.metrics["dice"] for r in rows if r.rule == "oracle"}
    for r in rows:
        assert r.metrics["dice"] <= best[r.slice, r.label] + 1e-12
    assert best[6, 4] > 0.6


def test_everything_that_finds_nothing_is_a_miss_and_no_error():
    settings = config(strategies=("S1",), everything=EverythingSettings(8, min_iou=0.99), labels=(4,))
    rows = score(settings)
    assert len(rows) == 6
    for r in rows:
        assert (r.error, r.candidate, r.n_candidates) == ("", None, 0)
        assert r.metrics["dice"] == 0
        assert r.metrics["hd_mm"] == math.inf
        assert math.isnan(r.predicted_iou)


def test_clicks_correct_the_largest_error_and_feed_the_answer_back():
    truth = np.zeros((40, 50), bool)
    truth[5:16, 6:17] = truth[28:37, 30:39] = True
    model = Painter(radius=5)
    embedding = model.encode(np.zeros((40, 50), np.uint8))
    found = correct(
        lambda prompt: model.decode(embedding, prompt), truth, first_click(truth), rule="oracle", n_clicks=4
    )
    points = [p.points.tolist() for p in model.prompts]
    assert points[0] == [[10, 11]]
    assert points[1] == [[10, 11], [32, 34]]  # the second block was missed as a whole
    assert all(points[k] == points[k + 1][: k + 1] for k in range(3))
    assert model.prompts[0].mask_logits is None
    assert all(p.mask_logits is not None for p in model.prompts[1:])
    assert len(found.click_dices) == 4
    assert found.click_dices[1] > found.click_dices[0] + 0.2
    assert found.click_dices[-1] == pytest.approx(
        2 * (found.mask & truth).sum() / (found.mask.sum() + truth.sum())
    )
    assert found.prompts[0].mask_logits is None
    assert found.prompts[0].points.tolist() == points[-1]
    believed = correct(
        lambda prompt: model.decode(embedding, prompt), truth, first_click(truth), rule="score", n_clicks=1
    )
    assert believed.candidate == 1
    assert believed.click_dices[0] < found.click_dices[0]


def first_click(truth):
    from napari_sam_med.prompts import STRATEGIES

    return STRATEGIES.get("clicks").make(truth, np.random.default_rng(0))


def test_a_perfect_answer_is_not_clicked_at():
    truth = np.zeros((20, 20), bool)
    truth[5:15, 5:15] = True
    asked = []

    def ask(prompt):
        asked.append(prompt)
        return Candidates(truth[None], np.ones(1, np.float32), np.zeros((1, 2, 2), np.float32))

    found = correct(ask, truth, first_click(truth), "score", 5)
    assert len(asked) == 1
    assert found.click_dices == (1, 1, 1, 1, 1)


def test_clicks_are_rows_like_others_with_their_curve(tmp_path):
    rows = score(config(strategies=("S2", "clicks"), n_clicks=3, target_dice=0.8), Painter(radius=5))
    clicked = [r for r in rows if r.strategy == "clicks"]
    assert len(clicked) == len(rows) / 2 == 20
    for r in clicked:
        assert r.error == ""
        assert len(r.click_dices) == 3
        assert r.metrics["dice"] == pytest.approx(r.click_dices[-1])
        assert min(r.click_dices) <= r.click_auc <= max(r.click_dices)
        assert (r.clicks_to_target is None) == (max(r.click_dices) < 0.8)
    assert any(r.clicks_to_target for r in clicked)
    with RowWriter(tmp_path / "scores.csv") as writer:
        for r in rows:
            writer.write(r)
    table = read_table(tmp_path / "scores.csv")
    back = table[table["strategy"] == "clicks"].reset_index()
    assert [[float(v) for v in text.split(";")] for text in back["click_dices"]] == [
        pytest.approx(r.click_dices, abs=1e-4) for r in clicked
    ]
    assert back["click_auc"].tolist() == pytest.approx([r.click_auc for r in clicked])
    needed = [math.nan if r.clicks_to_target is None else r.clicks_to_target for r in clicked]
    np.testing.assert_array_equal(back["clicks_to_target"].astype(float), needed)
    assert (table.loc[table["strategy"] == "S2", "click_dices"] == "").all()
    assert set(table["modality"]) == {"MR"}
    assert set(table["vessel_like"]) == {0}
    assert (table["n_candidates"] == 2).all()


def test_area_under_the_clicks_by_hand():
    assert ScoreRow("c", click_dices=(0.2, 0.6, 1.0)).click_auc == pytest.approx(0.6)
    assert ScoreRow("c", click_dices=(0.0, 1.0, 1.0)).click_auc == pytest.approx(0.75)
    assert ScoreRow("c", click_dices=(0.4,)).click_auc == 0.4
    assert math.isnan(ScoreRow("c").click_auc)
    assert clicks_to(0.9, (0.5, 0.9, 0.2)) == 2
    assert clicks_to(0.9, (0.5, 0.8)) is None


def test_the_released_sampler_can_be_asked_for():
    labels = np.zeros((3, 40, 50), np.uint8)
    rows, cols = np.ogrid[:40, :50]
    distance = (rows - 20) ** 2 + (cols - 25) ** 2
    labels[:, (distance <= 15**2) & (distance > 10**2)] = 1
    pair = (as_volume(labels * 100.0), as_volume(labels))
    points = {
        variant: score(config(strategies=("S2",), variant=variant), pair=pair)[0].prompt.points[0].tolist()
        for variant in ("paper", "repo")
    }
    assert points["repo"] == [20, 25]
    assert labels[0][tuple(int(v) for v in points["paper"])] == 1


def test_tolerance_reaches_the_metric():
    found = {
        tolerance: score(config(labels=(4,), rules=("first",), tolerance_mm=tolerance))[0].metrics["nsd"]
        for tolerance in (0.0, 3.0)
    }
    assert found[0.0] < found[3.0]


@pytest.mark.parametrize(
    "change",
    [
        {"variant": "mine"},
        {"n_clicks": 0},
        {"target_dice": 0.0},
        {"target_dice": 1.2},
        {"tolerance_mm": -1.0},
    ],
)
def test_unusable_choices_are_refused(change):
    with pytest.raises(InputError):
        config(**change)


def test_the_choices_are_written_down():
    told = config(everything=EverythingSettings(16), n_clicks=7, variant="repo").describe()
    assert told["everything"]["points_per_side"] == 16
    assert (told["n_clicks"], told["variant"], told["target_dice"], told["tolerance_mm"]) == (
        7,
        "repo",
        0.9,
        2.0,
    )
