"""Processes killed at random moments: run again, and the result is that of an undisturbed run."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lib.core import generator
from trust import little, stages
from trust.figures import ROOT, Figure
from trust.processes import killed, locked
from trust.stages import STAGES, Stage


def figures(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield a line per stage that is killed."""
    with world() as folder:
        for number, stage in enumerate(STAGES):
            kills = max(1, round(stage.kills * options.kills / 61))
            yield survived(stage, STAGES[:number], folder, kills, options.seed)


@contextlib.contextmanager
def world() -> Iterator[Path]:
    """Give a folder with the little dataset behind a server, and a loaded text model."""
    with tempfile.TemporaryDirectory(prefix="trust-") as name:
        folder = Path(name)
        mirror = little.write(folder / "mirror")
        server = subprocess.Popen(
            [sys.executable, "-m", "trust.server", str(mirror)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert server.stdout is not None
        stages.environment(f"http://127.0.0.1:{server.stdout.readline().strip()}")
        try:
            yield folder
        finally:
            server.kill()
            server.wait()


def survived(
    stage: Stage, earlier: tuple[Stage, ...], folder: Path, kills: int, seed: int
) -> Figure:
    """Kill a stage at random moments, each time run it again, and count the equal results."""
    began = stages.before(stage, folder / stage.name / "before", list(earlier))
    undisturbed(stage, began, folder / stage.name / "undisturbed")  # once for what is slow once
    seconds, expected = undisturbed(stage, began, folder / stage.name / "undisturbed")
    draw = generator(seed, f"kills: {stage.name}")
    faults: list[str] = []
    for number in range(kills):
        trial, hit = folder / stage.name / "trial", False
        while not hit:
            fresh(began, trial)
            whole = bool(draw.random() < 0.7)
            hit = killed(stage.start, trial, float(draw.uniform(0, seconds)), whole=whole)
            seconds *= 1 if hit else 0.9  # it takes less now
        fault = recovered(stage, trial, expected)
        if fault:
            faults.append(fault)
            shutil.copytree(trial, folder.parent / f"trust-kept-{stage.name}-{number}",
                            symlinks=True, dirs_exist_ok=True)  # fmt: skip
    what = f"kill -9 during {stage.name}, then run again"
    return Figure(what, kills, kills - len(faults), "; ".join(sorted(set(faults))))


def undisturbed(stage: Stage, began: Path, folder: Path) -> tuple[float, stages.Made]:
    """Return the seconds a stage takes when it is left alone, and what it makes."""
    fresh(began, folder)
    start = time.perf_counter()
    if stage.start(folder).finished() != 0:
        raise RuntimeError(f"{stage.name} fails undisturbed: {(folder / 'log').read_text()}")
    return time.perf_counter() - start, stages.made(folder)


def fresh(began: Path, folder: Path) -> None:
    """Make a folder as it was when the stage began."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(began, folder, symlinks=True)


def recovered(stage: Stage, trial: Path, expected: stages.Made) -> str:
    """Run a stage again where it was disturbed, and say what is wrong after that, if anything."""
    code = stage.start(trial).finished()
    if code is None:
        return "it hangs"
    if code:
        last = (trial / "log").read_text().strip().splitlines()[-1:]
        return f"it fails: {''.join(last)[:100]}"
    found = stages.made(trial)
    other = sorted(p for p in found.keys() | expected.keys() if found.get(p) != expected.get(p))
    if other:
        word = "left over" if other[0] not in expected else "another result"
        return f"{word}: {other[0]}"
    held = locked(trial)
    return f"an orphan lock: {held[0].name}" if held else ""
