"""Tables in files: CSV, TSV, Parquet and RecBole's atomic files (``.inter``, ``.item``).

Every column is read as text, with "" where a value is missing, so that the same table in any of
these forms is the same table here. A row of TSV or RecBole is one line; a field of CSV may go over
several in quotes. Quotes around a whole field of TSV, as pandas and R write them, are removed.
"""

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from lib.core import InputError, first_line

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_WORD = r"""(?:'[^'\\]*'|"[^"\\]*")"""
_LIST = re.compile(rf"\[{_WORD}(?:(?:,\s*|\s+){_WORD})*\]")
_SPANNING = ("over several lines; see that quotation marks are closed", re.compile(r"[^\n]*\n"))
_OPEN = (
    "that keep a quotation mark which is not closed",
    re.compile(r'"(?!(?:[^"]|"")*"\Z)'),
)
# up to which short floats tell whole numbers apart
_WHOLE = {"halffloat": 2**11, "float": 2**24}


class Table(NamedTuple):
    """The columns of a file, as text, and what could not be read.

    ``broken`` maps the number of a data row (from 1) to what is wrong with it, ``unread`` the name
    of a column to its type, which is none of text; both are left out. ``rounded`` are columns of
    short floats with numbers that these cannot tell apart. ``notes`` are sentences on what is left
    out, on lists, and on quotation marks that may not mean what they do here.
    """

    path: Path
    columns: pd.DataFrame
    broken: dict[int, str]
    unread: dict[str, str]
    rounded: set[str]
    notes: list[str]

    def row(self, position: int) -> int:
        """Return the number in the file, from 1, of the data row at a position, from 0."""
        row = position + 1
        for skipped in self.broken:  # in the order of the file
            row += skipped <= row
        return row


def read_table(path: Path) -> Table:
    """Read a table, whose format is that of its suffix, or raise ``InputError``."""
    try:
        return _read_parquet(path) if path.suffix == ".parquet" else _read_text(path)
    except (pa.ArrowException, OSError, csv.Error, UnicodeDecodeError) as fault:
        raise InputError(
            f"{path} cannot be read as {path.suffix[1:]} ({first_line(fault)}): save it again"
        ) from None


def decoded(path: Path) -> str:
    """Return the content of a UTF-8 file, or name the line that is not UTF-8."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        raise InputError(
            f"{path} has bytes that are not UTF-8 in line {line}: save it as UTF-8"
        ) from None


def _read_text(path: Path) -> Table:
    text = decoded(path).lstrip("\r\n")  # an empty first line is no header
    commas = path.suffix == ".csv"
    first = re.split(r"[\r\n]", text, maxsplit=1)[0]
    header = next(csv.reader([first]), []) if commas else map(_unquoted, first.split("\t"))
    # RecBole appends a column's type to its name
    plain = path.suffix in (".csv", ".tsv")
    names = _names(path, (name if plain else name.rpartition(":")[0] or name for name in header))
    if len(names) == 1 and re.search(r"[,;|\t]", first):
        between = "commas" if commas else "tabs"
        raise InputError(f"{path} has one column, {first!r}: put {between} between its columns")
    table = Table(path, pd.DataFrame(), {}, {}, set(), [])
    swallowed: list[str] = []

    def skip(row: Any) -> str:
        number, lines = row.number - 1, row.text.rstrip("\r\n").count("\n")
        fault = f"{row.actual_columns} fields instead of {row.expected_columns}"
        if commas and row.actual_columns > row.expected_columns:
            fault += " (one with a comma in it needs quotation marks around it)"
        table.broken[number] = fault
        if commas and lines:
            swallowed.append(f"data row {number} is not closed (lines it would swallow: {lines:,})")
        return "skip"

    data = text.encode()
    read = arrow_csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1)
    read.block_size = max(2**20, min(len(data), 2**30))  # no row may be longer than a block
    parse = arrow_csv.ParseOptions(invalid_row_handler=skip, delimiter="," if commas else "\t")
    parse.quote_char, parse.newlines_in_values = commas and '"', commas
    texts = dict.fromkeys(names, pa.string())
    convert = arrow_csv.ConvertOptions(column_types=texts, strings_can_be_null=False)
    columns = arrow_csv.read_csv(pa.BufferReader(data), read, parse, convert).to_pandas()
    if swallowed:
        raise InputError(f"{path}: a quotation mark in {swallowed[0]}: close it, or double it")
    for row, fault in [*table.broken.items()][:1]:
        told = f"rows of another length: {len(table.broken):,}, first data row {row} with {fault}"
        table.notes.append(f"{told}: left out")
    if commas and (escaped := text.count('\\"')):
        table.notes.append(f'\\" in {escaped:,} places: a quotation mark in a field is written ""')
    if '"' in text:
        what, odd = _SPANNING if commas else _OPEN
        found = columns.map(lambda field: bool(odd.match(field))).any(axis=1).to_numpy(bool)
        if found.any():
            number = table.row(int(found.argmax()))
            table.notes.append(f"rows {what}: {found.sum():,}, first data row {number}")
        columns = columns if commas else columns.map(_unquoted)
    if "[" in text:
        lists = columns.map(lambda field: bool(_LIST.fullmatch(field)))
        if number := int(lists.to_numpy().sum()):
            table.notes.append(f"lists in {number:,} fields: read as words with commas")
            columns = columns.mask(lists, columns.map(_joined))
    return table._replace(columns=columns)


def _unquoted(field: str) -> str:
    return field[1:-1].replace('""', '"') if _QUOTED.fullmatch(field) else field


def _joined(field: str) -> str:
    """Return a list, as Python, NumPy or JSON writes it, as ``as_text`` does."""
    return ", ".join(filter(None, (word[1:-1] for word in re.findall(_WORD, field))))


def _read_parquet(path: Path) -> Table:
    whole = parquet.read_table(path)
    table = Table(path, pd.DataFrame(index=range(whole.num_rows)), {}, {}, set(), [])
    for name, column in zip(_names(path, whole.column_names), whole.columns, strict=True):
        kind = column.type
        try:
            if pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType):
                values = pd.Series(map(as_text, column.to_pylist()), dtype="str")
            else:
                values = column.cast(pa.string()).fill_null("").to_pandas()
            table.columns[name] = values
            if most := _WHOLE.get(str(kind)):
                if np.fmax.reduce(np.abs(column.to_numpy()), initial=0) >= most:
                    table.rounded.add(name)
        except (ValueError, NotImplementedError):  # pyarrow's too: bytes, structs, maps
            table.unread[name] = str(kind)
            table.notes.append(f"column {name} of type {kind}, which is no text: left out")
    return table


def as_text(value: object) -> str:
    """Return a value as text, that of a list with commas, or raise ValueError where it is none."""
    if isinstance(value, dict | tuple):
        raise ValueError("a struct or a map is no text")
    if isinstance(value, list):
        return ", ".join(filter(None, map(as_text, value)))
    if isinstance(value, bytes):
        return value.decode()
    return "" if value is None else str(value)


def _names(path: Path, header: Iterable[str]) -> list[str]:
    """Return the names of columns without the blanks around them; each must be there once."""
    names = [name.strip() for name in header]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{path} has the column {min(twice)!r} twice: rename one of them")
    return names
