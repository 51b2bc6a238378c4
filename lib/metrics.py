"""Accuracy of recommendation lists: one value per user, NaN where nothing is relevant.

Lists are n_users × k integers, best first, −1 where there is no item; an item stands at most once
in a user's list (``lib.topk`` gives such lists; this is not checked again). Relevant items are a
sparse matrix, n_users × n_items, whose stored non-zeros are the relevant pairs. All that follows
rests on ``places``: where in its user's list each relevant item stands. There are far fewer
relevant pairs than list entries, so looking the pairs up in the lists, and not the list entries
up in the pairs, is what makes this fast.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from lib.core import InputError, generator
from lib.stats import Estimate, of_totals

Lists = NDArray[np.signedinteger]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_BLOCK = 1 << 18
"""Comparisons made at once: they stay in cache."""


def hits(lists: ArrayLike, relevant: sp.csr_matrix) -> Bools:
    """Return which list entries are relevant to their user (n_users × k).

    Raises
    ------
    InputError
        Lists that are no n_users × k integers with k ≥ 1, other users than those of ``relevant``,
        or an item outside its catalogue.
    """
    checked, pairs = checked_lists(lists), relevant_pairs(relevant)
    users = users_of(pairs)
    place = places_of(checked, pairs, users)
    found = place >= 0
    out = np.zeros(checked.shape, dtype=np.bool_)
    out[users[found], place[found]] = True
    return out


def recall(lists: ArrayLike, relevant: sp.csr_matrix) -> Floats:
    """Return each user's recall, hits / |relevant| (n_users).

    Raises
    ------
    InputError
        As ``hits``.
    """
    pairs = relevant_pairs(relevant)
    users = users_of(pairs)
    return share(count(places_of(checked_lists(lists), pairs, users) >= 0, users, pairs), pairs)


def ndcg(lists: ArrayLike, relevant: sp.csr_matrix) -> Floats:
    """Return each user's normalised discounted cumulative gain with binary gains (n_users).

    A hit at place r (from 1) gives 1 / log2(r + 1); the sum is divided by that of the best
    possible list, which has min(|relevant|, k) hits in its first places (Järvelin and Kekäläinen,
    ACM TOIS 20(4), 2002).

    Raises
    ------
    InputError
        As ``hits``.
    """
    checked, pairs = checked_lists(lists), relevant_pairs(relevant)
    users, k = users_of(pairs), checked.shape[1]
    place = places_of(checked, pairs, users)
    found = place >= 0
    discount = 1 / np.log2(np.arange(2, k + 2))
    gain = np.bincount(users[found], weights=discount[place[found]], minlength=len(checked))
    # a user with nothing relevant has an ideal of 0 and so, at 0 / 0, a NaN
    ideal = np.append(0.0, np.cumsum(discount))[np.minimum(np.diff(pairs.indptr), k)]
    with np.errstate(invalid="ignore"):
        return gain / ideal


def places(lists: ArrayLike, relevant: sp.csr_matrix) -> Ints:
    """Return where in its user's list each relevant item stands, from 0; −1 where it is absent.

    One value per stored pair of ``relevant``, in its order (n_pairs); at a shorter cut K the items
    found are those with ``0 <= place < K``.

    Raises
    ------
    InputError
        As ``hits``.
    """
    pairs = relevant_pairs(relevant)
    return places_of(checked_lists(lists), pairs, users_of(pairs))


def places_of(lists: Lists, pairs: sp.csr_matrix, users: Ints) -> Ints:
    """Return ``places`` of checked lists for pairs without stored zeros, whose users are given.

    Raises
    ------
    InputError
        Other users than those of ``pairs``, or an item outside its catalogue.
    """
    n_users, n_items = pairs.shape
    if len(lists) != n_users:
        raise InputError(
            f"lists of {len(lists)} users were given with relevant items of {n_users}; "
            "give both for the same users, row by row"
        )
    check_items(lists, n_items)
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
        pair, place = np.divmod(np.flatnonzero(same[:n]), k)
        out[start + pair] = place
    return out


def relevant_pairs(relevant: sp.csr_matrix) -> sp.csr_matrix:
    """Return ``relevant`` as CSR without stored zeros: masking a matrix by multiplying leaves some.

    A matrix that has none comes back as it is.
    """
    pairs = relevant.tocsr()
    if not pairs.data.all():
        pairs = pairs.copy()
        pairs.eliminate_zeros()
    return pairs


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


def checked_lists(lists: ArrayLike) -> Lists:
    """Return lists as an array.

    Raises
    ------
    InputError
        They are no n_users × k integers with k ≥ 1, or hold an id below −1.
    """
    array = np.ascontiguousarray(lists)  # a cut lists[:, :k] is slow to read over and over
    if array.ndim != 2 or array.shape[1] < 1 or not np.issubdtype(array.dtype, np.signedinteger):
        raise InputError(
            f"lists of shape {array.shape} and type {array.dtype} were given; give signed "
            "integers, one row per user and at least one column, −1 for no item"
        )
    if array.min(initial=-1) < -1:
        raise InputError(
            f"lists with the item id {array.min()} were given; ids are 0 and above, and −1 means "
            "no item"
        )
    return array


def same_users(*lists: ArrayLike) -> list[Lists]:
    """Return lists of the same users as arrays.

    Raises
    ------
    InputError
        As ``checked_lists``, lists of different users, or none at all.
    """
    arrays = [checked_lists(one) for one in lists]
    if len({len(array) for array in arrays}) != 1:
        raise InputError(
            f"lists of {', '.join(str(len(array)) for array in arrays) or 'no'} users were given; "
            "give at least one array of lists, all of the same users, row by row"
        )
    return arrays


def check_items(lists: Lists, n_items: int) -> None:
    """Refuse checked lists with an item beyond the catalogue, ids 0 to n_items − 1.

    Raises
    ------
    InputError
        There is one.
    """
    if lists.max(initial=-1) >= n_items:
        raise InputError(
            f"lists with the item id {lists.max()} were given; this catalogue has ids 0 to "
            f"{n_items - 1}: use lists of the same dataset"
        )


def check_k(k: int) -> None:
    """Refuse a length below 1.

    Raises
    ------
    InputError
        ``k`` is below 1.
    """
    if k < 1:
        raise InputError(f"k = {k} was given; give a list length of at least 1")


Labels = NDArray[np.intp]

ENDS = (0.6, 0.8)
"""Where the lower and the middle stratum end, as shares of all items or users."""

ITEMS = ("cold", "mid", "hot")
USERS = ("light", "middling", "heavy")
"""Names of the strata 0, 1 and 2."""

MOVES = ("rises", "stays", "falls")


def by_count(counts: ArrayLike, *, seed: int = 2024) -> Labels:
    """Return the stratum of each item or user by its training count: 0 low, 1 middle, 2 high (n).

    The shares hold exactly, to the nearest whole number: of those whose equal count straddles an
    edge, a draw by ``seed`` decides who stands below. (The paper's reference puts them all below,
    which makes 62.9 % of its items cold.) The draw goes by position, so renumbering moves only
    those at an edge.

    Raises
    ------
    InputError
        Not one finite number each.
    """
    values = np.asarray(counts, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InputError(
            f"counts of shape {values.shape} were given; give one finite number per item or user"
        )
    n = len(values)
    order = np.lexsort((generator(seed, "strata: equal counts").random(n), values))
    labels = np.empty(n, dtype=np.intp)
    labels[order] = np.searchsorted([round(end * n) for end in ENDS], np.arange(n), side="right")
    return labels


def restricted(relevant: sp.csr_matrix, items_mask: ArrayLike) -> sp.csr_matrix:
    """Return the relevant pairs whose item is chosen (n_users × n_items, same shape).

    ``lib.metrics.recall`` of it is recall in a stratum. The lists stay those over all items: an
    item of another stratum takes its place in them. ``items_mask``: one truth value per item
    (n_items).

    Raises
    ------
    InputError
        A mask of another catalogue.
    """
    mask = np.asarray(items_mask)
    if mask.dtype != np.bool_ or mask.shape != relevant.shape[1:]:
        raise InputError(
            f"a mask of shape {mask.shape} and type {mask.dtype} was given for a catalogue of "
            f"{relevant.shape[1]} items; give one truth value per item"
        )
    chosen = sp.diags(mask.astype(relevant.dtype))
    return relevant_pairs(sp.csr_matrix(relevant @ chosen))


def gain_difference(
    first: tuple[ArrayLike, ArrayLike], second: tuple[ArrayLike, ArrayLike]
) -> Estimate:
    """Return one relative gain minus another, both over the same resampled users.

    Each is (found, base), one value per user. A user with nothing relevant in one stratum adds
    nothing to its totals but counts in the other, so that the difference is that of ``gain``; a
    user with nothing in either is left out.

    Raises
    ------
    InputError
        As ``lib.stats.of_totals``.
    """
    columns = np.stack([np.asarray(c, dtype=np.float64) for c in (*first, *second)])
    filled = np.where(np.isnan(columns).all(axis=0), np.nan, np.nan_to_num(columns))
    return of_totals(lambda a, b, c, d: a / b - c / d, *filled)


def moves(found: ArrayLike, base: ArrayLike) -> Floats:
    """Return whether each user's recall rises, stays or falls from ``base`` (3 × n_users, 0 or 1).

    Rows as in ``MOVES``; NaN where either recall is. Recalls of one list each: averages over seeds
    would hardly ever stay.
    """
    change = np.asarray(found, dtype=np.float64) - np.asarray(base, dtype=np.float64)
    found_moves = np.stack([change > 0, change == 0, change < 0]).astype(np.float64)
    found_moves[:, np.isnan(change)] = np.nan
    return found_moves
