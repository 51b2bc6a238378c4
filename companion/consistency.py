"""Whether the audit of the protocol repeats the chapters' measures, to the last digit.

Chapter 13 measures findings that other chapters measure, and leaves its own side in its output for
machines to read. Two pages of one dataset that were asked the same must say the same, or they are
not published (``companion.site.publish``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from companion.execute import code_cells, own_code, records_of
from companion.scoreboard import records_in

PROTOCOL = "application/vnd.companion.protocol+json"
"""The output of chapter 13 that has its own side: dataset, parameters, and by finding measures."""

AUDIT = "13-protocol"
ASKED = ("dataset", "split", "seed", "seeds", "k", "encoder")
"""Parameters of which two pages must have the same values to be compared."""


def contradictions(executed: Path, chapters: Path) -> list[str]:
    """Return a sentence for each measure that the audit and a chapter give differently.

    Compared are the findings of every dataset's folder under ``executed``, where both pages have
    the code of ``chapters`` and were asked the same.
    """
    found = []
    records = records_in(executed)
    for page in sorted(executed.glob(f"*/{AUDIT}.ipynb")):
        audit = _audit(page)
        if audit is None or not _current(page, chapters):
            continue
        for finding, ours in audit["measures"].items():
            record, other = records.get((finding, page.parent.name), (None, page))
            if not record or not _current(other, chapters) or not _same_question(audit, record):
                continue
            theirs = record["measures"]
            found += [
                f"{finding} on {page.parent.name}: {name} is {ours.get(name)} in {page.stem} and "
                f"{theirs.get(name)} in {other.stem}; execute both again with the same code."
                for name in sorted(ours.keys() | theirs.keys())
                if ours.get(name) != theirs.get(name)
            ]
    return found


def _current(page: Path, chapters: Path) -> bool:
    """Return whether an executed page has the code cells of its chapter."""
    chapter = chapters / page.name
    return chapter.is_file() and own_code(code_cells(page)) == own_code(code_cells(chapter))


def _audit(page: Path) -> dict[str, Any] | None:
    """Return the audit's record with the most epochs that its views were trained for by default."""
    default = re.search(r"^epochs = (\d+)", "\n".join(own_code(code_cells(page))), re.MULTILINE)
    epochs = int(default[1]) if default else None
    return next(({**record, "epochs": epochs} for record in records_of(page, PROTOCOL)), None)


def _same_question(audit: dict[str, Any], record: dict[str, Any]) -> bool:
    """Return whether both pages were asked the same, and their views trained for as long."""
    ours, theirs = audit["parameters"], record["parameters"]
    views_of = theirs if record["chapter"] == "09-long-tail" else {}  # 06 counts a map's epochs
    same_epochs = ours.get("epochs") == views_of.get("epochs", audit["epochs"])
    return same_epochs and all(ours.get(name) == theirs.get(name) for name in ASKED)
