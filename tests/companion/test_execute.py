"""Executing chapters: what is written is whole, refuses what it does not know, and repeats."""

import copy
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from companion import data, site
from companion import execute as execution
from companion.__main__ import main
from companion.execute import ChapterError, execute
from lib.core import InputError

PARAMETERS = 'dataset = "ml-100k"\nk = 20'


def write_chapter(folder: Path, *cells: str) -> Path:
    path = folder / "03-agreement.ipynb"
    head = new_markdown_cell("(agreement-{dataset})=\n# Agreement on {dataset}")
    first = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    metadata = {"kernelspec": execution.KERNEL}
    cells = [head, first, *map(new_code_cell, cells)]
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("done")
    noisy = 'import sys\nprint("progress", file=sys.stderr)\nprint(dataset, k)'
    table = "import pandas\npandas.DataFrame([[1]]).style.hide(axis='index')"
    chapter = write_chapter(folder, noisy, "{dataset}", table)
    dataset = folder / "games" / "My Set"
    dataset.mkdir(parents=True)
    out = execute(chapter, str(dataset), {"k": 50}, folder / "out" / chapter.name)
    return chapter, out, str(dataset)


def test_parameters_are_injected_and_token_is_replaced(done):
    notebook = nbformat.read(done[1], 4)
    assert notebook.cells[0].source == "(agreement-my-set)=\n# Agreement on my-set"
    assert notebook.cells[3].outputs[0].text == f"{done[2]} 50\n"
    assert notebook.cells[4].source == "{dataset}"


def test_normalised_notebook_has_nothing_of_its_run(done):
    notebook = nbformat.read(done[1], 4)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert [cell.id for cell in notebook.cells] == [f"cell-0{n}" for n in range(6)]
    assert all(not {"papermill", "execution"} & set(cell.metadata) for cell in notebook.cells)
    assert [output.name for output in notebook.cells[3].outputs] == ["stdout"]
    assert notebook.cells[2].metadata.tags == ["injected-parameters", "hide-input"]


def test_a_chapter_that_ended_itself_speaks_of_no_figure():
    """Below "nothing can be computed here" stood words on coloured rows that were not there."""
    ended = {"output_type": "error", "ename": "SystemExit", "evalue": "0", "traceback": []}
    cells = [
        new_markdown_cell("# Agreement"), new_code_cell("begin()", outputs=[ended]),
        new_markdown_cell("The coloured row is"), new_code_cell("plots.dots()"),
    ]  # fmt: skip
    notebook = new_notebook(cells=cells)
    for _ in range(2):
        execution.normalise(notebook, "small")
        assert [c.source for c in notebook.cells] == ["# Agreement", "begin()", "plots.dots()"]
        assert notebook.cells[1].outputs == []


def test_second_run_is_no_difference(done):
    chapter, out, dataset = done
    before = out.read_bytes()
    execute(chapter, dataset, {"k": 50}, out)
    assert out.read_bytes() == before


def test_failing_cell_is_named_and_last_good_output_stays(tmp_path):
    chapter = write_chapter(tmp_path, "1", "import sys\nprint('so far')\nraise OSError('a\\nb')")
    out = tmp_path / "out" / chapter.name
    out.parent.mkdir()
    out.write_text("the last good one")
    with pytest.raises(ChapterError, match=r"^03-agreement on ml-100k .* cell \[4\]: OSError: b\."):
        execute(chapter, "ml-100k", {}, out)
    assert out.read_text() == "the last good one"
    assert "so far" in out.with_suffix(".failed.ipynb").read_text()
    assert len(list(out.parent.iterdir())) == 2


def test_an_interrupt_in_a_cell_is_one_sentence(tmp_path):
    busy = "from pathlib import Path\nimport time\nPath('here').touch()\ntime.sleep(600)"
    chapter = write_chapter(tmp_path, busy)
    words = [
        sys.executable,
        "-m",
        "companion",
        "execute",
        chapter.name,
        "ml-100k",
        "--out",
        "out.ipynb",
    ]
    process = subprocess.Popen(
        words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(site.ROOT), "TQDM_DISABLE": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        # also where the tests were started so that they do not hear an interrupt
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    while process.poll() is None and not (tmp_path / "here").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate()
    assert said == "\nInterrupted. What was finished is kept: the command goes on.\n"
    assert process.returncode == 130
    assert {path.name for path in tmp_path.iterdir()} == {chapter.name, "here"}


def test_success_removes_the_failed_run(tmp_path):
    chapter = write_chapter(tmp_path)
    out = tmp_path / chapter.name.replace("03", "04")
    out.with_suffix(".failed.ipynb").write_text("old")
    execute(chapter, "ml-100k", {}, out)
    assert out.is_file() and not out.with_suffix(".failed.ipynb").exists()


def test_dead_kernel_is_said(tmp_path):
    chapter = write_chapter(tmp_path, "import os\nos._exit(1)")
    with pytest.raises(ChapterError, match="the kernel died"):
        execute(chapter, "ml-100k", {}, tmp_path / "out.ipynb")
    assert not (tmp_path / "out.ipynb").exists()


def test_unknown_parameter_is_refused_before_anything_runs(tmp_path, capsys):
    chapter = write_chapter(tmp_path)
    out = tmp_path / "out.ipynb"
    with pytest.raises(InputError, match="no parameter 'kk': it accepts dataset, k"):
        execute(chapter, "ml-100k", {"kk": 1}, out)
    assert not out.exists()
    arguments = ["execute", str(chapter), "ml-100k", "--out", str(out), "-p", "kk", "1"]
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("more", [["-p", "k"], ["--seed", "-1"], ["--seed", "x"], ["--who"]])
def test_a_wrong_command_is_told_without_a_traceback(more, capsys):
    assert main(["fit", "ml-100k", "ease", *more]) == 2
    said = capsys.readouterr().err
    assert said and "Traceback" not in said


def test_the_run_is_not_overwritten_by_the_qrels(tmp_path, capsys):
    assert main(["export", "ml-100k", "ease", "--out", str(tmp_path / "x.qrels")]) == 2
    assert "give the run another suffix" in capsys.readouterr().err


def test_help_is_quick_and_the_console_script_is_the_same_command():
    script = (
        "import sys; from companion.__main__ import main; main(['--help']); print(*sys.modules)"
    )
    words = [sys.executable, "-c", script]
    ran = subprocess.run(words, cwd=site.ROOT, capture_output=True, text=True, check=True)
    assert "compare" in ran.stdout
    assert not {"torch", "pandas", "nbformat"} & set(ran.stdout.split())
    about = tomllib.loads((site.ROOT / "pyproject.toml").read_text())["project"]
    assert about["scripts"] == {"companion": "companion.__main__:main"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"dataset": "netflix"}, "dataset 'netflix' is unknown"),
        ({"split": "weekly"}, "split 'weekly' is unknown"),
        ({"fields": "brand"}, "fields = 'brand' was given for ml-100k"),
        ({"k": 0}, "k = 0 was given; give a whole number of at least 1"),
        ({"seeds": 101}, "seeds = 101 was given; give a whole number from 1 to 100"),
        ({"k": 2.5}, "k = 2.5 was given; it must be of type int, such as 20"),
    ],
)
def test_a_wrong_value_is_refused_before_a_kernel_starts(given, told):
    chapter = site.ROOT / "chapters" / "03-agreement.ipynb"
    with pytest.raises(InputError, match=re.escape(told)):
        execution.checked(chapter, {"dataset": "ml-100k"} | given)


@pytest.mark.parametrize("content", ["{}", "no JSON", '{"cells": 3}', "[]"])
def test_what_is_no_notebook_is_refused(tmp_path, content):
    (tmp_path / "a.ipynb").write_text(content)
    with pytest.raises(InputError, match="is no notebook"):
        execution.checked(tmp_path / "a.ipynb", {})


def test_missing_chapter_names_those_there_are(tmp_path):
    write_chapter(tmp_path)
    with pytest.raises(InputError, match="03-agreement.ipynb"):
        execute(tmp_path / "99-none.ipynb", "ml-100k", {}, tmp_path / "out.ipynb")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ml-100k", "ml-100k"), ("a/b/My Data/", "my-data"), ("./x_1", "x_1"),
        ("ml-100k@k=50,seeds=1", "ml-100k-k-50-seeds-1"),
        ("a/b@encoder=BAAI/bge-m3", "b-encoder-baai-bge-m3"),
        ("ml-100k@fields=title,year,k=9", "ml-100k-fields-title-year-k-9"),
    ],
)  # fmt: skip
def test_slug(name, expected):
    assert execution.slug(name) == expected


@pytest.mark.parametrize("name", ["", "..", "/"])
def test_slug_refuses_what_names_nothing(name):
    with pytest.raises(InputError, match="leaves no name"):
        execution.slug(name)


def test_a_variant_is_a_dataset_with_parameters(tmp_path, monkeypatch):
    assert execution.variant("ml-100k") == ("ml-100k", {})
    found = execution.variant("ml-100k@k=50,encoder=BAAI/bge-m3")
    assert found == ("ml-100k", {"k": 50, "encoder": "BAAI/bge-m3"})
    found = execution.variant("x@fields=title,brand,k=50,encoder=tfidf")
    assert found == ("x", {"fields": "title,brand", "k": 50, "encoder": "tfidf"})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine@k=3").mkdir()
    assert execution.variant("mine@k=3") == ("mine@k=3", {})


def test_words_are_names_as_a_shell_reads_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("38-my data", "it's", "2024"):
        (tmp_path / name).mkdir()
    assert execution.words("38-my data") == ["38-my data"]
    assert execution.words(["ml-100k '38-my data'", "it's", 2024]) == [
        "ml-100k", "38-my data", "it's", "2024"
    ]  # fmt: skip
    assert execution.parts("ml-100k ml-100k '38-my data@k=5'") == {
        "ml-100k": "ml-100k", "38-my-data-k-5": "38-my data@k=5"
    }  # fmt: skip
    with pytest.raises(InputError, match="not closed"):
        execution.words("ml-100k it's")
    with pytest.raises(InputError, match="'a/x' and 'b/X' would both be the part 'x'"):
        execution.parts("a/x b/X")
    assert execution.parts([]) == {}
    for nothing in (" ", [""], ["", " "]):
        with pytest.raises(InputError, match="names no dataset"):
            execution.parts(nothing)


@pytest.mark.parametrize("name", ["ml-100k@k", "ml-100k@=3", "ml-100k@k=3,", "ml-100k@k="])
def test_a_variant_without_a_name_or_a_value_is_refused(name):
    with pytest.raises(InputError, match="NAME=VALUE"):
        execution.variant(name)


@pytest.mark.parametrize("text", ["[" * 3000, "{[]: 1}", "-" * 100_000 + "1", "1\0", "None_"])
def test_what_python_cannot_read_is_text(text):
    assert execution.literal(text) == text


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_a_name_that_no_path_can_have_is_no_directory(name):
    assert execution.variant(name) == (name, {})
    with pytest.raises(InputError, match="is unknown"):
        data.load(name)


def test_a_variant_is_executed_with_its_parameters(tmp_path):
    chapter = write_chapter(tmp_path, "print(dataset, k)")
    out = execute(chapter, "ml-100k@k=7", {}, tmp_path / "out.ipynb")
    notebook = nbformat.read(out, 4)
    assert notebook.cells[-1].outputs[0].text == "ml-100k 7\n"
    assert "ml-100k-k-7" in notebook.cells[0].source


@pytest.fixture
def root(tmp_path):
    (tmp_path / "workflow.yml").write_text(
        "datasets: [ml-100k]\n"
        "pages: {intro: [executed/scoreboard], reference: [glossary, missing]}\n"
        "titles: {ml-100k: MovieLens, games: Games}\n"
    )
    for name in ("index.md", "glossary.md", "README.md"):
        (tmp_path / name).write_text(f"# {name}")
    for name in ("other/01-data", "ml-100k/01-data", "ml-100k/02-views", "games/01-data"):
        page(tmp_path / "executed", name, "published")
    return tmp_path


def page(folder: Path, name: str, text: str) -> None:
    path = folder / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    heading = nbformat.v4.new_markdown_cell(f"# {text} · {path.parent.name}\n\nWhat it is about.")
    nbformat.write(nbformat.v4.new_notebook(cells=[heading]), path)


def said(path: Path) -> str:
    """What was given to ``page`` as its text."""
    return nbformat.read(path, 4).cells[0].source.removeprefix("# ").partition(" · ")[0]


def test_toc_unfolds_the_chapters_of_each_dataset_in_order(root):
    page(root / "executed", "scoreboard", "published")
    page(root / "executed", "games/02-views.failed", "failed")
    page(root / "executed", "ml-100k/10-diversity", "A question: a · b?")
    overview, datasets, reference = site.toc(root, root)["parts"]
    assert overview["chapters"] == [{"file": "executed/scoreboard"}]
    first, second, other = datasets["chapters"]
    assert first == {
        "file": "executed/ml-100k/01-data",
        "title": "MovieLens",
        "sections": [
            {"file": "executed/ml-100k/02-views", "title": "2. published"},
            {"file": "executed/ml-100k/10-diversity", "title": "10. A question: a · b?"},
        ],
    }
    assert second == {"file": "executed/games/01-data", "title": "Games"}
    assert other == {"file": "executed/other/01-data", "title": "other"}
    assert reference["chapters"] == [{"file": "glossary"}]


def test_a_heading_without_the_datasets_name_is_a_title(root):
    path = root / "executed" / "games" / "15-own.ipynb"
    heading = nbformat.v4.new_markdown_cell("# My own question")
    nbformat.write(nbformat.v4.new_notebook(cells=[heading]), path)
    _, games, _ = site.toc(root, root)["parts"][0]["chapters"]
    assert games["sections"][0]["title"] == "15. My own question"


def test_stage_takes_fresh_parts_whole(root, capsys):
    page(root / "_build" / "executed", "ml-100k/01-data", "fresh")
    page(root / "chapters", "02-views", "a chapter that was not executed")
    staged = site.stage(root / "_build" / "site", fresh=True, root=root)
    assert "the published part stands" in capsys.readouterr().err
    assert said(staged / "executed/ml-100k/01-data.ipynb") == "published"
    page(root / "_build" / "executed", "ml-100k/02-views", "fresh")
    page(root / "_build" / "executed", "ml-100k/03-agreement", "fresh")
    page(root / "_build" / "executed", "scoreboard", "fresh")
    page(root / "executed", "scoreboard", "published")
    staged = site.stage(root / "_build" / "site", fresh=True, root=root)
    assert said(staged / "executed/ml-100k/01-data.ipynb") == "fresh"
    assert said(staged / "executed/ml-100k/03-agreement.ipynb") == "fresh"
    assert said(staged / "executed/games/01-data.ipynb") == "published"
    assert said(staged / "executed/scoreboard.ipynb") == "fresh"
    assert (staged / "_toc.yml").is_file() and not (staged / "README.md").exists()
    site.stage(staged, root=root)
    assert said(staged / "executed/ml-100k/01-data.ipynb") == "published"
    assert not (staged / "executed/ml-100k/03-agreement.ipynb").exists()
    assert said(staged / "executed/scoreboard.ipynb") == "published"


def test_stage_touches_only_what_changed(root):
    staged = site.stage(root / "_build" / "site", root=root)
    times = {path: path.stat().st_mtime_ns for path in staged.rglob("*.*")}
    (root / "glossary.md").write_text("# changed")
    page(staged / "executed", "gone/01-data", "has no source")
    site.stage(staged, root=root)
    changed = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert changed == {"glossary.md"}
    assert not (staged / "executed/gone/01-data.ipynb").exists()


def test_publish_replaces_what_was_executed_and_writes_the_toc(root):
    page(root / "_build" / "executed", "ml-100k/01-data", "fresh")
    page(root / "_build" / "executed", "ml-100k/03-agreement.failed", "failed")
    page(root / "executed", "ml-100k/09-gone", "published")
    for name in ("01-data", "02-views"):
        page(root, f"chapters/{name}", "source")
    site.publish(["ml-100k"], root)
    part = {path.stem: said(path) for path in (root / "executed/ml-100k").iterdir()}
    assert part == {"01-data": "fresh", "02-views": "published"}
    toc = (root / "_toc.yml").read_text()
    assert "ml-100k/01-data" in toc and "ml-100k/02-views" in toc and "09-gone" not in toc
    with pytest.raises(InputError, match="make book DATASETS=books"):
        site.publish(["books"], root)


def test_a_trial_of_a_chapter_about_no_dataset_is_not_published(root, capsys):
    with (root / "workflow.yml").open("a") as file:
        file.write("overall: [18-worlds]\n")
    page(root / "_build" / "executed", "ml-100k/01-data", "fresh")

    def written(folder: Path, name: str, own: str, injected: str | None = None) -> None:
        page(folder, name, injected or own)
        notebook = nbformat.read(folder / f"{name}.ipynb", 4)
        cells = {"parameters": own} | ({"injected-parameters": injected} if injected else {})
        notebook.cells += [
            new_code_cell(code, metadata={"tags": [tag]}) for tag, code in cells.items()
        ]
        nbformat.write(notebook, folder / f"{name}.ipynb")

    fresh, published = root / "_build" / "executed", root / "executed" / "18-worlds.ipynb"
    own = "worlds = 26  # rounds\nk = 20"
    written(root / "chapters", "18-worlds", own)
    written(fresh, "99-a-copy-of-mine", own)
    for asked in ("# Parameters\nworlds = 1\n", "# Parameters\nk = 20\nworlds = 2\n"):
        written(fresh, "18-worlds", own, asked)
        assert published not in site.publish(["ml-100k"], root) and not published.exists()
        assert "18-worlds.ipynb was executed with other param" in capsys.readouterr().err
    written(fresh, "18-worlds", "worlds = 10\nk = 20")  # before its own values changed
    assert published not in site.publish(["ml-100k"], root)
    for asked in (None, "# Parameters\nworlds = 26\n"):
        published.unlink(missing_ok=True)
        written(fresh, "18-worlds", own, asked)
        assert published in site.publish(["ml-100k"], root) and published.exists()
    assert not (root / "executed" / "99-a-copy-of-mine.ipynb").exists()


def test_outside_a_clone_the_book_says_so(tmp_path):
    with pytest.raises(InputError, match="clone"):
        site.toc(tmp_path, tmp_path / "nowhere")


# What is committed.

PUBLISHED = sorted((site.ROOT / "executed").rglob("[!.]*.ipynb"))
CHAPTERS = sorted((site.ROOT / "chapters").glob("*.ipynb"))


def test_every_chapter_is_published_on_ml_100k():
    published = site.executed(site.ROOT / "executed" / "ml-100k")
    assert [path.stem for path in published] == site.chapters()


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_published_notebook_was_executed_to_its_end(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert outputs and all(output.output_type != "error" for output in outputs)
    copied = copy.deepcopy(notebook)
    execution.normalise(copied, path.parent.name)
    assert copied == notebook, "not written by companion.execute"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_chapter_is_stored_bare_and_with_parameters(path):
    cells = nbformat.read(path, 4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in code) == 1
    assert "{dataset}" in cells[0].source or path.stem not in site.chapters()


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_a_chapter_is_short_and_its_figures_have_words(path):
    cells = nbformat.read(path, 4).cells
    prose = " ".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert len(prose.split()) < 800
    for cell in cells:
        if cell.cell_type == "code" and re.search(r"^(plots\.\w+\(|figure$)", cell.source, re.M):
            assert len(cell.metadata["mystnb"]["image"]["alt"]) > 40, cell.source


def test_committed_toc_is_what_the_function_makes():
    assert yaml.safe_load((site.ROOT / "_toc.yml").read_text()) == site.toc(site.ROOT)


def nbval(notebook: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-c",
         "/dev/null", "--rootdir", notebook.parent, "--nbval-lax", "--nbval-current-env",
         notebook],
        capture_output=True, text=True, timeout=120, cwd=notebook.parent,
    )  # fmt: skip


def test_nbval_sees_an_altered_number(tmp_path):
    checked = "# NBVAL_CHECK_OUTPUT\nprint(f'hits {k * 2}')"
    out = execute(write_chapter(tmp_path, checked), "ml-100k", {}, tmp_path / "out.ipynb")
    assert nbval(out).returncode == 0
    assert "hits 40" in out.read_text()
    out.write_text(out.read_text().replace("hits 40", "hits 41"))
    altered = nbval(out)
    assert altered.returncode == 1
    assert "hits 41" in altered.stdout
