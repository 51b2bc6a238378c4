"""What the cache holds, as the command ``companion cache`` tells and clears it."""

import shutil

from lib import cache
from lib.core import InputError


def report() -> str:
    """Return where the cache is, what is in it, and how to clear it, as text.

    What is in it are entries, mebibytes and the last time of writing, by kind and what it is of.
    """
    groups = cache.entries().groupby(["kind", "of"], as_index=False)
    table = groups.agg(entries=("path", "size"), MiB=("MiB", "sum"), written=("written", "max"))
    head = f"{cache.root()} (COMPANION_CACHE places it elsewhere)"
    if table.empty:
        return f"{head}: nothing is cached yet"
    total = f"{table['MiB'].sum():,.1f} MiB in {table['entries'].sum():,} entries"
    table["written"] = table["written"].dt.strftime("%F %R")
    for name in ("kind", "of"):
        table[name] = table[name].str.ljust(table[name].str.len().max())
    shown = table.to_string(index=False, justify="left", float_format="{:,.1f}".format)
    return (
        f"{head}: {total}\n\n{shown}\n\n"
        "python -m companion cache --clear KIND deletes one kind, and without KIND everything."
    )


def clear(kind: str | None = None) -> int:
    """Remove what is cached of one kind, or everything, and return how many entries are gone."""
    table = cache.entries()
    kinds = sorted(table["kind"].unique())
    if kind is not None and kind not in kinds:
        raise InputError(
            f"the kind {kind!r} was given; give one that is cached ({', '.join(kinds) or 'none'}), "
            "or none to delete all"
        )
    paths = table.loc[table["kind"].isin([kind] if kind else kinds), "path"]
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)  # a run may be replacing it
        else:
            path.unlink(missing_ok=True)
    return sum(not path.exists() for path in paths)
