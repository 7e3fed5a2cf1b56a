"""The judge learns from the network's own answers what a good one looks like."""

import numpy as np
import torch

from napari_sam_med.finetune.judging import Verdicts, _shares, collect, train_judges
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
    assert max(errors.values()) < 0.08
    for judge, boxed in ((net.box_judge, True), (net.judge, False)):
        own = [v for v in verdicts if v.boxed == boxed]
        assert sum(int(judge(v.facts).argmax() == v.iou.argmax()) for v in own) > 0.8 * len(own)
        assert not any(p.requires_grad for p in judge.parameters())


def test_each_member_of_the_judge_is_kept_from_other_cases():
    cases = ["brain", "cord_a", "cord_b", "liver", "lung", ""]
    verdicts = [
        Verdicts(torch.zeros(1, N_FACTS), torch.zeros(1), True, source=cases[k % 6]) for k in range(60)
    ]
    seen = [{verdicts[i].source for i in share} for share in _shares(verdicts, np.arange(60), 2)]
    assert seen == [{"liver", "lung", ""}, {"brain", "cord_a", "cord_b", ""}]
    few = _shares(verdicts, np.arange(60), 7)  # fewer cases than members: parts of the prompts instead
    assert {len(set(share)) for share in few} <= {51, 52}
    assert len({tuple(share) for share in few}) == 7
    assert all(len(share) == 3 for share in _shares(verdicts, np.arange(3), 7))
