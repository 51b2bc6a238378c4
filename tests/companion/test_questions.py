"""The scoreboard's script, in a real browser: equal to lib.claims, and a page that can be used."""

import ast
import math
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from companion import scoreboard
from companion.site import ROOT, workflow
from lib import claims

STATIC = ROOT / "companion/sphinx_ext/static"
SCRIPT = (STATIC / "scoreboard.js").read_text(encoding="utf-8")
RULES = ("holds", "beyond", "partly")
PUBLISHED = {name: of["value"] for name, of in scoreboard.THRESHOLDS.items()}
CLAIMS = claims.load()


def nulls(beyond: str) -> dict[str, str]:
    """Return the conditions of a rule by the first measure of each."""
    if not beyond:
        return {}
    tree = ast.parse(beyond, mode="eval").body
    parts = tree.values if isinstance(tree, ast.BoolOp) else [tree]
    first = [next(n for n in ast.walk(of.left) if isinstance(n, ast.Attribute)) for of in parts]
    sources = [ast.get_source_segment(beyond, of) for of in parts]  # which spell a number as it is
    return dict(zip(map(ast.unparse, first), sources, strict=True))


def moved(rule: str, setting: dict[str, float]) -> str:
    """Return a rule with other thresholds, as a reader of claims.yml would put them in."""
    most, equal, counts = (setting.get(name, PUBLISHED[name]) for name in PUBLISHED)
    put = {
        r"0\.5\b": most, r"1 / 3\b": most / (2 - most), r"0\.80": equal, r"1\.25": 1 / equal,
        r"0\.20": 1 - equal, r"0\.10": counts,
    }  # fmt: skip
    kept = {"most": (r"0\.5\b", r"1 / 3\b"), "counts": (r"0\.10",)}
    kept["equal"] = tuple(put.keys() - {*kept["most"], *kept["counts"]})
    for name, patterns in kept.items():
        if setting.get(name, PUBLISHED[name]) == PUBLISHED[name]:
            put = {pattern: value for pattern, value in put.items() if pattern not in patterns}
    whole = "|".join(f"(?P<p{i}>(?<![\\w.]){pattern})" for i, pattern in enumerate(put))
    if not put:
        return rule
    return re.sub(whole, lambda m: repr(list(put.values())[int(m.lastgroup[1:])]), rule)


def judged(setting: dict, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Return what Python says of all records: word, p, Holm's p, outside."""
    changed = {}
    for name, claim in CLAIMS.items():
        conditions = nulls(claim.beyond)
        kept = setting.get("nulls", {}).get(name, list(conditions))
        beyond = " and ".join(conditions[key] for key in conditions if key in kept)
        rules = {"holds": claim.holds, "beyond": beyond, "partly": claim.partly}
        changed[name] = replace(claim, **{k: moved(rule, setting) for k, rule in rules.items()})
    with monkeypatch.context() as patch:
        patch.setattr(claims, "load", lambda: changed)
        found = scoreboard.records([Path("executed")], list(workflow()["titles"]))
    columns = zip(found["verdict"], found["p"], found["holm"], found["outside"], strict=True)
    return [(word, p, corrected, bool(outside)) for word, p, corrected, outside in columns]


def of_chance(rng: np.random.Generator) -> dict:
    """Return records of every claim on four datasets: measures near thresholds, some unknown."""
    found = {}
    for name, dataset in product(CLAIMS, [f"d{i}" for i in range(4)]):
        measures = {}
        for measure in CLAIMS[name].measures:
            mean = rng.choice([-0.2, -0.03, 0.05, 0.1, 0.33, 0.5, 0.9]) + rng.normal(0, 0.05)
            low, high = mean - rng.gamma(2, 0.03), mean + rng.gamma(2, 0.03)
            measures[measure] = [*([None] * 3 if rng.random() < 0.02 else [mean, low, high]), 9]
        if rng.random() < 0.05:
            measures.popitem()
        word = claims.UNTESTABLE if rng.random() < 0.05 else claims.HOLDS
        record = {"claim": name, "chapter": CLAIMS[name].chapter, "verdict": word, "reason": "so"}
        found[name, dataset] = (record | {"measures": measures}, Path(dataset, "x.ipynb"))
    return found


PUBLISHED_RECORDS = scoreboard.records_in(ROOT / "executed")


def settings(rng: np.random.Generator) -> list[dict]:
    """Return a grid of thresholds, each null alone and none, and both at random."""
    grid = product((0.05, 0.33, 0.5, 0.8), (0.5, 0.8, 0.93), (0.0, 0.1, 0.4))
    found: list[dict] = [dict(zip(PUBLISHED, values, strict=True)) for values in grid]
    keys = {name: list(nulls(claim.beyond)) for name, claim in CLAIMS.items()}
    for number in range(max(map(len, keys.values()))):
        found.append({"nulls": {name: of[number : number + 1] for name, of in keys.items()}})
    found.append({"nulls": dict.fromkeys(keys, [])})
    for _ in range(20):
        setting = {
            name: round(float(rng.uniform(of["low"], of["high"])), 2)
            for name, of in scoreboard.THRESHOLDS.items()
        }
        kept = {name: [key for key in of if rng.random() < 0.5] for name, of in keys.items()}
        found.append(setting | {"nulls": kept})
    return found


@pytest.fixture
def tab(browser):
    """Return a page on which the script, its errors and requests elsewhere are failures."""
    faults: list[str] = []
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.route(lambda url: not url.startswith("file:"), lambda route: faults.append("asked") or
               route.abort())  # fmt: skip
    yield page
    context.close()
    assert not faults


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a page with the scoreboard of executed/, as the book shows it, but for the theme."""
    found = scoreboard.records([ROOT / "executed"], list(workflow()["titles"]))
    return written(tmp_path_factory.mktemp("board"), scoreboard.table(found), found)


def written(folder: Path, table: str, found, change=lambda data: data) -> Path:
    css = (STATIC / "companion.css").read_text(encoding="utf-8")
    path = folder / "board.html"
    path.write_text(
        f'<!doctype html><html lang="en"><head><title>Scoreboard</title><style>{css}</style>'
        f"<script>{SCRIPT}</script></head><body><main><h1>Scoreboard</h1><article>"
        f'<div class="output">{table}{change(scoreboard.questions(found))}</div></article>'
        '<h2 id="a-heading">More</h2></main></body></html>'
    )
    return path


@pytest.mark.parametrize("published", [True, False], ids=["executed", "of chance"])
def test_the_script_judges_as_python_does(
    published: bool, tab, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    records = PUBLISHED_RECORDS if published else of_chance(rng)
    monkeypatch.setattr(scoreboard, "records_in", lambda folder: records)
    found = scoreboard.records([Path("executed")], list(workflow()["titles"]))
    text = re.search(r">(.*)</script>", scoreboard.questions(found), re.DOTALL)[1]
    tab.goto(file.as_uri())
    asked = settings(rng)[:: 1 if published else 2]
    theirs = tab.evaluate(
        """([text, asked]) => {
            const data = scoreboard.read(text);
            const usual = scoreboard.published(data);
            return asked.map((one) => scoreboard.verdicts(data, {
                ...usual, ...one, nulls: { ...usual.nulls, ...one.nulls },
            }).map((of) => [of.word, of.p, of.holm, of.outside]));
        }""",
        [text, asked],
    )
    for setting, of_script in zip(asked, theirs, strict=True):
        ours = judged(setting, monkeypatch)
        assert len(ours) == len(of_script) == len(found) > 40
        for where, a, b in zip(
            found[["claim", "dataset"]].to_numpy(), ours, of_script, strict=True
        ):
            assert (a[0], a[3]) == (b[0], b[3]), (where, setting)
            for x, y in zip(a[1:3], b[1:3], strict=True):
                same = (math.isnan(x) and math.isnan(y)) or math.isclose(x, y, rel_tol=1e-9)
                assert same, (where, setting, a, b)


def test_the_error_function_of_the_script_is_that_of_python(tab, file: Path) -> None:
    tab.goto(file.as_uri())
    x = [*np.geomspace(1e-9, 26, 400), 2.5, 2.4999999]
    theirs = tab.evaluate("x => x.map(scoreboard.erfc)", [float(value) for value in x])
    assert theirs == pytest.approx([math.erfc(value) for value in x], rel=1e-11, abs=0)


def test_rules_have_no_number_that_a_reader_cannot_move_and_nulls_have_names() -> None:
    written = [text for of in scoreboard.THRESHOLDS.values() for text in of["written"]]
    for claim in CLAIMS.values():
        for rule in (claim.holds, claim.beyond, claim.partly):
            for text in written:
                rule = re.sub(rf"(?<![\w.]){re.escape(text)}(?![\w.])", "0", rule)
            if claim.instrument:  # the margin is chapter 17's, and no convention
                rule = re.sub(r"excess\.low > [\d.]+", "", rule)
            assert set(re.findall(r"(?<![\w.])\d[\d.]*", rule)) <= {"0"}, claim.id
        conditions = nulls(claim.beyond)
        assert len(conditions) == claim.beyond.count(" and ") + bool(claim.beyond), claim.id


def test_what_stands_in_grey_is_what_the_rule_compares_the_measure_with() -> None:
    for name, claim in CLAIMS.items():
        compared = [
            {node.value.id for node in ast.walk(part) if isinstance(node, ast.Attribute)}
            for part in ast.walk(ast.parse(f"({claim.holds}) and ({claim.beyond or 0})"))
            if isinstance(part, ast.Compare)
        ]
        alike = {claim.headline, claim.beside} in compared
        of_text = claim.family == "identification"  # beyond a null of chapter 17, or described
        described = of_text and claim.beside in ("seeds", "reach") and name != "F3b"  # another unit
        assert (name in scoreboard.NULLS) == (alike or described), name


def cells(page) -> list[str]:
    return page.locator("td[data-dataset]").all_inner_texts()


def test_at_the_published_setting_the_table_stays_as_it_is(browser, tab, file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(file.as_uri())
    without = cells(plain)
    assert plain.locator("form, input").count() == 0
    context.close()
    tab.goto(file.as_uri())
    assert cells(tab) == without
    assert "The published setting" in tab.get_by_role("status").inner_text()


def test_a_threshold_moves_verdicts_says_which_and_leaves_a_link(tab, file: Path) -> None:
    tab.goto(file.as_uri())
    before = cells(tab)
    tab.get_by_label("A relative gain counts from").fill("0.25")
    tab.get_by_label("is a ratio from").fill("0.5")
    cell = tab.locator("tr[data-claim=F3b] td[data-dataset='ml-100k']")
    assert "? undecided" in cell.inner_text()
    assert "moved: published as ✘ does not hold" in cell.inner_text()
    said = tab.get_by_role("status").inner_text()
    number = int(re.match(r"(\d+) of \d+ verdicts moved", said)[1])
    assert number == tab.locator("td.moved").count() == tab.locator("form li").count() > 3
    assert tab.url.endswith("#equal=0.5&counts=0.25")
    after, link = cells(tab), tab.url
    other = tab.context.new_page()
    other.goto(link)
    assert cells(other) == after and other.get_by_role("status").inner_text() == said
    tab.get_by_role("button", name="Back to the published setting").click()
    assert cells(tab) == before and "#" not in tab.url


def test_nulls_are_chosen_one_by_one(tab, file: Path) -> None:
    tab.goto(file.as_uri())
    row = tab.locator("tr[data-claim=F11]")
    cell = row.locator("td[data-dataset='scientific-2018']")
    assert "◐" in cell.inner_text()
    row.get_by_text("Beyond its null: 3 of 3").click()
    row.get_by_label("two collaborative seeds").uncheck()
    row.get_by_label("popular.low > 0").uncheck()
    row.get_by_label("more.low > 0").uncheck()
    assert "◇ no calibrated instrument" in cell.inner_text()
    assert tab.url.endswith("#F11=none")
    row.get_by_label("popular.low > 0").check()
    assert tab.url.endswith("#F11=popular.low") and row.get_by_text("null: 1 of 3").is_visible()


def test_significance_is_asked_for_one_test_or_for_all(tab, file: Path) -> None:
    tab.goto(file.as_uri())
    cell = tab.locator("tr[data-claim=Q4] td[data-dataset='scientific-2018']")
    assert "not significant after Holm's correction for" in cell.inner_text()
    tab.get_by_label("A finding is significant").select_option("raw")
    assert "not significant" not in cell.inner_text() and "✔" in cell.inner_text()
    said = tab.get_by_role("status").inner_text()
    assert said.startswith("0 of") and re.search(r"changed in \d+ more", said)
    assert tab.url.endswith("#p=raw")


def test_all_can_be_done_with_the_keyboard(tab, file: Path) -> None:
    tab.goto(file.as_uri())
    tab.keyboard.press("Tab")
    for name in PUBLISHED:
        assert tab.evaluate("document.activeElement.id") == f"question-{name}"
        tab.keyboard.press("ArrowRight")
        assert f"{name}={PUBLISHED[name] + 0.01:.2g}" in tab.url
        tab.keyboard.press("Tab")
    tab.keyboard.press("Tab")  # the list of p-values
    tab.keyboard.press("Enter")
    assert "#" not in tab.url
    row = tab.locator("tr[data-claim=F8]")
    row.get_by_text("Beyond its null: 2 of 2").focus()
    for key in ("Enter", "Tab", "Space"):
        tab.keyboard.press(key)
    tab.wait_for_url("**#F8=seeds.low")


@pytest.mark.parametrize(
    ("fragment", "word"),
    [
        ("most=2", "most is 2, not a number from 0.05 to 0.95"),
        ("most=0.333", "most is 0.333"),
        ("equal=", "equal is empty"),
        ("counts=NaN", "counts is NaN"),
        ("p=bonferroni", "p is bonferroni, not holm or raw"),
        ("F8=nobody.low", "F8 has no null “nobody.low”"),
        ("F4=none", "“F4” is no setting"),
        ("most=0.4&toString=1", "“toString” is no setting"),
        ("<img src=x onerror=alert(1)>=1", "is no setting"),
    ],
)
def test_a_wrong_link_is_one_sentence_and_the_published_setting(
    fragment: str, word: str, tab, file: Path
) -> None:
    tab.goto(file.as_uri())
    published = cells(tab)
    tab.goto(f"{file.as_uri()}#most=0.9&F11=none")
    assert cells(tab) != published
    tab.evaluate("fragment => { location.hash = fragment }", fragment)
    said = tab.get_by_role("alert").inner_text()
    assert word in said and said.endswith("The table shows the published setting.")
    assert cells(tab) == published and tab.locator("td.moved").count() == 0
    tab.get_by_label("A relative gain counts from").fill("0.11")
    assert tab.get_by_role("alert").inner_text() == "" and tab.url.endswith("#counts=0.11")


def test_a_heading_is_no_setting(tab, file: Path) -> None:
    tab.goto(f"{file.as_uri()}#a-heading")
    assert tab.get_by_role("alert").inner_text() == "" and tab.url.endswith("#a-heading")


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ('"recorded": "holds"', '"recorded": "not testable here"', "comes out otherwise"),
        ('"holds": "jaccard.high < 1 / 3"', '"holds": "jaccard.high << 3"', "cannot be read"),
        ('"claim": "F2"', '"claim": "F99"', "F99 on ml-100k is of a claim without a rule"),
        ('"measures": {"excess": [', '"measures": {"excess": [1, ', "without its interval"),
        ('"thresholds": {', '"thresholds": ', "JSON"),
    ],
)
def test_records_that_cannot_be_read_leave_the_published_table(
    old: str, new: str, word: str, tab, tmp_path: Path
) -> None:
    found = scoreboard.records([ROOT / "executed"], list(workflow()["titles"]))

    def change(data: str) -> str:
        plain = data.replace("\\u003c", "<")
        assert old in plain
        return plain.replace(old, new)

    tab.goto(written(tmp_path, scoreboard.table(found), found, change).as_uri())
    said = tab.get_by_role("alert").inner_text()
    assert word in said and said.endswith("the table shows the published verdicts.")
    assert tab.locator("input").count() == 0
    assert "✔ holds" in tab.locator("tr[data-claim=F1]").inner_text()


@pytest.mark.parametrize("width", [1400, 390])
def test_no_serious_barrier_and_no_page_wider_than_the_screen(width: int, tab, file: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(f"{file.as_uri()}#most=0.4&F11=none&p=raw")
    for fold in tab.locator("details:has(fieldset) summary").all()[:3]:
        fold.click()
    found = Axe().run(tab, options={"preload": False, "resultTypes": ["violations"]}).response
    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert not serious
    assert not tab.evaluate("document.documentElement.scrollWidth > window.innerWidth")
