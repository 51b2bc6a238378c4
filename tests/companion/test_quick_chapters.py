"""The chapters that nbval does not compare, executed from beginning to end with small settings."""

from pathlib import Path

import nbformat
import pytest

from companion.execute import execute
from companion.scoreboard import RECORD
from companion.site import ROOT, chapters, workflow
from lib import claims

PLAN = workflow()["test"]


def test_every_chapter_is_compared_or_executed() -> None:
    assert sorted([*PLAN["checked"], *PLAN["quick"]]) == chapters()


@pytest.mark.parametrize("chapter", PLAN["quick"])
def test_a_chapter_runs_to_its_end_and_judges_its_claims(chapter: str, tmp_path: Path) -> None:
    settings = {"seeds": 1, **PLAN["quick"][chapter]}
    out = execute(ROOT / "chapters" / f"{chapter}.ipynb", "ml-100k", settings, tmp_path / "x.ipynb")
    outputs = [o for cell in nbformat.read(out, 4).cells for o in cell.get("outputs", [])]
    records = [o.data[RECORD] for o in outputs if RECORD in o.get("data", {})]
    assert [record["claim"] for record in records] == _claims_of(chapter)
    assert {record["verdict"] for record in records} <= set(claims.VERDICTS)
    assert any("image/png" in o.get("data", {}) for o in outputs)


def test_the_chapter_on_the_rules_runs_to_its_end(tmp_path: Path) -> None:
    small = {"worlds": 2, "users": 60, "k": 5}
    out = execute(ROOT / "chapters" / "17-instruments.ipynb", None, small, tmp_path / "x.ipynb")
    outputs = [o for cell in nbformat.read(out, 4).cells for o in cell.get("outputs", [])]
    said = [o.data.get("text/markdown", "") for o in outputs if "data" in o]
    assert any("too few to calibrate a rule" in words for words in said)
    assert any("image/png" in o.get("data", {}) for o in outputs)


def test_the_landscape_of_one_set_runs_to_its_end(tmp_path: Path) -> None:
    small = {"datasets": "ml-100k", "seeds": 1, "epochs": 1}
    out = execute(ROOT / "chapters" / "landscape.ipynb", None, small, tmp_path / "x.ipynb")
    outputs = [o for cell in nbformat.read(out, 4).cells for o in cell.get("outputs", [])]
    said = [o.data.get("text/markdown", "") for o in outputs if "data" in o]
    assert any("Not executed: scientific-2018, toys-2014" in words for words in said)
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 3


def test_the_page_of_decisions_of_one_set_runs_to_its_end(tmp_path: Path) -> None:
    small = {"datasets": "ml-100k", "seeds": 1, "epochs": 1}
    out = execute(ROOT / "chapters" / "decide.ipynb", None, small, tmp_path / "x.ipynb")
    outputs = [o for cell in nbformat.read(out, 4).cells for o in cell.get("outputs", [])]
    said = [o.data.get("text/html", "") for o in outputs if "data" in o]
    assert any("<b>ml-100k</b>, text" in words for words in said)
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 1


def _claims_of(chapter: str) -> list[str]:
    return [claim.id for claim in claims.load().values() if claim.chapter == chapter]
