"""Sphinx directive ``trust``: the last figures of one section of ``trust/results.json``.

A section may be kept in parts, SECTION/PART, which were run at different times.

In a page: a fence ``{trust} kills``. What was measured, by the file, stands under the table.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from companion.sphinx_ext.project_json import project_json, table

HEAD = ("what", "tried", "right", "found")
CIRCUMSTANCES = ("date", "commit", "machine", "versions")


class Figures(SphinxDirective):
    """Show a section's table and where it comes from, or say that it was not run yet."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table of all parts of a section, and under it where each is from."""
        content = project_json(self, "trust/results.json")
        parts = [
            content[key] for key in sorted(content) if key.partition("/")[0] == self.arguments[0]
        ]
        if not parts:
            return [nodes.paragraph(text="Not run yet.")]
        figures = [figure for part in parts for figure in part["figures"]]
        rows = [[shown(figure[word]) for word in HEAD] for figure in figures]
        lines = origins(parts)
        return [table(HEAD, rows), *(nodes.paragraph(text=line) for line in lines)]


def origins(parts: list[dict[str, Any]]) -> list[str]:
    """Return the lines that say when, where and of which commit the figures are.

    One line for parts of the same run; with several lines, each names what it is about.
    """
    runs: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for part in parts:
        runs.setdefault(tuple(part[word] for word in CIRCUMSTANCES), []).append(part)
    lines = []
    for (date, commit, machine, versions), of in runs.items():
        whats = ", ".join(figure["what"] for part in of for figure in part["figures"])
        minutes = max(1, round(sum(part["seconds"] for part in of) / 60))
        lines.append(
            f"{f'{whats}: ' if len(runs) > 1 else ''}{date}, commit {commit}, {minutes} "
            f"minute{'s' if minutes > 1 else ''} on {machine}; {versions}."
        )
    return lines


def shown(value: object) -> str:
    """Return a cell's text, numbers with their thousands apart."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the directive."""
    app.add_directive("trust", Figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
