"""Sphinx directive ``trust``: the last figures of one section of ``trust/results.json``.

In a page: a fence ``{trust} kills``. What was measured, by the file, stands under the table.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HEAD = ("what", "tried", "right", "found")
WIDTHS = (40, 8, 8, 44)


class Figures(SphinxDirective):
    """Show a section's table and where it comes from, or say that it was not run yet."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table and the line under it."""
        path = results(Path(self.env.srcdir))
        self.env.note_dependency(str(path))
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        section = content.get(self.arguments[0])
        if section is None:
            return [nodes.paragraph(text="Not run yet.")]
        return [table(section["figures"]), nodes.paragraph(text=origin(section))]


def results(source: Path) -> Path:
    """Return the file of figures of the clone that a book's source is in."""
    clone = (f for f in (source, *source.parents) if (f / "lib/__init__.py").is_file())
    return next(clone, source) / "trust" / "results.json"


def origin(section: dict[str, Any]) -> str:
    """Return the line that says when, where and of which commit a section's figures are."""
    minutes = max(1, round(section["seconds"] / 60))
    return (
        f"{section['date']}, commit {section['commit']}, {minutes} minutes on "
        f"{section['machine']}; {section['versions']}."
    )


def table(figures: list[dict[str, Any]]) -> nodes.table:
    """Return figures as a table; all of it is text."""
    group = nodes.tgroup(cols=len(HEAD))
    group += [nodes.colspec(colwidth=width) for width in WIDTHS]
    head, body = nodes.thead(), nodes.tbody()
    head += row([word.capitalize() for word in HEAD])
    body += [row([shown(figure[word]) for word in HEAD]) for figure in figures]
    group += [head, body]
    return nodes.table("", group)


def shown(value: object) -> str:
    """Return a cell's text, numbers with their thousands apart."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def row(cells: list[str]) -> nodes.row:
    """Return one row of a table."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph(text=cell)) for cell in cells))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the directive."""
    app.add_directive("trust", Figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
