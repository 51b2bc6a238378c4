"""What is disturbed: the steps from a download to the built book, on a small dataset.

Each stage begins in a folder where the earlier ones are done. What it made is compared by the
digest of every file, with times and durations left out.
"""

import contextlib
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import yaml
from processes import Start, command, finished, python

from companion import data, execute
from companion.data import downloads, synthetic
from companion.site import ROOT
from lib import views
from lib.encoders import text

NAME = "games"  # in the form of Amazon Reviews 2023
EPOCHS = 40
CHAPTER = "chapters/01-data.ipynb"
EXECUTED = Path("executed", NAME, "01-data.ipynb")
COPIED = ("lib", "companion", "studies", "images", "profiles", "Makefile", "Snakefile",
          "claims.yml", "references.bib", "_config.yml", CHAPTER)  # fmt: skip
PAGES = dict.fromkeys(("intro", "reference"), list[str]())
PLAN = {"datasets": [NAME], "fits": {"01-data": {"svd": 1}}, "pages": PAGES}


def write_files(mirror: Path) -> None:
    """Write the dataset's files where a mirror has them; titles hold markup."""
    dataset = synthetic.world(n_users=150, n_items=80, seed=11).dataset
    pairs = (dataset.seen + dataset.test).tocoo()
    ratings = ["user_id,parent_asin,rating,timestamp"]
    for number, (user, item) in enumerate(zip(pairs.row, pairs.col, strict=True)):
        ratings.append(f"U{user:04d},B{item:04d},5.0,{1_600_000_000_000 + 7919 * number}")
    about = []
    for item in range(dataset.n_items):
        title = f"The {item}th game <script>alert({item})</script>"
        about.append(json.dumps({"parent_asin": f"B{item:04d}", "title": title}))
    for source, lines in zip(data.DATASETS[NAME].files, (ratings, about), strict=True):
        path = mirror / source.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


@contextlib.contextmanager
def world() -> Iterator[Path]:
    """Give an empty folder, the small dataset being served to this process and what it starts."""
    with tempfile.TemporaryDirectory() as name:
        write_files(Path(name, "mirror"))
        words = [sys.executable, str(Path(__file__).with_name("slow_server.py")), f"{name}/mirror"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            os.environ["COMPANION_MIRROR"] = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # jemalloc's thread dies in a fork
            os.environ.pop("COMPANION_OFFLINE", None)  # the server is on this machine
            yield Path(name)
            server.kill()


def download() -> None:
    """Fetch the files."""
    for source in data.DATASETS[NAME].files:
        downloads.fetch(source)


def convert() -> None:
    """Clean what was downloaded, and cache it."""
    data.load(NAME)


def encode() -> None:
    """Encode the texts in several chunks."""
    text.CHUNK = 16
    text.encode(data.load(NAME), "minilm")


def train() -> None:
    """Train a view."""
    views.fit(data.load(NAME), "lightgcn", device="cpu", epochs=EPOCHS, patience=EPOCHS)


def everything() -> None:
    """Encode and train, from the download on."""
    encode()
    train()


def run_chapter(under: str = "_build") -> None:
    """Execute the chapter, as a fresh run or, under ".", as a published one."""
    execute.execute(Path(CHAPTER), NAME, {}, under / EXECUTED)


def publish_chapter() -> None:
    """Execute the chapter as a published one."""
    run_chapter(".")


def make(target: str) -> Start:
    """Return what runs a target of the Makefile with this environment's Python."""

    def start(folder: Path) -> subprocess.Popen[bytes]:
        (folder / ".venv").unlink(missing_ok=True)
        (folder / ".venv").symlink_to(sys.prefix)
        ready = ("-o", ".venv/.companion-ready")
        return command("make", "--silent", *ready, target, PYTHONPATH=str(folder))(folder)

    return start


class Stage(NamedTuple):
    """A step, and those that come before it."""

    name: str
    start: Start
    before: tuple[Start, ...] = ()


STEPS = [python(step) for step in (download, convert, encode, train, run_chapter)]
STAGES = (
    Stage("download", STEPS[0]),
    Stage("conversion", STEPS[1], (*STEPS[:1],)),
    Stage("encoding", STEPS[2], (*STEPS[:2],)),
    Stage("training", STEPS[3], (*STEPS[:3],)),
    Stage("chapter", STEPS[4], (*STEPS[:2],)),
    Stage("html", make("html"), (python(publish_chapter),)),
    Stage("book", make("book")),
)


def prepared(stage: Stage, folder: Path) -> Path:
    """Return a folder in which all that comes before a stage is done."""
    folder.mkdir(parents=True)
    if stage.name in ("chapter", "html", "book"):
        project(folder)
    for start in stage.before:
        assert finished(start(folder)) == 0, (folder / "log").read_text()
    return folder


def project(folder: Path) -> None:
    """Write a project with one chapter into a folder."""
    (folder / "chapters").mkdir()
    for name in COPIED:
        copy = partial(shutil.copytree, ignore=shutil.ignore_patterns("__pycache__"))
        (copy if (ROOT / name).is_dir() else shutil.copyfile)(ROOT / name, folder / name)
    plan = yaml.safe_load((ROOT / "workflow.yml").read_text(encoding="utf-8")) | PLAN
    plan["parameters"] |= {"seeds": 1, "k": 10, "device": "cpu"}
    (folder / "workflow.yml").write_text(yaml.safe_dump(plan), encoding="utf-8")
    (folder / "index.md").write_text("# A small book\n\nOf one chapter.\n", encoding="utf-8")


def fresh(began: Path, folder: Path) -> Path:
    """Make a folder as it was when the stage began."""
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(began, folder, symlinks=True))


def undisturbed(stage: Stage, began: Path, folder: Path) -> tuple[float, dict[str, str]]:
    """Return the seconds a stage takes when it is left alone, and what it makes."""
    fresh(began, folder)
    started = time.perf_counter()
    assert finished(stage.start(folder)) == 0, (folder / "log").read_text()
    return time.perf_counter() - started, made(folder)


def made(folder: Path) -> dict[str, str]:
    """Return the digest of every result by its path: the cache, notebooks and pages."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {
        str(path.relative_to(folder)): hashlib.sha256(timeless(path)).hexdigest()
        for path in sorted(paths)
        if _counts(path.relative_to(folder))
    }


def _counts(path: Path) -> bool:
    if path.suffix == ".lock":
        return False
    if path.parts[:2] == ("_build", "html"):
        return path.suffix == ".html"
    built = [("_build", part) for part in ("executed", "fits", "done")]
    return path.parts[0] == "cache" or path.parts[:2] in built


def timeless(path: Path) -> bytes:
    """Return a file's content without measured seconds and memory."""
    content = path.read_bytes()
    if path.suffix in (".ipynb", ".html"):
        return re.sub(rb"(<th>(seconds|peak memory)</th><td>)[^<]*", rb"\1", content)
    if path.suffix != ".json":
        return content
    facts = json.loads(content)
    for holder in (facts, facts.get("info", {})):
        holder.pop("seconds", None)
    facts.get("files", {}).pop("facts.json", None)  # its digest, in a manifest
    return json.dumps(facts, sort_keys=True).encode()
