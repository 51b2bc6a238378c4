"""Which items a map learns from, which choose its strength, and which it is judged on.

A fifth of the items is held out for the test; a tenth is drawn at random from the rest for
validation. The splits differ in what sets the held-out items apart: nothing, how popular they are,
what they are about, or when they appeared.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from lib.core import InputError, generator, unit

Ints = NDArray[np.intp]

TEST, VALIDATION = 0.2, 0.1
"""Shares of all items."""

LEAST = 10
"""Items needed for every part to have one."""


@dataclass(frozen=True)
class ItemSplit:
    """Item ids in ascending order, disjoint and together all items; ``name`` says what they test.

    ``train`` (70 % of the items) fits a map, ``valid`` (10 %) chooses its strength, ``test`` (20 %)
    is held out.
    """

    train: Ints
    valid: Ints
    test: Ints
    name: str


def random(n_items: int, *, seed: int = 2024) -> ItemSplit:
    """Hold out items at random: the reference's split and its seed, with validation items beside.

    Raises
    ------
    InputError
        Fewer than ten items.
    """
    _check_count(n_items)
    draw = generator(seed, "item split: random")
    return _split("random", draw.permutation(n_items)[: _held_out(n_items)], n_items, draw)


def popularity(train_counts: ArrayLike, *, seed: int = 2024) -> ItemSplit:
    """Hold out the coldest items, so that a map learns on hot ones and is judged on cold ones.

    ``train_counts``: training interactions of each item (n_items). Items of equal count at the
    edge are drawn by ``seed``.

    Raises
    ------
    InputError
        Not one finite count per item, or fewer than ten items.
    """
    counts = np.asarray(train_counts, dtype=np.float64)
    if counts.ndim != 1 or not np.isfinite(counts).all():
        raise InputError(
            f"training counts of shape {counts.shape} were given; give one finite number per item"
        )
    return _smallest("popularity", counts, seed)


def cluster(vectors: ArrayLike, *, seed: int = 2024, n_clusters: int = 20) -> ItemSplit:
    """Hold out whole clusters of items, so that a map is judged on themes it has not seen.

    k-means on the source ``vectors`` (n_items × d) at unit length, on which Euclidean distance
    orders as cosine does. The clusters held out are those whose sizes add up closest to a fifth of
    the items; of equally close choices one is drawn by ``seed``.

    Raises
    ------
    InputError
        No finite matrix, fewer than ten items, a number of clusters outside 2 to n_items, or
        vectors that fall into one cluster.
    """
    points = unit(vectors)
    n_items = len(points)
    _check_count(n_items)
    if not 2 <= n_clusters <= n_items:
        raise InputError(f"n_clusters = {n_clusters} was given; give 2 to {n_items}")
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    state = int(generator(seed, "item split: k-means").integers(2**31))
    with warnings.catch_warnings():  # fewer different vectors than clusters give fewer clusters
        warnings.simplefilter("ignore", ConvergenceWarning)
        label = KMeans(n_clusters, n_init=4, random_state=state).fit_predict(points)
    if len(np.unique(label)) == 1:
        raise InputError(
            "the vectors all point the same way and fall into one cluster; split the items by "
            "random or popularity instead"
        )
    draw = generator(seed, "item split: cluster")
    sizes = np.bincount(label)
    order = draw.permutation(len(sizes))
    # at least one item for training and one for validation must stay
    most = n_items - _validation(n_items) - 1
    chosen = order[_closest_subset(sizes[order].tolist(), _held_out(n_items), most)]
    return _split("cluster", np.flatnonzero(np.isin(label, chosen)), n_items, draw)


def temporal(times: sp.csr_matrix | None, *, seed: int = 2024) -> ItemSplit:
    """Hold out the items that appeared last, so that a map is judged on what came after.

    ``times``: when each training interaction took place (n_users × n_items, any unit). An item
    appears with its first training interaction; one without any is taken to appear after all
    others. Items that appear at the same time at the edge are drawn by ``seed``.

    Raises
    ------
    InputError
        The times are unknown (None), or fewer than ten items.
    """
    if times is None:
        raise InputError(
            "this dataset has no interaction times, which a temporal split of items needs; split "
            "them by random, popularity or cluster instead"
        )
    pairs = times.tocoo()
    first = np.full(pairs.shape[1], np.inf)
    np.minimum.at(first, pairs.col, pairs.data)
    return _smallest("temporal", -first, seed)


def _check_count(n_items: int) -> None:
    if n_items < LEAST:
        raise InputError(
            f"{n_items} items were given; give at least {LEAST}, so that every part of the split "
            "has one"
        )


def _held_out(n_items: int) -> int:
    return round(TEST * n_items)


def _validation(n_items: int) -> int:
    return round(VALIDATION * n_items)


def _smallest(name: str, values: NDArray[np.float64], seed: int) -> ItemSplit:
    """Hold out the items of the smallest values."""
    n_items = len(values)
    _check_count(n_items)
    draw = generator(seed, f"item split: {name}")
    order = np.lexsort((draw.random(n_items), values))
    return _split(name, order[: _held_out(n_items)], n_items, draw)


def _split(name: str, test: Ints, n_items: int, draw: np.random.Generator) -> ItemSplit:
    """Draw the validation items from those that are not held out."""
    rest = draw.permutation(np.setdiff1d(np.arange(n_items), test))
    n = _validation(n_items)
    return ItemSplit(np.sort(rest[n:]), np.sort(rest[:n]), np.sort(test), name)


def _closest_subset(sizes: Sequence[int], wanted: int, most: int) -> list[int]:
    """Return positions of sizes that add up as close to ``wanted`` as any subset, 1 to ``most``.

    Subset sums by dynamic programming: after c sizes, bit s of ``reachable[c]`` says whether some
    of them add up to s.
    """
    reachable = [1]
    for size in sizes:
        reachable.append(reachable[-1] | reachable[-1] << size)
    sums = (s for s in range(1, most + 1) if reachable[-1] >> s & 1)
    left = min(sums, key=lambda s: abs(s - wanted))
    chosen = []
    for c in range(len(sizes), 0, -1):
        if not reachable[c - 1] >> left & 1:
            chosen.append(c - 1)
            left -= sizes[c - 1]
    return chosen
