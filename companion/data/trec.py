"""Lists as the files that other tools read: TREC runs and qrels.

ranx, trec_eval and pytrec_eval read both. Users are named by their number in the dataset, items by
their original keys, with blanks in a key written as ``_``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike

from lib.core import InputError, checked_lists
from lib.metrics import check_items, users_of


def run_table(lists: ArrayLike, scores: ArrayLike, keys: Sequence[str], tag: str) -> pd.DataFrame:
    """Return a TREC run: a row per list entry, missing items left out.

    ``lists`` and ``scores`` are n_users × k, as ``lib.topk.topk`` gives them; ``keys`` are the
    original keys of the items (n_items); ``tag`` is the name of the system, one word. Columns are
    user, Q0, item, rank (from 1), score and tag, in the order of users and ranks.
    """
    items, values = checked_lists(lists), np.asarray(scores, dtype=np.float64)
    if items.shape != values.shape:
        raise InputError(
            f"lists of shape {items.shape} were given with scores of {values.shape}; give one "
            "score per list entry"
        )
    check_items(items, len(keys))
    if not tag or tag.split() != [tag]:
        raise InputError(f"tag {tag!r} was given; give one word without blanks")
    users, ranks = np.nonzero(items >= 0)
    return pd.DataFrame(
        {
            "user": users, "Q0": "Q0", "item": _words(keys)[items[users, ranks]],
            "rank": ranks + 1, "score": values[users, ranks], "tag": tag,
        }
    )  # fmt: skip


def qrels_table(relevant: sp.csr_matrix, keys: Sequence[str]) -> pd.DataFrame:
    """Return TREC qrels: a row per relevant pair of user and item.

    ``relevant`` is n_users × n_items, such as a dataset's ``test``; ``keys`` are the original keys
    of the items. Columns are user, iteration (0), item and relevance (1).
    """
    pairs = relevant.tocsr()
    words = _words(keys)[pairs.indices]
    return pd.DataFrame({"user": users_of(pairs), "iteration": 0, "item": words, "relevance": 1})


def file_text(table: pd.DataFrame) -> str:
    """Return a run or qrels as the lines of their file."""
    lines: str = table.to_csv(sep=" ", header=False, index=False, lineterminator="\n")
    return lines


def _words(keys: Sequence[str]) -> np.ndarray:
    return np.array(["_".join(str(key).split()) or "_" for key in keys], dtype=object)
