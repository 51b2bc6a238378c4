"""Strangers' files and words: read, or refused in a sentence; never run, never anything else.

Sound input of every reader is spoiled at random, each time from a generator of its own, so that an
interrupted run goes on with the next input.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from lib.core import InputError, generator
from trust.figures import WORK, Figure
from trust.samples import Reader, all_readers
from trust.spoil import spoiled

STEP = 100  # inputs between two notes of how far a reader is


def figures(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield a line per reader, tried side by side on all cores."""
    os.environ["COMPANION_OFFLINE"] = "1"
    one = partial(_tried, times=options.inputs, seed=options.seed)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        yield from pool.map(one, range(len(all_readers())))


def _tried(place: int, times: int, seed: int) -> Figure:
    """Try the reader of that place; by its place because a reader cannot go to a process."""
    return tried(all_readers()[place], times, seed, WORK / "hostile")


def tried(reader: Reader, times: int, seed: int, notes: Path) -> Figure:
    """Give a reader so many spoiled inputs, going on where an earlier run with the seed stopped.

    The inputs that came out wrong in it are tried again.
    """
    path = notes / f"{reader.name.replace(' ', '-').replace('/', '-')}-{seed}.json"
    note: dict[str, Any] = {"done": 0, "read": 0, "faults": {}}
    if path.is_file():
        note = json.loads(path.read_text())
    again = sorted(number for numbers in note["faults"].values() for number in numbers)
    note["faults"] = {}
    for number in [*again, *range(note["done"], times)]:  # the file is kept till all were again
        word = outcome(reader, number, seed)
        note["read"] += word == ""
        if word not in ("", "refused"):
            note["faults"][word] = [*note["faults"].get(word, []), number]
        if number >= note["done"]:
            note["done"] = number + 1
            if note["done"] % STEP == 0:
                _keep(path, note)
    _keep(path, note)
    wrong = sum(map(len, note["faults"].values()))
    found = f"{note['read']:,} read, {note['done'] - note['read'] - wrong:,} refused in a sentence"
    return Figure(reader.name, note["done"], note["done"] - wrong,
                  "; ".join([found, *sorted(note["faults"])]))  # fmt: skip


def _keep(path: Path, note: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(note))
    draft.replace(path)


def outcome(reader: Reader, number: int, seed: int) -> str:
    """Return "" for an input that is read, "refused", or what went wrong."""
    draw = generator(seed, f"hostile: {reader.name} {number}")
    content = spoiled(reader.sound[number % len(reader.sound)], draw)
    with tempfile.TemporaryDirectory(prefix="trust-", dir=_memory()) as place:
        here = Path.cwd()
        os.chdir(place)
        try:
            reader.read(Path(place), content)
            word = ""
        except InputError as fault:
            word = "" if str(fault).strip() else "an empty sentence"
            word = word or ("refused" if len(str(fault).splitlines()) == 1 else "many lines")
        except Exception as fault:
            last = traceback.extract_tb(sys.exc_info()[2])
            inside = [frame for frame in last if "/lib/" in frame.filename and
                      "site-packages" not in frame.filename][-1:] or last[-1:]  # fmt: skip
            at = f"{Path(inside[0].filename).name}:{inside[0].lineno}"
            word = f"{type(fault).__name__} at {at}"
        finally:
            os.chdir(here)
        return "something ran" if list(Path(place).rglob("ran")) else word


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
