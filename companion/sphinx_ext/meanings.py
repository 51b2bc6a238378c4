"""Sphinx extension: the first mention of a term or finding leads to it, and shows its meaning."""

import re
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from companion.sphinx_ext.pages import version_of
from lib import claims

GLOSSARY, SCOREBOARD = "pages/glossary", "executed/scoreboard"


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


def show_on_hover(
    app: Sphinx, page: str, template: str, context: dict[str, Any], document: nodes.document | None
) -> None:
    """Have the theme's tooltips show the titles of links: of terms, findings and citations."""
    tip = r'<a class="(companion-meaning )?reference internal" (href="[^"]*" title=)'
    shown = r'<a class="\1reference internal" data-bs-toggle="tooltip" \2'
    context["body"] = re.sub(tip, shown, context.get("body", ""))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    app.connect("doctree-resolved", explain)
    app.connect("html-page-context", show_on_hover, priority=900)
    return version_of(__file__)
