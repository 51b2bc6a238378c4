"""Processes killed at random moments: run again, and the result is that of an undisturbed run."""

from pathlib import Path
from typing import Any

import pytest
from processes import disturbed, finished, kill, locked
from stages import STAGES, Stage, fresh, made, prepared, undisturbed, world

from lib.core import generator


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_killed_stage_runs_again_to_the_same_result(
    stage: Stage, kills: int, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPANION_MIRROR", "")  # put back after the test
    with world() as folder:
        began = prepared(stage, folder / "before")
        undisturbed(stage, began, folder / "undisturbed")  # what is slow only once
        seconds, expected = undisturbed(stage, began, folder / "undisturbed")
        rng = generator(0, f"kills: {stage.name}")
        faults = []
        for _ in range(kills):
            took, trial = None, folder / "trial"
            while took is None:
                fresh(began, trial)
                last = None if rng.random() < 0.7 else -1  # all processes, or the youngest alone
                moment = float(rng.uniform(0, seconds))
                took = disturbed(stage.start, trial, moment, lambda alive, n=last: kill(alive[n:]))
                seconds *= 1 if took else 0.9  # it takes less now
            faults += fault_after(stage, trial, expected)
    right, found = kills - len(faults), "; ".join(sorted(set(faults)))
    record(f"kill -9 during {stage.name}, then run again", kills, right, found)


def fault_after(stage: Stage, trial: Path, expected: dict[str, str]) -> list[str]:
    """Run a stage again where it was disturbed, and say what is wrong after that, if anything."""
    code = finished(stage.start(trial))
    if code != 0:
        return [f"ended with {code}: {(trial / 'log').read_text().strip()[-100:]}"]
    found = made(trial)
    other = sorted(p for p in found.keys() | expected.keys() if found.get(p) != expected.get(p))
    if other:
        return [f"{'another result' if other[0] in expected else 'left over'}: {other[0]}"]
    return [f"a lock is still held: {path.name}" for path in locked(trial)[:1]]
