"""Sphinx extension: a figure has a box, and under it links to what drew it and to its data."""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from companion.markup import markup
from companion.sphinx_ext.pages import clone_of, version_of

DRAWN_BY = "companion/figures.py"


def credit_figures(app: Sphinx, document: nodes.document) -> None:
    """Put each figure in a box that can scroll, and the links under it."""
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
        boxes = [nodes.container("", classes=["output"]) for _ in images]
        for image, box in zip(images, boxes, strict=True):
            image.parent.replace(image, box)
            box += image
        for box, name in zip(boxes, [name for name in calls if name in lines], strict=False):
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


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    app.connect("doctree-read", credit_figures)
    return version_of(__file__)
