"""How two or more lists or spaces differ, and the recall that the union of lists could reach.

Lists and relevant items are as in ``lib.metrics``. Values come per user, NaN where they are
undefined; ``lib.stats`` summarises them.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from lib import core, metrics
from lib.core import Floats, InputError, Lists, Relevant, relevant_pairs, unit
from lib.metrics import Bools, Ints, count, filled, positions_of, share, users_of

PARTS = ("both", "a_only", "b_only")

_USERS = 16384  # users a block: one column of their lists fits the first-level cache


def jaccard(a: ArrayLike, b: ArrayLike) -> Floats:
    """Return |a ∩ b| / |a ∪ b| of each user's two lists (n_users), NaN where both are empty."""
    first, second = metrics.same_users([a, b])
    common = _common(first, second)
    with np.errstate(invalid="ignore"):
        return common / (filled(first) + filled(second) - common)


def expected_jaccard(k: int, n_items: int) -> float:
    """Return the expected Jaccard of two lists of ``k`` items drawn at random from ``n_items``.

    The overlap x is hypergeometric, so the expectation is Σ P(x) · x / (2k − x).
    """
    from scipy.stats import hypergeom

    core.whole_number("k", k)
    if k > n_items:
        raise InputError(f"k = {k} was given with {n_items} items; give at most as many")
    x = np.arange(k + 1)
    return float(np.sum(hypergeom.pmf(x, n_items, k, k) * x / (2 * k - x)))


def _common(a: Lists, b: Lists) -> Ints:
    """Return how many items each user's two lists share (n_users).

    Comparing whole columns of many users beats sorting the rows up to lists of about a hundred.
    """
    # narrow integers compare faster; −1 becomes the largest in ``a``, the one before it in ``b``
    largest = max(a.max(initial=0), b.max(initial=0))
    narrow = np.min_scalar_type(int(largest) + 2)
    nothing = np.iinfo(narrow).max
    left, right = (np.empty((x.shape[1], min(_USERS, len(x))), dtype=narrow) for x in (a, b))
    equal = np.empty(left.shape, dtype=np.bool_)
    common = np.zeros(len(a), dtype=np.min_scalar_type(b.shape[1]))
    for start in range(0, len(a), _USERS):
        users = slice(start, start + _USERS)
        n = len(a[users])
        for lists, columns in ((a, left), (b, right)):
            columns[:, :n] = lists[users].astype(narrow).T  # narrow first: transposing is slow
        right[right == nothing] -= 1
        for column in right:
            np.equal(left[:, :n], column[:n], out=equal[:, :n])
            common[users] += np.bitwise_or.reduce(equal[:, :n], axis=0).view(np.uint8)
    return common.astype(np.intp)


def composition(a: ArrayLike, b: ArrayLike, relevant: Relevant) -> pd.DataFrame:
    """Return which list found each user's hits: ``both``, ``a_only``, ``b_only``, ``relevant``.

    Counts, indexed by user; the column ``relevant`` is the number of relevant items.
    """
    pairs, users, (in_a, in_b) = _found([a, b], relevant)
    both = count(in_a & in_b, users, pairs)
    counts = {
        "both": both,
        "a_only": count(in_a, users, pairs) - both,
        "b_only": count(in_b, users, pairs) - both,
        "relevant": np.diff(pairs.indptr).astype(np.intp),
    }
    return pd.DataFrame(counts, index=pd.RangeIndex(pairs.shape[0], name="user"))


def complementary(a: ArrayLike, b: ArrayLike, relevant: Relevant) -> tuple[Floats, Floats]:
    """Return each user's hits found by one list only, and by at least one (two of n_users).

    For ``lib.stats.ratio``: the complementary hit ratio pools hits over users.
    """
    found = composition(a, b, relevant)
    one = (found["a_only"] + found["b_only"]).to_numpy(np.float64)
    return one, one + found["both"].to_numpy()


def hit_popularity(
    a: ArrayLike, b: ArrayLike, relevant: Relevant, train_counts: ArrayLike
) -> pd.DataFrame:
    """Return how popular each user's hits are, by which list found them.

    ``train_counts`` are each item's training interactions (n_items). A row per part and user:
    ``part`` (of ``PARTS``), ``user``, ``log_popularity`` (mean ln(1 + count) of the hits, NaN
    without one), ``n`` (hits). Every part has every user in order.
    """
    pairs, users, (in_a, in_b) = _found([a, b], relevant)
    counts = metrics.checked_counts(train_counts)
    core.same_number("items", len(counts), pairs.shape[1])
    popularity, n_users = np.log1p(counts)[pairs.indices], pairs.shape[0]
    total, n = [], []
    for chosen in (in_a & in_b, in_a & ~in_b, in_b & ~in_a):
        total.append(np.bincount(users[chosen], weights=popularity[chosen], minlength=n_users))
        n.append(count(chosen, users, pairs))
    with np.errstate(invalid="ignore"):
        mean = np.concatenate(total) / np.concatenate(n)
    part = pd.Categorical.from_codes(np.repeat(np.arange(3), n_users), list(PARTS))
    columns = {"user": np.tile(np.arange(n_users), 3), "log_popularity": mean}
    return pd.DataFrame({"part": part, **columns, "n": np.concatenate(n)})


def _found(
    lists: Sequence[ArrayLike], relevant: Relevant
) -> tuple[sp.csr_matrix, Ints, list[Bools]]:
    """Return the relevant pairs, their users, and which pairs each of the lists holds (n_pairs)."""
    pairs = relevant_pairs(relevant)
    users = users_of(pairs)
    return pairs, users, [positions_of(one, pairs, users) >= 0 for one in metrics.same_users(lists)]


def oracle(lists: Sequence[ArrayLike], relevant: Relevant) -> Floats:
    """Return each user's recall of the union of N lists (n_users), NaN where nothing is relevant.

    The union may hold up to N · k items against a single list's k; see ``cut_to_union``.
    """
    pairs, users, found = _found(lists, relevant)
    return share(count(np.logical_or.reduce(found), users, pairs), pairs)


def cut_to_union(longer: ArrayLike, lists: Sequence[ArrayLike]) -> Lists:
    """Return each user's list of ``longer`` cut to as many items as the union of N lists has.

    What the union finds beyond such a list is owed to other items, not to more of them.
    """
    cut, *others = metrics.same_users([longer, *lists])
    items = np.sort(np.concatenate(others, axis=1), axis=1)  # missing places, -1, come first
    lengths = (np.diff(items, axis=1, prepend=-1) > 0).sum(axis=1, keepdims=True)
    return np.where(np.arange(cut.shape[1]) < lengths, cut, -1)


def best_of_union(lists: Sequence[ArrayLike], relevant: Relevant, k: int) -> Floats:
    """Return each user's recall of the best ``k`` items of the union of N lists (n_users).

    The upper bound of any fusion that picks k of them: min(hits in the union, k) / |relevant|.
    """
    core.whole_number("k", k)
    pairs, users, found = _found(lists, relevant)
    return share(np.minimum(count(np.logical_or.reduce(found), users, pairs), k), pairs)


def neighbours(x: ArrayLike, k: int) -> NDArray[np.int32]:
    """Return the ``k`` nearest others of each vector by cosine (n × k), excluding itself."""
    from lib.topk import topk

    core.whole_number("k", k)
    vectors = unit(x).astype(np.float32)
    if k >= len(vectors):
        asked = f"k = {k} neighbours were asked of {len(vectors)} vectors"
        raise InputError(f"{asked}; give 1 to {len(vectors) - 1}")
    itself = sp.identity(len(vectors), dtype=np.float32, format="csr")
    return np.asarray(topk(vectors, vectors, k, exclude=itself).items)


def neighbourhood_preservation(x: ArrayLike, y: ArrayLike, k: int) -> Floats:
    """Return the Jaccard of each item's ``k`` nearest others in two spaces (n × d and n × e; n)."""
    return jaccard(neighbours(x, k), neighbours(y, k))
