"""The scoreboard: the verdict records of executed chapters, over all datasets; fresh and published.

Functions that return HTML take ``link``, the address of a chapter's page seen from theirs.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from companion.execute import executed, in_order, records_of
from lib import claims
from lib.core import InputError

RECORD = "application/vnd.companion.claim+json"
"""The type of the output by which an executed chapter carries a verdict."""

MARKS = {
    claims.HOLDS: ("tip", "✔"),
    claims.EXPLAINED: ("warning", "◐"),
    claims.FAILS: ("danger", "✘"),
    claims.UNTESTABLE: ("note", "○"),
}
"""A verdict's style of admonition and its sign."""

COLOURS = {
    claims.HOLDS: "#0072B2",
    claims.EXPLAINED: "#E69F00",
    claims.FAILS: "#D55E00",
    claims.UNTESTABLE: "#8A8A8A",
}
DEPENDS = "depends on the data"  # a claim whose verdict differs between datasets
COLUMNS = [
    "claim", "dataset", "chapter", "verdict", "mean", "low", "high", "beside", "beside_low",
    "beside_high", "reason", "page",
]  # fmt: skip

VERDICTS = ["published verdict", "verdict now"]
COMPARED = ["dataset", "finding", *VERDICTS, "measure", "published", "now", "apart"]
IGNORED = "device"  # may differ: results should not depend on where a chapter ran
OLDER = {"fields": "all"}  # what pages were made with before they had the parameter


def records(folders: Sequence[Path], order: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row per claim and dataset from the executed notebooks under ``folders``.

    Claims are in the order of ``claims.yml``, datasets in ``order``, others after them by name. A
    later folder's record replaces an earlier one's.
    """
    found = {key: _row(*pair) for folder in folders for key, pair in records_in(folder).items()}
    table = pd.DataFrame(list(found.values()), columns=COLUMNS)
    table["dataset"] = pd.Categorical(table["dataset"], in_order(table["dataset"].unique(), order))
    table["claim"] = pd.Categorical(table["claim"], list(claims.load()))
    return table.sort_values(["claim", "dataset"], ignore_index=True)


def records_in(folder: Path) -> dict[tuple[str, str], tuple[dict[str, Any], Path]]:
    """Return, by claim and dataset, each record under ``folder`` and its notebook."""
    return {
        (record["claim"], path.parent.name): (record, path)
        for part in sorted(folder.glob("*/"))
        for path in executed(part)
        for record in records_of(path, RECORD)
    }


def _row(record: dict[str, Any], path: Path) -> dict[str, Any]:
    claim = claims.load()[record["claim"]]
    headline, beside = (record["measures"][x][:3] for x in (claim.headline, claim.beside))
    return {
        **{name: record[name] for name in ("claim", "chapter", "verdict", "reason")},
        **dict(zip(("mean", "low", "high"), headline, strict=True)),
        **dict(zip(("beside", "beside_low", "beside_high"), beside, strict=True)),
        "dataset": path.parent.name,
        "page": f"{path.parent.name}/{path.stem}",
    }


def table(found: pd.DataFrame, link: str = "{page}.html") -> str:
    """Return the scoreboard as HTML: a row per claim, a column per dataset, words and colours."""
    datasets = found["dataset"].cat.categories
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in datasets)
    head = f'<th scope="col" style="text-align:left">Finding</th>{head}'
    body = []
    for claim in claims.load().values():
        cells = "".join(
            _cell(found[(found["claim"] == claim.id) & (found["dataset"] == name)], name, link)
            for name in datasets
        )
        beside = html.escape(claim.measures[claim.beside])
        body.append(
            f'<tr><th scope="row" style="text-align:left">{claim.id} '
            f"{html.escape(claim.finding)}<details><summary>What is measured</summary>"
            f"<p>Paper: {html.escape(claim.paper)}</p><p>Measured: {html.escape(claim.unit)}</p>"
            f"<p>Beside it: {beside}</p></details></th>{cells}</tr>"
        )
    return f'<div style="overflow-x:auto">{_grid("scoreboard", "", head, "".join(body))}</div>'


def _grid(name: str, caption: str, head: str, body: str) -> str:
    inner = f"{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<table class="table {name}">{inner}</table>'


def _cell(rows: pd.DataFrame, dataset: str, link: str) -> str:
    label = f'data-dataset="{html.escape(dataset, quote=True)}"'
    if rows.empty:
        return f"<td {label}>–</td>"
    row = rows.iloc[0]
    numbers = "".join(
        f"<br><small>{word}{row[name]:.3f} <span>{_bounds(row, name)}</span></small>"
        for word, name in (("", "mean"), ("beside ", "beside"))
        if not pd.isna(row[name])
    )
    colour, (_, mark) = COLOURS[row["verdict"]], MARKS[row["verdict"]]
    return (
        f'<td {label} style="border-left:0.4em solid {colour};text-align:left">'
        f'<a href="{_address(row, link)}">{mark} {row["verdict"]}</a>{numbers}</td>'
    )


def _bounds(row: pd.Series, name: str) -> str:
    low, high = ("low", "high") if name == "mean" else (f"{name}_low", f"{name}_high")
    return f"[{row[low]:.3f}, {row[high]:.3f}]"


def _address(row: pd.Series, link: str) -> str:
    return html.escape(link.format(page=row["page"]), quote=True)


def sentences(found: pd.DataFrame, verdict: str, link: str = "{page}.html") -> str:
    """Return the claims with one verdict on every dataset as an HTML list, to be quoted.

    Each has the finding, and for every dataset the verdict, the numbers, and what decided.
    ``verdict`` is one of the words, or ``DEPENDS`` for claims with several verdicts.
    """
    items = [
        _item(claims.load()[name], rows, link)
        for name, rows in found.groupby("claim", observed=True)
        if verdict == (rows["verdict"].iloc[0] if rows["verdict"].nunique() == 1 else DEPENDS)
    ]
    return f"<ul>{''.join(items)}</ul>" if items else "<p>None.</p>"


def _item(claim: claims.Claim, rows: pd.DataFrame, link: str) -> str:
    words = f"Measured: {claim.unit}. Beside it: {claim.measures[claim.beside]}."
    said = "".join(f"<li>{_sentence(row, link)}</li>" for _, row in rows.iterrows())
    return (
        f"<li><b>{claim.id}</b> {html.escape(claim.finding)} "
        f"<small>{html.escape(words)}</small><ul>{said}</ul></li>"
    )


def _sentence(row: pd.Series, link: str) -> str:
    word = row["verdict"]
    verb = f"is {word}" if word == claims.UNTESTABLE else word
    dataset = html.escape(row["dataset"])
    said = f'On <a href="{_address(row, link)}">{dataset}</a> it <i>{verb}</i>'
    for start, name in ((": ", "mean"), ("; beside it ", "beside")):
        if not pd.isna(row[name]):
            said += f"{start}{row[name]:.3f} {_bounds(row, name)}"
    return f"{said}. Decided by: <code>{html.escape(row['reason'])}</code>."


def panels(found: pd.DataFrame) -> pd.DataFrame:
    """Return what ``figures.by_finding`` draws: a panel per claim with a number anywhere."""
    known = found.groupby("claim", observed=True)["mean"].transform("count") > 0
    titles = {c.id: f"{c.id}: {c.measures[c.headline]}" for c in claims.load().values()}
    return found[known].assign(panel=found["claim"].astype(str).map(titles))


def tally(found: pd.DataFrame) -> str:
    """Return how many claims got which verdict on each dataset, as an HTML table."""
    counted = counts(found)
    if counted.empty:
        return "<p>Nothing was judged yet.</p>"
    words = [word for word in claims.VERDICTS if counted[word].any()]
    head = '<th scope="col">Dataset</th>' + "".join(
        f'<th scope="col" style="border-bottom:0.4em solid {COLOURS[word]}">{MARKS[word][1]} {word}'
        "</th>"
        for word in words
    )
    body = ""
    for name, row in counted.iterrows():
        cells = "".join(f"<td>{row[word]}</td>" for word in words)
        body += f'<tr><th scope="row">{html.escape(str(name))}</th>{cells}</tr>'
    number = len(claims.load())
    caption = f"<caption>Verdicts on the {number} findings and open questions</caption>"
    return _grid("tally", caption, head, body)


def counts(found: pd.DataFrame) -> pd.DataFrame:
    """Return how many claims got which verdict on each dataset, as a table."""
    counted = pd.crosstab(found["dataset"], found["verdict"])
    return counted.reindex(columns=list(claims.VERDICTS), fill_value=0)


def compare(
    published: Path, fresh: Path, datasets: Sequence[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """Return a row per finding judged in both folders, and the findings left out.

    A row has both verdicts and the measure that differs most: ``apart`` is the difference divided
    by half the width of the published interval, so up to 1 the new value lies inside it. Findings
    judged with other parameters are left out, and listed with the parameters that differ.
    ``published`` and ``fresh`` hold a folder of executed chapters per dataset; ``datasets`` names
    some of them, by default all that both have.
    """
    old, new = records_in(published), records_in(fresh)
    rows, others = [], []
    for (claim, dataset), (before, _) in old.items():
        if (claim, dataset) not in new or (datasets and dataset not in datasets):
            continue
        now, _ = new[claim, dataset]
        if changes := _changes(OLDER | before["parameters"], OLDER | now["parameters"]):
            others.append(f"{claim} on {dataset} ({changes})")
            continue
        ours, theirs = now["measures"], before["measures"]
        apart = [(name, *_apart(theirs[name], ours[name])) for name in theirs if name in ours]
        furthest = max(apart, key=lambda row: row[3])
        rows.append((dataset, claim, before["verdict"], now["verdict"], *furthest))
    if not rows and not others:
        raise InputError(
            f"no finding is judged both under {published} and under {fresh}"
            f"{' for ' + ', '.join(datasets) if datasets else ''}: execute chapters of a published "
            "dataset first, such as make chapters"
        )
    return pd.DataFrame(rows, columns=COMPARED), others


def _changes(old: dict[str, Any], new: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {old.get(name)} and now {new.get(name)}"
        for name in sorted(old.keys() | new.keys())
        if name != IGNORED and old.get(name) != new.get(name)
    )


def _apart(old: list[float | None], new: list[float | None]) -> tuple[float, float, float]:
    """Return both values of a measure, and how far they are apart."""
    before, low, high, _ = (math.nan if x is None else x for x in old)
    now = math.nan if new[0] is None else new[0]
    half = (high - low) / 2
    if before == now or (math.isnan(before) and math.isnan(now)):
        return before, now, 0.0
    apart = abs(now - before) / half if half else math.inf
    return before, now, math.inf if math.isnan(apart) else apart


def agreement(compared: pd.DataFrame) -> str:
    """Return how far a table of ``compare`` agrees, in one sentence."""
    if compared.empty:
        return "Nothing was compared."
    same = compared[VERDICTS[0]] == compared[VERDICTS[1]]
    return (
        f"{same.sum()} of {len(compared)} findings have the published verdict; in "
        f"{(compared['apart'] <= 1).sum()} no measure lies outside its published interval, and in "
        f"{(compared['apart'] == 0).sum()} all are equal."
    )
