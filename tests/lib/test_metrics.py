"""Recall and NDCG: worked by hand, against plain Python sets, scikit-learn and ranx."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from sklearn.metrics import ndcg_score
from tiny import Tiny, tiny, worlds
from tiny import ranx as plain_ranx

from lib import metrics
from lib.core import InputError

LISTS = np.array([[3, 1, 0], [2, 4, -1], [0, 1, 2]], dtype=np.int32)
RELEVANT = sp.csr_matrix(
    np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], dtype=np.float32)
)


def test_three_users_by_hand() -> None:
    hits = [[True, False, True], [False, True, False], [False, False, False]]
    assert metrics.hits(LISTS, RELEVANT).tolist() == hits
    np.testing.assert_allclose(metrics.recall(LISTS, RELEVANT), [2 / 3, 1, np.nan])
    first = (1 + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2)
    np.testing.assert_allclose(metrics.ndcg(LISTS, RELEVANT), [first, 1 / math.log2(3), np.nan])
    # relevant pairs in order: user 0 with items 0, 2, 3 and user 1 with item 4
    assert metrics.places(LISTS, RELEVANT).tolist() == [2, -1, 0, 1]


def test_a_cut_is_a_slice() -> None:
    np.testing.assert_allclose(metrics.recall(LISTS[:, :1], RELEVANT), [1 / 3, 0, np.nan])
    np.testing.assert_allclose(metrics.ndcg(LISTS[:, :1], RELEVANT), [1, 0, np.nan])


def test_the_ideal_has_no_more_hits_than_places() -> None:
    everything = sp.csr_matrix(np.ones((1, 5), dtype=np.float32))
    assert metrics.ndcg(np.array([[4, 2]]), everything)[0] == pytest.approx(1)


def test_an_empty_list_never_hits() -> None:
    nothing = np.full((3, 4), -1)
    assert not metrics.hits(nothing, RELEVANT).any()
    np.testing.assert_allclose(metrics.recall(nothing, RELEVANT), [0, 0, np.nan])


def test_stored_zeros_are_not_relevant() -> None:
    masked = RELEVANT.copy()
    masked.data[0] = 0  # user 0 no longer likes item 0
    np.testing.assert_allclose(metrics.recall(LISTS, masked), [1 / 2, 1, np.nan])
    assert masked.nnz == RELEVANT.nnz  # the caller's matrix is as it was


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = tiny(5, 40, 30, (7,))
    whole = metrics.places(world.lists[0], world.relevant)
    monkeypatch.setattr(metrics, "_BLOCK", 20)
    np.testing.assert_array_equal(metrics.places(world.lists[0], world.relevant), whole)


@settings(deadline=None, max_examples=150)
@given(worlds())
def test_against_plain_python(world: Tiny) -> None:
    lists, k = world.lists[0], world.lists[0].shape[1]
    for user in range(world.n_users):
        listed, liked = lists[user].tolist(), world.liked(user)
        hits = [item in liked for item in listed]
        assert metrics.hits(lists, world.relevant)[user].tolist() == hits
        recall = sum(hits) / len(liked) if liked else math.nan
        gain = sum(1 / math.log2(r + 2) for r, hit in enumerate(hits) if hit)
        ideal = sum(1 / math.log2(r + 2) for r in range(min(len(liked), k)))
        ndcg = gain / ideal if liked else math.nan
        for name, expected in (("recall", recall), ("ndcg", ndcg)):
            got = getattr(metrics, name)(lists, world.relevant)[user]
            assert got == pytest.approx(expected, abs=1e-12, nan_ok=True)


@settings(deadline=None, max_examples=60)
@given(worlds())
def test_names_of_users_and_items_do_not_matter(world: Tiny) -> None:
    draw = np.random.default_rng(world.n_users)
    users, items = draw.permutation(world.n_users), draw.permutation(world.n_items)
    # item i of the new world is the old items[i]; looking −1 up gives −1
    renamed = np.append(np.argsort(items), -1)[world.lists[0]]
    for metric in (metrics.recall, metrics.ndcg):
        before = metric(world.lists[0], world.relevant)
        after = metric(renamed[users], world.relevant[users][:, items])
        np.testing.assert_allclose(after, before[users], atol=1e-12)


def test_agrees_with_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    liked = draw.random((30, 25)) < 0.2
    liked[:, 0] = True
    scores = draw.permuted(np.tile(np.arange(25.0), (30, 1)), axis=1)
    lists = np.argsort(-scores, axis=1)[:, :10]
    ours = metrics.ndcg(lists, sp.csr_matrix(liked.astype(np.float32)))
    assert ours.mean() == pytest.approx(ndcg_score(liked, scores, k=10), abs=1e-12)


def test_agrees_with_ranx(monkeypatch: pytest.MonkeyPatch) -> None:
    ranx = plain_ranx(monkeypatch)
    world = tiny(1, 30, 40, (10,))
    users = [u for u in range(world.n_users) if world.liked(u) and world.items(0, u)]
    qrels = ranx.Qrels({str(u): {str(i): 1 for i in world.liked(u)} for u in users})
    run = ranx.Run(
        {str(u): {str(i): 1 / (r + 1) for r, i in enumerate(world.items(0, u))} for u in users}
    )
    theirs = ranx.evaluate(qrels, run, ["recall@10", "ndcg@10"], return_mean=False)
    for name, metric in (("recall@10", metrics.recall), ("ndcg@10", metrics.ndcg)):
        by_user = dict(zip(run.keys(), theirs[name], strict=True))
        expected = [by_user[str(u)] for u in users]
        np.testing.assert_allclose(
            metric(world.lists[0], world.relevant)[users], expected, atol=1e-6
        )


@pytest.mark.parametrize(
    ("lists", "named"),
    [
        (np.zeros((3, 0), dtype=int), r"\(3, 0\)"),
        (np.zeros(3, dtype=int), r"\(3,\)"),
        (np.zeros((3, 2)), "float64"),
        (np.zeros((2, 2), dtype=int), "2 users"),
        (np.array([[0], [5], [1]]), "item id 5"),
        (np.array([[0], [-2], [1]]), "item id -2"),
    ],
)
def test_what_cannot_be_lists_is_refused(lists: np.ndarray, named: str) -> None:
    for metric in (metrics.hits, metrics.recall, metrics.ndcg, metrics.places):
        with pytest.raises(InputError, match=named):
            metric(lists, RELEVANT)
