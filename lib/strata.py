"""Who gains and where: items by how often they were trained on, users by how active they were.

A stratum is a share of the items or users in the order of their *training* counts: the lower 60 %,
the next 20 %, the upper 20 %. Test items are never counted. Recall in a stratum of items is a
user's recall of its relevant items there, NaN for a user who has none; recall in a stratum of users
is plain recall of those users. Totals over users then give relative gains.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from lib.errors import InputError
from lib.metrics import Floats, relevant_pairs
from lib.seeds import generator
from lib.stats import Estimate, of_totals

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
