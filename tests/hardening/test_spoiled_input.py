"""Every reader of untrusted input: it reads or refuses in one sentence; nothing in it runs.

Sound input is spoiled by hypothesis, which also shrinks what fails to the smallest such input.
"""

import gzip
import io
import json
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from pickles_that_run import Attack, pickled

from companion import chapter, data, execute
from companion.data import folder, pickles, readers, synthetic
from lib import claims
from lib.core import InputError
from lib.encoders import text
from lib.stats import Estimate

RAN = "ran"  # the file that an attack would make
TOKENS = (
    b"", b"\x00", b"\n", b"\r\n", b"\r", b'"', b"'", b",", b"\t", b"::", b"|", b"{", b"}", b"[",
    b"]", b"\\", b"\\u0000", b"\\ud800", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b"\xf0\x9f\x92\xa9",
    b"NaN", b"inf", b"-inf", b"null", b"true", b"1e999", b"-1", b"9" * 23, b"0x10",
    b"9" * 400, b"<script>alert(1)</script>", b"<img src=x onerror=alert(1)>", b"{{ 7*7 }}",
    b"```{raw} html", b"&amp;amp;lt;", b"../../etc/passwd", b"C:\\x", b"=cmd|'/c'",
    b"__import__('os').system('touch ran')", b"${HOME}", b"%s%n", b"\x1b[2J", b"\xe2\x80\xae",
    b'{"parent_asin": ["B1"]}', b'{"parent_asin": 1, "title": {"a": [1]}}', b'"parent_asin": "B1"',
    b"2001-02-30T00:00:00Z", b"1970-01-01", b"::::::", b"(1999)", b"[" * 2000, b'{"a":' * 2000,
)  # fmt: skip
SEPARATORS = (b",", b"\t", b"::", b'"', b"\n")


@st.composite
def spoiled(draw: st.DrawFn, sound: tuple[bytes, ...]) -> bytes:
    """Draw a sound input with one to four changes: a span or a field replaced by something else."""
    content = draw(st.sampled_from(sound))
    for _ in range(draw(st.integers(1, 4))):
        fields = content.split(separator := draw(st.sampled_from(SEPARATORS)))
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        anything = st.sampled_from(TOKENS) | st.binary(max_size=12) | st.just(content[start:end])
        if len(fields) > 3 and draw(st.booleans()):
            fields[draw(st.integers(0, len(fields) - 1))] = draw(anything)
            content = separator.join(fields)
        else:
            end = draw(st.sampled_from((start, start + 1, min(end, start + 40), len(content))))
            content = content[:start] + draw(anything) + content[end:]
    return content


class Reader(NamedTuple):
    """What is read, how, and from which sound inputs."""

    name: str
    read: Callable[[Path, bytes], object]
    sound: tuple[bytes, ...]


def _lines(*lines: str) -> bytes:
    return "\n".join(lines).encode()


USERS = [f"u{n % 7}\ti{n % 5}\t{1_000_000_000 + n}" for n in range(40)]
CSV = _lines("user_id,item_id,timestamp", *(row.replace("\t", ",") for row in USERS))
INTER = _lines("user_id:token\titem_id:token\ttimestamp:float", *USERS)
SHOWN = [f'i{n},"Title, {n}","A <b>text</b> & more",{n}' for n in range(5)]
ABOUT = _lines("item_id,title,text,price", *SHOWN)
HEADER = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
FILMS = _lines(HEADER, *(f"i{n}\tFilm {n}\t199{n}\tDrama War" for n in range(5)))
TWEETED = _lines(*(f"{n % 7}::{n % 5}::8::{1_000_000_000 + n}" for n in range(40)))
MOVIES = _lines(*(f"{n}::Film {n} (199{n})::Drama|War" for n in range(5)))
RATED = [f"U{n % 7},B{n % 5},5.0,{10**12 + n}" for n in range(40)]
RATINGS = _lines("user_id,parent_asin,rating,timestamp", *RATED)
METADATA = _lines(*(
    json.dumps({"parent_asin": f"B{n}", "title": f"T {n}", "features": ["a", "b"],
                "description": [], "categories": ["Games"], "price": None}) for n in range(5)
))  # fmt: skip
NAMES = (b"ml-100k@k=50,seeds=1", b"games-2018", b"data/own@split=temporal", b"50", b"[1, 2]",
         b"{'a': 1}", b"1e-3", b"None")  # fmt: skip
ENCODERS = (b"BAAI/bge-m3", b"vectors.npy", b"genres", b"../model", b"sentence-transformers/x")
RULES = (b"a.mean < 0.5 and b.low > 0.5", b"-a.n * 2 >= b.high")
SMALL = replace(synthetic.world(n_users=30, n_items=20, seed=3).dataset, vectors=None)


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    out = io.BytesIO()
    save(out)
    return out.getvalue()


def _table(**columns: list[Any]) -> pd.DataFrame:
    table = pd.DataFrame(columns)
    return table.set_axis(table.columns.astype(object), axis=1)


LISTS = _table(UserID=[1, 2], ItemID=[[3], [4]], Timestamp=[[5], [6]])
TITLES = _table(ItemID=[3, 4], Title=["a", "b"]).astype({"Title": object})
HOSTILE = [eval, os.system, Attack(RAN), (Attack(RAN), LISTS), {"a": 1}, pd.Series([1])]
PARQUET = _table(item_id=[f"i{n}" for n in range(5)], title=list("abcde"))


def _archive(out: io.BytesIO) -> None:
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("user2item.pkl", pickled(LISTS))
        archive.writestr("item2title.pkl", pickled(TITLES))


def _arrays() -> tuple[bytes, ...]:
    plain = (np.ones((5, 3), np.float32), np.ones((5, 3)), np.arange(15).reshape(5, 3))
    objects = np.array([Attack(RAN)] * 5, dtype=object)
    return tuple(_saved(lambda out, a=array: np.save(out, a)) for array in (*plain, objects))


def _folder(name: str, other: str, sound: bytes) -> Callable[[Path, bytes], object]:
    def read(place: Path, content: bytes) -> object:
        (place / name).write_bytes(content)
        (place / other).write_bytes(sound)
        return _checked(folder.read(place))

    return read


def _pair(both: Callable[[Path, Path], Any], *sound: bytes) -> Callable[[Path, bytes], object]:
    """Return a reader of two files, the one that the content resembles more being spoiled."""

    def read(place: Path, content: bytes) -> object:
        spoils = min((0, 1), key=lambda file: abs(len(content) - len(sound[file])))
        for file in (0, 1):
            (place / str(file)).write_bytes(content if file == spoils else sound[file])
        return _checked(both(place / "0", place / "1"))

    return read


def _file(name: str, read: Callable[[Path], object]) -> Callable[[Path, bytes], object]:
    def read_file(place: Path, content: bytes) -> object:
        (place / name).write_bytes(content)
        return read(place / name)

    return read_file


def _packed(metadata: Path) -> object:
    (metadata.parent / "r.csv").write_bytes(RATINGS)
    return _checked(readers.amazon(metadata.parent / "r.csv", metadata))


def _words(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _parameters(_: Path, content: bytes) -> None:
    execute.literal(_words(content))
    execute.variant(_words(content))
    assert not set(execute.slug(_words(content))) & {"/", "\0"}


def _begin(_: Path, content: bytes) -> object:
    given: dict[str, Any] = {"dataset": "synthetic", "split": "random", "seed": 0, "seeds": 1,
                             "k": 5, "encoder": "minilm", "fields": "all",
                             "device": "cpu"}  # fmt: skip
    name = sorted(given)[len(content) % len(given)]
    return chapter.begin("01-data", given | {name: execute.literal(_words(content))})


def _rule(_: Path, content: bytes) -> object:
    value = Estimate(0.3, 0.2, 0.4, 9)
    return claims.evaluate(content.decode("utf-8", "replace"), {"a": value, "b": value})


def _checked(raw: Any) -> Any:
    """Return tables whose texts can be stored, each on one line."""
    for column in (raw.items["text"], raw.items["key"], raw.interactions["item"]):
        column.astype(str).str.encode("utf-8")
    assert not raw.items["text"].astype(str).str.contains(r"[\x00-\x1f]", regex=True).any()
    assert all(count >= 0 for count in raw.faults.values())
    return raw


READERS = (
    Reader("CSV folder: interactions", _folder("interactions.csv", "items.csv", ABOUT), (CSV,)),
    Reader("CSV folder: items", _folder("items.csv", "interactions.csv", CSV), (ABOUT,)),
    Reader("RecBole .inter folder", _folder("interactions.inter", "items.item", FILMS), (INTER,)),
    Reader("RecBole .item folder", _folder("items.item", "interactions.inter", INTER), (FILMS,)),
    Reader("Parquet folder", _folder("items.parquet", "interactions.csv", CSV),
           (_saved(lambda out: PARQUET.to_parquet(out, index=False)),)),
    Reader("MovieLens .inter and .item", _pair(readers.movielens, INTER, FILMS), (INTER, FILMS)),
    Reader("MovieTweetings .dat", _pair(readers.movietweetings, TWEETED, MOVIES),
           (TWEETED, MOVIES)),
    Reader("Amazon 2023 CSV and JSON lines", _pair(readers.amazon, RATINGS, METADATA),
           (RATINGS, METADATA)),
    Reader("gzip of JSON lines", _file("m.jsonl.gz", _packed), (gzip.compress(METADATA),)),
    Reader("pickled table", lambda _, content: pickles.unpickle_table(content, "table.pkl"),
           (*[pickled(LISTS)] * 3, *map(pickled, HOSTILE))),
    Reader("zip of pickles", _file("proc.zip", lambda path: _checked(readers.seqrec(path))),
           (_saved(_archive),)),
    Reader("npy of vectors", _file("v.npy", lambda path: text._from_file(path, 5)), _arrays()),
    Reader("notebook parameters", _parameters, NAMES),
    Reader("parameters of a chapter", _begin, NAMES),
    Reader("dataset names", lambda _, content: data.load(_words(content)), NAMES),
    Reader("encoder names", lambda _, content: text.encode(SMALL, _words(content)), ENCODERS),
    Reader("rules of verdicts", _rule, RULES),
)  # fmt: skip


@pytest.mark.timeout(0)  # 20,000 inputs take some readers a quarter of an hour
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_spoiled_input_is_read_or_refused_in_a_sentence(
    reader: Reader, inputs: int, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPANION_OFFLINE", "1")
    outcomes: Counter[str] = Counter()

    @seeded(0)
    @settings(max_examples=inputs, database=None, deadline=None, phases=(Phase.generate,
              Phase.shrink), suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(spoiled(reader.sound))
    def trial(content: bytes) -> None:
        outcomes[outcome(reader, content, monkeypatch)] += 1

    trial()
    tried = outcomes.total()
    words = f"{outcomes['read']:,} read, {outcomes['refused']:,} refused in a sentence"
    record(reader.name, tried, tried, words)


def outcome(reader: Reader, content: bytes, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return "read" or "refused"; anything else that a reader does is an error here."""
    with tempfile.TemporaryDirectory() as name, monkeypatch.context() as patch:
        patch.chdir(name)
        try:
            reader.read(Path(name), content)
            return "read"
        except InputError as fault:
            assert len(str(fault).strip().splitlines()) == 1, fault
            return "refused"
        finally:
            assert not list(Path(name).rglob(RAN)), "something in the input ran"
