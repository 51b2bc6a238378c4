"""Cold starts: what is taken away, what stays, and how the views fare on a small world."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import run_of

from companion.data import synthetic
from lib.dataset import Dataset
from lib.metrics import recall
from lib.stats import ratio
from lib.views import View
from studies import ch16_cold_start as cold
from studies.concatenation import even_concat
from studies.context import Run

seeds_of = st.integers(0, 10**6)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Return a small world, with times that tell each training interaction apart."""
    made = synthetic.world(n_users=70, n_items=50, interactions=15, seed=5).dataset
    times = made.train.astype(np.float64)
    times.data = 1 + np.arange(times.nnz, dtype=np.float64)
    return replace(made, times=times)


@pytest.fixture
def run(data: Dataset) -> Run:
    return run_of(data, epochs=2, k=3)


def pairs(matrix: sp.csr_matrix) -> set[tuple[int, int]]:
    return set(zip(*(index.tolist() for index in matrix.nonzero()), strict=True))


def check_altered(altered: Dataset, data: Dataset) -> None:
    """Check what every alteration keeps: shapes, disjoint parts, only removals, the test part."""
    parts = [(altered.train, data.train), (altered.valid, data.valid), (altered.test, data.test)]
    for new, old in parts:
        assert new.shape == old.shape and new.dtype == old.dtype
        assert pairs(new) <= pairs(old)
    assert pairs(altered.test) == pairs(data.test)
    assert not pairs(altered.train) & pairs(altered.valid)
    assert altered.times is not None and pairs(altered.train) == pairs(altered.times)
    assert altered.items is data.items
    assert altered.digest != data.digest and altered.name != data.name


def check_times(altered: Dataset, data: Dataset) -> None:
    assert altered.times is not None and data.times is not None
    kept = altered.times.tocoo()
    np.testing.assert_array_equal(kept.data, data.times.toarray()[kept.row, kept.col])


@settings(deadline=None, max_examples=20)
@given(seeds_of)
def test_cut_users_keep_exactly_what_is_asked_and_others_everything(
    data: Dataset, seed: int
) -> None:
    cut, groups = cold.cut_users(data, seed=seed)
    check_altered(cut, data)
    check_times(cut, data)
    assert list(groups) == ["1", "2", "3", "5", "uncut"]
    drawn = np.concatenate(list(groups.values()))
    assert len(set(drawn)) == len(drawn) == 5 * 7  # disjoint, a tenth of 70 users each
    kept = cut.train.getnnz(axis=1)
    for count in (1, 2, 3, 5):
        users = groups[str(count)]
        assert (kept[users] == count).all()
        assert cut.valid[users].nnz == 0
        assert (data.train.getnnz(axis=1)[users] >= 6).all()
    others = np.setdiff1d(np.arange(data.n_users), np.concatenate(list(groups.values())[:4]))
    for new, old in ((cut.train, data.train), (cut.valid, data.valid)):
        assert (new[others] != old[others]).nnz == 0
    assert (data.train.getnnz(axis=1)[groups["uncut"]] >= 6).all()


def test_the_draws_are_by_seed_and_look_at_no_test_item(data: Dataset) -> None:
    order = np.random.default_rng(0).permutation(data.n_users)
    other_test = replace(data, test=data.test[order])
    for make in (cold.cut_users, cold.unseen_items):
        first, again, other = (make(data, seed=seed)[0] for seed in (1, 1, 2))
        assert first.digest == again.digest != other.digest
        canary = make(other_test, seed=1)[0]
        assert pairs(canary.train) == pairs(first.train)
        assert pairs(canary.valid) == pairs(first.valid)


def test_every_training_item_of_a_user_may_be_the_one_that_is_kept() -> None:
    ones = sp.csr_matrix(np.ones((40, 6), dtype=np.float32))
    nothing = sp.csr_matrix((40, 6), dtype=np.float32)
    base = synthetic.world(n_users=40, n_items=6, interactions=5, seed=0).dataset
    full = replace(base, train=ones, valid=nothing, test=nothing)
    cut, groups = cold.cut_users(full, (1,), 0.5)
    kept = cut.train[groups["1"]].indices
    assert len(kept) == 20 and set(kept) == set(range(6))


@settings(deadline=None, max_examples=10)
@given(st.permutations(range(70)))
def test_permuted_users_are_cut_to_the_same_sizes(data: Dataset, order: list[int]) -> None:
    parts = {p: getattr(data, p)[order] for p in ("train", "valid", "test", "times")}
    mixed = replace(data, **parts)
    cut, groups = cold.cut_users(mixed)
    check_altered(cut, mixed)
    check_times(cut, mixed)
    sizes = {name: len(users) for name, users in cold.cut_users(data)[1].items()}
    assert {name: len(users) for name, users in groups.items()} == sizes
    for name, users in groups.items():
        if name != cold.UNCUT:
            assert (cut.train.getnnz(axis=1)[users] == int(name)).all()


def test_where_few_users_have_enough_items_groups_are_smaller_or_empty(data: Dataset) -> None:
    _, few = cold.cut_users(data, (1, 16))  # of 70 users, a handful has 17 training items
    able = int((data.train.getnnz(axis=1) > 16).sum())
    assert 0 < able < 21 and {len(users) for users in few.values()} == {able // 3}
    left, none = cold.cut_users(data, (1, 10**6))
    assert not any(map(len, none.values()))
    assert pairs(left.train) == pairs(data.train)


@settings(deadline=None, max_examples=20)
@given(seeds_of, st.sampled_from([0.1, 0.3, 1.0]))
def test_unseen_items_are_in_no_training_and_all_their_users_want_them(
    data: Dataset, seed: int, share: float
) -> None:
    left, items, relevant = cold.unseen_items(data, share, seed=seed)
    check_altered(left, data)
    check_times(left, data)
    assert len(set(items)) == round(share * 50)
    others = np.setdiff1d(np.arange(50), items)
    for new, old in ((left.train, data.train), (left.valid, data.valid)):
        assert new[:, items].nnz == 0
        assert (new[:, others] != old[:, others]).nnz == 0
    known = set(np.flatnonzero(left.train.getnnz(axis=1)))
    every = pairs(data.train) | pairs(data.valid) | pairs(data.test)
    expected = {(u, i) for u, i in every if i in set(items) and u in known}
    assert pairs(relevant) == expected


def test_expected_recall_is_that_of_random_lists() -> None:
    assert cold.expected_recall(20, 80) == pytest.approx(0.25)
    np.testing.assert_array_equal(cold.expected_recall(2, [4, 2, 1]), [0.5, np.nan, np.nan])
    draw = np.random.default_rng(0)
    n, k = 4000, 3
    found = draw.permuted(np.tile(np.arange(12), (n, 1)), axis=1)[:, :k]
    wanted = sp.csr_matrix((draw.random((n, 12)) < 0.3).astype(np.float32))
    values = recall(found, wanted)
    assert np.nanmean(values) == pytest.approx(cold.expected_recall(k, 12), abs=0.015)


def test_lists_among_items_are_the_full_ranking_without_the_others() -> None:
    draw = torch.Generator().manual_seed(0)
    view = View(torch.randn(6, 4, generator=draw), torch.randn(9, 4, generator=draw), {})
    items = np.array([1, 4, 5, 8])
    scores = (view.users @ view.items.T).numpy()
    expected = [[i for i in np.argsort(-row) if i in items][:3] for row in scores]
    np.testing.assert_array_equal(cold.lists_among(view, items, 3), expected)
    assert cold.lists_among(view, items, 20).shape == (6, 4)


def test_one_list_for_all_ranks_by_the_mean_score_over_users() -> None:
    draw = torch.Generator().manual_seed(1)
    view = View(torch.randn(6, 4, generator=draw), torch.randn(9, 4, generator=draw), {})
    order = np.argsort(-(view.users @ view.items.T).numpy().mean(axis=0))
    found = cold.lists_among(cold.one_list(view), np.arange(9), 9)
    np.testing.assert_array_equal(found, np.tile(order, (6, 1)))


def test_values_by_seed_are_nought_where_a_seed_has_none_and_undefined_where_all_have() -> None:
    nan = np.nan
    found = cold.by_seed([np.array([0.5, nan, nan]), np.array([0.1, 0.4, nan])])
    np.testing.assert_allclose(
        found, [[[0.5, 0, nan], [0.1, 0.4, nan]], [[1, 0, nan], [1, 1, nan]]]
    )
    assert ratio(*found).mean == pytest.approx(1.0 / 3) and ratio(*found).n == 2


@pytest.mark.usefixtures("cache_folder")
def test_histories_are_scored_on_the_groups_and_charge_nobody_with_lost_items(
    run: Run,
) -> None:
    found, weights = cold.recall_by_history(run)
    names = {
        cold.TEXT, cold.COLLABORATIVE, cold.FUSION, cold.BY_COUNT, cold.SEEDS, cold.POPULAR,
        cold.CHANCE,
    }  # fmt: skip
    assert set(found) == {(n, g) for n in names for g in ("1", "2", "3", "5", cold.UNCUT)}
    assert len(weights) == 2 and set(weights) <= set(cold.GRID)
    data = run.dataset
    able = data.test.getnnz(axis=1) > 0
    for group in ("1", cold.UNCUT):
        inside = np.zeros((2, data.n_users))
        for s, seed in enumerate(run.seeds):
            inside[s, cold.cut_users(data, seed=seed)[1][group]] = 1
        for name in names:
            values, there = found[name, group]
            np.testing.assert_array_equal(np.nan_to_num(there), inside * able)
            assert (np.nan_to_num(values) <= inside).all()
    # the semantic row anew, from its own parts, for the users of the first seed's smallest group
    cut, groups = cold.cut_users(data, seed=0)
    view = cold.retrained(run, cut, 0)[cold.TEXT]
    scores = (view.users @ view.items.T).numpy()
    scores[data.seen.toarray() > 0] = -np.inf
    expected = recall(np.argsort(-scores, axis=1)[:, :3], data.test)
    values = found[cold.TEXT, "1"][0][0]
    np.testing.assert_allclose(
        np.nan_to_num(values[groups["1"]]), np.nan_to_num(expected[groups["1"]])
    )
    assert not np.nan_to_num(np.delete(values, groups["1"])).any()


@pytest.mark.usefixtures("cache_folder")
def test_unseen_items_are_scored_alone_and_among_all(run: Run) -> None:
    found, weights = cold.recall_of_unseen(run)
    alone, every, known = (
        {name for name, among in found if among == group}
        for group in (cold.UNSEEN, cold.ALL, cold.KNOWN)
    )
    assert every - alone == {cold.POPULAR} and every - known == {cold.CHANCE}
    assert {cold.CHANCE, cold.ONE_LIST, cold.SEEDS, cold.BY_COUNT} <= alone and len(weights) == 2
    for name in alone:  # the fewer candidates, the easier
        assert np.nansum(found[name, cold.UNSEEN][0]) >= np.nansum(found[name, cold.ALL][0])
    # nobody has unseen items in training, so the most popular items are never among them
    assert np.nansum(found[cold.POPULAR, cold.ALL][0]) == 0
    values, there = found[cold.CHANCE, cold.UNSEEN]
    np.testing.assert_allclose(values, 3 / 5 * there)


@pytest.mark.usefixtures("cache_folder")
def test_altered_views_are_trained_on_what_is_left(run: Run) -> None:
    """A user cut to one item has that item's text as its whole profile."""
    cut, groups = cold.cut_users(run.dataset, seed=0)
    view = run.learning_from(cut).view("text-mean", 0)
    for u in groups["1"]:
        (item,) = cut.train[u].indices
        np.testing.assert_allclose(view.users[u], view.items[item], atol=1e-6)


COUNTED = np.array([0, 2, 4, 4, 12, 0])


def drawn_views(n_items: int = 6, n_users: int = 5) -> list[View]:
    draw = torch.Generator().manual_seed(2)
    return [
        View(torch.randn(n_users, d, generator=draw), torch.randn(n_items, d, generator=draw), {})
        for d in (4, 3)
    ]


def test_a_weight_by_item_count_is_on_the_side_of_the_items() -> None:
    semantic, collaborative = drawn_views()
    unit = torch.nn.functional.normalize
    text, known = ((unit(v.users) @ unit(v.items).T).numpy() for v in (semantic, collaborative))
    view = cold.weighted(semantic, collaborative, COUNTED, 0.8, 0.2)
    # the median of the positive counts 2, 4, 4 and 12 is 4: halfway between the two weights
    w = np.array([0.8, 0.2 + 0.6 * 4 / 6, 0.5, 0.5, 0.2 + 0.6 * 4 / 16, 0.8])
    expected = (1 - w) * known * (COUNTED > 0) + w * text
    np.testing.assert_allclose((view.users @ view.items.T).numpy(), expected, atol=1e-6)
    assert view.info["weights"] == (0.8, 0.2)
    common = cold.weighted(semantic, collaborative, np.ones(6, dtype=int), 0.5, 0.5)
    even = even_concat([collaborative, semantic])
    for view in (common, even):
        scores = (view.users @ view.items.T).numpy()
        np.testing.assert_allclose(scores, (known + text) / 2, atol=1e-6)


def test_the_weights_are_the_best_on_validation_and_do_not_look_at_the_test(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = drawn_views(data.n_items, data.n_users)
    chosen = cold.by_count(data, *views, 0).info["weights"]
    other = replace(data, test=data.test[np.arange(data.n_users)[::-1]])
    assert cold.by_count(other, *views, 0).info["weights"] == chosen
    tried: list[float] = []

    def score(*given: object) -> float:
        tried.append(float(len(tried) == 7))
        return tried[-1]

    monkeypatch.setattr(cold, "validation_score", score)
    assert cold.by_count(data, *views, 0).info["weights"] == cold.GRID[7]
    assert len(tried) == len(cold.GRID) == 25
