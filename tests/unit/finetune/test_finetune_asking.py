"""What is asked of the finished network, so that its judges learn what a good answer looks like."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_fill_holes, label

from napari_sam_med.core.windowing import CT_PRESETS
from napari_sam_med.finetune import asking
from napari_sam_med.finetune.asking import Verdicts, collect
from napari_sam_med.finetune.data import sample_at
from napari_sam_med.finetune.graft import grafted
from napari_sam_med.finetune.real import RealSlice
from napari_sam_med.models.builtin import BuiltinSegmenter
from napari_sam_med.models.builtin_facts import N_FACTS
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


def test_exact_prompts_have_tight_boxes_only(monkeypatch):
    torch.manual_seed(0)
    net = BuiltinNet(SMALL).eval().requires_grad_(False)
    monkeypatch.delattr(asking, "drawn_box")  # boxes that are off in some way
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
    monkeypatch.setattr(asking, "Look", lambda net, embedding, device: None)
    monkeypatch.setattr(asking, "_asked", lambda look, mask, *rest: asked.append(mask) or [])
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

    monkeypatch.setattr(asking, "_asked", noted)
    monkeypatch.setattr(asking, "BODY_SHARE", 1.0)
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
    monkeypatch.setattr(asking, "BODY_SHARE", 0.0)
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

    monkeypatch.setattr(asking, "sample_at", noted)
    for exact in (False, True):
        list(collect(net, 1, 3, 64, exact=exact))
    assert seeds[0] != seeds[1]


def test_processes_find_what_one_process_finds():
    torch.manual_seed(0)
    net = BuiltinNet(SMALL).eval().requires_grad_(False)
    alone, shared = ([v for some in collect(net, 3, 3, 64, workers=n) for v in some] for n in (0, 2))
    assert len(alone) == len(shared)
    for a, b in zip(alone, shared, strict=True):
        torch.testing.assert_close(a.facts, b.facts)
        torch.testing.assert_close(a.iou, b.iou)
        assert not b.facts.is_shared()  # or every array holds a file open
    assert list(collect(net, 3, 3, 64, stop=lambda: True, workers=1)) == []


def test_shapes_set_into_slices_are_asked_for_on_slices_without_labels_too(monkeypatch):
    torch.manual_seed(0)
    net = BuiltinNet(SMALL).eval().requires_grad_(False)
    values = np.full((70, 90), 50.0, np.float32)
    real = [RealSlice(values, np.zeros((70, 90), np.int32), (0.0, 100.0), False, "unlabelled")]
    set_in, asked = [], []

    def noted(rng, unit):
        set_in.append(unit)
        return grafted(rng, unit)

    monkeypatch.setattr("napari_sam_med.finetune.augment.grafted", noted)
    monkeypatch.setattr(asking, "_asked", lambda look, mask, *rest: asked.append(mask) or [])
    monkeypatch.setattr(asking, "BODY_SHARE", 0.0)
    monkeypatch.setattr(asking, "GRAFT_SHARE", 1.0)
    list(collect(net, 4, 3, 64, real, 1.0))
    assert len(set_in) >= 4
    assert len(asked) >= 4
    real[0].labels[20:50, 30:60] = 1
    seen = len(set_in)
    list(collect(net, 3, 3, 64, real, 1.0, exact=True))
    assert len(set_in) == seen
