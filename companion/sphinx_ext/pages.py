"""Sphinx extension: the assets of every page, and what the theme and Sphinx get wrong on them."""

import re
import sys
import zlib
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

STATIC = Path(__file__).with_name("static")
COLAB = "pages/howto/colab.ipynb"


def clone_of(source: Path) -> Path:
    """Return the clone that holds a book's (staged) source, or the source itself."""
    folders = (f for f in (source, *source.parents) if (f / "lib/__init__.py").is_file())
    return next(folders, source)


def version_of(module: str) -> dict[str, Any]:
    """Return an extension's facts: pages that an earlier version of it built are built again."""
    own = (Path(module), STATIC.parents[1] / "markup.html", *sorted(STATIC.iterdir()))
    version = zlib.crc32(b"".join(path.read_bytes() for path in own))
    return {"env_version": version, "parallel_read_safe": True, "parallel_write_safe": True}


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
    """Connect the extension."""
    app.connect("config-inited", configure)
    app.add_css_file("companion.css")
    app.add_js_file("companion.js")
    app.add_js_file("slider.js")
    app.connect("autodoc-process-docstring", keep_plain)
    app.connect("html-page-context", fix_page, priority=900)
    return version_of(__file__)
