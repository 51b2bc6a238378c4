"""Whether the audit of the protocol repeats the chapters' measures, to the last digit.

Chapter 13 measures findings that other chapters measure, and leaves its own side in its output for
machines to read. Two pages of one dataset that were asked the same must say the same, or they are
not published (``companion.site.publish``).
"""

import re
from pathlib import Path
from typing import Any

from companion.execute import own_code, records_of
from companion.scoreboard import records_in
from lib import claims

PROTOCOL = "application/vnd.companion.protocol+json"
"""The output of chapter 13 that has its own side: dataset, parameters, and by finding measures."""

INSTRUMENTS = "application/vnd.companion.instruments+json"
"""The output of chapter 17: by finding, the null and rule whose error rates let it judge data."""

AUDIT, CALIBRATION = "13-protocol", "17-instruments"
ASKED = ("dataset", "split", "seed", "seeds", "k", "encoder", "fields")
"""Parameters of which two pages must have the same values to be compared."""


def contradictions(executed: Path, chapters: Path) -> list[str]:
    """Return a sentence for each measure that the audit and a chapter give differently.

    Compared are the findings of every dataset's folder under ``executed``, where both pages have
    the code of ``chapters``, trained for as long as that says, and were asked the same.
    """
    found = []
    records = records_in(executed)
    for page in sorted(executed.glob(f"*/{AUDIT}.ipynb")):
        audit = next(iter(records_of(page, PROTOCOL)), None)
        if audit is None or not _as_written(page, audit, chapters):
            continue
        for finding, ours in audit["measures"].items():
            record, other = records.get((finding, page.parent.name), (None, page))
            if not record or not _as_written(other, record, chapters):
                continue
            asked, theirs = record["parameters"], record["measures"]
            if any(audit["parameters"].get(name) != asked.get(name) for name in ASKED):
                continue
            found += [
                f"{finding} on {page.parent.name}: {name} is {ours.get(name)} in {page.stem} and "
                f"{theirs.get(name)} in {other.stem}; execute both again with the same code."
                for name in sorted(ours.keys() | theirs.keys())
                if ours.get(name) != theirs.get(name)
            ]
    return found


def uncalibrated(executed: Path) -> list[str]:
    """Return a sentence for each rule on what only text has that chapter 17 does not bear out.

    A finding has the null and the margin that the chapter chose of those whose rates of error are
    small, or none where there is none. A chapter of too few worlds has no rates, and allows none.
    """
    page = executed / f"{CALIBRATION}.ipynb"
    if not page.is_file():
        return [f"{page} is missing: execute the chapter, which says how often rules are wrong"]
    rates = next(iter(records_of(page, INSTRUMENTS)), None)
    found = []
    for claim in claims.load().values():
        if claim.family != "identification":
            continue
        if rates is not None and claim.id not in rates:
            found.append(f"claims.yml has {claim.id}, for which {page.stem} gives no rate of error")
            continue
        rule = (rates or {}).get(claim.id) or {"null": "", "beyond": ""}
        if (rule["null"], rule["beyond"]) != (claim.instrument, claim.beyond):
            known = f"“{rule['beyond']}” beside “{rule['null']}”" if rule["null"] else "no null"
            found.append(f"{page.stem} allows {claim.id} {known}: change its rule in claims.yml")
    return found


def _as_written(page: Path, record: dict[str, Any], chapters: Path) -> bool:
    """Return whether an executed page has its chapter's code, and its number of epochs if any."""
    chapter = chapters / page.name
    code = own_code(page)
    default = re.search(r"^epochs = (\d+)", "\n".join(code), re.MULTILINE)
    same = record["parameters"].get("epochs") == (int(default[1]) if default else None)
    return same and chapter.is_file() and code == own_code(chapter)
