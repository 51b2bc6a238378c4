"""The known datasets: their counts, cards and splits, and the road from a server to a dataset."""

import functools
import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from companion import data
from companion.data import downloads, readers
from companion.site import ROOT
from lib.core import InputError
from lib.dataset import part_sizes

pytestmark = pytest.mark.usefixtures("cache_folder")
MIRROR = os.environ.get("COMPANION_MIRROR", "")
LINES = {
    "name", "origin", "url", "licence", "citation", "text", "fields", "sha256", "before", "removed",
    "after", "k_core", "sparsity", "times", "text_coverage", "split", "seed", "stand_in",
}  # fmt: skip
SIZES = {name: tuple(known.size) for name, known in data.DATASETS.items() if known.size}
needs_mirror = pytest.mark.skipif(
    not MIRROR, reason="set COMPANION_MIRROR to a folder with the datasets' files"
)


@pytest.mark.parametrize("name", SIZES)
def test_counts_are_as_stated(name: str) -> None:
    if name != "ml-100k" and not MIRROR:
        pytest.skip("set COMPANION_MIRROR to a folder with the datasets' files to test them")
    dataset = data.load(name)
    sizes = (dataset.n_users, dataset.n_items, dataset.seen.nnz + dataset.test.nnz)
    assert sizes == SIZES[name]
    assert dataset.card["after"] == dict(
        zip(("users", "items", "interactions"), SIZES[name], strict=True)
    )
    assert set(dataset.card) == LINES
    assert dataset.card["text_coverage"] == 1
    assert not dataset.items["text"].str.contains("&amp;|&quot;|&#|[\x00-\x1f]|  ").any()
    if name == "games-2018":
        assert dataset.card["removed"]["duplicate pairs"] == 390


def test_every_dataset_that_can_be_had_is_counted() -> None:
    assert {*SIZES, "movies", "books", "games", "synthetic"} == set(data.names())


@needs_mirror
def test_scientific_is_split_by_the_order_of_its_items_and_has_no_times() -> None:
    by_order = data.load("scientific-2018", split="temporal")
    own = json.loads(downloads.fetch(data.DATASETS["scientific-2018"].files[0]).read_text())
    keys = by_order.items["key"].astype(int).to_numpy()
    for user in (0, 1, 8316):  # numeric keys, so that users keep their numbers
        last = part_sizes(np.array([len(own[str(user)])]))[0, 2]
        assert set(keys[by_order.test[user].indices]) == set(own[str(user)][-last:])
    assert by_order.times is None and "order" in by_order.card["times"]


@needs_mirror
def test_fields_change_texts_and_no_interaction() -> None:
    every = data.load("scientific-2018")
    assert every.card["fields"] == "title, categories, brand, description"
    assert data.load("scientific-2018", fields=every.card["fields"]).digest == every.digest
    described = data.load("scientific-2018", fields="description")
    assert described.card["text_coverage"] < 0.9 < every.card["text_coverage"]
    named = data.load("scientific-2018", fields="brand,title")
    assert named.items["text"][1] == f"Stanley. {named.items['title'][1]}"
    assert len({one.digest for one in (every, described, named)}) == 3
    for other in (described, named):
        assert (other.train != every.train).nnz == (other.test != every.test).nnz == 0


def test_fields_of_films_and_of_a_folder(tmp_path: Path) -> None:
    films = data.load("ml-100k", fields="genres,title")
    assert films.items["text"][0] == "Animation, Children's, Comedy. Toy Story"
    assert data.load("ml-100k", fields="title,year").items["text"][0] == "Toy Story (1995)"
    assert films.n_items == 1349
    rows = [f"u{n % 7},i{n % 5}" for n in range(70)]
    (tmp_path / "interactions.csv").write_text("\n".join(["user,item", *rows]))
    about = [f"i{n},T{n},{n},B{n % 2}" for n in range(5)]
    (tmp_path / "items.csv").write_text("\n".join(["item,title,price,brand", *about]))
    own = data.load(tmp_path, fields="brand")
    assert own.items["text"].tolist() == ["B0", "B1", "B0", "B1", "B0"]
    assert own.card["fields"] == "brand" and own.digest != data.load(tmp_path).digest
    for fields in ("price", "brand,brand", "brand, ", "colour"):
        with pytest.raises(InputError, match="items.csv, whose items have title, brand: give some"):
            data.load(tmp_path, fields=fields)


def test_wrong_fields_write_and_fetch_nothing(cache_folder: Path) -> None:
    for name in ("games-2018", "movies", "synthetic"):
        with pytest.raises(InputError, match="fields = 'brand' was given"):
            data.load(name, fields="brand")
    assert not cache_folder.exists()


@pytest.mark.parametrize("split", ["random", "temporal"])
def test_parts_of_ml_100k(split: str) -> None:
    dataset = data.load("ml-100k", split=split)
    parts = (dataset.train, dataset.valid, dataset.test)
    for part in parts:
        assert isinstance(part, sp.csr_matrix)
        assert (part.dtype, part.indices.dtype) == (np.float32, np.int32)
        assert part.has_canonical_format
        assert (part.data == 1).all()
    assert (dataset.train + dataset.valid + dataset.test).max() == 1
    assert dataset.train.multiply(dataset.test).nnz == 0
    counts = np.stack([part.getnnz(axis=1) for part in parts], axis=1)
    np.testing.assert_array_equal(counts, part_sizes(counts.sum(axis=1)))
    assert dataset.times is not None
    np.testing.assert_array_equal(dataset.times.indices, dataset.train.indices)
    np.testing.assert_array_equal(dataset.times.indptr, dataset.train.indptr)
    assert dataset.times.data.min() > 8e8


def test_texts_and_ids_of_ml_100k() -> None:
    items = data.load("ml-100k").items
    assert items["text"][0] == "Toy Story (1995). Animation, Children's, Comedy"
    assert items["key"][:2].tolist() == ["1", "2"]
    assert items["key"].astype(int).is_monotonic_increasing
    assert items["key"].is_unique
    assert items["year"][0] == 1995


def test_seeds_and_splits_differ_in_the_parts_alone() -> None:
    base = data.load("ml-100k")
    assert data.load("ml-100k").digest == base.digest
    for other in (data.load("ml-100k", seed=1), data.load("ml-100k", split="temporal")):
        assert other.digest != base.digest
        assert ((other.seen + other.test) != (base.seen + base.test)).nnz == 0
    assert data.load("ml-100k", k_core=0).n_items == 1682
    assert data.load("ml-100k", k_core=20).n_items < base.n_items


def test_a_second_call_reads_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    first = data.load("ml-100k").digest
    monkeypatch.setattr(readers, "read_table", None)
    monkeypatch.setattr(downloads, "fetch", None)
    assert data.load("ml-100k").digest == first


def test_a_dataset_is_frozen_and_its_digest_is_of_all_it_holds() -> None:
    dataset = data.load("synthetic")
    with pytest.raises(FrozenInstanceError):
        dataset.name = "other"  # type: ignore[misc]
    assert dataset.vectors is not None
    others = [
        replace(dataset, test=dataset.valid),
        replace(dataset, items=dataset.items.assign(text="x")),
        replace(dataset, vectors=dataset.vectors + 1),
        replace(dataset, vectors=None),
    ]
    assert len({dataset.digest, *(other.digest for other in others)}) == 5
    assert replace(dataset, card={}, name="x").digest == dataset.digest


def test_recbole_is_found_without_being_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from companion import data; data.load('ml-100k'); "
        "print([m for m in ('recbole', 'torch', 'transformers') if m in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=60,
    )
    assert told.stdout.strip() == "[]"


def test_a_damaged_package_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = data.DATASETS["ml-100k"].files[0]
    content = bytearray(downloads.fetch(source).read_bytes())
    content[1000] ^= 1
    damaged = tmp_path / "ml-100k.inter"
    damaged.write_bytes(content)
    monkeypatch.setattr(downloads, "_packaged", lambda _: damaged)
    with pytest.raises(InputError, match="damaged or another file"):
        data.load("ml-100k")


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("ml-1b", {}, "games-2018"),
        ("ml-100k", {"split": "users"}, "temporal"),
        ("ml-100k", {"seed": -1}, "seed"),
        ("books", {"split": "users"}, "temporal"),
        ("ml-100k", {"k_core": -1}, "k_core"),
        ("ml-100k", {"k_core": 2.5}, "k_core"),
        ("ml-100k", {"k_core": 2000}, "smaller k_core"),
        ("synthetic", {"split": "temporal"}, "no times"),
        ("synthetic", {"fields": "title"}, "give all"),
        ("games-2018", {"fields": "description"}, "games-2018, whose items have title: give some"),
        ("ml-100k", {"fields": ""}, "title, year, genres"),
        ("ml-100k", {"fields": 3}, "title, year, genres"),
    ],
)
def test_wrong_input_is_one_sentence(name: str, options: dict, word: str) -> None:
    with pytest.raises(InputError, match=word) as fault:
        data.load(name, **options)
    assert "\n" not in str(fault.value)


@pytest.fixture
def amazon_mirror(tmp_path: Path) -> Path:
    """Return a mirror with Amazon 2023 Games in small: 30 users, 12 items, two without text."""
    rows = [
        f"U{u:02},B{(u + n) % 12:02},5.0,{1_500_000_000_000 + 1000 * (u * 7 + n)}"
        for u in range(30)
        for n in range(8)
    ]
    ratings = "\n".join(["user_id,parent_asin,rating,timestamp", *rows, rows[0], "U01,B01"])
    about = [
        json.dumps({"parent_asin": f"B{n:02}", "title": "" if n == 3 else f"Game &amp; {n}"})
        for n in range(11)
    ]
    for source, text in zip(data.DATASETS["games"].files, (ratings, "\n".join(about)), strict=True):
        path = tmp_path / "mirror" / source.path
        path.parent.mkdir(parents=True)
        with gzip.open(path, "wt") as file:
            file.write(text)
    return tmp_path / "mirror"


@pytest.fixture
def served(amazon_mirror: Path) -> Iterator[str]:
    handler = functools.partial(QuietHandler, directory=str(amazon_mirror))
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{http.server_address[1]}"
    http.shutdown()
    http.server_close()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_amazon_2023_from_a_server_and_from_a_folder(
    served: str, amazon_mirror: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPANION_MIRROR", served)
    dataset = data.load("games", split="temporal")
    assert dataset.card["before"] == {"users": 30, "items": 12, "interactions": 241}
    assert dataset.card["removed"] == {
        "broken rows": 1,
        "duplicate pairs": 1,
        "interactions with items without text": 38,
        "interactions outside the 5-core": 0,
    }
    assert dataset.card["after"] == {"users": 30, "items": 10, "interactions": 202}
    assert dataset.items["text"][0] == "Game & 0"
    assert set(dataset.card) == LINES
    assert all(len(sha) == 64 for sha in dataset.card["sha256"].values())
    monkeypatch.setenv("COMPANION_CACHE", str(cache_folder / "second"))
    monkeypatch.setenv("COMPANION_MIRROR", str(amazon_mirror))
    assert data.load("games", split="temporal").digest == dataset.digest


def test_amazon_2023_keeps_to_the_files_of_its_first_use(
    amazon_mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPANION_MIRROR", str(amazon_mirror))
    before = data.load("games").digest
    path = amazon_mirror / data.DATASETS["games"].files[1].path
    with gzip.open(path, "wt") as file:
        file.write(json.dumps({"parent_asin": "B00", "title": "changed"}))
    assert data.load("games").digest == before  # from the cache
    with pytest.raises(InputError, match="first used"):
        data.load("games", k_core=2)


def test_a_mirror_without_the_file_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPANION_MIRROR", str(tmp_path))
    for name in data.names():
        if name in ("ml-100k", "synthetic"):
            continue
        with pytest.raises(InputError, match=data.DATASETS[name].files[0].path):
            data.load(name)


def test_the_length_of_amazons_texts_is_the_stated_one() -> None:
    stated = f"the first {readers.LENGTH} characters"
    assert sum(stated in known.facts["text"] for known in data.DATASETS.values()) == 3


def test_every_citation_is_in_the_bibliography() -> None:
    bibliography = (ROOT / "references.bib").read_text()
    for known in data.DATASETS.values():
        assert f"{{{known.facts['citation']}," in bibliography
