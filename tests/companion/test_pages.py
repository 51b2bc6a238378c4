"""What the book's own extension puts on a page, on a book of two small parts."""

import shutil
import subprocess
import sys
from pathlib import Path

import bs4
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from companion import execute, scoreboard, site
from companion.markup import markup
from lib import claims

OWN = 'dataset = "ml-100k"\nk = 20\nseeds = 3'
PARTS = {
    "ml-100k": ("ml-100k", "MovieLens-100K", "k = 20\nseeds = 3"),
    "my-films-k-50": ("data/my films", "my-films-k-50", "k = 50\nseeds = 3"),
}


UNJUDGED = ("my-films-k-50", "03-agreement")


def write_page(folder: Path, part: str, chapter: str) -> None:
    dataset, _, given = PARTS[part]
    claim = next(c for c in claims.load().values() if c.chapter == chapter)
    record = {"claim": claim.id, "chapter": chapter, "verdict": claims.FAILS, "reason": "so"}
    record["measures"] = dict.fromkeys(claim.measures, [0.9, 0.8, 1.0, 60])
    shown = [{scoreboard.RECORD: record}, {"text/html": markup("claim_boxes", [claim])}]
    outputs = [new_output("display_data", {"text/plain": "0"} | data) for data in shown]
    cells = [
        new_markdown_cell(f"# {chapter} · {part}\n\nF2, and F2 again; `F9`; F3."),
        new_code_cell(OWN, metadata={"tags": ["parameters"]}),
        new_code_cell(
            f"# Parameters\ndataset = {dataset!r}\n{given}\n",
            metadata={"tags": ["injected-parameters"]},
        ),
        new_code_cell("1", outputs=outputs if (part, chapter) != UNJUDGED else []),
    ]
    path = folder / site.EXECUTED / part / f"{chapter}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"kernelspec": execute.KERNEL, "language_info": execute.LANGUAGE}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    book = tmp_path_factory.mktemp("book") / "site"
    for name in site.ASSETS:
        source = site.ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        book.mkdir(exist_ok=True)
        copy(source, book / name)
    (book / "index.md").write_text("# First page\n")
    for part in PARTS:
        write_page(book, part, "03-agreement")
    write_page(book, "ml-100k", "04-complementarity")
    # a clone around the book: one chapter as it was executed, one that was edited since
    (book.parent / "lib").mkdir()
    (book.parent / "lib" / "__init__.py").touch()
    (book.parent / "chapters").mkdir()
    cells = [new_code_cell(OWN, metadata={"tags": ["parameters"]})]
    for chapter, more in {"03-agreement": ["1"], "04-complementarity": ["2"]}.items():
        source = new_notebook(cells=[*cells, *map(new_code_cell, more)])
        nbformat.write(source, book.parent / f"chapters/{chapter}.ipynb")
    site.write_toc(book)
    build = [Path(sys.executable).with_name("jupyter-book"), "build", book]
    built = subprocess.run(
        [*build, "--path-output", book.parent, "--quiet", "-W", "-n", "--keep-going"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    return book.parent / "_build" / "html"


def bar(html: Path, page: str) -> bs4.Tag:
    text = (html / site.EXECUTED / f"{page}.html").read_text(encoding="utf-8")
    found = bs4.BeautifulSoup(text, "html.parser").select_one(".companion-bar")
    assert found
    return found


def test_a_chapter_opens_with_its_verdict_which_leads_to_the_rule(html):
    text = (html / site.EXECUTED / "ml-100k/03-agreement.html").read_text(encoding="utf-8")
    page = bs4.BeautifulSoup(text, "html.parser")
    opening = page.select_one("h1 + .companion-opening")
    assert opening.find_next_sibling("div")["class"][0] == "companion-bar"
    assert "F2 does not hold on ml-100k: “The lists" in " ".join(opening.get_text().split())
    assert "Mean Jaccard@20 of" in opening.get_text()
    [box] = page.select(opening.a["href"])
    assert "hardly overlap" in box.select_one(".admonition-title").text
    without = (html / site.EXECUTED / "/".join(UNJUDGED)).with_suffix(".html").read_text()
    assert "companion-opening" not in without


def test_a_chapter_leads_to_itself_in_the_other_parts(html):
    first, second = (bar(html, f"{part}/03-agreement") for part in PARTS)
    start = "This chapter on: MovieLens-100K · my-films-k-50 · Download"
    for here in (first, second):
        assert " ".join(here.get_text().split()).startswith(start)
    links = [[a["href"] for a in here.select("a:not([download])")] for here in (first, second)]
    assert [found[0] for found in links] == [
        "../my-films-k-50/03-agreement.html",
        "../ml-100k/03-agreement.html",
    ]


def test_a_chapter_of_one_part_leads_nowhere_else(html):
    assert "my-films" not in str(bar(html, "ml-100k/04-complementarity"))


def test_a_page_of_other_code_than_its_chapters_says_so(html):
    words = "Executed by an earlier edition of this code (see Changelog); its code cells"
    assert words in bar(html, "ml-100k/04-complementarity").get_text()
    assert not [part for part in PARTS if words in bar(html, f"{part}/03-agreement").get_text()]


def test_the_command_has_what_differs_from_the_chapters_own_parameters(html):
    start = "papermill chapters/03-agreement.ipynb out.ipynb -p dataset"
    commands = [bar(html, f"{part}/03-agreement").select_one("pre").text.strip() for part in PARTS]
    assert commands == [f"{start} ml-100k", f"{start} 'data/my films' -p k 50"]


def test_colab_opens_the_notebook_that_installs_first(html):
    text = (html / site.EXECUTED / "ml-100k" / "03-agreement.html").read_text(encoding="utf-8")
    page = bs4.BeautifulSoup(text, "html.parser")
    (link,) = [a["href"] for a in page.select("a[href*='//colab.']")]
    repository, _, path = link.partition("/github/")[2].partition("/blob/main/")
    start = nbformat.read(site.ROOT / path, 4)
    assert f"https://github.com/{repository} " in start.cells[1].source
    assert all(not cell.outputs for cell in start.cells if cell.cell_type == "code")


def test_the_first_mention_of_a_finding_leads_to_what_it_says(html):
    text = (html / site.EXECUTED / "ml-100k" / "04-complementarity.html").read_text()
    links = bs4.BeautifulSoup(text, "html.parser").select("a.companion-meaning")
    assert [link.text for link in links] == ["F2", "F3"]
    assert [link["href"] for link in links] == ["../scoreboard.html#F2", "#F3"]
    assert links[0]["title"] == "The lists of the two views hardly overlap."
