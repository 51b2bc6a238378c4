"""A part of the built book in a PDF: all of it, in order, with links that work."""

import base64
import re
import unicodedata
from pathlib import Path

import pypdf
import pytest

from companion import pdf
from lib.core import InputError

DOT = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154"
        "08d763f8cfc000000301010018dd8db00000000049454e44ae426082"
    )
).decode()
PAGE = """<html><head><meta charset="utf-8"><title>{title} — A book</title>
<link rel="stylesheet" href="../../_static/companion.css"><script>throw "unwanted"</script></head>
<body><nav>Sidebar</nav><article class="bd-article"><section id="top"><h1>{title} · films</h1>
<p>It begins. <a href="#verdict">Below</a>, <a href="{other}.html">the other</a>,
<a href="{other}.html#verdict">its verdict</a>, <a href="../../index.html">first page</a>,
<a href="https://example.org/">elsewhere</a></p>
<p><a download="x.csv" href="data:text/csv;base64,AAAA">Data of this figure</a></p>
<div class="cell"><details class="hide"><summary>Show source</summary>
<div class="cell_input">secret code</div></details>
<div class="cell_output"><img alt="Figure of {title}" src="data:image/png;base64,{dot}"
style="width: 300px; height: 200px"><table><tr><td style="white-space: nowrap">{wide}</td></tr>
</table></div></div><details><summary>The rule</summary>folded rule</details>
<h2 id="verdict">Verdict of {title}</h2></section></article></body></html>"""
TITLES = {"01-data": "The data & more", "02-views": "Two views"}


@pytest.fixture
def build(tmp_path: Path) -> Path:
    css = Path(pdf.__file__).with_name("sphinx_ext") / "static/companion.css"
    folder = tmp_path / "html/executed/my-films"
    folder.mkdir(parents=True)
    (tmp_path / "html/_static").mkdir()
    (tmp_path / "html/_static/companion.css").write_bytes(css.read_bytes())
    for name, title in TITLES.items():
        (other,) = TITLES.keys() - {name}
        wide = f"begin{title[:3]} " + "wide " * 60 + f"end{title[:3]}"
        page = PAGE.format(title=title.replace("&", "&amp;"), other=other, dot=DOT, wide=wide)
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return tmp_path


@pytest.fixture
def printed(build: Path) -> pypdf.PdfReader:
    if pdf.CHROMIUM is None:
        pytest.skip("Chromium is not installed: nothing was printed")
    return pypdf.PdfReader(pdf.write("my-films", build))


def test_headings_and_figures_are_in_order_and_a_chapter_begins_a_page(printed, build):
    texts = (page.extract_text() for page in printed.pages)
    pages = [unicodedata.normalize("NFKC", " ".join(text.split())) for text in texts]  # no ligature
    titles = list(TITLES.values())
    heads = [line for title in titles for line in (f"{title} · films", f"Verdict of {title}")]
    assert re.findall("|".join(heads), " ".join(pages)) == heads
    assert [len(page.images) for page in printed.pages] == [0, 1, 1]
    assert pages[0].startswith("my-films") and all(title in pages[0] for title in titles)
    outline = [entry.title for entry in printed.outline if not isinstance(entry, list)]
    assert outline == ["my-films", *(f"{title} · films" for title in titles)]
    assert not list(build.rglob("_*.html"))  # the page it is printed from is gone


def test_what_paper_cannot_do_is_left_out_and_what_is_folded_is_printed(printed):
    text = "\n".join(page.extract_text() for page in printed.pages)
    for word in ("Sidebar", "secret", "Show source", "Data of this figure"):
        assert word not in text
    assert text.count("folded rule") == 2


def test_links_lead_within_the_file_or_to_the_web_and_to_no_file_of_this_machine(printed):
    links = [link.get_object() for page in printed.pages for link in page.get("/Annots", [])]
    addresses = {link["/A"]["/URI"] for link in links if "/A" in link}
    inside = [link["/Dest"] for link in links if "/Dest" in link]
    assert addresses == {"https://example.org/"}
    assert len(inside) == 2 + 2 * 3
    places = printed.named_destinations
    pages = [printed.get_destination_page_number(places[str(name)]) for name in inside]
    assert pages == [1, 2, 1, 2, 2, 2, 1, 1]


def test_a_wide_table_fits_the_page(printed):
    ends = []

    def note(text, _, matrix, *__):
        ends.extend([matrix[4]] * ("end" in text))

    for page in printed.pages:
        page.extract_text(visitor_text=note)
    assert len(ends) == 2 and max(ends) < float(printed.pages[0].mediabox.width)


def test_no_such_part_and_no_chromium_are_one_sentence(build, monkeypatch):
    with pytest.raises(InputError, match="no-films is not in the book built in .*: make html"):
        pdf.write("no-films", build)
    monkeypatch.setattr(pdf, "CHROMIUM", None)
    with pytest.raises(InputError, match="Chromium prints the PDF and was not found: install it"):
        pdf.write("my-films", build)
