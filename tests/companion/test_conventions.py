"""The files that other services read agree with the lock, and can be read."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from companion.site import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())


def lock(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    pins = [re.fullmatch(r"([\w.-]+)==([^ ;]+)( *;.*)?", line) for line in lines if line]
    return {pin[1].lower(): pin[2] for pin in pins if pin}


def test_every_line_of_the_locks_is_one_exact_version():
    for name in ("requirements.lock", "requirements-nodeps.lock"):
        lines = [line for line in (ROOT / name).read_text().splitlines() if line[:1] != "#"]
        assert len(lock(name)) == len(lines)


def test_the_lock_installs_on_the_oldest_python_that_is_promised():
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = about["requires-python"].removeprefix(">=") + ".0"
    pins = {re.sub(r"[._]", "-", name) for name in lock("requirements.lock")}
    needs = {
        name: one.metadata["Requires-Python"]
        for one in importlib.metadata.distributions()
        if (name := re.sub(r"[._]", "-", one.name.lower())) in pins
    }
    assert len(needs) > 100
    assert not {name: s for name, s in needs.items() if s and oldest not in SpecifierSet(s)}


def test_what_is_declared_is_locked():
    pins = lock("requirements.lock")
    declared = importlib.metadata.requires("semantic-collaborative-companion") or []
    names = {re.match(r"[\w.-]+", one)[0].lower() for one in declared}
    assert {re.sub(r"[._]", "-", name) for name in names} <= {
        re.sub(r"[._]", "-", name) for name in pins
    }


def test_conda_and_binder_install_the_same_lock():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, *others, pip = conda["dependencies"]
    assert others == ["pip", "make"]
    assert pip == {"pip": ["-r requirements.lock"]}
    binder = ROOT / ".binder"
    (line,) = (binder / "requirements.txt").read_text().split("\n")[:-1]
    assert (binder / line.removeprefix("-r ")).resolve() == ROOT / "requirements.lock"
    version = python.removeprefix("python=")
    assert (binder / "runtime.txt").read_text().strip() == f"python-{version}"
    assert os.access(binder / "postBuild", os.X_OK)
    assert "--no-deps -r requirements-nodeps.lock" in (binder / "postBuild").read_text()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_can_be_read_and_calls_targets_that_exist(path):
    workflow = yaml.safe_load(path.read_text())
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        steps = [step.get("run", "") for step in job["steps"]]
        assert set(re.findall(r"\bmake (\w+)", " ".join(steps))) <= targets
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])


def test_the_published_book_knows_its_address(tmp_path: Path):
    shutil.copy(ROOT / "_config.yml", tmp_path)
    steps = yaml.safe_load((ROOT / ".github/workflows/pages.yml").read_text())["jobs"]["publish"]
    (step,) = [step for step in steps["steps"] if "BASE" in step.get("env", {})]
    address = "https://example.org/companion"
    subprocess.run(step["run"], shell=True, cwd=tmp_path, env=os.environ | {"BASE": address})
    changed = yaml.safe_load((tmp_path / "_config.yml").read_text())
    assert changed["html"].pop("baseurl") == f"{address}/"
    assert changed == CONFIG


def test_outputs_are_stripped_from_chapters_only():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    (strip,) = [hook for hook in hooks if hook["id"] == "nbstripout"]
    assert re.search(strip["files"], "chapters/01-data.ipynb")
    assert not re.search(strip["files"], "executed/ml-100k/01-data.ipynb")


def test_stripping_takes_outputs_and_nothing_else(tmp_path: Path):
    chapter, run = ROOT / "chapters/03-agreement.ipynb", tmp_path / "03-agreement.ipynb"
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    (entry,) = [hook["entry"] for hook in hooks if hook["id"] == "nbstripout"]
    text = chapter.read_text().replace('"execution_count": null', '"execution_count": 7')
    said = '"outputs": [{"name": "stdout", "output_type": "stream", "text": ["7"]}]'
    run.write_text(text.replace('"outputs": []', said))
    assert run.read_text() != chapter.read_text()
    subprocess.run([*entry.split(), str(run)], check=True)
    assert run.read_text() == chapter.read_text()


def test_the_citation_names_the_paper_as_the_bibliography_does():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    (paper,) = citation["references"]
    entry = (ROOT / "references.bib").read_text().partition("wang2026rethinking,")[2]
    entry = entry.partition("\n}")[0]
    assert paper["title"] in entry
    names = [f"{one['family-names']}, {one['given-names']}" for one in paper["authors"]]
    assert " and ".join(names) in entry
    assert citation["license"] == "MIT" and "MIT License" in (ROOT / "LICENSE").read_text()
    assert CONFIG["title"] == citation["title"]
