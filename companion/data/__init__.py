"""Datasets: who interacted with what, in three disjoint parts, and a text for every item."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from companion.data import cleaning, downloads, folder, readers, synthetic
from lib import cache
from lib.core import InputError, whole_number
from lib.dataset import Dataset, check_split


class KnownDataset:
    """A dataset of ``datasets.yml``: its files, their reader, items' fields, lines of its card.

    ``size`` is its users, items and interactions, where they are known before it is fetched.
    """

    def __init__(
        self, reader: str, files: list[dict[str, str]], facts: dict[str, Any],
        size: tuple[int, int, int] | None = None,
    ) -> None:  # fmt: skip
        self.files = [downloads.RemoteFile(**file) for file in files]
        self.read: Callable[..., cleaning.RawTables] = getattr(readers, reader)
        self.fields: tuple[str, ...] = inspect.signature(self.read).parameters["fields"].default
        self.facts, self.size = facts, size


_STATED = yaml.safe_load(Path(__file__).with_name("datasets.yml").read_text(encoding="utf-8"))
DATASETS = {name: KnownDataset(**stated) for name, stated in _STATED.items()}
_Source = tuple[dict[str, Any], Callable[[], cleaning.RawTables]]
"""What is known of a dataset before it is read, and how it is read."""


def names() -> list[str]:
    """Return the names of the known datasets."""
    return [*DATASETS, "synthetic"]


def check(name: str, split: str, fields: str, seed: int = 0) -> None:
    """Refuse an unknown dataset, split or seed, and fields that a known dataset has not, unread."""
    if name not in names() and not os.path.isdir(name):  # pathlib's raises for some names
        raise InputError(
            f"dataset {name!r} is unknown: give one of {', '.join(names())}, or a directory with "
            "interactions and items"
        )
    check_split(split, seed)
    if name in names():
        cleaning.chosen_fields(fields, DATASETS[name].fields if name in DATASETS else (), name)


def load(
    name: str | os.PathLike[str], *, seed: int = 2020, split: str = "random", k_core: int = 5,
    fields: str = "all",
) -> Dataset:  # fmt: skip
    """Load a dataset, clean it, and split it.

    ``name`` is one of ``names()``, or a directory with two tables, ``interactions`` and ``items``
    (``companion.data.folder``), whose name becomes the dataset's. A pair that occurs several times
    is kept once, at its earliest time; then users and items with fewer than ``k_core`` interactions
    are removed until none is left (0 keeps all; "synthetic" always does); then each user's
    interactions are split 8:1:1, at random by ``seed`` or, with ``split="temporal"``, the latest
    for test. Ids are numbered in the order of the original keys. ``fields`` are what makes an
    item's text, "all" or names with commas between them, such as "title,brand"; they change no
    interaction. The cleaned form is cached.
    """
    check(name := os.fspath(name), split, fields, seed)  # before anything is downloaded
    whole_number("k_core", k_core, least=0)
    if name == "synthetic":
        return synthetic.world(split=split, split_seed=seed).dataset
    if name in DATASETS:
        facts, read = _known(name, fields)
    else:
        facts, read = _own(Path(name), fields)

    def clean() -> cache.Value:
        return cleaning.clean_interactions(read(), k_core, need_text=name in DATASETS)

    key = {
        "dataset": facts["name"],
        "sources": facts["sha256"],
        "fields": facts["fields"],
        "k_core": k_core,
        "code": cache.code_version(readers, folder),
    }
    cleaned = cache.cached("dataset", key, clean)
    return cleaning.split_dataset(cleaned, facts, split=split, seed=seed)


def _known(name: str, fields: str) -> _Source:
    """Return a known dataset; only files whose hash is not known are fetched yet."""
    known = DATASETS[name]
    chosen = cleaning.chosen_fields(fields, known.fields, name)
    for file in known.files:
        if downloads.known_hash(file) is None:
            downloads.fetch(file)
    hashes = {file.path: downloads.known_hash(file) for file in known.files}
    facts = {"name": name, "url": [file.url for file in known.files]} | known.facts
    facts |= {"fields": ", ".join(chosen), "sha256": hashes}
    return facts, lambda: known.read(*map(downloads.fetch, known.files), fields=chosen)


def _own(directory: Path, fields: str) -> _Source:
    facts = {
        "name": directory.resolve().name,
        "origin": "a directory of the reader's own",
        "licence": "none stated",
        "text": "the text columns of its items",
        "fields": fields,
        "stand_in": False,
        "sha256": {path.name: cache.file_digest(path) for path in folder.tables(directory)},
    }
    return facts, lambda: folder.read(directory, fields)
