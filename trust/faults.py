"""Interrupts, two builds in one cache, damaged entries, and disks that are full or read-only."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from lib import cache
from lib.core import InputError, generator
from trust.figures import ROOT, Figure
from trust.kills import fresh, undisturbed, world
from trust.processes import command, forked, interrupted, locked
from trust.stages import Stage, everything, made, project

SOON = 5.0  # seconds an interrupted command may take to end
FIT = ("-m", "companion", "fit", "games", "linear", "--split", "random", "-p", "epochs", "3",
       "-p", "device", "cpu")  # fmt: skip
# sizes of a disk in KiB: from one that holds no download to one that holds all but the view
SIZES = (8, 72, 120, 200)


def figures(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield a line per kind of fault."""
    with world() as folder:
        yield from damages(folder / "damage", 100, options.seed)
        yield two_at_once(folder / "two", 4)
        yield from interrupts(folder / "interrupt", 3, options.seed)
        yield full_disk(folder / "full")
        yield read_only_disk(folder / "read-only")


def damages(folder: Path, times: int, seed: int) -> Iterator[Figure]:
    """Damage entries of every kind of file, ask again, and count who is never answered wrongly."""
    os.environ["COMPANION_CACHE"] = str(folder)
    values = [example(number) for number in range(5)]
    for number, value in enumerate(values):
        cache.cached("view", {"seed": number}, lambda value=value: value)  # type: ignore[misc]
    for word, harm in DAMAGES.items():
        draw = generator(seed, f"damage: {word}")
        right = named = 0
        for _ in range(times):
            number = int(draw.integers(len(values)))
            with Heard() as heard:
                try:
                    harm(folder, number, draw)
                    found = cache.cached("view", {"seed": number}, lambda n=number: values[n])  # type: ignore[misc]
                    right += same(found, values[number])
                except InputError:
                    right += 1
            named += bool(heard.said)
        yield Figure(f"cache entry with {word}, asked for again", times, right,
                     f"{named} named as damaged and made again")  # fmt: skip


def example(number: int) -> cache.Value:
    """Return a value with all that an entry can hold."""
    draw = generator(number, "entry")
    table = pd.DataFrame({"text": [f"<b>{number}</b>", "é"], "count": [1, number]})
    return {"users": draw.random((7, 3), dtype=np.float32), "table": table, "info": {"n": number}}


def same(one: cache.Value, other: cache.Value) -> bool:
    """Return whether two values are equal to the last bit."""
    return (
        one.keys() == other.keys()
        and one["users"].tobytes() == other["users"].tobytes()
        and one["table"].equals(other["table"])
        and one["info"] == other["info"]
    )


class Heard(logging.Handler):
    """Collect what the store says while it is entered."""

    def __enter__(self) -> Heard:
        self.said: list[str] = []
        logging.getLogger("lib.cache").addHandler(self)
        logging.getLogger("lib.cache").propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("lib.cache").removeHandler(self)
        logging.getLogger("lib.cache").propagate = True

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.said.append(record.getMessage())


Harm = Callable[[Path, int, np.random.Generator], None]


def entry(folder: Path, number: int) -> Path:
    """Return the folder of an entry."""
    return folder / "view" / cache._name("view", {"seed": number})


def _any_file(folder: Path, number: int, draw: np.random.Generator) -> Path:
    files = sorted(entry(folder, number).iterdir())
    return files[int(draw.integers(len(files)))]


def flip(folder: Path, number: int, draw: np.random.Generator) -> None:
    """Turn one bit of one file."""
    path = _any_file(folder, number, draw)
    content = bytearray(path.read_bytes())
    content[int(draw.integers(len(content)))] ^= 1 << int(draw.integers(8))
    path.write_bytes(content)


def truncate(folder: Path, number: int, draw: np.random.Generator) -> None:
    """Cut one file short, perhaps to nothing."""
    path = _any_file(folder, number, draw)
    content = path.read_bytes()
    path.write_bytes(content[: int(draw.integers(len(content)))])


def remove(folder: Path, number: int, draw: np.random.Generator) -> None:
    """Remove one file."""
    _any_file(folder, number, draw).unlink()


def exchange(folder: Path, number: int, draw: np.random.Generator) -> None:
    """Put another entry, whole and sound, in the place of this one."""
    place, other = entry(folder, number), entry(folder, (number + 1) % 5)
    shutil.rmtree(place)
    shutil.copytree(other, place)


def another_version(folder: Path, number: int, draw: np.random.Generator) -> None:
    """Write the entry as a version with other names of files would."""
    place = entry(folder, number)
    old, new = (("arrays.safetensors", "arrays.npz"), ("facts.json", "facts.yml"))[
        int(draw.integers(2))
    ]
    (place / old).rename(place / new)
    manifest = (place / cache.MANIFEST).read_text()
    (place / cache.MANIFEST).write_text(manifest.replace(old, new))


DAMAGES: dict[str, Harm] = {
    "a flipped bit": flip,
    "a truncated file": truncate,
    "a file removed": remove,
    "another entry in its place": exchange,
    "another version's form": another_version,
}


def two_at_once(folder: Path, times: int) -> Figure:
    """Start all steps twice at once in one empty cache: both are right and each is made once."""

    stage = Stage("everything", forked(everything), 0)
    began = folder / "before"
    began.mkdir(parents=True)
    _, expected = undisturbed(stage, began, folder / "alone")
    right = 0
    for _ in range(times):
        fresh(began, folder / "both")
        pair = [stage.start(folder / "both") for _ in range(2)]
        ended = [process.finished() for process in pair]
        right += ended == [0, 0] and made(folder / "both") == expected
    return Figure("two builds at once in one empty cache", times, right)


def interrupts(folder: Path, times: int, seed: int) -> Iterator[Figure]:
    """Interrupt the fit and the execution of a chapter, as Ctrl-C does, then run them again."""
    python = sys.executable
    fit = Stage("fit", command(python, *FIT, PYTHONPATH=str(ROOT)), 0)
    words = ("-m", "companion", "execute", "chapters/01-first.ipynb", "games")
    chapter = Stage("chapter", command(python, *words, PYTHONPATH=str(ROOT)), 0)
    draw, right, waits = generator(seed, "interrupts"), 0, list[float]()
    for stage in (fit, chapter):
        began = folder / stage.name / "before"
        began.mkdir(parents=True)
        if stage is chapter:
            project(began)
        seconds, expected = undisturbed(stage, began, folder / stage.name / "undisturbed")
        for _ in range(times):
            took, trial = None, folder / stage.name / "trial"
            while took is None:
                fresh(began, trial)
                took = interrupted(stage.start, trial, float(draw.uniform(0.2, 0.9)) * seconds)
            plain = "Traceback" not in (trial / "log").read_text()
            again = stage.start(trial).finished()
            right += plain and again == 0 and made(trial) == expected and not locked(trial)
            waits.append(took)
    yield Figure("interrupted: one sentence, then run again", 2 * times, right)
    load = f"longest {max(waits):.1f} s, load average {os.getloadavg()[0]:.1f}"
    yield Figure(f"interrupted: ended within {SOON:g} s", 2 * times,
                 sum(took <= SOON for took in waits), load)  # fmt: skip


def full_disk(folder: Path) -> Figure:
    """Fit on disks too small, in a namespace of our own, then again with room for all."""
    folder.mkdir(parents=True)
    right, said = 0, set()
    for size in SIZES:
        script = (
            f"mount -t tmpfs -o size={size}k tmpfs {folder} && "
            f"{{ COMPANION_CACHE={folder}/cache {sys.executable} {' '.join(FIT)} 2>{folder}.first "
            f">/dev/null; echo $? >{folder}.code; mount -o remount,size=64m {folder}; "
            f"COMPANION_CACHE={folder}/cache {sys.executable} {' '.join(FIT)}; }}"
        )
        again = in_namespace(script)
        first = Path(f"{folder}.first").read_text().strip()
        code = Path(f"{folder}.code").read_text().strip()
        right += again.returncode == 0 and code == "2" and one_sentence(first)
        said.add("" if code == "2" else f"{size} KiB ended with {code}")
    return Figure("disk full (tmpfs): one sentence, then run again with room",
                  len(SIZES), right, "; ".join(sorted(said - {""})))  # fmt: skip


def read_only_disk(folder: Path) -> Figure:
    """Fit with a read-only cache: sound entries are read, a missing or damaged one is refused."""
    folder.mkdir(parents=True)
    fit = command(sys.executable, *FIT, PYTHONPATH=str(ROOT))
    if fit(folder).finished() != 0:
        raise RuntimeError((folder / "log").read_text())
    right = 0
    for word in ("whole", "damaged", "missing"):
        place = folder.with_name(f"{folder.name}-{word}")
        shutil.copytree(folder, place)
        view = next((place / "cache/view").glob("[!.]*"))
        if word == "damaged":
            (view / "facts.json").write_text("{")
        if word == "missing":
            shutil.rmtree(view)
        ran = in_namespace(
            f"mount --bind {place} {place} && mount -o remount,bind,ro {place} && "
            f"COMPANION_CACHE={place}/cache {sys.executable} {' '.join(FIT)}"
        )
        refused = ran.returncode == 2 and "cannot be written" in ran.stderr
        named = word != "damaged" or view.name in ran.stderr
        right += ran.returncode == 0 if word == "whole" else refused and named
    return Figure("read-only cache: sound entries read, others refused by name", 3, right)


def in_namespace(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount, where no one else sees it."""
    ran = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unshare failed" in ran.stderr:
        raise InputError("this machine lets no one mount a disk of his own: run it on another")
    return ran


def one_sentence(said: str) -> bool:
    """Return whether what a command said is no traceback and names the way out."""
    return "Traceback" not in said and "COMPANION_CACHE" in said
