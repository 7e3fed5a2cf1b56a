"""The judge learns from the network's own answers what a good one looks like."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_fill_holes, label

from napari_sam_med.core.windowing import CT_PRESETS
from napari_sam_med.finetune import judging
from napari_sam_med.finetune.data import sample_at
from napari_sam_med.finetune.judging import (
    PARTS,
    Verdicts,
    _loss,
    _Pools,
    _shares,
    calibrate,
    collect,
    train_judges,
)
from napari_sam_med.finetune.real import RealSlice
from napari_sam_med.models.builtin import BuiltinSegmenter
from napari_sam_med.models.builtin_facts import BOX_FACTS, N_FACTS
from napari_sam_med.models.builtin_net import BuiltinConfig, BuiltinNet

SMALL = BuiltinConfig(encoder=(8, 8, 8, 8, 8), features=8, decoder=(8, 8, 8, 8), grid=32)


def test_answers_are_graded_by_the_truth_and_the_same_seed_gives_the_same():
    torch.manual_seed(0)
    net = BuiltinNet(SMALL).eval().requires_grad_(False)
    runs = [[v for each in collect(net, 2, 3, 64) for v in each] for _ in range(2)]
    assert {(v.ranked, v.boxed) for v in runs[0]} == {(True, True), (True, False), (False, False)}
    for a, b in zip(*runs, strict=True):
        assert a.facts.shape == (len(a.iou), N_FACTS)
        assert ((a.iou >= 0) & (a.iou <= 1)).all()
        torch.testing.assert_close(a.facts, b.facts)
        torch.testing.assert_close(a.iou, b.iou)
    assert list(collect(net, 2, 3, 64, stop=lambda: True)) == []


def test_each_judge_learns_what_decides_for_its_prompts():
    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(300):
        facts = torch.from_numpy(rng.normal(size=(5, N_FACTS)).astype(np.float32))
        boxed = bool(rng.random() < 0.5)
        iou = torch.sigmoid(2 * facts[:, 7 if boxed else 46])
        verdicts.append(Verdicts(facts, iou, ranked=bool(rng.random() < 0.5), boxed=boxed))
    net = BuiltinNet(SMALL)
    assert 46 not in BOX_FACTS
    errors = train_judges(net, verdicts, 0)
    assert max(errors.values()) < 0.12
    for judge, boxed in ((net.box_judge, True), (net.judge, False)):
        own = [v for v in verdicts if v.boxed == boxed]
        assert sum(int(judge(v.facts).argmax() == v.iou.argmax()) for v in own) > 0.8 * len(own)
        assert not any(p.requires_grad for p in judge.parameters())


def test_the_judge_of_boxes_sees_how_masks_differ_from_the_first_and_from_their_mean():
    torch.manual_seed(0)
    net = BuiltinNet(SMALL).requires_grad_(False)
    facts = torch.randn(4, N_FACTS)
    other = facts.clone()
    other[0, BOX_FACTS[0]] += 3  # another first mask
    assert not torch.equal(net.box_judge(facts)[1:], net.box_judge(other)[1:])
    assert torch.equal(net.judge(facts)[1:], net.judge(other)[1:])
    seen = net.box_judge.seen(facts)
    own = facts[:, list(BOX_FACTS)]
    torch.testing.assert_close(seen, torch.cat([own, own - own[0], own - own.mean(0)], 1))


def test_a_mask_may_be_judged_by_what_it_has_more_of_than_the_others():
    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(300):
        facts = torch.from_numpy(rng.normal(size=(5, N_FACTS)).astype(np.float32) + 3 * rng.normal())
        iou = torch.sigmoid(2 * (facts[:, BOX_FACTS[3]] - facts[:, BOX_FACTS[3]].mean()))
        verdicts.append(Verdicts(facts, iou, ranked=True, boxed=True))
    assert train_judges(BuiltinNet(SMALL), verdicts, 0)["box"] < 0.08


def test_where_there_is_no_choice_only_the_predicted_iou_counts():
    torch.manual_seed(0)
    judge = BuiltinNet(SMALL).requires_grad_(False).judge
    facts, iou = torch.randn(4, N_FACTS), torch.rand(4)
    every_member = np.zeros((judge.members, 1), np.int64)
    ranked, corrected = (
        float(_loss(judge, _Pools.of(judge, [Verdicts(facts, iou, choice)]), every_member))
        for choice in (True, False)
    )
    said = judge.each(judge.seen(facts).expand(judge.members, -1, -1))
    assert corrected == pytest.approx(float(F.smooth_l1_loss(said, iou.expand_as(said), beta=0.1)))
    assert ranked > corrected + 0.01


def test_each_member_of_the_judge_is_kept_from_other_cases():
    cases = ["brain", "cord_a", "cord_b", "liver", "lung", ""]
    verdicts = [
        Verdicts(torch.zeros(1, N_FACTS), torch.zeros(1), True, source=cases[k % 6]) for k in range(60)
    ]
    seen = [{verdicts[i].source for i in share} for share in _shares(verdicts, np.arange(60), 2)]
    assert seen == [{"cord_b", "liver", "lung", ""}, {"brain", "cord_a", ""}]
    more = _shares(verdicts, np.arange(60), 2 * PARTS)
    assert all(np.array_equal(a, b) for a, b in zip(more[:PARTS], more[PARTS:], strict=True))
    few = [each for each in verdicts if each.source != "lung"]  # too few cases: parts of the prompts instead
    shares = _shares(few, np.arange(50), 7)
    assert {len(set(share)) for share in shares} <= {42, 43}
    assert len({tuple(share) for share in shares}) == 7
    assert all(len(share) == 3 for share in _shares(verdicts, np.arange(3), 7))


def test_members_are_kept_from_about_as_many_prompts_each():
    counts = {"a": 50, "b": 50, "c": 100, "d": 40, "e": 60, "f": 100, "g": 100, "u": 1, "v": 1, "w": 1}
    verdicts = [
        Verdicts(torch.zeros(1, N_FACTS), torch.zeros(1), True, source=case)
        for case, n in counts.items()
        for _ in range(n)
    ]
    shares = _shares(verdicts, np.arange(len(verdicts)), PARTS)
    assert {len(verdicts) - len(share) for share in shares} == {100, 101}
    kept = [set(counts) - {verdicts[i].source for i in share} for share in shares]
    assert kept == [{"a", "b", "u"}, {"c", "v"}, {"d", "e", "w"}, {"f"}, {"g"}]


def test_exact_prompts_have_tight_boxes_only(monkeypatch):
    torch.manual_seed(0)
    net = BuiltinNet(SMALL).eval().requires_grad_(False)
    monkeypatch.delattr(judging, "drawn_box")  # boxes that are off in some way
    assert any(v.boxed for each in collect(net, 1, 3, 64, exact=True) for v in each)
    with pytest.raises(NameError):
        list(collect(net, 1, 3, 64))


def real_slice(labels: np.ndarray, finest: bool = True) -> RealSlice:
    """Bright objects on a dark ground, HU."""
    values = np.where(labels > 0, 120.0, -20.0).astype(np.float32)
    return RealSlice(values, labels.astype(np.int32), (-1000.0, 1000.0), True, "a", finest)


def test_exact_prompts_are_asked_on_slices_as_they_are_shown(monkeypatch):
    torch.manual_seed(0)
    net = BuiltinNet(SMALL).eval().requires_grad_(False)
    wanted, small, coarse = (np.zeros((70, 90), int) for _ in range(3))
    wanted[20:40, 30:50], wanted[50:53, 60:63] = 1, 2  # the second has too few pixels to count
    small[20:25, 30:35] = 1
    coarse[10:60, 10:80] = 1
    real = [real_slice(wanted), real_slice(small), real_slice(coarse, finest=False)]
    seen, asked = [], []
    monkeypatch.setattr(BuiltinSegmenter, "encode", lambda self, image: seen.append(image))
    monkeypatch.setattr(judging, "Look", lambda net, embedding, device: None)
    monkeypatch.setattr(judging, "_asked", lambda look, mask, *rest: asked.append(mask) or [])
    list(collect(net, 5, 3, 64, real, 1.0, exact=True))
    assert len(seen) == len(asked) == 5
    shown = CT_PRESETS["soft-tissue"].apply(real[0].values)
    assert all(np.array_equal(image, shown) for image in seen)
    assert all(np.array_equal(mask, wanted == 1) for mask in asked)


def test_the_whole_body_is_asked_for_on_slices_without_labels_too(monkeypatch):
    torch.manual_seed(0)
    net = BuiltinNet(SMALL).eval().requires_grad_(False)
    labels, body = np.zeros((70, 90), np.int32), np.zeros((70, 90), bool)
    body[15:55, 20:70] = True
    labels[22:40, 30:50] = 1
    values = np.where(body, 100.0, -1000.0).astype(np.float32)
    values[25:35, 35:45] = -1000.0  # air in the body belongs to it
    limits = (-1000.0, 100.0)
    many = [RealSlice(values, labels, limits, True, "labelled")] * 20
    real = [*many, RealSlice(values, 0 * labels, limits, True, "unlabelled")]
    asked = []

    def noted(look, mask, *rest):
        asked.append(mask)
        return [Verdicts(torch.zeros(1, N_FACTS), torch.zeros(1), True)]

    monkeypatch.setattr(judging, "_asked", noted)
    monkeypatch.setattr(judging, "BODY_SHARE", 1.0)
    sources = [each.source for some in collect(net, 40, 3, 64, real, 1.0) for each in some]
    assert all(label(binary_fill_holes(mask))[1] == 1 for mask in asked)
    filled = [mask.sum() / binary_fill_holes(mask).sum() for mask in asked]
    assert np.mean(np.array(filled) > 0.99) > 0.9
    assert 10 < sources.count("unlabelled") < 30  # as likely as the case with twenty slices
    sources = [each.source for some in collect(net, 15, 3, 64, real, 1.0, exact=True) for each in some]
    assert set(sources) == {"labelled"}


def test_judges_learn_from_recoloured_slices_too(monkeypatch):
    torch.manual_seed(0)
    net = BuiltinNet(SMALL).eval().requires_grad_(False)
    labels = np.zeros((70, 90), int)
    labels[20:50, 30:60] = 1
    recoloured = []

    def noted(rng, unit, labels):
        recoloured.append(unit)
        return unit

    monkeypatch.setattr("napari_sam_med.finetune.augment.recoloured", noted)
    monkeypatch.setattr(judging, "BODY_SHARE", 0.0)
    list(collect(net, 8, 3, 64, [real_slice(labels)], 1.0))
    assert 0 < len(recoloured) < 8
    seen = len(recoloured)
    list(collect(net, 3, 3, 64, [real_slice(labels)], 1.0, exact=True))
    assert len(recoloured) == seen


def test_exact_prompts_are_asked_on_other_slices(monkeypatch):
    torch.manual_seed(0)
    net = BuiltinNet(SMALL).eval().requires_grad_(False)
    seeds = []

    def noted(index, seed, *rest, **more):
        seeds.append(seed)
        return sample_at(index, seed, *rest, **more)

    monkeypatch.setattr(judging, "sample_at", noted)
    for exact in (False, True):
        list(collect(net, 1, 3, 64, exact=exact))
    assert seeds[0] != seeds[1]


def still(net: BuiltinNet) -> BuiltinNet:
    """Judges that say .5 of everything."""
    for judge in (net.box_judge, net.judge):
        for parameter in judge.parameters():
            torch.nn.init.zeros_(parameter)
    return net.requires_grad_(False)


def test_judges_are_shifted_to_where_they_miss_what_exact_answers_are_worth_by_the_least():
    worth = {"a": 0.9, "b": 0.9, "c": 0.9, "d": 0.9, "e": 0.4}
    verdicts = [
        Verdicts(torch.zeros(3, N_FACTS), torch.full((3,), v if boxed else v / 3), True, boxed, source=case)
        for case, v in worth.items()
        for boxed in (True, False)
        for _ in range(30 if case == "e" else 1)  # every case counts the same
    ]
    corrections = [Verdicts(torch.zeros(3, N_FACTS), torch.zeros(3), False, source="a")] * 50
    net = still(BuiltinNet(SMALL))
    shifts = calibrate(net, [*verdicts, *corrections], verdicts)
    facts = torch.zeros(1, N_FACTS)
    assert float(net.box_judge(facts)) == pytest.approx(0.9, abs=1e-3)
    assert float(net.judge(facts)) == pytest.approx(0.3, abs=1e-3)
    assert shifts["box"] > 0 > shifts["click"]


def test_a_case_is_judged_by_members_that_have_not_seen_it():
    verdicts = [
        Verdicts(torch.zeros(1, N_FACTS), torch.full((1,), 0.5), True, boxed, source=case)
        for case in "abcde"
        for boxed in (True, False)
    ]
    net = still(BuiltinNet(SMALL))
    with torch.no_grad():
        net.judge.last.bias[::PARTS] = -2.0  # kept from case a alone
    only_a = [v for v in verdicts if v.source == "a"]
    assert calibrate(net, only_a, verdicts)["click"] == pytest.approx(2.0, abs=1e-3)


def test_too_few_cases_shift_nothing():
    verdicts = [Verdicts(torch.zeros(1, N_FACTS), torch.ones(1), True, source="a")]
    net = still(BuiltinNet(SMALL))
    assert calibrate(net, verdicts, verdicts) == {"box": 0.0, "click": 0.0}
