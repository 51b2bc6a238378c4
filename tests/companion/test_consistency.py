"""The audit of the protocol and the chapters say the same, or what they say is told apart."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from companion import site
from companion.consistency import INSTRUMENTS, PROTOCOL, contradictions, uncalibrated
from companion.execute import ChapterError, own_code
from companion.scoreboard import RECORD, records
from lib import claims

ASKED = {"dataset": "x", "split": "random", "seed": 0, "seeds": 2, "k": 20, "encoder": "minilm"}
JACCARD = {"jaccard": [0.125, 0.1, 0.15, 90], "seeds": [0.5, None, None, 0]}


def page(path: Path, code: str, data: dict[str, Any] | None = None) -> None:
    tags = {"tags": ["injected-parameters"]}
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": "# Title"},
        {"cell_type": "code", "metadata": tags, "source": "seeds = 2", "outputs": []},
        {"cell_type": "code", "metadata": {}, "source": code.splitlines(True),
         "outputs": [{"data": data}] if data else []},
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": cells}))


@pytest.fixture
def book(tmp_path: Path) -> Callable[..., list[str]]:
    """Write two pages of one dataset and return what they contradict each other in."""

    def compared(audit: dict[str, Any] = JACCARD, **change: Any) -> list[str]:
        write(tmp_path, tmp_path / "executed", audit, **change)
        return contradictions(tmp_path / "executed", tmp_path / "chapters")

    return compared


def write(
    root: Path, executed: Path, audit: dict[str, Any],
    asked: dict[str, Any] | None = None, code: str = "page = 1",
    theirs: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write two chapters, and their pages of dataset x."""
    page(root / "chapters/13-protocol.ipynb", "epochs = 200  # at most")
    page(root / "chapters/03-agreement.ipynb", "page = 1")
    parameters = ASKED | {"epochs": 200, "device": "cpu"} | (asked or {})
    record = {"dataset": "x", "parameters": parameters, "measures": {"F2": audit}}
    page(executed / "x/13-protocol.ipynb", "epochs = 200  # at most", {PROTOCOL: record})
    claim = {
        "claim": "F2", "chapter": "03-agreement", "dataset": "x", "measures": JACCARD,
        "parameters": ASKED | {"device": "cuda"} | (theirs or {}), "verdict": "holds", "reason": "",
    }  # fmt: skip
    page(executed / "x/03-agreement.ipynb", code, {RECORD: claim})


OTHER = JACCARD | {"jaccard": [0.12500000000000003, 0.1, 0.15, 90]}


def test_pages_that_agree_contradict_each_other_in_nothing(book: Callable[..., list[str]]) -> None:
    assert book() == []


def test_the_last_digit_counts(book: Callable[..., list[str]]) -> None:
    (sentence,) = book(OTHER)
    assert sentence.startswith("F2 on x: jaccard is [0.12500000000000003, ")
    (missing,) = book({"jaccard": JACCARD["jaccard"]})
    assert "seeds is None in 13-protocol" in missing


@pytest.mark.parametrize(
    "change",
    [
        {"asked": {"seeds": 3}},
        {"asked": {"epochs": 2}},
        {"code": "page = 2"},
        {"theirs": {"epochs": 2}},
    ],
    ids=["other seeds", "fewer epochs", "old code", "fewer epochs in the chapter"],
)
def test_pages_that_were_asked_otherwise_are_not_compared(
    book: Callable[..., list[str]], change: dict[str, Any]
) -> None:
    assert book(OTHER, **change) == []


def test_pages_that_contradict_each_other_are_refused_and_stay(tmp_path: Path) -> None:
    (tmp_path / "workflow.yml").write_text(
        "datasets: [x]\npages: {intro: [], reference: []}\ntitles: {}\n"
    )
    fresh = tmp_path / "_build/executed"
    write(tmp_path, fresh, JACCARD)
    assert len(site.publish(["x"], tmp_path)) == 2
    write(tmp_path, fresh, OTHER)
    with pytest.raises(ChapterError) as refusal:  # exit status 1
        site.publish(["x"], tmp_path)
    (sentence,) = str(refusal.value).splitlines()
    assert sentence.startswith("F2 on x: jaccard is [0.12500000000000003, ")
    assert "0.12500000000000003" in (tmp_path / "executed/x/13-protocol.ipynb").read_text()


def test_the_published_pages_do_not_contradict_each_other() -> None:
    assert contradictions(site.ROOT / "executed", site.ROOT / "chapters") == []


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ({}, []),
        ({"F3": {}}, ["17-instruments allows F3 no null: change its rule in claims.yml"]),
        ({"F4": {"null": "second seed", "beyond": "excess.low > 1"}},
         ["17-instruments allows F4 “excess.low > 1” beside “second seed”: change its rule in"]),
        ({"F2": None}, ["claims.yml has F2, for which 17-instruments gives no rate"]),
    ],
)  # fmt: skip
def test_a_rule_that_chapter_17_does_not_bear_out_is_named(
    tmp_path: Path, rates: dict[str, Any], said: list[str]
) -> None:
    of_text = [claim for claim in claims.load().values() if claim.family == "identification"]
    borne_out: dict[str, Any] = {
        claim.id: {"null": claim.instrument, "beyond": claim.beyond} if claim.instrument else {}
        for claim in of_text
    }
    given = {name: of for name, of in (borne_out | rates).items() if of is not None}
    assert "is missing" in uncalibrated(tmp_path)[0]
    page(tmp_path / "17-instruments.ipynb", "code")  # too few worlds for any rate
    assert len(uncalibrated(tmp_path)) == sum(bool(claim.instrument) for claim in of_text)
    page(tmp_path / "17-instruments.ipynb", "code", {INSTRUMENTS: given})
    found = uncalibrated(tmp_path)
    assert len(found) == len(said) and all(a in b for a, b in zip(said, found, strict=True))


def test_the_published_rules_are_those_that_the_published_rates_allow() -> None:
    assert uncalibrated(site.ROOT / "executed") == []


def test_published_pages_have_the_code_of_their_chapters() -> None:
    pages = sorted((site.ROOT / "executed").rglob("*.ipynb"))
    assert pages
    for path in pages:
        assert own_code(path) == own_code(site.ROOT / "chapters" / path.name), path


def test_the_index_answers_first_what_the_records_say() -> None:
    """Its opening sentences are prose; a record that leaves them must change them."""
    found = records([site.ROOT / site.EXECUTED]).set_index(["claim", "dataset"])
    word, low = found["verdict"].to_dict(), found["low"]
    sparse, dense = "scientific-2018", "ml-100k"
    assert word["F8", sparse] == claims.HOLDS and found.loc[("F8", sparse), "mean"] < 0.1
    assert word["F8", dense] == claims.FAILS
    assert all(word["A4", name] == claims.HOLDS for name in (sparse, dense))
    assert (low.loc[["A4"]] > 0.5).all()
    own = {word[claim, sparse] for claim in ("F2", "F3", "F5", "F13")}
    assert own == {claims.UNDECIDED, claims.NO_INSTRUMENT}
