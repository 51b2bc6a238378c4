"""How often each thing is tried, and the table of what came out.

Small by default, so that ``make test`` runs the harness too; ``make trust`` tries in earnest.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from companion.site import BUILD, ROOT

RESULTS = ROOT / BUILD / "hardening.json"
Record = Callable[..., None]


@pytest.fixture
def inputs() -> int:
    """Spoiled inputs for each reader."""
    return int(os.environ.get("TRUST_INPUTS", "25"))


@pytest.fixture
def kills() -> int:
    """Kills of each stage."""
    number = int(os.environ.get("TRUST_KILLS", "0"))
    return number or pytest.skip("takes minutes: make trust")


@pytest.fixture(autouse=True)
def own_cache(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """Give a function that keeps one line of the table: what, how often tried, how often right."""
    section = request.node.path.stem.removeprefix("test_")

    def keep(what: str, tried: int, right: int, found: str = "") -> None:
        line = {"what": what, "tried": tried, "right": right, "found": found}
        _TABLE.setdefault(section, {})[what] = line
        assert right == tried, f"{what}: {right} of {tried}; {found}"

    return keep


_TABLE: dict[str, dict[str, dict[str, Any]]] = {}


@pytest.fixture(scope="session", autouse=True)
def table() -> Iterator[None]:
    """Write what was recorded beside the sections of earlier runs."""
    yield
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    for section, lines in _TABLE.items():
        kept[section] = circumstances() | {"figures": list(lines.values())}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def circumstances() -> dict[str, str]:
    """Return when and where this runs: date, commit, machine, versions."""
    asked = ["git", "rev-parse", "--short=12", "HEAD"]
    commit = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    capability = torch.backends.cpu.get_cpu_capability()  # decides the last digits of sums
    version = importlib.metadata.version
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit.stdout.strip() or "unknown",
        "machine": f"{platform.machine()} with {capability}, {os.cpu_count()} processors",
        "versions": f"Python {platform.python_version()}, torch {version('torch')}",
    }
