"""Specks and pinholes of the built-in model's answers."""

import numpy as np
import pytest
import torch

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.models import builtin_search
from napari_sam_med.models.builtin import BuiltinSegmenter
from napari_sam_med.models.builtin_answers import again_pool, box_pools
from napari_sam_med.models.builtin_look import FAR_OUTSIDE, Look
from napari_sam_med.models.builtin_net import BuiltinConfig, BuiltinNet, Output
from napari_sam_med.models.builtin_search import click_pools, search_fast
from napari_sam_med.models.builtin_tidy import tidied

SIZE = 40
WHOLE = torch.tensor([[SIZE / 2 - 0.5, SIZE / 2 - 0.5, SIZE / 2, SIZE / 2]])
NOTHING = torch.zeros(1, 1, 3)


def square() -> torch.Tensor:
    """A square of 20×20 cells (400) of the grid, as a mask."""
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[10:30, 10:30] = True
    return mask


def spotted(*spots: tuple[int, int, int], hole: int = 0) -> torch.Tensor:
    """The square with squares (row, col, side) beside it and a hole of a side in it."""
    mask = square()
    for row, col, side in spots:
        mask[row : row + side, col : col + side] = True
    mask[18 : 18 + hole, 18 : 18 + hole] = False
    return mask


def tidy(*masks: torch.Tensor, clicks: torch.Tensor = NOTHING) -> torch.Tensor:
    logits = torch.where(torch.stack(masks), 3.0, -2.0)
    n = len(masks)
    return tidied(logits, WHOLE.expand(n, -1), clicks.expand(n, -1, -1)) > 0


def test_specks_go_and_pieces_stay() -> None:
    mask = spotted((2, 2, 4), (34, 34, 5))  # 16 and 25 cells; the limit is 20

    result = tidy(mask)[0]

    assert torch.equal(result, spotted((34, 34, 5)))


def test_pinholes_are_filled_and_holes_stay() -> None:
    assert torch.equal(tidy(spotted(hole=4))[0], square())
    assert torch.equal(tidy(spotted(hole=5))[0], spotted(hole=5))


def test_bays_at_the_edge_of_the_region_are_no_holes() -> None:
    mask = torch.ones(SIZE, SIZE, dtype=torch.bool)
    mask[0, 5:8] = False
    mask[20:24, SIZE - 1] = False

    assert torch.equal(tidy(mask)[0], mask)


def test_a_gap_that_meets_the_outside_at_a_corner_alone_is_a_hole() -> None:
    mask = square()
    mask[10, 10] = False
    mask[11, 11] = False

    assert bool(tidy(mask)[0, 11, 11])
    assert not tidy(mask)[0, 10, 10]


def test_every_mask_is_measured_by_its_own_largest_piece() -> None:
    small = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    small[2:6, 2:6] = True  # a speck beside the square, all there is alone
    small[30:32, 30:32] = True

    both = tidy(spotted((2, 2, 4)), small, torch.zeros_like(small))

    assert torch.equal(both[0], square())
    assert torch.equal(both[1], small)
    assert not both[2].any()


def test_what_touches_at_a_corner_is_one_piece() -> None:
    mask = spotted((30, 30, 3))

    assert torch.equal(tidy(mask)[0], mask)


@pytest.mark.parametrize(("sign", "kept"), [(1, True), (-1, False), (0, False)])
def test_a_speck_that_was_clicked_stays(sign: int, kept: bool) -> None:
    click = torch.tensor([[[3.0, 3.0, float(sign)]]])

    assert bool(tidy(spotted((2, 2, 3)), clicks=click)[0, 3, 3]) == kept


@pytest.mark.parametrize(("sign", "kept"), [(-1, True), (1, False), (0, False)])
def test_a_pinhole_that_was_clicked_stays(sign: int, kept: bool) -> None:
    click = torch.tensor([[[19.0, 19.0, float(sign)]]])

    assert bool(tidy(spotted(hole=3), clicks=click)[0, 19, 19]) != kept


def test_clicks_are_found_on_the_masks_own_regions() -> None:
    """Of the same mask on two regions, the click lies in the speck of the second alone."""
    logits = torch.where(spotted((2, 2, 3)), 3.0, -2.0).expand(2, -1, -1)
    roi = torch.cat([WHOLE, WHOLE * torch.tensor([1.0, 1.0, 10.0, 10.0])])
    middle = roi[1, :2] - roi[1, 2:] + 3.5 * roi[1, 2:] * 2 / SIZE
    clicks = torch.tensor([[[*middle.tolist(), 1.0]]]).expand(2, -1, -1)

    result = tidied(logits, roi, clicks) > 0

    assert not result[0, 3, 3]
    assert result[1, 3, 3]


def test_how_sure_the_other_cells_are_does_not_change() -> None:
    logits = torch.where(spotted((2, 2, 3), hole=2), 3.0, -2.0)[None]
    logits[0, 18, 18] = 0.0  # as unsure as can be, and not in the mask

    result = tidied(logits, WHOLE, NOTHING)
    changed = result != logits

    assert int(changed.sum()) == 9 + 4
    assert result[0, 18, 18] > 0
    assert torch.allclose(result[changed].abs(), logits[changed].abs(), atol=2e-3)


def _speckled(net: BuiltinNet, grid: int) -> None:
    """Let a network answer with a square that has a speck in a corner of its region."""
    mask = torch.zeros(grid, grid, dtype=torch.bool)
    mask[grid // 4 : -grid // 4, grid // 4 : -grid // 4] = True
    mask[1, 1] = True
    logits = torch.where(mask, 6.0, -6.0)

    def answer(maps: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        size = maps.shape[-1]
        one = torch.nn.functional.interpolate(logits[None, None], (size, size), mode="nearest")[0]
        return one.expand(len(maps), 3, -1, -1).clone()

    net.decoder.masks = answer
    net.decoder.forward = lambda maps, features: Output(
        answer(maps, features), torch.full((len(maps), 3), 0.5)
    )


@pytest.fixture
def look() -> Look:
    torch.manual_seed(0)
    net = BuiltinNet(BuiltinConfig((8, 8, 8, 8, 8), 8, (8, 8, 8, 8), 32)).eval().requires_grad_(False)
    _speckled(net, 40)
    image = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    return Look(net, BuiltinSegmenter(net, "0" * 64).encode(image), "cpu")


def without_specks(logits: torch.Tensor, roi: torch.Tensor) -> bool:
    return torch.equal(tidied(logits[None], roi[None], NOTHING)[0] > 0, logits > 0)


@pytest.mark.parametrize("way", ["box", "click", "again"])
def test_no_answer_of_the_model_has_specks(look: Look, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # the filter of the consensus would wash so small a speck away
    monkeypatch.setattr(builtin_search, "consensus", lambda both, maps: torch.logit(both, 1e-4))
    box = Prompt.from_box((16, 16, 48, 48))
    if way == "box":
        pool = box_pools(look, [box])[0]
    elif way == "click":
        pool = click_pools(look, [Prompt.from_points([(32, 32)])])[0]
    else:
        earlier = np.full(look.frame.work, FAR_OUTSIDE)
        pool = again_pool(look, box.with_points([[32, 32]], [1]).with_logits(earlier))

    for logits, roi in pool.found[way == "again" :]:  # a correction's first answer keeps what was there
        assert without_specks(logits, roi)


def test_nor_has_everything(look: Look) -> None:
    for found in search_fast(look, [Prompt.from_points([(32, 32)]), Prompt.from_points([(20, 40)])]):
        assert all(without_specks(logits, roi) for logits, _, roi in found)
