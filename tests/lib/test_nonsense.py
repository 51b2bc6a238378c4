"""Every public name refuses nonsense in one plain sentence, in any of its arguments."""

import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import lib
from lib.topk import topk

LISTS = np.array([[0, 3, 2], [4, 1, -1], [2, 0, 4], [3, -1, -1]])
RELEVANT = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [1, 0, 0, 1, 0]])
USERS = np.array([[1.0, 0.5], [-2, 1], [0.25, 3], [0, -1]])
ITEMS = np.array([[2.0, 1], [-1, 4], [0.5, 0.5], [3, -2], [0, 1]])
VALUES, SCORES = np.array([0.5, 0.25, 1, 0]), np.array(LISTS[:, ::-1], dtype=float)


def world() -> lib.Dataset:
    """Return a dataset with something in each part."""
    train, valid = (sp.csr_matrix(np.roll(RELEVANT, by, axis=1)) for by in (1, 3))
    items = pd.DataFrame({"text": ["red car", "a red bus", "a car", "blue bus", "a tram"]})
    return lib.Dataset("five", train, valid, sp.csr_matrix(RELEVANT), items, {})


itself: list[Any] = []
itself.append(itself)

NONSENSE: dict[str, Any] = {
    "None": None,
    "no text": "",
    "words": "two\nlines of words",
    "a null byte": "a\0b",
    "bytes": b"bytes",
    "0": 0,
    "-1": -1,
    "2.5": 2.5,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "True": True,
    "10^12": 10**12,
    "-10^12": -(10**12),
    "NumPy's 10^12": np.int64(10**12),
    "10^400": 10**400,
    "10^5000": 10**5000,
    "-10^5000": -(10**5000),
    "a complex number": 1j,
    "NumPy's complex number": np.complex128(60),
    "a decimal": Decimal("2.5"),
    "a fraction": Fraction(1, 3),
    "pandas' NA": pd.NA,
    "pandas' NaT": pd.NaT,
    "a date": datetime(2020, 1, 1, tzinfo=UTC),
    "NumPy's date": np.datetime64("2020-01-01"),
    "an object": object(),
    "a class": dict,
    "a function": len,
    "a path": Path("a"),
    "a namespace": SimpleNamespace(users=1, n_items=2, name="a"),
    "an empty list": [],
    "an empty mapping": {},
    "a mapping": {"a": 1},
    "a set": {1, 2},
    "a range": range(3),
    "words in a list": ["a", "b"],
    "None in a list": [None],
    "lists in a list": [[], []],
    "a list of itself": itself,
    "10^400 in a list": [[10**400]],
    "a 0-d array": np.array(3.0),
    "an empty array": np.zeros((0, 0)),
    "no columns": np.zeros((4, 0)),
    "no rows": np.zeros((0, 2)),
    "one row": np.arange(3.0),
    "3 dimensions": np.zeros((2, 2, 2)),
    "objects": np.array([object(), object()]),
    "records": np.zeros(3, dtype=[("a", int), ("b", float)]),
    "a 0-d tensor": torch.tensor(3.0),
    "a sparse tensor": torch.eye(4, 5).to_sparse(),
    "a CSR tensor": torch.eye(4, 5).to_sparse_csr(),
    "a tensor without values": torch.empty((4, 5), device="meta"),
    "a quantised tensor": torch.quantize_per_tensor(torch.ones(4, 5), 0.1, 0, torch.qint8),
    "a sparse vector": sp.coo_array(np.arange(5)),
    "a sparse matrix": sp.csr_matrix(np.eye(7)),
    "sparse words": sp.csr_matrix((7, 7), dtype=complex),
    "an empty table": pd.DataFrame(),
    "a table of words": pd.DataFrame({"a": ["x", "y"]}),
    "a series": pd.Series(["x"], name="text"),
    "no view": lib.View(USERS[:2], ITEMS[:, :2], {}),
    "a dataset": world(),
    "an estimate": lib.summary([1.0]),
}  # fmt: skip


def view() -> lib.View:
    return lib.View(torch.from_numpy(USERS).float(), torch.from_numpy(ITEMS).float(), {})


def made(**given: Any) -> Any:
    dataset = lib.Dataset(**given)
    return dataset.digest, dataset.interactions_digest, dataset.seen, lib.fit(dataset, "popularity")


def ranked(users: Any, items: Any, info: Any) -> Any:
    return lib.lists(lib.View(users, items, info), world(), 2)


PAIRS = [(USERS, ITEMS), (USERS, ITEMS)]
TRAIN = sp.csr_matrix(np.roll(RELEVANT, 1, axis=1), dtype=np.float32)
FIT: dict[str, Any] = {"dataset": world(), "model": "svd", "seed": 0, "device": "cpu"}
# a public name → a call and arguments that it takes
CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "Dataset": (
        made,
        {
            "name": "a", "train": TRAIN, "valid": 0 * TRAIN, "test": sp.csr_matrix(RELEVANT),
            "items": world().items, "card": {}, "times": TRAIN, "vectors": ITEMS,
        },
    ),
    "InputError": (lambda sentence: str(lib.InputError(sentence)), {"sentence": "a"}),
    "View": (ranked, {"users": USERS, "items": ITEMS, "info": {}}),
    "best_of_union": (lib.best_of_union, {"lists": [LISTS], "relevant": RELEVANT, "k": 2}),
    "choose_weights": (
        lib.choose_weights, {"views": PAIRS, "score": lambda fused: 1.0, "grid": [[1, 1]]},
    ),
    "comb_sum": (lib.comb_sum, {"lists": [LISTS], "scores": [SCORES], "k": 2}),
    "complementary": (lib.complementary, {"a": LISTS, "b": LISTS, "relevant": RELEVANT}),
    "composition": (lib.composition, {"a": LISTS, "b": LISTS, "relevant": RELEVANT}),
    "concat": (lib.concat, {"views": PAIRS, "weights": [1, 1]}),
    "fit": (lib.fit, FIT),
    "hit_popularity": (
        lib.hit_popularity,
        {"a": LISTS, "b": LISTS, "relevant": RELEVANT, "train_counts": np.arange(5)},
    ),
    "hits": (lib.hits, {"lists": LISTS, "relevant": RELEVANT}),
    "holm": (lib.holm, {"p": [0.5]}),
    "jaccard": (lib.jaccard, {"a": LISTS, "b": LISTS}),
    "judge": (
        lib.judge,
        {"claim_id": "F4", "measures": dict.fromkeys(["gap", "seeds", "other"], lib.summary([1]))},
    ),
    "lists": (lib.lists, {"view": view(), "dataset": world(), "k": 2, "part": "test"}),
    "ndcg": (lib.ndcg, {"lists": LISTS, "relevant": RELEVANT}),
    "neighbourhood_preservation": (
        lib.neighbourhood_preservation, {"x": ITEMS, "y": ITEMS, "k": 2},
    ),
    "oracle": (lib.oracle, {"lists": [LISTS], "relevant": RELEVANT}),
    "paired": (lib.paired, {"a": VALUES, "b": 2 * VALUES, "seed": 0, "draws": 9}),
    "ratio": (
        lib.ratio,
        {"numerator": VALUES, "denominator": VALUES, "seed": 0, "draws": 9},
    ),
    "recall": (lib.recall, {"lists": LISTS, "relevant": RELEVANT}),
    "rrf": (lib.rrf, {"lists": [LISTS], "k": 2, "c": 60}),
    "summary": (lib.summary, {"values": VALUES, "seed": 0, "draws": 9}),
    "TopK": (
        topk,
        {
            "users": USERS, "items": ITEMS, "k": 2, "exclude": RELEVANT, "device": "cpu",
            "memory": 10**6,
        },
    ),
    **{
        f"fit of {model}, {name}": (lib.fit, FIT | {"model": model, name: value})
        for model, name, value in (
            ("svd", "dimension", 2), ("lightgcn", "epochs", 1), ("lightgcn", "dimension", 2),
            ("lightgcn", "batch", 1), ("lightgcn", "negatives", 1), ("lightgcn", "layers", 1),
            ("lightgcn", "loss", "bpr"), ("lightgcn", "temperature", 1.0),
            ("text-mean", "encoder", "tfidf"),
        )
    },
}  # fmt: skip


# not ours: the function given is called and fails, and Python cannot write the number
ELSEWHERE = {
    ("score", "a class"), ("sentence", "10^5000"), ("sentence", "-10^5000"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPANION_CACHE", str(tmp_path_factory.getbasetemp() / "nonsense"))


def test_every_name_is_walked() -> None:
    # models() has no argument, and an Estimate is a record
    assert set(lib.__all__) - set(CALLS) == {"Estimate", "models"}


@pytest.mark.parametrize("name", CALLS)
def test_nonsense_is_refused_in_one_sentence(name: str) -> None:
    call, whole = CALLS[name]
    call(**whole)
    for argument in whole:
        for kind, value in NONSENSE.items():
            if (argument, kind) in ELSEWHERE:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.filterwarnings("ignore", message=".*invariant checks|.*CSR tensor support")
                try:
                    call(**whole | {argument: value})
                except lib.InputError as refused:
                    said = str(refused)
                    assert said and "\n" not in said, (argument, kind, said)
                    assert ". " not in said or argument == "encoder", (argument, kind, said)
                    assert len(said) < 500 and " at 0x" not in said, (argument, kind, said)


def dataset(**given: Any) -> lib.Dataset:
    data = world()
    parts = {name: getattr(data, name) for name in ("name", "train", "valid", "test", "items")}
    return lib.Dataset(**parts | {"card": {}} | given)


OTHERS: list[tuple[str, Callable[[], Any], str]] = [
    ("no dataset", lambda: lib.fit(None, "svd"), "dataset = None was given; give a Dataset"),
    ("lists of none", lambda: lib.lists(view(), None, 2), "dataset = None"),
    ("no view", lambda: lib.lists(None, world(), 2), "view = None was given; give a View"),
    ("a view of nothing", lambda: lib.View(None, None, {}), "users were given as NoneType"),
    ("a view of two dimensions", lambda: lib.View(USERS, ITEMS[:, :1], {}), "dimension 2"),
    ("lists of 7 TiB", lambda: lib.rrf([LISTS], 10**12), "at most 100,000,000"),
    ("a k of 5,000 digits", lambda: lib.rrf([LISTS], 10**5000), "an integer beyond 64 bits"),
    ("a table for k", lambda: lib.rrf([LISTS], pd.DataFrame()), "k = a DataFrame was given"),
    ("no text", lambda: dataset(items=world().items.drop(columns="text")), "column 'text'"),
    ("text that is none", lambda: dataset(items=world().items.replace("a car", np.nan)), "'text'"),
    ("too few vectors", lambda: dataset(vectors=ITEMS[:4]), "a finite row per item"),
    ("times of others", lambda: dataset(times=sp.csr_matrix((2, 2))), "a sparse matrix like train"),
    ("a name that is none", lambda: dataset(name=3), "name = 3 was given; give a str"),
    (
        "a sparse tensor",
        lambda: lib.recall(LISTS, torch.eye(4, 5).to_sparse()),
        "relevant items were given as sparse Tensor",
    ),
    ("many views", lambda: lib.choose_weights(PAIRS * 20, len), "40 views .* give a grid"),
    ("no score", lambda: lib.choose_weights(PAIRS, None), "score = None"),
    ("a huge setting", lambda: lib.fit(world(), "lightgcn", negatives=10**12), "negatives ="),
    ("a path for an encoder", lambda: lib.fit(world(), "text-mean", encoder=Path("a")), "a str"),
    ("a draw too many", lambda: lib.summary(VALUES, draws=10**12), "at most 100,000,000"),
]


@pytest.mark.parametrize(("call", "words"), [of[1:] for of in OTHERS], ids=[of[0] for of in OTHERS])
def test_the_sentence_says_what_was_given(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(lib.InputError, match=words):
        call()


def test_lists_that_no_memory_holds_are_refused() -> None:
    # 40,000 users × 10^8 items are 15 TiB: more than any machine's memory may promise
    with pytest.raises(lib.InputError, match="do not fit in memory"):
        lib.rrf([np.zeros((40_000, 1), dtype=int)], 10**8)
