"""What the cache holds is told as it is, and what is cleared is gone."""

import re
from pathlib import Path

import numpy as np
import pytest

from companion.__main__ import main
from companion.site import ROOT
from lib import cache
from lib.core import InputError

VECTORS = np.zeros(2**18, np.float32)  # 1 MiB


@pytest.fixture
def filled(cache_folder: Path) -> Path:
    for seed in (1, 2):
        key = {"dataset": "films", "model": "lightgcn", "seed": seed}
        cache.remember("view", key, lambda: {"vectors": VECTORS})
    cache.remember("view", {"dataset": "books"}, lambda: {"vectors": VECTORS})
    cache.remember("text", {"encoder": "minilm"}, lambda: {"vectors": VECTORS})
    download = cache_folder / "sources" / "shop" / "2018" / "reviews.zip"
    download.parent.mkdir(parents=True)
    download.write_bytes(bytes(2**20))
    Path(f"{download}.lock").touch()
    return cache_folder


def test_summary_counts_by_kind_and_what_it_is_of(filled: Path) -> None:
    table = cache.summary()
    assert table[["kind", "of", "entries"]].to_numpy().tolist() == [
        ["sources", "shop/2018", 1], ["text", "minilm", 1], ["view", "books", 1],
        ["view", "films", 2],
    ]  # fmt: skip
    assert table["MiB"].to_numpy() == pytest.approx([1, 1, 1, 2], abs=0.01)
    assert list(table["what"]) == ["downloads", "encoded texts", "trained views", "trained views"]


def test_every_kind_that_is_kept_is_known() -> None:
    library = [p for package in cache.PACKAGES for p in (ROOT / package).rglob("*.py")]
    kept = {kind for p in library for kind in re.findall(r'remember\(\s*"(\w+)"', p.read_text())}
    assert {"view", "worlds"} < kept
    assert set(cache.KINDS) == kept | {"sources"}


def test_a_damaged_entry_is_told_and_counted(filled: Path) -> None:
    next(filled.glob("text/*/manifest.json")).write_text("{")
    table = cache.summary().set_index("kind")
    assert table.loc["text", "of"] == "damaged" and table.loc["text", "entries"] == 1


def test_clear_removes_one_kind_or_everything(filled: Path) -> None:
    assert cache.clear("view") == 3
    assert set(cache.entries()["kind"]) == {"sources", "text"}
    assert cache.clear() == 2
    assert cache.entries().empty and not list(filled.rglob("*.zip"))
    with pytest.raises(InputError, match="'views' was given; give one of sources, dataset, text"):
        cache.clear("views")


def test_the_command_says_where_how_much_and_how_to_clear(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{filled} ") and "5.0 MiB in 5 entries" in said
    assert re.search(r"view +trained views +films +2 +2\.0 +20\d\d-\d\d-\d\d \d\d:\d\d", said)
    assert main(["cache", "--clear"]) == 0
    assert "5 entries deleted" in capsys.readouterr().out
    main(["cache"])
    assert "nothing is kept yet" in capsys.readouterr().out
