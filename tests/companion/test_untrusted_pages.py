"""Strangers' titles and names in a built book, and the page of figures: all of it is text."""

import json
import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import stages
import yaml

from companion.execute import execute, slug
from companion.site import ROOT

BAD = "<script>alert(1)</script>"
IMAGE = "<img src=x onerror=alert(1)>"
TITLES = [BAD, IMAGE, f'"{IMAGE}', "{{ 7*7 }} [x](javascript:alert(1))", f"&lt;b&gt; `{BAD}`",
          f"\u202e```{{raw}} html {BAD}"]  # fmt: skip


class Live(HTMLParser):
    """Collect what of a page would run: scripts' text, handlers, and addresses of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag == "script"
        self.found += [str(v) for name, v in attrs if name.startswith("on")]
        self.found += [str(v) for _, v in attrs if str(v).lower().startswith("javascript:")]

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.found.append(data)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a book of the first chapter on a folder whose names and titles hold markup."""
    place = tmp_path_factory.mktemp("book")
    own = place / f"own {IMAGE}"
    own.mkdir()
    keys = [f"{number}{title.replace(',', '')}" for number, title in enumerate(TITLES * 2)]
    quoted = ['"' + key.replace('"', '""') + '"' for key in keys]
    rows = [f"{user},{key},{9000 + user}" for user in range(12) for key in quoted]
    (own / "interactions.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows))
    about = [f'{key},"{t.replace(chr(34), chr(34) * 2)}"'
             for key, t in zip(quoted, TITLES * 2, strict=True)]  # fmt: skip
    (own / "items.csv").write_text("item_id,title\n" + "\n".join(about))
    root = place / "root"
    root.mkdir()
    stages.project(root)
    name = slug(str(own))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPANION_CACHE", str(place / "cache"))
        given = {"seeds": 1, "k": 3, "device": "cpu", "encoder": "minilm", "fields": "all"}
        out = root / "executed" / name / "01-data.ipynb"
        execute(ROOT / "chapters" / "01-data.ipynb", str(own), given, out)
    plan = yaml.safe_load((root / "workflow.yml").read_text())
    plan["pages"]["reference"] = ["pages/speed", "pages/trust"]
    (root / "workflow.yml").write_text(yaml.safe_dump(plan))
    (root / "pages").mkdir()
    for page in plan["pages"]["reference"]:
        shutil.copy(ROOT / f"{page}.md", root / f"{page}.md")
    row = {"what": BAD, "size": "2 × 3", "ours": 0.25, "peer": 2.0, "peer_name": "torch",
           "floor": 0.1, "unit": "s", "ratio": 0.125}  # fmt: skip
    speeds = {"processor": "P", "threads": 2, "python": "3", "torch": "2", "flops": 2e11,
              "bandwidth": 3e10}  # fmt: skip
    (root / "bench").mkdir()
    (root / "bench" / "results.json").write_text(json.dumps({"machine": speeds, "rows": [row]}))
    run = {"date": "2026-01-02", "commit": "abc", "machine": IMAGE, "versions": "1"}
    figure = {"what": BAD, "tried": 1200, "right": 7, "found": IMAGE}
    (root / "tests/hardening").mkdir(parents=True)
    (root / "tests/hardening/results.json").write_text(
        json.dumps({"kills": {**run, "figures": [figure]}})
    )
    (root / ".venv").symlink_to(sys.prefix)
    ran = subprocess.run(
        ["make", "--silent", "-o", ".venv/.companion-ready", "html"], cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return root / "_build" / "html"


def test_nothing_of_strangers_runs_on_any_page(book: Path) -> None:
    pages = list(book.rglob("*.html"))
    assert len(pages) > 3
    for page in pages:
        live = Live()
        live.feed(page.read_text(encoding="utf-8"))
        assert not [code for code in live.found if "alert(" in code], page


def test_titles_are_shown_as_they_are_written(book: Path) -> None:
    page = next(book.glob("executed/*/01-data.html")).read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "```{raw} html &lt;script" in page


def test_figures_stand_on_the_page_as_text(book: Path) -> None:
    page = (book / "pages/trust.html").read_text(encoding="utf-8")
    assert "<td>&lt;script&gt;alert(1)&lt;/script&gt;</td>" in page
    assert "<td>1,200</td>" in page and "<td>7</td>" in page
    assert "2026-01-02, commit abc, on" in page
    assert "Not run yet." in page
    page = (book / "pages/speed.html").read_text(encoding="utf-8")
    assert "<td>&lt;script&gt;alert(1)&lt;/script&gt;<br><small>2 × 3</small></td>" in page
    assert "<td>250.0&nbsp;ms</td>" in page and "<td>0.12</td>" in page
    assert "<br><small>× 2.5</small></td>" in page and "200 Gflop/s and 30.0 GB/s" in page


def test_a_build_that_was_cut_off_is_not_believed(book: Path) -> None:
    root, index = book.parent.parent, book / "index.html"
    whole = index.read_bytes()
    index.write_bytes(whole[: len(whole) // 2])
    (root / "_build" / "unfinished").touch()
    words = ["make", "--silent", "-o", ".venv/.companion-ready", "html"]
    subprocess.run(words, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, check=True,
                   capture_output=True)  # fmt: skip
    assert index.read_bytes() == whole
    assert not (root / "_build" / "unfinished").exists()
    shutil.rmtree(root / "_build")
