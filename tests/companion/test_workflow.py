"""The pipeline: what changed runs again, and a failing chapter stops it without loss."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from companion.execute import KERNEL
from companion.site import ROOT

PARAMETERS = "\n".join(
    ['dataset = ""', 'split = ""', "seed = 0", "seeds = 1", "k = 1", 'encoder = ""', 'device = ""']
)


def write_chapter(folder: Path, name: str, code: str) -> None:
    first = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
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
    write_chapter(folder, "01-first", "print(dataset, k)")
    write_chapter(folder, "02-second", "print('good')")
    return folder


def snakemake(
    folder: Path, *arguments: str, profile: str = "local"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--profile", f"profiles/{profile}", *arguments],
        cwd=folder,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def wanted(plan: dict[str, Any], seeds: int) -> set[tuple[str, int]]:
    """Return every model and seed that the plan's fits name, all switches on."""
    found = set()
    for fits in plan["fits"].values():
        switched = [fits[name] for name in fits if name.startswith("if ")]
        for models in (fits, *switched):
            for model, count in models.items():
                if not model.startswith("if "):
                    number = count if isinstance(count, int) else seeds
                    found |= {(model, seed) for seed in range(number)}
    return found


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


def test_every_fit_and_chapter_is_a_job_of_its_own(tmp_path):
    plan = yaml.safe_load((ROOT / "workflow.yml").read_text())
    seeds = plan["parameters"]["seeds"] + 1
    models = wanted(plan, seeds)
    chapters = list((ROOT / "chapters").glob("[0-9]*.ipynb"))
    for name in ("Snakefile", "claims.yml", "workflow.yml", "lib", "profiles", "chapters"):
        (tmp_path / name).symlink_to(ROOT / name)
    ran = snakemake(tmp_path, "-n", "--config", f"parameters={{seeds: {seeds}}}")
    counts = dict(line.split() for line in ran.stdout.splitlines() if len(line.split()) == 2)
    assert counts["fit"] == str(len(models))
    assert counts["chapter"] == str(len(chapters))


def test_every_fit_of_the_plan_can_be_asked_for_without_its_chapter():
    plan = yaml.safe_load((ROOT / "workflow.yml").read_text())
    seeds = plan["parameters"]["seeds"]
    planned = snakemake(ROOT, "fits", "--dry-run", "--forceall")
    assert planned.returncode == 0, planned.stderr
    counted = re.search(r"^fit +(\d+)$", planned.stdout, re.MULTILINE)
    assert counted and int(counted[1]) == len(wanted(plan, seeds)) * len(plan["datasets"])


def test_a_chapter_may_be_given_less_on_a_dataset(clone, tmp_path):
    plan = yaml.safe_load((clone / "workflow.yml").read_text())
    plan["fits"] = {
        "01-first": {"linear": "seeds", "joint": "others", "if slow": {"ease": 1, "svd": 2}},
        "02-second": {"linear": "seeds"},
    }
    plan["given"] = {"games-2018": {"01-first": {"others": 1, "slow": False}}}
    for name in ("Snakefile", "claims.yml", "lib", "profiles", "chapters"):
        (tmp_path / name).symlink_to(clone / name)
    (tmp_path / "workflow.yml").write_text(yaml.safe_dump(plan))
    for dataset, fits in {"ml-100k": 3 + 3 + 1 + 2, "games-2018": 3 + 1}.items():
        ran = snakemake(
            tmp_path, "-n", "-p", "--quiet", "progress", "--config", f"datasets={dataset}"
        )
        assert ran.stdout.count("python -m companion fit ") == fits, ran.stdout + ran.stderr
    given = [line for line in ran.stdout.splitlines() if "-p others '1' -p slow 'False'" in line]
    assert len(given) == 1 and "01-first" in given[0]


def test_chapters_run_again_when_the_library_is_another(clone, tmp_path):
    for name in ("Snakefile", "claims.yml", "workflow.yml", "profiles"):
        (tmp_path / name).symlink_to(clone / name)
    for package in ("lib", "companion", "studies"):
        shutil.copytree(ROOT / package, tmp_path / package)
    (tmp_path / "chapters").mkdir()
    write_chapter(tmp_path, "01-first", "print('ran')")
    assert snakemake(tmp_path).returncode == 0
    source = tmp_path / "lib" / "core.py"
    source.touch()
    assert "Nothing to be done" in snakemake(tmp_path, "-n").stdout
    source.write_text(source.read_text() + "\n# said otherwise\n")
    assert "chapter        1" in snakemake(tmp_path, "-n").stdout
