"""Tables in files: CSV, TSV, Parquet and RecBole's atomic files (``.inter``, ``.item``).

Every column is read as text, with "" where a value is missing.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lib.core import InputError, first_line

_KINDS = {"token_seq": "text", "float": "number", "float_seq": "number"}  # of RecBole's types


class Table(NamedTuple):
    """The columns of a file, as text, and the rows that could not be read.

    ``kinds`` is "text" or "number" for the columns whose type the file states. ``broken`` maps
    the number of a data row (from 1) to what is wrong with it; such rows are left out.
    """

    path: Path
    columns: pd.DataFrame
    kinds: dict[str, str]
    broken: dict[int, str]


def read_table(path: Path) -> Table:
    """Read a table, whose format is that of its suffix, or raise ``InputError``."""
    import pyarrow as pa

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
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    text = decoded(path).lstrip("\r\n")  # an empty first line is no header
    quoted = path.suffix in (".csv", ".tsv")  # RecBole's files have no quotes
    comma = "," if path.suffix == ".csv" else "\t"
    first = text.partition("\n")[0].rstrip("\r")
    header = next(csv.reader([first], delimiter=comma), []) if quoted else first.split(comma)
    names = _names(path, header)
    broken: dict[int, str] = {}

    def skip(row: Any) -> str:
        broken[row.number - 1] = f"{row.actual_columns} fields instead of {row.expected_columns}"
        return "skip"

    read = arrow_csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1)
    parse = arrow_csv.ParseOptions(delimiter=comma, invalid_row_handler=skip)
    parse.quote_char, parse.newlines_in_values = quoted and '"', quoted
    texts = dict.fromkeys(names, pa.string())
    convert = arrow_csv.ConvertOptions(column_types=texts, strings_can_be_null=False)
    table = arrow_csv.read_csv(pa.BufferReader(text.encode()), read, parse, convert)
    types = (name.partition(":")[2] for name in header)
    kinds = {name: _KINDS[t] for name, t in zip(names, types, strict=True) if t in _KINDS}
    return Table(path, table.to_pandas(), kinds, broken)


def _read_parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    table = parquet.read_table(path)
    columns, kinds = {}, {}
    for name, column in zip(_names(path, table.column_names), table.columns, strict=True):
        kind = column.type
        if pa.types.is_list(kind) and _is_string(kind.value_type):
            column = pc.binary_join(column.cast(pa.list_(pa.string())), ", ")
        elif pa.types.is_nested(kind) or pa.types.is_binary(kind):
            continue
        elif not _is_string(kind):
            kinds[name] = "number"
        columns[name] = column.cast(pa.string()).fill_null("").to_pandas()
    return Table(path, pd.DataFrame(columns), kinds, {})


def _is_string(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _names(path: Path, header: Iterable[str]) -> list[str]:
    """Return the names of columns, without the types that RecBole appends to them."""
    names = [name.partition(":")[0].strip() for name in header]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{path} has the column {min(twice)!r} twice: rename one of them")
    return names
