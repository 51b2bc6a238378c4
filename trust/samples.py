"""Every reader of what strangers write, with sound input for each."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from companion import chapter, data, execute
from companion.data import amazon, folder, pickles, readers, synthetic
from lib import claims
from lib.core import InputError
from lib.encoders import text
from lib.stats import Estimate

Read = Callable[[Path, bytes], object]


@dataclass(frozen=True)
class Reader:
    """What is read, how, and from which sound inputs."""

    name: str
    read: Read
    sound: tuple[bytes, ...]


def _table(*lines: str) -> bytes:
    return "\n".join(lines).encode()


USERS = [f"u{n % 7}\ti{n % 5}\t{1_000_000_000 + n}" for n in range(40)]
CSV = _table("user_id,item_id,timestamp", *(row.replace("\t", ",") for row in USERS))
INTER = _table("user_id:token\titem_id:token\ttimestamp:float", *USERS)
ABOUT = _table(
    "item_id,title,text,price",
    *(f'i{n},"Title, {n}","A <b>text</b> & more",{n}' for n in range(5)),
)
FILMS = _table(
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
    *(f"i{n}\tFilm {n}\t199{n}\tDrama War" for n in range(5)),
)
TWEETED = _table(*(f"{n % 7}::{n % 5}::8::{1_000_000_000 + n}" for n in range(40)))
MOVIES = _table(*(f"{n}::Film {n} (199{n})::Drama|War" for n in range(5)))
RATINGS = _table(
    "user_id,parent_asin,rating,timestamp",
    *(f"U{n % 7},B{n % 5},5.0,{10**12 + n}" for n in range(40)),
)
METADATA = _table(
    *(
        json.dumps({"parent_asin": f"B{n}", "title": f"T {n}", "features": ["a", "b"],
                    "description": [], "categories": ["Games"], "price": None})
        for n in range(5)
    )
)  # fmt: skip
ENCODERS = (b"BAAI/bge-m3", b"vectors.npy", b"genres", b"../model", b"sentence-transformers/x")
WORDS = (b"ml-100k@k=50,seeds=1", b"games-2018", b"data/own@split=temporal", b"50", b"[1, 2]",
         b"{'a': 1}", b"1e-3", b"None")  # fmt: skip
RULES = (b"a.mean < 0.5 and b.low > 0.5", b"-a.n * 2 >= b.high")


def all_readers() -> list[Reader]:
    """Return every reader with its sound inputs."""
    interactions = _folder("interactions.csv", "items.csv", ABOUT)
    items = _folder("items.csv", "interactions.csv", CSV)
    inter = _folder("interactions.inter", "items.item", FILMS)
    item = _folder("items.item", "interactions.inter", INTER)
    parquet = _folder("items.parquet", "interactions.csv", CSV)
    movielens = _pair(readers.movielens, INTER, FILMS)
    tweets = _pair(readers.movietweetings, TWEETED, MOVIES)
    packed = (gzip.compress(METADATA, mtime=0),)
    return [
        Reader("CSV folder: interactions", interactions, (CSV,)),
        Reader("CSV folder: items", items, (ABOUT,)),
        Reader("RecBole .inter folder", inter, (INTER,)),
        Reader("RecBole .item folder", item, (FILMS,)),
        Reader("parquet folder", parquet, (_parquet(),)),
        Reader("MovieLens .inter and .item", movielens, (INTER, FILMS)),
        Reader("MovieTweetings .dat", tweets, (TWEETED, MOVIES)),
        Reader("Amazon 2023 CSV and JSON lines", _pair(amazon.read, RATINGS, METADATA),
               (RATINGS, METADATA)),
        Reader("gzip of JSON lines", _packed, packed),
        Reader("pickled table", _unpickle, _pickles()),
        Reader("zip of pickles", _zip, (_archive(),)),
        Reader("npy of vectors", _npy, _arrays()),
        Reader("notebook parameters", _parameters, WORDS),
        Reader("a chapter's namespace", _namespace, WORDS),
        Reader("dataset names", _dataset, WORDS),
        Reader("encoder names", _encoder, ENCODERS),
        Reader("rules of verdicts", _rule, RULES),
    ]  # fmt: skip


def _words(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _folder(name: str, other: str, sound: bytes) -> Callable[[Path, bytes], object]:
    def read(place: Path, content: bytes) -> object:
        own = place / "own"
        own.mkdir()
        (own / name).write_bytes(content)
        (own / other).write_bytes(sound)
        found = folder.inspect(own)
        if found.raw is None:
            raise InputError(found.fatal[0])
        return _checked(found.raw)

    return read


def _pair(
    read_both: Callable[[Path, Path], readers.RawTables], first: bytes, second: bytes
) -> Callable[[Path, bytes], object]:
    """Return a reader of two files, whichever of them it is that was spoiled."""

    def read(place: Path, content: bytes) -> object:
        spoils_first = abs(len(content) - len(first)) < abs(len(content) - len(second))
        (place / "1").write_bytes(content if spoils_first else first)
        (place / "2").write_bytes(second if spoils_first else content)
        return _checked(read_both(place / "1", place / "2"))

    return read


def _packed(place: Path, content: bytes) -> object:
    (place / "r.csv").write_bytes(RATINGS)
    (place / "m.jsonl.gz").write_bytes(content)
    return _checked(amazon.read(place / "r.csv", place / "m.jsonl.gz"))


def _unpickle(_: Path, content: bytes) -> object:
    return pickles.table(content, "table.pkl")


def _dataset(_: Path, content: bytes) -> object:
    return data.load(_words(content))


def _checked(raw: readers.RawTables) -> readers.RawTables:
    """Return what was read if its texts are texts that can be stored, on one line each."""
    for column in (raw.items["text"], raw.items["key"], raw.interactions["item"]):
        values = column.astype(str)
        values.str.encode("utf-8")
        if column is raw.items["text"]:
            assert not values.str.contains(r"[\x00-\x1f]", regex=True).any(), "a control character"
    assert all(count > 0 for count in raw.faults.values())
    return raw


def _parquet() -> bytes:
    out = io.BytesIO()
    table = pd.DataFrame({"item_id": [f"i{n}" for n in range(5)], "title": list("abcde")})
    table.to_parquet(out, index=False)
    return out.getvalue()


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


def pickled(value: object) -> bytes:
    """Return a pickle with the names that pandas 2 wrote, as the published files have them."""
    content = pickle.dumps(value, protocol=3)
    for name, module in ((b"DataFrame", b"frame"), (b"Index", b"indexes.base"),
                         (b"RangeIndex", b"indexes.range")):  # fmt: skip
        content = content.replace(b"cpandas\n" + name, b"cpandas.core." + module + b"\n" + name)
    return content


def _users() -> pd.DataFrame:
    table = pd.DataFrame({"UserID": [1, 2], "ItemID": [[3], [4]], "Timestamp": [[5], [6]]})
    return table.set_axis(table.columns.astype(object), axis=1)


def _pickles() -> tuple[bytes, ...]:
    hostile = [eval, os.system, _Runs(), (_Runs(), _users()), {"a": 1}, pd.Series([1])]
    return tuple(pickled(one) for one in (_users(), _users(), _users(), *hostile))


def _archive() -> bytes:
    titles = pd.DataFrame({"ItemID": [3, 4], "Title": pd.Series(["a", "b"], dtype=object)})
    titles.columns = titles.columns.astype(object)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("user2item.pkl", pickled(_users()))
        archive.writestr("item2title.pkl", pickled(titles))
    return out.getvalue()


def _zip(place: Path, content: bytes) -> object:
    (place / "proc.zip").write_bytes(content)
    return _checked(readers.seqrec(place / "proc.zip"))


def _arrays() -> tuple[bytes, ...]:
    out = []
    for array in (np.ones((5, 3), np.float32), np.ones((5, 3)), np.arange(15).reshape(5, 3)):
        file = io.BytesIO()
        np.save(file, array)
        out.append(file.getvalue())
    file = io.BytesIO()
    np.save(file, np.array([_Runs()] * 5, dtype=object), allow_pickle=True)
    return (*out, file.getvalue())


def _npy(place: Path, content: bytes) -> object:
    (place / "v.npy").write_bytes(content)
    return text._from_file(place / "v.npy", 5)


def _parameters(_: Path, content: bytes) -> object:
    words = _words(content)
    execute.literal(words)
    name, values = execute.variant(words)
    slug = execute.slug(words)
    assert "/" not in slug and ".." not in slug.split("/"), slug
    return name, values


SMALL = replace(synthetic.world(n_users=30, n_items=20, seed=3).dataset, vectors=None)


def _namespace(_: Path, content: bytes) -> object:
    values: dict[str, Any] = {"dataset": "synthetic", "split": "random", "seed": 0, "seeds": 1,
                              "k": 5, "encoder": "minilm", "device": "cpu"}  # fmt: skip
    words = _words(content)
    name = sorted(values)[len(words) % len(values)]
    values[name] = execute.literal(words)
    return chapter.begin("01-data", values)


def _encoder(_: Path, content: bytes) -> object:
    return text.encode(SMALL, _words(content))


def _rule(_: Path, content: bytes) -> object:
    value = Estimate(0.3, 0.2, 0.4, 9)
    return claims.evaluate(content.decode("utf-8", "replace"), {"a": value, "b": value})
