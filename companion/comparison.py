"""Do fresh runs of the chapters agree with the published ones, finding by finding?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from companion.scoreboard import records_in
from lib.core import InputError

VERDICTS = ["published verdict", "verdict now"]
COLUMNS = ["dataset", "finding", *VERDICTS, "measure", "published", "now", "apart"]
IGNORED = "device"
"""The parameter that may differ: results should not depend on where a chapter ran."""


def compare(
    published: Path, fresh: Path, datasets: Sequence[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """Return a row per finding judged in both folders, and the findings left out.

    A row has both verdicts and the measure that differs most: ``apart`` is the difference divided
    by half the width of the published interval, so up to 1 the new value lies inside it. Findings
    judged with other parameters are left out, and listed with the parameters that differ.
    ``published`` and ``fresh`` hold a folder of executed chapters per dataset; ``datasets`` names
    some of them, by default all that both have. Raises InputError if there is nothing to compare.
    """
    old, new = records_in(published), records_in(fresh)
    rows, others = [], []
    for (claim, dataset), (before, _) in old.items():
        if (claim, dataset) not in new or (datasets and dataset not in datasets):
            continue
        now, _ = new[claim, dataset]
        if changes := _changes(before["parameters"], now["parameters"]):
            others.append(f"{claim} on {dataset} ({changes})")
            continue
        furthest = _furthest(before["measures"], now["measures"])
        rows.append((dataset, claim, before["verdict"], now["verdict"], *furthest))
    if not rows and not others:
        raise InputError(
            f"no finding is judged both under {published} and under {fresh}"
            f"{' for ' + ', '.join(datasets) if datasets else ''}: execute chapters of a published "
            "dataset first, such as make chapters"
        )
    return pd.DataFrame(rows, columns=COLUMNS), others


def _changes(old: dict[str, Any], new: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {old.get(name)} and now {new.get(name)}"
        for name in sorted(old.keys() | new.keys())
        if name != IGNORED and old.get(name) != new.get(name)
    )


def _furthest(
    old: dict[str, list[float | None]], new: dict[str, list[float | None]]
) -> tuple[str, float, float, float]:
    """Return the measure that differs most, both its values, and the difference."""
    found = [(name, *_apart(old[name], new[name])) for name in old if name in new]
    return max(found, key=lambda row: row[3])


def _apart(old: list[float | None], new: list[float | None]) -> tuple[float, float, float]:
    before, low, high, _ = (math.nan if x is None else x for x in old)
    now = math.nan if new[0] is None else new[0]
    half = (high - low) / 2
    if before == now or (math.isnan(before) and math.isnan(now)):
        return before, now, 0.0
    apart = abs(now - before) / half if half else math.inf
    return before, now, math.inf if math.isnan(apart) else apart


class Agreement(NamedTuple):
    """Findings with the same verdict, all measures in their intervals, and all measures equal."""

    same: int
    inside: int
    equal: int


def agreement(table: pd.DataFrame) -> Agreement:
    """Count the findings of a table of ``compare`` that agree."""
    same = table[VERDICTS[0]] == table[VERDICTS[1]]
    return Agreement(*(int(x.sum()) for x in (same, table["apart"] <= 1, table["apart"] == 0)))


def summary(table: pd.DataFrame) -> str:
    """Return the agreement of a table of ``compare`` in one sentence."""
    if table.empty:
        return "Nothing was compared."
    counts = agreement(table)
    return (
        f"{counts.same} of {len(table)} findings have the published verdict; in {counts.inside} no "
        f"measure lies outside its published interval, and in {counts.equal} all are equal."
    )
