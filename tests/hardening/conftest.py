"""How often each thing is tried, and the table of what came out.

Small by default, so that ``make test`` runs the harness too; ``make trust`` tries in earnest.
"""

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from companion.site import BUILD, ROOT

RESULTS = ROOT / BUILD / "hardening.json"
_TABLE: dict[str, dict[str, dict[str, Any]]] = {}


@pytest.fixture
def inputs() -> int:
    """Spoiled inputs for each reader."""
    return int(os.environ.get("TRUST_INPUTS", "25"))


@pytest.fixture
def kills() -> int:
    """Kills of each stage."""
    return int(os.environ.get("TRUST_KILLS", "0")) or pytest.skip("takes minutes: make trust")


@pytest.fixture(autouse=True)
def own_cache(cache_folder: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TQDM_DISABLE", "1")


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Give a function that keeps one line of the table: what, how often tried, how often right."""
    section = request.node.path.stem.removeprefix("test_")

    def keep(what: str, tried: int, right: int, found: str = "") -> None:
        line = {"what": what, "tried": tried, "right": right, "found": found}
        _TABLE.setdefault(section, {})[what] = line
        assert right == tried, line

    return keep


@pytest.fixture(scope="session", autouse=True)
def table() -> Iterator[None]:
    """Write what was recorded, and when and where, beside the lines of earlier runs."""
    yield
    asked = ["git", "rev-parse", "--short=12", "HEAD"]
    commit = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    capability = torch.backends.cpu.get_cpu_capability()  # decides the last digits of sums
    circumstances = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit.stdout.strip() or "unknown",
        "machine": f"{platform.machine()} with {capability}, {os.cpu_count()} processors",
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}",
    }
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    for section, lines in _TABLE.items():
        earlier = {line["what"]: line for line in kept.get(section, {}).get("figures", [])}
        kept[section] = {**circumstances, "figures": [*(earlier | lines).values()]}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
