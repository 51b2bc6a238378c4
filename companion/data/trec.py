"""Lists as the files that other tools read: TREC runs and relevance judgements.

ranx, trec_eval and pytrec_eval read both. Users are named by their number in the dataset, items by
their original keys, blanks in a key being written as ``_``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike

from lib.core import InputError
from lib.metrics import check_items, checked_lists, users_of


def run_table(lists: ArrayLike, scores: ArrayLike, keys: Sequence[str], tag: str) -> pd.DataFrame:
    """Return a TREC run: a row per list entry, missing items left out.

    Parameters
    ----------
    lists, scores
        n_users × k, as ``lib.topk.topk`` gives them.
    keys
        The original key of each item (n_items).
    tag
        The name of the system, one word.

    Returns
    -------
    DataFrame
        Columns user, Q0, item, rank (from 1), score, tag, in the order of users and ranks.

    Raises
    ------
    InputError
        Lists and scores of different shapes, an item without a key, or a tag with a blank.
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
    users, places = np.nonzero(items >= 0)
    return pd.DataFrame(
        {
            "user": users, "Q0": "Q0", "item": _words(keys)[items[users, places]],
            "rank": places + 1, "score": values[users, places], "tag": tag,
        }
    )  # fmt: skip


def qrels_table(relevant: sp.csr_matrix, keys: Sequence[str]) -> pd.DataFrame:
    """Return TREC relevance judgements: a row per relevant pair of user and item.

    Parameters
    ----------
    relevant
        n_users × n_items, such as a dataset's ``test``.
    keys
        The original key of each item (n_items).

    Returns
    -------
    DataFrame
        Columns user, iteration (0), item, relevance (1).
    """
    pairs = relevant.tocsr()
    words = _words(keys)
    return pd.DataFrame(
        {"user": users_of(pairs), "iteration": 0, "item": words[pairs.indices], "relevance": 1}
    )


def file_text(table: pd.DataFrame) -> str:
    """Return a run or judgements as the lines of their file."""
    lines: str = table.to_csv(sep=" ", header=False, index=False, lineterminator="\n")
    return lines


def _words(keys: Sequence[str]) -> np.ndarray:
    return np.array(["_".join(str(key).split()) or "_" for key in keys], dtype=object)
