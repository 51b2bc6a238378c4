"""A directory of the reader's own: a table of interactions and a table of items.

``interactions.EXT`` has a user, an item and, optionally, a time (seconds or milliseconds since
1970, or ISO 8601). ``items.EXT`` has the item and any text columns, which are joined in the order
of the file. EXT is parquet, csv or tsv, or one of RecBole's (``.inter``, ``.item``); the same table
gives the same dataset in each, by the rules of ``pages/howto/own-data.md``. What is read otherwise
than it is written, or left out, is counted in a note.
"""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from companion.data.cleaning import RawTables, chosen_fields, clean_texts, joined
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
# \N is that of MySQL, Hive and IMDb's files, #… are Excel's, [] and {} those of empty lists
MISSING = frozenset(
    r"nan -nan nat na n/a n.a. <na> null (null) none \n - – — [] {} "
    "#n/a #na #div/0! #name? #null! #num! #ref! #value!".split()
) | {""}
LATEST = 4_102_444_800.0  # the start of 2100, in seconds since 1970
UNITS = {"seconds": 1e0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_INVISIBLE = ("Cc", "Cf", "Zs", "Zl", "Zp")  # Unicode's controls, marks without width, blanks
_BLANK = "\ufeff" + "".join(
    c for c in map(chr, range(0x3001)) if unicodedata.category(c) in _INVISIBLE
)
_SHORT = re.compile(r"[-+]?\d\.(\d+)[eE]\+(\d+)")  # fewer digits than a whole number has
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE]\+\d+)?")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_NO_WORDS = re.compile(
    # numbers, prices, dates, times of day, and lists of these
    r"(?:[\W\d_]|(?<=[\d.])e(?=[-+]?\d)|\b(?:inf|infinity|nan)\b)*"
    r"|\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[-+ ][\d:]+| ?UTC)?|-?\d+ days?\b[-+ \d:.]*"
    rf"|(?:\d{{1,2}}\W+)?{_MONTH}\W+\d[\d\W]*"
    r"|true|false|yes|no|[tfyn]"
    r"|(?:https?://|www\.)\S*",
    re.IGNORECASE,
)


class _Sentences(NamedTuple):
    """What is wrong with a directory: faults that stop its use, and notes on what is left out."""

    fatal: list[str]
    notes: list[str]


def tables(directory: Path) -> tuple[Path, Path]:
    """Return the paths of the two tables; each must be there, in one format."""
    return _table_path(directory, "interactions"), _table_path(directory, "items")


def read(directory: Path, fields: str = "all") -> RawTables:
    """Read a directory's two tables, or raise the first fatal sentence of ``validate``.

    ``fields`` are the columns that make an item's text (``companion.data.load``).
    """
    raw, _, said = _inspect(directory, fields)
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
                "interactions are removed: give more data"
            )
    return problems + [f"note: {note}" for note in said.notes]


def _inspect(
    directory: Path, fields: str = "all"
) -> tuple[RawTables | None, pd.DataFrame | None, _Sentences]:
    """Return the tables unless something is fatal, the interactions if readable, every fault."""
    said = _Sentences([], [])
    found: dict[str, Table] = {}
    for stem in SUFFIXES:
        try:
            found[stem] = read_table(_table_path(directory, stem))
        except InputError as fault:
            said.fatal.append(str(fault))
    said.notes.extend(f"{of.path.name}: {note}" for of in found.values() for note in of.notes)
    interactions = _interactions(found["interactions"], said) if "interactions" in found else None
    items = _items(found["items"], said, fields) if "items" in found else None
    if interactions is not None and items is not None:
        _compare(directory, interactions, items, said)
    if said.fatal or interactions is None or items is None:
        return None, interactions, said
    rows = sum(len(table.broken) + len(table.columns) for table in found.values())
    broken = rows - len(interactions) - len(items)
    return RawTables(interactions, items, {"broken rows": broken}, said.notes), interactions, said


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
        unread = [f"{other} of type {kind}" for other, kind in table.unread.items()]
        there = ", ".join([*table.columns, *unread]) or "none"
        said.fatal.append(
            f"{table.path} has no column {' or '.join(accepted)} of text or numbers (its columns: "
            f"{there}): rename or add it"
        )
    return name


def _interactions(table: Table, said: _Sentences) -> pd.DataFrame | None:
    user, item, time = _column(table, USER, said), _column(table, ITEM, said), _column(table, TIME)
    named = {"user": user, "item": item}
    columns = {key: _ids(table, name, said) for key, name in named.items() if name}
    if time and (seconds := _seconds(table, time, said)) is not None:
        columns["time"] = seconds
    if not item:
        return None
    others = _listed(name for name in table.columns if name not in (user, item, time))
    if user and others:
        told = f"every row counts as an interaction; not read: {others}"
        said.notes.append(f"{table.path.name}: {told}")
    keys = ["user", "item"] if user else ["item"]
    rows = _with_keys(table, pd.DataFrame(columns), keys, said)
    # without users the items can still be looked for in the other table
    if user and (duplicates := int(rows.duplicated(keys).sum())):
        said.notes.append(
            f"{table.path.name} has {duplicates:,} pairs of user and item more than once: the "
            "earliest is kept"
        )
    return rows


def _ids(table: Table, name: str, said: _Sentences) -> pd.Series:
    """Return a column of ids in their one form, with "" for a missing one."""
    codes, distinct = pd.factorize(_known(table.columns[name])[0])
    words = distinct.tolist()
    trimmed = [word.strip(_BLANK) for word in words]
    composed = [unicodedata.normalize("NFC", word) for word in trimmed]
    numbers = all(map(_NUMBER.fullmatch, filter(None, composed)))
    floats = {word: float(word) for word in composed if numbers and not word.isdigit() and word}
    whole = [str(int(floats[w])) if floats.get(w, 0.5).is_integer() else w for w in composed]
    told, before = [], words
    for how, after in (("trimmed", trimmed), ("brought to Unicode's form NFC", composed),
                       ("written as 1.0 read as 1", whole)):  # fmt: skip
        if n := sum(bool(new) and old != new for old, new in zip(before, after, strict=True)):
            told.append(f"{_number_of(n, 'id')} {how}")
        before = after
    if told:
        equal = len(words) - whole.count("") - len({*whole} - {""})
        same = f"; {_number_of(equal, 'id')} then the same as another" if equal else ""
        said.notes.append(f"{table.path.name}, {name}: {', '.join(told)}{same}")
    short = (m for m in map(_SHORT.fullmatch, floats) if m and len(m[1]) < int(m[2]))
    if name in table.rounded or any(short) or any(abs(of) >= 2**53 for of in floats.values()):
        said.fatal.append(
            f"{table.path} has numbers in {name} that were saved as floats and are too long for "
            "them, so that different ids became equal: save them as whole numbers or text"
        )
    if broken := [n for n, word in enumerate(whole) if set(word) & {"\r", "\n"}]:
        row = table.row(int(np.argmax(np.isin(codes, broken))))
        said.fatal.append(
            f"{table.path} has a line break inside {name} in data row {row}: close the quotation "
            "mark before it, or remove it"
        )
    rows = np.array(whole, dtype=object)[codes]
    return pd.Series(rows, index=table.columns.index, dtype="str")


def _known(column: pd.Series) -> tuple[pd.Series, int]:
    """Return a column with "" for each mark of a missing value, and the number of such marks."""
    missing = column.str.strip(_BLANK).str.lower().isin(MISSING)
    return column.mask(missing, ""), int((missing & (column != "")).sum())


def _seconds(table: Table, name: str, said: _Sentences) -> pd.Series | None:
    """Return a column of times, all in one unit, in seconds since 1970; None if all are missing."""
    column = table.columns[name]
    number = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    unit = np.searchsorted([1e11, 1e14, 1e17], np.abs(number))  # of seconds: after the year 5000
    seconds = pd.Series(number / np.array([*UNITS.values()])[unit], index=column.index)
    other = np.isnan(number)
    words, _ = _known(column[other])
    if other.all() and (words == "").all():
        said.notes.append(f"{table.path.name}: {name} is empty, so there are no times")
        return None
    dates = pd.to_datetime(words, errors="coerce", utc=True, format="ISO8601")
    # microseconds reach all years that ISO 8601 writes, nanoseconds from 1678 to 2262 alone
    epoch, dates = pd.Timestamp(0, tz="UTC").as_unit("us"), dates.dt.as_unit("us")
    seconds[other] = (dates - epoch) / pd.Timedelta(seconds=1)
    unit = np.where(other, len(UNITS), unit)
    kinds = np.bincount(unit[number != 0], minlength=len(UNITS) + 1)
    told = [f"{n:,} in {kind}" for kind, n in zip([*UNITS, "dates"], kinds, strict=True) if n]
    bad = ~np.isfinite(seconds.to_numpy())
    outside = ~bad & ~seconds.between(0, LATEST, inclusive="left").to_numpy()
    for fault, what in ((bad, "no time"), (outside, "before 1970 or after 2099")):
        if fault.any():
            first = int(np.argmax(fault))
            said.fatal.append(
                f"{table.path} has {int(fault.sum()):,} values of {name} that are {what}, first "
                f"{column.iloc[first]!r} in data row {table.row(first)}: give seconds since "
                "1970 or ISO 8601"
            )
    if seconds.max() < 366 * 86400 and seconds.max() > 0:
        first = column.iloc[int(np.argmax(number > 0))]
        said.notes.append(
            f"{table.path.name}: all times are in 1970 when read as seconds, such as {first!r}: "
            "their order is used; write years and days as ISO 8601"
        )
    if len(told) > 1 and not bad.any():
        said.fatal.append(f"{table.path} has times of several units in {name} ({', '.join(told)}): "
                          "give all in one")  # fmt: skip
    return seconds


def _items(table: Table, said: _Sentences, fields: str) -> pd.DataFrame | None:
    key, title = _column(table, ITEM, said), _column(table, TITLE)
    if key is None:
        return None
    known = {name: _known(table.columns[name]) for name in table.columns if name != key}
    columns = pd.DataFrame({key: _ids(table, key, said)} | {n: of for n, (of, _) in known.items()})
    columns = _with_keys(table, columns, [key], said)
    texts = [name for name in known if _is_text(name, columns[name])]
    try:
        chosen = chosen_fields(fields, texts, table.path.name)
    except InputError as fault:
        said.fatal.append(str(fault))
        return None
    if other := _listed(name for name in known if name not in texts):
        said.notes.append(
            f"{table.path.name}: the text is made of {', '.join(chosen) or 'no column'}; without "
            f"words, or further ids: {other}"
        )
    if told := ", ".join(f"{n:,} in {name}" for name, (_, n) in known.items() if n):
        said.notes.append(f"{table.path.name} has marks of missing values, such as nan: {told}")
    text = joined(columns[chosen].apply(clean_texts), chosen)
    rows = pd.DataFrame({"key": columns[key], "text": text})
    if title:
        rows["title"] = clean_texts(columns[title])
    if duplicates := int(rows.duplicated("key").sum()):
        again = _number_of(duplicates, "item")
        said.notes.append(f"{table.path.name} describes {again} again: the longest text is kept")
    return rows


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name or "a column without a name" for name in names)


def _is_text(name: str, values: pd.Series) -> bool:
    plain = name.lower()
    further_id = plain in ("", "id") or plain.endswith(("_id", "asin"))
    index = plain.startswith(("unnamed:", "__index_level_"))  # as pandas writes it
    return not (further_id or index or all(map(_NO_WORDS.fullmatch, values.unique())))


def _with_keys(table: Table, rows: pd.DataFrame, keys: list[str], said: _Sentences) -> pd.DataFrame:
    """Return the rows that have their keys, and note how many are left out of the table."""
    complete = (rows[keys] != "").all(axis=1)
    if empty := int((~complete).sum()):
        said.notes.append(
            f"{table.path.name} has {_number_of(empty, 'row')} without a user or an item: left out"
        )
    return rows[complete]


def _compare(
    directory: Path, interactions: pd.DataFrame, items: pd.DataFrame, said: _Sentences
) -> None:
    """Look for the items of the interactions, and for their texts, in the table of items."""
    used = pd.Index(interactions["item"].unique())
    missing = used[~used.isin(items["key"])]
    if len(missing):
        known = f" (its own are such as {items['key'].min()!r})" if len(items) else ""
        said.fatal.append(
            f"{_number_of(len(missing), 'item')} of the interactions in {directory} without a row "
            f"in its table of items, such as {min(missing)!r}{known}: add what is missing, or "
            "remove its interactions"
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
