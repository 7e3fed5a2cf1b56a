import math

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.weightstats import DescrStatsW

from napari_sam_med.evaluation.statistics_clusters import (
    clustered_mean,
    paired_difference,
    paired_rows,
)


def rows(values, **same):
    """(case, label, slice, dice) as a table."""
    data = pd.DataFrame(values, columns=["case", "label", "slice", "dice"])
    return data.assign(axis="axial", **same)


UNEVEN = [("a", 1, 0, 1.0), ("a", 1, 1, 0.8), ("a", 1, 2, 0.6), ("a", 2, 0, 0.2), ("b", 1, 0, 0.5)]


def test_slices_and_volumes_are_different_means():
    by_slice = clustered_mean(rows(UNEVEN), "dice", "slice")
    by_volume = clustered_mean(rows(UNEVEN), "dice", "volume")
    assert by_slice.mean == pytest.approx((1 + 0.8 + 0.6 + 0.2 + 0.5) / 5)
    assert by_slice.n_valid == 5
    assert by_volume.mean == pytest.approx((((1 + 0.8 + 0.6) / 3 + 0.2) / 2 + 0.5) / 2)
    assert by_volume.n_valid == by_volume.n_volumes == by_slice.n_volumes == 2
    with pytest.raises(ValueError, match="unit"):
        clustered_mean(rows(UNEVEN), "dice", "pixel")


def test_what_is_not_finite_does_not_count():
    data = rows([*UNEVEN, ("c", 1, 0, math.nan), ("d", 1, 0, math.inf)])
    assert clustered_mean(data, "dice", "slice") == clustered_mean(rows(UNEVEN), "dice", "slice")


def test_the_interval_of_many_volumes_is_that_of_the_normal_theory():
    rng = np.random.default_rng(0)
    data = rows([(f"v{k}", 1, 0, value) for k, value in enumerate(rng.normal(0.8, 0.1, 200))])
    found = clustered_mean(data, "dice", "volume", n_samples=5000)
    low, high = DescrStatsW(data["dice"]).tconfint_mean()
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.002)


def test_slices_that_agree_within_a_volume_do_not_narrow_the_interval():
    rng = np.random.default_rng(1)
    values = rng.normal(0.7, 0.2, 12)
    once = rows([(f"v{k}", 1, 0, v) for k, v in enumerate(values)])
    often = rows([(f"v{k}", 1, s, v) for k, v in enumerate(values) for s in range(50)])
    a, b = clustered_mean(once, "dice"), clustered_mean(often, "dice")
    assert (b.low, b.high) == pytest.approx((a.low, a.high))
    assert (a.n_valid, b.n_valid) == (12, 600)


@pytest.mark.parametrize("cases", [0, 1])
def test_too_few_volumes_have_no_interval(cases):
    found = clustered_mean(rows([("a", 1, 0, 0.4), ("a", 1, 1, 0.6)][: 2 * cases]), "dice")
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.n_valid == 2 * cases


def test_pairs_are_matched_by_case_slice_and_object():
    first = rows(UNEVEN, strategy="S2")
    second = rows([(c, la, s, d + 0.1) for c, la, s, d in reversed(UNEVEN[1:])], strategy="S5")
    both = pd.concat([first, second])
    pairs = paired_rows(both, "strategy", "S2", "S5")
    assert pairs["difference"].tolist() == pytest.approx([0.1] * 4)
    found = paired_difference(both, "strategy", "S2", "S5")
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert paired_difference(both, "strategy", "S5", "S2").mean == pytest.approx(-0.1)
    assert paired_difference(both, "strategy", "S2", "S5", unit="slice").n_valid == 4


def test_a_difference_is_surer_than_two_means():
    rng = np.random.default_rng(2)
    level = rng.normal(0.6, 0.2, 15)
    first = rows([(f"v{k}", 1, 0, v) for k, v in enumerate(level)], model="a")
    gain = rng.normal(0.05, 0.02, 15)
    second = rows([(f"v{k}", 1, 0, v) for k, v in enumerate(level + gain)], model="b")
    found = paired_difference(pd.concat([first, second]), "model", "a", "b")
    assert found.low > 0
    assert clustered_mean(first, "dice").high > clustered_mean(second, "dice").low


def test_two_rows_of_one_side_are_refused():
    twice = pd.concat([rows(UNEVEN, strategy="S2"), rows(UNEVEN, strategy="S2"), rows(UNEVEN, strategy="S5")])
    with pytest.raises(ValueError):
        paired_rows(twice, "strategy", "S2", "S5")
