"""Amazon Reviews 2023: ratings and item metadata.

Layout as stated by the publisher (https://amazon-reviews-2023.github.io): the 5-core of ratings
is a CSV with ``user_id,parent_asin,rating,timestamp`` (milliseconds), item metadata are JSON
lines. What cannot be read is counted and left out; a damaged file is an ``InputError``.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from companion.data.cleaning import RawTables, clean_text
from lib.core import InputError, first_line

LENGTH = 2000  # characters of an item's text that are kept
FIELDS = ("title", "categories", "features", "description")
BLOCK = 2**24  # bytes of CSV that are parsed at a time
ROWS = 10_000  # items that are held as Python objects
_KEY = re.compile(rb'"parent_asin"\s*:\s*"([^"\\]+)"')
_COLUMNS = ("user_id", "parent_asin", "timestamp")


def read(ratings: Path, metadata: Path, fields: Sequence[str] = FIELDS) -> RawTables:
    """Read one category: every rating is an interaction, the text is made of the ``fields``.

    Items of which all ``FIELDS`` are empty are left out.
    """
    interactions, faults = _interactions(ratings)
    wanted = frozenset(interactions["item"].cat.categories)
    items, item_faults = _items(metadata, wanted, fields)
    return RawTables(interactions, items, faults | item_faults)


def _interactions(path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    import pyarrow as pa
    from pyarrow import csv

    skipped = 0

    def skip(row: Any) -> str:
        nonlocal skipped
        skipped += 1
        return "skip"

    key = pa.dictionary(pa.int32(), pa.string())
    types = dict(zip(_COLUMNS, (key, key, pa.string()), strict=True))
    convert = csv.ConvertOptions(
        column_types=types, include_columns=_COLUMNS, strings_can_be_null=False
    )
    parse = csv.ParseOptions(invalid_row_handler=skip)
    try:
        with pa.input_stream(str(path)) as stream:  # a .gz is unpacked
            table = csv.read_csv(stream, csv.ReadOptions(block_size=BLOCK), parse, convert)
    except (pa.ArrowException, OSError) as fault:
        raise InputError(
            f"{path.name} cannot be read as a CSV with the columns {', '.join(_COLUMNS)} "
            f"({first_line(fault)}): get the file again"
        ) from None
    if not len(table):
        raise InputError(f"{path.name} has no row with its header's columns: get the file again")
    times = [pd.to_numeric(c.to_pandas(), errors="coerce") for c in table["timestamp"].chunks]
    rows = table.drop_columns("timestamp").unify_dictionaries().to_pandas()
    rows = rows.set_axis(["user", "item"], axis=1).assign(time=np.concatenate(times) / 1000)
    valid = (rows["user"] != "") & (rows["item"] != "") & rows["time"].notna()
    return rows[valid], {"broken rows": skipped + int((~valid).sum())}


def _items(
    path: Path, wanted: frozenset[str], fields: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, int]]:
    import pyarrow as pa

    batches, rows, broken = [], [], 0
    for line in _lines(path):
        found = _KEY.search(line)
        if found is not None and found[1].decode("utf-8", "replace") not in wanted:
            continue  # without the cost of parsing it
        try:
            about = json.loads(line)
            key = about["parent_asin"]
            if key in wanted:
                texts = {name: clean_text(_flat(about.get(name))) for name in FIELDS}
                if any(texts.values()):
                    rows.append((key, texts["title"], _text(texts[name] for name in fields)))
        except (ValueError, KeyError, TypeError, AttributeError):
            broken += 1
        if len(rows) == ROWS:
            batches.append(_batch(rows))
            rows = []
    # in one piece: whoever picks rows from pieces joins them first, beside all else in memory
    items = pa.Table.from_batches([*batches, _batch(rows)]).combine_chunks().to_pandas()
    return items, {"broken lines of metadata": broken}


def _batch(rows: list[tuple[str, str, str]]) -> Any:
    """Return rows in Arrow's form, which takes less than half of what Python objects take."""
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    arrays = [pa.array(column, pa.large_string()) for column in columns]
    return pa.record_batch(arrays, names=["key", "title", "text"])


def _lines(path: Path) -> Iterator[bytes]:
    from tqdm import tqdm

    bar = {"total": path.stat().st_size, "desc": path.name, "delay": 3, "disable": None}
    try:
        with path.open("rb") as file, tqdm.wrapattr(file, "read", **bar) as counted:
            lines = gzip.GzipFile(fileobj=counted) if path.suffix == ".gz" else file
            yield from (line for line in lines if line.strip())
    except (OSError, EOFError, zlib.error) as fault:
        raise InputError(f"{path.name} is damaged ({fault}): get the file again") from None


def _text(parts: Iterable[str]) -> str:
    return ". ".join(part for part in parts if part)[:LENGTH].strip()


def _flat(value: Any) -> str:
    """Return a field as text: lists are joined, a missing value is empty."""
    if isinstance(value, list):
        return ", ".join(str(part) for part in value if part)
    return "" if value is None else str(value)
