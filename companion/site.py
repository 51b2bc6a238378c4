"""Assemble the book: published and freshly executed chapters, other pages, table of contents."""

import filecmp
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from companion.execute import ChapterError, execute, executed, in_order, slug, values_of
from lib.core import InputError

ROOT = Path(__file__).resolve().parent.parent
BUILD = "_build"
EXECUTED = "executed"
COMMIT = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")  # what git is asked
ASSETS = ("_config.yml", "references.bib", "images")


@cache
def workflow(root: Path = ROOT) -> dict[str, Any]:
    """Return ``workflow.yml``: datasets, parameters, pages and titles."""
    path = root / "workflow.yml"
    if not path.is_file():
        raise InputError(f"There is no {path}: run the book's commands in a clone of the project.")
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def chapters(root: Path = ROOT) -> list[str]:
    """Return the names of the chapters that are executed for every dataset, in order."""
    found = sorted(path.stem for path in (root / "chapters").glob("[0-9]*.ipynb"))
    return [name for name in found if name not in workflow(root).get("overall", ())]


def toc(pages: Path, root: Path = ROOT) -> dict[str, Any]:
    """Return the table of contents of the pages under ``pages``.

    Datasets are in the order of ``workflow.yml``, others after them by name. A dataset is one
    entry, its first chapter, under which the others unfold.
    """
    plan = workflow(root)
    titles: dict[str, str] = plan["titles"]
    folder = pages / EXECUTED
    found = in_order((path.name for path in folder.glob("*/") if executed(path)), list(titles))

    def entries(names: Sequence[str]) -> list[dict[str, Any]]:
        kinds = (".md", ".ipynb")
        return [{"file": n} for n in names if any((pages / f"{n}{k}").is_file() for k in kinds)]

    parts = {
        "Overview": entries(plan["pages"]["intro"]),
        "Findings by dataset": [_dataset(folder / name, titles.get(name, name)) for name in found],
        "Reference": entries(plan["pages"]["reference"]),
    }
    shown = [{"caption": name, "chapters": entries} for name, entries in parts.items() if entries]
    return {"format": "jb-book", "root": "index", "parts": shown}


def _dataset(folder: Path, title: str) -> dict[str, Any]:
    """Return a dataset's entry: its first chapter under the dataset's title, and the others."""
    entry, *sections = [
        {"file": f"{EXECUTED}/{folder.name}/{path.stem}", "title": _short_title(path)}
        for path in executed(folder)
    ]
    return entry | {"title": title} | ({"sections": sections} if sections else {})


def _short_title(chapter: Path) -> str:
    """Return a chapter's number and its heading without " · " and the dataset's name."""
    cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"]
    heading = "".join(cells[0]["source"]).partition("\n")[0].removeprefix("# ")
    title = heading.rpartition(" · ")[0] or heading
    return f"{int(chapter.stem.partition('-')[0])}. {title}"


def write_toc(pages: Path, root: Path = ROOT) -> None:
    """Write the table of contents of ``pages`` to its ``_toc.yml``, if it changed."""
    path = pages / "_toc.yml"
    text = yaml.safe_dump(toc(pages, root), sort_keys=False, allow_unicode=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def stage(site: Path, *, fresh: bool = False, root: Path = ROOT) -> Path:
    """Copy a book's sources to ``site``: the published pages, or fresh ones where they are whole.

    A dataset's part is all fresh or all published. If only some chapters of a published part were
    executed, the published part stays, and a line on stderr says so. Unchanged files keep their
    times, so that only changed pages are built again; files without a source are removed.
    """
    pages = workflow(root)["pages"]
    names = [f"{page}.md" for page in ["index", *pages["intro"], *pages["reference"]]]
    sources = published(root)
    for path in (root / name for name in (*ASSETS, *names)):
        sources |= {p.relative_to(root): p for p in (path, *path.rglob("*")) if p.is_file()}
    if fresh:
        found = published(root / BUILD)
        parts = {path.parent for path in found} - {Path(EXECUTED)}
        lacking = (p for p in sources if p not in found and (root / "chapters" / p.name).is_file())
        partial = {path.parent for path in lacking} & parts
        for part in sorted(partial):
            print(
                f"{part.name}: only some of its chapters were executed, so the published part "
                f"stands; the fresh ones are in {root / BUILD / part}",
                file=sys.stderr,
            )
        found = {path: source for path, source in found.items() if path.parent not in partial}
        kept = {path: s for path, s in sources.items() if path.parent not in parts - partial}
        sources = kept | found
    for path, source in sources.items():
        copy_if_changed(source, site / path)
    for path in [p for p in site.rglob("*") if p.is_file()]:
        if path.relative_to(site) not in sources and path.name != "_toc.yml":
            path.unlink()
    write_toc(site, root)
    return site


def published(root: Path = ROOT) -> dict[Path, Path]:
    """Return every executed notebook under ``root`` by its path relative to it."""
    folder = root / EXECUTED
    pages = executed(folder) + [p for part in folder.glob("*/") for p in executed(part)]
    return {p.relative_to(root): p for p in pages}


def git(*words: str, root: Path = ROOT) -> str:
    """Return what git says of a clone; "" where there is none."""
    if not (root / ".git").exists() or not shutil.which("git"):
        return ""
    command = ["git", "-C", str(root), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def copy_if_changed(source: Path, target: Path) -> None:
    """Copy ``source`` to ``target``, unless they are the same: then ``target`` keeps its time."""
    if target.is_file() and filecmp.cmp(source, target, shallow=False):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def publish(names: Sequence[str], root: Path = ROOT) -> list[Path]:
    """Copy the chapters executed for ``names`` to ``executed/``, and update the scoreboard.

    A published chapter that was not executed stays, unless the book has no such chapter any more.
    A chapter about no dataset (``overall`` in ``workflow.yml``) is copied only if it was executed
    with its own values of its parameters; else the published one stays, and stderr says so. Raises
    ChapterError if published pages then contradict each other: what was copied stays, to be looked
    at.
    """
    from companion import consistency  # pandas: no other command waits for it

    copied = []
    for name in map(slug, names):
        source, target = root / BUILD / EXECUTED / name, root / EXECUTED / name
        pages = executed(source)
        if not pages:
            raise InputError(f"Nothing was executed for {name!r}: run make book DATASETS={name}.")
        for old in executed(target):
            if not (root / "chapters" / old.name).is_file():
                old.unlink()
        for page in pages:
            copy_if_changed(page, target / page.name)
            copied.append(target / page.name)
    for file in (f"{name}.ipynb" for name in workflow(root).get("overall", ())):
        page, target = root / BUILD / EXECUTED / file, root / EXECUTED / file
        if page.is_file() and values_of(page) != values_of(root / "chapters" / file):
            print(f"{page} was executed with other parameters and is not copied", file=sys.stderr)
        elif page.is_file():
            copy_if_changed(page, target)
            copied.append(target)
    board = root / "chapters" / "scoreboard.ipynb"
    if board.is_file():
        out = root / EXECUTED / board.name
        copied.append(execute(board, None, {"fresh": EXECUTED}, out))
    write_toc(root, root)
    found = consistency.contradictions(root / EXECUTED, root / "chapters")
    if consistency.CALIBRATION in workflow(root).get("overall", ()):
        found += consistency.uncalibrated(root / EXECUTED)
    if found:
        raise ChapterError("\n".join(found))
    return copied
