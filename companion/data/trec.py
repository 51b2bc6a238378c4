"""Lists as the files that other tools read and write: TREC runs and qrels.

ranx, trec_eval, pytrec_eval and ir_measures read both and score a run alike: scores fall strictly
within a user's list, because each tool breaks ties in its own way. Users are named by their number
in the dataset, items by their original keys; in a key all but ASCII letters, digits and ``-._~/:``
is percent-encoded, which ``urllib.parse.unquote`` undoes.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lib.core import InputError, Relevant, checked_lists, first_line, numbers, relevant_pairs
from lib.metrics import check_items, users_of

RUN = ("user", "Q0", "item", "rank", "score", "tag")
QRELS = ("user", "iteration", "item", "relevance")


def run_table(lists: ArrayLike, scores: ArrayLike, keys: Sequence[str], tag: str) -> pd.DataFrame:
    """Return a TREC run: a row per list entry, missing items left out.

    ``lists`` and ``scores`` are n_users × k, as ``lib.topk.topk`` gives them, scores never rising;
    ``keys`` are the original keys of the items (n_items); ``tag`` is the name of the system, one
    word. Columns are ``RUN`` in the order of users and ranks (from 1). Scores are float32, and one
    that is not below the one before it becomes the next smaller number.
    """
    items, values = checked_lists(lists), numbers(scores, "scores")
    if items.shape != values.shape:
        raise InputError(
            f"lists of shape {items.shape} were given with scores of {values.shape}; give one "
            "score per list entry"
        )
    check_items(items, len(keys))
    if not tag or tag.split() != [tag]:
        raise InputError(f"tag {tag!r} was given; give one word without blanks")
    held = items >= 0
    users, ranks = np.nonzero(held)
    columns = (users, "Q0", _words(keys)[items[held]], ranks + 1, _falling(values, held)[held], tag)
    return pd.DataFrame(dict(zip(RUN, columns, strict=True)))


def qrels_table(relevant: Relevant, keys: Sequence[str]) -> pd.DataFrame:
    """Return TREC qrels: a row per relevant pair of user and item.

    ``relevant`` is n_users × n_items, such as a dataset's ``test``; ``keys`` are the original keys
    of the items. Columns are ``QRELS``: iteration is 0 and relevance 1.
    """
    pairs = relevant_pairs(relevant)
    columns = (users_of(pairs), 0, _words(keys)[pairs.indices], 1)
    return pd.DataFrame(dict(zip(QRELS, columns, strict=True)))


def file_text(table: pd.DataFrame) -> str:
    """Return a run or qrels as the lines of their file."""
    lines: str = table.to_csv(sep=" ", header=False, index=False, lineterminator="\n")
    return lines


def read_run(path: Path) -> pd.DataFrame:
    """Return user, item and score of a run's entries, every user's best first.

    Equal scores stand in the order of their ranks.
    """
    table = _read(path, RUN, "rank", "score")
    if (twice := table.duplicated(["user", "item"])).any():
        user, item = table.loc[twice, ["user", "item"]].iloc[0]
        raise InputError(f"{path} lists item {item!r} twice for user {user!r}: keep one of them")
    table = table.sort_values(["user", "score", "rank"], ascending=[True, False, True])
    return table[["user", "item", "score"]].reset_index(drop=True)


def read_qrels(path: Path) -> pd.DataFrame:
    """Return user and item of the pairs with a relevance above 0, each once."""
    table = _read(path, QRELS, "relevance")
    wanted = table.loc[table["relevance"] > 0, ["user", "item"]]
    return wanted.drop_duplicates().reset_index(drop=True)


def _read(path: Path, columns: Sequence[str], *numeric: str) -> pd.DataFrame:
    """Read a file of words between blanks, some of which are finite numbers."""
    form = f"it must have {len(columns)} words a line: {' '.join(columns)}"
    try:
        table = pd.read_csv(
            path, sep=r"\s+", header=None, dtype=str, keep_default_na=False, na_filter=False,
            quoting=csv.QUOTE_NONE, encoding="utf-8-sig",
            compression="gzip" if path.suffix.lower() == ".gz" else None,
        )  # fmt: skip
    # unreadable, cut short, no text, or lines of other lengths
    except (OSError, EOFError, zlib.error, ValueError) as fault:
        raise InputError(f"{path} cannot be read ({first_line(fault)}); {form}") from None
    if table.shape[1] != len(columns):
        raise InputError(f"{path} has {table.shape[1]} in its first line; {form}")
    table.columns = pd.Index(columns)
    for name in numeric:
        found = pd.to_numeric(table[name], errors="coerce").astype(np.float64)
        if len(odd := np.flatnonzero(~np.isfinite(found))):
            told = f"{path} has {name} {table[name].iloc[odd[0]]!r} in line {odd[0] + 1}"
            raise InputError(f"{told}, which is no finite number; {form}")
        table[name] = found
    return table


def _falling(scores: NDArray[np.float64], held: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return scores (n_users × k) as float32 that fall strictly along the held entries."""
    if not (np.abs(scores[held]) < 1e38).all():
        raise InputError("a score is NaN, infinite or above 1e38; give finite scores")
    found = np.where(held, scores, np.inf)
    if (held[:, 1:] & (found[:, 1:] > np.minimum.accumulate(found, axis=1)[:, :-1])).any():
        raise InputError("a score is above the one before it; give every user's best item first")
    found = found.astype(np.float32)
    for rank in range(1, found.shape[1]):
        before, given = found[:, rank - 1], found[:, rank]
        # near 0 the next number is so small that some tools take it for 0
        below = np.minimum(np.nextafter(before, np.float32(-np.inf)), before - np.float32(1e-30))
        found[:, rank] = np.where(held[:, rank], np.minimum(given, below), before)
    return found


def _words(keys: Sequence[str]) -> NDArray[np.object_]:
    words = [quote(str(key), safe="/:", errors="surrogatepass") for key in keys]
    if "" in words or len(set(words)) < len(words):
        raise InputError("two items have the same key, or one has none; give each item its own")
    return np.array(words, dtype=object)
