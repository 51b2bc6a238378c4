"""The scoreboard: the verdict records that executed chapters carry, over all datasets."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from companion.chapter import MARKS, RECORD
from lib import claims

COLUMNS = [
    "claim", "dataset", "chapter", "verdict", "mean", "low", "high", "beside", "beside_low",
    "beside_high", "reason", "page",
]  # fmt: skip


def records(folders: Sequence[Path], order: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row per claim and dataset from the executed notebooks under ``folders``.

    Claims stand in the order of ``claims.yml``, datasets in ``order``, others behind by name. A
    later folder's record takes the place of an earlier one's, so that fresh runs stand before
    published ones. Notebooks that stopped at an error are left out.
    """
    rows = {
        place: _row(record, page)
        for folder in folders
        for place, (record, page) in records_in(folder).items()
    }
    table = pd.DataFrame(list(rows.values()), columns=COLUMNS)
    there = sorted(table["dataset"].unique())
    names = [name for name in order if name in there]
    names += [name for name in there if name not in names]
    table["dataset"] = pd.Categorical(table["dataset"], categories=names)
    table["claim"] = pd.Categorical(table["claim"], categories=list(claims.load()))
    return table.sort_values(["claim", "dataset"], ignore_index=True)


def records_in(folder: Path) -> dict[tuple[str, str], tuple[dict[str, Any], Path]]:
    """Return, by claim and dataset, the record and the notebook under ``folder`` that has it."""
    return {
        (record["claim"], page.parent.name): (record, page)
        for page in sorted(folder.glob("*/[!.]*.ipynb"))
        if not page.stem.endswith(".failed")
        for record in _records_of(page)
    }


def _records_of(page: Path) -> Iterator[dict[str, Any]]:
    for cell in json.loads(page.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            record = output.get("data", {}).get(RECORD)
            if record is not None:
                yield record


def _row(record: dict[str, Any], page: Path) -> dict[str, Any]:
    claim = claims.load()[record["claim"]]
    mean, low, high, _ = record["measures"][claim.headline]
    beside, beside_low, beside_high, _ = record["measures"][claim.beside]
    return {
        **{name: record[name] for name in ("claim", "chapter", "verdict", "reason")},
        "dataset": page.parent.name,
        "mean": mean,
        "low": low,
        "high": high,
        "beside": beside,
        "beside_low": beside_low,
        "beside_high": beside_high,
        "page": f"{page.parent.name}/{page.stem}",
    }


DEPENDS = "depends on the data"
"""What is said of a claim that has several verdicts, one a dataset."""

COLOURS = {
    claims.HOLDS: "#0072B2",
    claims.EXPLAINED: "#E69F00",
    claims.FAILS: "#D55E00",
    claims.UNTESTABLE: "#8A8A8A",
}


def table(found: pd.DataFrame, link: str = "{page}.html") -> str:
    """Return the scoreboard as HTML: a row per claim, a column per dataset, words and colours.

    ``link`` leads from the page that shows the table to a chapter's page.
    """
    datasets = found["dataset"].cat.categories
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in datasets)
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
    return (
        '<div style="overflow-x:auto"><table class="table scoreboard">'
        f'<thead><tr><th scope="col" style="text-align:left">Finding</th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _cell(rows: pd.DataFrame, dataset: str, link: str) -> str:
    label = f'data-dataset="{html.escape(dataset, quote=True)}"'
    if rows.empty:
        return f"<td {label}>–</td>"
    row = rows.iloc[0]
    colour, (_, mark) = COLOURS[row["verdict"]], MARKS[row["verdict"]]
    numbers = _small("", row, "mean", "low", "high")
    numbers += _small("beside ", row, "beside", "beside_low", "beside_high")
    address = html.escape(link.format(page=row["page"]), quote=True)
    return (
        f'<td {label} style="border-left:0.4em solid {colour};text-align:left">'
        f'<a href="{address}">{mark} {row["verdict"]}</a>{numbers}</td>'
    )


def _small(word: str, row: pd.Series, mean: str, low: str, high: str) -> str:
    if pd.isna(row[mean]):
        return ""
    bounds = f"[{row[low]:.3f}, {row[high]:.3f}]"
    return f"<br><small>{word}{row[mean]:.3f} <span>{bounds}</span></small>"


def sentences(found: pd.DataFrame, verdict: str, link: str = "{page}.html") -> str:
    """Return the claims with one verdict on every dataset, or with several, as an HTML list.

    Each has the finding, and for every dataset the verdict, the measure with its interval, what
    stands beside it, and the part of the rule that decided: sentences to be quoted. ``verdict`` is
    one of the words, or ``DEPENDS``; ``link`` is as in ``table``.
    """
    items = [
        _item(claim, rows, link)
        for claim, rows in found.groupby("claim", observed=True)
        if _common(rows) == verdict
    ]
    return f"<ul>{''.join(items)}</ul>" if items else "<p>None.</p>"


def _common(rows: pd.DataFrame) -> str:
    words = set(rows["verdict"])
    return words.pop() if len(words) == 1 else DEPENDS


def _item(name: str, rows: pd.DataFrame, link: str) -> str:
    claim = claims.load()[name]
    words = f"Measured: {claim.unit}. Beside it: {claim.measures[claim.beside]}."
    places = "".join(f"<li>{_sentence(row, link)}</li>" for _, row in rows.iterrows())
    return (
        f"<li><b>{claim.id}</b> {html.escape(claim.finding)} "
        f"<small>{html.escape(words)}</small><ul>{places}</ul></li>"
    )


def _sentence(row: pd.Series, link: str) -> str:
    address = html.escape(link.format(page=row["page"]), quote=True)
    dataset = html.escape(row["dataset"])
    said = f'On <a href="{address}">{dataset}</a> it <i>{_verb(row["verdict"])}</i>'
    if not pd.isna(row["mean"]):
        said += f": {_numbers(row, 'mean', 'low', 'high')}"
    if not pd.isna(row["beside"]):
        said += f"; beside it {_numbers(row, 'beside', 'beside_low', 'beside_high')}"
    return f"{said}. Decided by: <code>{html.escape(row['reason'])}</code>."


def _verb(word: str) -> str:
    return f"is {word}" if word == claims.UNTESTABLE else word


def _numbers(row: pd.Series, mean: str, low: str, high: str) -> str:
    return f"{row[mean]:.3f} [{row[low]:.3f}, {row[high]:.3f}]"


def drawn(found: pd.DataFrame) -> pd.DataFrame:
    """Return what ``figures.by_finding`` draws: a panel per claim that has a number anywhere."""
    known = found.groupby("claim", observed=True)["mean"].transform("count") > 0
    titles = {c.id: f"{c.id}: {c.measures[c.headline]}" for c in claims.load().values()}
    return found[known].assign(panel=found["claim"].astype(str).map(titles))


def tally(found: pd.DataFrame) -> str:
    """Return a table, a row per dataset: how many findings got which verdict, as HTML."""
    counted = counts(found)
    if counted.empty:
        return "<p>Nothing was judged yet.</p>"
    words = [word for word in claims.VERDICTS if counted[word].any()]
    head = "".join(
        f'<th scope="col" style="border-bottom:0.4em solid {COLOURS[word]}">{MARKS[word][1]} {word}'
        "</th>"
        for word in words
    )
    body = "".join(
        f'<tr><th scope="row">{html.escape(str(name))}</th>'
        + "".join(f"<td>{row[word]}</td>" for word in words)
        + "</tr>"
        for name, row in counted.iterrows()
    )
    return (
        '<table class="table tally"><caption>Verdicts on the '
        f"{len(claims.load())} findings and open questions</caption>"
        f'<thead><tr><th scope="col">Dataset</th>{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def counts(found: pd.DataFrame) -> pd.DataFrame:
    """Return how many claims got which verdict on each dataset."""
    counted = pd.crosstab(found["dataset"], found["verdict"])
    return counted.reindex(columns=list(claims.VERDICTS), fill_value=0)
