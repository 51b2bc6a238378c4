"""Whether a fresh run of the chapters says what the published one says, finding by finding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from companion.scoreboard import carried
from lib.core import InputError

VERDICTS = ["published verdict", "verdict now"]
COLUMNS = ["dataset", "finding", *VERDICTS, "measure", "published", "now", "apart"]
ANYWHERE = "device"
"""The parameter that may differ: where a chapter ran is no part of what it was asked."""


def compared(
    published: Path, fresh: Path, datasets: Sequence[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """Return a row per finding that both folders judge, and who was asked something else.

    A row has both verdicts and the measure that is furthest apart: the difference in units of half
    the published interval, so that up to 1 the new value lies inside it. The list names findings
    that were judged with other parameters, which are not compared.

    Parameters
    ----------
    published, fresh
        Folders with a folder of executed chapters per dataset.
    datasets
        Which of them, all that both have where none is named.

    Raises
    ------
    InputError
        The folders have no finding in common on these datasets.
    """
    old, new = carried(published), carried(fresh)
    rows, others = [], []
    for (claim, dataset), (record, _) in old.items():
        if (claim, dataset) not in new or (datasets and dataset not in datasets):
            continue
        again = new[claim, dataset][0]
        if told := _asked(record["parameters"], again["parameters"]):
            others.append(f"{claim} on {dataset} ({told})")
            continue
        verdicts = record["verdict"], again["verdict"]
        rows.append((dataset, claim, *verdicts, *_furthest(record["measures"], again["measures"])))
    if not rows and not others:
        raise InputError(
            f"no finding is judged both under {published} and under {fresh}"
            f"{' for ' + ', '.join(datasets) if datasets else ''}: execute chapters of a published "
            "dataset first, such as make chapters"
        )
    return pd.DataFrame(rows, columns=COLUMNS), others


def _asked(old: dict[str, Any], new: dict[str, Any]) -> str:
    names = [name for name in sorted(old.keys() | new.keys()) if name != ANYWHERE]
    return ", ".join(
        f"{name} {old.get(name)} and now {new.get(name)}"
        for name in names
        if old.get(name) != new.get(name)
    )


def _furthest(
    old: dict[str, list[float | None]], new: dict[str, list[float | None]]
) -> tuple[str, float, float, float]:
    """Return the measure that is furthest apart, both its values, and how far they are apart."""
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


class Counts(NamedTuple):
    """Of how many findings the verdict is the same, no measure left its interval, all are equal."""

    same: int
    inside: int
    equal: int


def counted(table: pd.DataFrame) -> Counts:
    """Return what a table of ``compared`` comes to."""
    same = table[VERDICTS[0]] == table[VERDICTS[1]]
    return Counts(*(int(x.sum()) for x in (same, table["apart"] <= 1, table["apart"] == 0)))


def summary(table: pd.DataFrame) -> str:
    """Return what a table of ``compared`` comes to, in one sentence."""
    if table.empty:
        return "Nothing was compared."
    counts = counted(table)
    return (
        f"{counts.same} of {len(table)} findings have the published verdict; in {counts.inside} no "
        f"measure lies outside its published interval, and in {counts.equal} all are equal."
    )
