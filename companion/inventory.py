"""What the cache holds, kind by kind, as the command ``companion cache`` tells and clears it."""

from __future__ import annotations

import shutil

import pandas as pd

from lib import cache
from lib.core import InputError

KINDS = {
    "sources": "downloads",
    "dataset": "datasets after filtering",
    "text": "encoded texts",
    "view": "trained views",
    "map": "maps between views",
    "probe": "scores of the maps",
    "weights": "weights chosen on validation items",
    "fusion": "methods of the fusion chapter",
    "score": "scores with their resamples or nulls",
    "worlds": "simulated worlds",
}
"""What is cached, by the folder that it lies in."""


def summary() -> pd.DataFrame:
    """Return entries, mebibytes and the last time of writing per kind and what it is ``of``."""
    groups = cache.entries().groupby(["kind", "of"])
    table = groups.agg(entries=("path", "size"), MiB=("MiB", "sum"), written=("written", "max"))
    table = table.reindex(list(KINDS), level="kind").reset_index()
    table.insert(1, "what", table["kind"].map(KINDS))
    return table


def report() -> str:
    """Return where the cache is, what is in it, and how to clear it, as text."""
    table = summary()
    head = f"{cache.root()} (COMPANION_CACHE places it elsewhere)"
    if table.empty:
        return f"{head}: nothing is cached yet"
    total = f"{table['MiB'].sum():,.1f} MiB in {table['entries'].sum():,} entries"
    table["written"] = table["written"].dt.strftime("%F %R")
    for name in ("kind", "what", "of"):
        table[name] = table[name].str.ljust(table[name].str.len().max())
    shown = table.to_string(index=False, justify="left", float_format="{:,.1f}".format)
    return (
        f"{head}: {total}\n\n{shown}\n\n"
        "python -m companion cache --clear KIND deletes one kind, and without KIND everything."
    )


def clear(kind: str | None = None) -> int:
    """Remove what is cached of one kind, or everything, and return how many entries are gone."""
    if kind is not None and kind not in KINDS:
        raise InputError(
            f"the kind {kind!r} was given; give one of {', '.join(KINDS)}, or none to delete all"
        )
    table = cache.entries()
    paths = table.loc[table["kind"].isin([kind] if kind else table["kind"]), "path"]
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)  # a run may be replacing it
        else:
            path.unlink(missing_ok=True)
    return sum(not path.exists() for path in paths)
