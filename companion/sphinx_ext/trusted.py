"""Sphinx directive ``trust``: the last published figures of one section of the hardening tests.

In a page: a fence ``{trust} kills``. What was measured, by the file, stands under the table.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from companion.sphinx_ext.project_json import project_json, table

HEAD = ("what", "tried", "right", "found")
RESULTS = "tests/hardening/results.json"


class Figures(SphinxDirective):
    """Show a section's table and where it comes from, or say that it was not run yet."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table of all parts of a section, and under it where each is from."""
        section = project_json(self, RESULTS).get(self.arguments[0])
        if not section:
            return [nodes.paragraph(text="Not run yet.")]
        rows = [[shown(figure[word]) for word in HEAD] for figure in section["figures"]]
        return [table(HEAD, rows), nodes.paragraph(text=origin(section))]


def origin(section: dict[str, Any]) -> str:
    """Return the line that says when, of which commit and where the figures are."""
    return (
        f"{section['date']}, commit {section['commit']}, on {section['machine']}; "
        f"{section['versions']}."
    )


def shown(value: object) -> str:
    """Return a cell's text, numbers with their thousands apart."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the directive."""
    app.add_directive("trust", Figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
