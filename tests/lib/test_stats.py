"""Intervals that cover, p-values that are uniform under the null, and examples by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from lib import stats
from lib.core import InputError

NAN = math.nan


def test_a_mean_by_hand() -> None:
    found = stats.summary([1, NAN, 2, 3])
    assert (found.mean, found.n) == (2, 3)
    assert 1 <= found.low < found.mean < found.high <= 3


def test_nothing_left_is_an_empty_estimate() -> None:
    for values in ([], [NAN, NAN]):
        found = stats.summary(values)
        assert math.isnan(found.mean) and math.isnan(found.low) and math.isnan(found.high)
        assert found.n == 0
        assert math.isnan(stats.paired(values, values).p)
        assert stats.paired(values, values).n == 0


def test_one_user_has_no_spread() -> None:
    assert stats.summary([0.5]) == (0.5, 0.5, 0.5, 1)
    only = stats.paired([0.5], [0.25])
    assert (only.difference, only.p, only.n) == (0.25, 1.0, 1)
    assert math.isnan(only.effect)


def test_a_ratio_pools() -> None:
    found = stats.ratio([1, 0, 3, NAN], [2, 1, 3, 7])
    assert (found.mean, found.n) == (4 / 6, 3)
    assert stats.value_of_totals(np.divide, [1, 0, 3, NAN], [2, 1, 3, 7]) == 4 / 6
    assert math.isnan(stats.ratio([0, 0], [0, 0]).mean)


def test_a_ratio_passes_over_resamples_without_hits() -> None:
    found = stats.ratio([1, 0, 0], [2, 0, 0])  # 8 of 27 resamples have no hit at all
    assert (found.mean, found.low, found.high) == (0.5, 0.5, 0.5)


def test_any_function_of_totals() -> None:
    a, n = np.array([3.0, 5, 4, 8]), np.ones(4)
    gap = stats.of_totals(lambda s, t, u, v: s / t - u / v, a, n, a - 1, n)
    np.testing.assert_allclose(gap[:3], 1)


@given(st.lists(st.one_of(st.floats(0, 10), st.just(NAN)), min_size=1, max_size=40))
def test_the_value_alone_is_that_of_the_estimate(values: list[float]) -> None:
    columns = np.array(values), np.arange(1.0, len(values) + 1)
    whole = stats.of_totals(np.divide, *columns)
    np.testing.assert_equal(stats.value_of_totals(np.divide, *columns), whole.mean)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.one_of(st.floats(-10, 10), st.just(NAN)), min_size=1, max_size=40))
def test_the_order_of_users_does_not_matter(values: list[float]) -> None:
    rng = np.random.default_rng(len(values))
    a, b = np.array(values), rng.standard_normal(len(values))
    order = rng.permutation(len(a))
    np.testing.assert_equal(stats.summary(a[order], draws=50), stats.summary(a, draws=50))
    np.testing.assert_equal(
        stats.ratio(a[order], b[order] ** 2, draws=50), stats.ratio(a, b**2, draws=50)
    )
    np.testing.assert_equal(
        stats.paired(a[order], b[order], draws=50), stats.paired(a, b, draws=50)
    )


def test_a_gain_is_that_of_the_totals() -> None:
    found = stats.relative_gain([0.5, 1.0, np.nan], [0.5, 0.5, 0.1])
    assert found.mean == pytest.approx(0.5) and found.n == 2
    assert np.isnan(stats.relative_gain([0.5, 1.0], [0.0, 0.0]).mean)


def test_a_seed_decides_the_draws() -> None:
    values = np.random.default_rng(0).random(50)
    assert stats.summary(values, seed=1) == stats.summary(values, seed=1)
    assert stats.summary(values, seed=1) != stats.summary(values, seed=2)


def test_blocks_leave_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random(101)
    whole = stats.summary(values)
    monkeypatch.setattr(stats, "_BLOCK", 500)
    np.testing.assert_allclose(stats.summary(values)[:3], whole[:3], atol=0.01)
    monkeypatch.setattr(stats, "_BLOCK", 50)  # one draw is more than a block
    np.testing.assert_allclose(stats.summary(values)[:3], whole[:3], atol=0.01)
    assert stats.paired(values, values[::-1], draws=200).p > 0.5


def test_agrees_with_scipy() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.exponential(size=300), 1 + rng.exponential(size=300)
    theirs = scipy_stats.bootstrap(
        (a,), np.mean, n_resamples=20_000, method="percentile", rng=rng
    ).confidence_interval
    np.testing.assert_allclose(stats.summary(a, draws=20_000)[1:3], theirs, atol=0.005)
    theirs = scipy_stats.bootstrap(
        (a, b),
        lambda x, y, axis=-1: x.sum(axis=axis) / y.sum(axis=axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=rng,
    ).confidence_interval
    np.testing.assert_allclose(stats.ratio(a, b, draws=20_000)[1:3], theirs, atol=0.005)


def test_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(11)
    samples = rng.exponential(size=(400, 80))
    found = [stats.summary(sample, seed=i, draws=400) for i, sample in enumerate(samples)]
    covered = np.mean([e.low <= 1 <= e.high for e in found])
    # a percentile interval of a skewed mean at n = 80 covers a little less than 95 %
    assert 0.90 <= covered <= 0.97


def test_all_sign_assignments_of_four_users() -> None:
    # 2 of the 16 assignments of 1, 2, 3, 4 have a total of ±10; 4 have one of at least 8
    assert stats.paired([1, 2, 3, 4], [0] * 4, draws=40_000).p == pytest.approx(2 / 16, abs=0.006)
    one_down = stats.paired([0, 2, 3, 4], [1, 0, 0, 0], draws=40_000)
    assert one_down.p == pytest.approx(4 / 16, abs=0.006)
    d = np.array([-1.0, 2, 3, 4])
    assert one_down.effect == pytest.approx(d.mean() / d.std(ddof=1))
    assert one_down.difference == 2


def test_equal_systems_and_a_shift() -> None:
    same = stats.paired([0.1, 0.2], [0.1, 0.2])
    assert same == (0, 0, 0, 0, 1, 2)
    always = stats.paired([1.0] * 30, [0.5] * 30, draws=999)
    assert (always.p, always.effect) == (1 / 1000, math.inf)


@pytest.mark.parametrize("a", [[math.inf, 1, 2], [-math.inf, math.inf, 2], [1e308, 1e308, 1e308]])
def test_differences_that_are_not_finite_are_refused(a: list[float]) -> None:
    """They had p = 0.0001, as no random total reaches one that is not a number."""
    with pytest.raises(InputError, match="give finite values, NaN for a user without a value"):
        stats.paired(a, [-1e308, math.inf, 3])
    assert stats.paired([NAN, 1, 2], [math.inf, 1, 2]) == (0, 0, 0, 0, 1, 2)


def test_swapping_the_systems_mirrors() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(60), rng.random(60) + 0.05
    forward, back = stats.paired(a, b, draws=500), stats.paired(b, a, draws=500)
    np.testing.assert_allclose(forward.difference, -back.difference, rtol=1e-12)
    np.testing.assert_allclose(forward.effect, -back.effect, rtol=1e-12)
    assert forward.p == back.p


def test_p_values_are_uniform_without_a_difference() -> None:
    rng = np.random.default_rng(7)
    p = [stats.paired(*rng.standard_normal((2, 40)), seed=i, draws=199).p for i in range(300)]
    assert scipy_stats.kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_p_values_are_small_with_one() -> None:
    rng = np.random.default_rng(7)
    a = rng.standard_normal(200)
    assert stats.paired(a + 0.5 + 0.5 * rng.standard_normal(200), a).p == 1 / 10_001


def test_holm_by_hand() -> None:
    # 0.01 · 4, then 0.02 · 3, then 0.03 · 2 held up at 0.06, then 0.04 · 1 held up
    np.testing.assert_allclose(stats.holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(stats.holm([0.6, 0.7]), [1, 1])
    np.testing.assert_allclose(stats.holm([0.02, NAN, 0.5]), [0.04, NAN, 0.5])
    assert stats.holm([]).tolist() == []


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: stats.summary(np.zeros((2, 2, 2))), r"\(2, 2, 2\)"),
        (lambda: stats.ratio(np.zeros((2, 4)), np.zeros((3, 4))), r"\(2, 4\), \(3, 4\)"),
        (lambda: stats.ratio([1, 2], [1]), r"\(2,\), \(1,\)"),
        (lambda: stats.paired([1, 2], [1]), r"\(2,\), \(1,\)"),
        (lambda: stats.summary([1, 2], draws=0), "draws = 0"),
        (lambda: stats.paired([1, 2], [1, 1], draws=0), "draws = 0"),
        (lambda: stats.holm([0.1, 1.5]), "1.5"),
    ],
)
def test_what_cannot_be_summarised_is_refused(call: object, named: str) -> None:
    with pytest.raises(InputError, match=named):
        call()  # type: ignore[operator]


def test_seeds_and_users_by_hand() -> None:
    values = np.array([[1.0, 2, NAN], [3, 6, 7]])  # the third user has no value of the first seed
    assert stats.summary(values)[0] == 3 and stats.summary(values).n == 2
    assert stats.ratio(values, [1, 1, 1]).mean == 3  # a column without seeds is the same for all
    same = stats.summary(np.tile([0.0, 1, 2, 3], (4, 1)))
    assert same == stats.summary([0.0, 1, 2, 3])  # equal seeds add nothing
    apart = stats.summary(np.repeat([[0.0], [1.0]], 9, axis=1))  # only the seed matters
    assert apart[:3] == (0.5, 0, 1)


def test_no_seed_counts_less_than_nothing() -> None:
    """Counts stretched about 1 could be negative: a share of 0.8 had an interval to 1.05."""
    found = stats.ratio([[5.0, 5, 5], [1, 2, 0]], [[5.0, 5, 5], [3, 3, 3]])
    assert 0 <= found.low < found.mean < found.high <= 1
    # two seeds of one user: either alone
    assert stats.summary([[1.0], [3.0]]) == (2.0, 1.0, 3.0, 1)


def test_seeds_and_users_do_not_depend_on_the_order_of_users() -> None:
    rng = np.random.default_rng(0)
    top, base = rng.random((2, 3, 50))
    order = rng.permutation(50)
    assert stats.ratio(top, base) == stats.ratio(top[:, order], base[:, order])


@pytest.mark.parametrize("n_seeds", [3, 5])
@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_intervals_over_seeds_and_users_cover(n_seeds: int, spread: float) -> None:
    """``spread``: standard deviation of the seeds' mean in standard errors of the users' mean."""
    rng, n, worlds = np.random.default_rng(1), 200, 400
    covered = 0
    for _ in range(worlds):
        user = rng.standard_normal(n)
        seed = spread * np.sqrt(n_seeds / n) * rng.standard_normal((n_seeds, 1))
        found = stats.summary(user + seed + 0.5 * rng.standard_normal((n_seeds, n)), draws=200)
        covered += found.low <= 0 <= found.high
    assert 0.92 <= covered / worlds <= 0.98
