"""From what a dataset's files say to what is split: pairs once, the k-core, ids from 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from companion.data.readers import RawTables
from lib import cache
from lib.core import InputError
from lib.dataset import Dataset, Ints, assign, earliest, only
from lib.dataset import k_core as in_k_core

LINES = ("before", "removed", "after", "k_core", "sparsity", "text_coverage")
"""The lines of a dataset's card that ``cleaned`` counts."""


def cleaned(raw: RawTables, k_core: int, *, need_text: bool) -> cache.Value:
    """Keep each pair once, take the k-core, and number users and items in the order of keys.

    Parameters
    ----------
    raw
        What the files say.
    k_core
        Fewest interactions of a user and of an item.
    need_text
        Whether interactions with items that have no text are left out before all else.

    Returns
    -------
    ``indptr`` and ``indices`` of the interactions (n_users × n_items, sorted), their ``times``
    where known, ``items`` (row = id), and ``counts`` for the card.

    Raises
    ------
    InputError
        Nothing is left.
    """
    table = raw.interactions
    users, user_keys = _numbered(table["user"])
    items, item_keys = _numbered(table["item"])
    times = table["time"].to_numpy(np.float64) if "time" in table else None
    rows = np.arange(len(table))
    if need_text:
        texts = raw.items.loc[raw.items["text"] != "", "key"]
        rows = rows[table["item"].isin(texts).to_numpy()]
    once = rows[earliest(users[rows], items[rows], None if times is None else times[rows])]
    core = once[in_k_core(users[once], items[once], k_core)]
    if not len(core):
        raise InputError(
            f"no user is left when users and items with fewer than {k_core} interactions are "
            "removed: give more data, or a smaller k_core"
        )
    removed = raw.faults | {
        "interactions with items without text": len(table) - len(rows),
        "duplicate pairs": len(rows) - len(once),
        f"interactions outside the {k_core}-core": len(once) - len(core),
    }
    value = _renumbered(users[core], items[core], item_keys, raw.items)
    after = _sizes(len(value["indptr"]) - 1, len(value["items"]), len(core))
    value["counts"] = {
        "before": _sizes(len(user_keys), len(item_keys), len(table)),
        "removed": removed,
        "after": after,
        "k_core": k_core,
        "sparsity": 1 - len(core) / (after["users"] * after["items"]),
        "text_coverage": float((value["items"]["text"] != "").mean()),
    }
    return value if times is None else value | {"times": times[core]}


def assembled(
    name: str,
    value: cache.Value,
    facts: dict[str, Any],
    *,
    split: str,
    seed: int,
    vectors: NDArray[np.float32] | None = None,
) -> Dataset:
    """Return the dataset of cleaned interactions, split, with its card.

    Parameters
    ----------
    value
        ``indptr`` and ``indices`` of n_users × n_items interactions with sorted indices,
        ``times`` (seconds) where known, ``items``, and ``counts`` for the card.
    facts
        Further lines of the card.

    Raises
    ------
    InputError
        An unknown split, or a temporal one of data without times.
    """
    if split == "temporal" and "times" not in value:
        raise InputError(
            f"dataset {name} has no times, which split='temporal' needs: use split='random'"
        )
    items = value["items"]
    shape = (len(value["indptr"]) - 1, len(items))
    ones = np.ones(len(value["indices"]), dtype=np.float32)
    times = value.get("times")
    stored = (ones if times is None else times, value["indices"], value["indptr"])
    interactions = sp.csr_matrix(stored, shape=shape)
    part = assign(interactions, split, seed)
    train, valid, test = (only(interactions, part == p, ones) for p in range(3))
    known = None if times is None else only(interactions, part == 0, times)
    counts = {line: value["counts"][line] for line in LINES}
    card = facts | counts | {"split": split, "seed": int(seed)}
    return Dataset(name, train, valid, test, items, card, known, vectors)


def _renumbered(
    users: Ints, items: Ints, keys: NDArray[np.object_], described: pd.DataFrame
) -> cache.Value:
    """Number what is left from 0, in the same order; interactions are sorted by user and item."""
    _, row = np.unique(users, return_inverse=True)
    kept, column = np.unique(items, return_inverse=True)
    return {
        "indptr": np.concatenate([[0], np.cumsum(np.bincount(row))]).astype(np.int32),
        "indices": column.astype(np.int32),
        "items": _described(described, keys[kept]),
    }


def _numbered(keys: pd.Series) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Return each row's id and the keys by id: in numeric order if all are whole numbers."""
    codes, uniques = pd.factorize(keys)
    words = pd.Series(np.asarray(uniques, dtype=object), dtype="str")
    order = np.argsort(words.to_numpy(object), kind="stable")
    if words.str.fullmatch(r"[0-9]{1,18}").all():
        order = order[np.argsort(words.to_numpy(object)[order].astype(np.int64), kind="stable")]
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place[codes], words.to_numpy(object)[order]


def _described(items: pd.DataFrame, keys: NDArray[np.object_]) -> pd.DataFrame:
    """Return one row per key; of an item described twice the row with the longest text."""
    again = items["key"].duplicated(keep=False).to_numpy()
    few = items[again]
    few = few.assign(row=np.flatnonzero(again), length=-few["text"].str.len())
    best = few.sort_values(["key", "length", "text"]).drop_duplicates("key")["row"]
    once = np.sort(np.concatenate([np.flatnonzero(~again), best.to_numpy(np.int64)]))
    place = pd.Index(items["key"].iloc[once]).get_indexer(keys)
    return items.iloc[once[place]].reset_index(drop=True)  # texts are large: copied this once


def _sizes(users: int, items: int, interactions: int) -> dict[str, int]:
    return {"users": users, "items": items, "interactions": interactions}
