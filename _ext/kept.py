"""What the directives share that show figures kept in the project as JSON: its place, a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


def clone_of(source: Path) -> Path:
    """Return the folder with ``lib`` that a book's source is in, or the source itself.

    The pages may be staged somewhere inside the project.
    """
    folders = (f for f in (source, *source.parents) if (f / "lib/__init__.py").is_file())
    return next(folders, source)


def kept(directive: SphinxDirective, place: str) -> Any:
    """Return what a JSON file of the project holds, {} without one, and tie the page to it."""
    path = clone_of(Path(directive.env.srcdir)) / place
    directive.env.note_dependency(str(path))
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def table(head: dict[str, int], rows: list[list[str]]) -> nodes.table:
    """Return a table of columns with these names and widths; all of it is text."""
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=width) for width in head.values()]
    top, body = nodes.thead(), nodes.tbody()
    top += _row([word.capitalize() for word in head])
    body += [_row(cells) for cells in rows]
    group += [top, body]
    return nodes.table("", group)


def _row(cells: list[str]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph(text=cell)) for cell in cells))
