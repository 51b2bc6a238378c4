"""Fewer interactions, further descriptions, and the comparisons of the open questions."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lib import views
from lib.core import InputError
from lib.dataset import Dataset
from lib.encoders import text
from lib.fusion import simplex
from lib.metrics import recall
from studies import ch14_open_questions
from studies.ch14_open_questions import subsample
from studies.concatenation import best_concat
from studies.context import Run

pytestmark = pytest.mark.usefixtures("cache_folder")


def pairs(matrix: sp.csr_matrix) -> set[tuple[int, int]]:
    return set(zip(*(x.tolist() for x in matrix.nonzero()), strict=True))


# Fewer training interactions.


def test_subsampling_keeps_the_share_and_touches_nothing_else(small: Dataset) -> None:
    half = subsample(small, 0.5, 7)
    assert half.train.nnz == round(0.5 * small.train.nnz)
    assert half.train.shape == small.train.shape and half.train.has_sorted_indices
    assert pairs(half.train) < pairs(small.train)
    assert half.valid is small.valid and half.test is small.test and half.items is small.items
    assert half.digest != small.digest and half.name.startswith(small.name)


def test_subsampling_is_seeded_and_nested(small: Dataset) -> None:
    tenth, quarter, half = (pairs(subsample(small, s, 7).train) for s in (0.1, 0.25, 0.5))
    assert tenth < quarter < half
    assert half == pairs(subsample(small, 0.5, 7).train)
    assert half != pairs(subsample(small, 0.5, 8).train)
    assert pairs(subsample(small, 1.0).train) == pairs(small.train)


def test_every_user_keeps_one_and_no_user_gains_one(small: Dataset) -> None:
    without = replace(small, train=sp.csr_matrix(sp.diags((np.arange(60) > 4) * 1.0) @ small.train))
    found = subsample(without, 1e-9, 7).train
    np.testing.assert_array_equal(np.diff(found.indptr), np.arange(60) > 4)


def test_subsampling_keeps_times_beside_their_interactions() -> None:
    train = sp.csr_matrix(np.array([[1, 1, 0, 1], [1, 0, 1, 1]], dtype=np.float32))
    times = sp.csr_matrix(np.array([[5.0, 6, 0, 7], [8, 0, 9, 10]]))
    nothing = sp.csr_matrix((2, 4), dtype=np.float32)
    data = Dataset("d", train, nothing, nothing, pd.DataFrame({"text": list("abcd")}), {}, times)
    found = subsample(data, 0.5, 1)
    assert found.times is not None and found.train.nnz == 3
    np.testing.assert_array_equal(found.times.toarray(), times.toarray() * found.train.toarray())
    assert found.card["altered"] == "3 of 6 training interactions kept"


def test_subsampling_draws_all_interactions_alike() -> None:
    train = sp.csr_matrix(np.ones((4, 50), dtype=np.float32))
    nothing = sp.csr_matrix((4, 50), dtype=np.float32)
    data = Dataset("d", train, nothing, nothing, pd.DataFrame({"text": ["a"] * 50}), {})
    times_kept = sum(subsample(data, 0.5, seed).train.toarray() for seed in range(200))
    # 200 draws of one half: a standard deviation of 7
    assert abs(times_kept.mean() - 100) < 1e-9 and np.abs(times_kept - 100).max() < 35


# Descriptions.


@pytest.fixture
def films(small: Dataset) -> Dataset:
    texts = ["space war", "war in space", "romantic comedy in Paris", "tax law", "space war"]
    kinds = ["Sci-Fi, War", "War", "Comedy", "", "Sci-Fi"]
    n = small.n_items
    columns = {"text": (texts * n)[:n], "genres": pd.Series((kinds * n)[:n], dtype="str")}
    return replace(small, items=small.items.assign(**columns))


def test_genres_are_one_column_each(films: Dataset) -> None:
    found = text.encode(films, "genres").numpy()
    assert found.shape == (films.n_items, 3)
    expected = [[0, 1, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 1, 0]]  # Comedy, Sci-Fi, War
    np.testing.assert_array_equal(found[:5], expected)


def test_words_are_as_alike_as_they_are_common(films: Dataset) -> None:
    found = text.encode(films, "tfidf").numpy()
    cosine = found @ found.T / np.outer(*2 * [np.linalg.norm(found, axis=1)])
    np.testing.assert_allclose(cosine[0, 4], 1, rtol=1e-6)
    assert cosine[0, 1] > 0.3 > abs(cosine[0, 3])
    assert np.isfinite(found).all() and found.shape[1] <= text.DIMENSIONS


def test_words_keep_the_inner_products_of_tfidf(films: Dataset) -> None:
    # four distinct texts have at most four singular vectors: nothing is lost
    from sklearn.feature_extraction.text import TfidfVectorizer

    distinct = sorted(set(films.items["text"]))
    counted = TfidfVectorizer(ngram_range=(1, 2)).fit(distinct).transform(films.items["text"])
    found = text.encode(films, "tfidf").numpy()
    np.testing.assert_allclose(found @ found.T, (counted @ counted.T).toarray(), atol=1e-5)


@pytest.mark.parametrize("encoder", ["genres", "tfidf"])
def test_the_order_of_items_changes_no_description(films: Dataset, encoder: str) -> None:
    order = np.random.default_rng(0).permutation(films.n_items)
    shuffled = replace(films, items=films.items.iloc[order].reset_index(drop=True))
    found = text.encode(shuffled, encoder).numpy()
    np.testing.assert_array_equal(found, text.encode(films, encoder).numpy()[order])
    assert text.digest_of(shuffled, encoder) != text.digest_of(films, encoder)


@pytest.mark.parametrize("encoder", ["genres", "tfidf"])
def test_a_description_that_is_not_there_is_one_sentence(small: Dataset, encoder: str) -> None:
    assert text.available(small) == []
    with pytest.raises(InputError, match=f"encoder '{encoder}'") as fault:
        text.encode(small, encoder)
    assert "\n" not in str(fault.value)


def test_available_descriptions_and_their_digests(films: Dataset) -> None:
    assert text.available(films) == ["genres", "tfidf"]
    without = replace(films, items=films.items.assign(genres=""))
    assert text.available(without) == ["tfidf"]
    digests = {
        text.digest_of(d, e) for d in (films, without) for e in ("genres", "tfidf", "minilm")
    }
    assert len(digests) == 4  # the words are the same, and so are the dataset's own vectors


def test_a_view_can_be_trained_on_a_description(films: Dataset) -> None:
    view = views.fit(films, "linear", encoder="genres", epochs=1, dimension=4)
    assert view.info["encoder"] == "genres" and view.items.shape == (films.n_items, 4)


# The comparisons.

GIVEN: dict[str, Any] = {
    "dataset": "synthetic", "split": "random", "seed": 0, "seeds": 2, "k": 5,
    "encoder": "minilm", "fields": "all", "device": "cpu",
}  # fmt: skip


def run_of(dataset: Dataset, **changes: Any) -> Run:
    return Run(dataset, GIVEN | changes, epochs=1)


def test_lists_leave_out_what_was_removed(small: Dataset) -> None:
    run = run_of(small).learning_from(subsample(small, 0.2, 0))
    lists = run.lists_of(run.view("lightgcn", 0))
    listed = {(u, int(i)) for u, row in enumerate(lists) for i in row}
    assert not listed & pairs(small.train) and not listed & pairs(small.valid)


def test_a_comparison_is_of_what_it_says(small: Dataset) -> None:
    run = run_of(small)
    found = ch14_open_questions.compare_fusion(run)
    single = [recall(run.lists_of(run.view("linear", s)), small.test) for s in (0, 1)]
    np.testing.assert_array_equal(found.recalls["text"], single)
    fused = [best_concat(small, [run.view(m, s) for m in ("lightgcn", "linear")]) for s in (0, 1)]
    by_hand = np.stack([recall(run.lists_of(view), small.test) for view in fused])
    np.testing.assert_array_equal(found.recalls["fusion"], by_hand)
    by_name = {
        n: np.mean([view.info["validation"] for view in run.views(m)])
        for n, m in (("LightGCN", "lightgcn"), ("text", "linear"))
    }
    assert found.better == max(by_name, key=by_name.__getitem__)
    expected = by_hand.sum() / found.recalls[found.better].sum() - 1
    np.testing.assert_allclose(
        ch14_open_questions.gains(found)["over the better view"].mean, expected
    )
    two = [best_concat(small, [run.view("lightgcn", s), run.view("lightgcn", 1 - s)])
           for s in (0, 1)]  # fmt: skip
    by_hand = np.stack([recall(run.lists_of(view), small.test) for view in two])
    np.testing.assert_array_equal(found.recalls["two LightGCN seeds"], by_hand)


def test_nothing_is_chosen_by_test_items(small: Dataset, small_with_other_test: Dataset) -> None:
    one, other = (
        ch14_open_questions.compare_fusion(run_of(d)) for d in (small, small_with_other_test)
    )
    assert one.better == other.better
    lists = []
    for run in (run_of(small), run_of(small_with_other_test)):
        views = [run.view(model, 0) for model in ("lightgcn", "linear")]
        lists.append(run.lists_of(best_concat(run.dataset, views)))
    np.testing.assert_array_equal(*lists)  # the lists are the same, whatever the test items


def test_shares_come_with_what_is_left(small: Dataset) -> None:
    found = ch14_open_questions.by_share(run_of(small, seeds=1), 2)
    assert list(found) == [1.0, 0.1]
    left, _ = found[0.1]
    # every user keeps one: more than a tenth of what little there is
    assert left == max(round(0.1 * small.train.nnz), small.n_users) / small.train.nnz


def test_no_times_no_temporal_split(small: Dataset) -> None:
    assert small.times is None
    found = ch14_open_questions.on_split(run_of(small), "temporal")
    assert found is None
    assert all(np.isnan(value.mean) for value in ch14_open_questions.gains(found).values())


def test_further_descriptions_leave_the_runs_encoder_out(films: Dataset) -> None:
    of = ch14_open_questions.views_by_name
    assert list(of(run_of(films, seeds=1))) == ["LightGCN", "text", "genres", "tfidf"]
    assert list(of(run_of(films, seeds=1, encoder="genres"))) == ["LightGCN", "text", "tfidf"]


def test_more_views_are_every_single_pair_triple_and_all(films: Dataset) -> None:
    found = ch14_open_questions.recall_of_combinations(run_of(films, seeds=1))
    assert list(found) == [
        "LightGCN", "text", "genres", "tfidf",
        "LightGCN + text", "LightGCN + genres", "text + genres", "LightGCN + text + genres",
        "LightGCN + text + genres + tfidf", "LightGCN + text + second LightGCN seed",
    ]  # fmt: skip
    assert all(values.shape == (1, films.n_users) for values in found.values())
    gains = ch14_open_questions.third_gains(found, ["LightGCN", "text", "genres", "tfidf"])
    three = np.nanmean(found["LightGCN + text + genres"])
    np.testing.assert_allclose(
        gains["third"].mean, three / np.nanmean(found["LightGCN + text"]) - 1
    )
    control = found["LightGCN + text + second LightGCN seed"]
    np.testing.assert_allclose(gains["seeds"].mean, three / np.nanmean(control) - 1)


def test_one_description_leaves_pairs_of_two(small: Dataset) -> None:
    run = run_of(small, seeds=1)
    found = ch14_open_questions.recall_of_combinations(run)
    assert list(found) == [
        "LightGCN", "text", "LightGCN + text", "LightGCN + text + second LightGCN seed",
    ]  # fmt: skip
    gains = ch14_open_questions.third_gains(found, ["LightGCN", "text"])
    assert np.isnan([value.mean for value in gains.values()]).all()


def test_costs_count_both_halves(small: Dataset) -> None:
    recalls, costs = ch14_open_questions.at_no_cost(run_of(small, seeds=1), dimension=8)
    table = costs.set_index("what")
    entities = small.n_users + small.n_items
    assert small.vectors is not None
    words = small.vectors.shape[1]
    assert table["parameters"].to_dict() == {
        "joint: text and LightGCN": 4 * (entities + words),
        "LightGCN": 8 * entities,
        "two LightGCN seeds, half each": 2 * 4 * entities,
        "text": 8 * words,
    }
    assert list(recalls) == list(table.index)


def test_a_grid_limits_the_weights(small: Dataset) -> None:
    run = run_of(small, seeds=1)
    parts = [run.view("lightgcn", 0), run.view("linear", 0)]
    found = best_concat(small, parts, simplex(2, 1))
    assert found.info["weights"] in ([0, 1], [1, 0])
