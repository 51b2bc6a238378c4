"""The chapters' frame, the figures and the scoreboard, on a small world."""

import base64
import copy
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import papermill
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from companion import chapter, execute, scoreboard
from companion.execute import parameters
from companion.site import ROOT, chapters
from lib import claims
from lib.core import InputError
from lib.dataset import Dataset
from lib.stats import Estimate

pytestmark = pytest.mark.usefixtures("cache_folder")
GIVEN = {
    "dataset": "synthetic", "split": "random", "seed": 0, "seeds": 2, "k": 5,
    "encoder": "minilm", "fields": "all", "device": "cpu",
}  # fmt: skip


@pytest.fixture
def page(small: Dataset) -> chapter.Page:
    made = chapter.Page("03-agreement", dict(GIVEN))
    made.__dict__["dataset"] = small
    return made


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"topk": 3}, "topk"),
        ({"k": 0}, "at least 1"),
        ({"k": 10**9}, "1 to"),
        ({"k": 2.5}, "int"),
        ({"seeds": 0}, "seeds"),
        ({"seed": -1}, "seed"),
        ({"seeds": True}, "int"),
        ({"dataset": "netflix"}, "netflix"),
        ({"device": "tpu"}, "cuda"),
        ({"split": "weekly"}, "weekly"),
    ],
)
def test_a_wrong_parameter_is_one_sentence(change: dict[str, Any], word: str) -> None:
    with pytest.raises(InputError, match=word) as fault:
        chapter.begin("03-agreement", GIVEN | change)
    assert "\n" not in str(fault.value)
    assert fault.value._render_traceback_() == [f"InputError: {fault.value}"]


def test_fields_are_a_parameter_that_older_pages_lack_and_newer_ones_state() -> None:
    older = {name: value for name, value in GIVEN.items() if name != "fields"}
    page = chapter.begin("03-agreement", older)
    assert page.parameters == GIVEN and "The text of an item" not in chapter.stands_for(page).data
    page = chapter.begin("03-agreement", GIVEN | {"dataset": "ml-100k", "fields": "title,year"})
    assert page.dataset.items["text"][0] == "Toy Story (1995)"
    assert "The text of an item is its title, year." in chapter.stands_for(page).data
    assert "2 training seeds, lists" in chapter.stands_for(page).data
    assert "<th>fields</th><td>title,year</td>" in chapter.colophon(page).data
    with pytest.raises(InputError, match="fields = 'brand' was given for ml-100k"):
        chapter.begin("03-agreement", GIVEN | {"dataset": "ml-100k", "fields": "brand"})


def test_a_page_about_no_dataset_says_by_which_commit_it_was_made() -> None:
    told = chapter.colophon(chapter.Page("17-instruments", {"worlds": 2})).data
    assert "<th>worlds</th><td>2</td>" in told and "<th>commit</th>" in told
    assert "dataset digest" not in told and "device used" not in told


def test_results_of_an_earlier_run_in_the_kernel_are_no_parameters() -> None:
    cells = [
        "",
        "dataset = 'synthetic'\nk = 20",
        "k = 5",
        "begin",
        "run = 1\nrun",
        "k = 5",
        "begin",
    ]
    namespace = GIVEN | {"chapter": chapter, "_": 1, "In": cells, "run": 1}
    assert chapter.begin("03-agreement", namespace).parameters == GIVEN
    namespace["In"] = [*cells[:-1], "run = 1", "begin"]
    with pytest.raises(InputError, match="has no parameter 'run'"):
        chapter.begin("03-agreement", namespace)


@pytest.mark.parametrize("name", chapters())
def test_a_chapter_begins_right_after_its_parameters(name: str) -> None:
    path = ROOT / "chapters" / f"{name}.ipynb"
    code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert "parameters" in code[0].metadata.tags and "chapter.begin(" in code[1].source
    history = [cell.source for cell in code]
    names = set(parameters(path))
    assert chapter._assigned({"In": ["", *history[:2]]}) == names
    assert chapter._assigned({"In": ["", *history, *history[:2]]}) == names


def test_a_chapter_runs_twice_in_one_kernel_and_refuses_an_unknown_parameter() -> None:
    notebook = nbformat.read(ROOT / "chapters" / "01-data.ipynb", 4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    own = nbformat.v4.new_code_cell(
        'dataset = "synthetic"\nk = 5', metadata={"tags": ["injected-parameters"]}
    )
    once = [cells[0], own, *cells[1:]]
    notebook.cells = [copy.deepcopy(cell) for cell in (*once, *once)]
    notebook.cells += [cells[0], nbformat.v4.new_code_cell("topk = 3"), cells[1]]
    with pytest.raises(CellExecutionError, match="chapter 01-data has no parameter 'topk'"):
        NotebookClient(notebook, kernel_name="python3").execute()
    assert [cell.execution_count for cell in notebook.cells] == list(
        range(1, len(notebook.cells) + 1)
    )


def test_plain_papermill_is_told_of_an_unknown_parameter(tmp_path: Path) -> None:
    chapter, out = ROOT / "chapters" / "01-data.ipynb", tmp_path / "out.ipynb"
    with pytest.raises(papermill.PapermillExecutionError, match="has no parameter 'topk'"):
        papermill.execute_notebook(chapter, out, {"topk": 3}, kernel_name="python3")


def test_a_dataset_may_be_called_as_nothing_is(
    page: chapter.Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(chapter, "display", lambda bundle, **_: shown.append(bundle))
    page.__dict__["dataset"] = replace(page.dataset, name="BaNaNa")
    nothing = Estimate(*[float("nan")] * 3, 0)
    page.judge("F2", {name: nothing for name in claims.load()["F2"].measures})
    record = shown[0][chapter.RECORD]
    assert record["dataset"] == "BaNaNa"
    assert set(map(tuple, record["measures"].values())) == {(None, None, None, 0.0)}
    json.dumps(record, allow_nan=False)


def test_what_a_parameter_left_out_is_said_with_the_way_to_measure_it(page: chapter.Page) -> None:
    value, nothing = Estimate(0.1, 0.1, 0.1, 60), Estimate(*[float("nan")] * 3, 0)
    found = dict.fromkeys(claims.load()["A4"].measures, nothing) | {"equal": value}
    page.parameters["reference"] = True
    assert page.judge("A4", found).reason.startswith("no value for ")
    page.parameters["reference"] = False
    told = page.judge("A4", found)
    assert told.word == claims.UNTESTABLE and told.reason == (
        "this execution did not measure it (reference = False): make's FULL=1 or papermill's "
        "-p reference true does"
    )
    assert page.judge("A4", dict.fromkeys(found, value)).word != claims.UNTESTABLE


def test_judge_leaves_a_record_and_the_box_has_no_number(
    page: chapter.Page, capsys: pytest.CaptureFixture[str]
) -> None:
    low, high = Estimate(0.1, 0.09, 0.11, 60), Estimate(0.5, 0.4, 0.6, 60)
    verdict = page.judge(
        "F2", {"jaccard": low, "seeds": high, "other": high, "excess": low, "reach": high}
    )
    assert verdict.word == claims.UNDECIDED  # an excess of 0.1 is below the margin
    box = str(chapter.verdict_box(verdict).data)
    words = re.sub(r"<[^>]*>|F\d+", "", box.split("Why")[0])
    assert verdict.word in words and not re.search(r"\d", words)


def test_a_page_says_where_it_is_outside_the_papers_regime(
    page: chapter.Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(chapter, "display", lambda bundle, **_: shown.append(bundle))
    gain = dict.fromkeys(claims.load()["F5"].measures, Estimate(0.3, 0.2, 0.4, 60))
    for mean, outside in ((0.5, True), (1.0, False)):
        verdict = page.judge("F5", gain, {"ratio": Estimate(mean, mean, mean, 60)})
        assert verdict.word == claims.UNDECIDED
        box = str(chapter.verdict_box(verdict).data)
        assert ("Outside the paper's regime" in box) == outside
        assert bool(shown[-1][chapter.RECORD]["outside"]) == outside


def test_judge_shows_measures_that_are_described_in_the_same_words(
    page: chapter.Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(chapter, "display", lambda bundle, **_: shown.append(bundle))
    names = claims.load()["F7b"].measures
    page.judge("F7b", {name: Estimate(i, i, i, 9) for i, name in enumerate(names)})
    values = [f"{i}.00 [{i}.00,\u00a0{i}.00]" for i in range(1, len(names))]
    assert all(value in shown[0]["text/html"] for value in values)


def test_the_data_of_a_figure_comes_back_from_its_link() -> None:
    table = pd.DataFrame({"what": ["a, b", "c"], "mean": [0.5, float("nan")]})
    link = str(chapter.download(table, "figure").data)
    body = re.search(r"base64,([^\"]*)", link)
    assert body and base64.b64decode(body[1]).decode() == table.to_csv(index=False)


def test_a_card_is_shown_as_text_with_what_cannot_be_judged(page: chapter.Page) -> None:
    card = {"origin": "<script>alert(1)</script>", "before": {"users": 1234}, "notes": ["3 ids"]}
    page.__dict__["dataset"] = replace(page.dataset, card=card)
    shown = chapter.card_table(page)
    assert "<script>" not in shown and "1,234" in shown and "3 ids" in shown
    assert "F6, F7, F7b: 8 items held out from maps, a fifth of 40" in shown


def test_a_finding_that_cannot_be_judged_says_why_whatever_its_measures(
    page: chapter.Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.parameters["k"] = 20
    low, high = Estimate(0.1, 0.09, 0.11, 60), Estimate(0.5, 0.4, 0.6, 60)
    verdict = page.judge(
        "F2", {"jaccard": low, "seeds": high, "other": high, "excess": low, "reach": high}
    )
    assert verdict.word == claims.UNTESTABLE and "give a smaller k" in verdict.reason


def test_a_chapter_without_a_finding_that_can_be_judged_ends_without_a_failure(
    tmp_path: Path,
) -> None:
    rows = [f"u{u},i{(u + n) % 12},{10**9 + n}" for u in range(20) for n in range(7)]
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "interactions.csv").write_text(
        "\n".join(["user_id,item_id,timestamp", *rows])
    )
    titles = [f"i{n},Film {n}" for n in range(12)]
    (tmp_path / "few" / "items.csv").write_text("\n".join(["item_id,title", *titles]))
    for name, found in (("01-data", []), ("04-complementarity", ["F3", "F3b", "F4"])):
        path = ROOT / "chapters" / f"{name}.ipynb"
        out = execute.execute(path, str(tmp_path / "few"), {}, tmp_path / "out.ipynb")
        records = execute.records_of(out, chapter.RECORD)
        assert [record["claim"] for record in records] == found
        assert {record["verdict"] for record in records} <= {claims.UNTESTABLE}
        outputs = [o for cell in nbformat.read(out, 4).cells for o in cell.get("outputs", [])]
        assert not any(o.output_type == "error" for o in outputs)
        assert "How this page was made" in str(outputs)


def test_a_name_is_shown_as_text(page: chapter.Page) -> None:
    page.__dict__["dataset"] = replace(page.dataset, name="<script>")
    assert "<script>" not in str(chapter.stands_for(page).data)


def test_intervals_are_words() -> None:
    assert chapter.interval(Estimate(0.5, 0.4, 0.61234, 9)) == "0.5000 [0.4000, 0.6123]"
    assert chapter.interval(Estimate(*[float("nan")] * 3, 0)) == "–"


def test_a_tidy_table_is_set_side_by_side_in_its_own_order() -> None:
    rows = [("b", "2", 0.5), ("b", "1", 0.25), ("a", "2", 0.75)]
    table = pd.DataFrame(rows, columns=["what", "level", "mean"]).assign(low=0.0, high=1.0)
    shown = chapter.side_by_side(table, "level of what")
    assert list(shown.index) == ["b", "a"] and list(shown.columns) == ["2", "1"]
    assert shown.loc["b", "1"] == "0.2500 [0.0000, 1.0000]" and shown.loc["a", "1"] == "–"
    assert shown.columns.name == "level of what"


def notebook(path: Path, verdict: str, mean: float | None) -> None:
    record = {
        "claim": "F2", "chapter": "03-agreement", "dataset": "x", "verdict": verdict,
        "reason": "because",
        "measures": {
            "jaccard": [mean, mean, mean, 10], "seeds": [0.25, 0.2, 0.3, 10],
            "other": [0.3, 0.2, 0.4, 10], "excess": [0.1, 0.05, 0.15, 10],
            "reach": [0.5, 0.4, 0.6, 10],
        },
    }  # fmt: skip
    cell = {"cell_type": "code", "outputs": [{"data": {chapter.RECORD: record}}]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown"}, cell]}))


def test_the_scoreboard_takes_the_fresh_record_and_no_failed_one(tmp_path: Path) -> None:
    notebook(tmp_path / "old/ml-100k/03-agreement.ipynb", claims.HOLDS, 0.1)
    notebook(tmp_path / "old/games/03-agreement.ipynb", claims.UNTESTABLE, None)
    notebook(tmp_path / "new/ml-100k/03-agreement.ipynb", claims.FAILS, 0.4)
    notebook(tmp_path / "new/books/03-agreement.failed.ipynb", claims.HOLDS, 0.1)
    found = scoreboard.records([tmp_path / "old", tmp_path / "new"]).set_index("dataset")
    assert dict(found["verdict"]) == {"ml-100k": claims.FAILS, "games": claims.UNTESTABLE}
    page = scoreboard.table(found.reset_index(), link="executed/{page}.html")
    assert 'href="executed/ml-100k/03-agreement.html"' in page and "0.400" in page
    assert "null 0.500 [0.400,\u00a00.600]" in page
    assert scoreboard.counts(found.reset_index()).loc["ml-100k", claims.FAILS] == 1


def test_the_scoreboard_judges_by_the_rules_as_they_are_and_corrects_for_their_number(
    tmp_path: Path,
) -> None:
    def page(dataset: str, ratio: list[float], word: str = claims.FAILS) -> None:
        measures = {name: [0.5, 0.5, 0.5, 9] for name in ("semantic", "collaborative")}
        measures |= {"ratio": ratio, "popularity": [0.1, 0.1, 0.1, 9]}
        record = {"claim": "F1", "chapter": "02-views", "verdict": word, "reason": "old"}
        outputs = [{"data": {chapter.RECORD: record | {"measures": measures}}}]
        path = tmp_path / dataset / "02-views.ipynb"
        path.parent.mkdir()
        cells = [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": outputs}]
        path.write_text(json.dumps({"cells": cells}))

    page("sure", [1.0, 0.97, 1.03, 9])
    page("hardly", [1.0, 0.805, 1.195, 9])  # p is 0.044
    page("no", [1.0, 0.7, 1.3, 9], claims.HOLDS)
    page("untested", [1.0, 0.97, 1.03, 9], claims.UNTESTABLE)
    found = scoreboard.records([tmp_path]).set_index("dataset")
    assert found["verdict"].to_dict() == {
        "sure": claims.HOLDS, "hardly": claims.HOLDS, "no": claims.UNDECIDED,
        "untested": claims.UNTESTABLE,
    }  # fmt: skip
    assert found["p"]["hardly"] < 0.05 < found["holm"]["hardly"] < found["holm"]["no"]
    assert found["stands"].to_dict() == {
        "sure": True, "hardly": False, "no": False, "untested": False,
    }  # fmt: skip
    page_of = scoreboard.table(found.reset_index())
    assert page_of.count("not significant after Holm's correction for 3 tests") == 1


def test_the_scoreboard_says_which_datasets_are_outside_the_papers_regime(tmp_path: Path) -> None:
    def page(claim: str, dataset: str, mean: float, word: str = claims.FAILS) -> None:
        of = claims.load()[claim]
        measures = dict.fromkeys(of.measures, [mean, mean, mean, 9])
        record = {"claim": claim, "chapter": of.chapter, "verdict": word, "reason": "old"}
        outputs = [{"data": {chapter.RECORD: record | {"measures": measures}}}]
        path = tmp_path / dataset / f"{of.chapter}.ipynb"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"cells": [{"cell_type": "code", "outputs": outputs}]}))

    for dataset, ratio in {"near": 1.0, "far": 0.5}.items():
        page("F1", dataset, ratio)
        page("F2", dataset, 0.1)
        page("F5", dataset, 0.3)
    page("F5", "alone", 0.3)  # F1 is not known there
    page("F8", "far", 0.3, claims.UNTESTABLE)
    found = scoreboard.records([tmp_path])
    outside = found[found["outside"] != ""]
    assert [tuple(row) for row in outside[["claim", "dataset"]].to_numpy()] == [("F5", "far")]
    assert scoreboard.table(found).count("outside the paper's regime") == 1
    said = scoreboard.sentences(found, claims.HOLDS)
    assert said.count("Outside the paper's regime") == 1
    answers = " ".join(scoreboard.answers(found, ["F5", "F8"], "executed/{page}.html").split())
    assert "interactions on near (with 1.00 [1.00, 1.00] times their recall).</p>" in answers
    far = answers.index(">far</a>, where text predicts otherwise")
    assert answers.index(">near</a>: ") < far
    assert 'href="executed/far/05-oracle.html"' in answers and "(F8" not in answers


def test_a_headline_says_what_it_takes_to_read_it() -> None:
    def told(claim: str, **measures: float) -> str:
        of = {name: Estimate(x, x, x, 9) for name, x in measures.items()}
        return scoreboard.headline_of(claims.load()[claim], of)

    assert told("Q3", temporal=0.0).endswith(": validation gave the added view no weight")
    assert told("Q3", temporal=0.1) == "+10.0\u00a0% [10.0,\u00a010.0]"
    assert told("Q3") == ""


def test_a_verdict_can_be_quoted(tmp_path: Path) -> None:
    notebook(tmp_path / "run/ml-100k/03-agreement.ipynb", claims.FAILS, 0.4)
    one = scoreboard.sentences(scoreboard.records([tmp_path / "run"]), claims.FAILS)
    one = " ".join(one.split())
    assert "it <i>does not hold</i>: 0.400 [0.400, 0.400]; null 0.500" in one
    assert (
        "Not met: semantic list against collaborative list: below 1/3." in one
        and "<b>F2</b>" in one
    )
    notebook(tmp_path / "run/<b>/03-agreement.ipynb", claims.UNTESTABLE, None)
    found = scoreboard.records([tmp_path / "run"])
    assert "None." in scoreboard.sentences(found, claims.FAILS)
    both = " ".join(scoreboard.sentences(found, scoreboard.DEPENDS).split())
    assert "it <i>does not hold</i>" in both and "it <i>cannot be tested</i>: null" in both
    assert "nan" not in both and "&lt;b&gt;" in both
    said = scoreboard.tally(found)
    assert "does not hold" in said and '<th scope="row">ml-100k</th><td>1</td>' in said
    assert 'data-dataset="ml-100k"' in scoreboard.table(found)
    assert "<td>" not in scoreboard.tally(scoreboard.records([]))


def test_a_chapter_opens_with_its_verdicts(tmp_path: Path) -> None:
    def opening(dataset: str, word: str, mean: float | None) -> str:
        notebook(tmp_path / f"run/{dataset}/03-agreement.ipynb", word, mean)
        found = scoreboard.records([tmp_path / "run"])
        shown = scoreboard.opening(found[found["dataset"] == dataset], 10)
        return " ".join(re.sub("<[^>]*>", "", shown).replace("\u00a0", " ").split())

    assert opening("ml-100k", claims.FAILS, 0.4) == (
        "✘ F2 does not hold on ml-100k: “The lists of the two views hardly overlap.” Mean "
        "Jaccard@10 of the semantic and the collaborative list: 0.400 [0.400, 0.400]. Beside it, "
        "Jaccard of the collaborative list with a matched seed&#39;s, which the excess cannot "
        "exceed: 0.500 [0.400, 0.600]."
    )
    found = scoreboard.records([tmp_path / "run"])
    found["measures"] = [of | {"reach": [None] * 4} for of in found["measures"]]
    assert "Beside it" not in scoreboard.opening(found, 10)
    assert opening("ml-100k", claims.FAILS, None).endswith(
        "“The lists of the two views hardly overlap.” Why: no value for semantic list against "
        "collaborative list."
    )
    untested = opening("&lt;b", claims.UNTESTABLE, None)
    assert "F2 cannot be tested on &amp;lt;b: “The lists" in untested and "Why: " in untested
    assert scoreboard.opening(scoreboard.records([]), 10) == ""


def test_a_forest_has_each_null_below_its_measure_in_the_order_given(tmp_path: Path) -> None:
    for dataset, mean in {"a": 0.1, "b": 0.2, "c": None}.items():
        notebook(tmp_path / f"run/{dataset}/03-agreement.ipynb", claims.HOLDS, mean)
    found = scoreboard.records([tmp_path / "run"], ["b", "missing", "a"])
    assert list(found["dataset"].cat.categories) == ["b", "a", "c"]
    drawn = scoreboard.forest(found)
    names = ["b", "null, b", "a", "null, a", "c", "null, c"]
    assert list(drawn["group"]) == names and drawn["what"].str.startswith("F2 The lists").all()
    assert list(drawn["mean"].dropna()) == [0.2, 0.5, 0.1, 0.5, 0.5]


def test_an_empty_scoreboard_is_a_table() -> None:
    assert "F2" in scoreboard.table(scoreboard.records([]))
