"""Datasets: who interacted with what, in three disjoint parts, and a text for every item."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from companion.data import amazon, cleaning, downloads, folder, readers, registry
from lib import cache
from lib.core import InputError
from lib.dataset import Dataset, check_split


def names() -> list[str]:
    """Return the names of the known datasets."""
    return [*registry.DATASETS, "synthetic"]


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
        (``companion.data.folder``), whose dataset bears its name.
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
    check_split(split, seed)  # before anything is downloaded
    if not isinstance(k_core, int) or isinstance(k_core, bool) or k_core < 0:
        raise InputError(f"k_core {k_core!r} is not a whole number from 0: give one, such as 5")
    name = os.fspath(name)
    if name == "synthetic":
        from companion.data import synthetic  # it builds on this module

        return synthetic.world(split=split, split_seed=seed).dataset
    if name in registry.DATASETS:
        value, facts = _known(name, k_core)
    elif os.path.isdir(name):  # of any words: one of pathlib's raises for some
        value, facts = _own(Path(name), k_core)
    else:
        raise InputError(
            f"dataset {name!r} is unknown: give one of {', '.join(names())}, or a directory with "
            "interactions and items"
        )
    return cleaning.assembled(facts["name"], value, facts, split=split, seed=seed)


def _known(name: str, k_core: int) -> tuple[cache.Value, dict[str, Any]]:
    known = registry.DATASETS[name]
    for source in known.files:
        if downloads.known_hash(source) is None:
            downloads.fetch(source)
    hashes = {source.path: downloads.known_hash(source) for source in known.files}

    def make() -> cache.Value:
        raw = known.read(*(downloads.fetch(source) for source in known.files))
        return cleaning.cleaned(raw, k_core, need_text=True)

    urls = [source.url for source in known.files]
    facts = {"name": name, "url": urls} | known.facts | {"sha256": hashes}
    return _remembered(name, hashes, k_core, make), facts


def _own(directory: Path, k_core: int) -> tuple[cache.Value, dict[str, Any]]:
    name = directory.resolve().name
    files = folder.tables(directory)
    hashes = {path.name: downloads.file_hash(path) for path in files}
    facts = {
        "name": name,
        "origin": "a directory of the reader's own",
        "licence": "none stated",
        "text": "the text columns of its items",
        "stand_in": False,
        "sha256": hashes,
    }

    def make() -> cache.Value:
        return cleaning.cleaned(folder.read(directory), k_core, need_text=False)

    return _remembered(name, hashes, k_core, make), facts


def _remembered(
    name: str, hashes: Mapping[str, str | None], k_core: int, make: Callable[[], cache.Value]
) -> cache.Value:
    code = cache.code_version(readers, amazon, folder, cleaning)
    key = {"dataset": name, "sources": hashes, "k_core": k_core, "code": code}
    return cache.cached("dataset", key, make)
