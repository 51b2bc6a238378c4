"""Readers of the known datasets' files, each of which returns ``RawTables``.

Each takes its files and the ``fields`` that make an item's text; items without a title (of Amazon
2023, without any text) are left out, and so are rows that cannot be read, which are counted.
Nothing in a file is executed; of a zip, only the members that are needed are read. A file that is
damaged, or has other columns, is an ``InputError``.
"""

import gzip
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv
from tqdm import tqdm

from companion.data import pickles
from companion.data.cleaning import RawTables, clean_text, clean_texts, joined
from companion.data.tables import as_text, decoded, read_table
from lib.core import InputError, first_line

MEMBER_LIMIT = 2**28  # bytes that a member of a zip may unpack to
TITLED = ("title",)
FILM = ("title", "year", "genres")
PRODUCT = ("title", "categories", "brand", "description")
PRODUCT_2023 = ("title", "categories", "features", "description")
LENGTH = 2000  # characters of an item's text that are kept of Amazon 2023
BLOCK = 2**24  # bytes of CSV that are parsed at a time
ROWS = 10_000  # items that are held as Python objects
_KEY = re.compile(rb'"parent_asin"\s*:\s*"([^"\\]+)"')
_RATED = ("user_id", "parent_asin", "timestamp")


def seqrec(path: Path, fields: Sequence[str] = TITLED) -> RawTables:
    """Read a ``proc.zip`` of SeqRecBenchmark: a pickle of users' item lists, one of titles."""
    by_user = pickles.unpickle_table(zip_member(path, "user2item.pkl"), "user2item.pkl")
    titles = pickles.unpickle_table(zip_member(path, "item2title.pkl"), "item2title.pkl")
    by_user = by_user[["UserID", "ItemID", "Timestamp"]].explode(["ItemID", "Timestamp"])
    interactions = pd.DataFrame(
        {
            "user": by_user["UserID"].astype(str).array,
            "item": by_user["ItemID"].astype(str).array,
            "time": by_user["Timestamp"].to_numpy(np.float64),
        }
    )
    items = {
        "key": titles["ItemID"].astype(str).array,
        "title": clean_texts(titles["Title"].astype(str)).array,
    }
    return RawTables(interactions, _with_text(pd.DataFrame(items), fields), {})


def scientific(interactions: Path, items: Path, fields: Sequence[str] = PRODUCT) -> RawTables:
    """Read two JSON objects: of each user the items in order of time, of each item its fields.

    ``time`` is the position in the user's own order: it says nothing about two users. The makers
    end every title and description, also an empty one, with a full stop.
    """
    by_user, about = _json_object(interactions), _json_object(items)
    try:
        triples = [(u, str(i), float(t)) for u, own in by_user.items() for t, i in enumerate(own)]
        columns = {name: [of[name] for of in about.values()] for name in PRODUCT}
        cleaned = {name: clean_texts(pd.Series(texts)) for name, texts in columns.items()}
    except (TypeError, KeyError):
        raise InputError(
            f"{interactions} and {items} are not lists of items by user and fields by item: get "
            "the files again"
        ) from None
    table = pd.DataFrame({"key": list(about)} | cleaned)
    table["categories"] = table["categories"].str.replace(",(?! )", ", ", regex=True)
    for name in ("title", "description"):
        table[name] = table[name].str.rstrip(".")
    pairs = pd.DataFrame(triples, columns=["user", "item", "time"])
    return RawTables(pairs, _with_text(table, fields), {})


def movielens(interactions: Path, items: Path, fields: Sequence[str] = FILM) -> RawTables:
    """Read MovieLens in RecBole's atomic files: every rating is an interaction."""
    rated, rows_lost = _columns(interactions, "user_id", "item_id", "timestamp")
    films, films_lost = _columns(items, "item_id", "movie_title", "release_year", "class")
    times = pd.to_numeric(rated["timestamp"], errors="coerce").astype(np.float64)
    valid = np.isfinite(times)
    pairs = {"user": rated["user_id"], "item": rated["item_id"], "time": times}
    years = films["release_year"].where(films["release_year"].str.fullmatch("[0-9]{4}"))
    genres = clean_texts(films["class"]).str.replace(" ", ", ")
    return RawTables(
        pd.DataFrame(pairs)[valid],
        _films(films["item_id"], films["movie_title"], years, genres, fields),
        {"broken rows": rows_lost + films_lost + int((~valid).sum())},
    )


def movietweetings(ratings: Path, movies: Path, fields: Sequence[str] = FILM) -> RawTables:
    """Read MovieTweetings' ``::`` files: every rating is an interaction."""
    rated = _lines(ratings).str.extract(r"^(\d+)::(\d+)::\d+::(\d+)$")
    films = _lines(movies).str.extract(r"^(\d+)::(.*?)(?: \((\d{4})\))?::([^:]*)$")
    valid, known = rated.notna().all(axis=1), films[0].notna()
    rated, films = rated[valid], films[known].fillna("")
    genres = clean_texts(films[3]).str.replace("|", ", ")
    return RawTables(
        pd.DataFrame({"user": rated[0], "item": rated[1], "time": rated[2].astype(np.float64)}),
        _films(films[0], films[1], films[2], genres, fields),
        {"broken rows": int((~valid).sum() + (~known).sum())},
    )


def amazon(ratings: Path, metadata: Path, fields: Sequence[str] = PRODUCT_2023) -> RawTables:
    """Read a category of Amazon Reviews 2023: every rating is an interaction.

    The 5-core of ratings is a CSV with user_id, parent_asin, rating and timestamp (milliseconds),
    the items' metadata are JSON lines (https://amazon-reviews-2023.github.io).
    """
    interactions, faults = _ratings(ratings)
    wanted = frozenset(interactions["item"].cat.categories)
    items, item_faults = _items(metadata, wanted, fields)
    return RawTables(interactions, items, faults | item_faults)


def zip_member(path: Path, name: str) -> bytes:
    """Return one member of a zip by its name, at most ``MEMBER_LIMIT`` bytes; none goes to disk."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as handle:
            data = handle.read(MEMBER_LIMIT + 1)  # the size that it states may be false
    except KeyError:
        raise InputError(f"{path} has no member {name}: get the file again") from None
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as fault:
        raise InputError(f"{path} cannot be read as zip ({fault}): get the file again") from None
    if len(data) > MEMBER_LIMIT:
        raise InputError(
            f"{name} in {path} unpacks to more than {MEMBER_LIMIT >> 20} MiB: get the file from "
            "its publisher"
        )
    return data


def _columns(path: Path, *needed: str) -> tuple[pd.DataFrame, int]:
    """Return a table's columns and how many of its rows could not be read."""
    table = read_table(path)
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}: get the file again")
    return table.columns, len(table.broken)


def _lines(path: Path) -> pd.Series:
    return pd.Series(decoded(path).split("\n"), dtype="str").loc[lambda line: line != ""]


def _json_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(decoded(path))
    except (ValueError, RecursionError) as fault:
        raise InputError(
            f"{path} cannot be read as JSON ({first_line(fault)}): get the file again"
        ) from None
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no JSON object: get the file again")
    return found


def _films(
    keys: pd.Series, titles: pd.Series, years: pd.Series, genres: pd.Series, fields: Sequence[str]
) -> pd.DataFrame:
    years = pd.to_numeric(years, errors="coerce").astype("Int64")
    columns = {"key": keys, "title": clean_texts(titles), "genres": genres, "year": years}
    return _with_text(pd.DataFrame(columns), fields)


def _with_text(items: pd.DataFrame, fields: Sequence[str]) -> pd.DataFrame:
    """Return the items that have a title, with the text that the fields make."""
    items = items[items["title"] != ""]
    return items.assign(text=joined(items, fields))


def _ratings(path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    skipped = 0

    def skip(row: Any) -> str:
        nonlocal skipped
        skipped += 1
        return "skip"

    key = pa.dictionary(pa.int32(), pa.string())
    types = dict(zip(_RATED, (key, key, pa.string()), strict=True))
    convert = csv.ConvertOptions(
        column_types=types, include_columns=_RATED, strings_can_be_null=False
    )
    parse = csv.ParseOptions(invalid_row_handler=skip)
    try:
        with pa.input_stream(str(path)) as stream:  # a .gz is unpacked
            table = csv.read_csv(stream, csv.ReadOptions(block_size=BLOCK), parse, convert)
    except (pa.ArrowException, OSError) as fault:
        raise InputError(
            f"{path.name} cannot be read as a CSV with the columns {', '.join(_RATED)} "
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
    batches, rows, broken = [], [], 0
    for line in _json_lines(path):
        found = _KEY.search(line)
        if found is not None and found[1].decode("utf-8", "replace") not in wanted:
            continue  # without the cost of parsing it
        try:
            about = json.loads(line)
            key = about["parent_asin"]
            if key in wanted:
                texts = {name: clean_text(as_text(about.get(name))) for name in PRODUCT_2023}
                if any(texts.values()):
                    text = ". ".join(filter(None, (texts[name] for name in fields)))
                    rows.append((key, texts["title"], text[:LENGTH].strip()))
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
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    arrays = [pa.array(column, pa.large_string()) for column in columns]
    return pa.record_batch(arrays, names=["key", "title", "text"])


def _json_lines(path: Path) -> Iterator[bytes]:
    bar = {"total": path.stat().st_size, "desc": path.name, "delay": 3, "disable": None}
    try:
        with path.open("rb") as file, tqdm.wrapattr(file, "read", **bar) as counted:
            lines = gzip.GzipFile(fileobj=counted) if path.suffix == ".gz" else file
            yield from (line for line in lines if line.strip())
    except (OSError, EOFError, zlib.error) as fault:
        raise InputError(f"{path.name} is damaged ({fault}): get the file again") from None
