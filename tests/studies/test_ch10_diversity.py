"""The measures of the alignment sweep: by hand, against plain references, and their laws."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import random_lists

from lib import diagnostics
from lib.dataset import Dataset
from studies import ch10_diversity, measures
from studies.context import Run

LISTS = np.array([[0, 1], [0, 2], [0, 1]])
"""Three users; item 3 of the catalogue is nobody's."""


def test_by_hand() -> None:
    # three of four items are covered; only user 1 has an item alone, a quarter of the catalogue
    np.testing.assert_allclose(ch10_diversity.coverage_by_user(LISTS, 4), [0.5, 1.25, 0.5])
    # users 0 and 2 share both items, user 1 shares one with each: h = 3/4, 1/2, 3/4
    np.testing.assert_allclose(
        ch10_diversity.overlap_by_user(LISTS, 4), [3 / 2 - 2 / 3, 1 - 2 / 3, 3 / 2 - 2 / 3]
    )


def test_neighbourhood_is_small_where_items_are_few() -> None:
    assert [ch10_diversity.n_neighbours(n) for n in (2, 24, 200, 201, 10_000)] == [
        1,
        2,
        19,
        20,
        20,
    ]


seeds, sizes = st.integers(0, 2**32 - 1), st.integers(2, 9)


@given(seeds, sizes, st.integers(4, 12), st.integers(1, 4))
def test_means_are_the_measures(seed: int, n_users: int, n_items: int, k: int) -> None:
    lists = np.argsort(np.random.default_rng(seed).random((n_users, n_items)), axis=1)[:, :k]
    covered = ch10_diversity.coverage_by_user(lists, n_items)
    assert covered.mean() == pytest.approx(diagnostics.coverage(lists, n_items))
    assert ch10_diversity.gini_by_user(lists, n_items).mean() == pytest.approx(
        diagnostics.gini(lists, n_items)
    )
    shared = [len({*a} & {*b}) / k for a, b in permutations(lists.tolist(), 2)]
    assert ch10_diversity.overlap_by_user(lists, n_items).mean() == pytest.approx(np.mean(shared))


def test_spread_is_that_of_leaving_a_user_out() -> None:
    """Leaving each user out in turn is the definition; ours is it but for terms of order 1/n."""
    lists, n_items = random_lists(np.random.default_rng(1), 150, 60, 6), 60
    lists = lists[(lists >= 0).all(axis=1)]
    n = len(lists)
    for values, measure in (
        (ch10_diversity.coverage_by_user, lambda x: diagnostics.coverage(x, n_items)),
        (ch10_diversity.gini_by_user, lambda x: diagnostics.gini(x, n_items)),
        (
            ch10_diversity.overlap_by_user,
            lambda x: ch10_diversity.overlap_by_user(x, n_items).mean(),
        ),
    ):
        without = np.array([measure(np.delete(lists, user, axis=0)) for user in range(n)])
        jackknife = n * measure(lists) - (n - 1) * without
        away = values(lists, n_items) - measure(lists)
        expected = (jackknife - jackknife.mean()) * n / (n - 1)
        np.testing.assert_allclose(away, expected, atol=0.15 * np.abs(expected).max() + 1e-12)


def test_users_and_items_may_be_renumbered() -> None:
    rng = np.random.default_rng(0)
    lists = random_lists(rng, 20, 12, 5)
    users, items = rng.permutation(20), rng.permutation(12)
    renamed = np.append(items, -1)[lists][users]
    for values in (
        ch10_diversity.coverage_by_user,
        ch10_diversity.gini_by_user,
        ch10_diversity.overlap_by_user,
    ):
        np.testing.assert_allclose(values(renamed, 12), values(lists, 12)[users])


def test_nothing_recommended_is_nothing_known() -> None:
    empty = np.full((3, 2), -1)
    assert ch10_diversity.coverage_by_user(empty, 4).tolist() == [0, 0, 0]
    assert np.isnan(ch10_diversity.gini_by_user(empty, 4)).all()
    assert np.isnan(ch10_diversity.overlap_by_user(empty, 4)).all()
    assert np.isnan(ch10_diversity.overlap_by_user(LISTS[:1], 4)).all()


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(1, 5), st.integers(3, 30))
def test_ranks_of_resamples_are_those_of_the_rows_repeated(seed: int, d: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x, weights = rng.standard_normal((n, d)), rng.multinomial(n, np.full(n, 1 / n), 3)
    expected = [diagnostics.effective_rank(np.repeat(x, w, axis=0)) for w in weights]
    np.testing.assert_allclose(ch10_diversity._ranks(x, weights), expected, rtol=1e-6)


def test_ranks_in_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, weights = rng.standard_normal((50, 4)), rng.multinomial(50, np.full(50, 0.02), 5)
    whole = ch10_diversity._ranks(x, weights)
    monkeypatch.setattr(ch10_diversity, "_BLOCK", 70)
    np.testing.assert_allclose(ch10_diversity._ranks(x, weights), whole)


def test_effective_ranks_have_the_same_resamples_in_any_order_of_items() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((80, 6))
    turned = x @ np.linalg.qr(rng.standard_normal((6, 6)))[0]
    flat = x * [1, 1, 1, 0, 0, 0]
    one, same, less = ch10_diversity.effective_ranks([x, turned, flat])
    assert one.value == pytest.approx(diagnostics.effective_rank(x))
    np.testing.assert_allclose(one.drawn, same.drawn)  # a rotation has no effect
    assert one.drawn.mean() == pytest.approx(one.value)
    assert less.value <= 3 and measures.measure("F10", rank=[(less, one)])["rank"].high < 0
    order = rng.permutation(80)
    np.testing.assert_allclose(ch10_diversity.effective_ranks([x[order]])[0].drawn, one.drawn)


def make(small: Dataset, seeds: int, epochs: int) -> Run:
    given = {"seed": 0, "seeds": seeds, "k": 5, "encoder": "minilm", "device": "cpu"}
    return Run(small, given, epochs=epochs)


@pytest.mark.usefixtures("cache_folder")
def test_sweep_on_a_small_world(small: Dataset) -> None:
    run = make(small, 2, epochs=2)
    swept = ch10_diversity.swept_views(run)
    found = ch10_diversity.scores(run, swept)
    table = ch10_diversity.over_seeds(run, found)
    names = [
        *map(str, ch10_diversity.WEIGHTS),
        ch10_diversity.SECOND,
        ch10_diversity.TEXT,
        ch10_diversity.FUSED,
    ]
    assert {what for what, _ in swept} == set(names)
    for measure in ch10_diversity.MEASURES:
        of = table[table["measure"] == measure]
        of_vectors = measure in list(ch10_diversity.MEASURES)[8:]
        assert of["what"].tolist() == names + [ch10_diversity.POPULAR] * (not of_vectors)
        assert (of["n"] <= (small.n_items if of_vectors else small.n_users)).all()
    assert (table["least"] <= table["mean"] + 1e-9).all()
    assert (table["mean"] <= table["most"] + 1e-9).all()
    at = table.set_index(["measure", "what"])["mean"]
    # the same vectors keep all of their neighbours, and other seeds change places
    assert at["neighbours of weight 0 kept", "0"] == 1
    assert at["effective rank", ch10_diversity.SECOND] == pytest.approx(at["effective rank", "0"])
    shown = ch10_diversity.trainings(run)
    assert (shown["epochs to the best"] <= 2).all()
    pairs = ch10_diversity.beside_unaligned(run, found, "effective rank", ch10_diversity.SECOND)
    null = measures.measure("F10", rank_seeds=pairs)["rank_seeds"]
    a, b = (found["effective rank", "0", seed].value for seed in (0, 1))
    assert null.mean == pytest.approx((abs(a / b - 1) + abs(b / a - 1)) / 2)
    assert null.low >= 0


@pytest.mark.usefixtures("cache_folder")
def test_other_test_items_change_test_recall_alone(
    small: Dataset, small_with_other_test: Dataset
) -> None:
    tables = []
    for dataset in (small, small_with_other_test):
        run = make(dataset, 1, epochs=1)
        tables.append(
            ch10_diversity.over_seeds(
                run, ch10_diversity.scores(run, ch10_diversity.swept_views(run))
            )
        )
    one, other = (table[table["measure"] != "test recall"] for table in tables)
    pd.testing.assert_frame_equal(one, other)


def test_a_figure_over_the_weights_has_level_references() -> None:
    kinds = ["0", "10", ch10_diversity.SECOND, ch10_diversity.TEXT, ch10_diversity.FUSED]
    rows = [
        {"measure": m, "what": w, "mean": 1.0, "low": 0.5, "high": 1.5, "least": 0.9, "most": 1.1}
        for m in ("coverage", "effective rank")
        for w in [*kinds, ch10_diversity.POPULAR]
    ]
    found = ch10_diversity.over_weights(pd.DataFrame(rows)).set_index(["panel", "what"])
    swept = found.loc[("coverage", ch10_diversity.SWEPT)]
    assert swept["weight"].tolist() == ["0", "10"] and (swept["high"] == 1.5).all()
    second, text, fused = ch10_diversity.REFERENCES.values()
    level = found.loc[("coverage", second)]
    assert level["weight"].tolist() == ["0", "10"] and level["low"].tolist() == [0.9, 0.9]
    assert found.loc[("coverage", text)][["low", "high"]].isna().all(axis=None)
    assert set(found.loc["effective rank"].index) == {ch10_diversity.SWEPT, second, text}
    assert len(found) == 8 + 6 and fused in found.loc["coverage"].index
