"""Fusion of vectors, scores and ranks: by hand, against dictionaries, ranx, and their laws."""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from tiny import Tiny, tiny, worlds
from tiny import ranx as plain_ranx

from lib import diagnostics, fusion
from lib.core import InputError

ABC = np.array([[0, 1, 2]], dtype=np.int32)
CDA = np.array([[2, 3, 0]], dtype=np.int32)
BY_RANK = {"rrf": fusion.rrf, "borda": fusion.borda, "interleave": fusion.interleave}


def scores_for(lists: list[np.ndarray], seed: int = 0) -> list[np.ndarray]:
    """Return descending scores in eighths, so that sums are exact and ties occur."""
    rng = np.random.default_rng(seed)
    drawn = [-np.sort(-rng.integers(0, 9, one.shape) / 8, axis=1) for one in lists]
    return [np.where(one >= 0, s, -np.inf) for one, s in zip(lists, drawn, strict=True)]


def best(total: Mapping[int, float | Fraction], k: int) -> list[int]:
    """Return the k best items, equal ones by id, filled up with −1."""
    order = sorted(total, key=lambda item: (-total[item], item))[:k]
    return order + [-1] * (k - len(order))


# vectors


def vectors(rng: np.random.Generator, width: int) -> tuple[np.ndarray, np.ndarray]:
    users, items = rng.standard_normal((6, width)), rng.standard_normal((9, width))
    return (100 * users).astype(np.float32), items.astype(np.float32)


def cosines(view: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    users, items = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in view)
    return users @ items.T


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(any))
def test_concatenation_is_the_weighted_mean_of_cosines(seed: int, weights: list[int]) -> None:
    rng = np.random.default_rng(seed)
    views = [vectors(rng, width) for width in range(2, 2 + len(weights))]
    fused = fusion.concat(views, weights)
    assert (fused.users.dtype, fused.items.dtype) == (np.float32, np.float32)
    mean = sum(w * cosines(v) for w, v in zip(weights, views, strict=True)) / sum(weights)
    np.testing.assert_allclose(fused.users @ fused.items.T, mean, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(fused.users, axis=1), 1, atol=1e-6)
    equal = sum(map(cosines, views)) / len(views)
    plain = fusion.concat(views)
    np.testing.assert_allclose(plain.users @ plain.items.T, equal, atol=1e-6)


def test_a_zero_vector_agrees_with_nothing() -> None:
    rng = np.random.default_rng(0)
    first, second = vectors(rng, 3), vectors(rng, 4)
    first[0][2] = 0
    fused = fusion.concat([first, second])
    np.testing.assert_allclose(fused.users[2] @ fused.items.T, cosines(second)[2] / 2, atol=1e-6)


def test_the_grid_of_weights() -> None:
    assert fusion.simplex(1).tolist() == [[1]]
    two = fusion.simplex(2)
    assert two[0].tolist() == [0.5, 0.5]
    assert sorted(two[:, 0].tolist()) == [i / 10 for i in range(11)]
    for n_views, steps in ((3, 10), (4, 4)):
        grid = fusion.simplex(n_views, steps)
        assert len({tuple(row) for row in grid}) == math.comb(steps + n_views - 1, n_views - 1)
        assert len(grid) == math.comb(steps + n_views - 1, n_views - 1)
        np.testing.assert_allclose(grid.sum(axis=1), 1)
        assert (grid >= 0).all()


def test_weights_are_chosen_by_the_score() -> None:
    rng = np.random.default_rng(1)
    views = [vectors(rng, 3) for _ in range(3)]
    wanted = fusion.concat(views, [0.2, 0.7, 0.1])
    aim = wanted.users @ wanted.items.T
    found = fusion.choose_weights(views, lambda v: -float(np.abs(v.users @ v.items.T - aim).max()))
    assert found.weights == (0.2, 0.7, 0.1)
    assert found.score == found.tried["score"].max() == pytest.approx(0, abs=1e-6)
    assert found.tried.columns.tolist() == ["weight_0", "weight_1", "weight_2", "score"]
    assert len(found.tried) == 66
    weights = found.tried[["weight_0", "weight_1", "weight_2"]].to_numpy()
    np.testing.assert_array_equal(weights, fusion.simplex(3))
    assert fusion.choose_weights(views[:2], lambda v: 1.0).weights == (0.5, 0.5)
    only = fusion.choose_weights(views[:2], lambda v: 1.0, grid=[[1, 0], [0.5, 0.5]])
    assert only.weights == (1, 0)


# normalisations

SCORES = np.array([[3.0, 2, 2, 1], [5, 5, -np.inf, -np.inf], [-np.inf] * 4])


def test_normalisations_by_hand() -> None:
    gone = -np.inf
    np.testing.assert_allclose(
        fusion.minmax(SCORES), [[1, 0.5, 0.5, 0], [0, 0, gone, gone], [gone] * 4]
    )
    np.testing.assert_allclose(
        fusion.z(SCORES), [[2**0.5, 0, 0, -(2**0.5)], [0, 0, gone, gone], [gone] * 4], atol=1e-12
    )
    np.testing.assert_allclose(
        fusion.rank_percentile(SCORES),
        [[1, 2.5 / 4, 2.5 / 4, 1 / 4], [0.75, 0.75, gone, gone], [gone] * 4],
    )
    e = math.e
    np.testing.assert_allclose(
        fusion.softmax(SCORES)[0], np.array([e**2, e, e, 1]) / (e**2 + 2 * e + 1)
    )
    np.testing.assert_allclose(fusion.softmax(SCORES)[1:], [[0.5, 0.5, gone, gone], [gone] * 4])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(-5, 5), st.floats(0.1, 10))
def test_normalisations_forget_the_scale(seed: int, shift: float, scale: float) -> None:
    scores = np.random.default_rng(seed).standard_normal((4, 6))
    for normalise in (fusion.z, fusion.minmax, fusion.rank_percentile):
        np.testing.assert_allclose(normalise(scale * scores + shift), normalise(scores), atol=1e-9)
    np.testing.assert_allclose(fusion.z(scores), scipy_stats.zscore(scores, axis=1), atol=1e-12)
    hot = fusion.softmax(scores + 1e4 * shift, temperature=0.01)
    np.testing.assert_allclose(hot.sum(axis=1), 1)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert np.isfinite(fusion.softmax(1e6 * scores)).all()


# scores


def test_normalisations_of_one_score_and_of_another_temperature() -> None:
    one = np.array([[2.0, -np.inf]])
    assert fusion.z(one).tolist() == [[0, -np.inf]]
    assert fusion.minmax(one).tolist() == [[0, -np.inf]]
    assert fusion.rank_percentile(one).tolist() == [[1, -np.inf]]
    assert fusion.softmax(one).tolist() == [[1, -np.inf]]
    halves = fusion.softmax(np.array([[2 * math.log(3), 0.0]]), 2)
    np.testing.assert_allclose(halves, [[0.75, 0.25]])


def test_a_user_with_small_scores_is_not_flat_beside_one_with_large_ones() -> None:
    small = np.array([[1e-6, -1e-6]])
    both = fusion.z(np.vstack([small, [1e6, -1e6]]))
    np.testing.assert_allclose(both, [[1, -1], [1, -1]])
    # a spread that rounding alone can give counts as none, however large the scores
    assert fusion.z([[1e6, 1e6 + 1e-3, 1e6]]).tolist() == [[0, 0, 0]]


def test_scores_by_hand() -> None:
    lists, scores = [ABC, CDA], [np.array([[3.0, 2, 1]]), np.array([[2.5, 2, 0.5]])]
    # sums: 0 has 3.5, 1 has 2, 2 has 3.5, 3 has 2
    assert fusion.comb_sum(lists, scores, 4).tolist() == [[0, 2, 1, 3]]
    low = [np.array([[1.0, 0.9, 0.1]]), np.array([[0.4, 0.3, 0.0]])]
    # sums 1, 0.9, 0.5, 0.3
    assert fusion.comb_sum(lists, low, 3).tolist() == [[0, 1, 2]]
    assert fusion.weighted(lists, scores, [1, 3], 2).tolist() == [[2, 3]]
    assert fusion.weighted(lists, scores, [0, 1], 4).tolist() == [[2, 3, 0, -1]]


@settings(deadline=None, max_examples=40)
@given(worlds(), st.integers(1, 20))
def test_scores_against_dictionaries(world: Tiny, k: int) -> None:
    scores, weights = scores_for(world.lists), [1, 2, 0.25]
    summed = fusion.comb_sum(world.lists, scores, k)
    weighted = fusion.weighted(world.lists, scores, weights, k)
    assert summed.dtype == np.int32 and summed.shape == (world.n_users, k)
    for user in range(world.n_users):
        total: dict[int, float] = {}
        heavy: dict[int, float] = {}
        for view, weight in enumerate(weights):
            for position, item in enumerate(world.items(view, user)):
                value = scores[view][user, position]
                total[item] = total.get(item, 0) + value
                heavy[item] = heavy.get(item, 0) + weight * value
        assert summed[user].tolist() == best(total, k)
        # weights brought to a sum of 1 round: compare the worth of what was chosen
        chosen = [item for item in weighted[user].tolist() if item >= 0]
        expected = [heavy[i] for i in best(heavy, k) if i >= 0]
        assert [heavy[i] for i in chosen] == pytest.approx(expected)


# ranks


def test_ranks_by_hand() -> None:
    lists = [ABC, CDA]
    # 1/61 + 1/63 against 1/63 + 1/61: item 0 and item 2 are equal, as 1 and 3 are
    assert fusion.rrf(lists, 4).tolist() == [[0, 2, 1, 3]]
    # points of 4 candidates: 0 has 4 + 2, 1 has 3 + 1, 2 has 2 + 4, 3 has 1 + 3
    assert fusion.borda(lists, 4).tolist() == [[0, 2, 1, 3]]
    assert fusion.interleave(lists, 4).tolist() == [[0, 2, 1, 3]]
    assert fusion.interleave(lists[::-1], 5).tolist() == [[2, 0, 3, 1, -1]]
    short = np.array([[7, -1, -1]])
    # of 4 candidates the short list gives 4 to item 7 and (3 + 2 + 1) / 3 to each of the others
    assert fusion.borda([ABC, short], 4).tolist() == [[0, 1, 7, 2]]


def test_ids_of_64_bits_stay_what_they_are() -> None:
    """They were cut to 32 bits: 3,000,000,000 became −1,294,967,296."""
    large = [np.array([[3_000_000_000, 5]]), np.array([[3_000_000_000, 7]])]
    halves = [np.full((1, 2), 0.5)] * 2
    for fused in (
        *(fuse(large, 3) for fuse in BY_RANK.values()),
        fusion.comb_sum(large, halves, 3),
        fusion.weighted(large, halves, [1, 1], 3),
    ):
        assert fused.tolist() == [[3_000_000_000, 5, 7]] and fused.dtype == np.int64
    alike = fusion.rrf([np.array([[2**32 + 1, 5]]), np.array([[1, 7]], dtype=np.int32)], 3)
    assert alike.tolist() == [[1, 2**32 + 1, 5]]
    assert fusion.rrf([np.array([[1, 2]], dtype=np.int8)], 2).dtype == np.int32


def test_the_constant_of_reciprocal_ranks() -> None:
    # 0 leads by its first rank where that is worth much, 1 by its two second ranks where it is not
    lists = [np.array([[0, 1, 2]]), np.array([[3, 1, 4]]), np.array([[5, 6, 7]])]
    assert fusion.rrf(lists, 2, c=0).tolist() == [[0, 1]]
    assert fusion.rrf(lists, 2, c=0.5).tolist() == [[1, 0]]


def fused_slowly(name: str, lists: list[list[int]], k: int) -> list[int]:
    """Return a fusion by rank in exact fractions."""
    candidates = {item for one in lists for item in one}
    total: dict[int, Fraction] = {}
    for item in candidates:
        holding = [(one.index(item), view) for view, one in enumerate(lists) if item in one]
        if name == "interleave":
            total[item] = -Fraction(min(at * len(lists) + view for at, view in holding))
        elif name == "rrf":
            total[item] = sum(Fraction(1, 61 + at) for at, _ in holding)
        else:
            total[item] = Fraction(sum(len(candidates) - at for at, _ in holding))
            for one in lists:
                if item not in one:
                    left = len(candidates) - len(one)
                    total[item] += Fraction(sum(range(1, left + 1)), left)
    return best(total, k)


@settings(deadline=None, max_examples=40)
@given(worlds(), st.integers(1, 20), st.sampled_from(sorted(BY_RANK)))
def test_ranks_against_exact_fractions(world: Tiny, k: int, name: str) -> None:
    fused = BY_RANK[name](world.lists, k)
    assert fused.dtype == np.int32 and fused.shape == (world.n_users, k)
    for user in range(world.n_users):
        lists = [world.items(view, user) for view in range(3)]
        assert fused[user].tolist() == fused_slowly(name, lists, k)


@settings(deadline=None, max_examples=30)
@given(worlds(equal=True), st.integers(1, 8))
def test_laws(world: Tiny, k: int) -> None:
    order = np.random.default_rng(k).permutation(world.n_users)
    scores = [fusion.minmax(one) for one in scores_for(world.lists)]
    swapped, swapped_scores = world.lists[::-1], scores[::-1]
    assert (
        fusion.comb_sum(world.lists, scores, k) == fusion.comb_sum(swapped, swapped_scores, k)
    ).all()
    for name, fuse in BY_RANK.items():
        fused = fuse(world.lists, k)
        # the order of users changes nothing, that of views only whose turn it is
        assert (fuse([one[order] for one in world.lists], k) == fused[order]).all()
        assert name == "interleave" or (fuse(swapped, k) == fused).all()
        # a list fused with itself is itself, and no fusion beats the best k of the union
        alone = world.lists[0][:, :k]
        assert (fuse([world.lists[0]] * 3, k)[:, : alone.shape[1]] == alone).all()
        recall = diagnostics.oracle([fused], world.relevant)
        bound = diagnostics.best_of_union(world.lists, world.relevant, k)
        assert not (recall > bound + 1e-12).any()


def test_blocks_of_users_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = tiny(4, 50, 30, (6, 9))
    whole = {name: fuse(world.lists, 8) for name, fuse in BY_RANK.items()}
    monkeypatch.setattr(fusion, "_BLOCK", 40)
    for name, fuse in BY_RANK.items():
        np.testing.assert_array_equal(fuse(world.lists, 8), whole[name])


@pytest.mark.parametrize("method", ["rrf", "bordafuse", "sum"])
def test_agrees_with_ranx(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ranx = plain_ranx(monkeypatch)
    world = tiny(8, 25, 20, (8, 8, 8))
    users = [u for u in range(25) if all(world.items(view, u) for view in range(3))]
    rng = np.random.default_rng(0)
    scores = [-np.sort(-rng.random(one.shape), axis=1) for one in world.lists]
    scores = [np.where(one >= 0, s, -np.inf) for one, s in zip(world.lists, scores, strict=True)]
    runs = [
        ranx.Run(
            {
                str(u): {str(i): float(scores[v][u, r]) for r, i in enumerate(world.items(v, u))}
                for u in users
            }
        )
        for v in range(3)
    ]
    theirs = ranx.fuse(runs=runs, norm="min-max", method=method)
    normalised = [fusion.minmax(one) for one in scores]
    ours = {
        "rrf": lambda: fusion.rrf(world.lists, 20),
        "bordafuse": lambda: fusion.borda(world.lists, 20),
        "sum": lambda: fusion.comb_sum(world.lists, normalised, 20),
    }[method]()
    for user in users:
        worth = {int(item): score for item, score in theirs[str(user)].items()}
        got = [worth[item] for item in ours[user].tolist() if item >= 0]
        np.testing.assert_allclose(got, sorted(worth.values(), reverse=True), atol=1e-6)


TWO = [np.zeros((2, 3)), np.zeros((4, 3))]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: fusion.concat([]), "no views"),
        (lambda: fusion.concat([TWO, TWO], [1]), "for 2 views"),
        (lambda: fusion.concat([TWO, TWO], [1, -1]), "none negative"),
        (lambda: fusion.concat([TWO, TWO], [0, 0]), "not all zero"),
        (lambda: fusion.concat([TWO, TWO], [1e308, 1e308]), "a finite sum"),
        (lambda: fusion.concat([TWO, TWO], [1, np.inf]), "a finite sum"),
        (lambda: fusion.concat([TWO, (TWO[0][:1], TWO[1])]), "2, 1 users"),
        (lambda: fusion.concat([TWO, (TWO[0], TWO[1][:1])]), "4, 1 items"),
        (lambda: fusion.concat([(np.full((2, 3), np.nan), TWO[1])]), "not finite"),
        (lambda: fusion.choose_weights([TWO], lambda _: math.nan), "1 of 1"),
        (lambda: fusion.simplex(0), "n_views = 0"),
        (lambda: fusion.simplex(2, 0), "steps = 0"),
        (lambda: fusion.z([1.0, 2.0]), r"shape \(2,\)"),
        (lambda: fusion.minmax([[1.0, np.nan]]), "finite numbers"),
        (lambda: fusion.softmax(SCORES, 0), "temperature 0"),
        (lambda: fusion.comb_sum([ABC], [SCORES], 2), "one score per list entry"),
        (lambda: fusion.comb_sum([ABC], [np.full((1, 3), np.nan)], 2), "NaN or infinite"),
        (lambda: fusion.weighted([ABC], [np.ones((1, 3))], [1, 2], 2), "for 1 views"),
        (lambda: fusion.rrf([], 2), "no lists"),
        (lambda: fusion.rrf([ABC, np.zeros((2, 3), dtype=int)], 2), "1, 2 users"),
        (lambda: fusion.rrf([ABC], 0), "k = 0"),
        (lambda: fusion.rrf([ABC], 2, c=-1), "c = -1"),
    ],
)
def test_what_cannot_be_fused_is_refused(call: Callable[[], object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        call()
