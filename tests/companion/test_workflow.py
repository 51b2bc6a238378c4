"""The pipeline: what changed runs again, and a failing chapter stops it without loss."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from companion.execute import KERNEL
from companion.site import ROOT, chapters

PARAMETERS = "\n".join(
    [
        'dataset = ""',
        'split = ""',
        "seed = 0",
        "seeds = 1",
        "k = 1",
        'encoder = ""',
        'fields = ""',
        'device = ""',
    ]
)


def write_chapter(folder: Path, name: str, code: str, further: str = "") -> None:
    first = new_code_cell(PARAMETERS + further, metadata={"tags": ["parameters"]})
    cells = [first, new_code_cell(code)]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    nbformat.write(notebook, folder / "chapters" / f"{name}.ipynb")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clone")
    for name in ("Snakefile", "claims.yml"):
        shutil.copy(ROOT / name, folder)
    for name in ("lib", "profiles"):
        (folder / name).symlink_to(ROOT / name)
    plan = yaml.safe_load((ROOT / "workflow.yml").read_text())
    plan["parameters"]["device"] = "cpu"
    (folder / "workflow.yml").write_text(yaml.safe_dump(plan | {"fits": {}}))
    (folder / "chapters").mkdir()
    (folder / "my/folder").mkdir(parents=True)
    write_chapter(folder, "01-first", "print(dataset, k)", "\nothers = 100\nslow = True")
    write_chapter(folder, "02-second", "print('good')")
    return folder


def snakemake(
    folder: Path,
    *arguments: str,
    profile: str = "local",
    path: Path = Path(sys.executable).parent,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--profile", f"profiles/{profile}", *arguments],
        cwd=folder,
        env=os.environ | {"PATH": f"{path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def mocked(tmp_path: Path) -> Path:
    """A clone with one chapter and one fit, where ``python`` and ``snakemake`` are scripts.

    ``python`` writes down its words, and sleeps if there is a file ``sleep``. ``snakemake`` is the
    real one.
    """
    for name in ("Snakefile", "Makefile", "claims.yml", "lib", "companion", "studies", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    plan = yaml.safe_load((ROOT / "workflow.yml").read_text())
    plan["fits"] = {"01-first": {"linear@temperature=$(touch hacked)'": 1}}
    plan["parameters"] = plan["parameters"] | {"seeds": 1, "device": "cpu"}
    (tmp_path / "workflow.yml").write_text(yaml.safe_dump(plan))
    (tmp_path / "chapters").mkdir()
    write_chapter(tmp_path, "01-first", "")
    folder = tmp_path / "bin"
    folder.mkdir()
    scripts = {
        "snakemake": f'exec {sys.executable} -m snakemake "$@"',
        "python": f'exec {sys.executable} -c "$(cat bin/record.py)" "$@"',
        "record.py": "import json, pathlib, sys, time\n"
        "with open('words', 'a') as file: print(json.dumps(sys.argv[3:]), file=file)\n"
        "if pathlib.Path('sleep').exists(): time.sleep(60)\n"
        "if sys.argv[3] == 'execute':\n"
        "    out = pathlib.Path(sys.argv[-1])\n"
        "    out.parent.mkdir(parents=True, exist_ok=True)\n"
        "    out.touch()\n",
    }
    for name, text in scripts.items():
        (folder / name).write_text(text if name.endswith("py") else f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    for name in ("requirements.lock", "requirements-nodeps.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    (folder / ".companion-ready").touch()
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "bin").symlink_to(folder)
    (tmp_path / "venv" / ".companion-ready").touch()
    return tmp_path


def make(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["make", "chapters", "VENV=venv", *words],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def test_every_value_reaches_its_command_as_it_was_given(mocked: Path) -> None:
    names = ["it's $(touch hacked)", "38-my data", "2024"]
    for name in names:
        (mocked / name).mkdir()
    encoder = "a: 'b' \"c\\ `touch hacked` #"
    datasets = "2024 '38-my data' \"it's $(touch hacked)\""
    fields = "1e3"  # a column, not the number 1000
    running = make(mocked, f"DATASETS={datasets}", f"ENCODER={encoder}", f"FIELDS={fields}", "K=7")
    _, complaint = running.communicate(timeout=120)
    assert running.returncode == 0, complaint
    called = [json.loads(line) for line in (mocked / "words").read_text().splitlines()]
    fits = {words[1]: words for words in called if words[0] == "fits"}
    executed = {words[2]: words for words in called if words[0] == "execute" and len(words) > 4}
    assert set(fits) == set(executed) == set(names)
    assert not list(mocked.glob("**/hacked"))
    assert all(words[2] == "linear@seed=0,temperature=$(touch hacked)'" for words in fits.values())
    for words in (*fits.values(), *executed.values()):
        assert words[words.index("encoder") + 1] == encoder
        asked = "--fields" if words[0] == "fits" else "fields"
        assert words[words.index(asked) + 1] == fields
    assert all(words[words.index("k") + 1] == "7" for words in executed.values())


def test_two_folders_of_one_name_are_refused_before_anything_runs(mocked: Path) -> None:
    for name in ("a/x", "b/x"):
        (mocked / name).mkdir(parents=True)
    running = make(mocked, "DATASETS=a/x b/x")
    _, complaint = running.communicate(timeout=120)
    assert running.returncode != 0
    assert "'a/x' and 'b/x' would both be the part 'x' of the book" in complaint
    assert "Traceback" not in complaint and not (mocked / "words").exists()


def test_a_second_run_is_refused_and_a_killed_one_does_not_block_the_next(mocked: Path) -> None:
    (mocked / "sleep").touch()
    first = make(mocked)
    while first.poll() is None and not (mocked / "words").exists():
        time.sleep(0.05)
    second = make(mocked)
    said, complaint = second.communicate(timeout=120)
    assert second.returncode != 0 and said == ""
    refusal = f"another run is at work in {mocked}: wait for it or end it, then run again"
    assert refusal in complaint.splitlines() and "Traceback" not in complaint
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    (mocked / "sleep").unlink()
    third = make(mocked)
    _, complaint = third.communicate(timeout=120)
    assert third.returncode == 0, complaint


def wanted(plan: dict[str, Any], seeds: int) -> set[str]:
    """Return every model and seed that the plan's fits name for the full edition."""
    found = set()
    for chapter, fits in plan["fits"].items():
        others = plan["full"].get(chapter, {}).get("others", seeds)
        switched = [fits[name] for name in fits if name.startswith("if ")]
        for models in (fits, *switched):
            for name, count in models.items():
                if not name.startswith("if "):
                    number = {"seeds": seeds, "others": min(others, seeds)}.get(count, count)
                    model, at, settings = name.partition("@")
                    own = settings and f",{settings}"
                    found |= {f"{model}@seed={seed}{own}" for seed in range(number)}
    return found


def workers(folder: Path, *arguments: str) -> list[list[str]]:
    """Return the fits that each worker would be given."""
    ran = snakemake(folder, "fits", "-n", "-p", "--forceall", "--quiet", "progress", *arguments)
    assert ran.returncode == 0, ran.stderr
    lines = [line.strip() for line in ran.stdout.splitlines() if "python -m companion fits" in line]
    return [[word for word in shlex.split(line) if "@seed=" in word] for line in lines]


def output(folder: Path, name: str) -> Path:
    return folder / "_build" / "executed" / "ml-100k" / f"{name}.ipynb"


def test_pipeline_from_first_run_to_failure_and_recovery(clone):
    ran = snakemake(clone, "--config", "parameters={k: 50}")
    assert ran.returncode == 0, ran.stderr
    assert "ml-100k 50" in output(clone, "01-first").read_text()

    ran = snakemake(clone, "--config", "parameters={k: 50}", "datasets=ml-100k@k=7")
    assert ran.returncode == 0, ran.stderr
    variant = clone / "_build/executed/ml-100k-k-7/01-first.ipynb"
    assert "ml-100k 7" in variant.read_text()

    ran = snakemake(clone, "--config", "parameters={k: 50}")
    assert ran.returncode == 0 and "Nothing to be done" in ran.stderr

    good = output(clone, "02-second").read_bytes()
    write_chapter(clone, "02-second", "raise ValueError('broken')")
    ran = snakemake(clone, "--config", "parameters={k: 50}")
    assert ran.returncode != 0
    assert "02-second on ml-100k stopped in cell [3]: ValueError: broken" in ran.stderr
    assert output(clone, "02-second").read_bytes() == good
    assert "broken" in output(clone, "02-second.failed").read_text()

    write_chapter(clone, "02-second", "print('mended')")
    ran = snakemake(clone, "--config", "parameters={k: 50}")
    assert ran.returncode == 0 and "1 of 2 steps" in ran.stderr
    assert "mended" in output(clone, "02-second").read_text()


def test_other_parameters_and_datasets_are_new_jobs(clone):
    ran = snakemake(clone, "-n", "--config", "datasets=ml-100k my/folder", "parameters={k: 7}")
    assert ran.returncode == 0, ran.stderr
    assert "chapter        4" in ran.stdout + ran.stderr


def test_jobs_can_be_submitted_as_on_a_cluster(clone):
    ran = snakemake(clone, "--config", "datasets=my/folder", profile="processes")
    assert ran.returncode == 0, ran.stderr
    assert (clone / "_build/executed/folder/01-first.ipynb").is_file()


def test_a_killed_worker_is_submitted_again(mocked: Path) -> None:
    record = mocked / "bin" / "record.py"
    record.write_text(
        "import os, pathlib, signal\n"
        "if not pathlib.Path('died').exists():\n"
        "    pathlib.Path('died').touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n" + record.read_text()
    )
    ran = snakemake(mocked, "fits", profile="processes", path=mocked / "bin")
    assert ran.returncode == 0, ran.stderr
    assert (mocked / "died").exists() and (mocked / "_build/fits/ml-100k/0").exists()
    assert json.loads((mocked / "words").read_text())[0] == "fits"


def test_the_workers_of_a_dataset_are_all_given_each_fit_of_the_plan_once(tmp_path):
    plan = yaml.safe_load((ROOT / "workflow.yml").read_text())
    seeds = plan["parameters"]["seeds"] + 1
    for name in ("Snakefile", "claims.yml", "workflow.yml", "lib", "profiles", "chapters"):
        (tmp_path / name).symlink_to(ROOT / name)
    for cores in (1, 3):
        config = "--config", f"parameters={{seeds: {seeds}}}", "edition=full"
        given = workers(tmp_path, *config, "--cores", str(cores))
        assert len(given) == cores
        assert all(sorted(fits) == sorted(wanted(plan, seeds)) for fits in given)
    ran = snakemake(tmp_path, "-n", *config)
    assert re.search(rf"^chapter +{len(chapters())}$", ran.stdout, re.MULTILINE)


@pytest.fixture
def planned(clone: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a clone whose workflow.yml has some parts of its own."""

    def make(**parts: Any) -> Path:
        plan = yaml.safe_load((clone / "workflow.yml").read_text())
        for name in ("Snakefile", "claims.yml", "lib", "profiles", "chapters"):
            (tmp_path / name).symlink_to(clone / name)
        (tmp_path / "workflow.yml").write_text(yaml.safe_dump(plan | parts))
        return tmp_path

    return make


def test_a_chapter_may_be_given_less_on_a_dataset(planned: Callable[..., Path]) -> None:
    folder = planned(
        fits={
            "01-first": {"linear": "seeds", "joint": "others", "if slow": {"ease": 1, "svd": 2}},
            "02-second": {"linear": "seeds"},
        },
        given={"games-2018": {"01-first": {"others": 1, "slow": False}}},
    )
    for dataset, fits in {"ml-100k": 3 + 3 + 1 + 2, "games-2018": 3 + 1}.items():
        assert len(workers(folder, "--config", f"datasets={dataset}")[0]) == fits
    ran = snakemake(folder, "-n", "-p", "--quiet", "progress", "--config", "datasets=games-2018")
    given = [line for line in ran.stdout.splitlines() if "-p others 1 -p slow False" in line]
    assert len(given) == 1 and "01-first" in given[0]


def test_an_edition_gives_a_chapter_more_or_less(planned: Callable[..., Path]) -> None:
    folder = planned(
        short={"01-first": {"k": 15}}, full={"01-first": {"seeds": 5, "k": 30}},
        given={"games-2018": {"01-first": {"k": 10}}},
        fits={"01-first": {"linear": "seeds"}, "02-second": {"linear": "seeds"}},
    )  # fmt: skip
    assert len(workers(folder)[0]) == 3
    assert len(workers(folder, "--config", "edition=full")[0]) == 5
    ran = snakemake(folder, "-n", "-p", "--quiet", "progress", "--config", "edition=full",
                    "datasets=ml-100k games-2018")  # fmt: skip
    given = parameters_in(ran.stdout)
    assert given["chapters/01-first.ipynb", "ml-100k"] == {"seeds": "5", "k": "30"}
    assert given["chapters/01-first.ipynb", "games-2018"] == {"seeds": "5", "k": "10"}
    assert given["chapters/02-second.ipynb", "ml-100k"] == {"seeds": "3", "k": "20"}
    for typed, k in ((), "15"), (("--config", "parameters={k: 7}"), "7"):
        given = parameters_in(snakemake(folder, "-n", "-p", "--quiet", "progress", *typed).stdout)
        assert given["chapters/01-first.ipynb", "ml-100k"] == {"seeds": "3", "k": k}


def parameters_in(printed: str) -> dict[tuple[str, str], dict[str, str]]:
    """Return seeds and k of each chapter and dataset that snakemake would execute."""
    lines = re.findall(r"companion execute (\S+) (\S+) (.*)", printed)
    return {
        (path, name): dict(re.findall(r"-p (seeds|k) (\d+)", rest)) for path, name, rest in lines
    }


def test_full_is_a_variable_of_make(mocked: Path) -> None:
    plan = yaml.safe_load((mocked / "workflow.yml").read_text())
    (mocked / "workflow.yml").write_text(yaml.safe_dump(plan | {"full": {"01-first": {"k": 77}}}))
    for full, k in {"1": "77", "0": "20"}.items():
        assert make(mocked, f"FULL={full}").wait(timeout=120) == 0
        words = [json.loads(line) for line in (mocked / "words").read_text().splitlines()]
        last = [word for word in words if word[0] == "execute" and len(word) > 4][-1]
        assert last[last.index("k") + 1] == k
    wrong = make(mocked, "FULL=no")  # it chose the full edition
    assert "FULL=no was given; give 1" in wrong.communicate(timeout=120)[1] and wrong.returncode


def test_chapters_run_again_when_the_library_is_another(mocked: Path) -> None:
    for package in ("lib", "companion", "studies"):
        (mocked / package).unlink()
        shutil.copytree(ROOT / package, mocked / package)
    assert snakemake(mocked, path=mocked / "bin").returncode == 0
    (mocked / "lib" / "core.py").touch()
    (mocked / "lib" / "notes.txt").touch()
    assert "Nothing to be done" in snakemake(mocked, "-n").stdout
    for name in ("lib/core.py", "companion/data/datasets.yml", "companion/markup.html"):
        source, text = mocked / name, (mocked / name).read_text()
        source.write_text(text + "\n# said otherwise\n")
        assert "chapter        1" in snakemake(mocked, "-n").stdout
        source.write_text(text)
        assert snakemake(mocked, path=mocked / "bin").returncode == 0


REFUSED = {
    "parameters={seeds: three}": "ml-100k: seeds = 'three' was given; it must be of type int",
    "datasets=ml-100k@seed=first": "ml-100k@seed=first: seed = 'first' was given; it must be of",
    "parameters={k: 0}": "ml-100k: k = 0 was given; give a whole number of at least 1",
    "parameters={seeds: 1000}": "seeds = 1000 was given; give a whole number from 1 to 100",
    "datasets=ml-100k@worlds=3": "chapter 01-first has no parameter 'worlds': it accepts dataset,",
    "datasets=ml-100k nowhere": "nowhere: dataset 'nowhere' is unknown: give one of ml-100k,",
}


@pytest.mark.parametrize("given", REFUSED)
def test_a_wrong_value_is_refused_in_a_sentence_before_any_work(mocked: Path, given: str) -> None:
    """All but the seeds were found out by the chapters, after all models had been trained."""
    ran = snakemake(mocked, "-n", "--config", given)
    assert ran.returncode != 0 and "Traceback" not in ran.stderr
    assert REFUSED[given] in ran.stderr.splitlines()[-1]


def test_an_unknown_chapter_is_refused_with_those_there_are(mocked: Path) -> None:
    ran = snakemake(mocked, "-n", "--config", "chapters=02-none")
    assert ran.returncode != 0
    assert "there is no chapter 02-none: choose from 01-first" in ran.stderr.splitlines()
