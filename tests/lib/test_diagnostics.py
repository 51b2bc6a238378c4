"""Overlap, composition and oracle: by hand, against plain Python, and their laws."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from tiny import Tiny, tiny, worlds

from lib import diagnostics, metrics
from lib.core import InputError

A = np.array([[0, 1, 2], [3, 4, -1], [-1, -1, -1]], dtype=np.int32)
B = np.array([[2, 3, 0], [0, 1, 2], [-1, -1, -1]], dtype=np.int32)
RELEVANT = sp.csr_matrix(
    np.array([[1, 1, 0, 1, 1], [0, 0, 1, 1, 0], [1, 0, 0, 0, 0]], dtype=np.float32)
)


def same(got: np.ndarray, expected: list[float]) -> None:
    np.testing.assert_allclose(got, expected, atol=1e-12, rtol=0)


def test_three_users_by_hand() -> None:
    same(diagnostics.jaccard(A, B), [2 / 4, 0, math.nan])
    table = diagnostics.composition(A, B, RELEVANT)
    assert table.columns.tolist() == ["both", "a_only", "b_only", "relevant"]
    assert table.to_numpy().tolist() == [[1, 1, 1, 4], [0, 1, 1, 2], [0, 0, 0, 1]]
    one, either = diagnostics.complementary(A, B, RELEVANT)
    assert (one.tolist(), either.tolist()) == ([2, 2, 0], [3, 2, 0])
    same(diagnostics.oracle([A, B], RELEVANT), [3 / 4, 1, 0])
    same(diagnostics.best_of_union([A, B], RELEVANT, 2), [2 / 4, 1, 0])


def test_a_list_is_cut_to_the_length_of_the_union_by_hand() -> None:
    longer = [[0, 1, 2, 3], [4, 5, 2, 0], [1, 2, 3, -1]]
    pair = [[0, 3], [2, 4], [1, -1]], [[0, 1], [4, 2], [1, -1]]  # unions of 3, 2 and 1 items
    cut = diagnostics.cut_to_union(longer, pair)
    assert cut.tolist() == [[0, 1, 2, -1], [4, 5, -1, -1], [1, -1, -1, -1]]


def test_popularity_of_hits_by_hand() -> None:
    table = diagnostics.hit_popularity(A, B, RELEVANT, [1, 3, 7, 15, 31])
    assert table.columns.tolist() == ["part", "user", "log_popularity", "n"]
    by_part = {part: rows for part, rows in table.groupby("part", observed=True)}
    ln2 = math.log(2)
    for part, popularity, n in (
        ("both", [1, math.nan, math.nan], [1, 0, 0]),
        ("a_only", [2, 4, math.nan], [1, 1, 0]),
        ("b_only", [4, 3, math.nan], [1, 1, 0]),
    ):
        rows = by_part[part]
        assert rows["user"].tolist() == [0, 1, 2]
        assert rows["n"].tolist() == n
        same(rows["log_popularity"].to_numpy() / ln2, popularity)


@settings(deadline=None, max_examples=60)
@given(worlds())
def test_against_plain_python(world: Tiny) -> None:
    a, b, c = world.lists
    counts = np.arange(world.n_items) ** 2
    jaccard, oracle = diagnostics.jaccard(a, b), diagnostics.oracle([a, b, c], world.relevant)
    table = diagnostics.composition(a, b, world.relevant)
    popularity = diagnostics.hit_popularity(a, b, world.relevant, counts)
    by_part = {
        part: rows.to_numpy()[:, 2:] for part, rows in popularity.groupby("part", observed=True)
    }
    bounded = diagnostics.best_of_union([a, b, c], world.relevant, 2)
    cut = diagnostics.cut_to_union(c, [a, b])
    for user in range(world.n_users):
        in_a, in_b, in_c = (set(world.items(which, user)) for which in range(3))
        liked = world.liked(user)
        union = in_a | in_b
        expected = len(in_a & in_b) / len(union) if union else math.nan
        assert jaccard[user] == pytest.approx(expected, abs=1e-12, nan_ok=True)
        assert [i for i in cut[user] if i >= 0] == [i for i in c[user] if i >= 0][: len(union)]
        of_parts = [in_a & in_b & liked, (in_a - in_b) & liked, (in_b - in_a) & liked]
        assert table.to_numpy()[user].tolist() == [*map(len, of_parts), len(liked)]
        found = len((union | in_c) & liked)
        for got, hits in ((oracle, found), (bounded, min(found, 2))):
            expected = hits / len(liked) if liked else math.nan
            assert got[user] == pytest.approx(expected, abs=1e-12, nan_ok=True)
        for part, items in zip(diagnostics.PARTS, of_parts, strict=True):
            got_mean, n = by_part[part][user]
            mean = np.mean([math.log1p(counts[i]) for i in items]) if items else math.nan
            assert got_mean == pytest.approx(mean, abs=1e-12, nan_ok=True)
            assert n == len(items)


@settings(deadline=None, max_examples=50)
@given(worlds())
def test_laws(world: Tiny) -> None:
    a, b, c = world.lists
    relevant = world.relevant
    same(diagnostics.jaccard(a, b), diagnostics.jaccard(b, a))
    forward, mirrored = (diagnostics.composition(*pair, relevant) for pair in ((a, b), (b, a)))
    swapped = mirrored.rename(columns={"a_only": "b_only", "b_only": "a_only"})
    pd.testing.assert_frame_equal(forward, swapped[forward.columns])
    union = diagnostics.oracle([a, b], relevant)
    hits = forward["both"] + forward["a_only"] + forward["b_only"]
    same(union * forward["relevant"], np.where(forward["relevant"] > 0, hits, np.nan))
    one, either = diagnostics.complementary(a, b, relevant)
    assert (one == forward["a_only"] + forward["b_only"]).all()
    assert (either == hits).all()
    known = forward["relevant"] > 0
    for single in (a, b):
        assert (union >= metrics.recall(single, relevant))[known].all()
    assert (diagnostics.oracle([a, b, c], relevant) >= union)[known].all()
    assert (diagnostics.best_of_union([a, b], relevant, a.shape[1]) <= union)[known].all()


@settings(deadline=None, max_examples=30)
@given(worlds())
def test_names_of_users_and_items_do_not_matter(world: Tiny) -> None:
    rng = np.random.default_rng(world.n_items)
    users, items = rng.permutation(world.n_users), rng.permutation(world.n_items)
    new_name = np.append(np.argsort(items), -1)
    a, b = world.lists[:2]
    other_a, other_b = new_name[a][users], new_name[b][users]
    other = world.relevant[users][:, items]
    same(diagnostics.jaccard(other_a, other_b), diagnostics.jaccard(a, b)[users])
    same(
        diagnostics.oracle([other_a, other_b], other),
        diagnostics.oracle([a, b], world.relevant)[users],
    )
    before = diagnostics.composition(a, b, world.relevant).to_numpy()[users]
    assert (diagnostics.composition(other_a, other_b, other).to_numpy() == before).all()


def test_blocks_of_users_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = tiny(2, 50, 30, (6, 9))
    whole = diagnostics.jaccard(*world.lists)
    monkeypatch.setattr(diagnostics, "_USERS", 7)
    same(diagnostics.jaccard(*world.lists), whole)


@pytest.mark.parametrize("largest", [250, 253, 254, 65_533, 65_534, 2**31 - 1])
def test_large_ids_are_told_apart(largest: int) -> None:
    a = np.array([[largest, 5, -1], [-1, -1, -1]])
    same(diagnostics.jaccard(a, a), [1, math.nan])
    same(diagnostics.jaccard(a, a - [[1, 1, 0], [0, 0, 0]]), [0, math.nan])
    same(diagnostics.jaccard(a, a[::-1]), [0, 0])


def test_long_lists_share_more_items_than_a_byte_counts() -> None:
    rng = np.random.default_rng(0)
    a, b = (np.argsort(rng.random((5, 700)), axis=1)[:, :600] for _ in range(2))
    shared = np.array([len({*a[u]} & {*b[u]}) for u in range(5)])
    assert shared.max() > 255
    same(diagnostics.jaccard(a, b), shared / (1200 - shared))


def test_a_relevant_pair_stored_twice_counts_once() -> None:
    twice = sp.csr_matrix((np.ones(3), np.array([3, 3, 4]), np.array([0, 3])), shape=(1, 5))
    lists = [np.array([[3, 1]]), np.array([[0, 2]])]
    assert diagnostics.composition(*lists, twice).to_numpy().tolist() == [[0, 1, 0, 2]]
    same(diagnostics.oracle(lists, twice), [0.5])
    same(diagnostics.best_of_union(lists, twice, 2), [0.5])
    assert [n.tolist() for n in diagnostics.complementary(*lists, twice)] == [[1], [1]]
    assert diagnostics.hit_popularity(*lists, twice, np.arange(5))["n"].tolist() == [0, 1, 0]


def test_expected_jaccard() -> None:
    # two items of three: they share one (probability 2/3, 1 of 3) or both (1/3)
    assert diagnostics.expected_jaccard(2, 3) == pytest.approx(2 / 3 / 3 + 1 / 3)
    assert diagnostics.expected_jaccard(4, 4) == pytest.approx(1)
    lists = np.argsort(np.random.default_rng(0).random((40_000, 30)), axis=1)[:, :5]
    drawn = diagnostics.jaccard(lists[:20_000], lists[20_000:]).mean()
    assert diagnostics.expected_jaccard(5, 30) == pytest.approx(drawn, abs=0.003)
    with pytest.raises(InputError, match="give at most as many"):
        diagnostics.expected_jaccard(5, 4)


def test_neighbours_leave_oneself_out_by_id() -> None:
    # items 0 and 1 are the same vector: each is the other's nearest, not its own
    x = np.array([[1, 0], [2, 0], [0.9, 0.1], [-1, 0.2]], dtype=np.float32)
    assert diagnostics.neighbours(x, 1).tolist() == [[1], [0], [0], [2]]
    assert diagnostics.neighbours(x, 3)[3].tolist() == [2, 0, 1]


def test_neighbourhood_preservation() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 6))
    rotation = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    same(diagnostics.neighbourhood_preservation(x, 3 * x @ rotation, 10), [1] * 200)
    other = diagnostics.neighbourhood_preservation(x, rng.standard_normal((200, 4)), 10)
    assert other.mean() == pytest.approx(diagnostics.expected_jaccard(10, 199), abs=0.02)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: diagnostics.jaccard(A, B[:2]), "3, 2 users"),
        (lambda: diagnostics.jaccard(A, B[:, :0]), r"\(3, 0\)"),
        (lambda: diagnostics.composition(A, B[:2], RELEVANT), "3, 2 users"),
        (lambda: diagnostics.oracle([A + 9, B], RELEVANT), "ids 0 to 4"),
        (lambda: diagnostics.oracle([], RELEVANT), "at least one"),
        (lambda: diagnostics.best_of_union([A], RELEVANT, 0), "k = 0"),
        (lambda: diagnostics.hit_popularity(A, B, RELEVANT, [1, 2]), "2, 5 items"),
        (lambda: diagnostics.expected_jaccard(0, 4), "k = 0"),
        (lambda: diagnostics.neighbours(np.ones((3, 2)), 3), "3 vectors"),
    ],
)
def test_what_cannot_be_answered_is_refused(call: object, named: str) -> None:
    with pytest.raises(InputError, match=named):
        call()  # type: ignore[operator]
