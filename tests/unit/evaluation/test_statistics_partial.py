import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from napari_sam_med.evaluation.statistics_partial import factor_correlations, partial_spearman


def table(n=200, n_volumes=8, seed=0):
    """Three factors that go together, ties in one, and a metric that depends on two of them."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    b = np.round(0.7 * a + rng.normal(size=n), 1)
    c = rng.exponential(size=n) + 0.3 * b
    dice = 0.5 * a - 0.8 * np.log(c - c.min() + 1) + rng.normal(size=n)
    case = [f"v{k}" for k in rng.integers(0, n_volumes, n)]
    return pd.DataFrame({"case": case, "dice": dice, "a": a, "b": b, "c": c})


def by_regression(data, factor, others):
    """Partial Spearman the other way: correlation of the residuals of two regressions over ranks (statsmodels)."""
    ranks = data.rank()
    fixed = sm.add_constant(ranks[others])
    left = sm.OLS(ranks["dice"], fixed).fit().resid
    right = sm.OLS(ranks[factor], fixed).fit().resid
    return np.corrcoef(left, right)[0, 1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_partial_rho_and_p_agree_with_regression(seed):
    data = table(seed=seed).drop(columns="case")
    found = partial_spearman(data, "dice", ["a", "b", "c"])
    assert found.n_valid == 200
    for factor in "abc":
        others = [name for name in "abc" if name != factor]
        assert found.rho[factor] == pytest.approx(by_regression(data, factor, others), abs=1e-9)
        ranks = data.rank()
        fit = sm.OLS(ranks["dice"], sm.add_constant(ranks[["a", "b", "c"]])).fit()
        assert found.p[factor] == pytest.approx(fit.pvalues[factor], rel=1e-6)


def test_one_factor_is_plain_spearman():
    data = table()
    found = partial_spearman(data, "dice", ["b"])
    assert found.rho["b"] == pytest.approx(stats.spearmanr(data["dice"], data["b"]).statistic)


def test_degenerate_columns_are_left_out_and_the_others_stay():
    data = table()
    clean = partial_spearman(data, "dice", ["a", "b", "c"])
    data["flat"] = 3.0
    data["twin"] = np.exp(data["a"])  # the same ranks as a
    data["rare"] = np.where(np.arange(len(data)) < 20, data["a"], np.nan)
    found = partial_spearman(data, "dice", ["a", "flat", "b", "twin", "rare", "c"])
    assert found.used == ("a", "b", "c")
    assert set(found.notes) == {"flat", "twin", "rare"}
    assert {name: found.rho[name] for name in "abc"} == pytest.approx(clean.rho)
    assert all(np.isnan(found.rho[name]) for name in ("flat", "twin", "rare"))


def test_rows_with_nan_do_not_count_and_infinite_values_rank_highest():
    data = table()
    data.loc[:9, "a"] = np.nan
    found = partial_spearman(data, "dice", ["a", "b", "c"])
    assert found.n_valid == 190
    assert found.rho == pytest.approx(partial_spearman(data[10:], "dice", ["a", "b", "c"]).rho)
    data["c"] = data["c"].where(data["c"] < data["c"].max(), np.inf)
    assert partial_spearman(data, "dice", ["a", "b", "c"]).rho == pytest.approx(found.rho)


@pytest.mark.parametrize("rows", [0, 1, 3, 4])
def test_too_few_rows_are_nan_with_a_reason(rows):
    found = partial_spearman(table()[:rows], "dice", ["a", "b", "c"])
    assert all(np.isnan(value) for value in found.rho.values())
    assert set(found.notes) == {"a", "b", "c"}


def test_a_constant_metric_is_nan():
    data = table().assign(dice=1.0)
    found = partial_spearman(data, "dice", ["a", "b"])
    assert np.isnan(found.rho["a"])
    assert "dice" in found.notes["a"]


def test_perfect_agreement_and_no_factor_at_all():
    data = table().assign(dice=lambda t: t["a"] ** 3)
    found = partial_spearman(data, "dice", ["a"])
    assert found.rho["a"] == pytest.approx(1)
    assert partial_spearman(data, "dice", []).rho == {}


def test_intervals_are_those_of_whole_volumes_drawn_again():
    data = table(n=60, n_volumes=5)
    found = {c.factor: c for c in factor_correlations(data, ["a", "b"], n_samples=300, seed=3)}
    codes, names = pd.factorize(data["case"])
    drawn = np.random.default_rng(3).multinomial(len(names), np.full(len(names), 1 / len(names)), size=300)
    samples = []
    for counts in drawn:  # rows repeated for real, ranked by scipy, correlated by residuals
        repeated = data.iloc[np.repeat(np.arange(len(data)), counts[codes])]
        samples.append(by_regression(repeated[["dice", "a", "b"]], "a", ["b"]))
    assert (found["a"].partial_low, found["a"].partial_high) == pytest.approx(
        tuple(np.quantile(samples, [0.025, 0.975])), abs=1e-9
    )
    assert found["a"].rho == pytest.approx(stats.spearmanr(data["dice"], data["a"]).statistic)
    assert found["a"].low < found["a"].rho < found["a"].high


def test_slices_of_one_volume_count_as_one():
    """Repeating every slice ten times tells nothing new, so the interval stays as wide."""
    data = table(n=80)
    once = factor_correlations(data, ["a"], n_samples=200)[0]
    ten = factor_correlations(pd.concat([data] * 10), ["a"], n_samples=200)[0]
    assert ten.partial_high - ten.partial_low == pytest.approx(once.partial_high - once.partial_low, rel=0.05)
    assert ten.partial_n == 800


def test_one_volume_has_no_interval():
    found = factor_correlations(table(n_volumes=1), ["a", "b"], n_samples=50)[0]
    assert np.isfinite(found.partial_rho)
    assert np.isnan(found.partial_low)
    assert np.isnan(found.high)


def test_a_property_that_few_volumes_have_does_not_cost_the_others_their_interval():
    data = table(n=120, n_volumes=6).assign(rare=lambda t: (t["case"] == "v0").astype(float))
    found = {c.factor: c for c in factor_correlations(data, ["a", "b", "rare"], n_samples=200)}
    # a third of the samples lack v0
    assert np.isnan(found["rare"].partial_low)
    assert np.isfinite(found["rare"].partial_rho)
    alone = {c.factor: c for c in factor_correlations(data, ["a", "b"], n_samples=200)}
    for name in "ab":
        assert found[name].partial_low == pytest.approx(alone[name].partial_low, abs=0.1)
        assert found[name].partial_high == pytest.approx(alone[name].partial_high, abs=0.1)


def test_perfect_agreement_with_another_factor_beside_it():
    data = table().assign(dice=lambda t: t["a"] ** 3, flat=1.0)
    assert partial_spearman(data, "dice", ["a", "flat"]).rho["a"] == pytest.approx(1)
    found = partial_spearman(data, "dice", ["a", "b"])
    assert np.isnan(found.rho["a"])
    assert "follows" in found.notes["a"]


@given(
    hnp.arrays(
        float,
        st.tuples(st.integers(6, 30), st.integers(2, 4)),
        elements=st.sampled_from([0.0, 1.0, 2.0, 5.0, np.inf, -np.inf, np.nan]),
    )
)
def test_any_table_gives_a_number_between_minus_one_and_one_or_a_reason(values):
    names = ["dice", *"abc"[: values.shape[1] - 1]]
    data = pd.DataFrame(values, columns=names)
    found = partial_spearman(data, "dice", names[1:])
    for name in names[1:]:
        assert np.isnan(found.rho[name]) == (name in found.notes)
        assert np.isnan(found.rho[name]) or -1 <= found.rho[name] <= 1
    used = list(found.used)
    if used and not any(np.isnan(found.rho[name]) for name in used):
        complete = data[["dice", *used]].dropna()
        for name in used:
            others = [other for other in used if other != name]
            assert found.rho[name] == pytest.approx(by_regression(complete, name, others), abs=1e-6)
