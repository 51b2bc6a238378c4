"""From files to two plain tables: who interacted with what, and the text of every item.

Nothing in a file is executed. A zip is read only by the names of the members that are wanted.
"""

from __future__ import annotations

import html
import io
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd

from companion.data import pickles
from lib.core import InputError

MEMBER_LIMIT = 2**28  # bytes that a member of a zip may unpack to
# control characters, and halves of surrogate pairs, which no file can store as UTF-8
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class RawTables(NamedTuple):
    """What a dataset's files say, before any cleaning.

    ``interactions`` has one row each: ``user``, ``item`` (the original keys, as text) and, where
    known, ``time`` (seconds). ``items`` has one row per described item: ``key``, ``text`` and
    what else the source tells (``title``, ``genres``, ``year``). ``faults`` counts what could
    not be read, by its reason.
    """

    interactions: pd.DataFrame
    items: pd.DataFrame
    faults: dict[str, int]


def clean(text: str) -> str:
    """Return a text with HTML entities resolved, one space for any, and no control characters.

    Entities may be encoded twice (``&amp;amp;``). Tags stay: they are text until a page shows
    them, which has to escape them.
    """
    while "&" in text and (plain := html.unescape(text)) != text:
        text = plain
    plain = " ".join(text.split())
    return plain if plain.isprintable() else " ".join(_UNPRINTABLE.sub("", plain).split())


def described(titles: pd.Series, years: pd.Series, genres: pd.Series) -> list[str]:
    """Return "title (year). genre, genre" for each item, without the parts that are missing."""
    when = (" (" + years.astype("string") + ")").fillna("")
    kinds = (". " + genres).where(genres != "", "")
    return list((titles + when + kinds).where(titles != "", ""))


def member(path: Path, name: str) -> bytes:
    """Return one member of a zip by its name, nothing being unpacked to disk.

    Raises
    ------
    InputError
        No zip or a damaged one, no such member, a name that leaves the archive, or more than
        ``MEMBER_LIMIT`` bytes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for other in archive.namelist():
                place = PurePosixPath(other.replace("\\", "/"))
                if place.is_absolute() or ".." in place.parts:
                    raise InputError(f"{path} has a member {other!r} outside itself: not read")
            with archive.open(name) as handle:
                data = handle.read(MEMBER_LIMIT + 1)  # what it claims to be large is not trusted
    except KeyError:
        raise InputError(f"{path} has no member {name}: get the file again") from None
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as fault:
        raise InputError(f"{path} is no zip that can be read ({fault}): get it again") from None
    if len(data) > MEMBER_LIMIT:
        raise InputError(
            f"{name} in {path} unpacks to more than {MEMBER_LIMIT >> 20} MiB: not read"
        )
    return data


def seqrec(path: Path) -> RawTables:
    """Read a ``proc.zip`` of SeqRecBenchmark: a pickle of users' item lists, one of titles."""
    by_user = pickles.table(member(path, "user2item.pkl"), "user2item.pkl")
    titles = pickles.table(member(path, "item2title.pkl"), "item2title.pkl")
    by_user = by_user[["UserID", "ItemID", "Timestamp"]].explode(["ItemID", "Timestamp"])
    interactions = pd.DataFrame(
        {
            "user": by_user["UserID"].astype(str).array,
            "item": by_user["ItemID"].astype(str).array,
            "time": by_user["Timestamp"].to_numpy(np.float64),
        }
    )
    text = [clean(title) for title in titles["Title"].astype(str)]
    items = pd.DataFrame({"key": titles["ItemID"].astype(str).array, "text": text, "title": text})
    return RawTables(interactions, items, {})


def movielens(interactions: Path, items: Path) -> RawTables:
    """Read MovieLens in RecBole's atomic files: every rating is an interaction."""
    table = atomic(interactions, "user_id", "item_id", "timestamp")
    described_items = atomic(items, "item_id", "movie_title", "release_year", "class")
    times = pd.to_numeric(table["timestamp"], errors="coerce").astype(np.float64)
    whole = np.isfinite(times)
    table, times = table[whole], times[whole]
    titles = cleaned(described_items["movie_title"])
    year = described_items["release_year"]
    years = pd.to_numeric(year.where(year.str.fullmatch("[0-9]{4}"))).astype("Int64")
    genres = cleaned(described_items["class"]).str.replace(" ", ", ")
    return RawTables(
        pd.DataFrame(
            {
                "user": table["user_id"],
                "item": table["item_id"],
                "time": times,
            }
        ),
        pd.DataFrame(
            {
                "key": described_items["item_id"],
                "text": described(titles, years, genres),
                "title": titles,
                "genres": genres,
                "year": years,
            }
        ),
        {"broken rows": int((~whole).sum())} if not whole.all() else {},
    )


def movietweetings(ratings: Path, movies: Path) -> RawTables:
    """Read MovieTweetings' ``::`` files: every rating is an interaction."""
    rated = _lines(ratings).str.extract(r"^(\d+)::(\d+)::\d+::(\d+)$")
    about = _lines(movies).str.extract(r"^(\d+)::(.*?)(?: \((\d{4})\))?::([^:]*)$")
    whole, known = rated.notna().all(axis=1), about[0].notna()
    rated, about = rated[whole], about[known].fillna("")
    titles = cleaned(about[1])
    years = pd.to_numeric(about[2], errors="coerce").astype("Int64")
    genres = cleaned(about[3]).str.replace("|", ", ")
    items = pd.DataFrame(
        {
            "key": about[0],
            "text": described(titles, years, genres),
            "title": titles,
            "genres": genres,
            "year": years,
        }
    )
    interactions = pd.DataFrame(
        {"user": rated[0], "item": rated[1], "time": rated[2].astype(np.float64)}
    )
    broken = int((~whole).sum() + (~known).sum())
    return RawTables(interactions, items, {"broken rows": broken} if broken else {})


def atomic(path: Path, *needed: str) -> pd.DataFrame:
    """Return one of RecBole's atomic files as text, the types taken off the column names.

    Raises
    ------
    InputError
        It is no such table, or has not the columns that are needed.
    """
    try:
        table = pd.read_csv(
            io.StringIO(decoded(path)), sep="\t", dtype=str, quoting=3, keep_default_na=False
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as fault:
        why = str(fault).strip().splitlines()[-1]
        raise InputError(f"{path} is no table in columns ({why}): get the file again") from None
    table = table.rename(columns=lambda name: str(name).partition(":")[0])
    lacking = [name for name in needed if list(table.columns).count(name) != 1]
    if lacking:
        raise InputError(f"{path} has not one column {lacking[0]!r}: get the file again")
    return table.fillna("")  # of a row that is too short


def cleaned(texts: Iterable[str]) -> pd.Series:
    """Return ``clean`` of each text, as a column with the same index."""
    index = texts.index if isinstance(texts, pd.Series) else None
    return pd.Series([clean(text) for text in texts], index=index, dtype="str")


def decoded(path: Path) -> str:
    """Return a text file's content.

    Raises
    ------
    InputError
        It is not UTF-8; the line is named.
    """
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        raise InputError(
            f"{path} has bytes that are not UTF-8 in line {line}: save it as UTF-8"
        ) from None


def _lines(path: Path) -> pd.Series:
    return pd.Series(decoded(path).split("\n"), dtype="str").loc[lambda line: line != ""]
