"""Datasets: who interacted with what, in three disjoint parts, and a text for every item."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from companion.data import amazon, cleaning, downloads, folder, readers, synthetic
from lib import cache
from lib.core import InputError
from lib.dataset import Dataset, check_split


class KnownDataset(NamedTuple):
    """A dataset of ``datasets.yml``: its files, who reads them, and further lines of its card."""

    files: list[downloads.RemoteFile]
    read: Callable[..., cleaning.RawTables]
    facts: dict[str, Any]


_READERS: dict[str, Callable[..., cleaning.RawTables]] = {
    "movielens": readers.movielens,
    "movietweetings": readers.movietweetings,
    "seqrec": readers.seqrec,
    "amazon-2023": amazon.read,
}
DATASETS = {
    name: KnownDataset(
        [downloads.RemoteFile(**file) for file in stated["files"]],
        _READERS[stated["reader"]],
        stated["facts"],
    )
    for name, stated in yaml.safe_load(
        Path(__file__).with_name("datasets.yml").read_text(encoding="utf-8")
    ).items()
}


class _Source(NamedTuple):
    """What is known of a dataset before it is read, and how it is read."""

    facts: dict[str, Any]
    read: Callable[[], cleaning.RawTables]
    need_text: bool


def names() -> list[str]:
    """Return the names of the known datasets."""
    return [*DATASETS, "synthetic"]


def load(
    name: str | os.PathLike[str], *, seed: int = 2020, split: str = "random", k_core: int = 5
) -> Dataset:
    """Load a dataset, clean it, and split it.

    A pair that occurs several times is kept once, at its earliest; then users and items with
    fewer than ``k_core`` interactions are removed until none is left; then each user's
    interactions are split 8:1:1. Ids are numbered in the order of the original keys. The cleaned
    form is cached; a second call reads it from there.

    Parameters
    ----------
    name
        One of ``names()``, or a directory with two tables, ``interactions`` and ``items``
        (``companion.data.folder``), whose name becomes the dataset's.
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
        raise InputError(f"k_core must be a whole number from 0, such as 5, got {k_core!r}")
    name = os.fspath(name)
    if name == "synthetic":
        return synthetic.world(split=split, split_seed=seed).dataset
    if name in DATASETS:
        source = _known(name)
    elif os.path.isdir(name):  # not pathlib's, which raises for some names
        source = _own(Path(name))
    else:
        raise InputError(
            f"dataset {name!r} is unknown: give one of {', '.join(names())}, or a directory with "
            "interactions and items"
        )

    def clean() -> cache.Value:
        return cleaning.clean_interactions(source.read(), k_core, need_text=source.need_text)

    key = {
        "dataset": source.facts["name"],
        "sources": source.facts["sha256"],
        "k_core": k_core,
        "code": cache.code_version(readers, amazon, folder, cleaning),
    }
    cleaned = cache.cached("dataset", key, clean)
    return cleaning.split_dataset(cleaned, source.facts, split=split, seed=seed)


def _known(name: str) -> _Source:
    """Return a dataset with a name; only files whose hash is not known are fetched yet."""
    known = DATASETS[name]
    for file in known.files:
        if downloads.known_hash(file) is None:
            downloads.fetch(file)
    hashes = {file.path: downloads.known_hash(file) for file in known.files}
    facts = {"name": name, "url": [file.url for file in known.files]} | known.facts
    return _Source(
        facts | {"sha256": hashes},
        lambda: known.read(*(downloads.fetch(file) for file in known.files)),
        need_text=True,
    )


def _own(directory: Path) -> _Source:
    facts = {
        "name": directory.resolve().name,
        "origin": "a directory of the reader's own",
        "licence": "none stated",
        "text": "the text columns of its items",
        "stand_in": False,
        "sha256": {path.name: downloads.file_hash(path) for path in folder.tables(directory)},
    }
    return _Source(facts, lambda: folder.read(directory), need_text=False)
