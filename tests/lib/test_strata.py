"""Strata by training counts, recall within them, and gains over the same resampled users."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from companion import figures
from lib import metrics
from lib.core import InputError
from lib.diagnostics import best_of_union
from lib.metrics import recall
from lib.stats import of_totals, relative_gain

counts_of = st.lists(st.integers(0, 6), min_size=1, max_size=60)


def csr(rows: list[list[int]]) -> sp.csr_matrix:
    return sp.csr_matrix(np.array(rows, dtype=np.float32))


def world(seed: int, n_users: int = 40, n_items: int = 30) -> tuple[np.ndarray, sp.csr_matrix]:
    """Return random lists of five and relevant items, some users with none."""
    draw = np.random.default_rng(seed)
    lists = draw.permuted(np.tile(np.arange(n_items), (n_users, 1)), axis=1)[:, :5]
    wanted = draw.random((n_users, n_items)) < draw.choice([0, 0.2], (n_users, 1))
    return lists, csr(wanted.tolist())


def test_ten_different_counts_are_split_six_two_two() -> None:
    labels = metrics.by_count([50, 1, 9, 3, 2, 100, 4, 6, 30, 5])
    assert labels.tolist() == [2, 0, 1, 0, 0, 2, 0, 0, 1, 0]


@given(counts_of, st.integers(0, 99))
def test_shares_hold_exactly_and_no_stratum_is_hotter_than_the_next(
    counts: list[int], seed: int
) -> None:
    labels, n = metrics.by_count(counts, seed=seed), len(counts)
    low, middle = round(0.6 * n), round(0.8 * n)
    assert np.bincount(labels, minlength=3).tolist() == [low, middle - low, n - middle]
    for s in (0, 1):
        below, above = np.array(counts)[labels <= s], np.array(counts)[labels > s]
        assert below.max(initial=-1) <= above.min(initial=10**9)


def test_equal_counts_are_drawn_by_the_seed_alone() -> None:
    even = np.ones(100)
    first, again, other = (metrics.by_count(even, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and first[:60].any()  # not simply the first sixty


@given(st.permutations(range(25)))
def test_strata_of_different_counts_follow_their_items(order: list[int]) -> None:
    counts = np.random.default_rng(0).permutation(25)
    np.testing.assert_array_equal(metrics.by_count(counts[order]), metrics.by_count(counts)[order])


@pytest.mark.parametrize("counts", [[[1, 2]], [1, np.nan], [np.inf]])
def test_counts_must_be_one_finite_number_each(counts: list[float]) -> None:
    with pytest.raises(InputError, match="one finite number"):
        metrics.by_count(counts)


def test_restricted_keeps_the_chosen_items_alone_and_what_was_given() -> None:
    relevant = csr([[1, 1, 0], [0, 1, 1], [1, 0, 0]])
    part = metrics.restricted(relevant, [True, False, True])
    assert part.toarray().tolist() == [[1, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert part.nnz == 3 and relevant.nnz == 5 and part.dtype == relevant.dtype


@pytest.mark.parametrize("mask", [[True], [1, 0, 1], [[True, True, True]]])
def test_a_mask_of_another_catalogue_is_refused(mask: list[bool]) -> None:
    with pytest.raises(InputError, match="one truth value per item"):
        metrics.restricted(csr([[1, 0, 0]]), mask)


def test_recall_in_strata_by_hand() -> None:
    lists = np.array([[0, 2], [3, 1]])
    relevant = csr([[1, 1, 1, 0], [0, 0, 0, 1]])
    labels = np.array([0, 0, 1, 2])
    found = [recall(lists, metrics.restricted(relevant, labels == s)) for s in range(3)]
    np.testing.assert_array_equal(found, [[0.5, np.nan], [1, np.nan], [np.nan, 1]])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6))
def test_recalls_are_those_of_sets_and_add_up_to_the_whole(seed: int) -> None:
    lists, relevant = world(seed)
    labels = metrics.by_count(np.random.default_rng(seed).integers(0, 5, 30))
    found = np.stack([recall(lists, metrics.restricted(relevant, labels == s)) for s in range(3)])
    for u, row in enumerate(relevant.toarray().astype(bool)):
        for s in range(3):
            of_stratum = set(np.flatnonzero(row & (labels == s)))
            hits = len(of_stratum & set(lists[u]))
            expected = hits / len(of_stratum) if of_stratum else np.nan
            np.testing.assert_equal(found[s, u], expected)
    sizes = [metrics.restricted(relevant, labels == s).getnnz(axis=1) for s in range(3)]
    whole = np.nan_to_num(recall(lists, relevant)) * relevant.getnnz(axis=1)
    np.testing.assert_allclose((np.nan_to_num(found) * sizes).sum(axis=0), whole)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_the_oracle_of_a_stratum_is_never_below_a_view(seed: int) -> None:
    lists, relevant = world(seed)
    other = world(seed + 1)[0]
    part = metrics.restricted(relevant, metrics.by_count(np.arange(30)) == 0)
    best = best_of_union([lists, other], part, 5)
    assert np.nanmin([best - recall(one, part) for one in (lists, other)], initial=0) >= 0


def test_a_gain_is_that_of_the_totals() -> None:
    found = relative_gain([0.5, 1.0, np.nan], [0.5, 0.5, 0.1])
    assert found.mean == pytest.approx(0.5) and found.n == 2
    assert np.isnan(relative_gain([0.5, 1.0], [0.0, 0.0]).mean)


def test_a_difference_of_gains_is_that_of_the_two_gains() -> None:
    # the third user has nothing cold, the fourth nothing hot, the last nothing at all
    cold = [1.0, 0.5, np.nan, 0.6, np.nan], [0.5, 0.5, np.nan, 0.4, np.nan]
    hot = [0.4, 0.6, 0.5, np.nan, np.nan], [0.5, 0.5, 0.3, np.nan, np.nan]
    found = metrics.gain_difference(cold, hot)
    assert found.mean == pytest.approx(relative_gain(*cold).mean - relative_gain(*hot).mean)
    assert found.n == 4


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10**6))
def test_a_difference_of_gains_knows_no_order_of_users_and_pairs_the_resamples(seed: int) -> None:
    draw = np.random.default_rng(seed)
    columns = draw.uniform(0.2, 1, (4, 50))
    columns[:2, draw.random(50) < 0.3] = np.nan
    order = draw.permutation(50)
    found = metrics.gain_difference(tuple(columns[:2]), tuple(columns[2:]))
    mixed = metrics.gain_difference(tuple(columns[:2, order]), tuple(columns[2:, order]))
    assert found == pytest.approx(mixed)
    same = metrics.gain_difference(tuple(columns[:2]), tuple(columns[:2]))
    assert same[:3] == (0, 0, 0)  # both gains rise and fall with the same users
    plain = of_totals(lambda a, b, c, d: a / b - c / d, *np.nan_to_num(columns))
    assert found == pytest.approx(plain)


def test_moves_by_hand() -> None:
    found = metrics.moves([0.5, 0.2, 0.1, np.nan], [0.4, 0.2, 0.3, np.nan])
    expected = [[1, 0, 0, np.nan], [0, 1, 0, np.nan], [0, 0, 1, np.nan]]
    np.testing.assert_array_equal(found, expected)
    assert metrics.MOVES == ("rises", "stays", "falls")


def test_a_figure_of_levels_draws_nulls_in_grey_and_undefined_values_not_at_all() -> None:
    nan = np.nan
    rows = [("view", "cold", 0.1, 0.0, 0.2), ("view", "hot", nan, nan, nan),
            ("chance", "cold", 0.0, 0.0, 0.1), ("chance", "hot", 0.1, 0.0, 0.1)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["what", "level", "mean", "low", "high"])
    figure = figures.levels(
        table, title="T", xlabel="X", ylabel="Y (unit)", nulls=["chance"], reference=0
    )
    (axis,) = figure.axes
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["cold", "hot"]
    lines = {str(line.get_label()): line for line in axis.get_lines()}
    assert lines["chance"].get_color() == figures.NULL != lines["view"].get_color()
    assert axis.get_title(loc="left") == "T" and axis.get_ylabel() == "Y (unit)"


def test_nulls_far_out_leave_the_rest_of_a_figure_of_levels_readable() -> None:
    def scale(null: float) -> tuple[str, str]:
        rows = [("view", "cold", 0.03, 0.02, 0.04), ("chance", "cold", null, null, null)]
        table = pd.DataFrame(rows, columns=["what", "level", "mean", "low", "high"])
        figure = figures.levels(table, title="T", xlabel="X", ylabel="gain", nulls=["chance"])
        (axis,) = figure.axes
        low, high = axis.get_ylim()
        assert low < 0.02 and max(0.04, null) < high
        return axis.get_yscale(), axis.get_ylabel()

    assert scale(0.4) == ("linear", "gain")  # ten times as far, no more
    assert scale(0.41) == scale(15.0) == ("symlog", "gain\nlogarithmic beyond 0.1")
