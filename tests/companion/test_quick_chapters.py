"""The chapters that nbval does not compare, executed from beginning to end with small settings."""

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest

from companion import data
from companion.data import downloads
from companion.execute import execute
from companion.scoreboard import RECORD
from companion.site import ROOT, chapters, workflow
from lib import claims

PLAN = workflow()["test"]


def executed(
    folder: Path, chapter: str, settings: dict[str, Any], dataset: str | None = None
) -> list[dict[str, Any]]:
    """Execute a chapter and return what its cells show, a bundle of data each."""
    page = execute(ROOT / "chapters" / f"{chapter}.ipynb", dataset, settings, folder / "x.ipynb")
    outputs = [o for cell in nbformat.read(page, 4).cells for o in cell.get("outputs", [])]
    return [o.data for o in outputs if "data" in o]


def test_every_chapter_is_compared_or_executed() -> None:
    assert sorted([*PLAN["checked"], *PLAN["quick"]]) == chapters()


@pytest.fixture(scope="module")
def few_users(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write the first 150 users of MovieLens-100K as somebody's own data."""
    interactions, items = map(downloads.fetch, data.DATASETS["ml-100k"].files)
    folder = tmp_path_factory.mktemp("data") / "few-users"
    folder.mkdir()
    shutil.copy(items, folder / "items.item")
    head, *rows = interactions.read_text().splitlines()
    rows = [row for row in rows if int(row.split("\t")[0]) <= 150]
    (folder / "interactions.inter").write_text("\n".join([head, *rows, ""]))
    return str(folder)


@pytest.mark.parametrize("chapter", PLAN["quick"])
def test_a_chapter_runs_to_its_end_and_judges_its_claims(
    chapter: str, few_users: str, tmp_path: Path
) -> None:
    settings = {"seeds": 1, **PLAN["quick"][chapter]}
    shown = executed(tmp_path, chapter, settings, few_users)
    records = [data[RECORD] for data in shown if RECORD in data]
    assert [record["claim"] for record in records] == _claims_of(chapter)
    assert {record["verdict"] for record in records} <= set(claims.VERDICTS)
    assert any("image/svg+xml" in data for data in shown)


def test_the_chapter_on_the_rules_runs_to_its_end(tmp_path: Path) -> None:
    small = {"worlds": 2, "users": 60, "k": 5}
    shown = executed(tmp_path, "17-instruments", small)
    said = [data.get("text/markdown", "") for data in shown]
    assert any("too few to calibrate a rule" in words for words in said)
    assert any("image/svg+xml" in data for data in shown)


def test_the_landscape_of_one_set_runs_to_its_end(tmp_path: Path) -> None:
    small = {"datasets": "ml-100k", "seeds": 1, "epochs": 1}
    shown = executed(tmp_path, "landscape", small)
    said = [data.get("text/markdown", "") for data in shown]
    assert any("Not executed: scientific-2018, toys-2014" in words for words in said)
    assert sum("image/svg+xml" in data for data in shown) == 3


def test_the_page_of_decisions_of_one_set_runs_to_its_end(tmp_path: Path) -> None:
    small = {"datasets": "ml-100k", "seeds": 1, "epochs": 1}
    shown = executed(tmp_path, "decide", small)
    said = [data.get("text/html", "") for data in shown]
    assert any("<b>ml-100k</b>, text" in words for words in said)
    assert sum("image/svg+xml" in data for data in shown) == 2


def _claims_of(chapter: str) -> list[str]:
    return [claim.id for claim in claims.load().values() if claim.chapter == chapter]
