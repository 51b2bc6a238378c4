"""Sphinx directives that show tables of what the project keeps as data.

``{speed}`` shows what ``make bench`` published last, ``{trust} SECTION`` one section of the
hardening tests, each with where its numbers are from; ``{known-datasets}`` the datasets by name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

SPEED = "bench/results.json"
TRUST = "tests/hardening/results.json"
MISSING = "Not run yet."


def clone_of(source: Path) -> Path:
    """Return the clone that holds a book's (staged) source, or the source itself."""
    folders = (f for f in (source, *source.parents) if (f / "lib/__init__.py").is_file())
    return next(folders, source)


def _read(directive: SphinxDirective, place: str) -> Any:
    """Return what a JSON file of the project holds, {} without one; its page depends on it."""
    path = clone_of(Path(directive.env.srcdir)) / place
    directive.env.note_dependency(str(path))
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


class Speed(SphinxDirective):
    """Show the benchmarks: ours beside a peer, and the least time the machine allows."""

    def run(self) -> list[nodes.Node]:
        """Return the table and the line that says on what machine it was measured."""
        found = _read(self, SPEED)
        if not found:
            return [nodes.paragraph(text=MISSING)]
        facts = found["machine"]
        origin = (
            f"{facts['processor']}, {facts['threads']} threads, Python {facts['python']}, torch "
            f"{facts['torch']}; {facts['flops'] / 1e9:,.0f} Gflop/s and "
            f"{facts['bandwidth'] / 1e9:,.1f} GB/s at best, measured in the same run."
        )
        head = ("what", "ours", "peer", "ratio", "floor")
        return [_table(head, [_speed(row) for row in found["rows"]]), nodes.paragraph(text=origin)]


def _speed(row: dict[str, Any]) -> list[str]:
    floor, unit = row["floor"], row["unit"]
    return [
        f"{row['what']}\n{row['size']}",
        _amount(row["ours"], unit),
        f"{_amount(row['peer'], unit)}\n{row['peer_name']}",
        f"{row['ratio']:.2f}" if row["ratio"] >= 0.1 else f"{row['ratio']:.3f}",
        "" if floor is None else f"{_amount(floor, unit)}\n× {row['ours'] / floor:.1f}",
    ]


def _amount(value: float, unit: str) -> str:
    """Return an amount with its unit, less than a second in milliseconds."""
    if unit == "s" and value < 1:
        return f"{value * 1e3:,.1f}\N{NO-BREAK SPACE}ms"
    return f"{value:,.1f}\N{NO-BREAK SPACE}{unit}" if unit else f"{value:.3g}"


class Trust(SphinxDirective):
    """Show what one section of the hardening tests tried and found."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table and the line that says when, of which commit and where it ran."""
        found = _read(self, TRUST).get(self.arguments[0])
        if not found:
            return [nodes.paragraph(text=MISSING)]
        head = ("what", "tried", "right", "found")
        cells = [[figure[name] for name in head] for figure in found["figures"]]
        rows = [[f"{x:,}" if isinstance(x, int) else str(x) for x in row] for row in cells]
        origin = "{date}, commit {commit}, on {machine}; {versions}.".format_map(found)
        return [_table(head, rows), nodes.paragraph(text=origin)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> nodes.table:
    """Return a table of text; a line break in a cell begins a new line."""
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=1) for _ in head]
    top, body = nodes.thead(), nodes.tbody()
    top += _row([word.capitalize() for word in head])
    body += [_row(cells) for cells in rows]
    group += [top, body]
    return nodes.table("", group, classes=["colwidths-auto", "figures"])


def _row(cells: Sequence[str]) -> nodes.row:
    row = nodes.row()
    row += [nodes.entry("", *(nodes.paragraph(text=x) for x in c.split("\n"))) for c in cells]
    return row


class KnownDatasets(SphinxDirective):
    """Show the datasets that have a name, and the files that they are made of."""

    def run(self) -> list[nodes.Node]:
        """Return the parsed Markdown, in which links and citations are the book's own."""
        box = nodes.container()
        self.state.nested_parse(StringList(self._lines(), source=self.env.docname), 0, box)
        return box.children

    def _lines(self) -> list[str]:
        from companion.data import DATASETS

        table = ["| name | what it is | text of an item | licence |", "|---|---|---|---|"]
        files = ["", "The files, and the SHA-256 that each must have:", ""]
        for name, known in DATASETS.items():
            facts = known.facts
            what = f"{facts['origin']} {{cite}}`{facts['citation']}`"
            page = f"executed/{name}/01-data"
            shown = f"{{doc}}`{name} </{page}>`" if page in self.env.found_docs else f"`{name}`"
            table.append(f"| {shown} | {what} | {facts['text']} | {facts['licence']} |")
            for source in known.files:
                hashed = f"`{source.sha256}`" if source.sha256 else "recorded when first used"
                files.append(f"- `{name}`: `{source.url}`, {hashed}")
        return [*table, *files]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("speed", Speed)
    app.add_directive("trust", Trust)
    app.add_directive("known-datasets", KnownDatasets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
