"""What the cache holds is told as it is, and what is cleared is gone."""

import re
from pathlib import Path

import numpy as np
import pytest

from companion import inventory
from companion.__main__ import main
from lib import cache
from lib.core import InputError

VECTORS = np.zeros(2**18, np.float32)  # 1 MiB


@pytest.fixture
def filled(cache_folder: Path) -> Path:
    for seed in (1, 2):
        key = {"dataset": "films", "model": "lightgcn", "seed": seed}
        cache.cached("view", key, lambda: {"vectors": VECTORS})
    cache.cached("view", {"dataset": "books"}, lambda: {"vectors": VECTORS})
    cache.cached("text", {"encoder": "minilm"}, lambda: {"vectors": VECTORS})
    download = cache_folder / "sources" / "shop" / "2018" / "reviews.zip"
    download.parent.mkdir(parents=True)
    download.write_bytes(bytes(2**20))
    Path(f"{download}.lock").touch()
    return cache_folder


def test_the_report_counts_by_kind_and_what_it_is_of(filled: Path) -> None:
    assert [line.split()[:4] for line in told()] == [
        ["sources", "shop/2018", "1", "1.0"], ["text", "minilm", "1", "1.0"],
        ["view", "books", "1", "1.0"], ["view", "films", "2", "2.0"],
    ]  # fmt: skip


def told() -> list[str]:
    """Return the lines of the report's table."""
    return inventory.report().split("\n\n")[1].splitlines()[1:]


def test_a_damaged_entry_is_told_and_counted(filled: Path) -> None:
    next(filled.glob("text/*/manifest.json")).write_text("{")
    (line,) = (line for line in told() if line.startswith("text"))
    assert line.split()[:3] == ["text", "damaged", "1"]


def test_clear_removes_one_kind_or_everything(filled: Path) -> None:
    assert inventory.clear("view") == 3
    assert set(cache.entries()["kind"]) == {"sources", "text"}
    with pytest.raises(InputError, match=r"'views' was given; .* \(sources, text\)"):
        inventory.clear("views")
    assert inventory.clear() == 2
    assert cache.entries().empty and not list(filled.rglob("*.zip"))


def test_the_report_says_where_how_much_and_how_to_clear(filled: Path) -> None:
    said = inventory.report()
    assert said.startswith(f"{filled} ") and "5.0 MiB in 5 entries" in said
    assert re.search(r"view +films +2 +2\.0 +20\d\d-\d\d-\d\d \d\d:\d\d", said)
    assert "cache --clear" in said
    inventory.clear()
    assert "nothing is cached yet" in inventory.report()


def test_the_command_tells_what_is_cached_and_clears_it(
    cache_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.cached("view", {"dataset": "films"}, lambda: {"x": 1})
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.strip() == inventory.report()
    assert main(["cache", "--clear"]) == 0
    assert "1 entries deleted" in capsys.readouterr().out
    main(["cache"])
    assert "nothing is cached yet" in capsys.readouterr().out
