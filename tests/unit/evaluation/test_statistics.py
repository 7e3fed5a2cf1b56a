import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam_med.evaluation.statistics import bootstrap_mean, spearman

numbers = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=40)


def by_hand(x, y):
    """Pearson's correlation of mid-ranks, counted one by one."""

    def ranks(values):
        return np.array([sum(v < w for v in values) + (sum(v == w for v in values) + 1) / 2 for w in values])

    return np.corrcoef(ranks(x), ranks(y))[0, 1]


@given(numbers)
def test_rho_is_the_correlation_of_ranks(pairs):
    x, y = (np.array(side, float) for side in zip(*pairs, strict=True))
    found = spearman(x, y)
    assert found.n_valid == len(pairs)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert math.isnan(found.rho)
    else:
        assert found.rho == pytest.approx(by_hand(x, y), abs=1e-9)
        assert 0 <= found.p <= 1


def test_nan_is_left_out_and_infinite_ranks_highest():
    nan, inf = math.nan, math.inf
    assert spearman([1, 2, nan, 3, 4], [1, 2, 9, nan, 3])[:2] == (pytest.approx(1.0), 3)
    assert spearman([1, 2, 3, 4], [1, 2, 3, inf]).rho == pytest.approx(1.0)


@pytest.mark.parametrize("pairs", [([], []), ([1.0], [2.0]), ([1, 2], [2, 1]), ([3, 3, 3], [1, 2, 3])])
def test_too_little_gives_nan(pairs):
    found = spearman(*pairs)
    assert math.isnan(found.rho)
    assert math.isnan(found.p)
    assert found.n_valid == len(pairs[0])


def test_bootstrap_interval_of_a_mean():
    values = np.random.default_rng(1).normal(10, 2, 400)
    low, high = bootstrap_mean(values)
    assert low < values.mean() < high
    # the normal theory: ± 1.96 standard errors
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert bootstrap_mean(values) == (low, high)
    assert bootstrap_mean([*values, math.nan]) == (low, high)
    narrow = bootstrap_mean(values, level=0.5)
    assert low < narrow[0] < narrow[1] < high
    assert all(math.isnan(end) for end in bootstrap_mean([3.0]))
