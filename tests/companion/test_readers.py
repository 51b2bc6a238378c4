"""Untrusted files: what is read, what is refused, and that nothing in them runs."""

import gzip
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.data import cleaning, readers, tables
from lib.core import InputError

RATINGS = """user_id,parent_asin,rating,timestamp
AE2,B01,5.0,1500000000123
AE2,B02,4.0,1400000000000
AE1,B01,1.0,1300000000000
"""


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("Command &amp; Conquer", "Command & Conquer"),
        ("Command &amp;amp; Conquer", "Command & Conquer"),
        ("Game Boy&reg;&nbsp; Color\n", "Game Boy® Color"),
        ("a\x00b\u2028 c\x1b[1m", "ab c[1m"),
        ("half \ud83d of a pair", "half of a pair"),
        ("<b>bold</b> &lt;i&gt;", "<b>bold</b> <i>"),
        ("AT&T & R&D;", "AT&T & R&D;"),
        (" \t ", ""),
    ],
)
def test_clean(written: str, plain: str) -> None:
    assert cleaning.clean_text(written) == plain


@settings(deadline=None)
@given(st.text())
def test_clean_text_is_clean_and_can_be_stored(text: str) -> None:
    plain = cleaning.clean_text(text)
    assert cleaning.clean_text(plain) == plain
    plain.encode("utf-8")


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def test_a_zip_gives_a_member_by_name(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {"a": b"1", "b": b"2"})
    assert readers.zip_member(path, "b") == b"2"


def test_a_zip_that_is_damaged_missing_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path / "a.zip", {"a": bytes(10_000)})
    with pytest.raises(InputError, match="no member b"):
        readers.zip_member(path, "b")
    monkeypatch.setattr(readers, "MEMBER_LIMIT", 9_999)
    with pytest.raises(InputError, match="unpacks to more"):
        readers.zip_member(path, "a")
    for data in (path.read_bytes()[:-30], b"", b"PK"):
        path.write_bytes(data)
        with pytest.raises(InputError, match="cannot be read as zip"):
            readers.zip_member(path, "a")


def test_movietweetings_lines(tmp_path: Path) -> None:
    movies, ratings = tmp_path / "movies.dat", tmp_path / "ratings.dat"
    movies.write_text("0000001::Face::Off &amp; On (1997)::Action|Crime\n0000002::No year::\nx\n")
    ratings.write_text("1::0000001::9::1381945744\n2::0000002::10::1382400295\n3::0000001::10\n")
    raw = readers.movietweetings(ratings, movies)
    assert raw.items["text"].tolist() == ["Face::Off & On (1997). Action, Crime", "No year"]
    assert raw.items["key"].tolist() == ["0000001", "0000002"]
    assert raw.interactions["time"].tolist() == [1381945744, 1382400295]
    assert raw.faults == {"broken rows": 2}


def json_files(folder: Path, interactions: object, items: object) -> tuple[Path, Path]:
    paths = folder / "x.inter.json", folder / "x.item.json"
    for path, content in zip(paths, (interactions, items), strict=True):
        path.write_text(json.dumps(content))
    return paths


def product(title: str, description: str = "") -> dict[str, str]:
    return {
        "title": title, "description": description, "brand": "3M &amp; Co.",
        "categories": "Test, Measure & Inspect,Scales",
    }  # fmt: skip


def test_scientific_is_in_order_without_the_makers_full_stops(tmp_path: Path) -> None:
    items = {
        "0": product("A 1/2 scale.", "."),
        "1": product("B.", "Heavy. Long..."),
        "2": product(""),
    }
    paths = json_files(tmp_path, {"7": [1, 0], "8": [1]}, items)
    raw = readers.scientific(*paths)
    assert raw.interactions.to_dict("list") == {
        "user": ["7", "7", "8"], "item": ["1", "0", "1"], "time": [0.0, 1.0, 0.0],
    }  # fmt: skip
    assert raw.items["text"].tolist() == [
        "A 1/2 scale. Test, Measure & Inspect, Scales. 3M & Co.",
        "B. Test, Measure & Inspect, Scales. 3M & Co.. Heavy. Long",
    ]
    chosen = readers.scientific(*paths, fields=["description", "brand"])
    assert chosen.items["text"].tolist() == ["3M & Co.", "Heavy. Long. 3M & Co."]
    assert chosen.items["key"].tolist() == ["0", "1"]


@pytest.mark.parametrize(
    ("interactions", "items", "words"),
    [
        ([1], {}, "no JSON object"),
        ({"7": 1}, {}, "not lists of items by user"),
        ({"7": [0]}, {"0": {"title": "A"}}, "fields by item"),
        ({"7": [0]}, {"0": "A"}, "fields by item"),
        ({"7": [0]}, {"0": product("A") | {"brand": 7}}, "fields by item"),
    ],
)
def test_what_is_not_scientific_is_one_sentence(
    tmp_path: Path, interactions: object, items: object, words: str
) -> None:
    with pytest.raises(InputError, match=words) as fault:
        readers.scientific(*json_files(tmp_path, interactions, items))
    assert "\n" not in str(fault.value)


def test_json_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    for content in ("{", "", "[" * 100_000, '{"a": 1'):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(InputError, match="cannot be read as JSON"):
            readers.scientific(tmp_path / "a.json", tmp_path / "a.json")


def test_bytes_that_are_no_utf8_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes("eins\nzwei\ndréi\n".encode("latin-1"))
    with pytest.raises(InputError, match="line 3"):
        tables.decoded(path)


def amazon_files(folder: Path, ratings: str, lines: list[str], suffix: str) -> tuple[Path, Path]:
    opened = gzip.open if suffix else open
    paths = folder / f"Games.csv{suffix}", folder / f"meta_Games.jsonl{suffix}"
    for path, content in zip(paths, (ratings, "\n".join(lines)), strict=True):
        with opened(path, "wt", encoding="utf-8") as file:
            file.write(content)
    return paths


def about(key: str, **fields: object) -> str:
    return json.dumps({"parent_asin": key, "title": "T " + key} | fields)


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_amazon_2023_form(tmp_path: Path, suffix: str) -> None:
    lines = [
        about("B00"),  # nobody has it
        about(
            "B01",
            title="Doom &amp; Gloom \ud83d",
            categories=["Video Games", "PC"],
            features=["Fast", ""],
            description=["One.", "Two <br/>"],
            details={"x": 1},
        ),
        about("B02", title=None, categories=None, features=[], description="D" * 5000),
    ]
    raw = readers.amazon(*amazon_files(tmp_path, RATINGS, lines, suffix))
    assert raw.interactions.astype({"user": str, "item": str}).to_dict("list") == {
        "user": ["AE2", "AE2", "AE1"],
        "item": ["B01", "B02", "B01"],
        "time": [1500000000.123, 1400000000.0, 1300000000.0],
    }
    texts = dict(zip(raw.items["key"], raw.items["text"], strict=True))
    assert texts["B01"] == "Doom & Gloom. Video Games, PC. Fast. One., Two <br/>"
    assert texts["B02"] == "D" * readers.LENGTH
    paths = tuple(tmp_path / f"{stem}{suffix}" for stem in ("Games.csv", "meta_Games.jsonl"))
    chosen = readers.amazon(*paths, fields=["features", "title"]).items
    assert chosen["text"].tolist() == ["Fast. Doom & Gloom", ""]
    assert chosen["title"].tolist() == ["Doom & Gloom", ""]
    assert list(texts) == ["B01", "B02"]
    assert raw.faults == {"broken rows": 0, "broken lines of metadata": 0}


def test_amazon_2023_broken_rows_are_counted(tmp_path: Path) -> None:
    ratings = RATINGS + "AE3,B01\nAE3,B01,5.0,never\n,B01,5.0,1300000000000\nAE3,B02,1,2,3\n"
    lines = [about("B01"), "", about("B02")[:-1], "{}", '{"parent_asin": "B02", "title": 7}']
    raw = readers.amazon(*amazon_files(tmp_path, ratings, lines, ".gz"))
    assert len(raw.interactions) == 3
    assert raw.faults == {"broken rows": 4, "broken lines of metadata": 2}
    assert raw.items["text"].tolist() == ["T B01", "7"]


def test_amazon_2023_in_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "BLOCK", 256)
    rows = [f"U{n % 7},B{n % 11},5.0,{n * 1000}" for n in range(500)]
    ratings = "\n".join([RATINGS.splitlines()[0], *rows])
    raw = readers.amazon(*amazon_files(tmp_path, ratings, [about("B1")], ".gz"))
    assert raw.interactions["user"].astype(str).tolist() == [f"U{n % 7}" for n in range(500)]
    assert raw.interactions["time"].tolist() == list(range(500))


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("fault", ["truncated", "no gzip"])
def test_a_damaged_amazon_file_is_one_sentence(tmp_path: Path, which: int, fault: str) -> None:
    rows = [f"U{n},B{n},5.0,{n}" for n in range(5000)]
    ratings = "\n".join([RATINGS.splitlines()[0], *rows])
    paths = amazon_files(tmp_path, ratings, [about(f"B{n}") for n in range(5000)], ".gz")
    data = paths[which].read_bytes()
    paths[which].write_bytes(data[: len(data) // 2] if fault == "truncated" else b"plain text\n")
    with pytest.raises(InputError, match="get the file again") as raised:
        readers.amazon(*paths)
    assert "\n" not in str(raised.value)


def test_amazon_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="user_id, parent_asin, timestamp"):
        readers.amazon(*amazon_files(tmp_path, "user,item\n1,2\n", [about("B1")], ".gz"))


def test_an_amazon_file_with_no_row_of_its_header_is_one_sentence(tmp_path: Path) -> None:
    header, *rows = RATINGS.splitlines()
    for text in (header + "\n", "\n".join([header + ",more", *rows])):
        with pytest.raises(InputError, match="no row with its header's columns: get the file"):
            readers.amazon(*amazon_files(tmp_path, text, [about("B01")], ".gz"))


def atomic_files(tmp_path: Path, *ratings: str) -> tuple[Path, Path]:
    inter, item = tmp_path / "x.inter", tmp_path / "x.item"
    inter.write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *ratings]))
    item.write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n1\tA\t1990\tDrama"
    )
    return inter, item


def test_broken_rows_of_movielens_are_counted(tmp_path: Path) -> None:
    rows = ("7\t1\t100", "8\t1\tnever", "9\t1", "6\t1\tinf", "5\t1\t200", "4\t1\t5\t6")
    raw = readers.movielens(*atomic_files(tmp_path, *rows))
    assert list(raw.interactions["user"]) == ["7", "5"]
    assert list(raw.interactions["time"]) == [100.0, 200.0]
    assert raw.faults == {"broken rows": 4}
    assert readers.movielens(*atomic_files(tmp_path, rows[0])).faults == {"broken rows": 0}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("user_id:token\titem_id:token\n1\t2", "no column 'timestamp'"),
        ("user_id:token\titem_id:token\ttimestamp:float\titem_id:float\n1\t2\t3\t4",
         "the column 'item_id' twice"),
        ("", "cannot be read as inter"),
    ],
)  # fmt: skip
def test_what_is_no_atomic_file_is_one_sentence(tmp_path: Path, content: str, words: str) -> None:
    inter, item = atomic_files(tmp_path)
    inter.write_text(content)
    with pytest.raises(InputError, match=words) as fault:
        readers.movielens(inter, item)
    assert "\n" not in str(fault.value)


def test_amazon_2023_keys_that_are_no_text_are_left_out(tmp_path: Path) -> None:
    ratings, metadata = tmp_path / "r.csv", tmp_path / "m.jsonl"
    ratings.write_text("user_id,parent_asin,rating,timestamp\nu,B1,5,1000\n")
    keys = ('"B1"', '["B1"]', '{"B1": 1}', "1", "null", r'"\ud800"', r'"\u0042" ')
    metadata.write_text("\n".join(f'{{"parent_asin": {key}, "title": "T"}}' for key in keys))
    raw = readers.amazon(ratings, metadata)
    assert list(raw.items["key"]) == ["B1"]
    assert raw.faults == {"broken rows": 0, "broken lines of metadata": 2}


def test_a_year_that_is_none_is_left_out(tmp_path: Path) -> None:
    inter, item = atomic_files(tmp_path, "7\t1\t100")
    head, first = item.read_text().split("\n")
    years = ("1990", "1990.5", "1e300", "inf", "", "19")
    item.write_text("\n".join([head, *(first.replace("1990", year) for year in years)]))
    raw = readers.movielens(inter, item)
    assert list(raw.items["text"]) == ["A (1990). Drama", *["A. Drama"] * 5]
