"""Sphinx extension: what stands under the title of every executed chapter, and fixes to the pages.

First its verdicts in a sentence each; then a bar, which links to the same chapter on other datasets
and has the command that runs it again.
"""

from __future__ import annotations

import ast
import re
import shlex
import sys
import zlib
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
from companion.sphinx_ext.tables import clone_of
from lib import claims

STATIC = Path(__file__).with_name("static")
COLAB = "pages/howto/colab.ipynb"
DRAWN_BY = "companion/figures.py"
GLOSSARY, SCOREBOARD = "pages/glossary", "executed/scoreboard"
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


def credit_figures(app: Sphinx, document: nodes.document) -> None:
    """Put under each figure links to the function that drew it and to its data."""
    source = clone_of(Path(app.srcdir)) / DRAWN_BY
    code = source.read_text(encoding="utf-8").splitlines() if source.is_file() else []
    lines = {
        found[1]: n for n, line in enumerate(code, 1) if (found := re.match(r"def (\w+)", line))
    }
    site = app.config.html_theme_options
    address = f"{site['repository_url']}/blob/{site['repository_branch']}/{DRAWN_BY}#L"
    number, waiting = 0, []
    for cell in [c for c in document.findall(nodes.container) if "cell" in c["classes"]]:
        calls = re.findall(r"figures\.(\w+)\(", cell[0].astext())
        outputs = [c for c in cell.findall(nodes.container) if "cell_output" in c["classes"]]
        images = [box for of in outputs for box in of.children if any(box.findall(nodes.image))]
        for box, name in zip(images, [name for name in calls if name in lines], strict=False):
            words = markup("credit", name, f"{address}{lines[name]}", None)
            credit = nodes.raw("", words, format="html", classes=[name])
            box.parent.insert(box.parent.index(box) + 1, credit)
            waiting.append(credit)
        for output in [raw for raw in cell.findall(nodes.raw) if "<a download=" in raw.astext()]:
            number += 1
            output[:] = [nodes.Text(output.astext().replace("<p>", f'<p id="data-{number}">', 1))]
            for credit in waiting:
                name = credit["classes"][0]
                words = markup("credit", name, f"{address}{lines[name]}", number)
                credit[:] = [nodes.Text(words)]
            waiting = []


def explain(app: Sphinx, document: nodes.document, page: str) -> None:
    """Link the first mention of each term and finding on a page; its meaning is shown on hover."""
    if page == GLOSSARY or not page.startswith(("index", "executed/")):
        return
    found = dict(_meanings(app))
    word = re.compile(rf"\b({'|'.join(sorted(map(re.escape, found), key=len, reverse=True))})\b")
    for text in [t for t in document.findall(nodes.Text) if isinstance(t.parent, nodes.paragraph)]:
        parts: list[nodes.Node] = []
        for part in word.split(text.astext()):
            if part not in found:
                parts.append(nodes.Text(part))
                continue
            target, anchor, meaning = found[part]
            for form in (part[0].upper() + part[1:], part[0].lower() + part[1:]):
                found.pop(form, None)
            claim = claims.load().get(part)
            here = claim and claim.chapter == PurePosixPath(page).name
            address = "" if here else app.builder.get_relative_uri(page, target)
            parts.append(nodes.reference("", part, refuri=f"{address}#{anchor}", internal=True,
                         reftitle=meaning, classes=["companion-meaning"]))  # fmt: skip
        text.parent.replace(text, parts)


@cache
def _meanings(app: Sphinx) -> dict[str, tuple[str, str, str]]:
    """Return the page, the anchor and the meaning of every finding and every term."""
    found = {c.id: (SCOREBOARD, c.id, c.finding) for c in claims.load().values()}
    if GLOSSARY in app.env.found_docs:
        for item in app.env.get_doctree(GLOSSARY).findall(nodes.definition_list_item):
            name, meaning = item[0].astext(), " ".join(item[-1].astext().split())
            for form in (name, name[0].lower() + name[1:]):
                found[form] = (GLOSSARY, item[0]["ids"][0], meaning)
    return found


def fix_page(
    app: Sphinx, page: str, template: str, context: dict[str, Any], document: nodes.document | None
) -> None:
    """Correct what Sphinx and its theme put on every page.

    The live-code scripts go, which load from a CDN. Colab opens the notebook that first installs
    the project. Screen readers misread two kinds of HTML: the parameters of a long signature are
    definitions without a term, and a bibliography is called a list but has no list items.
    """
    if "scoreboard-data" in context.get("body", ""):
        app.add_js_file("scoreboard.js")  # to this page alone
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{script.filename} {script.attributes.get('body', '')}".lower()
    ]
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if "//colab." in button.get("url", ""):
                button["url"] = re.sub(r"(/blob/[^/]+)/.*", rf"\1/{COLAB}", button["url"])

    def as_list(signature: re.Match[str]) -> str:
        return re.sub("(</?)dd>", r"\1li>", re.sub("(</?)dl>", r"\1ul>", signature[0]))

    tip = r'<a class="(companion-meaning )?reference internal" (href="[^"]*" title=)'
    context["body"] = re.sub(tip, r'<a class="\1reference internal" data-bs-toggle="tooltip" \2',
                             context.get("body", ""))  # fmt: skip
    body = re.sub(r'<dt class="sig.*?</dt>', as_list, context.get("body", ""), flags=re.DOTALL)
    context["body"] = body.replace('<div role="list" class="citation-list">', "<div>")


def keep_plain(
    app: Sphinx, what: str, name: str, object_: object, options: object, lines: list[str]
) -> None:
    """Escape | and @ in docstrings, but in code: |a| is the size of a set, Recall@20 no address."""
    for number, line in enumerate(lines):
        lines[number] = re.sub(r"(``.*?``)|([|@])", lambda part: part[1] or rf"\{part[2]}", line)


def configure(app: Sphinx, config: object) -> None:
    """Serve this extension's assets, and document the library of the clone the pages are in."""
    app.config.html_static_path.append(str(STATIC))
    sys.path.insert(0, str(clone_of(Path(app.srcdir))))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; pages that an earlier version of it built are built again."""
    app.connect("config-inited", configure)
    app.add_css_file("companion.css")
    app.add_js_file("companion.js")
    app.add_js_file("slider.js")
    # Before the collectors (priority 500) that gather what the document depends on.
    app.connect("doctree-read", add_bar, priority=400)
    app.connect("doctree-read", credit_figures)
    app.connect("doctree-resolved", explain)
    app.connect("autodoc-process-docstring", keep_plain)
    app.connect("html-page-context", fix_page, priority=900)
    own = (Path(__file__), STATIC.parents[1] / "markup.html", *sorted(STATIC.iterdir()))
    version = zlib.crc32(b"".join(path.read_bytes() for path in own))
    return {"env_version": version, "parallel_read_safe": True, "parallel_write_safe": True}
