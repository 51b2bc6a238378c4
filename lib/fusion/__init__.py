"""Fusion of any number of views by vectors, scores or ranks, and weights chosen on validation.

Vectors come as (users, items) pairs, n_users × d and n_items × d. Lists come as one n_users × K
array of items per view, best first, −1 where there is no item, no item twice in a row, with scores
of the same shape where they are fused by score. Fused lists are n_users × k, int32 or the type of
the lists given if wider; the smaller id breaks ties, and −1 fills up where there are too few items.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from lib import core
from lib.core import Floats, InputError, Lists, numbers, same_number, several, unit, whole_number
from lib.metrics import filled, same_users

_BLOCK = 1 << 20  # list entries fused at once: some 50 MiB of working memory


class JointVectors(NamedTuple):
    """User and item vectors (n_users × d, n_items × d, float32) whose inner product ranks."""

    users: NDArray[np.float32]
    items: NDArray[np.float32]


class WeightChoice(NamedTuple):
    """The chosen weight of each view, its score, and every weighting that was tried."""

    weights: tuple[float, ...]
    score: float
    tried: pd.DataFrame


def concat(
    views: Sequence[tuple[ArrayLike, ArrayLike]], weights: ArrayLike | None = None
) -> JointVectors:
    """Return the views side by side, each normalised and scaled by the root of its weight.

    The inner product of a user and an item is then the weighted mean of their cosines in the views.
    A zero vector has cosine 0 with everything. ``weights`` are one per view, not negative, not all
    zero, and equal by default.
    """
    both = unit_views(views)
    n_views = len(both[0])
    roots = np.sqrt(_weights(np.ones(n_views) if weights is None else weights, n_views))
    sides = []
    for parts in both:
        scaled = [part * root for part, root in zip(parts, roots, strict=True)]
        sides.append(np.concatenate(scaled, axis=1).astype(np.float32))
    return JointVectors(*sides)


def unit_views(views: Sequence[tuple[ArrayLike, ArrayLike]]) -> tuple[list[Floats], list[Floats]]:
    """Return the views' users and their items at unit length; all views are of the same ones."""
    found = several(views, "views")
    pairs = [(v.users, v.items) if {"users", "items"} <= {*dir(v)} else v for v in found]
    if not all(isinstance(pair, tuple | list | np.ndarray) and len(pair) == 2 for pair in pairs):
        raise InputError("a view is neither a View nor a pair; give vectors (users, items)")
    users, items = ([unit(pair[side]) for pair in pairs] for side in (0, 1))
    same_number("users", *map(len, users))
    same_number("items", *map(len, items))
    return users, items


def simplex(n_views: int, steps: int = 10) -> Floats:
    """Return all weightings of ``n_views`` in multiples of 1 / ``steps`` that add up to 1.

    One per row, the most even first: in tenths 11 for two views and 66 for three.
    """
    whole_number("n_views", n_views)
    whole_number("steps", steps)
    # n − 1 bars among steps + n − 1 positions: the gaps between them are the weights
    ends = steps + n_views - 1
    if comb(ends, steps) > 10**6:
        raise InputError(f"{n_views} views have too many weightings in {steps} steps; give a grid")
    bars = np.array(list(combinations(range(ends), n_views - 1)), dtype=np.intp)
    walls = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, ends)))
    parts = np.diff(walls, axis=1) - 1
    return parts[np.argsort((parts**2).sum(axis=1), kind="stable")] / steps


def choose_weights(
    views: Sequence[tuple[ArrayLike, ArrayLike]], score: Callable[[JointVectors], float],
    grid: ArrayLike | None = None,
) -> WeightChoice:  # fmt: skip
    """Return the weights of ``concat`` that score best on validation.

    ``score`` is the quality of fused vectors, larger is better: recall on validation items.
    ``grid`` has the weightings to try (m × n_views), by default those of ``simplex``; of equally
    good ones the first is taken. ``tried`` has a row per weighting: columns ``weight_0``,
    ``weight_1``, … and ``score``.
    """
    if not callable(score):
        raise InputError(f"score = {core.shown(score)} was given; give a function of fused vectors")
    normalised = list(zip(*unit_views(views), strict=True))
    weightings = simplex(len(normalised)) if grid is None else numbers(grid, "weights")
    weightings = np.atleast_2d(weightings)
    bar = tqdm(weightings, desc="weights", unit="weighting", disable=None)
    scores = numbers([score(concat(normalised, weights)) for weights in bar], "scores")
    if not len(scores) or np.isnan(scores).any():
        told = f"{np.isnan(scores).sum()} of {len(scores)} weightings have no validation score"
        raise InputError(f"{told}; give at least one weighting and validation items")
    best = int(np.argmax(scores))
    tried = pd.DataFrame(weightings, columns=[f"weight_{v}" for v in range(len(normalised))])
    chosen = tuple(weightings[best].tolist())
    return WeightChoice(chosen, float(scores[best]), tried.assign(score=scores))


def z(scores: ArrayLike) -> Floats:
    """Return each user's scores with mean 0 and standard deviation 1 (n_users × K), else all 0.

    This and the other normalisations leave −inf, the score of a missing item, as it is, and refuse
    NaN and +inf.
    """
    given, held = _scores(scores)
    n = np.maximum(held.sum(axis=1, keepdims=True), 1)
    away = np.where(held, given - np.where(held, given, 0).sum(axis=1, keepdims=True) / n, 0)
    spread = np.sqrt((away**2).sum(axis=1, keepdims=True) / n)
    # below float32's resolution a spread is rounding, and dividing by it would blow that up
    flat = spread <= 1e-7 * np.abs(np.where(held, given, 0)).max(axis=1, keepdims=True)
    return np.where(held, np.where(flat, 0, away / np.where(flat, 1, spread)), -np.inf)


def minmax(scores: ArrayLike) -> Floats:
    """Return each user's scores from 0 to 1 (n_users × K), all 0 where they are equal."""
    given, held = _scores(scores)
    low = np.where(held, given, np.inf).min(axis=1, keepdims=True)
    high = given.max(axis=1, keepdims=True)
    wide = high > low
    above = np.where(held & wide, given, 0) - np.where(wide, low, 0)
    return np.where(held, above / np.where(wide, high - low, 1), -np.inf)


def softmax(scores: ArrayLike, temperature: float = 1.0) -> Floats:
    """Return each user's scores as exp(score / temperature), adding up to 1 (n_users × K)."""
    if not temperature > 0:
        raise InputError(f"temperature {temperature} was given; give a number above 0")
    given, held = _scores(scores)
    high = given.max(axis=1, keepdims=True, initial=np.finfo(float).min)  # also with no item
    power = np.exp((given - high) / temperature)
    return np.where(held, power / np.maximum(power.sum(axis=1, keepdims=True), 1), -np.inf)


def rank_percentile(scores: ArrayLike) -> Floats:
    """Return the share of a user's candidates that each does not lose to (n_users × K).

    1 for the best of m, 1 / m for the last; equal scores share the mean of their ranks.
    """
    from scipy.stats import rankdata

    given, held = _scores(scores)
    n = held.sum(axis=1, keepdims=True)
    rank = rankdata(given, axis=1) - given.shape[1] + n  # missing items rank below all others
    return np.where(held, rank / np.maximum(n, 1), -np.inf)


def weighted(
    lists: Sequence[ArrayLike], scores: Sequence[ArrayLike], weights: ArrayLike, k: int
) -> Lists:
    """Return the best ``k`` items by Σ weight · score over the lists that hold them.

    A list that does not hold an item adds 0, which is the worst score after ``minmax`` and an
    average one after ``z``. A list of weight 0 is left out altogether.
    """
    arrays, values = _with_scores(lists, scores)
    shares = _weights(weights, len(arrays))
    used = np.flatnonzero(shares)
    heavy = [values[view] * shares[view] for view in used]
    return _fuse([arrays[view] for view in used], heavy, k, np.add.reduceat)


def comb_sum(lists: Sequence[ArrayLike], scores: Sequence[ArrayLike], k: int) -> Lists:
    """Return the best ``k`` items by CombSUM, the sum of scores (Fox and Shaw, TREC-2, 1994)."""
    return _fuse(*_with_scores(lists, scores), k, np.add.reduceat)


def rrf(lists: Sequence[ArrayLike], k: int, c: float = 60) -> Lists:
    """Return the best ``k`` items by reciprocal rank fusion, Σ 1 / (c + rank), rank from 1.

    Cormack, Clarke and Büttcher (SIGIR 2009).
    """
    if not isinstance(c, int | float | np.integer | np.floating) or not 0 <= c <= 1e9:
        raise InputError(f"c = {core.shown(c)} was given; give a number from 0 to 1e9, usually 60")
    arrays = same_users(lists)
    return _fuse(arrays, [1 / (c + _ranks(array)) for array in arrays], k, np.add.reduceat)


def borda(lists: Sequence[ArrayLike], k: int) -> Lists:
    """Return the best ``k`` items by Borda count (Borda-fuse: Aslam and Montague, SIGIR 2001).

    Of a user's m candidates in all lists, a list gives m points to its first, m − 1 to its second,
    and shares the points left evenly among the candidates it does not hold.
    """
    arrays = same_users(lists)
    items = np.sort(np.concatenate(arrays, axis=1), axis=1)
    different = (np.diff(items, axis=1, prepend=-1) != 0) & (items >= 0)
    candidates = np.count_nonzero(different, axis=1)[:, None]  # m
    # subtracting what a list gives each candidate it lacks from those it holds keeps the order
    lacking = [(candidates - filled(array)[:, None] + 1) / 2 for array in arrays]
    points = [candidates - _ranks(a) + 1 - less for a, less in zip(arrays, lacking, strict=True)]
    return _fuse(arrays, points, k, np.add.reduceat)


def interleave(lists: Sequence[ArrayLike], k: int) -> Lists:
    """Return ``k`` items: the first of each list in turn, then the second of each, …, none twice.

    Balanced interleaving (Joachims, 2003), beginning with the first list.
    """
    arrays = same_users(lists)
    turns = [-_ranks(array) * len(arrays) - turn for turn, array in enumerate(arrays)]
    return _fuse(arrays, turns, k, np.maximum.reduceat)


Combine = Callable[[Floats, NDArray[np.intp]], Floats]


def _fuse(arrays: list[Lists], values: Sequence[Floats], k: int, combine: Combine) -> Lists:
    """Return each user's best ``k`` items by ``combine`` of its values (n_users × K or K)."""
    whole_number("k", k)
    n_users, n_entries = len(arrays[0]), sum(array.shape[1] for array in arrays)
    try:
        out = np.full((n_users, k), -1, dtype=np.result_type(np.int32, *arrays))
    except MemoryError:
        raise InputError(f"lists of k = {k:,} do not fit in memory; give a smaller k") from None
    spread = [np.broadcast_to(v, a.shape) for v, a in zip(values, arrays, strict=True)]
    step = max(1, _BLOCK // n_entries)
    for start in range(0, n_users, step):
        users = slice(start, start + step)
        items = np.concatenate([array[users] for array in arrays], axis=1)  # users × entries
        worth = np.concatenate([value[users] for value in spread], axis=1)
        # an item's values are added in ascending order: the order of the lists changes no rounding
        order = np.lexsort((worth, items), axis=-1)
        items, worth = (np.take_along_axis(x, order, axis=1) for x in (items, worth))
        # the first entry of a row always starts a group: no group spans two users
        first = np.diff(items, axis=1, prepend=-2) != 0
        totals = np.full(items.shape, -np.inf)
        totals[first] = combine(worth.ravel(), np.flatnonzero(first))
        totals[items < 0] = -np.inf
        # items ascend within a row, so a stable sort leaves the smaller id first among equals
        best = np.argsort(-totals, axis=1, kind="stable")[:, :k]
        chosen = np.take_along_axis(items, best, axis=1)
        held = np.take_along_axis(totals, best, axis=1) > -np.inf
        out[users, : chosen.shape[1]] = np.where(held, chosen, -1)
    return out


def _ranks(array: Lists) -> Floats:
    """Return the rank of each column, from 1 (K)."""
    return np.arange(1.0, array.shape[1] + 1)


def _with_scores(
    lists: Sequence[ArrayLike], scores: Sequence[ArrayLike]
) -> tuple[list[Lists], list[Floats]]:
    """Return lists and their scores, 0 where there is no item."""
    arrays = same_users(lists)
    given = [numbers(one, "scores") for one in several(scores, "scores")]
    shapes = [[one.shape for one in side] for side in (arrays, given)]
    if shapes[0] != shapes[1]:
        told = f"lists of shapes {shapes[0]} were given with scores of {shapes[1]}"
        raise InputError(f"{told}; give one score per list entry")
    values = [np.where(a >= 0, one, 0.0) for a, one in zip(arrays, given, strict=True)]
    if not all((np.abs(value) < 1e300).all() for value in values):  # sums would overflow
        raise InputError("a NaN or infinite score was given for a listed item; give finite scores")
    return arrays, values


def _scores(scores: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Return scores (n_users × K) and which of them are not missing."""
    given = numbers(scores, "scores")
    if given.ndim != 2 or given.shape[1] < 1 or not (given < np.inf).all():  # NaN is not below
        told = f"scores of shape {given.shape} were given"
        raise InputError(f"{told}; give finite numbers or −inf, users × K")
    return given, given > -np.inf


def _weights(weights: ArrayLike, n_views: int) -> Floats:
    """Return weights (n_views) scaled to add up to 1."""
    given = numbers(weights, "weights")
    with np.errstate(over="ignore", invalid="ignore"):
        fit = given.shape == (n_views,) and (given >= 0).all() and 0 < given.sum() < np.inf
    if not fit:
        told = f"weights {given.tolist()} were given for {n_views} views; give one for each"
        raise InputError(f"{told}, none negative, not all zero and with a finite sum")
    return given / given.sum()
