"""From a dataset's raw tables to a ``Dataset``: clean texts, unique pairs, k-core, ids, parts."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from lib import cache
from lib.core import InputError
from lib.dataset import Dataset, Ints, assign, earliest, only
from lib.dataset import k_core as in_k_core

COUNTS = ("before", "removed", "after", "k_core", "sparsity", "text_coverage")
"""The lines of a dataset's card that cleaning counts, in their order."""

# control characters, and halves of surrogate pairs, which no file can store as UTF-8
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class RawTables(NamedTuple):
    """The content of a dataset's files, before any cleaning.

    ``interactions`` has the columns ``user``, ``item`` (the original keys, as text) and, where
    known, ``time`` (seconds). ``items`` has a row per described item: ``key``, ``text`` ("" where
    the chosen fields are empty) and what else the source has (``title``, ``genres``, ``year``).
    ``faults`` counts what could not be read, by its reason. ``notes`` say in sentences what was
    read otherwise than it is written.
    """

    interactions: pd.DataFrame
    items: pd.DataFrame
    faults: dict[str, int]
    notes: Sequence[str] = ()


def clean_text(text: str) -> str:
    """Return a text without HTML entities, repeated spaces, line breaks and control characters.

    Entities may be encoded twice (``&amp;amp;``). Tags stay: they are text until a page shows
    them, which has to escape them.
    """
    while "&" in text and (plain := html.unescape(text)) != text:
        text = plain
    plain = " ".join(text.split())
    return plain if plain.isprintable() else " ".join(_UNPRINTABLE.sub("", plain).split())


def clean_texts(texts: pd.Series) -> pd.Series:
    """Return ``clean_text`` of each text, with the same index."""
    return pd.Series([clean_text(text) for text in texts], index=texts.index, dtype="str")


def chosen_fields(given: str, known: Sequence[str], name: str) -> list[str]:
    """Return the fields of a dataset that "all" or names with commas between them choose."""
    chosen = list(known) if given == "all" else [word.strip() for word in str(given).split(",")]
    if len(set(chosen)) < len(chosen) or not set(chosen) <= set(known):
        accepted = "some of these, with commas between them, or all" if known else "all"
        raise InputError(
            f"fields = {given!r} was given for {name}, whose items have "
            f"{', '.join(known) or 'no text fields'}: give {accepted}"
        )
    return chosen


def joined(items: pd.DataFrame, fields: Sequence[str]) -> pd.Series:
    """Return each item's text: its fields that are not empty, in order, a year in parentheses."""
    text = pd.Series("", index=items.index, dtype="str")
    for name in fields:
        part = items[name].astype("string").fillna("").astype("str")
        before, after = (" (", ")") if name == "year" else (". ", "")
        added = (before + part + after).where(part != "", "")
        text = text + (added if name == "year" else added.where(text != "", part))
    return text.str.strip()


def clean_interactions(raw: RawTables, k_core: int, *, need_text: bool) -> cache.Value:
    """Keep each pair once, take the k-core, and number users and items in the order of keys.

    ``need_text`` leaves out interactions with items that are not described before all else; that
    their text is empty leaves none out. Returned is what ``split_dataset`` takes: ``indptr`` and
    ``indices`` of the interactions (n_users × n_items, sorted), their ``times`` (seconds) where
    known, ``items`` (row = id), and ``counts``.
    """
    table = raw.interactions
    users, user_keys = _numbered(table["user"])
    items, item_keys = _numbered(table["item"])
    times = table["time"].to_numpy(np.float64) if "time" in table else None
    rows = np.arange(len(table))
    if need_text:
        rows = rows[table["item"].isin(raw.items["key"]).to_numpy()]
    once = rows[earliest(users[rows], items[rows], None if times is None else times[rows])]
    core = once[in_k_core(users[once], items[once], k_core)]
    if not len(core):
        raise InputError(
            f"no user is left when users and items with fewer than {k_core} interactions are "
            "removed: give more data, or a smaller k_core"
        )
    removed = {reason: rows for reason, rows in raw.faults.items() if rows} | {
        "interactions with items without text": len(table) - len(rows),
        "duplicate pairs": len(rows) - len(once),
        f"interactions outside the {k_core}-core": len(once) - len(core),
    }
    before = _sizes(len(user_keys), len(item_keys), len(table))
    _, user_ids = np.unique(users[core], return_inverse=True)  # what is left, from 0
    left, item_ids = np.unique(items[core], return_inverse=True)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(user_ids))]).astype(np.int32)
    about = _described(raw.items, item_keys[left])
    value = counted(indptr, item_ids.astype(np.int32), about, before, removed, k_core)
    value["notes"] = list(raw.notes)
    return value if times is None else value | {"times": times[core]}


def counted(
    indptr: Ints, indices: Ints, items: pd.DataFrame, before: dict[str, int] | None = None,
    removed: dict[str, int] | None = None, k_core: int = 0,
) -> cache.Value:  # fmt: skip
    """Return interactions (of a CSR matrix) as ``clean_interactions`` does, with the card's counts.

    By default nothing was removed.
    """
    after = _sizes(len(indptr) - 1, len(items), len(indices))
    sparsity = 1 - len(indices) / (after["users"] * after["items"])
    coverage = float((items["text"] != "").mean())
    counts = (before or after, removed or {}, after, k_core, sparsity, coverage)
    counts_by_line = dict(zip(COUNTS, counts, strict=True))
    return {"indptr": indptr, "indices": indices, "items": items, "counts": counts_by_line}


def split_dataset(
    cleaned: cache.Value, facts: dict[str, Any], *, split: str, seed: int,
    vectors: NDArray[np.float32] | None = None,
) -> Dataset:  # fmt: skip
    """Split what ``clean_interactions`` returns, and return the dataset with its card.

    ``facts`` are the name and further lines of the card, with a line ``times`` where these are no
    times but each user's order; ``vectors`` (n_items × d) replace texts.
    """
    times, items = cleaned.get("times"), cleaned["items"]
    if split == "temporal" and times is None:
        raise InputError(
            f"dataset {facts['name']} has no times, which split='temporal' needs: use "
            "split='random'"
        )
    ones = np.ones(len(cleaned["indices"]), dtype=np.float32)
    stored = (ones if times is None else times, cleaned["indices"], cleaned["indptr"])
    interactions = sp.csr_matrix(stored, shape=(len(cleaned["indptr"]) - 1, len(items)))
    part = assign(interactions, split, seed)
    train, valid, test = (only(interactions, part == p, ones) for p in range(3))
    known = None if "times" in facts else times
    train_times = None if known is None else only(interactions, part == 0, known)
    card = facts | {line: cleaned["counts"][line] for line in COUNTS}
    card |= {"split": split, "seed": int(seed)}
    if times is not None:
        ends = np.array([times.min(), times.max()]).astype("M8[s]").astype("M8[D]")
        card.setdefault("times", " to ".join(map(str, ends)))
    if cleaned.get("notes"):
        card["notes"] = cleaned["notes"]
    return Dataset(facts["name"], train, valid, test, items, card, train_times, vectors)


def _numbered(keys: pd.Series) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Return each row's id and the keys by id: in numeric order if all are whole numbers."""
    codes, uniques = pd.factorize(keys)
    words = pd.Series(np.asarray(uniques, dtype=object), dtype="str")
    order = np.argsort(words.to_numpy(object), kind="stable")
    if words.str.fullmatch(r"[0-9]{1,18}").all():
        order = order[np.argsort(words.to_numpy(object)[order].astype(np.int64), kind="stable")]
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[codes], words.to_numpy(object)[order]


def _described(items: pd.DataFrame, keys: NDArray[np.object_]) -> pd.DataFrame:
    """Return one row per key; of an item described twice the row with the longest text."""
    again = items["key"].duplicated(keep=False).to_numpy()
    few = items[again]
    few = few.assign(row=np.flatnonzero(again), length=-few["text"].str.len())
    best = few.sort_values(["key", "length", "text"]).drop_duplicates("key")["row"]
    once = np.sort(np.concatenate([np.flatnonzero(~again), best.to_numpy(np.int64)]))
    rows = pd.Index(items["key"].iloc[once]).get_indexer(keys)
    return items.iloc[once[rows]].reset_index(drop=True)  # texts are large: copied only here


def _sizes(users: int, items: int, interactions: int) -> dict[str, int]:
    return {"users": users, "items": items, "interactions": interactions}
