"""Datasets: who interacted with what, in three disjoint parts, and a text for every item."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from lib import amazon, catalogue, cleaning, folder, readers, sources, splits, store
from lib.errors import InputError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Interactions in three disjoint parts, and the items.

    ``train``, ``valid`` and ``test`` are CSR matrices, n_users × n_items, of float32 ones with
    sorted int32 indices. Row i of ``items`` is item i: its ``text``, its original ``key``, and
    ``title``, ``genres``, ``year`` where the source has them. ``card`` says where the data comes
    from and what was done to it. ``times`` has the pattern of ``train`` and seconds (float64)
    where they are known. ``vectors`` (n_items × d, float32) stand for the text where there is
    none.
    """

    name: str
    train: sp.csr_matrix
    valid: sp.csr_matrix
    test: sp.csr_matrix
    items: pd.DataFrame
    card: dict[str, Any]
    times: sp.csr_matrix | None = None
    vectors: NDArray[np.float32] | None = None

    @property
    def n_users(self) -> int:
        """Number of users."""
        return int(self.train.shape[0])

    @property
    def n_items(self) -> int:
        """Number of items."""
        return int(self.train.shape[1])

    @cached_property
    def seen(self) -> sp.csr_matrix:
        """Training and validation interactions: what is masked at test."""
        return sp.csr_matrix(self.train + self.valid)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the three parts, their times, and the items' texts or vectors."""
        optional = [part for part in (self.times, self.vectors) if part is not None]
        return store.digest(self.train, self.valid, self.test, list(self.items["text"]), *optional)


def names() -> list[str]:
    """Return the names of the known datasets."""
    return [*catalogue.KNOWN, "synthetic"]


def load(
    name: str | os.PathLike[str], *, seed: int = 2020, split: str = "random", k_core: int = 5
) -> Dataset:
    """Load a dataset, clean it, and split it.

    A pair that occurs several times is kept once, at its earliest; then users and items with
    fewer than ``k_core`` interactions are removed until none is left; then each user's
    interactions are split 8:1:1. Ids are numbered in the order of the original keys. The cleaned
    form is kept in the cache; a second call reads it from there.

    Parameters
    ----------
    name
        One of ``names()``, or a directory with two tables, ``interactions`` and ``items``
        (``lib.folder``), whose dataset bears its name.
    seed
        Of the random split.
    split
        "random", or "temporal": each user's earliest are for training, the latest for test.
    k_core
        Fewest interactions of a user and of an item; 0 keeps all. The world of "synthetic"
        keeps all its users and items.

    Raises
    ------
    InputError
        An unknown name, split or number, files that cannot be had or read, or a temporal split
        of data without times.
    """
    splits.check(split, seed)  # before anything is downloaded
    if not isinstance(k_core, int) or isinstance(k_core, bool) or k_core < 0:
        raise InputError(f"k_core {k_core!r} is not a whole number from 0: give one, such as 5")
    name = os.fspath(name)
    if name == "synthetic":
        from lib import synthetic  # it builds on this module

        return synthetic.world(split=split, split_seed=seed).dataset
    if name in catalogue.KNOWN:
        value, facts = _known(name, k_core)
    elif os.path.isdir(name):  # of any words: one of pathlib's raises for some
        value, facts = _own(Path(name), k_core)
    else:
        raise InputError(
            f"dataset {name!r} is unknown: give one of {', '.join(names())}, or a directory with "
            "interactions and items"
        )
    return assembled(facts["name"], value, facts, split=split, seed=seed)


def assembled(
    name: str,
    value: store.Value,
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
    part = splits.assign(interactions, split, seed)
    train, valid, test = (splits.only(interactions, part == p, ones) for p in range(3))
    known = None if times is None else splits.only(interactions, part == 0, times)
    counts = {line: value["counts"][line] for line in cleaning.LINES}
    card = facts | counts | {"split": split, "seed": int(seed)}
    return Dataset(name, train, valid, test, items, card, known, vectors)


def _known(name: str, k_core: int) -> tuple[store.Value, dict[str, Any]]:
    known = catalogue.KNOWN[name]
    for source in known.files:
        if sources.known_hash(source) is None:
            sources.fetch(source)
    hashes = {source.path: sources.known_hash(source) for source in known.files}

    def make() -> store.Value:
        raw = known.read(*(sources.fetch(source) for source in known.files))
        return cleaning.cleaned(raw, k_core, need_text=True)

    urls = [source.url for source in known.files]
    facts = {"name": name, "url": urls} | known.facts | {"sha256": hashes}
    return _remembered(name, hashes, k_core, make), facts


def _own(directory: Path, k_core: int) -> tuple[store.Value, dict[str, Any]]:
    name = directory.resolve().name
    files = folder.tables(directory)
    hashes = {path.name: sources.file_hash(path) for path in files}
    facts = {
        "name": name,
        "origin": "a directory of the reader's own",
        "licence": "none stated",
        "text": "the text columns of its items",
        "stand_in": False,
        "sha256": hashes,
    }

    def make() -> store.Value:
        return cleaning.cleaned(folder.read(directory), k_core, need_text=False)

    return _remembered(name, hashes, k_core, make), facts


def _remembered(
    name: str, hashes: Mapping[str, str | None], k_core: int, make: Callable[[], store.Value]
) -> store.Value:
    code = store.code_version(readers, amazon, folder, cleaning, splits)
    key = {"dataset": name, "sources": hashes, "k_core": k_core, "code": code}
    return store.remember("dataset", key, make)
