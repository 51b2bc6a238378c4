"""Who interacted with what: the dataset, duplicates, the k-core, and the split into three parts.

A split depends on integer ids and the seed alone, never on the order of a file's rows.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from lib import cache, core
from lib.core import Floats, InputError, check_seed, generator, relevant_pairs

Ints = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Interactions in three disjoint parts, and the items.

    ``train``, ``valid`` and ``test`` are CSR matrices, n_users × n_items, of float32 ones with
    sorted indices; of any other matrix given the non-zeros are the interactions. Row i of ``items``
    is item i: its ``text``, its original ``key``, and ``title``, ``genres``, ``year`` where known.
    ``card`` records the data's origin and processing. ``times``, where known, has the pattern of
    ``train`` and seconds (float64). ``vectors`` (n_items × d, float32) replace the text of datasets
    without text.
    """

    name: str
    train: sp.csr_matrix
    valid: sp.csr_matrix
    test: sp.csr_matrix
    items: pd.DataFrame
    card: dict[str, Any]
    times: sp.csr_matrix | None = None
    vectors: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        for name, kind in (("name", str), ("items", pd.DataFrame), ("card", dict)):
            core.check_type(name, getattr(self, name), kind)
        for part in ("train", "valid", "test"):
            pairs = relevant_pairs(getattr(self, part), part)
            if not sp.isspmatrix(pairs) or pairs.dtype != np.float32 or not (pairs.data == 1).all():
                pairs = sp.csr_matrix(pairs != 0, dtype=np.float32)
            object.__setattr__(self, part, pairs)
        shapes = [part.shape for part in (self.train, self.valid, self.test)]
        if len({*shapes, (self.n_users, len(self.items))}) > 1:
            told = f"parts of shapes {shapes} were given with {len(self.items)} items"
            raise InputError(f"{told}; give all for the same users and items")
        if "text" not in self.items or not self.items["text"].map(type).eq(str).all():
            raise InputError("items without texts were given; give them, or '', in a column 'text'")
        times, vectors = self.times, self.vectors
        if times is not None and not (sp.issparse(times) and times.shape == self.train.shape):
            raise InputError("times of another shape were given; give a sparse matrix like train")
        if vectors is not None:
            object.__setattr__(self, "vectors", vectors := core.array(vectors, "vectors"))
            if vectors.shape[:-1] != (self.n_items,) or not np.isfinite(vectors).all():
                raise InputError(f"vectors {vectors.shape} were given; give a finite row per item")

    @property
    def n_users(self) -> int:
        """Number of users."""
        return int(self.train.shape[0])

    @property
    def n_items(self) -> int:
        """Number of items."""
        return int(self.train.shape[1])

    @cached_property
    def seen(self) -> sp.csr_matrix:
        """Training and validation interactions: what is masked at test."""
        return sp.csr_matrix(self.train + self.valid)

    @cached_property
    def interactions_digest(self) -> str:
        """SHA-256 of the three parts: all that a view without text depends on."""
        return cache.digest(self.train, self.valid, self.test)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the three parts, their times, and the items' texts or vectors."""
        optional = [part for part in (self.times, self.vectors) if part is not None]
        return cache.digest(self.interactions_digest, list(self.items["text"]), *optional)


def earliest(users: Ints, items: Ints, times: Floats | None = None) -> Ints:
    """Return the row of each pair's earliest interaction (any, without times), by user and item."""
    order = np.lexsort((items, users) if times is None else (times, items, users))
    u, i = users[order], items[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (u[1:] != u[:-1]) | (i[1:] != i[:-1])
    return order[first]


def k_core(users: Ints, items: Ints, k: int) -> NDArray[np.bool_]:
    """Return which interactions (n,) lie in the k-core; ``k`` ≤ 1 keeps everything.

    That is the largest set in which all users and items have ``k`` interactions (Seidman 1983).
    """
    inside = np.ones(len(users), dtype=bool)
    n_users, n_items = (int(ids.max(initial=-1)) + 1 for ids in (users, items))
    while True:
        by_user = np.bincount(users[inside], minlength=n_users)
        by_item = np.bincount(items[inside], minlength=n_items)
        stays = inside & (by_user[users] >= k) & (by_item[items] >= k)
        if stays.sum() == inside.sum():
            return inside
        inside = stays


def part_sizes(counts: Ints) -> Ints:
    """Return how many of a user's interactions go to train, valid and test (n_users × 3).

    RecBole's rule for 8:1:1 (``recbole.data.dataset.Dataset._calcu_split_ids``): validation and
    test each get a tenth, rounded down; if that is zero, first test and then validation get one,
    provided that training keeps one. Five interactions become 3/1/1, two become 1/0/1.
    """
    counts = np.asarray(counts, dtype=np.int64)
    valid, test = counts // 10, counts // 10
    train = counts - valid - test
    few = (counts > 0) & (counts < 10)
    for part in (test, valid):
        moved = few & (train > 1)
        part[moved] += 1
        train[moved] -= 1
    return np.stack([train, valid, test], axis=1)


def check_split(kind: str, seed: int) -> None:
    """Refuse an unknown kind of split, or a seed that is no whole number from 0."""
    if not isinstance(kind, str) or kind not in ("random", "temporal"):
        raise InputError(f"split {core.shown(kind)!r} is unknown: give 'random' or 'temporal'")
    check_seed(seed)


def assign(interactions: sp.csr_matrix, kind: str, seed: int = 2020) -> NDArray[np.int8]:
    """Return the part of each interaction, in stored order: 0 training, 1 validation, 2 test.

    Each user's interactions (n_users × n_items, sorted indices) are divided 8:1:1 by
    ``part_sizes``. A "random" split is uniform and decided by the seed. A "temporal" one reads the
    stored values as times: a user's earliest go to training and the latest to test; at equal
    times the item with the smaller id is earlier.
    """
    check_split(kind, seed)
    counts = np.diff(interactions.indptr)
    users = np.repeat(np.arange(len(counts)), counts)
    keys = interactions.data
    if kind == "random":
        keys = generator(int(seed), "split").random(len(users))
    order = np.lexsort((interactions.indices, keys, users))
    position = np.empty(len(users), dtype=np.int64)
    position[order] = np.arange(len(users)) - interactions.indptr[users]  # 0 … count−1 of its user
    train, valid, _ = part_sizes(counts).T
    return (position >= train[users]).astype(np.int8) + (position >= (train + valid)[users])


def only(
    interactions: sp.csr_matrix, chosen: NDArray[np.bool_], values: NDArray[np.floating]
) -> sp.csr_matrix:
    """Return the chosen interactions as CSR of the same shape, with sorted int32 indices.

    ``interactions`` has sorted indices; ``chosen`` and ``values`` have an entry per interaction in
    stored order. Values keep their type, and a value of 0 stays stored.
    """
    indptr = np.append(0, np.cumsum(chosen))[interactions.indptr].astype(np.int32)
    indices = interactions.indices[chosen].astype(np.int32)
    matrix = sp.csr_matrix((values[chosen], indices, indptr), shape=interactions.shape)
    matrix.has_sorted_indices = True
    return matrix
