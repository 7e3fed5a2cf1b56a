"""The grey-value cues of the built-in model on regions whose answer is known."""

import pytest

torch = pytest.importorskip("torch")

from napari_sam_med.models.builtin_tone import TONE_CHANNELS, guided, tone_maps  # noqa: E402


def disc(size: int = 48, radius: float = 12.0) -> "torch.Tensor":
    rows, cols = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (((rows - size / 2) ** 2 + (cols - size / 2) ** 2) < radius**2).float()[None, None]


def square(size: int = 48, half: int = 16) -> "torch.Tensor":
    out = torch.zeros(1, 1, size, size)
    out[..., size // 2 - half : size // 2 + half, size // 2 - half : size // 2 + half] = 1
    return out


def cues(local, inner, outer, prev=None):
    has = torch.full((1, 1, 1, 1), 0.0 if prev is None else 1.0)
    known = torch.full_like(local, 0.5) if prev is None else prev
    return tone_maps(local, inner, outer, inner, inner, known, has)


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
