"""What is disturbed: the steps from a download to the built book, on a little dataset.

Each stage begins in a folder where the earlier ones are done. What it made is described by file
and digest, times of day and durations left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nbformat
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from companion import data
from companion.data import downloads, registry
from companion.execute import KERNEL, execute
from lib import views
from lib.encoders import text
from trust import little
from trust.figures import ROOT
from trust.processes import Start, command, forked

Made = dict[str, str]
EPOCHS = 40
PARAMETERS = """\
dataset = "games"
split = "random"
seed = 0
seeds = 1
k = 10
encoder = "minilm"
device = "cpu"
"""
CODE = """\
from lib import chapter, views
run = chapter.begin("{name}", globals())
view = views.fit(run.dataset, "{model}", device="cpu")
print(views.lists(view, run.dataset, k).tolist())
chapter.card_table(run.dataset.card)
"""
COPIED = ("lib", "_ext", "images", "profiles", "Makefile", "Snakefile", "claims.yml",
          "references.bib", "_config.yml")  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """A step: how it is started in a folder, and how often it is killed of 61 times in all."""

    name: str
    start: Start
    kills: int


def download(_: Path) -> None:
    """Fetch the little dataset's files from the server."""
    for source in registry.DATASETS[little.NAME].files:
        downloads.fetch(source)


def convert(_: Path) -> None:
    """Clean what was downloaded, and keep it."""
    data.load(little.NAME)


def encode(_: Path) -> None:
    """Encode the texts in several chunks."""
    text.CHUNK = 16
    text.encode(data.load(little.NAME), "minilm")


def everything(folder: Path) -> None:
    """Download, convert, encode and train."""
    for step in (download, convert, encode, train):
        step(folder)


def train(_: Path) -> None:
    """Train a view."""
    dataset = data.load(little.NAME)
    views.fit(dataset, "lightgcn", device="cpu", epochs=EPOCHS, patience=EPOCHS)


def run_chapter(folder: Path, out: Path | None = None) -> None:
    """Execute a chapter, to where fresh ones are if not told otherwise."""
    fresh = folder / "_build/executed/games/01-first.ipynb"
    execute(folder / "chapters/01-first.ipynb", little.NAME, {}, out or fresh)


def make(folder: Path, target: str) -> Start:
    """Return what runs a target of the Makefile with this environment's Python."""
    (folder / ".venv").unlink(missing_ok=True)
    (folder / ".venv").symlink_to(sys.prefix)
    return command("make", "--silent", "-o", ".venv/.companion-ready", target,
                   PYTHONPATH=str(folder))  # fmt: skip


STAGES = (
    Stage("download", forked(download), 14),
    Stage("conversion", forked(convert), 12),
    Stage("encoding", forked(encode), 12),
    Stage("training", forked(train), 12),
    Stage("chapter", forked(run_chapter), 4),
    Stage("html", lambda folder: make(folder, "html")(folder), 4),
    Stage("book", lambda folder: make(folder, "book")(folder), 3),
)


def project(folder: Path) -> Path:
    """Write a project of one short chapter into a folder, and return it."""
    for name in COPIED:
        source, leave = ROOT / name, shutil.ignore_patterns("__pycache__")
        copy = shutil.copyfile
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=leave)
        else:
            copy(source, folder / name)
    plan = yaml.safe_load((ROOT / "workflow.yml").read_text(encoding="utf-8"))
    plan |= {
        "datasets": [little.NAME],
        "fits": {"01-first": {"svd": 1}},
        "parameters": plan["parameters"] | {"seeds": 1, "k": 10, "device": "cpu"},
        "pages": {"intro": [], "reference": []},
    }
    (folder / "workflow.yml").write_text(yaml.safe_dump(plan), encoding="utf-8")
    (folder / "index.md").write_text("# A little book\n\nOf one chapter.\n", encoding="utf-8")
    write_chapter(folder / "chapters" / "01-first.ipynb", "01-first", "svd")
    return folder


def write_chapter(path: Path, name: str, model: str) -> None:
    """Write a chapter that fits a model and prints its lists."""
    cells = [
        new_markdown_cell(f"# {name} of {{dataset}}"),
        new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        new_code_cell(CODE.format(name=name, model=model)),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)


def before(stage: Stage, folder: Path, earlier: list[Stage]) -> Path:
    """Return a folder in which all that comes before a stage is done, undisturbed."""
    if stage.name in ("chapter", "html", "book"):
        project(folder)
    else:
        folder.mkdir(parents=True)
    if stage.name == "html":  # of published chapters, as ``make html`` builds
        out = folder / "executed/games/01-first.ipynb"
        earlier = [Stage("publish", forked(partial(run_chapter, out=out)), 0)]
    if stage.name != "book":
        for one in earlier:
            if one.start(folder).finished() != 0:
                raise RuntimeError(f"{one.name} fails undisturbed: {folder / 'log'}")
    return folder


def made(folder: Path) -> Made:
    """Return the digest of every file that counts, by its place: the cache, notebooks and pages."""
    found = {}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if path.is_file() and not path.is_symlink() and counts(place):
            content = timeless(path)
            found[str(place)] = hashlib.sha256(content).hexdigest()
    return found


def counts(place: Path) -> bool:
    """Return whether a file is a result, or could be taken for one."""
    if place.suffix == ".lock":
        return False
    if place.parts[0] == "cache":
        return True
    if place.parts[:2] == ("_build", "html"):
        return place.suffix == ".html" or place.name == "searchindex.js"
    return place.parts[:2] in (("_build", "executed"), ("_build", "fits"), ("_build", "done"))


def timeless(path: Path) -> bytes:
    """Return a file's content without what only says how long something took."""
    content = path.read_bytes()
    if path.suffix != ".json":
        return content
    facts = json.loads(content)
    facts.get("info", {}).pop("seconds", None)
    facts.pop("seconds", None)
    facts.get("files", {}).pop("facts.json", None)  # its digest, in a manifest
    return json.dumps(facts, sort_keys=True).encode()


def environment(server: str) -> None:
    """Let this process, and what it starts, use the little dataset and one thread."""
    os.environ |= {"COMPANION_MIRROR": server, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # jemalloc's thread does not outlive a fork
    os.environ.pop("COMPANION_OFFLINE", None)  # the server is on this machine
