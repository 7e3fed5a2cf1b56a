"""The grey-value cues of the built-in model on regions whose answer is known."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter

torch = pytest.importorskip("torch")

from napari_sam_med.models.builtin_tone import TONE_CHANNELS, guided, smoothed, tone_maps, windowed  # noqa: E402


def disc(size: int = 48, radius: float = 12.0) -> "torch.Tensor":
    rows, cols = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (((rows - size / 2) ** 2 + (cols - size / 2) ** 2) < radius**2).float()[None, None]


def square(size: int = 48, half: int = 16) -> "torch.Tensor":
    out = torch.zeros(1, 1, size, size)
    out[..., size // 2 - half : size // 2 + half, size // 2 - half : size // 2 + half] = 1
    return out


def cues(local, inner, outer, prev=None, brief=False):
    has = torch.full((1, 1, 1, 1), 0.0 if prev is None else 1.0)
    known = torch.full_like(local, 0.5) if prev is None else prev
    return tone_maps(local, inner, outer, inner, inner, known, has, brief)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_greys_that_occur_only_inside_stand_out_at_any_polarity(sign):
    local = sign * (disc() * 2 - 0.5)
    maps = cues(local, square(), 1 - square())
    inside = disc()[0, 0] > 0
    assert maps.shape == (1, TONE_CHANNELS, 48, 48)
    assert float(maps[0, 0][inside].min()) > 0.5
    assert float(maps[0, 0][~inside].max()) < 0
    over = maps[0, 2] * sign
    assert float(over[inside].min()) > 0 > float(over[~inside].max())


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_thin_object_that_leaves_its_box_empty_is_one_of_the_two_sides(sign):
    rows, cols = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    box = square()
    thin = ((rows - cols).abs() < 3).float() * box
    noise = torch.randn(1, 1, 48, 48, generator=torch.Generator().manual_seed(0)) * 0.2
    maps = cues(sign * (thin * 2 - 0.5) + noise, box, 1 - box)
    own, other = (4, 5) if sign > 0 else (5, 4)
    inside, around = thin[0, 0] > 0, (box - thin)[0, 0] > 0
    assert float((maps[0, own][inside] > 0).float().mean()) > 0.9
    assert float((maps[0, own][around] < 0).float().mean()) > 0.9
    assert float((maps[0, other][inside] > 0).float().mean()) < 0.1
    assert float(maps[0, 4:, 0, 0].abs().max()) == 0  # outside the box


def test_greys_that_occur_everywhere_say_nothing():
    maps = cues(torch.zeros(1, 1, 48, 48), square(), 1 - square())
    assert float(maps[:, :2].abs().max()) < 1e-4


def test_an_earlier_answer_decides_what_is_inside():
    local = torch.where(disc() > 0, 1.0, -1.0)
    outside = cues(local, square(), 1 - square(), prev=1 - disc())
    assert float(outside[0, 1][disc()[0, 0] > 0].max()) < -0.5
    assert float(outside[0, 1][disc()[0, 0] == 0].min()) > 0.5


def test_empty_weights_and_extreme_greys_stay_finite():
    zeros = torch.zeros(2, 1, 16, 16)
    maps = tone_maps(zeros + 100, zeros, zeros, zeros, zeros, zeros, torch.zeros(2, 1, 1, 1))
    assert torch.isfinite(maps).all()
    assert float(maps.abs().max()) <= 1


def test_a_blurred_outline_is_drawn_to_the_edge_of_the_image():
    rows, cols = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    disc = ((rows - 24).square() + (cols - 24).square()).sqrt()
    image = (disc < 14).float()[None, None] * 2 - 1
    rough = torch.sigmoid((15.5 - disc) / 2)[None, None]  # too large by one and a half cells
    wrong = ((rough > 0.5) != (image > 0)).sum()
    drawn = guided(rough, image, 3, 0.1)
    assert ((drawn > 0.5) != (image > 0)).sum() < 0.5 * wrong
    flat = guided(rough, torch.zeros_like(image), 3, 0.1)
    assert ((flat > 0.5) != (rough > 0.5)).float().mean() < 0.02  # nothing to be drawn to


@pytest.mark.parametrize("shape", [(2, 1, 20, 20), (3, 1, 9, 14)])
def test_windows_sum_like_a_filter(shape):
    x = torch.from_numpy(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    wanted = [uniform_filter(each[0].numpy(), 7, mode="nearest") for each in x]
    assert np.allclose(windowed(x, (1 / 7,) * 7, replicate=True)[:, 0], wanted, atol=1e-5)
    wanted = [gaussian_filter(each[0].numpy(), 1.0, mode="constant", truncate=3) for each in x]
    assert np.allclose(smoothed(x, 1.0)[:, 0], wanted, atol=1e-5)


def test_windows_kept_from_inference_serve_training_too():
    with torch.inference_mode():
        windowed(torch.ones(1, 1, 11, 11), (0.25, 0.5, 0.25))
    x = torch.ones(1, 1, 11, 11, requires_grad=True)
    windowed(x, (0.25, 0.5, 0.25)).sum().backward()
    assert float(x.grad[0, 0, 5, 5]) == pytest.approx(1)


def test_brief_maps_hold_the_first_alone():
    noise = torch.randn(1, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    local = disc() + 0.1 * noise
    every, first = (cues(local, square(), 1 - square(), brief=brief) for brief in (False, True))
    assert first.shape == every.shape
    assert torch.equal(first[:, 0], every[:, 0])
    assert not first[:, 1:].any()


def test_without_a_box_there_are_no_sides():
    local, near = disc() * 2 - 0.5, disc(radius=3)
    nothing = torch.zeros(1, 1, 1, 1)
    maps = tone_maps(local, near, 1 - near, near, torch.zeros_like(near), torch.full_like(near, 0.5), nothing)
    assert not maps[:, 4:].any()
    assert maps[:, :4].abs().flatten(2).amax(2).gt(0).all()
