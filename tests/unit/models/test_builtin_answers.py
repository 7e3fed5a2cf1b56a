"""Which answers of the built-in model are given, in which order, and what is proposed by grey alone."""

import numpy as np
import pytest
import torch

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.models.builtin import BuiltinSegmenter
from napari_sam_med.models.builtin_answers import (
    BELIEF,
    FIRM,
    PREFERENCE,
    SAME,
    _merged,
    again,
    again_pool,
    box_pools,
    boxes,
)
from napari_sam_med.models.builtin_choice import BEHIND, Pool, best_apart, follows
from napari_sam_med.models.builtin_facts import N_FACTS
from napari_sam_med.models.builtin_judge import mask_iou
from napari_sam_med.models.builtin_look import Look, consensus
from napari_sam_med.models.builtin_net import BuiltinConfig, BuiltinNet, Output
from napari_sam_med.models.builtin_proposals import standing_out
from napari_sam_med.models.builtin_search import APART, STREWN, click_pools, strewn, with_clicks
from napari_sam_med.models.builtin_tidy import without_holes

SMALL = BuiltinConfig(encoder=(8, 8, 8, 8, 8), features=8, decoder=(8, 8, 8, 8), grid=32)


def square(start: int, stop: int, size: int = 24) -> torch.Tensor:
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[start:stop, start:stop] = True
    return mask


def corrected(image: np.ndarray) -> tuple[Look, Prompt]:
    """A look at a 64×64 slice by a random network, and a negative click on a square that was answered to a box."""
    torch.manual_seed(0)
    net = BuiltinNet(SMALL).eval().requires_grad_(False)
    look = Look(net, BuiltinSegmenter(net, "0" * 64).encode(image), "cpu")
    earlier = np.where(square(20, 40, 64).numpy(), 4.0, -4.0)
    earlier = np.kron(earlier, np.ones((4, 4)))  # the working image is four times as large
    return look, Prompt.from_box((18, 18, 42, 42)).with_points([[30, 30]], [0]).with_logits(earlier)


def pool_of(*masks: torch.Tensor, obedient: tuple[float, ...] | None = None) -> Pool:
    found = [(mask.float() * 2 - 1, torch.zeros(4)) for mask in masks]
    right = torch.ones(len(masks)) if obedient is None else torch.tensor(obedient)
    return Pool(found, torch.zeros(len(masks), N_FACTS), mask_iou(torch.stack(masks)), right)


def given(
    pool: Pool, scores: list[float], most: float = SAME, prefer: float = 0.0
) -> list[tuple[int, float]]:
    """Places in the pool of the answers given, and their scores."""
    answers = best_apart(lambda facts: torch.tensor(scores), pool._replace(prefer=prefer), most)
    places = [next(k for k, each in enumerate(pool.found) if each[0] is logits) for logits, _, _ in answers]
    return list(zip(places, [round(float(score), 3) for _, score, _ in answers], strict=True))


def test_the_consensus_gives_way_only_to_an_answer_that_is_clearly_better():
    pool = pool_of(square(0, 10), square(4, 16), square(10, 24), square(2, 6))
    close = [0.6, 0.6 + PREFERENCE - 0.01, 0.3, 0.2]
    assert given(pool, close, prefer=PREFERENCE) == [(0, 0.6), (1, round(0.6 - BEHIND, 3)), (2, 0.3)]
    clear = [0.6, 0.6 + PREFERENCE + 0.01, 0.3, 0.2]
    assert given(pool, clear, prefer=PREFERENCE) == [(1, round(clear[1], 3)), (0, 0.6), (2, 0.3)]


def test_a_consensus_against_the_clicks_gives_way_at_once():
    pool = pool_of(square(0, 10), square(4, 16), square(10, 24), obedient=(0.0, 1.0, 1.0))
    assert [k for k, _ in given(pool, [0.6, 0.02, 0.05], prefer=PREFERENCE)] == [2, 1, 0]


def test_answers_that_are_nearly_the_same_are_given_once():
    pool = pool_of(square(0, 20), square(0, 20), square(5, 12), square(15, 24))
    assert [place for place, _ in given(pool, [0.9, 0.8, 0.4, 0.5])] == [0, 3, 2]
    alike = pool_of(square(0, 20), square(0, 20), square(0, 20))
    assert [place for place, _ in given(alike, [0.5, 0.9, 0.7])] == [1, 2, 0]  # nothing else to give


def test_answers_against_the_clicks_come_last():
    masks = torch.stack([square(0, 10), square(8, 20), square(0, 24)])
    clicks = torch.tensor([[4.0, 4.0, 1.0], [15.0, 15.0, -1.0], [0.0, 0.0, 0.0]])
    assert follows(masks, clicks).tolist() == [1, 0, 0]
    assert follows(masks, torch.tensor([[23.0, 0.0, 1.0], [4.0, 4.0, -1.0]])).tolist() == [
        1,
        1,
        1,
    ]  # none does
    pool = pool_of(*masks, obedient=(1.0, 0.0, 0.0))
    assert given(pool, [0.2, 0.9, 0.8]) == [(0, 0.2), (1, 0), (2, 0)]


def test_how_the_clicks_are_strewn_decides_which_answer_comes_first_but_not_how_good_it_is_said_to_be():
    pool = pool_of(square(0, 10), square(4, 16), square(10, 24), obedient=(0.5, 1.0, 0.9))
    assert given(pool, [0.8, 0.7, 0.6], most=APART) == [(1, 0.7), (2, 0.6), (0, 0.59)]


def test_a_correction_may_leave_the_rest_of_the_answer_as_it_is():
    known = square(2, 10).float() * 0.8 + 0.1
    new = (square(0, 12) | square(16, 20)).float() * 8 - 4
    roi = torch.tensor([11.5, 11.5, 12.0, 12.0])
    at_piece = torch.tensor([[5.0, 5.0, 1.0], [18.0, 18.0, 1.0], [0.0, 0.0, 0.0]])
    assert torch.equal(_merged(known, new, roi, at_piece) > 0, square(2, 10) | square(16, 20))
    at_rim = torch.tensor([[0.0, 11.0, 1.0]])
    assert torch.equal(_merged(known, new, roi, at_rim) > 0, square(0, 12))
    nowhere = torch.tensor([[22.0, 2.0, -1.0]])  # the new answer does nothing there: take it as it is
    assert torch.equal(_merged(known, new, roi, nowhere), new)
    assert torch.equal(_merged(known, new, roi, torch.zeros(1, 3)), new)


def test_a_whole_new_answer_is_what_the_network_believes_on_the_whole(monkeypatch):
    look, prompt = corrected(np.zeros((64, 64), np.uint8))
    masks = torch.stack([square(0, 20, 32), square(6, 20, 32), square(0, 32, 32)])
    for belief in ((0.6, 0.6, 0.1), (0.1, 0.2, 0.9)):
        output = Output(8.0 * masks[None] - 4.0, torch.tensor([belief]))
        monkeypatch.setattr(Look, "decode", lambda *_, output=output: output)
        pool = again_pool(look, prompt)
        assert len(pool.found) == 4
        shares = torch.tensor(belief).div(BELIEF).softmax(0)
        wanted = (output.logits[0].sigmoid() * shares[:, None, None]).sum(0)
        torch.testing.assert_close(pool.found[1][0].sigmoid(), wanted, atol=2e-4, rtol=0)
        least = pool.found[3][0]
        assert torch.equal(least, output.logits[0, int(np.argmin(belief))])


def test_the_judge_decides_whether_a_correction_stays_local(monkeypatch):
    look, prompt = corrected(np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8))
    pool = again_pool(look, prompt)
    pool = pool._replace(follows=torch.ones(4))
    monkeypatch.setattr("napari_sam_med.models.builtin_answers.again_pool", lambda *_: pool)
    for favourite in (0, 1):
        said = torch.full((4,), 0.3)
        said[favourite] = 0.8
        monkeypatch.setattr(look.net.judge, "forward", lambda facts, said=said: said)
        (answers,) = again(look, [prompt])
        assert answers[0][0] is pool.found[favourite][0]
        assert float(answers[0][1]) == pytest.approx(0.8)


def test_a_good_correction_that_misses_a_click_by_a_pixel_is_not_said_to_be_worthless(monkeypatch):
    look, prompt = corrected(np.zeros((64, 64), np.uint8))
    pool = again_pool(look, prompt)
    said = torch.tensor([0.6, 0.9, 0.3, 0.2])
    monkeypatch.setattr(look.net.judge, "forward", lambda facts: said)
    for obedient, front in (((0.0, 0.0, 1.0, 1.0), 0), ((1.0, 0.0, 1.0, 1.0), 0), ((0.0, 1.0, 0.0, 0.0), 1)):
        given = pool._replace(follows=torch.tensor(obedient))
        monkeypatch.setattr("napari_sam_med.models.builtin_answers.again_pool", lambda *_, given=given: given)
        (answers,) = again(look, [prompt])
        assert answers[0][0] is pool.found[front][0]
        assert float(answers[0][1]) == pytest.approx(float(said[front]))


def test_the_greys_of_a_loose_box_do_not_count(monkeypatch):
    torch.manual_seed(0)
    net = BuiltinNet(SMALL).eval().requires_grad_(False)
    image = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    look = Look(net, BuiltinSegmenter(net, "0" * 64).encode(image), "cpu")
    pools, count = {}, []

    def noted(both, maps, greys):
        count.append(bool(greys))
        return consensus(both, maps, greys)

    monkeypatch.setattr("napari_sam_med.models.builtin_answers.consensus", noted)
    for limit, loose in ((0.0, False), (2.0, True)):  # no box is loose, every box is
        monkeypatch.setattr("napari_sam_med.models.builtin_answers.LOOSE", limit)
        (pools[loose],) = box_pools(look, [Prompt.from_box((18, 18, 42, 42))])
    same = [torch.equal(a[0], b[0]) for a, b in zip(pools[False].found, pools[True].found, strict=True)]
    assert same == [False, *[True] * 5]
    assert count == [True, False]


def test_boxes_have_a_judge_of_their_own(monkeypatch):
    torch.manual_seed(0)
    net = BuiltinNet(SMALL).eval().requires_grad_(False)
    look = Look(
        net,
        BuiltinSegmenter(net, "0" * 64).encode(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)),
        "cpu",
    )
    favourite = torch.tensor([0.2, 0.1, 0.1, 0.1, 0.9, 0.1])
    monkeypatch.setattr(net.box_judge, "forward", lambda facts: favourite)
    monkeypatch.setattr(net.judge, "forward", lambda facts: pytest.fail("the judge of clicks was asked"))
    monkeypatch.setattr("napari_sam_med.models.builtin_answers.LOOSE", 0.0)
    prompt = Prompt.from_box((18, 18, 42, 42))
    (answers,), (pool,) = boxes(look, [prompt]), box_pools(look, [prompt])
    assert float(answers[0][1]) == pytest.approx(0.9)
    assert torch.equal(answers[0][0], pool.found[4][0])


@pytest.mark.parametrize("bright", [True, False])
@pytest.mark.parametrize("side", [96, 300])
def test_what_stands_out_around_a_click_is_boxed(bright, side):
    rows, cols = np.indices((side, side)) / side
    body = (rows - 0.5) ** 2 + (cols - 0.45) ** 2 < 0.35**2
    organ = (rows - 0.5) ** 2 + (cols - 0.4) ** 2 < 0.1**2
    grey = 0.1 + 0.4 * body + 0.4 * organ
    noise = np.random.default_rng(0).normal(0, 0.02, grey.shape)
    image = torch.from_numpy(np.clip((grey if bright else 1 - grey) + noise, 0, 1)).float()
    boxes = standing_out(image, torch.tensor([[0.1, 0.1, 0.0], [0.5 * side, 0.4 * side, 1.0]]))
    for middle, radius in ((0.45, 0.35), (0.4, 0.1)):
        wanted = torch.tensor([0.5 - radius, middle - radius, 0.5 + radius, middle + radius]) * side
        assert (boxes - wanted).abs().amax(1).min() < 0.04 * side


def test_boxes_are_made_to_hold_the_positive_clicks():
    box = torch.tensor([[10.0, 10.0, 20.0, 20.0], [0.0, 0.0, 40.0, 40.0]])
    clicks = torch.tensor([[5.0, 15.0, 1.0], [15.0, 30.0, 1.0], [60.0, 60.0, -1.0], [70.0, 70.0, 0.0]])
    assert with_clicks(box, clicks).tolist() == [[4.5, 10.0, 20.0, 30.5], [0.0, 0.0, 40.0, 40.0]]


def test_nothing_stands_out_in_a_flat_slice():
    assert len(standing_out(torch.full((60, 40), 0.5), torch.tensor([[10.0, 10.0, 1.0]]))) == 0


@pytest.mark.parametrize("shape", [(40, 300), (256, 256)])
def test_pools_tell_facts_of_every_answer_whatever_the_slice(shape):
    torch.manual_seed(0)
    net = BuiltinNet(SMALL).eval().requires_grad_(False)
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    for pixels in (image, np.zeros(shape, np.uint8)):
        look = Look(net, BuiltinSegmenter(net, "0" * 64).encode(pixels), "cpu")
        for pool in (
            box_pools(look, [Prompt.from_box((0, 0, 3, 3))])[0],
            box_pools(look, [Prompt.from_box((5, 6, 30, 35)).with_points([[10, 10]], [0])])[0],
            click_pools(look, [Prompt.from_points([[0, 0]])])[0],
            click_pools(look, [Prompt.from_points([[20, 20], [30, 30]], [1, 0])])[0],
        ):
            n = len(pool.found)
            assert n >= 2
            assert pool.facts.shape == (n, N_FACTS)
            assert torch.isfinite(pool.facts).all()
            assert len(pool.overlap) == len(pool.follows) == n


def test_one_click_suits_every_answer_equally():
    box = torch.tensor([[0.0, 0, 4, 4], [0, 0, 400, 400]])
    assert (strewn(box, torch.tensor([[2.0, 2, 1], [50, 50, -1]])) == 1).all()


def test_clicks_close_together_do_not_mean_something_many_times_larger():
    box = torch.tensor([[40.0, 40, 60, 60], [0, 0, 100, 100], [0, 0, 400, 400]])
    clicks = torch.tensor([[42.0, 44, 1], [57, 50, 1], [50, 58, 1], [48, 42, 1], [390, 390, -1]])
    vessel, organ, body = strewn(box, clicks).tolist()
    assert vessel == 1
    assert 0.1 < body < organ < vessel


@pytest.mark.parametrize("n", [2, 3, 6])
def test_the_chance_of_clicks_lying_close_together_is_that_of_a_draw(n):
    span, side = 30.0, 75.0
    clicks = torch.tensor([[0.0, 0, 1], [span - 1, span - 1, 1], *[[3.0, 3, 1]] * (n - 2)])
    drawn = np.random.default_rng(0).uniform(0, side, (200_000, n))
    chance = np.mean(np.ptp(drawn, axis=1) <= span)
    _, factor = strewn(torch.tensor([[0.0, 0, span, span], [0.0, 0, side, side]]), clicks).tolist()
    assert factor ** (1 / STREWN) == pytest.approx(chance**2, rel=0.05)


def test_holes_are_filled_and_bays_are_not():
    ring = square(4, 20) & ~square(8, 16)
    bay = ring.clone()
    bay[10:14, 16:] = False
    two = torch.stack([square(2, 6) | ring & ~square(0, 7), ~square(6, 10)])
    logits = torch.stack([torch.stack([ring, bay]), two]).float() * 6 - 3
    filled = without_holes(logits) > 0
    assert torch.equal(filled[0, 0], square(4, 20))
    assert torch.equal(filled[0, 1], bay)
    assert filled[1, 1].all()
    assert torch.equal(without_holes(logits)[0, 1], logits[0, 1])


def test_what_is_bright_in_a_box_is_offered_with_what_it_encloses():
    inner = square(60, 110, 160)
    image = torch.where(square(40, 130, 160) & ~inner, 200, 30).byte().numpy()
    torch.manual_seed(0)
    model = BuiltinSegmenter(BuiltinNet(SMALL), "0" * 64)
    look = Look(model._net, model.encode(image), "cpu")
    with torch.inference_mode():
        bright = box_pools(look, [Prompt.from_box((40, 40, 129, 129))])[0].found[4][0] > 0
    assert bright[10:22, 10:22].all()  # the middle of a region of 32 cells


def test_answers_to_clicks_are_weighed_by_how_far_the_clicks_are_strewn():
    image = torch.where(square(60, 110, 160), 200, 30).byte().numpy()
    torch.manual_seed(0)
    model = BuiltinSegmenter(BuiltinNet(SMALL), "0" * 64)
    look = Look(model._net, model.encode(image), "cpu")
    places = [(70.0, 70.0), (71, 74), (74, 71), (73, 73), (72, 70)]
    with torch.inference_mode():
        one, several = (click_pools(look, [Prompt.from_points(places[:n])])[0] for n in (1, 5))
    assert set(one.follows.tolist()) <= {0.0, 1.0}
    large = torch.stack([(logits > 0).sum() * roi[2:].prod() for logits, roi in several.found]).argmax()
    assert 0 <= several.follows[large] < 0.6
    assert not set(several.follows.tolist()) <= {0.0, 1.0}


def test_the_consensus_is_held_to_where_the_network_agrees_with_itself(monkeypatch):
    torch.manual_seed(0)
    net = BuiltinNet(SMALL).eval().requires_grad_(False)
    image = np.full((64, 64), 60, np.uint8)
    image[20:40, 20:40] = 180
    look = Look(net, BuiltinSegmenter(net, "0" * 64).encode(image), "cpu")
    rows = torch.arange(SMALL.grid)
    inner = ((rows > 5) & (rows < 26)).float()
    disc, other = inner[:, None] * inner * 8 - 4, (rows[:, None] < 9).float().expand(-1, SMALL.grid) * 8 - 4
    for answers, prefer in (((disc, other, disc), FIRM), ((other, disc, disc), PREFERENCE)):
        monkeypatch.setattr(Look, "masks", lambda *rest, answers=answers: torch.stack(answers)[None])
        monkeypatch.setattr(
            "napari_sam_med.models.builtin_answers.consensus", lambda both, maps, greys: disc[None, None]
        )
        assert box_pools(look, [Prompt.from_box((20, 20, 39, 39))])[0].prefer == prefer
