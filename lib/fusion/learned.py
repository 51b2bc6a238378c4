"""Fusions that learn from validation items: a weight for every user, and which views to fuse.

Vectors come as (users, items) pairs, n_users × d and n_items × d, as in ``lib.fusion``.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lib import core
from lib.core import Floats, InputError, Relevant, generator, matrix, numbers, same_number, unit
from lib.fusion import JointVectors, unit_views, z
from lib.metrics import check_items, same_users
from lib.topk import best

FOLDS = 5
_USERS = 512  # users whose scores of the whole catalogue are held at once


def gated(
    first: tuple[ArrayLike, ArrayLike], second: tuple[ArrayLike, ArrayLike], weights: ArrayLike
) -> JointVectors:
    """Return two views side by side with a weight for every user.

    The inner product of user u and an item is (1 − w_u) · cosine in the first view + w_u · cosine
    in the second, ``weights`` being w_u, from 0 to 1 (n_users).
    """
    (users, other_users), items = unit_views([first, second])
    share = numbers(weights, "weights")
    if share.shape != (len(users),) or not ((share >= 0) & (share <= 1)).all():
        told = f"weights {share.shape} were given for {len(users)} users"
        raise InputError(f"{told}; give each one from 0 to 1")
    weighted = [users * (1 - share)[:, None], other_users * share[:, None]]
    return JointVectors(*(np.hstack(side).astype(np.float32) for side in (weighted, items)))


def gate_features(train: Relevant, text: ArrayLike) -> Floats:
    """Return a gate's features of each user (n_users × 4), zeros without a training item.

    Of the training items: the logarithm of 1 + their number; how similar their texts are (length of
    the mean of the unit ``text`` vectors, n_items × d); the cosine of that mean with the
    catalogue's; their popularity (mean logarithm of 1 + training count).
    """
    vectors = unit(text)
    pairs = core.relevant_pairs(train) != 0
    same_number("items", len(vectors), pairs.shape[1])
    count = np.diff(pairs.indptr).astype(np.float64)
    held = np.maximum(count, 1)[:, None]
    mean = np.asarray(pairs @ vectors) / held  # n_users × d
    popularity = np.log1p(np.asarray(pairs.sum(axis=0), dtype=np.float64).ravel())
    usual = unit(mean) @ unit(vectors.mean(axis=0, keepdims=True))[0]
    alike, popular = np.linalg.norm(mean, axis=1), pairs @ popularity / held[:, 0]
    return np.stack([np.log1p(count), alike, usual, popular], axis=1)


def gate_weights(
    features: ArrayLike, recalls: ArrayLike, grid: ArrayLike, *, seed: int = 0, penalty: float = 1.0
) -> Floats:
    """Return each user's weight, the one with the best recall as predicted by ridge regression.

    From standardised ``features`` (n_users × f) to ``recalls``, the user's validation recall at
    every weight of ``grid`` (n_users × n_weights): B = (XᵀX / n + λ)⁻¹ XᵀR / n, its intercept not
    penalised. λ is ``penalty``, in units of the features' variance: 1 halves the slopes. Users are
    cross-fitted in five folds drawn by ``seed``: the weights of a fold come from the other four, so
    that a user's own validation items never set its weight. A user with a NaN gets a weight, but
    nothing is learned from it. Of equally good weights the first is taken.
    """
    x, y = matrix(features), numbers(recalls, "recalls")
    choices = numbers(grid, "weights")
    known = ~np.isnan(y).any(axis=1) if y.ndim == 2 else np.zeros(0, dtype=bool)
    if y.shape != (len(x), len(choices)) or known.sum() < 2:
        rows = f"recalls of shape {y.shape} with {known.sum()} complete rows"
        told = f"features of {len(x)} users, {rows} and {len(choices)} weights were given"
        raise InputError(f"{told}; give a row per user, a column per weight, two complete rows")
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)
    rng = generator(seed, "gate folds")
    # users with recall are assigned first, so that every fold has its share of them
    order = np.concatenate([rng.permutation(np.flatnonzero(known)), np.flatnonzero(~known)])
    fold = np.empty(len(x), dtype=np.intp)
    fold[order] = np.arange(len(x)) % FOLDS
    chosen = np.empty(len(x))
    for one in range(FOLDS):
        learn, apply = known & (fold != one), fold == one
        centre, level = x[learn].mean(axis=0), y[learn].mean(axis=0)
        centred = x[learn] - centre
        gram = centred.T @ centred / len(centred) + penalty * np.eye(x.shape[1])
        slopes = np.linalg.solve(gram, centred.T @ (y[learn] - level) / len(centred))
        predicted = level + (x[apply] - centre) @ slopes  # users × n_weights
        chosen[apply] = choices[np.argmax(predicted, axis=1)]
    return chosen


class CandidatePool(NamedTuple):
    """Every user's candidates and each view's scores of them, as ``lib.fusion.z`` scales them."""

    items: NDArray[np.int32]  # n_users × m, ascending, −1 filling up the end
    scores: NDArray[np.float32]  # n_views × n_users × m, 0 where there is no candidate


def candidate_pool(
    views: Sequence[tuple[torch.Tensor, torch.Tensor]], lists: Sequence[ArrayLike]
) -> CandidatePool:
    """Return the union of the lists (n_users × K each) as candidates, all scored by all views.

    Unlike in a fusion of lists, every view has a score for a candidate from another view's list.
    """
    arrays = same_users(lists)
    views = core.several(views, "views")
    same_number("users", len(arrays[0]), *(len(users) for users, _ in views))
    for array in arrays:
        check_items(array, min(len(items) for _, items in views))
    nothing = np.iinfo(np.int32).max  # sorts behind all items
    items = np.concatenate(arrays, axis=1).astype(np.int32)
    items[items < 0] = nothing
    items.sort(axis=1)
    items[:, 1:][items[:, 1:] == items[:, :-1]] = nothing
    items.sort(axis=1)
    held = items < nothing
    width = max(1, int(held.sum(axis=1).max()))
    items, held = np.where(held, items, -1)[:, :width].astype(np.int32), held[:, :width]
    columns = torch.from_numpy(np.where(held, items, 0).astype(np.int64))
    scores = np.empty((len(views), *items.shape), dtype=np.float32)
    for of_view, (users, catalogue) in zip(scores, views, strict=True):
        for start in range(0, len(items), _USERS):
            part = slice(start, start + _USERS)
            own = (users[part] @ catalogue.T).gather(1, columns[part]).numpy()
            scaled = z(np.where(held[part], own, -np.inf))
            of_view[part] = np.where(held[part], scaled, 0)
    return CandidatePool(items, scores)


def fuse_pool(pool: CandidatePool, weights: ArrayLike, k: int) -> NDArray[np.int32]:
    """Return the best ``k`` candidates by Σ weight · score over the views (n_users × k)."""
    core.whole_number("k", k)
    shares = numbers(weights, "weights").astype(np.float32)
    if shares.shape != (len(pool.scores),):
        told = f"weights {shares.shape} were given for {len(pool.scores)} views"
        raise InputError(f"{told}; give one for each")
    total = np.zeros(pool.items.shape, dtype=np.float32)
    for view in np.flatnonzero(shares):
        total += shares[view] * pool.scores[view]
    total[pool.items < 0] = -np.inf
    chosen = best(torch.from_numpy(total), k).numpy()  # items ascend: the smaller id is first
    out = np.full((len(total), k), -1, dtype=np.int32)
    # missing candidates have scores of −inf and come last, in any order: all are −1
    out[:, : chosen.shape[1]] = np.take_along_axis(pool.items, chosen, axis=1)
    return out


class Selection(NamedTuple):
    """The weight of each view (they add up to 1), their score, and how many choices were scored."""

    weights: tuple[float, ...]
    score: float
    trials: int


def forward_selection(
    n_views: int, score: Callable[[Floats], float], *, steps: int = 10
) -> Selection:
    """Select views one after the other, with replacement, while validation improves.

    Caruana et al. (ICML 2004): begin with the best view; add the one, perhaps again, that raises
    the score of the sum most; stop where none does, or after ``steps``. A view's weight is how
    often it was taken. ``score`` takes weights (n_views, adding up to 1) and returns their quality:
    recall on validation items.
    """
    core.whole_number("n_views", n_views)
    core.whole_number("steps", steps)
    taken, top, trials = np.zeros(n_views), -np.inf, 0
    for _ in range(steps):
        more = taken + np.eye(n_views)
        scores = np.array([score(one / one.sum()) for one in more])
        trials += n_views
        if np.isnan(scores).any():
            raise InputError("a choice of views has no validation score; give validation items")
        if scores.max() <= top:
            break
        taken, top = more[int(np.argmax(scores))], float(scores.max())
    return Selection(tuple(taken / taken.sum()), top, trials)
