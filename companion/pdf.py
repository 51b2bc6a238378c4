"""A part of the built book as one PDF, to read away from the screen: Chromium prints its pages."""

import os
import shutil
import tempfile
from collections.abc import Collection, Sequence
from html import escape
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from companion import site
from lib.core import InputError

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PAGE = """<!doctype html><html lang="en" data-theme="light"><head>{head}</head>
<body class="bd-content bd-article-container">{body}</body></html>"""
NEEDED = """:is(meta, link[rel=stylesheet], script[src*=slider], script[src*=mathjax],
script:-soup-contains("MathJax"))"""
FOOT = '<p style="font-size: 8pt; width: 100%; text-align: center" class="pageNumber"></p>'
EDGE, WIDTH = "18mm", 658  # which leaves so many pixels for the text on A4
FIT = """for (const table of document.querySelectorAll("table"))
  table.style.zoom = Math.min(1, table.parentElement.clientWidth / table.scrollWidth)"""


def write(part: str, build: Path = site.ROOT / site.BUILD) -> Path:
    """Print the chapters of a part of the book, which is built, and return the file."""
    pages = sorted((build / "html" / site.EXECUTED / part).glob("[0-9]*.html"))
    if not pages:
        raise InputError(
            f"{part} is not in the book built in {build}: make html or make book first"
        )
    if CHROMIUM is None:
        raise InputError("Chromium prints the PDF and was not found: install it, or set CHROMIUM")
    out = build / f"{part}.pdf"
    # beside the pages, so that their relative addresses of styles and figures lead there
    with tempfile.NamedTemporaryFile(dir=pages[0].parent, prefix="_", suffix=".html") as file:
        file.write(joined(pages).encode())
        file.flush()
        _print(Path(file.name), out)
    return out


def joined(pages: Sequence[Path]) -> str:
    """Return the articles of pages as one page, behind a list of them.

    Links between them lead to their place in it. What leads to other pages of the book, which a
    reader of the file has not, or to a table kept in the page itself, becomes plain text.
    """
    soups = {path.stem: BeautifulSoup(path.read_text("utf-8"), "html.parser") for path in pages}
    heads = [tag for soup in soups.values() for tag in soup.select(f"head {NEEDED}")]
    part = pages[0].parent.name
    title = escape(site.workflow()["titles"].get(part, part))
    head = f"<title>{title}</title>{''.join(dict.fromkeys(map(str, heads)))}"
    contents, articles = "", ""
    for stem, soup in soups.items():
        [article] = soup.select("article.bd-article")
        for tag in article.select("[id]:not(svg *)"):
            tag["id"] = f"{stem}--{tag['id']}"
        for link in article.select("a[href]"):
            _lead(link, stem, soups)
        for folded in article.select("details"):
            folded["open"] = ""
        article["id"] = stem
        name = article.select("h1")[0].get_text().rpartition(" · ")[0] or stem
        number = stem.partition("-")[0]
        contents += f'<li value="{number}"><a href="#{stem}">{escape(name)}</a></li>'
        articles += str(article)
    body = f"<article><h1>{title}</h1><ol>{contents}</ol></article>{articles}"
    return PAGE.format(head=head, body=body)


def _lead(link: Tag, stem: str, soups: Collection[str]) -> None:
    """Have a link of the page ``stem`` lead to another page or place among ``soups``."""
    page, _, place = str(link["href"]).partition("#")
    name = page.removesuffix(".html") or stem
    if name in soups:
        link["href"] = f"#{name}--{place}" if place else f"#{name}"
    elif not page.startswith("http"):
        del link["href"]


def _print(page: Path, out: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        shown = browser.new_page(color_scheme="light", viewport={"width": WIDTH, "height": 900})
        shown.emulate_media(media="print")
        shown.goto(page.as_uri())
        shown.evaluate("window.MathJax?.startup?.promise")
        shown.evaluate(FIT)
        shown.pdf(
            path=out, format="A4", outline=True, tagged=True, print_background=True,
            display_header_footer=True, header_template="<p></p>", footer_template=FOOT,
            margin={"left": EDGE, "right": EDGE, "top": EDGE, "bottom": EDGE},
        )  # fmt: skip
        browser.close()
