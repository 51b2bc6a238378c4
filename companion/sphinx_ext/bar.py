"""Sphinx extension: the bar under the title of every executed chapter, and fixes to the pages.

The bar links to the same chapter on other datasets, and has the command that runs it again.
"""

from __future__ import annotations

import ast
import re
import shlex
import sys
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from companion.execute import code_cells, own_code
from companion.sphinx_ext.tables import clone_of

ASSETS = Path(__file__).parent / "assets"
COLAB = "pages/howto/colab.ipynb"
HOWTO = "pages/howto/rerun"  # what the command on each page needs
EARLIER = (
    "Executed by an earlier edition of this code (see Changelog); its code cells name older "
    "modules."
)


def chapter_of(page: str) -> tuple[str, str] | None:
    """Return (dataset, chapter) of a page ``executed/<dataset>/<chapter>``, None for others."""
    parts = PurePosixPath(page).parts
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == "executed" else None


def editions(source: Path, chapter: str) -> dict[str, str]:
    """Return the datasets that have this chapter, by folder, with their titles."""
    parts = yaml.safe_load((source / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    found = {}
    for dataset in (entry for part in parts for entry in part["chapters"]):
        for page in (dataset, *dataset.get("sections", [])):
            pair = chapter_of(page["file"])
            if pair and pair[1] == chapter:
                found[pair[0]] = dataset["title"]
    return found


def add_bar(app: Sphinx, document: nodes.document) -> None:
    """Put the links, the command and the download under the title of a chapter."""
    page = app.env.docname
    pair = chapter_of(page)
    title = next(iter(document.findall(nodes.title)), None)
    if pair is None or title is None:
        return
    dataset, chapter = pair
    links = nodes.paragraph("", "This chapter on: ", classes=["companion-datasets"])
    for other, name in editions(Path(app.srcdir), chapter).items():
        there = f"executed/{other}/{chapter}"
        links += nodes.strong(text=name) if other == dataset else _link(page, there, name)
        links += nodes.inline(text=" · ")
    words = nodes.inline(text="executed notebook")
    download = addnodes.download_reference("", "", words, reftarget=f"/{page}.ipynb", refdoc=page)
    links += [nodes.inline(text="Download the "), download]
    cells = code_cells(Path(app.env.doc2path(page)))
    again = nodes.paragraph("", "This page was made by the following; change what you like")
    if HOWTO in app.env.found_docs:  # a book of some pages only may come without it
        needs = _link(page, HOWTO, "what it needs")
        again += [nodes.inline(text=" ("), needs, nodes.inline(text=")")]
    again += nodes.inline(text=":")
    command = command_of(cells, chapter)
    code = nodes.literal_block(command, command, language="bash")
    bar = nodes.container("", links, again, code, classes=["companion-bar"])
    source = clone_of(Path(app.srcdir)) / "chapters" / f"{chapter}.ipynb"
    app.env.note_dependency(str(source))
    if is_earlier_edition(cells, source):
        bar.insert(1, nodes.paragraph(text=EARLIER))
    title.parent.insert(title.parent.index(title) + 1, bar)


def is_earlier_edition(cells: list[tuple[str, list[str]]], chapter: Path) -> bool:
    """Say whether the chapter exists and its code differs from that of an executed page."""
    return chapter.is_file() and own_code(cells) != own_code(code_cells(chapter))


def command_of(cells: list[tuple[str, list[str]]], chapter: str) -> str:
    """Return the command that makes a page again, with the parameters that it was given."""
    own, given = (_parameters(cells, tag) for tag in ("parameters", "injected-parameters"))
    named = {k: v for k, v in given.items() if k == "dataset" or own.get(k) != v}
    options = "".join(f" -p {name} {shlex.quote(str(value))}" for name, value in named.items())
    return f"papermill chapters/{chapter}.ipynb out.ipynb{options}"


def _parameters(cells: list[tuple[str, list[str]]], tag: str) -> dict[str, Any]:
    """Return the names and values that the cell with this tag assigns."""
    source = next((source for source, tags in cells if tag in tags), "")
    assigned = [line for line in ast.parse(source).body if isinstance(line, ast.Assign)]
    return {ast.unparse(line.targets[0]): ast.literal_eval(line.value) for line in assigned}


def _link(page: str, target: str, text: str) -> addnodes.pending_xref:
    told = {"refdomain": "std", "reftype": "doc", "refexplicit": True, "refwarn": True}
    inner = nodes.inline(text=text)
    return addnodes.pending_xref("", inner, reftarget=f"/{target}", refdoc=page, **told)


def changed_too(
    app: Sphinx, environment: BuildEnvironment, added: set[str], changed: set[str], gone: set[str]
) -> list[str]:
    """Return the pages to build again although their own source is the same.

    All, if this extension or its style changed; all chapters, if one was added or removed, because
    they link to each other.
    """
    index = Path(app.outdir) / "index.html"
    own = [Path(__file__), *ASSETS.rglob("*.*")]
    if index.is_file() and index.stat().st_mtime < max(path.stat().st_mtime for path in own):
        return list(environment.found_docs)
    if not any(chapter_of(page) for page in added | gone):
        return []
    return [page for page in environment.found_docs if chapter_of(page)]


def root_missing_page(app: Sphinx, exception: Exception | None) -> None:
    """Make the links of 404.html absolute: a server shows that page under any path."""
    path = Path(app.outdir) / "404.html"
    base = urlsplit(app.config.html_baseurl).path
    if exception or not base or not path.is_file():
        return
    text = path.read_text(encoding="utf-8")
    text = re.sub(r'\b(href|src)="(?![a-z]+:|/|#)', rf'\1="{base.rstrip("/")}/', text)
    path.write_text(text, encoding="utf-8")


def fix_page(
    app: Sphinx, page: str, template: str, context: dict[str, Any], document: nodes.document | None
) -> None:
    """Correct what Sphinx and its theme put on every page.

    The live-code scripts go, which load from a CDN. Colab opens the notebook that first installs
    the project. Screen readers misread two kinds of HTML: the parameters of a long signature are
    definitions without a term, and a bibliography is called a list but has no list items.
    """
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{script.filename} {script.attributes.get('body', '')}".lower()
    ]
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if "//colab." in button.get("url", ""):
                button["url"] = re.sub(r"(/blob/[^/]+)/.*", rf"\1/{COLAB}", button["url"])
    body = re.sub(r'<dt class="sig.*?</dt>', _as_list, context.get("body", ""), flags=re.DOTALL)
    context["body"] = body.replace('<div role="list" class="citation-list">', "<div>")


def _as_list(signature: re.Match[str]) -> str:
    inner = re.sub(r"(</?)dl>", r"\1ul>", signature[0])
    return re.sub(r"(</?)dd>", r"\1li>", inner)


def keep_plain(
    app: Sphinx, what: str, name: str, object_: object, options: object, lines: list[str]
) -> None:
    """Escape | and @ in docstrings: |a| is the size of a set, Recall@20 no address."""
    for number, line in enumerate(lines):
        pieces = line.split("``")
        pieces[::2] = [re.sub(r"([|@])", r"\\\1", piece) for piece in pieces[::2]]
        lines[number] = "``".join(pieces)


def configure(app: Sphinx, config: object) -> None:
    """Serve this extension's assets, and document the library of the clone the pages are in."""
    app.config.html_static_path.append(str(ASSETS / "static"))
    app.config.templates_path.append(str(ASSETS / "templates"))
    sys.path.insert(0, str(clone_of(Path(app.srcdir))))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.connect("config-inited", configure)
    app.add_css_file("companion.css")
    app.add_js_file("companion.js")
    # Before the collectors (priority 500) that gather downloads and links from the document.
    app.connect("doctree-read", add_bar, priority=400)
    app.connect("autodoc-process-docstring", keep_plain)
    app.connect("env-get-outdated", changed_too)
    missing = ("404", {"title": "Page not found"}, "404.html")
    app.connect("html-collect-pages", lambda app: [missing])
    app.connect("html-page-context", fix_page, priority=900)
    app.connect("build-finished", root_missing_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
