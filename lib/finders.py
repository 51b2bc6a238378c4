"""How many of several lists find a hit: what a third and a fourth view bring of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from lib.metrics import Ints, places_of, relevant_pairs, same_users, users_of


def found_by(lists: Sequence[ArrayLike], relevant: sp.csr_matrix) -> Ints:
    """Return how many of each user's relevant items exactly 0, 1, … N lists find (n_users × N + 1).

    Rows add up to |relevant|. With two lists, columns 1 and 2 are the hits of one only and of both
    (``lib.diagnostics.composition``).

    Parameters
    ----------
    lists
        N arrays of n_users × k items, −1 where there is no item.
    relevant
        n_users × n_items.

    Raises
    ------
    InputError
        No list, or as ``lib.metrics.hits``.
    """
    arrays = same_users(*lists)
    pairs = relevant_pairs(relevant)
    users = users_of(pairs)
    finders = np.sum([places_of(array, pairs, users) >= 0 for array in arrays], axis=0)
    width = len(arrays) + 1
    cells = np.bincount(users * width + finders, minlength=pairs.shape[0] * width)
    return cells.reshape(pairs.shape[0], width)
