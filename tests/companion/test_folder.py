"""A directory of one's own: every format gives the same dataset, and every fault is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from companion import data
from companion.__main__ import main
from companion.data import folder
from lib.core import InputError
from lib.dataset import Dataset

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
LEFT_OUT = (
    "note: items.csv: the text is made of title, genres; without words, or further ids: year, "
    "poster, imdb_id"
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
            typed = {name: ATOMIC.get(name, f"{name}:token") for name in table}
            table.rename(columns=typed).to_csv(path, sep="\t", index=False)
        else:
            comma = "\t" if form == "tsv" else ","
            table.to_csv(place / f"{stem}.{form}", sep=comma, index=False)
    return place


def test_a_folder_in_order(tmp_path: Path) -> None:
    place = write(tmp_path / "mine")
    assert folder.validate(place) == [LEFT_OUT]
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


def test_lists_are_the_same_text_in_every_form(tmp_path: Path) -> None:
    """CSV had the brackets and quotation marks of Python, NumPy and JSON, Parquet the words."""
    items = ITEMS[["item_id", "title"]].assign(tags=[["a b", "it's"], ["c"], []] * 3)
    expected = loaded(tmp_path / "parquet", items=items, form="parquet").digest
    written = {"python": str, "numpy": lambda of: str(np.array(of)), "json": json.dumps}
    for name, as_words in written.items():
        for form in ("csv", "tsv", "atomic"):
            place = tmp_path / name / form
            table = items.assign(tags=items["tags"].map(as_words))
            assert loaded(place, items=table, form=form).digest == expected
            assert "lists in 6 fields: read as words" in " ".join(folder.validate(place))
    plain = ITEMS[["item_id"]].assign(title="[Rec] 'one', ['two']")
    assert loaded(tmp_path / "plain", items=plain).items["text"][0] == plain["title"][0]


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
    assert "quotation marks around it" not in problems
    lines[5] = "1,2,95,5"
    (place / "interactions.csv").write_text("\n".join(lines))
    problems = " ".join(folder.validate(place))
    assert "data row 5 with 4 fields instead of 3 (one with a comma in it needs" in problems


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
    for form in ("csv", "parquet"):
        place = write(tmp_path / form, items=items, form=form)
        assert data.load(str(place)).items["text"][0] == 'A "quoted", long story 7"'
    (note,) = folder.validate(tmp_path / "csv")
    assert "rows over several lines; see that quotation marks are closed: 9, first" in note


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    place = write(tmp_path / "a")
    path = place / "interactions.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert folder.validate(place) == [LEFT_OUT]


@pytest.mark.parametrize("form", ["csv", "atomic"])
def test_empty_lines_before_the_header_change_nothing(tmp_path: Path, form: str) -> None:
    place = write(tmp_path / "a", form=form)
    expected = data.load(str(place)).digest
    for path in place.iterdir():
        path.write_bytes(b"\r\n\n" + path.read_bytes())
    assert data.load(str(place)).digest == expected


@pytest.mark.parametrize("form", ["csv", "tsv", "atomic"])
@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_ends_of_lines_of_other_systems_change_nothing(tmp_path: Path, form: str, end: str) -> None:
    place = write(tmp_path / "a", form=form)
    expected = data.load(str(place)).digest
    for path in place.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", end.encode()))
    assert data.load(str(place)).digest == expected


@pytest.mark.parametrize(
    ("form", "between"), [("csv", "commas"), ("tsv", "tabs"), ("atomic", "tabs")]
)
@pytest.mark.parametrize("comma", [",", ";", "|", "\t"])
def test_columns_put_together_by_other_marks_are_named(
    tmp_path: Path, form: str, between: str, comma: str
) -> None:
    """An .item of RecBole's with commas was told that no item had a row."""
    place = write(tmp_path / "a", form=form)
    for path in place.iterdir():
        path.write_text(path.read_text().replace("," if form == "csv" else "\t", comma))
    told = folder.validate(place)
    if comma == ("," if form == "csv" else "\t"):
        assert told == [LEFT_OUT.replace("items.csv", next(place.glob("items.*")).name)]
    else:
        assert len(told) == 2 and all(f"put {between} between its columns" in of for of in told)


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
    assert len(problems) == 4 and problems[-1] == LEFT_OUT


def test_too_few_interactions_are_told_beside_other_faults(tmp_path: Path) -> None:
    problems = folder.validate(write(tmp_path / "a", INTERACTIONS.iloc[:20], ITEMS.iloc[1:]))
    assert len(problems) == 3 and problems[-1] == LEFT_OUT
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


def loaded(place: Path, interactions: pd.DataFrame = INTERACTIONS, **written: Any) -> Dataset:
    return data.load(str(write(place, interactions, **written)))


# what a TSV can hold: no line feed or tab
WORDS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=8)
ODD = st.sampled_from(
    ["", "nan", "N/A", " — ", "u1 ", "u1", "e\u0301", "\u00e9", "1.0", "1", '"', '""']
)
NAMED = WORDS | ODD


@st.composite
def tables(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame]:
    n = draw(st.integers(2, 6))
    ids = draw(st.lists(NAMED, min_size=n, max_size=n) | st.just([f"{x}.0" for x in range(n)]))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=n, max_size=n))

    days = st.datetimes(pd.Timestamp("1900").to_pydatetime(), pd.Timestamp("2200").to_pydatetime())
    items = pd.DataFrame({
        "item_id": ids, "title": column(NAMED), "price": column(st.floats(width=32)),
        "year": column(st.integers(-9, 9999)), "adult": column(st.booleans()),
        "released": pd.Series(column(days)).astype("datetime64[ms]"), "words": column(NAMED),
    })  # fmt: skip
    pairs = draw(st.lists(st.tuples(NAMED, st.sampled_from(ids), st.integers(0, 4 * 10**9)),
                          min_size=1, max_size=12))  # fmt: skip
    return pd.DataFrame(pairs, columns=["user_id", "item_id", "timestamp"]), items


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables())
def test_a_random_table_is_the_same_dataset_in_every_form(
    tmp_path_factory: pytest.TempPathFactory, written: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    place = tmp_path_factory.mktemp("forms")
    found = {}
    for form in ("csv", "tsv", "parquet", "atomic"):
        write(place / form, *written, form)
        try:
            dataset = data.load(place / form, k_core=0, split="temporal")
            found[form] = (dataset.digest, dataset.card["before"], dataset.card["removed"])
        except InputError as fault:
            found[form] = str(fault).replace(str(place / form), "")
    assert len(set(map(str, found.values()))) == 1, found


MARKS = ["nan", "NaN", " N/A", "n.a.", "None", "—", "-", "<NA>", "null", "(null)", "", r"\N", "[]"]


@pytest.mark.parametrize("mark", [*MARKS, "#DIV/0!", "#REF!", "-nan", "\u200b"])
def test_a_mark_of_a_missing_value_is_no_text_and_no_id(tmp_path: Path, mark: str) -> None:
    titles = ITEMS.assign(title=[mark, *ITEMS["title"][1:]], genres=mark, year=[mark, *range(8)])
    users = INTERACTIONS["user_id"].astype(str).where(INTERACTIONS["user_id"] > 1, mark)
    place = write(tmp_path / "a", INTERACTIONS.assign(user_id=users), titles)
    dataset = data.load(place)
    assert dataset.items["text"][:2].tolist() == ["", "Film 1 & more"]
    assert (dataset.n_users, dataset.card["removed"]["broken rows"]) == (N_USERS - 1, 6)
    told = " ".join(folder.validate(place))
    assert "6 rows without a user or an item" in told and "1 item without text" in told
    marks = "such as nan: 1 in title, 1 in year, 9 in genres"
    assert (marks in told) == bool(mark)


def test_what_is_not_read_of_the_interactions_is_named(tmp_path: Path) -> None:
    """One star was an interaction like five, and an index without a name went in silence."""
    place = write(
        tmp_path / "a", INTERACTIONS.assign(rating=1, **{" ": 0}), ITEMS.assign(**{"": "x"})
    )
    told = folder.validate(place)
    assert told[0] == (
        "note: interactions.csv: every row counts as an interaction; not read: rating, a column "
        "without a name"
    )
    assert told[1].endswith("poster, imdb_id, a column without a name")


@pytest.mark.parametrize("odd", ["\0", "\u00ad", "\u200d", "\u200f", "\u2066", "\x0b", "\u3000"])
def test_an_invisible_character_makes_no_other_id(tmp_path: Path, odd: str) -> None:
    names = INTERACTIONS["user_id"].map("u{}".format)
    table = INTERACTIONS.assign(user_id=names.where(np.arange(len(names)) % 6 != 1, names + odd))
    assert loaded(tmp_path / "a", table).n_users == N_USERS
    assert "12 ids trimmed; 12 ids then the same" in folder.validate(tmp_path / "a")[0]


def test_a_quotation_mark_escaped_as_in_other_tools_is_noted(tmp_path: Path) -> None:
    place = write(tmp_path / "a")
    path = place / "items.csv"
    path.write_text(path.read_text().replace("Film 3 &amp; more", '"say \\"hi\\" now"'))
    told = folder.validate(place)
    assert told[0] == 'note: items.csv: \\" in 2 places: a quotation mark in a field is written ""'


def test_ids_are_trimmed_composed_and_whole_and_the_notes_count_them(tmp_path: Path) -> None:
    names = INTERACTIONS["user_id"].map("é{}".format)
    expected = loaded(tmp_path / "a", INTERACTIONS.assign(user_id=names))
    odd = names.where(np.arange(len(names)) % 6 != 1, " " + names + "\u00a0")
    odd = odd.where(np.arange(len(names)) % 6 != 2, names.str.normalize("NFD"))
    floats = INTERACTIONS.assign(user_id=odd, item_id=INTERACTIONS["item_id"].astype(float))
    assert loaded(tmp_path / "b", floats).digest == expected.digest
    assert folder.validate(tmp_path / "b")[:2] == [
        "note: interactions.csv, user_id: 12 ids trimmed, 12 ids brought to Unicode's form NFC; "
        "24 ids then the same as another",
        "note: interactions.csv, item_id: 9 ids written as 1.0 read as 1",
    ]
    assert loaded(tmp_path / "c", floats, form="parquet").digest == expected.digest


def test_a_number_among_other_ids_stays_as_it_is_written(tmp_path: Path) -> None:
    table = INTERACTIONS.assign(user_id=INTERACTIONS["user_id"].map("v{}.0".format))
    table.loc[:5, "user_id"] = "1.0"
    assert loaded(tmp_path / "a", table).n_users == N_USERS
    assert folder.validate(tmp_path / "a") == [LEFT_OUT]


def test_long_ids_that_were_floats_are_refused(tmp_path: Path) -> None:
    table = INTERACTIONS.assign(user_id=INTERACTIONS["user_id"] * 1.0e17 + 12345.0)
    for form in ("csv", "parquet"):
        with pytest.raises(InputError, match="saved as floats"):
            loaded(tmp_path / form, table, form=form)
    rounded = INTERACTIONS.assign(item_id="9.78014E+12", user_id=INTERACTIONS["user_id"])
    with pytest.raises(InputError, match="item_id that were saved as floats"):
        loaded(tmp_path / "spreadsheet", rounded)
    # six digits by printf and MATLAB, three by a spreadsheet; Parquet's short floats
    for number, users in enumerate(("1.23457e+06", "1.23E+05", "1.23456789012E+015")):
        with pytest.raises(InputError, match="user_id that were saved as floats"):
            loaded(tmp_path / str(number), INTERACTIONS.assign(user_id=users))
    for kind, most in ((np.float16, 2**11), (np.float32, 2**24)):
        fits, longer = (
            INTERACTIONS.assign(user_id=(INTERACTIONS["user_id"] % 12 + first).astype(kind))
            for first in (most - 12, most)
        )
        assert loaded(tmp_path / f"{kind}", fits, form="parquet").n_users == N_USERS
        with pytest.raises(InputError, match="user_id that were saved as floats"):
            loaded(tmp_path / f"{kind}", longer, form="parquet")
    hundred = INTERACTIONS["user_id"].astype(str).where(INTERACTIONS["user_id"] > 1, "1e+05")
    assert loaded(tmp_path / "R", INTERACTIONS.assign(user_id=hundred)).n_users == N_USERS
    whole = INTERACTIONS.assign(user_id=INTERACTIONS["user_id"] + 10**17)
    assert loaded(tmp_path / "whole", whole).n_users == N_USERS


@pytest.mark.parametrize(
    ("values", "is_text"),
    [
        (["—", "1.99", "$2", "1,000.50 €", "12%", "nan"], False),
        (["2001-01-31", "2001-01-31T10:00:00Z", "31/01/2001", "01-Jan-1995", "10:30"], False),
        (["True", "false", "yes", "N"], False),
        (["http://a.b/c", "", "www.a.b"], False),
        (["[1, 2]", "0.5 1e-05 inf", "-Infinity"], False),
        (["1.99", "free"], True),
        (["May be", "1 May", "2001: A Space Odyssey"], True),
        (["七人の侍", "8½"], True),
    ],
)
def test_a_column_without_words_is_no_text(
    tmp_path: Path, values: list[str], is_text: bool
) -> None:
    items = ITEMS[["item_id", "title"]].assign(more=(values * N_ITEMS)[:N_ITEMS])
    text = loaded(tmp_path / "a", items=items).items["text"]
    assert text.str.contains(". ", regex=False).any() == is_text
    left_out = "items.csv: the text is made of title; without words, or further ids: more"
    assert (f"note: {left_out}" in folder.validate(tmp_path / "a")) != is_text


def test_no_quotation_mark_swallows_rows(tmp_path: Path) -> None:
    expected = loaded(tmp_path / "tsv", form="tsv")
    path = tmp_path / "tsv" / "interactions.tsv"
    lines = path.read_text().splitlines()
    lines[1:7] = ['"' + line for line in lines[1:7]]  # the user "1 instead of 1
    path.write_text("\n".join(lines))
    dataset = data.load(tmp_path / "tsv")
    assert dataset.card["after"] == expected.card["after"]
    assert "mark which is not closed: 6, first data row 1" in " ".join(folder.validate(path.parent))
    write(tmp_path / "csv")
    path = tmp_path / "csv" / "interactions.csv"
    whole = path.read_text()
    for row, told in ((70, r"in data row 70 is not closed \(lines it would swallow: 2\)"),
                      (10, "line break inside item_id in data row 10")):  # fmt: skip
        lines = whole.splitlines()
        lines[row] = lines[row].replace(",", ',"', 1)
        if row == 10:
            lines[row + 1] = '",'.join(lines[row + 1].rsplit(",", 1))
        path.write_text("\n".join(lines))
        with pytest.raises(InputError, match=told):
            data.load(path.parent)


def test_times_have_one_unit_and_lie_between_1970_and_2100(tmp_path: Path) -> None:
    whole = INTERACTIONS["timestamp"].round().astype(int)
    dataset = loaded(tmp_path / "a", INTERACTIONS.assign(timestamp=whole))
    assert dataset.card["times"] == "2014-05-13 to 2014-05-13"
    for unit in (10**3, 10**6, 10**9):
        table = INTERACTIONS.assign(timestamp=whole * unit)
        assert loaded(tmp_path / str(unit), table).digest == dataset.digest
    mixed = whole.where(whole.index >= 20, whole * 1000)
    dates = whole.astype(str).where(whole.index >= 20, "2014-05-13")
    for name, times, told in (
        ("b", mixed, "52 in seconds, 20 in milliseconds"),
        ("c", dates, "52 in seconds, 20 in dates"),
        ("d", whole.where(whole.index != 3, -1), "1 values of timestamp that are before 1970"),
        ("e", whole.where(whole.index != 3, 5 * 10**9), "in data row 4: give seconds since 1970"),
        # nanoseconds since 1970 in 64 bits reach neither year
        ("g", dates.where(dates.index != 3, "1000-01-1"), "1 values of timestamp that are"),
        ("h", dates.where(dates.index != 3, "2300-01-01"), "1 values of timestamp that are"),
    ):
        with pytest.raises(InputError, match=told):
            loaded(tmp_path / name, INTERACTIONS.assign(timestamp=times))
    assert loaded(tmp_path / "f", INTERACTIONS.assign(timestamp="nan")).times is None
    assert "there are no times" in folder.validate(tmp_path / "f")[0]


@pytest.mark.parametrize("written", ["2017", "20170517", "43012.5"])
def test_years_and_days_that_are_read_as_seconds_of_1970_are_noted(
    tmp_path: Path, written: str
) -> None:
    times = pd.Series(written, index=INTERACTIONS.index)
    place = write(tmp_path, INTERACTIONS.assign(timestamp=times))
    notes = [note for note in folder.validate(place) if "1970" in note]
    assert len(notes) == 1 and repr(written) in notes[0] and "ISO 8601" in notes[0]
    as_dates = INTERACTIONS.assign(timestamp="2017-05-17")
    assert not any("1970" in note for note in folder.validate(write(tmp_path, as_dates)))


def test_a_text_of_any_length_is_the_same_in_every_form(tmp_path: Path) -> None:
    long = ITEMS.assign(title="many words, " * 300_000)  # 3.6 MB a row: blocks have 1 MiB
    digests = {
        data.load(write(tmp_path / form, items=long, form=form)).digest
        for form in ("csv", "tsv", "parquet")
    }
    assert len(digests) == 1


def test_a_colon_is_part_of_a_name_but_in_recboles_files(tmp_path: Path) -> None:
    items = pd.DataFrame({"item_id": ITEMS["item_id"], "title:en": "hello", "title:fr": "salut"})
    for form in ("csv", "tsv", "parquet"):
        assert loaded(tmp_path / form, items=items, form=form).items["text"][0] == "hello. salut"
    typed = items.rename(columns={name: f"{name}:token_seq" for name in items if ":" in name})
    place = write(tmp_path / "atomic", form="atomic", items=items)
    typed.rename(columns={"item_id": "item_id:token"}).to_csv(
        place / "items.item", sep="\t", index=False
    )
    assert data.load(place).items["text"][0] == "hello. salut"


PARQUET = {
    "string_view": pa.array(["a", None, *"cdefghi"], pa.string_view()),
    "large_string": pa.array(["a", None, *"cdefghi"], pa.large_string()),
    "bytes": pa.array([b"a", None, *(c.encode() for c in "cdefghi")]),
    "list": pa.array([["a", None], None, *([c] for c in "cdefghi")]),
    "large_list": pa.array([["a"], [], *([c] for c in "cdefghi")], pa.large_list(pa.string())),
    "fixed": pa.array([["a"], None, *([c] for c in "cdefghi")], pa.list_(pa.string(), 1)),
    "lists of lists": pa.array([[["a"], []], None, *([[c]] for c in "cdefghi")]),
    "category": pa.array(["a", None, *"cdefghi"]).dictionary_encode(),
}


@pytest.mark.parametrize("kind", PARQUET)
def test_every_kind_of_text_in_parquet_is_read(tmp_path: Path, kind: str) -> None:
    place = write(tmp_path / "a", items=None)
    ids = pa.array(ITEMS["item_id"])
    parquet.write_table(pa.table({"item_id": ids, "title": PARQUET[kind]}), place / "items.parquet")
    assert data.load(place).items["text"].tolist() == ["a", "", *"cdefghi"]


def test_what_parquet_holds_that_is_no_text_is_named(tmp_path: Path) -> None:
    place = write(tmp_path / "a", items=None)
    ids, struct = pa.array(ITEMS["item_id"]), pa.array([{"x": 1}] * N_ITEMS)
    image = pa.array([b"\xff\xd8"] * N_ITEMS)
    columns = {"item_id": ids, "title": pa.array(list("abcdefghi")), "image": image, "more": struct}
    parquet.write_table(pa.table(columns), place / "items.parquet")
    assert folder.validate(place) == [
        "note: items.parquet: column image of type binary, which is no text: left out",
        "note: items.parquet: column more of type struct<x: int64>, which is no text: left out",
    ]
    parquet.write_table(pa.table(columns | {"item_id": struct}), place / "items.parquet")
    with pytest.raises(InputError, match="item_id of type struct"):
        data.load(place)


def test_the_notes_stand_on_the_card(tmp_path: Path) -> None:
    place = write(tmp_path / "a")
    assert data.load(place).card["notes"] == [LEFT_OUT.removeprefix("note: ")]


def test_validate_counts_what_is_left_out_and_names_what_cannot_be_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = write(tmp_path / "my $data", pd.concat([INTERACTIONS, INTERACTIONS[:3]]))
    assert main(["validate", str(place)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("note: interactions.csv has 3 pairs of user and item more than once")
    assert said[2:4] == [
        "note: removed: 3 duplicate pairs",
        "note: times from 2014-05-13 to 2014-05-13",
    ]
    assert said[5].startswith("note: not testable here: F1, F2, F3,")
    assert said[-1] == f"{place} can be used for 2 of 27 findings: make book DATASETS='{place}'"
    assert main(["validate", str(place), "--k", "21"]) == 2  # as every chapter would
    assert f"k = 21 was given; dataset 'my $data' accepts 1 to {N_ITEMS}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "told"), [("ml-100k", "known dataset"), ("資料", "no name"), ("a\nb", "no line break")]
)
def test_validate_refuses_a_name_that_the_book_cannot_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, told: str
) -> None:
    assert main(["validate", str(write(tmp_path / name))]) == 2
    assert told in capsys.readouterr().err
