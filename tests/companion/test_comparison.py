"""Fresh chapters beside published ones: what is said of equal, near, far and other findings."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from companion import scoreboard, site
from companion.__main__ import main
from companion.scoreboard import RECORD
from lib import claims
from lib.core import InputError

ASKED = {"dataset": "ml-100k", "k": 20, "seeds": 3, "device": "auto"}


def page(folder: Path, claim: str, verdict: str, measures: dict[str, Any], **asked: Any) -> None:
    record = {
        "claim": claim, "verdict": verdict, "measures": measures, "parameters": ASKED | asked,
        "chapter": claim, "reason": "",
    }  # fmt: skip
    cell = {"cell_type": "code", "outputs": [{"data": {RECORD: record}}]}
    path = folder / "ml-100k" / f"{claim}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": [cell]}))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / site.EXECUTED, tmp_path / site.BUILD / site.EXECUTED


def test_the_measure_that_is_furthest_apart_is_told(folders: tuple[Path, Path]) -> None:
    old, new = folders
    page(old, "F2", "holds", {"near": [0.5, 0.4, 0.6, 9.0], "far": [2.0, 1.0, 3.0, 9.0]})
    page(new, "F2", "holds", {"near": [0.52, 0.4, 0.6, 9.0], "far": [3.5, 1.0, 3.0, 9.0]},
         device="cuda")  # fmt: skip
    table = scoreboard.compare(*folders)
    row = table.iloc[0]
    assert (row["measure"], row["published"], row["now"]) == ("far", 2.0, 3.5)
    assert row["apart"] == pytest.approx(1.5)
    assert row["otherwise"] == ""
    assert scoreboard.in_a_sentence(table).startswith(
        "1 of 1 findings have the published verdict; in 0"
    )


def test_nothing_apart_no_interval_and_no_number(folders: tuple[Path, Path]) -> None:
    old, new = folders
    nothing = [None, None, None, 0.0]
    page(old, "F7", "not testable here", {"a": nothing})
    page(new, "F7", "not testable here", {"a": nothing})
    page(old, "F2", "holds", {"a": [0.5, 0.5, 0.5, 9.0], "b": nothing})
    page(new, "F2", "holds", {"a": [0.5, 0.5, 0.5, 9.0], "b": nothing})
    page(old, "F3", "holds", {"a": [0.5, 0.5, 0.5, 9.0]})
    page(new, "F3", "holds", {"a": [0.6, 0.5, 0.5, 9.0]})
    table = scoreboard.compare(*folders)
    apart = table.set_index("finding")["apart"]
    assert (apart["F2"], apart["F3"], apart["F7"]) == (0.0, math.inf, 0.0)
    assert "in 2 all are equal" in scoreboard.in_a_sentence(table)


def test_a_number_that_is_gone_is_infinitely_far(folders: tuple[Path, Path]) -> None:
    page(folders[0], "F2", "holds", {"a": [0.5, 0.4, 0.6, 9.0]})
    page(folders[1], "F2", "holds", {"a": [None, None, None, 0.0]})
    assert scoreboard.compare(*folders)["apart"].item() == math.inf


def test_other_parameters_are_told(folders: tuple[Path, Path]) -> None:
    old, new = folders
    page(old, "F2", "holds", {"a": [0.5, 0.4, 0.6, 9.0]})
    page(new, "F2", "does not hold", {"a": [0.9, 0.8, 1.0, 9.0]}, seeds=1)
    table = scoreboard.compare(*folders)
    assert list(table["otherwise"]) == ["seeds 3 and now 1"]
    assert scoreboard.in_a_sentence(table).startswith("0 of 1 findings")


def test_a_page_from_before_a_parameter_was_made_with_its_default(
    folders: tuple[Path, Path],
) -> None:
    old, new = folders
    page(old, "F2", "holds", {"a": [0.5, 0.4, 0.6, 9.0]})
    page(old, "F3", "holds", {"a": [0.5, 0.4, 0.6, 9.0]})
    page(new, "F2", "holds", {"a": [0.5, 0.4, 0.6, 9.0]}, fields="all")
    page(new, "F3", "holds", {"a": [0.5, 0.4, 0.6, 9.0]}, fields="title")
    told = scoreboard.compare(*folders).set_index("finding")["otherwise"]
    assert dict(told) == {"F2": "", "F3": "fields all and now title"}


def test_another_verdict_is_a_failure_of_the_command(
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(site, "ROOT", tmp_path)
    old, new = folders
    page(old, "F2", "holds", {"a": [0.5, 0.4, 0.6, 9.0]})
    page(new, "F2", "holds", {"a": [0.55, 0.4, 0.6, 9.0]})
    page(old, "F5", "holds", {"a": [0.5, 0.4, 0.6, 9.0]})
    page(new, "F5", "undecided", {"a": [0.5, 0.4, 0.6, 9.0]}, seeds=1)
    assert main(["compare"]) == 0
    told = capsys.readouterr().out
    assert "With the published parameters, 1 of 1 findings" in told
    assert "With other parameters, 0 of 1 findings" in told and "seeds 3 and now 1" in told
    page(old, "F3", "holds", {"a": [0.5, 0.4, 0.6, 9.0]})
    page(new, "F3", "does not hold", {"a": [0.3, 0.2, 0.4, 9.0]})
    assert main(["compare", "ml-100k"]) == 1
    assert "With the published parameters, 1 of 2 findings" in capsys.readouterr().out
    assert main(["compare", "another"]) == 2


def test_a_measure_that_had_another_name_is_no_number(folders: tuple[Path, Path]) -> None:
    page(folders[0], "F2", "holds", {"overlap": [0.5, 0.4, 0.6, 9.0], "reach": [0.7] * 4})
    page(folders[0], "F3", "holds", {"share": [0.5, 0.4, 0.6, 9.0]})
    found = scoreboard.records([folders[0]]).set_index("claim")
    assert found.loc["F2", ["mean", "low", "high", "p"]].isna().all()
    assert found.loc["F2", "beside"] == 0.7 and found.loc["F3", ["mean", "beside"]].isna().all()
    assert list(found["verdict"]) == [claims.UNTESTABLE] * 2
    assert found.loc["F3", "reason"].startswith("executed before its rule, without semantic list")
    assert "nan" not in scoreboard.table(found.reset_index())


def test_nothing_in_common_is_one_sentence(folders: tuple[Path, Path]) -> None:
    page(folders[0], "F2", "holds", {"a": [0.5, 0.4, 0.6, 9.0]})
    with pytest.raises(InputError, match="no finding is judged both") as fault:
        scoreboard.compare(*folders)
    assert "\n" not in str(fault.value)


def test_comparing_loads_no_torch() -> None:
    script = "import sys, companion.scoreboard; print('torch' in sys.modules)"
    words = [sys.executable, "-c", script]
    ran = subprocess.run(words, cwd=site.ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
