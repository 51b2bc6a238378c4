"""What an interrupt says, and what a killed run leaves."""

import subprocess
import sys
from pathlib import Path

import pytest

from companion import __main__ as command
from companion import site
from companion.data.downloads import RemoteFile, known_hash
from companion.site import ROOT
from lib.core import first_line


def test_an_interrupt_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(site, "workflow", interrupted)
    assert command.main(["checked"]) == 130
    assert capsys.readouterr().err == (
        "\nInterrupted. What was finished is kept: the command goes on.\n"
    )


def test_a_task_that_failed_in_an_interrupt_adds_no_traceback() -> None:
    script = """
import asyncio, sys
from companion import __main__ as command, site

async def fails():
    raise OSError("gone")

def interrupted():
    loop = asyncio.new_event_loop()
    task = loop.create_task(fails())
    loop.run_until_complete(asyncio.sleep(0))
    assert task.done()
    raise KeyboardInterrupt

site.workflow = interrupted
sys.exit(command.main(["checked"]))
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 130
    assert ended.stderr == "\nInterrupted. What was finished is kept: the command goes on.\n"


def test_an_emptied_record_is_no_hash(cache_folder: Path) -> None:
    source = RemoteFile("http://127.0.0.1/x", "folder/x")
    record = cache_folder / "sources" / "folder" / "x.sha256"
    record.parent.mkdir(parents=True)
    record.write_text("")
    assert known_hash(source) == ""


@pytest.mark.parametrize("end", ["\n", "\r", "\u2028", "\x0b"])
def test_what_another_says_is_cut_to_one_line(end: str) -> None:
    assert first_line(ValueError(f"  no such{end}file")) == "no such"
    assert first_line(KeyboardInterrupt()) == "KeyboardInterrupt"
