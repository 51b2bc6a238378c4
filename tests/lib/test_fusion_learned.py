"""A weight per user, and which views to fuse: hand-worked, against plain references, and laws."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from lib import fusion
from lib.core import InputError
from lib.fusion.learned import (
    FOLDS,
    candidate_pool,
    forward_selection,
    fuse_pool,
    gate_features,
    gate_weights,
    gated,
)
from lib.topk import topk

SEEDS = st.integers(0, 2**32 - 1)


def some_views(rng, n_users=7, n_items=12, dimensions=(3, 5)):
    """Return views as pairs of random float32 arrays."""
    return [
        tuple(rng.standard_normal((n, dimension)).astype(np.float32) for n in (n_users, n_items))
        for dimension in dimensions
    ]


def cosines(view):
    users, items = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in view)
    return users @ items.T


@given(SEEDS, st.integers(0, 10))
@settings(deadline=None, max_examples=15)
def test_a_constant_gate_is_norm_concat_with_that_weight(seed, tenths):
    rng = np.random.default_rng(seed)
    first, second = some_views(rng)
    weight = tenths / 10
    gate = gated(first, second, np.full(7, weight))
    plain = fusion.concat([first, second], [1 - weight, weight])
    np.testing.assert_allclose(gate.users @ gate.items.T, plain.users @ plain.items.T, atol=1e-5)
    lists = [topk(*vectors, 12).items.numpy() for vectors in (gate, plain)]
    gap = np.diff(np.sort(plain.users @ plain.items.T, axis=1), axis=1).min(axis=1)
    np.testing.assert_array_equal(lists[0][gap > 1e-5], lists[1][gap > 1e-5])


def test_a_gate_weighs_the_cosines_of_each_user():
    rng = np.random.default_rng(1)
    first, second = some_views(rng)
    weights = rng.random(7)
    found = gated(first, second, weights)
    want = (1 - weights)[:, None] * cosines(first) + weights[:, None] * cosines(second)
    np.testing.assert_allclose(found.users @ found.items.T, want, atol=1e-6)


@pytest.mark.parametrize("weights", [np.full(7, 1.1), np.full(7, np.nan), np.zeros(6), 0.5])
def test_gates_refuse_other_weights(weights):
    first, second = some_views(np.random.default_rng(0))
    with pytest.raises(InputError, match="from 0 to 1"):
        gated(first, second, weights)


def test_gates_refuse_views_of_other_users():
    first, second = some_views(np.random.default_rng(0))
    with pytest.raises(InputError, match="6, 7 users|7, 6 users"):
        gated(first, (second[0][1:], second[1]), np.zeros(7))


def test_features_by_hand():
    train = sp.csr_matrix(np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], dtype=np.float32))
    text = np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    found = gate_features(train, text)
    usual = np.array([2, 1]) / np.sqrt(5)  # the catalogue's mean text, at unit length
    popular = [np.log(2), np.log(3)]  # items 0 and 1 have one and two users
    want = [
        [np.log(3), np.sqrt(0.5), usual.sum() / np.sqrt(2), np.mean(popular)],
        [np.log(2), 1, usual[1], popular[1]],
        [0, 0, 0, 0],
    ]
    np.testing.assert_allclose(found, want, atol=1e-12)
    twice = sp.csr_matrix((np.ones(4), np.array([0, 1, 1, 1]), np.array([0, 2, 4, 4])), (3, 3))
    np.testing.assert_allclose(gate_features(twice, text), want)
    with pytest.raises(InputError, match="2, 3 items"):
        gate_features(train, text[:2])


def world_of_gates(seed=0, n=200):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, 2))
    grid = np.array([0.5, 0.0, 1.0])
    # who has a large first feature is served by the second view, the others by the first
    recalls = 0.5 + 0.2 * features[:, :1] * (grid - 0.5) + 0.01 * rng.standard_normal((n, 3))
    return features, recalls, grid


def test_a_gate_learns_who_is_served_by_which_view():
    features, recalls, grid = world_of_gates()
    weights = gate_weights(features, recalls, grid)
    clear = np.abs(features[:, 0]) > 0.5
    assert ((weights == 1) == (features[:, 0] > 0))[clear].all()


def test_a_gate_is_ridge_regression_on_the_other_folds():
    features, recalls, grid = world_of_gates(n=60)
    weights = gate_weights(features, recalls, grid, penalty=1.0)
    x = (features - features.mean(axis=0)) / features.std(axis=0)
    for fold in folds_of(features, recalls, grid):
        others = np.setdiff1d(np.arange(60), fold)
        model = Ridge(alpha=len(others)).fit(x[others], recalls[others])
        np.testing.assert_array_equal(weights[fold], grid[model.predict(x[fold]).argmax(axis=1)])


def folds_of(features, recalls, grid):
    """Return the users of each fold: those whose weights stay when a user's own recall changes."""
    left, folds = set(range(len(features))), []
    while left:
        user = min(left)
        spoiled = [recalls.copy(), recalls.copy()]
        spoiled[0][user] += [0, 1e9, 0]  # decides the weight of all who learn from this user
        spoiled[1][user] += [0, 0, 1e9]
        one, other = (gate_weights(features, some, grid) for some in spoiled)
        same = {int(u) for u in np.flatnonzero(one == other)}
        folds.append(sorted(same & left))
        left -= same
    assert len(folds) == FOLDS
    return folds


@given(SEEDS)
@settings(deadline=None, max_examples=12)
def test_a_users_own_validation_items_never_set_its_weight(seed):
    rng = np.random.default_rng(seed)
    features, recalls = rng.standard_normal((30, 3)), rng.random((30, 5))
    grid, user = np.linspace(0, 1, 5), rng.integers(30)
    changed = recalls.copy()
    changed[user] = rng.random(5) * 100
    before, after = (gate_weights(features, some, grid) for some in (recalls, changed))
    assert before[user] == after[user]


def test_features_that_tell_nothing_give_the_best_weight_of_the_others():
    recalls = np.tile([0.1, 0.3, 0.2], (25, 1))
    recalls[:, 0] += np.linspace(0, 0.1, 25)
    weights = gate_weights(np.ones((25, 4)), recalls, [0.5, 0.2, 0.8])
    np.testing.assert_array_equal(weights, 0.2)


def test_users_without_validation_recall_get_a_weight_and_teach_none():
    features, recalls, grid = world_of_gates(n=50)
    recalls[::3] = np.nan
    weights = gate_weights(features, recalls, grid)
    assert np.isin(weights, grid).all()
    with pytest.raises(InputError, match="1 complete"):
        gate_weights(features[:3], np.array([[0.1] * 3, [np.nan] * 3, [np.nan] * 3]), grid)


@given(SEEDS)
@settings(deadline=None, max_examples=12)
def test_pools_against_plain_python(seed):
    rng = np.random.default_rng(seed)
    views = [tuple(map(torch.from_numpy, view)) for view in some_views(rng, 4, 9)]
    lists = [topk(*view, int(rng.integers(1, 6))).items.numpy() for view in views]
    lists[0][0, -1] = -1
    weights = rng.random(2)
    pool = candidate_pool(views, lists)
    found = fuse_pool(pool, weights, 12)
    for user in range(4):
        union = sorted({int(i) for one in lists for i in one[user] if i >= 0})
        assert [i for i in pool.items[user] if i >= 0] == union
        scores = np.stack([(u[user] @ i.T).numpy()[union] for u, i in views])
        spread = scores.std(axis=1, keepdims=True)
        scaled = (scores - scores.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
        total = weights @ scaled
        got = [int(i) for i in found[user] if i >= 0]
        assert sorted(got) == union and (found[user, len(union) :] == -1).all()
        order = total[[union.index(i) for i in got]]
        assert (np.diff(order) <= 1e-4).all()


def test_one_view_alone_keeps_its_list():
    rng = np.random.default_rng(3)
    views = [tuple(map(torch.from_numpy, view)) for view in some_views(rng)]
    lists = [topk(*view, 4).items.numpy() for view in views]
    pool = candidate_pool(views, lists)
    np.testing.assert_array_equal(fuse_pool(pool, [0, 1], 4), lists[1])
    np.testing.assert_array_equal(fuse_pool(pool, [1, 0], 4), lists[0])


def test_equal_sums_are_broken_by_the_smaller_item():
    users, items = torch.ones(1, 1), torch.ones(5, 1)
    pool = candidate_pool([(users, items)], [np.array([[4, 1, 3]], dtype=np.int32)])
    np.testing.assert_array_equal(fuse_pool(pool, [1.0], 2), [[1, 3]])


def test_pools_refuse_what_does_not_fit():
    view = (torch.ones(2, 1), torch.ones(3, 1))
    lists = [np.zeros((2, 1), dtype=np.int32)]
    with pytest.raises(InputError, match="no views were given"):
        candidate_pool([], lists)
    with pytest.raises(InputError, match="same users"):
        candidate_pool([view], [np.zeros((3, 1), dtype=np.int32)])
    with pytest.raises(InputError, match="item id 4294967296"):
        candidate_pool([view], [np.array([[0], [2**32]])])
    with pytest.raises(InputError, match="one for each"):
        fuse_pool(candidate_pool([view], lists), [1.0, 1.0], 1)
    with pytest.raises(InputError, match="at least 1"):
        fuse_pool(candidate_pool([view], lists), [1.0], 0)


def test_forward_selection_by_hand():
    def score(weights):  # best at 2/3 of view 0 and 1/3 of view 2
        return -float(np.abs(weights - [2 / 3, 0, 1 / 3]).sum())

    found = forward_selection(3, score)
    # 1 view, then the third beside it, then the first again, then nothing better: 4 × 3 scores
    np.testing.assert_allclose(found.weights, [2 / 3, 0, 1 / 3])
    assert found.trials == 12 and found.score == pytest.approx(0)
    assert forward_selection(3, score, steps=1).weights == (1, 0, 0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_forward_selection_is_never_below_the_best_view(scores):
    table = np.array(scores)
    found = forward_selection(len(table), lambda w: float(w @ table) - 0.1 * (w > 0).sum())
    assert found.score >= table.max() - 0.1 - 1e-12
    assert sum(found.weights) == pytest.approx(1)


def test_forward_selection_refuses_nothing_to_choose_from():
    with pytest.raises(InputError, match="at least 1"):
        forward_selection(0, lambda _: 0.0)
    with pytest.raises(InputError, match="validation"):
        forward_selection(2, lambda _: float("nan"))
