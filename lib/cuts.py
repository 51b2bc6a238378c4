"""What two lists share and find at several lengths, in one pass over the longest.

``lib.diagnostics`` answers one question about lists of one length. Asked all of them at K = 5, 10
and 20 it would look for the same items nine times; here each item is looked for once, and where it
stands says at which lengths it counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike

from lib.core import InputError
from lib.diagnostics import common_at, parts
from lib.metrics import Floats, Ints, Lists, places_of, relevant_pairs, same_users, share, users_of


def at_cuts(
    a: ArrayLike, b: ArrayLike, relevant: sp.csr_matrix, ks: Sequence[int]
) -> dict[int, pd.DataFrame]:
    """Return overlap, composition and oracle of each user's two lists, cut to each of ``ks``.

    Parameters
    ----------
    a, b
        Lists (n_users × k, best first, −1 for no item) at least as long as the largest cut.
    relevant
        Relevant items (n_users × n_items).
    ks
        Lengths, such as 5, 10, 20.

    Returns
    -------
    dict
        A table per length, a row per user: ``jaccard``; the hits ``both``, ``a_only`` and
        ``b_only``; ``relevant``; ``oracle``, the recall of the union. As ``lib.diagnostics`` says
        of lists cut to that length.

    Raises
    ------
    InputError
        A cut below 1 or beyond the lists, or as ``lib.metrics.hits``.
    """
    first, second = same_users(a, b)
    ends = sorted(set(ks))
    longest = min(first.shape[1], second.shape[1])
    if not ends or ends[0] < 1 or ends[-1] > longest:
        raise InputError(
            f"the cuts {', '.join(map(str, ks)) or '(none)'} were given for lists of {longest}; "
            f"give at least one, each from 1 to {longest}"
        )
    pairs = relevant_pairs(relevant)
    users = users_of(pairs)
    places = np.stack([places_of(one, pairs, users) for one in (first, second)])
    shared = common_at(first, second, ends)
    sizes = _filled(first, ends) + _filled(second, ends)
    found = np.flatnonzero((places >= 0).any(axis=0))  # few: the counts below are of these alone
    users, places = users[found], places[:, found]
    tables = {}
    for k, common, size in zip(ends, shared, sizes, strict=True):
        in_a, in_b = (places >= 0) & (places < k)
        found_by = parts(in_a, in_b, users, pairs)
        hits = found_by["both"] + found_by["a_only"] + found_by["b_only"]
        with np.errstate(invalid="ignore"):
            jaccard = common / (size - common)
        columns: dict[str, Floats | Ints] = {"jaccard": jaccard, **found_by}
        columns["oracle"] = share(hits, pairs)
        rows = pd.RangeIndex(len(hits), name="user")
        tables[k] = pd.DataFrame(columns, index=rows, copy=False)  # the arrays are its own
    return tables


def _filled(lists: Lists, ends: list[int]) -> Ints:
    """Return how many items each user's list holds at each of the cuts (cuts × users)."""
    n_users, width = lists.shape
    user, place = np.divmod(np.flatnonzero(lists < 0), width)
    return np.stack([k - np.bincount(user[place < k], minlength=n_users) for k in ends])
