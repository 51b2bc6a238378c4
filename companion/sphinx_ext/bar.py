"""Sphinx extension: what stands under the title of every executed chapter.

First its verdicts in a sentence each; then a bar, which links to the same chapter on other datasets
and has the command that runs it again.
"""

import ast
import re
import shlex
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import yaml
from docutils import nodes
from sphinx.application import Sphinx

from companion import scoreboard
from companion.execute import own_code, values_of
from companion.markup import markup
from companion.sphinx_ext.pages import clone_of, version_of

HOWTO = "pages/howto/rerun"  # what the command on each page needs


def add_bar(app: Sphinx, document: nodes.document) -> None:
    """Put the links, the command and the download under the title of a chapter."""
    page = app.env.docname
    title = next(iter(document.findall(nodes.title)), None)
    if title is None or not PurePosixPath(page).match("executed/*/*"):
        return
    _, dataset, chapter = page.split("/")
    notebook = Path(app.env.doc2path(page))
    source = clone_of(Path(app.srcdir)) / "chapters" / f"{chapter}.ipynb"
    app.env.note_dependency(str(source))
    earlier = source.is_file() and own_code(notebook) != own_code(source)
    known = app.env.found_docs
    titles = {k: v for k, v in _titles(app).items() if f"executed/{k}/{chapter}" in known}
    said = markup("bar", dataset, chapter, titles, earlier, HOWTO if HOWTO in known else None)
    command = command_of(notebook)
    bar = nodes.container("", classes=["companion-bar"])
    bar += nodes.raw("", said, format="html")
    bar += nodes.literal_block(command, command, language="bash")
    box = nodes.container("", classes=["companion-opening"])
    box += nodes.raw("", _opening(app, notebook), format="html")
    under = [box, bar] if box.astext() else [bar]
    title.parent.insert(title.parent.index(title) + 1, under)
    for output in document.findall(nodes.raw):  # the box of each claim, for links to its rule
        rule = r'<div (class="admonition note"><p class="admonition-title">(\w+) — )'
        output[:] = [nodes.Text(re.sub(rule, r'<div id="\2" \1', output.astext()))]


def _opening(app: Sphinx, notebook: Path) -> str:
    """Return the verdicts of a chapter's page, and note that they depend on that of F1."""
    found = _records(notebook.parents[1])
    app.env.note_dependency(str(notebook.with_name("02-views.ipynb")))
    here = found[found["page"] == f"{notebook.parent.name}/{notebook.stem}"]
    k: int = ast.literal_eval(values_of(notebook).get("k", "20"))
    return scoreboard.opening(here, k)


@cache
def _records(folder: Path) -> pd.DataFrame:
    return scoreboard.records([folder])


def _titles(app: Sphinx) -> dict[str, str]:
    """Return the title of every dataset's part in the table of contents, by its folder."""
    path = Path(app.srcdir) / "_toc.yml"
    app.env.note_dependency(str(path))
    parts = yaml.safe_load(path.read_text(encoding="utf-8"))["parts"]
    entries = [entry for part in parts for entry in part["chapters"] if "title" in entry]
    return {PurePosixPath(entry["file"]).parent.name: entry["title"] for entry in entries}


def command_of(notebook: Path) -> str:
    """Return the command that makes a page again, with the parameters that it was given."""
    own, given = (values_of(notebook, [kind]) for kind in ("parameters", "injected-parameters"))
    named = {k: v for k, v in given.items() if k == "dataset" or own.get(k) != v}
    words = {name: shlex.quote(str(ast.literal_eval(code))) for name, code in named.items()}
    options = "".join(f" -p {name} {word}" for name, word in words.items())
    return f"papermill chapters/{notebook.name} out.ipynb{options}"


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    # Before the collectors (priority 500) that gather what the document depends on.
    app.connect("doctree-read", add_bar, priority=400)
    return version_of(__file__)
