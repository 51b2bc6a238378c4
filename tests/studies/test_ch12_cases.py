"""Cases: chosen by their rule, and shown as text."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import pairwise_distances

from lib import diagnostics
from lib.dataset import Dataset
from studies import ch12_cases
from studies.context import Run

TITLES = ["<script>alert(1)</script>", "$9 & $10", "", "x" * 70]


def test_a_label_is_title_or_text_or_key() -> None:
    items = pd.DataFrame(
        {
            "key": ["a", "b", "c", "d"],
            "text": ["t", "t", " ", "t"],
            "title": pd.Series(["A title", None, "", "y" * 61], dtype="str"),
        }
    )
    assert ch12_cases.labels(items) == ["A title", "t", "item c", "y" * 59 + "…"]
    assert ch12_cases.labels(items[["key", "text"]]) == ["t", "t", "item c", "t"]


def test_titles_reach_a_page_as_text() -> None:
    columns = {"<b>": [f"{t} {ch12_cases.BOTH}" for t in TITLES], "none": []}
    page = str(ch12_cases.as_table(columns, "<i>").data)
    assert "<script>" not in page and "<th><b>" not in page and "<i>" not in page
    assert "&lt;script&gt;" in page and "mathjax_ignore" in page
    assert page.count("● in both") == len(TITLES) and "x" * 70 in page and "NaN" not in page
    assert page.count("<td>") == 2 * len(TITLES)


def learning_alone(small: Dataset, train: sp.csr_matrix) -> Dataset:
    items = small.items[: train.shape[1]]
    parts = {"train": train, "valid": 0 * train, "test": 0 * train, "items": items}
    return replace(small, **parts, times=None, vectors=None)


def test_strata_hold_their_shares_in_a_tied_catalogue(small: Dataset) -> None:
    # the 60 % quantile of these counts is 2, which eight of ten items have or stay below
    counts = [1, 1, 1, 1, 2, 2, 2, 2, 9, 8]
    columns = np.repeat(np.arange(10), counts)
    train = sp.csr_matrix((np.ones(len(columns)), (np.arange(len(columns)), columns)))
    found = ch12_cases.strata(learning_alone(small, train))
    assert [np.count_nonzero(found == name) for name in ("cold", "mid", "hot")] == [6, 2, 2]
    assert set(found[:4]) == {"cold"} and set(found[8:]) == {"hot"}


@given(st.lists(st.one_of(st.integers(0, 5).map(float), st.just(np.nan)), min_size=1, max_size=12))
def test_the_median_case_is_the_first_of_its_value(values: list[float]) -> None:
    chosen = np.arange(len(values)) % 3 != 1
    able = sorted((v, i) for i, v in enumerate(values) if chosen[i] and not np.isnan(v))
    found = ch12_cases.median_case(values, chosen)
    if not able:
        assert found is None
    else:
        middle = able[(len(able) - 1) // 2][0]
        assert found == min(i for v, i in able if v == middle)


def test_what_is_common_and_what_is_hit_is_marked() -> None:
    found = ch12_cases.side_by_side([2, 0, -1], [1, 2, 3], "abcd", hits=[2, 3], most=2)
    assert found == {
        "semantic view": ["c ● in both ✔ hit", "a"],
        "collaborative view": ["b", "c ● in both ✔ hit"],
    }


def test_history_is_latest_first_where_times_are_known(small: Dataset) -> None:
    train = sp.csr_matrix(np.array([[1, 0, 1, 1, 1]], dtype=np.float32))
    times = train.copy().astype(float)
    times.data[:] = [5, 9, 7, 9]
    dataset = learning_alone(small, train)
    assert ch12_cases.history(dataset, 0, 3) == [0, 2, 3]
    assert ch12_cases.history(replace(dataset, times=times), 0, 3) == [2, 4, 3]


def make(dataset: Dataset) -> Run:
    given = {"seed": 0, "seeds": 2, "k": 5, "encoder": "minilm", "device": "cpu"}
    return Run(dataset, given)


def test_cold_cases_have_hits_and_misses_alike(small: Dataset) -> None:
    run = make(small)
    stratum = ch12_cases.strata(small)
    perfect = np.full((small.n_users, 5), -1, dtype=np.int32)
    nothing = perfect.copy()
    for user in range(0, small.n_users, 2):
        items = small.test[user].indices[:5]
        perfect[user, : len(items)] = items
    names = [f"item {i}" for i in range(small.n_items)]
    columns = ch12_cases.cold_cases(run, perfect, nothing, stratum, names)
    assert columns["semantic view"] == [ch12_cases.HIT] * 3 + [ch12_cases.MISS] * 3
    users = [int(user) for user in columns["user"]]
    assert users == sorted(users[:3]) + sorted(users[3:])
    assert all(user % 2 == 0 for user in users[:3])
    assert all(stratum[names.index(item)] == "cold" for item in columns["test item"])
    assert set(columns["rank, collaborative"]) == {"not in it"}
    for user, item, closest in zip(
        users, columns["test item"], columns["closest in the user's history"], strict=True
    ):
        vectors = np.asarray(small.vectors)
        known = small.train[user].indices
        away = pairwise_distances(vectors[[names.index(item)]], vectors[known], metric="cosine")
        assert closest == names[known[away.argmin()]]


@pytest.mark.usefixtures("cache_folder")
def test_agreement_is_neighbourhood_preservation_of_every_seed(small: Dataset) -> None:
    run = make(small)
    found = ch12_cases.agreement(run)
    spaces = [(run.view("linear", s).items, run.view("lightgcn", s).items) for s in (0, 1)]
    expected = np.stack([diagnostics.neighbourhood_preservation(*pair, k=3) for pair in spaces])
    np.testing.assert_allclose(found.values["semantic and collaborative"], expected)
    assert found.near[0].shape == (small.n_items, 3)  # a tenth of 39 others
    assert not (found.near[0] == np.arange(small.n_items)[:, None]).any()
    stratum = ch12_cases.strata(small)
    table = ch12_cases.by_stratum(found.values, stratum)
    of = table[table["pair"] == "semantic and collaborative"].set_index("stratum")
    assert of.loc["all", "mean"] == pytest.approx(expected.mean())
    assert of["n"].to_dict() == {
        "all": small.n_items,
        **{name: int((stratum == name).sum()) for name in ch12_cases.STRATA},
    }
