"""Recall, NDCG and strata: worked by hand, against plain Python sets, scikit-learn and ranx."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score
from tiny import Tiny, tiny, worlds
from tiny import ranx as plain_ranx

from lib import metrics
from lib.core import InputError, whole_number
from lib.diagnostics import best_of_union
from lib.metrics import recall

LISTS = np.array([[3, 1, 0], [2, 4, -1], [0, 1, 2]], dtype=np.int32)
RELEVANT = sp.csr_matrix(
    np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], dtype=np.float32)
)


def test_three_users_by_hand() -> None:
    hits = [[True, False, True], [False, True, False], [False, False, False]]
    assert metrics.hits(LISTS, RELEVANT).tolist() == hits
    np.testing.assert_allclose(metrics.recall(LISTS, RELEVANT), [2 / 3, 1, np.nan])
    first = (1 + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2)
    np.testing.assert_allclose(metrics.ndcg(LISTS, RELEVANT), [first, 1 / math.log2(3), np.nan])
    # relevant pairs in order: user 0 with items 0, 2, 3 and user 1 with item 4
    assert metrics.positions(LISTS, RELEVANT).tolist() == [2, -1, 0, 1]


def test_a_cut_is_a_slice() -> None:
    np.testing.assert_allclose(metrics.recall(LISTS[:, :1], RELEVANT), [1 / 3, 0, np.nan])
    np.testing.assert_allclose(metrics.ndcg(LISTS[:, :1], RELEVANT), [1, 0, np.nan])


def test_the_ideal_has_no_more_hits_than_ranks() -> None:
    everything = sp.csr_matrix(np.ones((1, 5), dtype=np.float32))
    assert metrics.ndcg(np.array([[4, 2]]), everything)[0] == pytest.approx(1)


def test_an_empty_list_never_hits() -> None:
    nothing = np.full((3, 4), -1)
    assert not metrics.hits(nothing, RELEVANT).any()
    np.testing.assert_allclose(metrics.recall(nothing, RELEVANT), [0, 0, np.nan])


def test_stored_zeros_are_not_relevant() -> None:
    masked = RELEVANT.copy()
    masked.data[0] = 0  # user 0 no longer likes item 0
    np.testing.assert_allclose(metrics.recall(LISTS, masked), [1 / 2, 1, np.nan])
    assert masked.nnz == RELEVANT.nnz  # the caller's matrix is as it was


def test_a_pair_stored_twice_counts_once() -> None:
    """SciPy's CSR may hold a pair several times; NDCG was 2.0 and recall 2/3 for such a matrix."""
    one = sp.csr_matrix((np.ones(2), np.array([3, 3]), np.array([0, 2])), shape=(1, 5))
    two = sp.csr_matrix((np.ones(3), np.array([3, 3, 4]), np.array([0, 3])), shape=(1, 5))
    assert metrics.ndcg(np.array([[3]]), one).tolist() == [1]
    assert metrics.recall(np.array([[3, 1, 2]]), two).tolist() == [0.5]
    assert metrics.restricted(two, np.arange(5) == 3).toarray().tolist() == [[0, 0, 0, 2, 0]]
    assert one.nnz == 2 and two.nnz == 3  # the caller's matrices are as they were


def test_a_canonical_matrix_is_not_copied() -> None:
    assert metrics.relevant_pairs(RELEVANT) is RELEVANT
    reversed_rows = sp.csr_matrix((np.ones(2), np.array([4, 1]), np.array([0, 2])), shape=(1, 5))
    assert metrics.relevant_pairs(reversed_rows).indices.tolist() == [1, 4]


def test_ids_of_64_bits_are_told_apart() -> None:
    large = 2**32 + 1
    with pytest.raises(InputError, match=f"item id {large}"):
        metrics.recall(np.array([[large], [1], [0]]), RELEVANT)
    assert metrics.checked_lists([[large]])[0, 0] == large


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = tiny(5, 40, 30, (7,))
    whole = metrics.positions(world.lists[0], world.relevant)
    monkeypatch.setattr(metrics, "_BLOCK", 20)
    np.testing.assert_array_equal(metrics.positions(world.lists[0], world.relevant), whole)


@settings(deadline=None, max_examples=60)
@given(worlds())
def test_against_plain_python(world: Tiny) -> None:
    lists, k = world.lists[0], world.lists[0].shape[1]
    for user in range(world.n_users):
        listed, liked = lists[user].tolist(), world.liked(user)
        hits = [item in liked for item in listed]
        assert metrics.hits(lists, world.relevant)[user].tolist() == hits
        recall = sum(hits) / len(liked) if liked else math.nan
        gain = sum(1 / math.log2(r + 2) for r, hit in enumerate(hits) if hit)
        ideal = sum(1 / math.log2(r + 2) for r in range(min(len(liked), k)))
        ndcg = gain / ideal if liked else math.nan
        for name, expected in (("recall", recall), ("ndcg", ndcg)):
            got = getattr(metrics, name)(lists, world.relevant)[user]
            assert got == pytest.approx(expected, abs=1e-12, nan_ok=True)


@settings(deadline=None, max_examples=30)
@given(worlds())
def test_names_of_users_and_items_do_not_matter(world: Tiny) -> None:
    rng = np.random.default_rng(world.n_users)
    users, items = rng.permutation(world.n_users), rng.permutation(world.n_items)
    # item i of the new world is the old items[i]; looking −1 up gives −1
    renamed = np.append(np.argsort(items), -1)[world.lists[0]]
    for metric in (metrics.recall, metrics.ndcg):
        before = metric(world.lists[0], world.relevant)
        after = metric(renamed[users], world.relevant[users][:, items])
        np.testing.assert_allclose(after, before[users], atol=1e-12)


def test_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    liked = rng.random((30, 25)) < 0.2
    liked[:, 0] = True
    scores = rng.permuted(np.tile(np.arange(25.0), (30, 1)), axis=1)
    lists = np.argsort(-scores, axis=1)[:, :10]
    ours = metrics.ndcg(lists, sp.csr_matrix(liked.astype(np.float32)))
    assert ours.mean() == pytest.approx(ndcg_score(liked, scores, k=10), abs=1e-12)


def test_agrees_with_ranx(monkeypatch: pytest.MonkeyPatch) -> None:
    ranx = plain_ranx(monkeypatch)
    world = tiny(1, 30, 40, (10,))
    users = [u for u in range(world.n_users) if world.liked(u) and world.items(0, u)]
    qrels = ranx.Qrels({str(u): {str(i): 1 for i in world.liked(u)} for u in users})
    run = ranx.Run(
        {str(u): {str(i): 1 / (r + 1) for r, i in enumerate(world.items(0, u))} for u in users}
    )
    theirs = ranx.evaluate(qrels, run, ["recall@10", "ndcg@10"], return_mean=False)
    for name, metric in (("recall@10", metrics.recall), ("ndcg@10", metrics.ndcg)):
        by_user = dict(zip(run.keys(), theirs[name], strict=True))
        expected = [by_user[str(u)] for u in users]
        np.testing.assert_allclose(
            metric(world.lists[0], world.relevant)[users], expected, atol=1e-6
        )


@pytest.mark.parametrize(
    ("lists", "named"),
    [
        (np.zeros((3, 0), dtype=int), r"\(3, 0\) .* signed integers, .* at least one column"),
        (np.zeros(3, dtype=int), r"\(3,\)"),
        (np.zeros((3, 2)), "float64"),
        (np.zeros((2, 2), dtype=int), "for 2, 3 users were given; give all for the same users"),
        (np.array([[0], [5], [1]]), "item id 5 .* ids 0 to 4: use lists of the same dataset"),
        (np.array([[0], [-2], [1]]), "item id -2 .* ids are 0 and above, and −1 means no item"),
        (np.array([[0, 1], [0, 2], [0, -5]]), "item id -5"),
    ],
)
def test_what_cannot_be_lists_is_refused(lists: np.ndarray, named: str) -> None:
    for metric in (metrics.hits, metrics.recall, metrics.ndcg, metrics.positions):
        with pytest.raises(InputError, match=named):
            metric(lists, RELEVANT)


def test_no_users_are_no_fault() -> None:
    nobody = np.zeros((0, 3), dtype=np.int32)
    metrics.check_items(nobody, 0)
    assert len(metrics.recall(nobody, sp.csr_matrix((0, 5)))) == 0


def test_how_much_a_list_holds() -> None:
    lists = np.array([[0, 1, -1], [-1, -1, -1], [4, 0, 2], [3, -1, -1]])
    assert metrics.filled(lists).tolist() == [2, 0, 3, 1]
    assert metrics.filled(lists[:1]).tolist() == [2]


def test_lists_of_the_same_users() -> None:
    one, other = np.array([[0], [1]]), np.array([[1, 2], [0, 1]])
    found = metrics.same_users([one, other])
    assert [array.tolist() for array in found] == [one.tolist(), other.tolist()]
    with pytest.raises(InputError, match="inputs for 2, 1 users were given; give all for the same"):
        metrics.same_users([one, other[:1]])
    with pytest.raises(InputError, match="no lists were given; give at least one"):
        metrics.same_users([])


@pytest.mark.parametrize("k", [0, -1, 2.5, 20.0, True, "5", None])
def test_a_length_is_a_whole_number_of_at_least_one(k: object) -> None:
    """2.5 passed, and failed in NumPy's words later."""
    whole_number("k", 1)
    whole_number("k", np.int64(3))
    with pytest.raises(InputError, match=f"k = {k} was given; give a whole number of at least 1"):
        whole_number("k", k)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("error")
def test_users_without_relevant_items_are_nan_without_a_warning() -> None:
    lists, nothing = np.array([[0, 1]]), sp.csr_matrix((1, 5))
    assert np.isnan(metrics.recall(lists, nothing)).all()
    assert np.isnan(metrics.ndcg(lists, nothing)).all()


# strata

counts_of = st.lists(st.integers(0, 6), min_size=1, max_size=60)


def csr(rows: list[list[int]]) -> sp.csr_matrix:
    return sp.csr_matrix(np.array(rows, dtype=np.float32))


def random_world(
    seed: int, n_users: int = 20, n_items: int = 30
) -> tuple[np.ndarray, sp.csr_matrix]:
    """Return random lists of five and relevant items, some users with none."""
    n_users, n_items = 20, 30
    rng = np.random.default_rng(seed)
    lists = rng.permuted(np.tile(np.arange(n_items), (n_users, 1)), axis=1)[:, :5]
    wanted = rng.random((n_users, n_items)) < rng.choice([0, 0.2], (n_users, 1))
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


@pytest.mark.parametrize("counts", [[[1, 2], [3, 4]], [1, np.nan], [np.inf], [-1]])
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


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6))
def test_recalls_are_those_of_sets_and_add_up_to_the_whole(seed: int) -> None:
    lists, relevant = random_world(seed)
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
    lists, relevant = random_world(seed)
    other = random_world(seed + 1)[0]
    part = metrics.restricted(relevant, metrics.by_count(np.arange(30)) == 0)
    best = best_of_union([lists, other], part, 5)
    assert np.nanmin([best - recall(one, part) for one in (lists, other)], initial=0) >= 0
