"""The judge learns from the network's own answers what a good one looks like."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_sam_med.finetune.asking import Verdicts
from napari_sam_med.finetune.judging import PARTS, _loss, _odds, _Pools, _shares, calibrate, train_judges
from napari_sam_med.models.builtin_facts import BOX_FACTS, N_FACTS
from napari_sam_med.models.builtin_net import BuiltinConfig, BuiltinNet

SMALL = BuiltinConfig(encoder=(8, 8, 8, 8, 8), features=8, decoder=(8, 8, 8, 8), grid=32)


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


def test_a_case_counts_with_the_square_root_of_its_prompts():
    odds = _odds(["many"] * 400 + ["few"] * 100)
    assert odds.sum() == pytest.approx(1)
    assert odds[:400].sum() == pytest.approx(2 / 3)
    assert len(set(odds[:400])) == len(set(odds[400:])) == 1


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
