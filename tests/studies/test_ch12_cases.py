"""Cases: chosen by their rule, shown as text, drawn the same every time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import pairwise_distances

from companion import figures
from lib import diagnostics
from lib.core import InputError
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
    columns = {"<b>": [ch12_cases.Entry(t, ("both", "hit")) for t in TITLES], "none": []}
    page = str(ch12_cases.shown(columns, "<i>").data)
    assert "<script>" not in page and "<b>" not in page and "<i>" not in page
    assert "&lt;script&gt;" in page and "mathjax_ignore" in page
    assert page.count("● in both") == page.count("✔ hit") == len(TITLES)
    assert page.count("<td>") == 2 * len(TITLES)


def test_strata_by_hand() -> None:
    counts = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    expected = ["cold"] * 6 + ["mid"] * 2 + ["hot"] * 2
    assert ch12_cases.strata(counts).tolist() == expected
    assert set(ch12_cases.strata([4, 4, 4])) == {"cold"}


@given(st.lists(st.one_of(st.integers(0, 5).map(float), st.just(np.nan)), min_size=1, max_size=12))
def test_the_median_case_is_the_first_of_its_value(values: list[float]) -> None:
    chosen = np.arange(len(values)) % 3 != 1
    able = sorted((v, i) for i, v in enumerate(values) if chosen[i] and not np.isnan(v))
    found = ch12_cases.median_of(values, chosen)
    if not able:
        assert found is None
    else:
        middle = able[(len(able) - 1) // 2][0]
        assert found == min(i for v, i in able if v == middle)


def test_what_is_common_and_what_is_hit_is_marked() -> None:
    found = ch12_cases.side_by_side([2, 0, -1], [1, 2, 3], "abcd", hits=[2, 3], most=2)
    assert found == {
        "semantic view": [ch12_cases.Entry("c", ("both", "hit")), ch12_cases.Entry("a")],
        "collaborative view": [ch12_cases.Entry("b"), ch12_cases.Entry("c", ("both", "hit"))],
    }


def test_history_is_latest_first_where_times_are_known(small: Dataset) -> None:
    train = sp.csr_matrix(np.array([[1, 0, 1, 1, 1]], dtype=np.float32))
    times = train.copy().astype(float)
    times.data[:] = [5, 9, 7, 9]
    dataset = replace(small, train=train, times=None)
    assert ch12_cases.history(dataset, 0, 3) == [0, 2, 3]
    assert ch12_cases.history(replace(dataset, times=times), 0, 3) == [2, 4, 3]


RELEVANT = sp.csr_matrix(np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1]], dtype=np.float32))
STRATUM = np.array(["cold", "hot", "cold"])


def test_cold_recall_by_hand() -> None:
    lists = np.array([[0, 2], [1, 0], [1, 2]])
    found = ch12_cases.cold_recall({"one": lists}, RELEVANT, STRATUM)
    assert found.loc[0, ["what", "mean", "n"]].tolist() == ["one", pytest.approx(2 / 3), 2]
    none = ch12_cases.cold_recall({"one": lists}, RELEVANT, np.array(["hot"] * 3))
    assert np.isnan(none.loc[0, "mean"]) and none.loc[0, "n"] == 0


def make(dataset: Dataset) -> Run:
    given = {"seed": 0, "seeds": 2, "k": 5, "encoder": "minilm", "device": "cpu"}
    return Run(dataset, given)


def test_cold_cases_have_hits_and_misses_alike(small: Dataset) -> None:
    run = make(small)
    stratum = ch12_cases.strata(small.train.getnnz(axis=0))
    perfect = np.full((small.n_users, 5), -1, dtype=np.int32)
    nothing = perfect.copy()
    for user in range(0, small.n_users, 2):
        items = small.test[user].indices[:5]
        perfect[user, : len(items)] = items
    names = [f"item {i}" for i in range(small.n_items)]
    columns = ch12_cases.cold_cases(run, perfect, nothing, stratum, names)
    outcomes = [entry.marks or (entry.label,) for entry in columns["semantic view"]]
    assert outcomes == [("hit",)] * 3 + [("miss",)] * 3
    users = [int(entry.label) for entry in columns["user"]]
    assert users == sorted(users[:3]) + sorted(users[3:])
    assert all(user % 2 == 0 for user in users[:3])
    assert all(stratum[names.index(entry.label)] == "cold" for entry in columns["test item"])
    assert {entry.label for entry in columns["place, collaborative"]} == {"not in it"}
    for user, item, closest in zip(
        users, columns["test item"], columns["closest in the user's history"], strict=True
    ):
        vectors = np.asarray(small.vectors)
        known = small.train[user].indices
        away = pairwise_distances(
            vectors[[names.index(item.label)]], vectors[known], metric="cosine"
        )
        assert closest.label == names[known[away.argmin()]]


@pytest.mark.usefixtures("cache_folder")
def test_agreement_is_neighbourhood_preservation_averaged_over_seeds(small: Dataset) -> None:
    run = make(small)
    found = ch12_cases.agreement(run)
    spaces = [(run.view("linear", s).items, run.view("lightgcn", s).items) for s in (0, 1)]
    expected = np.mean(
        [diagnostics.neighbourhood_preservation(*pair, k=3) for pair in spaces], axis=0
    )
    np.testing.assert_allclose(found.values["semantic and collaborative"], expected)
    assert found.near[0].shape == (small.n_items, 3)  # a tenth of 39 others
    assert not (found.near[0] == np.arange(small.n_items)[:, None]).any()
    stratum = ch12_cases.strata(small.train.getnnz(axis=0))
    table = ch12_cases.by_stratum(found.values, stratum)
    of = table[table["pair"] == "semantic and collaborative"].set_index("stratum")
    assert of.loc["all", "mean"] == pytest.approx(expected.mean())
    assert of["n"].to_dict() == {
        "all": small.n_items,
        **{name: int((stratum == name).sum()) for name in ch12_cases.STRATA},
    }


def test_drawing_is_kept_and_the_same_again(cache_folder: Path) -> None:
    draw = np.random.default_rng(0)
    middles = draw.standard_normal((3, 8)) * 5
    vectors = np.repeat(middles, 15, axis=0) + draw.standard_normal((45, 8))
    one = ch12_cases.drawing(vectors)
    (kept,) = (cache_folder / "layout").glob("[!.]*")
    assert kept.is_dir() and one.points.shape == (45, 2)
    again = ch12_cases._tsne(ch12_cases.unit(vectors).astype(np.float32), 0)
    np.testing.assert_array_equal(again["points"], one.points)
    assert 0.5 < one.trustworthiness <= 1
    # of each item's nearest in the plane, nearly all are of its own group
    near = np.argsort(pairwise_distances(one.points), axis=1)[:, 1:6]
    assert (near // 15 == np.arange(45)[:, None] // 15).mean() > 0.9


def test_too_few_to_draw_is_one_sentence() -> None:
    with pytest.raises(InputError, match="9 vectors were given"):
        ch12_cases.drawing(np.eye(9))
    for drawn in (9, 3001):
        with pytest.raises(InputError, match=f"drawn = {drawn} was given; give 10 to 3000"):
            ch12_cases.check_drawn(drawn)


def test_sample_is_drawn_once() -> None:
    assert ch12_cases.sample(5, 10).tolist() == [0, 1, 2, 3, 4]
    some = ch12_cases.sample(1000, 30)
    assert len(set(some)) == 30 and (np.diff(some) > 0).all()
    np.testing.assert_array_equal(some, ch12_cases.sample(1000, 30))


def test_kinds_are_genres_or_thirds(small: Dataset) -> None:
    legend, thirds = ch12_cases.kinds(small, np.arange(small.n_items))
    assert legend == "popularity" and "middle third" in thirds
    genres = [f"g{min(i, 8 * 3) // 3}, z" for i in range(small.n_items - 1)] + [None]
    named = replace(small, items=small.items.assign(genres=pd.Series(genres, dtype="str")))
    legend, first = ch12_cases.kinds(named, np.arange(small.n_items))
    assert legend == "first genre" and first[-1] == "other"
    # g8 is the most frequent; of the others, equally frequent, the first by name
    assert set(first) == {"g8", "g0", "g1", "g2", "g3", "g4", "other"}


def test_scatters_have_a_panel_per_space_and_all_points() -> None:
    points = np.arange(12.0).reshape(6, 2)
    figure = figures.scatters(
        {"a": points, "b": -points}, ["x", "x", "y", "other", "y", "x"], title="t", legend="l"
    )
    for axis in figure.axes:
        assert sum(len(of.get_offsets()) for of in axis.collections) == 6
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["other", "x", "y"]
