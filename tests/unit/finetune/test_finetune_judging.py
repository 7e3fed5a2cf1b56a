"""The judge learns from the network's own answers what a good one looks like."""

import numpy as np
import torch

from napari_sam_med.finetune.judging import Verdicts, collect, train_judge
from napari_sam_med.models.builtin_net import N_FACTS, BuiltinConfig, BuiltinNet

SMALL = BuiltinConfig(encoder=(8, 8, 8, 8, 8), features=8, decoder=(8, 8, 8, 8), grid=32)


def test_answers_are_graded_by_the_truth_and_the_same_seed_gives_the_same():
    torch.manual_seed(0)
    net = BuiltinNet(SMALL).eval().requires_grad_(False)
    runs = [[v for each in collect(net, 2, 3, 64, objects=2) for v in each] for _ in range(2)]
    assert {v.ranked for v in runs[0]} == {True, False}
    for a, b in zip(*runs, strict=True):
        assert a.facts.shape == (len(a.iou), N_FACTS)
        assert ((a.iou >= 0) & (a.iou <= 1)).all()
        torch.testing.assert_close(a.facts, b.facts)
        torch.testing.assert_close(a.iou, b.iou)
    assert list(collect(net, 2, 3, 64, stop=lambda: True)) == []


def test_the_judge_learns_what_decides():
    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(300):
        facts = torch.from_numpy(rng.normal(size=(5, N_FACTS)).astype(np.float32))
        verdicts.append(Verdicts(facts, torch.sigmoid(2 * facts[:, 7]), ranked=bool(rng.random() < 0.5)))
    net = BuiltinNet(SMALL)
    error = train_judge(net, verdicts, 0)
    assert error < 0.08
    best = sum(int(net.judge(v.facts).argmax() == v.iou.argmax()) for v in verdicts)
    assert best > 0.8 * len(verdicts)
    assert not any(p.requires_grad for p in net.judge.parameters())
