"""A directory of one's own: every format gives the same dataset, and every fault is named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from companion import data
from companion.__main__ import main
from companion.data import folder
from lib.core import InputError

pytestmark = pytest.mark.usefixtures("cache_folder")

DRAW = np.random.default_rng(0)
N_USERS, N_ITEMS = 12, 9
INTERACTIONS = pd.DataFrame(
    {
        "user_id": np.repeat(np.arange(1, N_USERS + 1), 6),
        "item_id": 95 + (np.arange(N_USERS)[:, None] + np.arange(6)).ravel() % N_ITEMS,
        "timestamp": DRAW.permutation(N_USERS * 6) + 1_400_000_000.5,
    }
)
ITEMS = pd.DataFrame(
    {
        "item_id": np.arange(N_ITEMS) + 95,
        "title": [f"Film {n} &amp; more" for n in range(N_ITEMS)],
        "year": np.arange(1990, 1990 + N_ITEMS),
        "genres": ["drama", "", "war, love", *["comedy"] * (N_ITEMS - 3)],
        "poster": "https://example.org/x.jpg",
        "imdb_id": [f"tt{n}" for n in range(N_ITEMS)],
    }
)
ATOMIC = {
    "user_id": "user_id:token",
    "item_id": "item_id:token",
    "timestamp": "timestamp:float",
    "title": "title:token_seq",
    "genres": "genres:token_seq",
    "year": "year:float",
    "poster": "poster:token",
    "imdb_id": "imdb_id:token",
}


def write(
    place: Path,
    interactions: pd.DataFrame | None = INTERACTIONS,
    items: pd.DataFrame | None = ITEMS,
    form: str = "csv",
) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for stem, table in (("interactions", interactions), ("items", items)):
        if table is None:
            continue
        if form == "parquet":
            table.to_parquet(place / f"{stem}.parquet")
        elif form == "atomic":
            suffix = "inter" if stem == "interactions" else "item"
            path = place / f"{stem}.{suffix}"
            table.rename(columns=ATOMIC).to_csv(path, sep="\t", index=False)
        else:
            comma = "\t" if form == "tsv" else ","
            table.to_csv(place / f"{stem}.{form}", sep=comma, index=False)
    return place


def test_a_folder_in_order(tmp_path: Path) -> None:
    place = write(tmp_path / "mine")
    assert folder.validate(place) == []
    dataset = data.load(str(place))
    assert dataset.name == "mine"
    assert dataset.items["key"].tolist() == [str(n) for n in range(95, 95 + N_ITEMS)]
    assert dataset.items["text"][:3].tolist() == [
        "Film 0 & more. drama",
        "Film 1 & more",
        "Film 2 & more. war, love",
    ]
    assert dataset.items["title"][0] == "Film 0 & more"
    assert dataset.card["after"]["interactions"] == len(INTERACTIONS)
    assert dataset.times is not None
    assert set(dataset.times.data) <= set(INTERACTIONS["timestamp"])


@pytest.mark.parametrize("form", ["tsv", "parquet", "atomic"])
def test_every_format_is_the_same_dataset(tmp_path: Path, form: str) -> None:
    expected = data.load(str(write(tmp_path / "csv"))).digest
    assert data.load(str(write(tmp_path / form, form=form))).digest == expected


@pytest.mark.parametrize("split", ["random", "temporal"])
def test_the_order_of_rows_changes_nothing(tmp_path: Path, split: str) -> None:
    expected = data.load(str(write(tmp_path / "a")), split=split)
    shuffled = INTERACTIONS.sample(frac=1, random_state=1), ITEMS.sample(frac=1, random_state=2)
    found = data.load(str(write(tmp_path / "b", *shuffled)), split=split)
    assert found.digest == expected.digest
    pd.testing.assert_frame_equal(found.items, expected.items)


def test_other_names_of_columns_and_forms_of_time(tmp_path: Path) -> None:
    seconds = INTERACTIONS["timestamp"].round()
    expected = data.load(str(write(tmp_path / "a", INTERACTIONS.assign(timestamp=seconds))))
    for name, times in {
        "milliseconds": seconds * 1000,
        "iso": pd.to_datetime(seconds, unit="s", utc=True).dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "instants": pd.to_datetime(seconds, unit="s"),
    }.items():
        table = INTERACTIONS.assign(timestamp=times).rename(
            columns={"user_id": "User", "item_id": "parent_asin", "timestamp": "time"}
        )
        items = ITEMS.rename(columns={"item_id": "item"})
        form = "parquet" if name == "instants" else "csv"
        assert data.load(str(write(tmp_path / name, table, items, form))).digest == expected.digest


def test_lists_of_text_in_parquet_are_joined(tmp_path: Path) -> None:
    items = ITEMS[["item_id", "title"]].assign(tags=[["a", "b"]] * N_ITEMS)
    dataset = data.load(str(write(tmp_path / "a", items=items, form="parquet")))
    assert dataset.items["text"][0] == "Film 0 & more. a, b"


def test_without_times_only_a_random_split(tmp_path: Path) -> None:
    place = write(tmp_path / "a", INTERACTIONS.drop(columns="timestamp"))
    assert data.load(str(place)).times is None
    with pytest.raises(InputError, match="no times"):
        data.load(str(place), split="temporal")


def test_what_can_be_mended_is_noted_and_counted(tmp_path: Path) -> None:
    late = INTERACTIONS.iloc[:2].assign(timestamp=2e9)
    place = write(
        tmp_path / "a",
        pd.concat([late, INTERACTIONS]),
        pd.concat([ITEMS.assign(title="", genres=ITEMS["genres"]), ITEMS.iloc[:1]]),
    )
    with (place / "interactions.csv").open("a") as file:
        file.write("1\n,95,3\n")
    notes = folder.validate(place)
    words = ("more than once", "without text", "again", "another length", "without a user")
    assert [word for word in words
            if not any(word in note for note in notes)] == []  # fmt: skip
    assert all(note.startswith("note: ") for note in notes)
    dataset = data.load(str(place))
    assert dataset.card["removed"]["duplicate pairs"] == 2
    assert dataset.card["removed"]["broken rows"] == 2
    assert dataset.card["text_coverage"] == (N_ITEMS - 1) / N_ITEMS
    assert dataset.times is not None
    assert dataset.times.data.max() < 2e9  # the earliest of a pair was kept
    assert dataset.items["text"][0] == "Film 0 & more. drama"


FATAL = {
    "no table of interactions": {"interactions": None},
    "no table of items": {"items": None},
    "no column user or user_id": {"interactions": INTERACTIONS.drop(columns="user_id")},
    "no column item or item_id": {"items": ITEMS.drop(columns="item_id")},
    "without a row in its table of items, such as '95'": {"items": ITEMS.iloc[1:]},
    "first 'soon' in data row 1": {"interactions": INTERACTIONS.assign(timestamp="soon")},
    "no user is left": {"interactions": INTERACTIONS.iloc[:20]},
}


@pytest.mark.parametrize("word", FATAL)
def test_what_cannot_be_mended_is_one_sentence(tmp_path: Path, word: str) -> None:
    place = write(tmp_path / "a", **FATAL[word])
    assert any(word in problem for problem in folder.validate(place))
    with pytest.raises(InputError) as fault:
        data.load(str(place))
    assert word in str(fault.value)
    assert "\n" not in str(fault.value)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    table = INTERACTIONS.assign(timestamp="soon").drop(columns="item_id")
    place = write(tmp_path / "a", table, ITEMS.drop(columns="item_id"))
    problems = folder.validate(place)
    assert len(problems) == 3
    for word in ("interactions.csv has no column item", "are no time", "items.csv has no column"):
        assert any(word in problem for problem in problems)


def test_rows_are_numbered_as_in_the_file(tmp_path: Path) -> None:
    place = write(tmp_path / "a")
    lines = (place / "interactions.csv").read_text().splitlines()
    lines[5:6] = ["1,2", "1,95,soon"]
    (place / "interactions.csv").write_text("\n".join(lines))
    problems = " ".join(folder.validate(place))
    assert "'soon' in data row 6" in problems
    assert "data row 5 with 2 fields instead of 3" in problems


def test_bytes_that_are_no_utf8_are_named_with_their_line(tmp_path: Path) -> None:
    place = write(tmp_path / "a")
    text = (place / "items.csv").read_text().replace("Film 3", "Filmé")
    (place / "items.csv").write_bytes(text.encode("latin-1"))
    (problem,) = folder.validate(place)
    assert "not UTF-8 in line 5" in problem


@pytest.mark.parametrize("stem", ["interactions", "items"])
@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02", b'"'])
def test_files_of_rubbish_are_named(tmp_path: Path, stem: str, form: str, content: bytes) -> None:
    place = write(tmp_path / "a", form=form)
    (place / f"{stem}.{form}").write_bytes(content)
    assert any(f"{stem}.{form}" in problem for problem in folder.validate(place))
    with pytest.raises(InputError):
        data.load(str(place))


def test_two_formats_a_doubled_column_and_no_folder_are_named(tmp_path: Path) -> None:
    place = write(write(tmp_path / "a"), form="tsv")
    assert "keep one of them" in folder.validate(place)[0]
    doubled = write(tmp_path / "b", INTERACTIONS.rename(columns={"timestamp": "user_id"}))
    assert "twice" in folder.validate(doubled)[0]
    (problem,) = folder.validate(tmp_path / "none")
    assert "not a directory" in problem


def test_text_with_commas_quotes_and_lines_survives(tmp_path: Path) -> None:
    items = ITEMS[["item_id"]].assign(title='A "quoted", long\nstory\t7"')
    for form in ("csv", "tsv", "parquet"):
        dataset = data.load(str(write(tmp_path / form, items=items, form=form)))
        assert dataset.items["text"][0] == 'A "quoted", long story 7"'


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    place = write(tmp_path / "a")
    path = place / "interactions.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert folder.validate(place) == []


@pytest.mark.parametrize("form", ["csv", "atomic"])
def test_empty_lines_before_the_header_change_nothing(tmp_path: Path, form: str) -> None:
    place = write(tmp_path / "a", form=form)
    expected = data.load(str(place)).digest
    for path in place.iterdir():
        path.write_bytes(b"\r\n\n" + path.read_bytes())
    assert data.load(str(place)).digest == expected


def test_another_content_is_another_dataset(tmp_path: Path) -> None:
    place = write(tmp_path / "a")
    before = data.load(str(place)).digest
    write(place, INTERACTIONS.iloc[6:])
    assert data.load(str(place)).digest != before


def test_a_column_without_its_name_hides_no_other_fault(tmp_path: Path) -> None:
    table = INTERACTIONS.rename(columns={"user_id": "file"}).assign(timestamp="yesterday")
    problems = folder.validate(write(tmp_path / "a", table, ITEMS.iloc[2:]))
    assert [
        word
        for word in ("no column user", "first 'yesterday'", "2 items of the interactions")
        if not any(word in problem for problem in problems)
    ] == []
    assert len(problems) == 3


def test_too_few_interactions_are_told_beside_other_faults(tmp_path: Path) -> None:
    problems = folder.validate(write(tmp_path / "a", INTERACTIONS.iloc[:20], ITEMS.iloc[1:]))
    assert len(problems) == 2
    assert "no user is left" in problems[1]


def test_an_untrusted_column_name_does_nothing_to_a_terminal(tmp_path, capsys):
    (tmp_path / "interactions.csv").write_text("user\x1b[2J\x0cid,item_id\n1,2\n")
    (tmp_path / "items.csv").write_text("item_id,title\n2,x\n")
    assert main(["validate", str(tmp_path)]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert r"its columns: user\x1b[2J\x0cid, item_id" in said


def test_a_parquet_column_whose_name_is_no_text_is_refused(tmp_path, capsys):
    (tmp_path / "items.csv").write_text("item_id,title\n2,x\n")
    table = pa.table({"user_id": ["1"], "item_id": ["2"], "rating": ["3"]})
    parquet.write_table(table, tmp_path / "whole.parquet", store_schema=False)
    spoilt = (tmp_path / "whole.parquet").read_bytes().replace(b"rating", b"ratin\xe5")
    (tmp_path / "interactions.parquet").write_bytes(spoilt)
    assert main(["validate", str(tmp_path)]) == 2
    assert "cannot be read as parquet ('utf-8' codec" in capsys.readouterr().err
