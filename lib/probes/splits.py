"""Which items a map learns from, which choose its strength, and which it is judged on.

A fifth of the items is held out for the test; a tenth is drawn at random from the rest for
validation. The splits differ in what sets the held-out items apart: nothing, how popular they are,
what they are about, or when they appeared. Of equal items at the edge ``seed`` draws.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from lib.core import Floats, InputError, generator, unit
from lib.metrics import checked_counts

Ints = NDArray[np.intp]

LEAST = 10
"""Items needed for every part of a split to have one."""


@dataclass(frozen=True)
class ItemSplit:
    """Item ids in ascending order, disjoint and together all items."""

    train: Ints  # 70 % of the items: fit a map
    valid: Ints  # 10 %: choose its strength
    test: Ints  # 20 %: held out
    name: str  # what sets these apart

    def ordered_by(self, vectors: Floats) -> ItemSplit:
        """Return the split with the items of each part in the order of ``vectors`` (n_items × d).

        In that order neither batches nor draws depend on how the items are numbered.
        """
        ids = np.concatenate([self.train, self.valid, self.test])
        if not np.array_equal(np.sort(ids), np.arange(len(vectors))):
            told = f"a split of {len(ids)} items was given for vectors of {len(vectors)}"
            raise InputError(f"{told}; give one in which each of them stands once")
        train, valid, test = (
            part[np.lexsort(vectors[part].T)] for part in (self.train, self.valid, self.test)
        )
        return ItemSplit(train, valid, test, self.name)


def random(n_items: int, *, seed: int = 2024) -> ItemSplit:
    """Hold out items at random, as the reference does by this seed but without validation items."""
    n_test, _ = _sizes(n_items)
    rng = generator(seed, "item split: random")
    return _split("random", rng.permutation(n_items)[:n_test], n_items, rng)


def popularity(train_counts: ArrayLike, *, seed: int = 2024) -> ItemSplit:
    """Hold out the coldest items by ``train_counts``, the training interactions of each (n_items).

    A map then learns from hot items and is judged on cold ones.
    """
    return _smallest("popularity", checked_counts(train_counts), seed)


def cluster(vectors: ArrayLike, *, seed: int = 2024, n_clusters: int = 20) -> ItemSplit:
    """Hold out whole clusters of items, so that a map is judged on themes it has not seen.

    k-means on the source ``vectors`` (n_items × d) at unit length, where Euclidean distance orders
    as cosine does. The clusters held out are those whose sizes add up closest to a fifth.
    """
    points = unit(vectors)
    n_items = len(points)
    n_test, n_valid = _sizes(n_items)
    if not 2 <= n_clusters <= n_items:
        raise InputError(f"n_clusters = {n_clusters} was given; give 2 to {n_items}")
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    state = int(generator(seed, "item split: k-means").integers(2**31))
    with warnings.catch_warnings():  # fewer different vectors than clusters give fewer clusters
        warnings.simplefilter("ignore", ConvergenceWarning)
        label = KMeans(n_clusters, n_init=4, random_state=state).fit_predict(points)
    if len(np.unique(label)) == 1:
        raise InputError("the vectors all point the same way; split by random or popularity")
    rng = generator(seed, "item split: cluster")
    sizes = np.bincount(label)
    order = rng.permutation(len(sizes))
    # at least one item for training and one for validation must stay
    most = n_items - n_valid - 1
    chosen = order[_closest_subset(sizes[order].tolist(), n_test, most)]
    return _split("cluster", np.flatnonzero(np.isin(label, chosen)), n_items, rng)


def temporal(times: sp.csr_matrix | None, *, seed: int = 2024) -> ItemSplit:
    """Hold out the items that appeared last, so that a map is judged on what came after.

    ``times`` says when each training interaction took place (n_users × n_items, any unit); None,
    where that is unknown, is refused. An item appears with its first training interaction, one
    without any after all others.
    """
    if times is None:
        told = "this dataset has no interaction times, which a temporal split of items needs"
        raise InputError(f"{told}; split them by random, popularity or cluster instead")
    pairs = times.tocoo()
    first = np.full(pairs.shape[1], np.inf)
    np.minimum.at(first, pairs.col, pairs.data)
    return _smallest("temporal", -first, seed)


def _sizes(n_items: int) -> tuple[int, int]:
    """Return the numbers of test and of validation items."""
    if n_items < LEAST:
        raise InputError(f"{n_items} items were given; give at least {LEAST}, to fill every part")
    return round(0.2 * n_items), round(0.1 * n_items)


def _smallest(name: str, values: Floats, seed: int) -> ItemSplit:
    """Hold out the items of the smallest values."""
    n_test, _ = _sizes(len(values))
    rng = generator(seed, f"item split: {name}")
    order = np.lexsort((rng.random(len(values)), values))
    return _split(name, order[:n_test], len(values), rng)


def _split(name: str, test: Ints, n_items: int, rng: np.random.Generator) -> ItemSplit:
    """Draw the validation items from those that are not held out."""
    rest = rng.permutation(np.setdiff1d(np.arange(n_items), test))
    _, n_valid = _sizes(n_items)
    valid, train = rest[:n_valid], rest[n_valid:]
    return ItemSplit(np.sort(train), np.sort(valid), np.sort(test), name)


def _closest_subset(sizes: Sequence[int], wanted: int, most: int) -> list[int]:
    """Return positions of sizes that add up as close to ``wanted`` as any subset, 1 to ``most``."""
    # dynamic programming: bit s of reachable[c] says whether some of the first c add up to s
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
