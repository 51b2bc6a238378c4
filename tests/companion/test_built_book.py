"""The built book in a real browser: it needs nothing from elsewhere, works, can be read by all."""

import functools
import http.server
import re
import threading
from pathlib import Path

import bs4
import pandas as pd
import pytest

from companion.execute import records_of
from companion.scoreboard import RECORD
from companion.site import BUILD, ROOT
from companion.slider import slider

HTML = ROOT / BUILD / "html"

pytestmark = pytest.mark.skipif(not (HTML / "index.html").is_file(), reason="the book is not built")
PAGES = sorted(str(path.relative_to(HTML)) for path in HTML.rglob("[!_]*.html"))
PAGES = [page for page in PAGES if not page.startswith("_")]
CHAPTERS = [page for page in PAGES if page.startswith("executed/") and page.count("/") == 2]
DATASETS = sorted({page.split("/")[1] for page in CHAPTERS})
# One page of every kind beside the chapters.
KINDS = [
    "index.html", "executed/scoreboard.html", "pages/howto/own-data.html", "pages/glossary.html",
    "pages/notation.html", "pages/api.html", "pages/bibliography.html", "pages/trust.html",
    "pages/first-edition.html", "pages/datasets.html", "pages/howto/rerun.html",
    "executed/decide.html", "executed/17-instruments.html",
    "search.html?q=jaccard", "genindex.html",
]  # fmt: skip


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    handler = functools.partial(Quiet, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def visit(browser, address):
    """Open pages, and fail at the end for each foreign request and console error."""
    faults = []

    def watch(page):
        page.route(
            re.compile(f"^(?!{re.escape(address)}|{re.escape(HTML.as_uri())}|data:|blob:)"),
            lambda route: (faults.append(f"asked for {route.request.url}"), route.abort()),
        )
        page.on("pageerror", lambda error: faults.append(f"{page.url}: {error}"))
        page.on(
            "console",
            lambda said: faults.append(f"{page.url}: {said.text}") if said.type == "error" else 0,
        )
        page.on(
            "response",
            lambda answer: (
                faults.append(f"{answer.status} {answer.url}") if answer.status >= 400 else 0
            ),
        )
        return page

    contexts = []

    def opened(path, width=1400, scheme="light", base=address):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        contexts.append(context)
        page = watch(context.new_page())
        page.goto(f"{base}/{path}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults


def test_all_pages_load_alone_and_fit_a_phone(visit):
    page = visit("index.html", width=390)
    base = page.url.removesuffix("index.html")
    wide = []
    for path in PAGES:
        page.goto(base + path)
        page.wait_for_load_state("networkidle")
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            wide.append(path)
    assert not wide


def test_pages_open_from_disk_without_errors(visit):
    for path in ("index.html", CHAPTERS[0], "search.html?q=recall"):
        page = visit(path, base=HTML.as_uri())
        page.wait_for_load_state("networkidle")


def test_the_scoreboard_can_be_questioned_from_disk(visit):
    page = visit("executed/scoreboard.html#F11=none", base=HTML.as_uri())
    if page.locator("#scoreboard-data").count() == 0:
        pytest.skip("the scoreboard was published before it could be questioned")
    assert "verdicts moved" in page.locator("form.question [role=status]").inner_text()
    page.goto(f"{HTML.as_uri()}/index.html")
    assert page.locator("table.scoreboard").is_visible()
    assert page.locator("script[src*='scoreboard.js']").count() == 0


def test_search_finds_a_term(visit):
    page = visit("index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("jaccard")
    page.keyboard.press("Enter")
    # results come one after another
    page.wait_for_selector("#search-results li a:has-text('Glossary')", timeout=20_000)


def test_one_switch_shows_and_hides_all_code_of_a_page(visit):
    page = visit(CHAPTERS[0])
    folds = page.locator("div.cell details.hide")
    page.get_by_role("button", name="Show the code of this page").click()
    assert folds.count() > 5
    assert all(fold.locator("pre").first.is_visible() for fold in folds.all())
    page.get_by_role("button", name="Hide the code of this page").click()
    assert not any(fold.is_visible() for fold in folds.all())


def test_a_slider_leads_through_its_steps_by_keyboard(browser):
    steps = ((1, 0.1), (5, 0.2), (20, 0.4))
    table = pd.DataFrame(
        [{"what": "text", "k": k, "mean": x, "low": x, "high": x} for k, x in steps]
    )
    shown = slider(table, "k", title="T", label="K", unit="recall", start=5).data
    script = (ROOT / "companion/sphinx_ext/static/slider.js").read_text()
    page = browser.new_page()
    page.set_content(f"<!doctype html><script>{script}</script>{shown}")
    row, moved = page.locator("tbody tr"), page.get_by_label("K", exact=True)
    assert "0.200" in row.inner_text() and moved.get_attribute("aria-valuetext") == "5"
    moved.focus()
    page.keyboard.press("End")
    assert "0.400" in row.inner_text() and page.locator("output").inner_text() == "20"
    assert row.locator(".mean").get_attribute("style") == "left: 100%;"
    page.close()


def test_math_is_set(visit):
    page = visit("pages/notation.html")
    page.wait_for_selector("mjx-container mjx-math")


def test_a_datasets_chapters_unfold_in_the_sidebar(visit):
    page = visit("index.html")
    chapter = page.locator("nav.bd-docs-nav a[href$='ml-100k/03-agreement.html']")
    assert not chapter.is_visible()
    page.get_by_label("Chapters on MovieLens-100K").focus()
    page.keyboard.press("Enter")
    chapter.click()
    page.wait_for_selector("nav.bd-docs-nav a.current:has-text('agree')")


@pytest.mark.skipif(len(DATASETS) < 2, reason="one dataset only: no links between datasets")
def test_chapter_leads_to_the_same_chapter_on_other_datasets(visit):
    chapter = "03-agreement.html"
    page = visit(f"executed/{DATASETS[0]}/{chapter}")
    page.locator(f".companion-bar a[href*='/{DATASETS[1]}/']").click()
    assert page.url.endswith(f"executed/{DATASETS[1]}/{chapter}")


def test_chapter_tells_how_to_run_it_again_and_offers_its_notebook(visit):
    page = visit(CHAPTERS[0])
    dataset, chapter = Path(CHAPTERS[0]).parent.name, Path(CHAPTERS[0]).stem
    text = page.locator(".companion-bar").inner_text()
    assert f"papermill chapters/{chapter}.ipynb out.ipynb -p dataset {dataset}" in text
    needs = page.locator(".companion-bar").get_by_role("link", name="what it needs")
    assert needs.get_attribute("href") == "../../pages/howto/rerun.html"
    with page.expect_download() as download:
        page.get_by_role("link", name="executed notebook").click()
    source = (ROOT / BUILD / "site" / CHAPTERS[0]).with_suffix(".ipynb")
    assert Path(download.value.path()).read_bytes() == source.read_bytes()


@pytest.mark.parametrize("path", CHAPTERS)
def test_a_chapter_that_judges_opens_with_its_verdicts_and_leads_to_their_rules(path):
    page = bs4.BeautifulSoup((HTML / path).read_text(encoding="utf-8"), "html.parser")
    links = [a["href"] for a in page.select(".companion-opening p b a")]
    records = records_of((ROOT / BUILD / "site" / path).with_suffix(".ipynb"), RECORD)
    assert sorted(links) == sorted(f"#{record['claim']}" for record in records)
    assert all(len(page.select(link)) == 1 for link in links)


def test_every_chapter_offers_the_data_of_its_figures(visit):
    page = visit("index.html")
    base = page.url.removesuffix("index.html")
    for chapter in CHAPTERS:
        page.goto(base + chapter)
        links = page.locator("a[download$='.csv']")
        assert links.count() > 0, chapter
        with page.expect_download() as download:
            links.first.click()
        head, *rows = Path(download.value.path()).read_text().splitlines()
        assert "," in head and rows, chapter


def test_the_first_edition_is_in_the_units_of_this_one(visit):
    rows = visit("pages/first-edition.html").locator("table.scoreboard tbody tr")
    then = {
        row.locator("th").inner_text().split()[0]: row.locator("td").first for row in rows.all()
    }
    assert "−2.2\u00a0% [−3.3,\u00a0−1.1]" in then["F8"].inner_text()
    assert "0.817 [0.697,\u00a00.951]" in then["F11"].inner_text()  # a ratio at the time


def test_a_figure_is_legible_on_a_phone_and_opens_in_full_size(visit):
    page = visit("executed/ml-100k/03-agreement.html", width=390)
    picture = page.locator("div.cell_output img").first
    wide, shown = picture.evaluate("i => [i.naturalWidth, i.width]")
    # at its own size text is 9 points, which are 12 pixels; vector graphics are sharp at any
    assert picture.get_attribute("alt") and 12 * shown / wide >= 9.5
    assert picture.locator("xpath=ancestor::a").count() == 1
    picture.click()
    page.wait_for_url(re.compile(r"/_images/\w+\.(png|svg)$"))


def test_a_term_shows_its_meaning_to_the_keyboard_and_a_figure_its_source(visit):
    page = visit("executed/ml-100k/04-complementarity.html")
    term = page.locator("a.companion-meaning").first
    meaning = term.get_attribute("data-bs-original-title") or term.get_attribute("title")
    term.focus()
    assert page.get_by_role("tooltip").inner_text() == meaning
    credit = page.locator(".companion-credit").first
    address = credit.get_by_role("link").first.get_attribute("href")
    name, line = credit.locator("code").inner_text(), int(address.rpartition("#L")[2])
    source = (ROOT / "companion/figures.py").read_text(encoding="utf-8").splitlines()
    assert source[line - 1].startswith(f"def {name.removeprefix('figures.')}(")
    target = credit.get_by_role("link", name="its data").get_attribute("href")
    assert page.locator(f"{target} a[download$='.csv']").count() == 1


@pytest.mark.parametrize("what", ["table", "figure"])
def test_what_is_wider_than_a_phone_says_so_and_scrolls_by_keyboard(visit, what):
    page = visit("executed/decide.html", width=390)
    box = page.get_by_role("group", name=f"A wide {what}").first
    box.focus()
    assert "Scroll sideways" in box.evaluate("b => getComputedStyle(b, '::before').content")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.scrollLeft > 0")


def test_a_wide_table_takes_the_free_space_and_hides_what_is_there(visit):
    page = visit("executed/decide.html")
    table = page.locator("table.dataframe").last
    table.scroll_into_view_if_needed()
    assert table.evaluate("t => t.offsetWidth > t.closest('div.cell').clientWidth")
    page.wait_for_selector(".bd-sidebar-secondary.hide", state="attached")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    contents = page.locator("nav.page-toc")
    contents.locator("a").first.focus()
    shown = "n => getComputedStyle(n).opacity === '1'"
    page.wait_for_function(shown, arg=contents.element_handle())


@pytest.mark.parametrize(
    "path, what", [("howto/rerun", "pre"), ("notation", "mjx-container[display]")]
)
def test_commands_and_formulas_are_not_cut_on_a_phone(visit, path, what):
    found = visit(f"pages/{path}.html", width=390).locator(f"article {what}")
    found.last.wait_for()
    assert found.evaluate_all("all => all.every(one => one.scrollWidth <= one.clientWidth)")


def test_dark_mode_is_followed(visit):
    dark = visit("index.html", scheme="dark")
    assert dark.locator("html").get_attribute("data-theme") == "dark"


def test_no_serious_barrier(visit):
    from axe_playwright_python.sync_playwright import Axe

    # what passes is not described, which takes a third of the time
    options = {"preload": False, "resultTypes": ["violations"]}
    of_scheme = {"light": {}, "dark": {"runOnly": ["color-contrast"]}}  # all else is the same
    barriers = []
    page = visit(KINDS[0])
    base = page.url.removesuffix(KINDS[0])
    of_one = [path for path in CHAPTERS if f"/{DATASETS[-1]}/" in path]  # others have its form
    for path in [*KINDS, *of_one]:
        page.goto(base + path)
        for scheme, rules in of_scheme.items():
            page.emulate_media(color_scheme=scheme)
            page.locator(f"html[data-theme={scheme}]").wait_for(state="attached")
            for found in Axe().run(page, options=options | rules).response["violations"]:
                if found["impact"] in ("serious", "critical"):
                    where = [node["target"] for node in found["nodes"]][:3]
                    barriers.append(f"{path}, {scheme}: {found['id']}: {found['help']} {where}")
        page.emulate_media(color_scheme="light")
    assert not barriers
