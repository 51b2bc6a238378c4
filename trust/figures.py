"""One line per thing that was tried, the table of them, and the file that keeps the last ones."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "trust" / "results.json"
WORK = ROOT / "_build" / "trust"


@dataclass(frozen=True)
class Figure:
    """How often something was tried, how often it came out right, and what else was seen."""

    what: str
    tried: int
    right: int
    found: str = ""


def rendered(figures: Iterable[Figure]) -> str:
    """Return figures as an aligned table."""
    lines = [("what", "tried", "right", "found")]
    lines += [(f.what, f"{f.tried:,}", f"{f.right:,}", f.found) for f in figures]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    return "\n".join(
        f"{what:<{widths[0]}}  {tried:>{widths[1]}}  {right:>{widths[2]}}  {found}".rstrip()
        for what, tried, right, found in lines
    )


def keep(path: Path, section: str, figures: Iterable[Figure], seconds: float) -> None:
    """Put a section's figures, or those of its part, into a file beside those of the others.

    What is tried anew leaves the other parts of the section, where an earlier run may have it.
    """
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    anew = [asdict(figure) for figure in figures]
    for other in parts_of(section.partition("/")[0], content):
        content[other]["figures"] = [
            old for old in content[other]["figures"] if old["what"] not in {f["what"] for f in anew}
        ]
        if not content[other]["figures"]:
            del content[other]
    content[section] = {**circumstances(), "seconds": round(seconds), "figures": anew}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True)
    draft.write_text(text + "\n", encoding="utf-8")
    draft.replace(path)


def parts_of(section: str, content: Iterable[str]) -> list[str]:
    """Return the keys under which a file of figures has a section: its own, and SECTION/PART."""
    return sorted(key for key in content if key.partition("/")[0] == section)


def circumstances() -> dict[str, Any]:
    """Return where and when this runs: date, commit, machine, versions."""
    asked = ["git", "rev-parse", "--short=12", "HEAD"]
    commit = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit.stdout.strip() or "unknown",
        "machine": f"{_processor()}, {os.cpu_count()} processors, {platform.system()}",
        "versions": f"Python {platform.python_version()}, "
        f"torch {importlib.metadata.version('torch')}, "
        f"NumPy {importlib.metadata.version('numpy')}",
    }


def _processor() -> str:
    import torch

    names = Path("/proc/cpuinfo")
    lines = names.read_text().splitlines() if names.is_file() else []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    # the instructions decide the last digits: sums are taken in wider or narrower parts
    name = found[0] if found else platform.machine()
    return f"{name} with {torch.backends.cpu.get_cpu_capability()}"
