"""Cold starts: what is taken away, what stays, and how the views fare on a small world."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.data import synthetic
from lib.core import InputError
from lib.dataset import Dataset
from lib.metrics import recall
from lib.stats import ratio
from lib.views import View, lists
from studies import ch09_long_tail, concatenation
from studies.context import Run

seeds_of = st.integers(0, 10**6)
GIVEN = {
    "dataset": "synthetic", "split": "random", "seed": 0, "seeds": 2, "k": 3,
    "encoder": "minilm", "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Return a small world, with times that tell each training interaction apart."""
    made = synthetic.world(n_users=70, n_items=50, interactions=15, seed=5).dataset
    times = made.train.astype(np.float64)
    times.data = 1 + np.arange(times.nnz, dtype=np.float64)
    return replace(made, times=times)


@pytest.fixture
def run(data: Dataset) -> Run:
    return Run(data, GIVEN, epochs=2)


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
    cut = ch09_long_tail.cut_users(data, seed=seed)
    check_altered(cut.dataset, data)
    check_times(cut.dataset, data)
    assert list(cut.groups) == ["1", "2", "3", "5", "uncut"]
    drawn = np.concatenate(list(cut.groups.values()))
    assert len(set(drawn)) == len(drawn) == 5 * 7  # disjoint, a tenth of 70 users each
    kept = cut.dataset.train.getnnz(axis=1)
    for count in (1, 2, 3, 5):
        users = cut.groups[str(count)]
        assert (kept[users] == count).all()
        assert cut.dataset.valid[users].nnz == 0
        assert (data.train.getnnz(axis=1)[users] >= 6).all()
    others = np.setdiff1d(np.arange(data.n_users), np.concatenate(list(cut.groups.values())[:4]))
    for new, old in ((cut.dataset.train, data.train), (cut.dataset.valid, data.valid)):
        assert (new[others] != old[others]).nnz == 0
    assert (data.train.getnnz(axis=1)[cut.groups["uncut"]] >= 6).all()


def test_the_draws_are_by_seed_and_look_at_no_test_item(data: Dataset) -> None:
    order = np.random.default_rng(0).permutation(data.n_users)
    other_test = replace(data, test=data.test[order])
    for make in (ch09_long_tail.cut_users, ch09_long_tail.unseen_items):
        first, again, other = (make(data, seed=seed).dataset for seed in (1, 1, 2))
        assert first.digest == again.digest != other.digest
        canary = make(other_test, seed=1).dataset
        assert pairs(canary.train) == pairs(first.train)
        assert pairs(canary.valid) == pairs(first.valid)


def test_every_training_item_of_a_user_may_be_the_one_that_is_kept() -> None:
    ones = sp.csr_matrix(np.ones((40, 6), dtype=np.float32))
    nothing = sp.csr_matrix((40, 6), dtype=np.float32)
    base = synthetic.world(n_users=40, n_items=6, interactions=5, seed=0).dataset
    full = replace(base, train=ones, valid=nothing, test=nothing)
    cut = ch09_long_tail.cut_users(full, (1,), 0.5)
    kept = cut.dataset.train[cut.groups["1"]].indices
    assert len(kept) == 20 and set(kept) == set(range(6))


@settings(deadline=None, max_examples=10)
@given(st.permutations(range(70)))
def test_permuted_users_are_cut_to_the_same_sizes(data: Dataset, order: list[int]) -> None:
    parts = {p: getattr(data, p)[order] for p in ("train", "valid", "test", "times")}
    mixed = replace(data, **parts)
    cut = ch09_long_tail.cut_users(mixed)
    check_altered(cut.dataset, mixed)
    check_times(cut.dataset, mixed)
    sizes = {name: len(users) for name, users in ch09_long_tail.cut_users(data).groups.items()}
    assert {name: len(users) for name, users in cut.groups.items()} == sizes
    for name, users in cut.groups.items():
        if name != ch09_long_tail.UNCUT:
            assert (cut.dataset.train.getnnz(axis=1)[users] == int(name)).all()


def test_where_few_users_have_enough_items_groups_are_smaller_or_empty(data: Dataset) -> None:
    few = ch09_long_tail.cut_users(
        data, (1, 16)
    ).groups  # of 70 users, a handful has 17 training items
    able = int((data.train.getnnz(axis=1) > 16).sum())
    assert 0 < able < 21 and {len(users) for users in few.values()} == {able // 3}
    none = ch09_long_tail.cut_users(data, (1, 10**6))
    assert not any(map(len, none.groups.values()))
    assert pairs(none.dataset.train) == pairs(data.train)


@settings(deadline=None, max_examples=20)
@given(seeds_of, st.sampled_from([0.1, 0.3, 1.0]))
def test_unseen_items_are_in_no_training_and_all_their_users_want_them(
    data: Dataset, seed: int, share: float
) -> None:
    unseen = ch09_long_tail.unseen_items(data, share, seed=seed)
    check_altered(unseen.dataset, data)
    check_times(unseen.dataset, data)
    assert len(set(unseen.items)) == round(share * 50)
    left = np.setdiff1d(np.arange(50), unseen.items)
    for new, old in ((unseen.dataset.train, data.train), (unseen.dataset.valid, data.valid)):
        assert new[:, unseen.items].nnz == 0
        assert (new[:, left] != old[:, left]).nnz == 0
    known = set(np.flatnonzero(unseen.dataset.train.getnnz(axis=1)))
    every = pairs(data.train) | pairs(data.valid) | pairs(data.test)
    expected = {(u, i) for u, i in every if i in set(unseen.items) and u in known}
    assert pairs(unseen.relevant) == expected


def test_expected_recall_is_that_of_random_lists() -> None:
    assert ch09_long_tail.expected_recall(20, 80) == pytest.approx(0.25)
    np.testing.assert_array_equal(
        ch09_long_tail.expected_recall(2, [4, 2, 1]), [0.5, np.nan, np.nan]
    )
    draw = np.random.default_rng(0)
    n, k = 4000, 3
    found = draw.permuted(np.tile(np.arange(12), (n, 1)), axis=1)[:, :k]
    wanted = sp.csr_matrix((draw.random((n, 12)) < 0.3).astype(np.float32))
    values = recall(found, wanted)
    assert np.nanmean(values) == pytest.approx(ch09_long_tail.expected_recall(k, 12), abs=0.015)


def test_lists_among_items_are_the_full_ranking_without_the_others() -> None:
    draw = torch.Generator().manual_seed(0)
    view = View(torch.randn(6, 4, generator=draw), torch.randn(9, 4, generator=draw), {})
    items = np.array([1, 4, 5, 8])
    scores = (view.users @ view.items.T).numpy()
    expected = [[i for i in np.argsort(-row) if i in items][:3] for row in scores]
    np.testing.assert_array_equal(ch09_long_tail.lists_among(view, items, 3), expected)
    assert ch09_long_tail.lists_among(view, items, 20).shape == (6, 4)


def test_one_list_for_all_ranks_by_the_mean_score_over_users() -> None:
    draw = torch.Generator().manual_seed(1)
    view = View(torch.randn(6, 4, generator=draw), torch.randn(9, 4, generator=draw), {})
    order = np.argsort(-(view.users @ view.items.T).numpy().mean(axis=0))
    found = ch09_long_tail.lists_among(ch09_long_tail.one_list(view), np.arange(9), 9)
    np.testing.assert_array_equal(found, np.tile(order, (6, 1)))


def test_pooled_sums_over_seeds_and_a_user_in_no_group_is_undefined() -> None:
    nan = np.nan
    found = ch09_long_tail.pooled([np.array([0.5, nan, nan]), np.array([0.1, 0.4, nan])])
    np.testing.assert_allclose(found, [[0.6, 0.4, nan], [2, 1, nan]])
    assert ratio(*found).mean == pytest.approx(1.0 / 3) and ratio(*found).n == 2


@pytest.mark.usefixtures("cache_folder")
def test_histories_are_scored_on_the_groups_and_charge_nobody_with_lost_items(
    run: Run,
) -> None:
    found = ch09_long_tail.recall_by_history(run)
    names = {
        "semantic",
        "collaborative",
        "fusion",
        "text mean",
        "popularity",
        ch09_long_tail.CHANCE,
    }
    assert set(found) == {(n, g) for n in names for g in ("1", "2", "3", "5", ch09_long_tail.UNCUT)}
    data = run.dataset
    for group in ("1", ch09_long_tail.UNCUT):
        members = [ch09_long_tail.cut_users(data, seed=s).groups[group] for s in run.seeds]
        times = np.bincount(np.concatenate(members), minlength=data.n_users)
        able = data.test.getnnz(axis=1) > 0
        for name in names:
            totals, n = found[name, group]
            np.testing.assert_array_equal(np.nan_to_num(n), times * able)
            assert (np.nan_to_num(totals) <= times).all()
    # the semantic row anew, from its own parts, for the users of the first seed's smallest group
    one = replace(run, parameters=run.parameters | {"seeds": 1})
    cut = ch09_long_tail.cut_users(data, seed=0)
    view = ch09_long_tail.retrained(run, cut.dataset, 0)["semantic"]
    scores = (view.users @ view.items.T).numpy()
    scores[data.seen.toarray() > 0] = -np.inf
    expected = recall(np.argsort(-scores, axis=1)[:, :3], data.test)
    totals = ch09_long_tail.recall_by_history(one)["semantic", "1"][0]
    users = cut.groups["1"]
    np.testing.assert_allclose(totals[users], expected[users])
    assert np.isnan(np.delete(totals, users)).all()


@pytest.mark.usefixtures("cache_folder")
def test_unseen_items_are_scored_alone_and_among_all(run: Run) -> None:
    found = ch09_long_tail.recall_of_unseen(run)
    alone = {name for name, among in found if among == ch09_long_tail.UNSEEN}
    every = {name for name, among in found if among == ch09_long_tail.ALL}
    assert (
        every - alone == {"popularity"}
        and {ch09_long_tail.CHANCE, ch09_long_tail.ONE_LIST} <= alone
    )
    for name in alone:  # the fewer candidates, the easier
        assert np.nansum(found[name, ch09_long_tail.UNSEEN][0]) >= np.nansum(
            found[name, ch09_long_tail.ALL][0]
        )
    # nobody has unseen items in training, so the most popular items are never among them
    assert np.nansum(found["popularity", ch09_long_tail.ALL][0]) == 0
    totals, n = found[ch09_long_tail.CHANCE, ch09_long_tail.UNSEEN]
    np.testing.assert_allclose(totals / n, np.where(n > 0, 3 / 5, np.nan))


@pytest.mark.usefixtures("cache_folder")
def test_altered_views_are_trained_on_what_is_left(run: Run) -> None:
    """A user cut to one item has that item's text as its whole profile."""
    cut = ch09_long_tail.cut_users(run.dataset, seed=0)
    view = ch09_long_tail.retrained(run, cut.dataset, 0)["text mean"]
    for u in cut.groups["1"]:
        (item,) = cut.dataset.train[u].indices
        np.testing.assert_allclose(view.users[u], view.items[item], atol=1e-6)


@pytest.mark.usefixtures("cache_folder")
def test_concats_rank_by_the_weighted_mean_of_the_cosines(run: Run) -> None:
    views = [run.view(model, 0, epochs=2) for model in ("linear", "lightgcn")]
    unit = torch.nn.functional.normalize
    cosines = [unit(v.users) @ unit(v.items).T for v in views]
    even, best = concatenation.even_concat(views), concatenation.best_concat(run.dataset, views)
    for view in (even, best):
        w = view.info["weights"]
        mean = sum(a * c for a, c in zip(w, cosines, strict=True))
        torch.testing.assert_close(view.users @ view.items.T, mean, atol=1e-5, rtol=0)
    assert even.info["weights"] == [0.5, 0.5] and sum(best.info["weights"]) == pytest.approx(1)

    def validation(view: View) -> float:
        found = lists(view, run.dataset, 20, part="valid")
        return float(np.nanmean(recall(found, run.dataset.valid)))

    assert best.info["validation"] == pytest.approx(validation(best))
    assert validation(best) >= max(map(validation, [even, *views]))


@pytest.mark.usefixtures("cache_folder")
def test_the_weight_and_the_better_view_do_not_look_at_the_test(run: Run) -> None:
    order = np.random.default_rng(1).permutation(run.dataset.n_users)
    other = replace(run.dataset, test=run.dataset.test[order])
    views = [run.view(model, 0, epochs=2) for model in ("linear", "lightgcn")]
    assert (
        concatenation.best_concat(run.dataset, views).info
        == concatenation.best_concat(other, views).info
    )


def test_the_better_view_has_the_better_mean_validation() -> None:
    def scored(*values: float) -> list[View]:
        return [View(torch.ones(1, 1), torch.ones(1, 1), {"validation": v}) for v in values]

    assert concatenation.better({"a": scored(0.1, 0.6), "b": scored(0.3, 0.3)}) == "a"
    with pytest.raises(InputError, match="validation"):
        concatenation.better({"a": [View(torch.ones(1, 1), torch.ones(1, 1), {})]})
    with pytest.raises(InputError, match="no views"):
        concatenation.better({})


def test_moves_by_hand() -> None:
    found = ch09_long_tail.moves([0.5, 0.2, 0.1, np.nan], [0.4, 0.2, 0.3, np.nan])
    expected = [[1, 0, 0, np.nan], [0, 1, 0, np.nan], [0, 0, 1, np.nan]]
    np.testing.assert_array_equal(found, expected)
    assert ch09_long_tail.MOVES == ("rises", "stays", "falls")
