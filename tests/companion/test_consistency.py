"""The audit of the protocol and the chapters say the same, or what they say is told apart."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from companion.consistency import PROTOCOL, contradictions
from companion.scoreboard import RECORD

ROOT = Path(__file__).parents[2]
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
def book(tmp_path: Path) -> Callable[..., tuple[list[str], list[str]]]:
    """Write two pages of one dataset and return what they contradict each other in."""

    def compared(
        audit: dict[str, Any] = JACCARD, asked: dict[str, Any] | None = None, code: str = "page = 1"
    ) -> tuple[list[str], list[str]]:
        chapters, executed = tmp_path / "chapters", tmp_path / "executed"
        page(chapters / "13-protocol.ipynb", "epochs = 200  # at most")
        page(chapters / "03-agreement.ipynb", "page = 1")
        parameters = ASKED | {"epochs": 200, "device": "cpu"} | (asked or {})
        record = {"dataset": "x", "parameters": parameters, "measures": {"F2": audit}}
        page(executed / "x/13-protocol.ipynb", "epochs = 200  # at most", {PROTOCOL: record})
        claim = {
            "claim": "F2", "chapter": "03-agreement", "parameters": ASKED | {"device": "cuda"},
            "measures": JACCARD, "verdict": "holds", "reason": "", "dataset": "x",
        }  # fmt: skip
        page(executed / "x/03-agreement.ipynb", code, {RECORD: claim})
        return contradictions(executed, chapters)

    return compared


def test_pages_that_agree_to_the_last_digit(
    book: Callable[..., tuple[list[str], list[str]]],
) -> None:
    assert book() == ([], ["F2 on x"])


def test_the_last_digit_counts(book: Callable[..., tuple[list[str], list[str]]]) -> None:
    other = JACCARD | {"jaccard": [0.12500000000000003, 0.1, 0.15, 90]}
    different, compared = book(other)
    assert compared == ["F2 on x"] and len(different) == 1
    assert "F2 on x: jaccard is [0.12500000000000003, " in different[0]
    missing, _ = book({"jaccard": JACCARD["jaccard"]})
    assert len(missing) == 1 and "seeds is None in 13-protocol" in missing[0]


@pytest.mark.parametrize(
    "change",
    [{"asked": {"seeds": 3}}, {"asked": {"epochs": 2}}, {"code": "page = 2"}],
    ids=["other seeds", "fewer epochs", "old code"],
)
def test_pages_that_were_asked_otherwise_are_not_compared(
    book: Callable[..., tuple[list[str], list[str]]], change: dict[str, Any]
) -> None:
    assert book(JACCARD | {"jaccard": [1, 1, 1, 1]}, **change) == ([], [])


def test_the_published_pages_do_not_contradict_each_other() -> None:
    different, _ = contradictions(ROOT / "executed", ROOT / "chapters")
    assert not different
