"""A directory of the reader's own: a table of interactions and a table of items.

``interactions.EXT`` has a user, an item and, optionally, a time (seconds or milliseconds since
1970, or ISO 8601). ``items.EXT`` has the item and any text columns, which are joined in the order
of the file; numbers, addresses and further ids are not text. EXT is parquet, csv or tsv, or one of
RecBole's atomic files (``.inter``, ``.item``), whose types in the header are understood.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from companion.data.cleaning import RawTables, clean_texts
from companion.data.tables import Table, read_table
from lib import dataset
from lib.core import InputError

SUFFIXES = {
    "interactions": (".parquet", ".csv", ".tsv", ".inter"),
    "items": (".parquet", ".csv", ".tsv", ".item"),
}
USER = ("user", "user_id")
ITEM = ("item", "item_id", "parent_asin")
TIME = ("timestamp", "time")
TITLE = ("title", "movie_title", "name")
_NUMBER = r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*"
_ADDRESS = r"\s*https?://.*"


class Findings(NamedTuple):
    """What a directory holds: its data, unless something is fatal, and what is to be told."""

    raw: RawTables | None
    interactions: pd.DataFrame | None  # where they can be read, whatever else is wrong
    fatal: list[str]
    notes: list[str]


def tables(directory: Path) -> tuple[Path, Path]:
    """Return the paths of the two tables.

    Raises
    ------
    InputError
        One is missing, or is there in two formats.
    """
    interactions, items = (_table_path(directory, stem) for stem in SUFFIXES)
    return interactions, items


def read(directory: Path) -> RawTables:
    """Read a directory's two tables.

    Raises
    ------
    InputError
        The first thing that ``validate`` would name and that nothing can be done about.
    """
    found = inspect(directory)
    if found.raw is None:
        raise InputError(found.fatal[0])
    return found.raw


def validate(directory: str | Path) -> list[str]:
    """Return a sentence on everything that is wrong with a directory; none if all is in order.

    Duplicate pairs, broken rows and empty texts do not stop ``companion.data.load``, which counts
    them in the dataset's card; their sentences begin with "note".
    """
    found = inspect(Path(directory))
    problems = list(found.fatal)
    if found.interactions is not None and "user" in found.interactions:
        users = pd.factorize(found.interactions["user"])[0]
        items = pd.factorize(found.interactions["item"])[0]
        once = dataset.earliest(users, items)
        if not dataset.k_core(users[once], items[once], 5).any():
            problems.append(
                f"no user is left in {directory} when users and items with fewer than 5 "
                "interactions are removed: give more data, or a smaller k_core"
            )
    return problems + [f"note: {note}" for note in found.notes]


def write_template(directory: Path) -> list[Path]:
    """Copy an example, ``interactions.csv`` and ``items.csv``, into a new or empty folder.

    Raises
    ------
    InputError
        The folder holds something already: nothing is overwritten.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(
            f"{directory} exists and is not an empty folder, and nothing is overwritten: give a "
            "new folder, such as my-data"
        )
    directory.mkdir(parents=True, exist_ok=True)
    example = Path(__file__).with_name("template")
    names = ("interactions.csv", "items.csv")
    return [shutil.copyfile(example / name, directory / name) for name in names]


def inspect(directory: Path) -> Findings:
    """Read a directory's tables and collect every fault instead of stopping at the first."""
    fatal: list[str] = []
    notes: list[str] = []
    found: dict[str, Table] = {}
    for stem in SUFFIXES:
        try:
            found[stem] = read_table(_table_path(directory, stem))
        except InputError as fault:
            fatal.append(str(fault))
    interactions = items = None
    if "interactions" in found:
        interactions = _interactions(found["interactions"], fatal, notes)
    if "items" in found:
        items = _items(found["items"], fatal, notes)
    if interactions is not None and items is not None:
        _undescribed(directory, interactions, items, fatal)
        _textless(items, interactions, notes)
    if fatal or interactions is None or items is None:
        return Findings(None, interactions, list(dict.fromkeys(fatal)), notes)
    broken = sum(len(table.broken) for table in found.values())
    broken += len(found["interactions"].columns) - len(interactions)
    broken += len(found["items"].columns) - len(items)
    raw = RawTables(interactions, items, {"broken rows": broken} if broken else {})
    return Findings(raw, interactions, [], notes)


def _table_path(directory: Path, stem: str) -> Path:
    if not directory.is_dir():
        raise InputError(f"{directory} is not a directory: give one with interactions and items")
    accepted = [directory / (stem + suffix) for suffix in SUFFIXES[stem]]
    paths = [path for path in accepted if path.is_file()]
    names = ", ".join(path.name for path in accepted)
    if not paths:
        raise InputError(f"{directory} has no table of {stem}: give one of {names}")
    if len(paths) > 1:
        both = " and ".join(path.name for path in paths)
        raise InputError(f"{directory} has {both}: keep one of them")
    return paths[0]


def _column(table: Table, accepted: tuple[str, ...]) -> str | None:
    return next((name for name in table.columns if name.lower() in accepted), None)


def _needed(table: Table, accepted: tuple[str, ...], fatal: list[str]) -> str | None:
    name = _column(table, accepted)
    if name is None:
        there = ", ".join(map(str, table.columns)) or "none"
        fatal.append(
            f"{table.path} has no column {' or '.join(accepted)} (its columns: {there}): "
            "rename or add it"
        )
    return name


def _interactions(table: Table, fatal: list[str], notes: list[str]) -> pd.DataFrame | None:
    user, item = _needed(table, USER, fatal), _needed(table, ITEM, fatal)
    time = _column(table, TIME)
    columns = {"user": table.columns[user]} if user else {}
    columns |= {"item": table.columns[item]} if item else {}
    if time:
        columns["time"] = _seconds(table, time, fatal)
    if not item:
        return None
    rows = pd.DataFrame(columns)
    keys = [name for name in ("user", "item") if name in rows]
    whole = (rows[keys] != "").all(axis=1)
    _tell_broken(table, whole, notes)
    rows = rows[whole]
    # without users the items can still be looked for in the other table
    duplicates = int(rows.duplicated(keys).sum()) if user else 0
    if duplicates:
        notes.append(
            f"{table.path} has {duplicates} pairs of user and item more than once: the earliest "
            "is kept"
        )
    return rows


def _seconds(table: Table, name: str, fatal: list[str]) -> pd.Series:
    column = table.columns[name]
    seconds = pd.to_numeric(column, errors="coerce").astype(np.float64)
    if seconds.abs().median() > 1e11:  # as seconds, after the year 5000
        seconds /= 1000
    other = seconds.isna()
    dates = pd.to_datetime(column[other], errors="coerce", utc=True, format="ISO8601")
    seconds[other] = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    bad = ~np.isfinite(seconds.to_numpy())
    if bad.any():
        first = int(np.argmax(bad))
        row = first + 1
        for skipped in table.broken:  # in the order of the file
            row += skipped <= row
        fatal.append(
            f"{table.path} has {int(bad.sum())} values of {name} that are no time, first "
            f"{column.iloc[first]!r} in data row {row}: give seconds since 1970 or ISO 8601"
        )
    return seconds


def _items(table: Table, fatal: list[str], notes: list[str]) -> pd.DataFrame | None:
    key = _needed(table, ITEM, fatal)
    if key is None:
        return None
    whole = table.columns[key] != ""
    _tell_broken(table, whole, notes)
    columns = table.columns[whole]
    texts = [
        clean_texts(columns[name]) for name in columns if name != key and _is_text(table, name)
    ]
    text = pd.Series("", index=columns.index, dtype="str")
    for part in texts:
        text = text + part.where((text == "") | (part == ""), ". " + part)
    rows = pd.DataFrame({"key": columns[key], "text": text})
    title = _column(table, TITLE)
    if title:
        rows["title"] = clean_texts(columns[title])
    duplicates = int(rows.duplicated("key").sum())
    if duplicates:
        again = _counted(duplicates, "item")
        notes.append(f"{table.path} describes {again} again: the longest text is kept")
    return rows


def _is_text(table: Table, name: str) -> bool:
    if name in table.kinds:
        return table.kinds[name] == "text"
    values = table.columns[name]
    values = values[values != ""]
    another_id = name.lower() == "id" or name.lower().endswith(("_id", "asin"))
    numbers = values.str.fullmatch(_NUMBER).all()
    return not another_id and not numbers and not values.str.fullmatch(_ADDRESS).all()


def _tell_broken(table: Table, whole: pd.Series, notes: list[str]) -> None:
    empty = int((~whole).sum())
    if empty:
        notes.append(
            f"{table.path} has {_counted(empty, 'row')} without a user or an item: left out"
        )
    if table.broken:
        row, fault = next(iter(table.broken.items()))
        notes.append(
            f"{table.path} has {_counted(len(table.broken), 'row')} of another length, first data "
            f"row {row} with {fault}: left out"
        )


def _undescribed(
    directory: Path, interactions: pd.DataFrame, items: pd.DataFrame, fatal: list[str]
) -> None:
    used = pd.unique(interactions["item"])
    missing = used[~np.isin(np.asarray(used, dtype=object), np.asarray(items["key"], dtype=object))]
    if len(missing):
        fatal.append(
            f"{_counted(len(missing), 'item')} of the interactions in {directory} without a row in "
            f"its table of items, such as {min(missing)!r}: add what is missing, or remove its "
            "interactions"
        )


def _textless(items: pd.DataFrame, interactions: pd.DataFrame, notes: list[str]) -> None:
    used = items[items["key"].isin(interactions["item"])]
    texts = used.groupby("key")["text"].max()
    empty = texts.index[texts == ""]
    if len(empty):
        notes.append(
            f"{_counted(len(empty), 'item')} without text, such as {min(empty)!r}: kept, with an "
            "empty one"
        )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
