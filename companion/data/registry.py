"""The known datasets, which ``datasets.yml`` states: their files, their readers, their facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from companion.data import amazon, readers
from companion.data.cleaning import RawTables
from companion.data.downloads import RemoteFile

_READERS: dict[str, Callable[..., RawTables]] = {
    "movielens": readers.movielens,
    "movietweetings": readers.movietweetings,
    "seqrec": readers.seqrec,
    "amazon-2023": amazon.read,
}


@dataclass(frozen=True)
class KnownDataset:
    """A dataset with a name.

    ``read`` takes the paths of ``files``; ``facts`` are the lines of the card that no file tells.
    """

    files: tuple[RemoteFile, ...]
    read: Callable[..., RawTables]
    facts: dict[str, Any]


def _stated() -> dict[str, KnownDataset]:
    text = Path(__file__).with_name("datasets.yml").read_text(encoding="utf-8")
    return {
        name: KnownDataset(
            files=tuple(RemoteFile(**file) for file in stated["files"]),
            read=_READERS[stated["reader"]],
            facts=stated["facts"],
        )
        for name, stated in yaml.safe_load(text).items()
    }


DATASETS = _stated()
