"""Sphinx directive ``trust``: the last figures of one section of ``trust/results.json``.

In a page: a fence ``{trust} kills``. What was measured, by the file, stands under the table.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from kept import kept, table
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HEAD = ("what", "tried", "right", "found")


class Figures(SphinxDirective):
    """Show a section's table and where it comes from, or say that it was not run yet."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table and the line under it."""
        section = kept(self, "trust/results.json").get(self.arguments[0])
        if section is None:
            return [nodes.paragraph(text="Not run yet.")]
        rows = [[shown(figure[word]) for word in HEAD] for figure in section["figures"]]
        return [table(HEAD, rows), nodes.paragraph(text=origin(section))]


def origin(section: dict[str, Any]) -> str:
    """Return the line that says when, where and of which commit a section's figures are."""
    minutes = max(1, round(section["seconds"] / 60))
    return (
        f"{section['date']}, commit {section['commit']}, {minutes} minutes on "
        f"{section['machine']}; {section['versions']}."
    )


def shown(value: object) -> str:
    """Return a cell's text, numbers with their thousands apart."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the directive."""
    app.add_directive("trust", Figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
