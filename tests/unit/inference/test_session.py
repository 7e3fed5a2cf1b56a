"""Slice images in, masks on the voxel grid out, and each slice encoded once."""

from __future__ import annotations

import numpy as np
import pytest

from fixtures.fake_segmenter import FakeSegmenter
from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.volume import Volume
from napari_sam_med.core.windowing import Window
from napari_sam_med.embeddings import DiskStore, EmbeddingCache
from napari_sam_med.inference.precompute import outwards, precompute
from napari_sam_med.inference.session import Session
from napari_sam_med.inference.slices import SliceImage, slice_image

WINDOW = Window(50, 100)


def picture(shape: tuple[int, int] = (40, 60), spacing=(1.0, 1.0), seed: int = 0) -> SliceImage:
    return SliceImage(np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8), spacing)


def volume(shape=(6, 20, 30), spacing=(5.0, 1.0, 1.0)) -> Volume:
    """In canonical order, each slice different."""
    data = np.random.default_rng(0).uniform(0, 100, shape)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    affine[2, 0], affine[1, 1], affine[0, 2] = (-s for s in spacing)
    made = volume_from_source(data, affine)
    assert made.source.permutation == (0, 1, 2)
    return made


@pytest.mark.parametrize(
    ("axis", "shape", "spacing"),
    [("axial", (20, 30), (1.0, 1.0)), (1, (6, 30), (5.0, 1.0)), ("sagittal", (6, 20), (5.0, 1.0))],
)
def test_a_slice_image_is_the_window_mapped_slice(axis, shape, spacing):
    source = volume()
    image = slice_image(source, axis, 3, WINDOW)
    assert image.shape == shape
    assert image.spacing_mm == spacing
    np.testing.assert_array_equal(image.pixels, WINDOW.apply(source.slice(axis, 3)))


def test_a_slice_of_a_time_series_is_of_its_time():
    base = volume()
    series = base.with_data(np.stack([base.data, 100 - base.data]))
    first, second = (slice_image(series, 0, 2, WINDOW, time) for time in (0, 1))
    np.testing.assert_array_equal(first.pixels, slice_image(base, 0, 2, WINDOW).pixels)
    assert (first.pixels != second.pixels).any()


@pytest.mark.parametrize(
    "pixels", [np.zeros((3, 3)), np.zeros((3, 3, 3), np.uint8), np.zeros((0, 3), np.uint8)]
)
def test_what_is_no_slice_image_is_refused(pixels):
    with pytest.raises(InputError):
        SliceImage(pixels, (1.0, 1.0))


def test_a_slice_is_encoded_once_for_many_prompts(fake_segmenter):
    session = Session(fake_segmenter)
    image = picture()
    assert not session.is_cached(image)
    for c in range(3):
        session.predict(image, Prompt.from_points([(10, 10 + c)]))
    assert session.is_cached(image)
    assert session.lookup(image)[1]
    assert len(fake_segmenter.encoded) == 1
    session.embed(picture(seed=1))
    assert len(fake_segmenter.encoded) == 2


def test_sessions_share_a_disk_but_not_across_models(tmp_path):
    def session(fingerprint: str) -> Session:
        model = FakeSegmenter()
        model.fingerprint = fingerprint
        return Session(model, EmbeddingCache(DiskStore(tmp_path, 10**6)))

    session("one").embed(picture())
    assert session("one").is_cached(picture())
    assert not session("two").is_cached(picture())


def test_masks_of_square_pixels_are_the_models_own(fake_segmenter):
    found = Session(fake_segmenter).predict(picture(), Prompt.from_box((5, 10, 14, 29)))
    best = found.masks[found.best]
    assert best.shape == (40, 60)
    assert best[5:15, 10:30].all()
    assert best.sum() == 10 * 20


@pytest.mark.parametrize("spacing", [(5.0, 1.0), (1.0, 4.0), (2.5, 1.0)])
def test_masks_of_unequal_pixels_come_back_on_the_voxels(fake_segmenter, spacing):
    image = picture((24, 60), spacing)
    found = Session(fake_segmenter).predict(image, Prompt.from_box((5, 10, 14, 29)))
    ratio = max(spacing) / min(spacing)
    square = (round(24 * ratio), 60) if spacing[0] > spacing[1] else (24, round(60 * ratio))
    assert fake_segmenter.encoded == [square]
    expected = np.zeros((24, 60), bool)
    expected[5:15, 10:30] = True
    np.testing.assert_array_equal(found.masks[found.best], expected)
    assert found.masks.dtype == bool


def test_a_box_across_the_rim_is_cut_off(fake_segmenter):
    Session(fake_segmenter).predict(picture(), Prompt.from_box((-7, 10, 14, 99)))
    assert fake_segmenter.prompts[0].box == (0, 10, 14, 59)


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(),
        Prompt.from_points([(3, 3)], [0]),
        Prompt.from_points([(3, 60)]),
        Prompt.from_box((41, 5, 50, 10)),
    ],
    ids=["nothing", "negative only", "point outside", "box outside"],
)
def test_prompts_that_cannot_be_answered_are_refused_before_the_work(fake_segmenter, prompt):
    with pytest.raises(InputError):
        Session(fake_segmenter).predict(picture(), prompt)
    assert fake_segmenter.encoded == []


class Together(FakeSegmenter):
    """Answers prompts in one go, and counts them."""

    proposal_limits = (0.5, 0.5)
    batches: tuple[int, ...] = ()

    def decode_many(self, embedding, prompts, min_score=None):
        self.batches = (*self.batches, len(prompts))
        return [self.decode(embedding, prompt) for prompt in prompts]


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (3.0, 1.0)])
@pytest.mark.parametrize("kind", [FakeSegmenter, Together], ids=["one by one", "together"])
def test_many_prompts_are_answered_as_each_alone(kind, spacing):
    model = kind()
    session, image = Session(model), picture(spacing=spacing)
    prompts = [
        Prompt.from_box((5, 10, 20, 30)),
        Prompt.from_points([[20, 30], [25, 35]], [1, 0]),
        Prompt.from_box((-5, -5, 10, 10)),
    ]
    alone = [session.predict(image, prompt) for prompt in prompts]
    for one, of_many in zip(alone, session.predict_many(image, prompts), strict=True):
        assert one.masks.shape[1:] == image.shape
        np.testing.assert_array_equal(one.masks, of_many.masks)
        np.testing.assert_array_equal(one.scores, of_many.scores)
    assert len(model.encoded) == 1
    assert getattr(model, "batches", (3,)) == (3,)
    with pytest.raises(InputError, match="outside"):
        session.predict_many(image, [prompts[0], Prompt.from_points([[90, 0]])])
    assert session.predict_many(image, []) == []


def test_the_order_goes_outwards_from_the_visible_slice():
    assert outwards(2, 6) == [2, 3, 1, 4, 0, 5]
    assert outwards(0, 3) == [0, 1, 2]
    assert outwards(99, 3) == [2, 1, 0]
    assert sorted(outwards(7, 20)) == list(range(20))


def test_slices_are_encoded_in_advance_with_progress(fake_segmenter):
    session, source = Session(fake_segmenter), volume()
    session.embed(slice_image(source, 0, 2, WINDOW))
    steps = list(precompute(session, source, "axial", WINDOW, start=3))
    assert [s.index for s in steps] == outwards(3, 6)
    assert [s.done for s in steps] == [1, 2, 3, 4, 5, 6]
    assert [s.index for s in steps if s.cached] == [2]
    assert steps[-1].eta_seconds == 0
    assert len(fake_segmenter.encoded) == 6
    assert all(s.cached for s in precompute(session, source, "axial", WINDOW))


def test_the_rest_time_follows_from_the_slices_encoded(monkeypatch):
    session = Session(FakeSegmenter(seconds=0.02))
    first = next(precompute(session, volume(), 0, WINDOW))
    assert 5 * 0.02 <= first.eta_seconds < 5


def test_stopping_half_way_keeps_what_is_done(fake_segmenter):
    session, source = Session(fake_segmenter), volume()
    steps = precompute(session, source, 0, WINDOW, start=0)
    next(steps)
    next(steps)
    steps.close()
    assert len(fake_segmenter.encoded) == 2
    assert session.is_cached(slice_image(source, 0, 1, WINDOW))


def test_chosen_slices_only(fake_segmenter):
    steps = list(precompute(Session(fake_segmenter), volume(), 1, WINDOW, indices=[4, 2]))
    assert [(s.index, s.total) for s in steps] == [(4, 2), (2, 2)]


def test_the_estimate_is_in_the_pixels_the_model_sees():
    class Sized(FakeSegmenter):
        def embedding_bytes(self, shape):
            return shape[0] * shape[1]

    session = Session(Sized())
    assert session.estimate([(6, 30)] * 3, (5.0, 1.0)) == 3 * 30 * 30  # 5 × 1 mm voxels become square
    assert session.estimate([], (5.0, 1.0)) == 0
