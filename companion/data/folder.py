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


class _Sentences(NamedTuple):
    """What is wrong with a directory: faults that stop its use, and notes on what is left out."""

    fatal: list[str]
    notes: list[str]


def tables(directory: Path) -> tuple[Path, Path]:
    """Return the paths of the two tables; each must be there, in one format."""
    return _table_path(directory, "interactions"), _table_path(directory, "items")


def read(directory: Path) -> RawTables:
    """Read a directory's two tables, or raise the first fatal sentence of ``validate``."""
    raw, _, said = _inspect(directory)
    if raw is None:
        raise InputError(said.fatal[0])
    return raw


def validate(directory: str | Path) -> list[str]:
    """Return a sentence on everything that is wrong with a directory; none if all is in order.

    Duplicate pairs, broken rows and empty texts do not stop ``companion.data.load``, which counts
    them in the dataset's card; their sentences begin with "note".
    """
    _, interactions, said = _inspect(Path(directory))
    problems = list(dict.fromkeys(said.fatal))
    if interactions is not None and "user" in interactions:
        users, items = (pd.factorize(interactions[name])[0] for name in ("user", "item"))
        once = dataset.earliest(users, items)
        if not dataset.k_core(users[once], items[once], 5).any():
            problems.append(
                f"no user is left in {directory} when users and items with fewer than 5 "
                "interactions are removed: give more data, or a smaller k_core"
            )
    return problems + [f"note: {note}" for note in said.notes]


def write_template(directory: Path) -> list[Path]:
    """Copy an example, ``interactions.csv`` and ``items.csv``, into a new or empty folder."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(
            f"{directory} exists and is not an empty folder, and nothing is overwritten: give a "
            "new folder, such as my-data"
        )
    directory.mkdir(parents=True, exist_ok=True)
    example = Path(__file__).with_name("template")
    names = ("interactions.csv", "items.csv")
    return [shutil.copyfile(example / name, directory / name) for name in names]


def _inspect(directory: Path) -> tuple[RawTables | None, pd.DataFrame | None, _Sentences]:
    """Return the tables unless something is fatal, the interactions if readable, every fault."""
    said = _Sentences([], [])
    found: dict[str, Table] = {}
    for stem in SUFFIXES:
        try:
            found[stem] = read_table(_table_path(directory, stem))
        except InputError as fault:
            said.fatal.append(str(fault))
    interactions = _interactions(found["interactions"], said) if "interactions" in found else None
    items = _items(found["items"], said) if "items" in found else None
    if interactions is not None and items is not None:
        _compare(directory, interactions, items, said)
    if said.fatal or interactions is None or items is None:
        return None, interactions, said
    rows = sum(len(table.broken) + len(table.columns) for table in found.values())
    broken = rows - len(interactions) - len(items)
    return RawTables(interactions, items, {"broken rows": broken}), interactions, said


def _table_path(directory: Path, stem: str) -> Path:
    if not directory.is_dir():
        raise InputError(f"{directory} is not a directory: give one with interactions and items")
    accepted = [directory / (stem + suffix) for suffix in SUFFIXES[stem]]
    paths = [path for path in accepted if path.is_file()]
    if not paths:
        names = ", ".join(path.name for path in accepted)
        raise InputError(f"{directory} has no table of {stem}: give one of {names}")
    if len(paths) > 1:
        both = " and ".join(path.name for path in paths)
        raise InputError(f"{directory} has {both}: keep one of them")
    return paths[0]


def _column(table: Table, accepted: tuple[str, ...], said: _Sentences | None = None) -> str | None:
    """Return the name of the first accepted column; none is fatal where faults are collected."""
    name = next((name for name in table.columns if name.lower() in accepted), None)
    if name is None and said is not None:
        there = ", ".join(map(str, table.columns)) or "none"
        said.fatal.append(
            f"{table.path} has no column {' or '.join(accepted)} (its columns: {there}): "
            "rename or add it"
        )
    return name


def _interactions(table: Table, said: _Sentences) -> pd.DataFrame | None:
    user, item = _column(table, USER, said), _column(table, ITEM, said)
    time = _column(table, TIME)
    columns = {"user": table.columns[user]} if user else {}
    columns |= {"item": table.columns[item]} if item else {}
    if time:
        columns["time"] = _seconds(table, time, said)
    if not item:
        return None
    keys = ["user", "item"] if user else ["item"]
    rows = _with_keys(table, pd.DataFrame(columns), keys, said)
    # without users the items can still be looked for in the other table
    if user and (duplicates := int(rows.duplicated(keys).sum())):
        said.notes.append(
            f"{table.path} has {duplicates} pairs of user and item more than once: the earliest "
            "is kept"
        )
    return rows


def _seconds(table: Table, name: str, said: _Sentences) -> pd.Series:
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
        said.fatal.append(
            f"{table.path} has {int(bad.sum())} values of {name} that are no time, first "
            f"{column.iloc[first]!r} in data row {row}: give seconds since 1970 or ISO 8601"
        )
    return seconds


def _items(table: Table, said: _Sentences) -> pd.DataFrame | None:
    key, title = _column(table, ITEM, said), _column(table, TITLE)
    if key is None:
        return None
    columns = _with_keys(table, table.columns, [key], said)
    text = pd.Series("", index=columns.index, dtype="str")
    for name in columns:
        if name != key and _is_text(table, name):
            part = clean_texts(columns[name])
            text = text + part.where((text == "") | (part == ""), ". " + part)
    rows = pd.DataFrame({"key": columns[key], "text": text})
    if title:
        rows["title"] = clean_texts(columns[title])
    if duplicates := int(rows.duplicated("key").sum()):
        again = _number_of(duplicates, "item")
        said.notes.append(f"{table.path} describes {again} again: the longest text is kept")
    return rows


def _is_text(table: Table, name: str) -> bool:
    if name in table.kinds:
        return table.kinds[name] == "text"
    values = table.columns[name]
    values = values[values != ""]
    another_id = name.lower() == "id" or name.lower().endswith(("_id", "asin"))
    numbers = values.str.fullmatch(_NUMBER).all()
    return not another_id and not numbers and not values.str.fullmatch(_ADDRESS).all()


def _with_keys(table: Table, rows: pd.DataFrame, keys: list[str], said: _Sentences) -> pd.DataFrame:
    """Return the rows that have their keys, and note what is left out of the table."""
    complete = (rows[keys] != "").all(axis=1)
    if empty := int((~complete).sum()):
        said.notes.append(
            f"{table.path} has {_number_of(empty, 'row')} without a user or an item: left out"
        )
    if table.broken:
        row, fault = next(iter(table.broken.items()))
        said.notes.append(
            f"{table.path} has {_number_of(len(table.broken), 'row')} of another length, first "
            f"data row {row} with {fault}: left out"
        )
    return rows[complete]


def _compare(
    directory: Path, interactions: pd.DataFrame, items: pd.DataFrame, said: _Sentences
) -> None:
    """Look for the items of the interactions, and for their texts, in the table of items."""
    used = np.asarray(pd.unique(interactions["item"]), dtype=object)
    missing = used[~np.isin(used, np.asarray(items["key"], dtype=object))]
    if len(missing):
        said.fatal.append(
            f"{_number_of(len(missing), 'item')} of the interactions in {directory} without a row "
            f"in its table of items, such as {min(missing)!r}: add what is missing, or remove its "
            "interactions"
        )
    texts = items[items["key"].isin(used)].groupby("key")["text"].max()
    empty = texts.index[texts == ""]
    if len(empty):
        said.notes.append(
            f"{_number_of(len(empty), 'item')} without text, such as {min(empty)!r}: kept, with an "
            "empty one"
        )


def _number_of(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
