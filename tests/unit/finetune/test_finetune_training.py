import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import tight_box
from napari_sam_med.finetune import trainer
from napari_sam_med.finetune.augment import augment, recoloured
from napari_sam_med.finetune.config import TrainConfig, make_config, read_config
from napari_sam_med.finetune.data import SampleStream, sample_at
from napari_sam_med.finetune.losses import mask_losses, training_loss, true_iou
from napari_sam_med.finetune.passes import collate, second_prompts, target_on
from napari_sam_med.finetune.real import RealSlice, load_real_slices
from napari_sam_med.finetune.samples import drawn_box, inner_click, make_sample
from napari_sam_med.finetune.trainer import WEIGHTS, _loader, learning_rate, train
from napari_sam_med.models.builtin import load_builtin
from napari_sam_med.models.builtin_file import read_weights
from napari_sam_med.models.builtin_net import Output

TINY = TrainConfig(
    steps=6,
    images=1,
    prompts=2,
    size=64,
    grid=16,
    fine_grid=16,
    warmup=2,
    validate_every=6,
    validation_slices=2,
    checkpoint_every=3,
    threads=1,
    device="cpu",
    encoder=(8, 8, 8, 8, 8),
    decoder=(8, 8, 8, 8),
    features=8,
    judge_slices=2,
)


def square_mask(size=40):
    mask = np.zeros((size, size), bool)
    mask[10:20, 12:30] = True
    return mask


def test_configuration_from_toml(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("steps = 10\nencoder = [8, 8, 8, 8, 8]\nlearning_rate = 1\n")
    config = read_config(file, seed=4)
    assert (config.steps, config.encoder, config.seed) == (10, (8, 8, 8, 8, 8), 4)
    assert isinstance(config.learning_rate, float)


@pytest.mark.parametrize("text", ["stepz = 1", "steps = 'many'", "steps = [", "init_share = 0.5"])
def test_bad_configuration_is_named(tmp_path, text):
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"c\.toml"):
        read_config(file)
    with pytest.raises(InputError, match="does not exist"):
        read_config(tmp_path / "none.toml")


def test_samples_do_not_depend_on_the_number_of_workers():
    streams = [iter(SampleStream(3, 2, 48, 2, start)) for start in (0, 1)]
    next(streams[0])
    a, b = next(streams[0]), next(streams[1])
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left.image, right.image)
        np.testing.assert_array_equal(left.masks, right.masks)


def test_prompts_are_as_users_give_them():
    rng = np.random.default_rng(0)
    mask = square_mask()
    tight = np.add(tight_box(mask), [-0.5, -0.5, 0.5, 0.5])
    sides = np.array([10, 18, 10, 18])
    boxes = np.stack([drawn_box(rng, mask) for _ in range(200)])
    off = (boxes - tight) / sides
    assert np.abs(off).max() <= 0.5 + 1e-6
    assert (np.abs(off).max(1) < 1e-6).mean() > 0.3  # many are tight
    assert 0.4 < (np.abs(off).max(1) < 1e-4).mean() < 0.6  # half of them are tight
    far = boxes[np.abs(off).max(1) > 0.2]
    assert 0.02 < len(far) / len(boxes) < 0.2  # a few are much too large, none of them cuts the object
    assert (far[:, :2] <= tight[:2] + 1e-4).all()
    assert (far[:, 2:] >= tight[2:] - 1e-4).all()
    for _ in range(50):
        row, col = inner_click(rng, mask)
        assert mask[round(row), round(col)]


def test_samples_have_a_prompt_for_every_object():
    sample = sample_at(0, 1, 64, 6)
    assert sample.masks.shape == (6, 64, 64)
    for i in range(6):
        has_box, has_click = not np.isnan(sample.boxes[i]).any(), sample.clicks[i, 2] > 0
        assert has_box or has_click
    assert (
        make_sample(np.random.default_rng(0), np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.int32), 2)
        is None
    )


def test_target_fills_the_region_and_keeps_the_objects_whole_area():
    sample = sample_at(2, 1, 64, 4)
    batch = collate([sample], 16, torch.device("cpu"))
    target, area = target_on(batch, batch.prompts, 16)
    assert target.shape == (4, 1, 16, 16)
    whole = torch.from_numpy(sample.masks.sum((1, 2)))
    cell = batch.prompts.roi[:, 2] * batch.prompts.roi[:, 3] * 4 / 16**2
    assert (area >= whole / cell - 1e-3).all()


def test_losses_reward_the_right_mask():
    target = torch.zeros(1, 1, 16, 16)
    target[..., 4:12, 4:12] = 1
    good, bad = (target * 2 - 1) * 8, -(target * 2 - 1) * 8
    logits = torch.cat([good, bad, good], 1)
    losses = mask_losses(logits, target)[0]
    assert losses[0] < 0.02 < 1 < losses[1]
    iou = true_iou(logits, target, torch.tensor([64.0]))[0]
    assert iou.tolist() == pytest.approx([1, 0, 1])
    half = true_iou(logits, target, torch.tensor([128.0]))[0]
    assert half[0] == pytest.approx(0.5)  # the region holds half of the object
    honest = training_loss(Output(logits, iou[None]), target, torch.tensor([64.0]))[0]
    boastful = training_loss(Output(logits, torch.ones(1, 3)), target, torch.tensor([64.0]))[0]
    assert honest < boastful


def test_correction_clicks_lie_on_the_error():
    sample = sample_at(5, 1, 64, 8)
    batch = collate([sample], 32, torch.device("cpu"))
    target, _ = target_on(batch, batch.prompts, 32)
    nothing = Output(torch.full((8, 3, 32, 32), -5.0), torch.zeros(8, 3))
    prompts = second_prompts(nothing, batch.prompts, target, 32, np.random.default_rng(0))
    added = prompts.clicks[:, 1]
    assert (added[:, 2] >= 0).all()  # all is missed, so no click is negative
    assert (added[:, 2] > 0).any()
    for mask, click in zip(sample.masks, added, strict=True):
        if click[2] > 0:
            row, col = click[:2].round().long().clamp(0, 63).tolist()
            assert mask[max(0, row - 2) : row + 3, max(0, col - 2) : col + 3].any()
    assert not torch.isnan(prompts.prev).any()


def test_augmented_slices_keep_labels_on_their_tissue():
    values = np.where(square_mask(64), 100.0, 0.0).astype(np.float32)
    source = RealSlice(values, square_mask(64).astype(np.int32), (0.0, 100.0), False, "a")
    rng = np.random.default_rng(0)
    contrast = []
    for _ in range(20):
        image, labels = augment(rng, source, 64)
        assert image.shape == labels.shape == (64, 64)
        if 20 < (labels == 1).sum() < 3500:
            contrast.append(abs(float(image[labels == 1].mean()) - float(image[labels == 0].mean())))
    assert np.median(contrast) > 40


def test_clean_views_of_a_slice_are_not_distorted():
    values = np.where(square_mask(64), 100.0, 0.0).astype(np.float32)
    source = RealSlice(values, square_mask(64).astype(np.int32), (0.0, 100.0), False, "a")

    def spread(clean_share):
        views = [augment(np.random.default_rng(k), source, 64, clean_share) for k in range(10)]
        inside = [
            image[ndi.binary_erosion(labels == 1, iterations=2)].astype(float) for image, labels in views
        ]
        return [grey.std() for grey in inside if grey.size]

    assert max(spread(1.0)) == 0
    assert np.mean(np.array(spread(0.0)) > 1) > 0.3
    real = sample_at(0, 1, 64, 2, [source], 1.0)
    assert real.source == "a"
    assert sample_at(0, 1, 64, 2).source == ""


def test_recoloured_tissues_keep_their_shape_and_texture_and_get_other_greys():
    rng = np.random.default_rng(0)
    labels = np.zeros((80, 80), np.int32)
    labels[10:40, 10:70], labels[40:70, 10:70] = 1, 2
    texture = ndi.gaussian_filter(rng.normal(0, 1, labels.shape), 2)
    unit = (np.array([0.1, 0.4, 0.6])[labels] + 0.1 * texture).astype(np.float32)
    deep = {value: ndi.binary_erosion(labels == value, iterations=4) for value in (1, 2)}
    greys, alike, inverted = [], [], 0
    for k in range(40):
        out = recoloured(np.random.default_rng(k), unit, labels)
        assert out.shape == unit.shape
        assert out.dtype == np.float32
        greys.append([out[mask].mean() for mask in deep.values()])
        seen = [np.corrcoef(out[mask], unit[mask])[0, 1] for mask in deep.values()]
        alike.append(np.abs(seen).min())
        inverted += sum(r < 0 for r in seen)
    assert np.std(greys, axis=0).min() > 0.15
    assert np.std(np.diff(greys, axis=1)) > 0.15  # by themselves, not together
    assert np.median(alike) > 0.9
    assert 5 < inverted < 45


def test_slices_without_labels_are_not_recoloured(monkeypatch):
    monkeypatch.delattr("napari_sam_med.finetune.augment.recoloured")
    values = np.where(square_mask(64), 100.0, 0.0).astype(np.float32)
    bare, labelled = (
        RealSlice(values, labels.astype(np.int32), (0.0, 100.0), False, "a")
        for labels in (np.zeros((64, 64)), square_mask(64))
    )
    augment(np.random.default_rng(0), bare, 64, 1.0, recolour_share=1.0)
    augment(np.random.default_rng(0), labelled, 64, 1.0, recolour_share=0.0)
    with pytest.raises(NameError):
        augment(np.random.default_rng(0), labelled, 64, 1.0, recolour_share=1.0)


@pytest.mark.parametrize("share", ["clean_share", "recolour_share"])
def test_a_run_trains_on_the_share_of_clean_and_of_recoloured_slices_it_is_told(share):
    values = np.where(square_mask(64), 100.0, 0.0).astype(np.float32)
    source = RealSlice(values, square_mask(64).astype(np.int32), (0.0, 100.0), False, "a")
    config = replace(TINY, real_share=1.0, workers=0, **{share: 1.0})
    sample = next(iter(_loader(config, 0, [source])))[0]
    wanted = sample_at(0, config.seed, config.size, config.prompts, [source], 1.0, **{share: 1.0})
    other = sample_at(0, config.seed, config.size, config.prompts, [source], 1.0)
    np.testing.assert_array_equal(sample.image, wanted.image)
    assert not np.array_equal(sample.image, other.image)


def test_learning_rate_rises_then_falls():
    rates = [learning_rate(TINY, s) for s in range(TINY.steps + 1)]
    assert rates[0] < rates[1] == max(rates)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_a_run_resumes_where_it_stopped(tmp_path):
    whole = list(train(TINY, tmp_path / "whole"))
    asked = iter([False] * 3 + [True] * 10)
    list(train(TINY, tmp_path / "parts", stop=lambda: next(asked)))
    list(train(TINY, tmp_path / "parts"))
    assert whole[-1].step == TINY.steps
    assert whole[-1].validation is not None
    one, two = (read_weights(tmp_path / n / WEIGHTS)[0].state_dict() for n in ("whole", "parts"))
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert {f.name for f in (tmp_path / "whole").iterdir()} >= {
        WEIGHTS,
        "log.csv",
        "curves.png",
        "checkpoint.pt",
    }
    assert load_builtin(tmp_path / "whole" / WEIGHTS).encode(np.zeros((32, 32), np.uint8)).image_shape == (
        32,
        32,
    )
    with pytest.raises(InputError, match="seed"):
        list(train(replace(TINY, seed=9), tmp_path / "whole"))


def test_the_first_weights_keep_their_share_of_what_is_exported(tmp_path):
    list(train(replace(TINY, judge_slices=0), tmp_path / "first"))
    first = tmp_path / "first" / WEIGHTS
    config = replace(TINY, judge_slices=0, seed=1, init=str(first), learning_rate=0.1)
    list(train(config, tmp_path / "after"))
    for _ in range(2):  # a finished run that is started again changes nothing
        list(train(replace(config, init_share=0.25), tmp_path / "mixed"))
        nets = [read_weights(tmp_path / name / WEIGHTS)[0] for name in ("first", "after", "mixed")]
        before, after, mixed = (net.encoder.stem[0].weight for net in nets)
        assert (before - after).abs().mean() > 0.05
        torch.testing.assert_close(mixed, 0.25 * before + 0.75 * after, atol=2e-3, rtol=0)


def test_the_judge_is_trained_once_after_the_last_step(tmp_path):
    asked = iter([False] * TINY.steps + [True] * 10)  # stopped when the judge begins
    list(train(TINY, tmp_path, stop=lambda: next(asked)))
    before = read_weights(tmp_path / WEIGHTS)[0]
    list(train(TINY, tmp_path))
    after = read_weights(tmp_path / WEIGHTS)[0]
    assert torch.equal(before.decoder.to1.weight, after.decoder.to1.weight)
    assert not torch.equal(before.judge.std, after.judge.std)
    written = (tmp_path / "judge.csv").read_text()
    assert list(train(TINY, tmp_path)) == []
    assert (tmp_path / "judge.csv").read_text() == written
    again = read_weights(tmp_path / WEIGHTS)[0].judge.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in after.judge.state_dict().items())


def test_judges_learn_from_exact_prompts_too_and_are_calibrated_on_them(tmp_path, monkeypatch):
    given = []

    def noted(net, exact, taught):
        given.append((exact, taught))
        return {"box": 0.25, "click": -0.5}

    monkeypatch.setattr(trainer, "calibrate", noted)
    done = list(train(replace(TINY, steps=0, judge_slices=4), tmp_path))[-1]
    ((exact, taught),) = given
    assert 0 < len(exact) < len(taught)
    assert {id(each) for each in exact} < {id(each) for each in taught}
    assert done.figures["shift of the logits, box"] == 0.25


@pytest.mark.parametrize(("second_share", "seen"), [(0.0, False), (1.0, True)])
def test_corrections_are_made_in_the_share_of_steps_it_is_told(tmp_path, second_share, seen):
    config = replace(TINY, second_share=second_share, validate_every=1000, judge_slices=0)
    done = list(train(config, tmp_path))[-1]
    assert np.isfinite(done.figures["iou_box"])
    assert np.isfinite(done.figures["iou_second"]) == seen


def test_learning_lowers_the_loss(tmp_path):
    config = replace(TINY, steps=60, images=2, learning_rate=4e-3, validate_every=1000, judge_slices=0)
    history = list(train(config, tmp_path))
    assert history[-1].figures["loss"] < 0.85 * history[0].figures["loss"]


def write_pairs(folder, rows):
    import nibabel as nib

    values = np.zeros((24, 24, 6), np.int16)
    values[6:16, 6:16, 1:5] = 50
    for name, data in (("image", values), ("label", (values > 0).astype(np.uint8))):
        nib.save(nib.Nifti1Image(data, np.diag([1, 1, 3, 1])), folder / f"{name}.nii.gz")
    with (folder / "pairs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "split", "image", "label"])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "pairs.csv"


def test_only_train_rows_are_read(tmp_path):
    row = {"image": "image.nii.gz", "label": "label.nii.gz"}
    pairs = write_pairs(
        tmp_path,
        [
            {"id": "a", "split": "train", **row},
            {"id": "b", "split": "dev", **row},
            {"id": "broken", "split": "train", "image": "none.nii", "label": "label.nii.gz"},
        ],
    )
    cases = load_real_slices(pairs)
    assert [c[0].group for c in cases] == ["a"]
    sagittal = [s for s in cases[0] if s.labels.shape == (18, 24)]
    assert sagittal  # reformats are on square pixels
    assert not any(s.finest for s in sagittal)
    assert all(s.finest for s in cases[0] if s.labels.shape == (24, 24))
    with pytest.raises(InputError, match="does not exist"):
        load_real_slices(tmp_path / "none.csv")


def test_rows_without_a_label_give_slices_whose_objects_are_regions_of_like_grey(tmp_path):
    import nibabel as nib

    values = np.zeros((64, 64, 6), np.int16)
    values[16:40, 16:40] = 50
    values[40:50, 40:60] = 90
    pairs = write_pairs(
        tmp_path,
        [
            {"id": "a", "split": "train", "image": "bare.nii.gz", "label": ""},
            {"id": "b", "split": "dev", "image": "bare.nii.gz", "label": ""},
            {"id": "c", "split": "train", "image": "image.nii.gz", "label": ""},  # reformats 18 pixels wide
        ],
    )
    nib.save(nib.Nifti1Image(values, np.diag([1, 1, 3, 1])), tmp_path / "bare.nii.gz")
    (slices,) = load_real_slices(pairs)
    assert {s.group for s in slices} == {"a"}
    assert {s.labels.shape for s in slices} == {(64, 64)}
    assert not any(s.labels.any() for s in slices)
    sample = sample_at(1, 1, 96, 4, slices, 1.0, 1.0)
    assert sample.source == "a"
    assert all(mask.any() for mask in sample.masks)


def test_unknown_keys_are_listed():
    with pytest.raises(InputError, match="stepz"):
        make_config({"stepz": 1})
