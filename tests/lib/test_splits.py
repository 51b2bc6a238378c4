"""Duplicates, k-core and splits against hand examples and plain loops."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lib import dataset
from lib.core import InputError

PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=120)


def matrix(pairs, times=None) -> sp.csr_matrix:  # type: ignore[no-untyped-def]
    """Return distinct pairs as CSR, stored with the time of each."""
    users, items = np.array(sorted(set(pairs)), dtype=int).reshape(-1, 2).T
    values = np.arange(len(users), dtype=float) if times is None else np.asarray(times, float)
    return sp.csr_matrix((values, (users, items)), shape=(13, 13))


def at(whole: sp.csr_matrix) -> np.ndarray:
    """Return where something is stored, be it a 0."""
    dense = np.zeros(whole.shape, dtype=bool)
    rows = np.repeat(np.arange(whole.shape[0]), np.diff(whole.indptr))
    dense[rows, whole.indices] = True
    return dense


def recbole_sizes(n: int) -> list[int]:
    """State RecBole's rule as it is described, one user at a time, in tenths."""
    sizes = [n - 2 * (n // 10), n // 10, n // 10]
    for part in (2, 1):
        if sizes[0] <= 1:
            break
        if 0 < n < 10:
            sizes[part] += 1
            sizes[0] -= 1
    return sizes


@pytest.mark.parametrize(
    ("n", "sizes"),
    [
        (0, [0, 0, 0]),
        (1, [1, 0, 0]),
        (2, [1, 0, 1]),
        (3, [1, 1, 1]),
        (5, [3, 1, 1]),
        (9, [7, 1, 1]),
        (10, [8, 1, 1]),
        (19, [17, 1, 1]),
        (20, [16, 2, 2]),
        (737, [591, 73, 73]),
    ],
)
def test_part_sizes_by_hand(n: int, sizes: list[int]) -> None:
    assert dataset.part_sizes(np.array([n])).tolist() == [sizes]


def test_part_sizes_are_recboles_rule() -> None:
    counts = np.arange(2000)
    expected = [recbole_sizes(n) for n in counts]
    np.testing.assert_array_equal(dataset.part_sizes(counts), expected)


def test_a_pair_is_kept_once_at_its_earliest() -> None:
    users, items = np.array([1, 0, 1, 1]), np.array([2, 5, 2, 0])
    times = np.array([30.0, 10.0, 20.0, 5.0])
    assert dataset.earliest(users, items, times).tolist() == [1, 3, 2]


@settings(deadline=None)
@given(PAIRS)
def test_duplicates_leave_the_set_of_pairs(pairs: list[tuple[int, int]]) -> None:
    users, items = np.array(pairs, dtype=int).reshape(-1, 2).T
    kept = dataset.earliest(users, items)
    assert list(zip(users[kept], items[kept], strict=True)) == sorted(set(pairs))


def test_k_core_removes_what_falls_below_later() -> None:
    # item 9 has one user; without it user 2 has one item; without that item 1 has one user
    users = np.array([0, 0, 1, 1, 2, 2, 0])
    items = np.array([0, 2, 0, 2, 1, 9, 1])
    assert dataset.k_core(users, items, 2).tolist() == [True] * 4 + [False] * 3


@settings(deadline=None)
@given(PAIRS, st.integers(0, 4))
def test_k_core_is_the_largest(pairs: list[tuple[int, int]], k: int) -> None:
    distinct = sorted(set(pairs))
    users, items = np.array(distinct, dtype=int).reshape(-1, 2).T
    left = list(distinct)
    while True:  # a plain loop that removes one interaction at a time
        drop = [
            (u, i)
            for u, i in left
            if sum(u == v for v, _ in left) < k or sum(i == j for _, j in left) < k
        ]
        if not drop:
            break
        left.remove(drop[0])
    inside = dataset.k_core(users, items, k)
    assert [pair for pair, kept in zip(distinct, inside, strict=True) if kept] == left


@settings(deadline=None)
@given(PAIRS, st.sampled_from(["random", "temporal"]), st.integers(0, 2**32))
def test_parts_are_disjoint_cover_all_and_have_the_sizes(
    pairs: list[tuple[int, int]], kind: str, seed: int
) -> None:
    whole = matrix(pairs)
    part = dataset.assign(whole, kind, seed)
    ones = np.ones(whole.nnz, dtype=np.float32)
    parts = [dataset.only(whole, part == p, ones) for p in range(3)]
    np.testing.assert_array_equal(sum(p.toarray() for p in parts), at(whole))
    counts = np.stack([p.getnnz(axis=1) for p in parts], axis=1)
    np.testing.assert_array_equal(counts, dataset.part_sizes(whole.getnnz(axis=1)))
    for matrix_of_part in parts:
        assert matrix_of_part.indices.dtype == np.int32
        matrix_of_part.check_format()
        assert matrix_of_part.has_canonical_format


def test_a_temporal_split_follows_time_and_breaks_ties_by_item() -> None:
    # items 0…5 of one user; the latest is item 2, then 0 and 4 at one time
    whole = sp.csr_matrix(np.array([[5.0, 1.0, 9.0, 2.0, 5.0, 3.0]]))
    assert dataset.assign(whole, "temporal").tolist() == [0, 0, 2, 0, 1, 0]


@settings(deadline=None)
@given(PAIRS, hnp.arrays(float, 169, elements=st.integers(0, 9)))
def test_nothing_in_training_is_later_than_a_test(
    pairs: list[tuple[int, int]], times: np.ndarray
) -> None:
    whole = matrix(pairs, times[: len(set(pairs))])
    part = dataset.assign(whole, "temporal")
    for user in range(13):
        mine = slice(whole.indptr[user], whole.indptr[user + 1])
        when, where = whole.data[mine], part[mine]
        for earlier, later in ((0, 1), (1, 2), (0, 2)):
            if (where == earlier).any() and (where == later).any():
                assert when[where == earlier].max() <= when[where == later].min()


def test_the_seed_decides_a_random_split_and_times_do_not() -> None:
    pairs = [(u, i) for u in range(13) for i in range(13)]
    whole = matrix(pairs)
    first = dataset.assign(whole, "random", 1)
    np.testing.assert_array_equal(first, dataset.assign(matrix(pairs, np.ones(169)), "random", 1))
    assert (first != dataset.assign(whole, "random", 2)).any()


def test_every_interaction_is_as_likely_to_be_tested() -> None:
    whole = sp.csr_matrix(np.ones((2000, 10)))
    tested = (dataset.assign(whole, "random", 0) == 2).reshape(2000, 10).mean(axis=0)
    # the standard error of one share of 0.1 is 0.0067
    assert np.abs(tested - 0.1).max() < 0.03


@pytest.mark.parametrize(("kind", "seed"), [("by user", 0), ("random", -1), ("random", 0.5)])
def test_wrong_input_is_one_sentence(kind: str, seed: int) -> None:
    with pytest.raises(InputError, match="give"):
        dataset.assign(matrix([(0, 0)]), kind, seed)
