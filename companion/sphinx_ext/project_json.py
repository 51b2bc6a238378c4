"""What the directives share that show figures kept in the project as JSON: its place, a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
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


def project_json(directive: SphinxDirective, place: str) -> Any:
    """Return what a JSON file of the project holds, {} without one, and tie the page to it."""
    path = clone_of(Path(directive.env.srcdir)) / place
    directive.env.note_dependency(str(path))
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> nodes.table:
    """Return a table of columns with these names; all of it is text, a line break a new line."""
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=1) for _ in head]
    top, body = nodes.thead(), nodes.tbody()
    top += _row([word.capitalize() for word in head])
    body += [_row(cells) for cells in rows]
    group += [top, body]
    return nodes.table("", group, classes=["colwidths-auto", "figures"])


def _row(cells: Sequence[str]) -> nodes.row:
    made = nodes.row()
    for cell in cells:
        made += nodes.entry("", *(nodes.paragraph(text=line) for line in cell.split("\n")))
    return made
