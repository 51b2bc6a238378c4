"""Item splits: parts that are disjoint and cover, and what sets the held-out items apart."""

from collections.abc import Callable
from itertools import chain, combinations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core import InputError
from lib.probes.splits import ItemSplit, cluster, popularity, random, temporal

BLOBS = [7, 3, 2, 5, 4, 9]  # sizes of clusters


def blobs(sizes: list[int]) -> np.ndarray:
    """Return vectors of clusters so far apart that k-means cannot miss them."""
    noise = np.random.default_rng(0).normal(0, 0.01, (sum(sizes), len(sizes)))
    return np.repeat(np.eye(len(sizes)), sizes, axis=0) + noise


def times(n_items: int, seed: int) -> sp.csr_matrix:
    draw = np.random.default_rng(seed)
    table = draw.integers(1, 50, (7, n_items)) * (draw.random((7, n_items)) < 0.5)
    return sp.csr_matrix(table.astype(np.float64))


SPLITS: dict[str, Callable[[int, int], ItemSplit]] = {
    "random": lambda n, seed: random(n, seed=seed),
    "popularity": lambda n, seed: popularity(np.arange(n) % 4, seed=seed),
    "temporal": lambda n, seed: temporal(times(n, seed), seed=seed),
}


def check_parts(split: ItemSplit, n_items: int) -> None:
    parts = [split.train, split.valid, split.test]
    assert sorted(chain(*parts)) == list(range(n_items))  # disjoint and covering
    assert all((np.diff(part) > 0).all() for part in parts)
    assert all(len(part) for part in parts)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(SPLITS)), st.integers(10, 120), st.integers(0, 10**6))
def test_parts_are_disjoint_cover_all_items_and_have_their_sizes(
    name: str, n_items: int, seed: int
) -> None:
    split = SPLITS[name](n_items, seed)
    check_parts(split, n_items)
    assert split.name == name
    assert len(split.test) == round(0.2 * n_items)
    assert len(split.valid) == round(0.1 * n_items)


@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(1, 8), min_size=3, max_size=7), st.integers(0, 100))
def test_cluster_parts_are_disjoint_and_cover_all_items(sizes: list[int], seed: int) -> None:
    sizes = [*sizes, 7]
    split = cluster(blobs(sizes), seed=seed, n_clusters=len(sizes))
    check_parts(split, sum(sizes))


def test_popularity_holds_out_the_coldest() -> None:
    counts = np.random.default_rng(1).permutation(50)
    split = popularity(counts)
    assert sorted(counts[split.test]) == list(range(10))


def test_popularity_draws_ties_at_the_edge() -> None:
    counts = np.ones(20)
    counts[:2] = 0
    chosen = [set(popularity(counts, seed=seed).test.tolist()) for seed in range(8)]
    assert all({0, 1} < held_out for held_out in chosen)
    assert len(set(map(frozenset, chosen))) > 1


def test_temporal_holds_out_the_items_that_appear_last() -> None:
    # item i first at 100 − i by user 0; user 1 meets item 0 earlier, item 1 later than user 0
    first = np.array([100.0 - i for i in range(10)])
    again = np.zeros(10)
    again[0], again[1] = 1, 500
    split = temporal(sp.csr_matrix(np.stack([first, again])))
    assert split.test.tolist() == [1, 2]  # item 0 appeared at 1, before all others


def test_temporal_takes_items_without_training_interaction_to_appear_last() -> None:
    first = np.arange(1.0, 11.0)
    first[:2] = 0  # not stored
    assert temporal(sp.csr_matrix(first[None])).test.tolist() == [0, 1]


@pytest.mark.parametrize("sizes", [BLOBS, [20, 4], [3] * 10, [6, 6, 6], [1, 1, 30]])
def test_cluster_holds_out_whole_clusters_as_close_to_a_fifth_as_they_allow(
    sizes: list[int],
) -> None:
    n = sum(sizes)
    split = cluster(blobs(sizes), n_clusters=len(sizes))
    label = np.repeat(np.arange(len(sizes)), sizes)
    assert not set(label[split.test]) & set(label[np.r_[split.train, split.valid]])
    some = chain.from_iterable(combinations(sizes, r) for r in range(1, len(sizes)))
    best = min(abs(sum(chosen) - round(0.2 * n)) for chosen in some)
    assert abs(len(split.test) - round(0.2 * n)) == best


def test_cluster_follows_direction_not_length() -> None:
    vectors = blobs(BLOBS)
    longer = vectors * np.random.default_rng(3).uniform(0.1, 9, (len(vectors), 1))
    assert (
        cluster(vectors, n_clusters=6).test.tolist() == cluster(longer, n_clusters=6).test.tolist()
    )


def test_clusters_of_few_different_vectors() -> None:
    vectors = np.repeat(np.eye(3), 10, axis=0)  # 20 clusters asked, 3 to be had
    check_parts(cluster(vectors), 30)


@pytest.mark.parametrize("name", sorted(SPLITS))
def test_a_seed_decides_the_split(name: str) -> None:
    first, again, other = (SPLITS[name](60, seed) for seed in (5, 5, 6))
    assert first.train.tolist() == again.train.tolist()
    assert first.train.tolist() != other.train.tolist()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: random(9), "9 items were given; give at least 10"),
        (lambda: popularity(np.ones((4, 4))), r"shape \(4, 4\) were given"),
        (lambda: popularity(np.full(20, np.nan)), "one finite number per item"),
        (lambda: temporal(None), "no interaction times"),
        (lambda: cluster(np.ones((20, 2))), "all point the same way"),
        (lambda: cluster(np.eye(20), n_clusters=21), "give 2 to 20"),
        (lambda: cluster(np.eye(5)), "give at least 10"),
        (lambda: cluster(np.full((20, 2), np.inf)), "not finite"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(make: Callable[[], ItemSplit], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make()
