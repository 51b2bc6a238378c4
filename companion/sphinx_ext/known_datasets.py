"""Sphinx extension: ``known-datasets``, the table of the datasets that have a name."""

from __future__ import annotations

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class KnownDatasets(SphinxDirective):
    """A table of the datasets that have a name, and the files that they are made of.

    It is written as Markdown, so that links and citations are the book's own.
    """

    def run(self) -> list[nodes.Node]:
        """Return the parsed Markdown."""
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
    """Register the extension."""
    app.add_directive("known-datasets", KnownDatasets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
