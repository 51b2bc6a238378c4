"""Accuracy of recommendation lists: one value per user, NaN where nothing is relevant.

Lists are n_users × k integers, best first, −1 where there is no item; an item stands at most once
in a user's list (not checked). Relevant items are an n_users × n_items matrix, sparse or dense: its
non-zeros are the relevant pairs, and a pair stored twice counts once. Arrays, tensors, data frames
and lists are taken alike; InputError refuses anything else, and lists of other users or catalogues.
"""

from collections.abc import Iterable

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from lib import core
from lib.core import Floats, InputError, Lists, Relevant, checked_lists, relevant_pairs

Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]

ENDS = (0.6, 0.8)
"""Where the lower and the middle stratum end, as shares of all items or users."""

ITEM_STRATA = ("cold", "mid", "hot")
USER_STRATA = ("light", "medium", "heavy")
"""Names of the strata 0, 1 and 2."""

_BLOCK = 1 << 18  # comparisons made at once: they stay in cache


def hits(lists: ArrayLike, relevant: Relevant) -> Bools:
    """Return which list entries are relevant to their user (n_users × k)."""
    checked, pairs = checked_lists(lists), relevant_pairs(relevant)
    users = users_of(pairs)
    at = positions_of(checked, pairs, users)
    found = at >= 0
    out = np.zeros(checked.shape, dtype=np.bool_)
    out[users[found], at[found]] = True
    return out


def recall(lists: ArrayLike, relevant: Relevant) -> Floats:
    """Return each user's recall, hits / |relevant| (n_users)."""
    pairs = relevant_pairs(relevant)
    users = users_of(pairs)
    return share(count(positions_of(checked_lists(lists), pairs, users) >= 0, users, pairs), pairs)


def ndcg(lists: ArrayLike, relevant: Relevant) -> Floats:
    """Return each user's normalised discounted cumulative gain with binary gains (n_users).

    A hit at rank r (from 1) gains 1 / log2(r + 1); the sum is divided by that of the ideal list,
    whose first min(|relevant|, k) items are hits (Järvelin and Kekäläinen, ACM TOIS 20(4), 2002).
    """
    checked, pairs = checked_lists(lists), relevant_pairs(relevant)
    users, k = users_of(pairs), checked.shape[1]
    at = positions_of(checked, pairs, users)
    found = at >= 0
    discount = 1 / np.log2(np.arange(2, k + 2))
    gain = np.bincount(users[found], weights=discount[at[found]], minlength=len(checked))
    # a user with nothing relevant has an ideal of 0 and so, at 0 / 0, a NaN
    ideal = np.append(0.0, np.cumsum(discount))[np.minimum(np.diff(pairs.indptr), k)]
    with np.errstate(invalid="ignore"):
        return gain / ideal


def positions(lists: ArrayLike, relevant: Relevant) -> Ints:
    """Return where in its user's list each relevant item stands, from 0; −1 where it is absent.

    One value per pair of ``relevant_pairs(relevant)`` (n_pairs).
    """
    pairs = relevant_pairs(relevant)
    return positions_of(checked_lists(lists), pairs, users_of(pairs))


def positions_of(lists: Lists, pairs: sp.csr_matrix, users: Ints) -> Ints:
    """Return ``positions`` given checked lists, ``relevant_pairs`` and ``users_of`` of them."""
    core.same_number("users", len(lists), pairs.shape[0])
    check_items(lists, pairs.shape[1])
    k = lists.shape[1]
    out = np.full(pairs.nnz, -1, dtype=np.intp)
    step = max(1, _BLOCK // k)
    listed = np.empty((min(step, pairs.nnz), k), dtype=lists.dtype)  # the list of each pair's user
    same = np.empty(listed.shape, dtype=np.bool_)
    for start in range(0, pairs.nnz, step):
        items = pairs.indices[start : start + step, None]
        n = len(items)
        lists.take(users[start : start + n], axis=0, out=listed[:n], mode="clip")
        np.equal(listed[:n], items, out=same[:n])
        pair, position = np.divmod(np.flatnonzero(same[:n]), k)
        out[start + pair] = position
    return out


def users_of(pairs: sp.csr_matrix) -> Ints:
    """Return the user of each stored pair (n_pairs)."""
    return np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr))


def count(chosen: Bools, users: Ints, pairs: sp.csr_matrix) -> Ints:
    """Return how many of each user's pairs are chosen (n_users)."""
    return np.bincount(users[chosen], minlength=pairs.shape[0])


def share(counts: Ints, pairs: sp.csr_matrix) -> Floats:
    """Return counts / |relevant| (n_users), NaN where nothing is relevant."""
    with np.errstate(invalid="ignore"):
        return counts / np.diff(pairs.indptr)


def filled(lists: Lists) -> Ints:
    """Return how many items each user's list holds (n_users)."""
    # −1 is rare: counting it is several times faster than counting the rest
    n_users, k = lists.shape
    return k - np.bincount(np.flatnonzero(lists < 0) // k, minlength=n_users)


def same_users(lists: Iterable[ArrayLike]) -> list[Lists]:
    """Return at least one array of lists, all of the same users, each as ``checked_lists``."""
    arrays = [checked_lists(one) for one in core.several(lists, "lists")]
    core.same_number("users", *map(len, arrays))
    return arrays


def check_items(lists: Lists, n_items: int) -> None:
    """Refuse checked lists with an item beyond the catalogue, ids 0 to n_items − 1."""
    if lists.max(initial=-1) >= n_items:
        told = f"lists with the item id {lists.max()} were given; this catalogue has ids 0 to"
        raise InputError(f"{told} {n_items - 1}: use lists of the same dataset")


def checked_counts(counts: ArrayLike) -> Floats:
    """Return counts, also those of one row or column, as float64 (n)."""
    values = core.numbers(counts, "counts")
    values = values.ravel() if values.ndim == 2 and 1 in values.shape else values
    if values.ndim != 1 or not ((values >= 0) & (values < np.inf)).all():
        told = f"counts of shape {values.shape} were given"
        raise InputError(f"{told}; give one finite number per item or user, none negative")
    return values


def by_count(counts: ArrayLike, *, seed: int = 2024) -> Ints:
    """Return the stratum of each item or user by its training count: 0 low, 1 middle, 2 high (n).

    The shares ``ENDS`` hold exactly, to the nearest whole number: among equal counts at an edge
    the seed decides who is below it. (The paper's reference puts all below: 62.9 % are cold.)
    """
    values = checked_counts(counts)
    n = len(values)
    order = np.lexsort((core.generator(seed, "strata: equal counts").random(n), values))
    labels = np.empty(n, dtype=np.intp)
    labels[order] = np.searchsorted([round(end * n) for end in ENDS], np.arange(n), side="right")
    return labels


def restricted(relevant: Relevant, items_mask: ArrayLike) -> sp.csr_matrix:
    """Return the relevant pairs whose item is chosen by ``items_mask`` (n_items), in their shape.

    ``recall`` of them is recall in a stratum. The lists stay those over all items: an item of
    another stratum takes its rank in them.
    """
    mask, pairs = core.array(items_mask, "masks"), relevant_pairs(relevant).copy()
    if mask.dtype != np.bool_ or mask.shape != pairs.shape[1:]:
        told = f"a mask of shape {mask.shape} and type {mask.dtype} was given"
        raise InputError(f"{told} for {pairs.shape[1]} items; give one truth value per item")
    pairs.data[~mask[pairs.indices]] = 0
    pairs.eliminate_zeros()
    return pairs
