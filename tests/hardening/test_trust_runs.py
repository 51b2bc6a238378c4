"""The figures of ``make trust``, small: what it tries comes out right, and what it says is so."""

import argparse
import json
import os
from pathlib import Path

import pytest

from lib.core import InputError
from trust import faults, figures, hostile, mutation
from trust.__main__ import SECTIONS, expanded, main
from trust.figures import Figure
from trust.samples import Reader, all_readers
from trust.spoil import spoiled

READERS = [reader for reader in all_readers() if reader.name != "encoder names"]


@pytest.fixture(autouse=True)
def alone(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPANION_OFFLINE", "1")


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_strangers_input_is_read_or_refused_in_a_sentence(reader: Reader, tmp_path: Path) -> None:
    found = hostile.tried(reader, 25, 1, tmp_path)
    assert (found.tried, found.right) == (25, 25), found.found


@pytest.mark.parametrize(
    "reader", [r for r in READERS if r.name not in ("dataset names", "rules of verdicts")],
    ids=lambda reader: reader.name,
)  # fmt: skip
def test_every_reader_reads_sound_input(reader: Reader, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    read = 0
    for number, content in enumerate(reader.sound):
        place = tmp_path / str(number)
        place.mkdir()
        monkeypatch.chdir(place)
        try:
            reader.read(place, content)
            read += 1
        except InputError:
            continue
    assert read


def test_an_input_that_runs_or_breaks_something_is_told(tmp_path: Path) -> None:
    def run(place: Path, content: bytes) -> None:
        (place / "ran").touch()

    def fall(place: Path, content: bytes) -> None:
        raise KeyError("x")

    def talk(place: Path, content: bytes) -> None:
        raise InputError("one\ntwo")

    for read, word in ((run, "something ran"), (fall, "KeyError at"), (talk, "many lines")):
        found = hostile.tried(Reader(word, read, (b"x",)), 2, 0, tmp_path)
        assert found.right == 0 and word in found.found


def test_a_stopped_run_of_inputs_goes_on(tmp_path: Path) -> None:
    seen: list[bytes] = []
    reader = Reader("any", lambda _, content: seen.append(content), (b"a,b,c,d",))
    hostile.tried(reader, 6, 0, tmp_path)
    first = list(seen)
    found = hostile.tried(reader, 10, 0, tmp_path)
    assert len(seen) == 10 == found.tried and len(first) == 6
    seen.clear()
    hostile.tried(reader, 10, 0, tmp_path / "again")
    assert seen[:6] == first


def test_damage_is_never_answered(tmp_path: Path) -> None:
    for figure in faults.damages(tmp_path, 12, 5):
        assert figure.right == figure.tried == 12 and figure.found.startswith("12 named")


def test_figures_are_kept_beside_those_of_other_sections(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    figures.keep(path, "laws", [Figure("a", 2, 2)], 1.2)
    figures.keep(path, "kills", [Figure("b", 3, 2, "<b>")], 90)
    content = json.loads(path.read_text())
    assert [row["what"] for row in content["laws"]["figures"]] == ["a"]
    assert content["kills"]["figures"] == [{"what": "b", "tried": 3, "right": 2, "found": "<b>"}]
    assert {"date", "commit", "machine", "versions", "seconds"} <= set(content["kills"])


def test_the_table_is_aligned() -> None:
    table = figures.rendered([Figure("kill", 1200, 1199, "one lock"), Figure("x", 1, 1)])
    assert table.splitlines() == [
        "what  tried  right  found", "kill  1,200  1,199  one lock", "x         1      1",
    ]  # fmt: skip


def test_a_wrong_request_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["kill"])
    assert "there are " + ", ".join(SECTIONS) in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["mutation/plots"])
    assert "such as mutation/topk" in capsys.readouterr().err


def test_a_part_that_is_tried_anew_leaves_the_run_of_all(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    figures.keep(path, "mutation", [Figure("a", 2, 2), Figure("b", 3, 3)], 60)
    figures.keep(path, "laws", [Figure("b", 1, 1)], 60)
    figures.keep(path, "mutation/b", [Figure("b", 5, 4)], 60)
    content = json.loads(path.read_text())
    places = {key: [f["what"] for f in part["figures"]] for key, part in content.items()}
    assert places == {"laws": ["b"], "mutation": ["a"], "mutation/b": ["b"]}
    figures.keep(path, "mutation/a", [Figure("a", 2, 1)], 60)
    assert sorted(json.loads(path.read_text())) == ["laws", "mutation/a", "mutation/b"]


MUTMUT = """\
#!/usr/bin/env python3
# in mutmut's place: of ten mutants the odd ones are seen; it notes what it was asked to try
import json, pathlib, sys
meta = pathlib.Path("mutants/lib/topk.py.meta")
meta.parent.mkdir(parents=True, exist_ok=True)
every = {f"lib.topk.x_mutmut_{i}": None for i in range(10)}
codes = json.loads(meta.read_text())["exit_code_by_key"] if meta.exists() else every
asked = [name for name in sys.argv[4:] if name in codes]
codes |= {name: int(name[-1]) % 2 for name in asked}
meta.write_text(json.dumps({"exit_code_by_key": codes}))
with open("asked.txt", "a") as file:
    file.writelines(name + chr(10) for name in asked)
"""


def test_mutants_are_drawn_and_tried_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = tmp_path / "bin" / "mutmut"
    command.parent.mkdir()
    command.write_text(MUTMUT)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent), prepend=os.pathsep)
    monkeypatch.setattr(mutation, "WORK", tmp_path)

    def tried(mutants: int | None) -> figures.Figure:
        options = argparse.Namespace(part="topk", mutants=mutants, seed=0)
        return next(mutation.figures(options))

    some = tried(4)
    asked = (tmp_path / "mutation" / "topk" / "asked.txt").read_text().split()
    assert some.tried == 4 == len(set(asked)) == len(asked)
    assert some.right == sum(int(name[-1]) % 2 for name in asked)
    assert "of all 10" in some.found
    whole = tried(None)
    assert (whole.tried, whole.right, whole.found) == (10, 5, "50% seen by a test")
    asked = (tmp_path / "mutation" / "topk" / "asked.txt").read_text().split()
    assert len(asked) == len(set(asked)) == 10


def test_published_figures_are_of_sections_that_there_are() -> None:
    content = json.loads(figures.RESULTS.read_text(encoding="utf-8"))
    assert set(content) <= {*SECTIONS, *expanded(SECTIONS)}
    for section in content.values():
        assert section["figures"] and section["commit"]
        assert all(0 <= row["right"] <= row["tried"] for row in section["figures"])


def test_spoiling_is_the_same_for_a_seed() -> None:
    from lib.core import generator

    made = [spoiled(b"a,b,c\n1,2,3\n", generator(seed, "spoil")) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]
    assert "ran" not in os.listdir()
