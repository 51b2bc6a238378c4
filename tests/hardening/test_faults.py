"""Interrupts, two builds in one cache, damaged entries, and disks that are full or read-only."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from processes import command, disturbed, finished, interrupt, locked, python
from stages import CHAPTER, NAME, Stage, everything, fresh, made, project, undisturbed, world

from companion.site import ROOT
from lib import cache
from lib.core import generator

SOON = 5.0  # seconds in which an interrupted command has to end
PYTHON = (sys.executable, "-m", "companion")
FIT = (*PYTHON, "fit", NAME, "linear", "-p", "epochs", "3", "-p", "device", "cpu")
SIZES = (8, 72, 120, 200)  # KiB of a disk: from no room for a download to room for all but a view


@pytest.fixture
def place(kills: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COMPANION_MIRROR", "")  # put back after the test
    with world() as folder:
        yield folder


Damage = Callable[[Path, Path, np.random.Generator], None]


def _any(entry: Path, rng: np.random.Generator) -> Path:
    return sorted(entry.iterdir())[int(rng.integers(len(list(entry.iterdir()))))]


def flip(entry: Path, _: Path, rng: np.random.Generator) -> None:
    path = _any(entry, rng)
    content = bytearray(path.read_bytes())
    content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def truncate(entry: Path, _: Path, rng: np.random.Generator) -> None:
    path = _any(entry, rng)
    content = path.read_bytes()
    path.write_bytes(content[: int(rng.integers(len(content)))])


def remove(entry: Path, _: Path, rng: np.random.Generator) -> None:
    _any(entry, rng).unlink()


def exchange(entry: Path, other: Path, _: np.random.Generator) -> None:
    shutil.rmtree(entry)
    shutil.copytree(other, entry)


def rename(entry: Path, _: Path, rng: np.random.Generator) -> None:
    old, new = (("arrays.safetensors", "arrays.npz"), ("facts.json", "facts.yml"))[rng.integers(2)]
    (entry / old).rename(entry / new)
    manifest = (entry / cache.MANIFEST).read_text()
    (entry / cache.MANIFEST).write_text(manifest.replace(old, new))


DAMAGES: dict[str, Damage] = {
    "a flipped bit": flip, "a truncated file": truncate, "a file removed": remove,
    "another entry in its place": exchange, "files named as another version would": rename,
}  # fmt: skip


@pytest.mark.parametrize("word", DAMAGES)
def test_a_damaged_entry_is_never_believed(
    word: str, inputs: int, cache_folder: Path, record: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    rng, right = generator(0, f"damage: {word}"), 0
    values = [_value(number) for number in range(3)]
    for number, value in enumerate(values):
        cache.cached("view", {"n": number}, lambda v=value: v)  # type: ignore[misc]
    entries = {p.parent for p in cache_folder.rglob(cache.MANIFEST)}
    for _ in range(times := min(inputs, 100)):
        first, other = rng.permutation(sorted(entries))[:2]
        DAMAGES[word](Path(first), Path(other), rng)
        found = [cache.cached("view", {"n": n}, lambda n=n: values[n]) for n in range(3)]  # type: ignore[misc]
        right += [*map(_digest, found)] == [*map(_digest, values)]
    named = sum(record.levelno == logging.WARNING for record in caplog.records)
    record(f"cache entry with {word}, asked for again", times, right,
           f"{named} named as damaged and made again")  # fmt: skip


def _value(number: int) -> cache.Value:
    rng = generator(number, "entry")
    table = pd.DataFrame({"text": [f"<b>{number}</b>", "é"], "count": [1, number]})
    return {"users": rng.random((7, 3), dtype=np.float32), "table": table, "info": {"n": number}}


def _digest(value: cache.Value) -> str:
    return cache.digest(value["users"], value["table"], value["info"])


def test_two_builds_at_once_in_one_empty_cache(place: Path, record: Any) -> None:
    stage = Stage("everything", python(everything))
    (place / "before").mkdir()
    _, expected = undisturbed(stage, place / "before", place / "alone")
    right = 0
    for _ in range(4):
        folder = fresh(place / "before", place / "both")
        ended = [finished(process) for process in [stage.start(folder) for _ in range(2)]]
        right += ended == [0, 0] and made(folder) == expected
    record("two builds at once in one empty cache", 4, right)


@pytest.mark.parametrize("name", ["fit", "chapter"])
def test_an_interrupt_is_one_sentence_and_the_command_runs_again(
    name: str, place: Path, record: Any
) -> None:
    chapter = (*PYTHON, "execute", CHAPTER, NAME)
    stage = Stage(name, command(*(FIT if name == "fit" else chapter), PYTHONPATH=str(ROOT)))
    began = place / "before"
    began.mkdir()
    if name == "chapter":
        project(began)
    seconds, expected = undisturbed(stage, began, place / "undisturbed")
    rng, right, waits = generator(0, f"interrupts: {name}"), 0, list[float]()
    while len(waits) < 3:
        trial = fresh(began, place / "trial")
        moment = float(rng.uniform(0.2, 0.9)) * seconds
        took = disturbed(stage.start, trial, moment, interrupt)
        if took is None:  # it had ended before
            continue
        plain = "Traceback" not in (trial / "log").read_text()
        again = finished(stage.start(trial))
        right += plain and again == 0 and made(trial) == expected and not locked(trial)
        waits.append(took)
    record(f"{name} interrupted: one sentence, then run again", 3, right)
    record(f"{name} interrupted: ended within {SOON:g} s", 3, sum(w <= SOON for w in waits),
           f"longest {max(waits):.1f} s, load average {os.getloadavg()[0]:.1f}")  # fmt: skip


def test_a_full_disk_is_one_sentence_and_the_command_runs_again(place: Path, record: Any) -> None:
    fit, right = f"COMPANION_CACHE={place}/disk/cache {' '.join(FIT)}", 0
    (place / "disk").mkdir()
    for size in SIZES:
        ran = in_namespace(
            f"mount -t tmpfs -o size={size}k tmpfs {place}/disk && {{ {fit}; echo code $? >&2; "
            f"mount -o remount,size=64m {place}/disk; {fit}; }}"
        )
        said = ran.stderr.partition("code 2")[0]
        right += ran.returncode == 0 and "COMPANION_CACHE" in said and "Traceback" not in said
    record("disk full (tmpfs): one sentence, then run again with room", len(SIZES), right)


def test_a_read_only_cache_is_read_and_what_it_lacks_is_refused(place: Path, record: Any) -> None:
    (place / "whole").mkdir()
    assert finished(command(*FIT, PYTHONPATH=str(ROOT))(place / "whole")) == 0
    right = 0
    for word in ("sound", "damaged", "missing"):
        folder = Path(shutil.copytree(place / "whole", place / word))
        view = next((folder / "cache/view").glob("[!.]*"))
        if word == "damaged":
            (view / "facts.json").write_text("{")
        if word == "missing":
            shutil.rmtree(view)
        ran = in_namespace(
            f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} && "
            f"COMPANION_CACHE={folder}/cache {' '.join(FIT)}"
        )
        refused = ran.returncode == 2 and "cannot be written" in ran.stderr
        named = word != "damaged" or view.name in ran.stderr
        right += ran.returncode == 0 if word == "sound" else refused and named
    record("read-only cache: sound entries read, others refused by name", 3, right)


def in_namespace(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount disks nobody else sees."""
    words = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if "unshare failed" in ran.stderr:
        pytest.skip("this machine lets nobody mount a disk of their own")
    return ran
