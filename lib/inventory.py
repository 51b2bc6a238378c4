"""What the cache holds, how big it is, and how to be rid of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd

from lib import store
from lib.errors import InputError

KINDS = {
    "sources": "downloads",
    "dataset": "datasets after filtering",
    "text": "encoded texts",
    "view": "trained views",
    "map": "maps between views",
    "probe": "scores of the maps",
    "choice": "weights chosen on validation items",
    "row": "rows of the fusion chapter",
    "score": "scores with their resamples or nulls",
    "worlds": "simulated worlds",
    "drawing": "drawings of items",
}
"""What is kept, by the folder of the cache that it lies in."""


def entries() -> pd.DataFrame:
    """Return one row per entry of the cache and per downloaded file.

    ``kind`` is one of ``KINDS``; ``of`` says the dataset, or the encoder of texts; ``MiB`` its
    size; ``written`` when; ``path`` where.
    """
    sources = store.root() / "sources"
    downloads = [
        ("sources", path.parent.relative_to(sources).as_posix(), path, [path])
        for path in sorted(sources.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    ]
    made = [
        (manifest.parent.parent.name, _of(manifest), manifest.parent, manifest.parent.iterdir())
        for manifest in sorted(store.root().glob(f"*/[!.]*/{store.MANIFEST}"))
    ]
    rows = [
        (kind, of, sum(file.stat().st_size for file in files) / 2**20, path.stat().st_mtime, path)
        for kind, of, path, files in downloads + made
    ]
    table = pd.DataFrame(rows, columns=["kind", "of", "MiB", "written", "path"])
    return table.assign(written=pd.to_datetime(table["written"], unit="s"))


def summary() -> pd.DataFrame:
    """Return one row per kind and what it is of: how many entries, mebibytes, when the last."""
    groups = entries().groupby(["kind", "of"])
    table = groups.agg(entries=("path", "size"), MiB=("MiB", "sum"), written=("written", "max"))
    table = table.reindex(list(KINDS), level="kind").reset_index()
    table.insert(1, "what", table["kind"].map(KINDS))
    return table


def report() -> str:
    """Return the summary for people: where the cache is, what is in it, and how to clear it."""
    table = summary()
    head = f"{store.root()} (COMPANION_CACHE places it elsewhere)"
    if table.empty:
        return f"{head}: nothing is kept yet"
    total = f"{table['MiB'].sum():,.1f} MiB in {table['entries'].sum():,} entries"
    shown = table.assign(
        MiB=table["MiB"].map("{:,.1f}".format), written=table["written"].dt.strftime("%F %R")
    )
    for name in ("kind", "what", "of"):
        shown[name] = shown[name].str.ljust(shown[name].str.len().max())
    return (
        f"{head}: {total}\n\n{shown.to_string(index=False, justify='left')}\n\n"
        "python -m lib cache --clear KIND deletes one kind, and without KIND everything."
    )


def clear(kind: str | None = None) -> int:
    """Remove what is kept of one kind, or everything, and return how many entries are gone.

    Raises
    ------
    InputError
        There is no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise InputError(
            f"the kind {kind!r} was given; give one of {', '.join(KINDS)}, or none to delete all"
        )
    table = entries()
    paths = table["path"] if kind is None else table.loc[table["kind"] == kind, "path"]
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)  # a run may be replacing it
        else:
            path.unlink(missing_ok=True)
    return sum(not path.exists() for path in paths)


def _of(manifest: Path) -> str:
    try:
        key = json.loads(manifest.read_text())["key"]
        return str(key.get("dataset") or key.get("encoder") or "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "damaged"
