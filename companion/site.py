"""Put the pages of the book together: what is published, what was freshly executed, their order."""

from __future__ import annotations

import filecmp
import json
import shutil
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from companion.execute import execute, slug
from lib.core import InputError

ROOT = Path(__file__).resolve().parent.parent
BUILD = "_build"
EXECUTED = "executed"
SCOREBOARD = "scoreboard"
ASSETS = ("_config.yml", "references.bib", "images")


@cache
def workflow(root: Path = ROOT) -> dict[str, Any]:
    """Return ``workflow.yml``: datasets, parameters, pages and titles.

    Raises InputError outside a clone of the project, where there is no such file.
    """
    path = root / "workflow.yml"
    if not path.is_file():
        raise InputError(
            f"There is no {path}: the book's commands need a clone of the project, "
            "not only the installed library."
        )
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def executed(folder: Path) -> list[Path]:
    """Return the chapters in one dataset's folder, in the book's order, failed runs left out."""
    return sorted(p for p in folder.glob("[!.]*.ipynb") if not p.stem.endswith(".failed"))


def toc(pages: Path, root: Path = ROOT) -> dict[str, Any]:
    """Return the table of contents of the pages that stand under ``pages``.

    The pages that introduce the book come first, then the datasets in the order of
    ``workflow.yml`` (others by name), then the pages for reference. A dataset is one entry, its
    first chapter, under which the others unfold.
    """
    plan = workflow(root)
    titles: dict[str, str] = plan["titles"]
    folder = pages / EXECUTED
    found = sorted(path.name for path in folder.glob("*") if path.is_dir() and executed(path))
    order = [name for name in titles if name in found]
    order += [name for name in found if name not in titles]
    intro = [page for page in plan["pages"]["intro"] if _exists(pages, page)]
    parts = [{"caption": "Overview", "chapters": _entries(intro)}] if intro else []
    datasets = [_dataset(folder / name, titles.get(name, name)) for name in order]
    parts += [{"caption": "Findings by dataset", "chapters": datasets}] if datasets else []
    reference = [page for page in plan["pages"]["reference"] if _exists(pages, page)]
    parts += [{"caption": "Reference", "chapters": _entries(reference)}] if reference else []
    return {"format": "jb-book", "root": "index", "parts": parts}


def _entries(pages: Sequence[str]) -> list[dict[str, str]]:
    return [{"file": page} for page in pages]


def _dataset(folder: Path, title: str) -> dict[str, Any]:
    """Return a dataset's entry: its first chapter under the dataset's title, and the others."""
    first, *others = executed(folder)
    place = f"{EXECUTED}/{folder.name}"
    sections = [{"file": f"{place}/{page.stem}", "title": _short_title(page)} for page in others]
    entry = {"file": f"{place}/{first.stem}", "title": title}
    return entry | ({"sections": sections} if sections else {})


def _short_title(chapter: Path) -> str:
    """Return a chapter's number and its heading, without the dataset's name that ends it."""
    cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"]
    heading = "".join(cells[0]["source"]).partition("\n")[0].removeprefix("# ")
    return f"{int(chapter.stem.partition('-')[0])}. {heading.rpartition(' · ')[0]}"


def _exists(pages: Path, page: str) -> bool:
    return any((pages / f"{page}{suffix}").is_file() for suffix in (".md", ".ipynb"))


def write_toc(pages: Path, root: Path = ROOT) -> Path:
    """Write the table of contents of ``pages`` to its ``_toc.yml``, if it changed."""
    path = pages / "_toc.yml"
    text = yaml.safe_dump(toc(pages, root), sort_keys=False, allow_unicode=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
    return path


def stage(site: Path, *, fresh: bool = False, root: Path = ROOT) -> Path:
    """Make ``site`` the source of a book: the published pages, under the fresh ones if wanted.

    A dataset's part is all fresh or all published: two runs are never mixed under one heading.
    Where only some chapters of a published part were executed, the published one stands, and this
    is said.
    Files that are the same keep their times, so that only changed pages are built again; files
    that have no source any more are removed.
    """
    pages = workflow(root)["pages"]
    wanted: dict[Path, Path] = {}
    for name in (
        *ASSETS,
        *(f"{page}.md" for page in ["index", *pages["intro"], *pages["reference"]]),
    ):
        wanted |= _files(root, name)
    wanted |= _chapters(root)
    if fresh:
        found = _chapters(root / BUILD)
        parts = {place.parent for place in found} - {Path(EXECUTED)}
        lacking = (p for p in wanted if p not in found and (root / "chapters" / p.name).is_file())
        partial = {place.parent for place in lacking} & parts
        for part in sorted(partial):
            print(
                f"{part.name}: only some of its chapters were executed, so the published part "
                f"stands; the fresh ones are in {root / BUILD / part}",
                file=sys.stderr,
            )
        parts -= partial
        found = {place: s for place, s in found.items() if place.parent not in partial}
        wanted = {place: s for place, s in wanted.items() if place.parent not in parts} | found
    for place, source in wanted.items():
        copy_if_changed(source, site / place)
    for path in [p for p in site.rglob("*") if p.is_file()]:
        if path.relative_to(site) not in wanted and path.name != "_toc.yml":
            path.unlink()
    write_toc(site, root)
    return site


def _files(root: Path, name: str) -> dict[Path, Path]:
    """Return a file, or all files under a folder, by their place relative to ``root``."""
    path = root / name
    files = [path] if path.is_file() else path.rglob("*")
    return {p.relative_to(root): p for p in files if p.is_file() and "__pycache__" not in p.parts}


def _chapters(root: Path) -> dict[Path, Path]:
    """Return every executed notebook under ``root`` by its place relative to it."""
    folder = root / EXECUTED
    pages = executed(folder) + [p for part in folder.glob("*/") for p in executed(part)]
    return {p.relative_to(root): p for p in pages}


def copy_if_changed(source: Path, target: Path) -> None:
    """Copy ``source`` to ``target`` with a new time, unless both are the same already."""
    if target.is_file() and filecmp.cmp(source, target, shallow=False):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def publish(names: Sequence[str], root: Path = ROOT) -> list[Path]:
    """Copy what was executed for ``names`` to ``executed/``, and judge over all that is there.

    A published chapter that was not executed stays, unless the book has no such chapter any more;
    the scoreboard is executed on what is published; the table of contents follows. Raises
    InputError if nothing was executed for a name.
    """
    copied = []
    for name in map(slug, names):
        source, target = root / BUILD / EXECUTED / name, root / EXECUTED / name
        pages = executed(source)
        if not pages:
            raise InputError(
                f"Nothing was executed for {name!r} yet: run make book DATASETS={name} first."
            )
        for old in executed(target):
            if not (root / "chapters" / old.name).is_file():
                old.unlink()
        for page in pages:
            copy_if_changed(page, target / page.name)
            copied.append(target / page.name)
    board = root / "chapters" / f"{SCOREBOARD}.ipynb"
    if board.is_file():
        out = root / EXECUTED / board.name
        copied.append(execute(board, None, {"fresh": EXECUTED}, out))
    write_toc(root, root)
    return copied
