"""Sphinx directives that show tables of what the project keeps as data.

``{speed}`` shows what ``make bench`` published last, ``{trust} SECTION`` one section of the
hardening tests, each with where its numbers are from; ``{known-datasets}`` the datasets by name;
``{first-edition}`` the verdicts that the first edition published beside those of today.
"""

import json
from dataclasses import replace
from pathlib import Path

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from companion.markup import markup
from companion.sphinx_ext.pages import clone_of

RESULTS = {"speed": "bench/results.json", "trust": "tests/hardening/results.json"}


class Results(SphinxDirective):
    """Show results, or the section of them that is named, and where they are from."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table and the line below it; the page depends on the file of results."""
        path = clone_of(Path(self.env.srcdir)) / RESULTS[self.name]
        self.env.note_dependency(str(path))
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        for section in self.arguments:
            found = found.get(section)
        return _boxed(markup(self.name, found))


class KnownDatasets(SphinxDirective):
    """Show the datasets that have a name, and the files that they are made of."""

    def run(self) -> list[nodes.Node]:
        """Return the parsed Markdown, in which links and citations are the book's own."""
        from companion.data import DATASETS

        lines = markup("datasets", DATASETS, self.env.found_docs).splitlines()
        box = nodes.container()
        self.state.nested_parse(StringList(lines, source=self.env.docname), 0, box)
        return box.children


class FirstEdition(SphinxDirective):
    """Show what became of every verdict of the first edition, and why."""

    def run(self) -> list[nodes.Node]:
        """Return the table; the page depends on what was published then, and is now."""
        from companion import scoreboard
        from lib import claims

        root = clone_of(Path(self.env.srcdir))
        path = root / "pages" / "first_edition.yml"
        self.env.note_dependency(str(path))
        earlier = yaml.safe_load(path.read_text(encoding="utf-8"))
        now: dict[str, dict[str, object]] = {name: {} for name in claims.load()}
        for row in scoreboard.records([Path(self.env.srcdir) / "executed"]).to_dict("records"):
            self.env.note_dependency(f"{self.env.srcdir}/executed/{row['page']}.ipynb")
            now[row["claim"]][row["dataset"]] = row
        for name, then in earlier.items():
            claim = claims.load()[name]
            claim = replace(claim, unit=then.get("unit", claim.unit))
            for of in then["published"].values():
                of["words"] = of["measure"] and scoreboard.number(
                    claim, claim.headline, of["measure"]
                )
        shown = markup("first_edition", claims.load(), earlier, now, scoreboard.MARKS)
        return _boxed(shown)


def _boxed(table: str) -> list[nodes.Node]:
    """Return HTML in a box that can scroll, as those of chapters can."""
    return [nodes.container("", nodes.raw("", table, format="html"), classes=["output"])]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("speed", Results)
    app.add_directive("trust", Results)
    app.add_directive("known-datasets", KnownDatasets)
    app.add_directive("first-edition", FirstEdition)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
