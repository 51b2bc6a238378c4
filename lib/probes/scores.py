"""How well item vectors are recovered: scores of predicted against true vectors of held-out items.

A function of totals over units (a mean over items, a ratio of sums over users) is resampled by
``lib.stats``, the other scores here, all on the same resamples of the items.

Shapes: n held-out items, t the dimension of the target, b resamples, p pairs of items. True and
predicted vectors are n × t.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from lib.core import Floats, InputError, generator, matrix, relevant_pairs, unit
from lib.metrics import recall
from lib.probes.splits import ItemSplit
from lib.stats import Estimate, of_totals, value_of_totals, with_percentiles
from lib.topk import topk

DRAWS = 1000
PAIRS = 10_000  # of held-out items, whose similarities are ranked; all where there are fewer
_BLOCK = 1 << 20  # numbers held at once for a block of resamples, 8 MiB


@dataclass(frozen=True)
class Totals:
    """A function of the columns' totals over units, as in ``lib.stats.of_totals``."""

    columns: tuple[Floats, ...]
    function: Callable[..., Floats]

    @property
    def value(self) -> float:
        """The score's value, without an interval."""
        return value_of_totals(self.function, *self.columns)


@dataclass(frozen=True)
class Resampled:
    """A score's value on ``n`` items, and on ``DRAWS`` resamples of them."""

    value: float
    drawn: Floats
    n: int


Score = Totals | Resampled


def mean(values: Floats) -> Totals:
    """Return the mean of values per unit as a score; a NaN is left out."""
    return Totals((values, np.ones_like(values)), np.divide)


def drop(true: Floats, mapped: Floats) -> Totals:
    """Return the share of recall that is lost, 1 − Σ mapped / Σ true over users, as a score."""
    return Totals((mapped, true), lambda kept, whole: 1 - kept / whole)


def estimate(
    *scores: Score, combine: Callable[..., Floats] = lambda value: value, seed: int = 0
) -> Estimate:
    """Return ``combine`` of the scores' values with its 95 % bootstrap percentile interval.

    ``seed`` is that of functions of totals; the others have been resampled. Scores of both kinds,
    which have not been resampled alike, are refused.
    """
    totals = [score for score in scores if isinstance(score, Totals)]
    resampled = [score for score in scores if isinstance(score, Resampled)]
    if totals and resampled:
        told = f"{len(totals)} functions of totals and {len(resampled)} resampled scores were given"
        raise InputError(f"{told}, which share no resamples; combine scores of one kind")
    if totals:

        def combined(*columns: Floats) -> Floats:
            rest = iter(columns)
            return combine(*(s.function(*islice(rest, len(s.columns))) for s in totals))

        columns = (column for score in totals for column in score.columns)
        return of_totals(combined, *columns, seed=seed, draws=DRAWS)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(combine(*(np.float64(score.value) for score in resampled)))
        drawn = combine(*(score.drawn for score in resampled))
    return with_percentiles(value, drawn, resampled[0].n)


def r2(true: ArrayLike, predicted: ArrayLike, *, seed: int = 0) -> Resampled:
    """Return R², the mean over dimensions of 1 − Σ(y − ŷ)² / Σ(y − ȳ)².

    scikit-learn's r2_score with multioutput="uniform_average": a dimension in which all items are
    equal counts 1 where it is met exactly and 0 otherwise.
    """

    def uniform(residual: Floats, spread: Floats) -> Floats:
        flat = (residual == 0).astype(np.float64)
        return np.where(spread > 0, 1 - residual / spread, flat).mean(axis=1)

    return _of_squares(true, predicted, uniform, seed)


def r2_weighted(true: ArrayLike, predicted: ArrayLike, *, seed: int = 0) -> Resampled:
    """Return R² with dimensions weighted by their variance: 1 − ΣΣ(y − ŷ)² / ΣΣ(y − ȳ)².

    Unlike ``r2`` it does not depend on the axes: a rotation of both changes nothing.
    """
    return _of_squares(true, predicted, lambda a, b: 1 - a.sum(axis=1) / b.sum(axis=1), seed)


def r2_direction(true: ArrayLike, predicted: ArrayLike, *, seed: int = 0) -> Resampled:
    """Return ``r2`` of the vectors at unit length, where popular items' long ones do not dominate.

    Least squares shrinks predictions; at unit length a weak map scores below 0: see the floor.
    """
    return r2(unit(true), unit(predicted), seed=seed)


def _of_squares(
    true: ArrayLike, predicted: ArrayLike, function: Callable[..., Floats], seed: int
) -> Resampled:
    """Resample a function of the squared errors and the spread in each dimension (b × t both)."""
    y, guess = _same_shape(true, predicted)
    # around the median: a value that most items share then has no rounding error
    around = y - np.median(y, axis=0)
    squares = np.hstack([np.square(y - guess), around, np.square(around)])  # n × 3t

    def value(weights: Floats) -> Floats:
        residual, total, square = np.split(weights @ squares, 3, axis=1)
        spread = square - np.square(total) / weights.sum(axis=1, keepdims=True)
        return function(residual, spread)

    return _resample(value, len(y), squares.shape[1], seed)


def cosine(true: ArrayLike, predicted: ArrayLike) -> Floats:
    """Return the cosine of each item's true and predicted vector (n); 0 with a zero vector."""
    y, guess = _same_shape(true, predicted)
    return np.asarray(np.einsum("nt,nt->n", unit(y), unit(guess)))


def rank_correlation(true: ArrayLike, predicted: ArrayLike, *, seed: int = 0) -> Resampled:
    """Return Spearman's correlation of the items' pairwise cosines in either space.

    Over ``PAIRS`` pairs drawn by ``seed``, or all where there are fewer. A resample of items gives
    a pair the product of its items' weights, and ranks are taken anew. It is 0 where all cosines of
    a space are equal, as those of a constant prediction are.
    """
    y, guess = _same_shape(true, predicted)
    n = len(y)
    if n < 2:
        raise InputError(f"{n} item was given; give at least two, so that there is a pair")
    if n * (n - 1) // 2 <= PAIRS:
        first, second = np.triu_indices(n, 1)
    else:
        rng = generator(seed, "item pairs")
        first = rng.integers(0, n, PAIRS)
        second = (first + rng.integers(1, n, PAIRS)) % n
    similar, guessed = (np.einsum("pt,pt->p", z[first], z[second]) for z in (unit(y), unit(guess)))
    order = np.argsort(similar)  # reading memory in order is faster
    first, second = first[order], second[order]
    ranks = [_ranks(similar[order]), _ranks(guessed[order])]

    def value(weights: Floats) -> Floats:
        pairs = weights[:, first] * weights[:, second]  # b × p
        return _correlation(pairs, *(rank(pairs) for rank in ranks))

    return _resample(value, n, 8 * len(first), seed)  # some eight arrays of pairs at once


def _ranks(values: Floats) -> Callable[[Floats], Floats]:
    """Return the function from weights (b × p) to the weighted ranks of values, ties averaged."""
    # a value's rank is the weight below it plus half of the weight at it
    order = np.argsort(values)
    below = np.searchsorted(values[order], values, side="left")
    up_to = np.searchsorted(values[order], values, side="right")

    def ranks(weights: Floats) -> Floats:
        cumulated = np.zeros((len(weights), len(values) + 1))
        np.cumsum(weights[:, order], axis=1, out=cumulated[:, 1:])
        return (cumulated[:, below] + cumulated[:, up_to]) / 2

    return ranks


def _correlation(weights: Floats, x: Floats, y: Floats) -> Floats:
    """Return Pearson's correlation of x and y under weights (all b × p) by row (b), 0 if flat."""
    whole = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / whole
    y = y - (weights * y).sum(axis=1, keepdims=True) / whole
    xy, xx, yy = (np.einsum("bp,bp,bp->b", weights, a, c) for a, c in ((x, y), (x, x), (y, y)))
    return np.where(xx * yy > 0, xy / np.sqrt(xx * yy), 0.0)


class Audience(NamedTuple):
    """The users for whom items are ranked: vectors of the target view, relevant and seen items."""

    users: ArrayLike  # n_users × t
    relevant: sp.csr_matrix  # n_users × n_items: test items
    seen: sp.csr_matrix  # n_users × n_items: training and validation items, never recommended


def inductive_recall(
    audience: Audience, target: ArrayLike, predicted: ArrayLike, split: ItemSplit, k: int = 20
) -> dict[str, Floats]:
    """Return Recall@k of held-out items when their vectors are predicted, one value per user.

    ``target`` has the true vectors of all items (n_items × t), ``predicted`` those predicted for
    ``split.test`` (n × t). Users who want no held-out item are left out. Candidates are the
    held-out items alone (``recall, …``), or all items, the others with their true vectors
    (``recall among all items, …``). Ways to rank:

    - ``true``, ``mapped``: inner product with the true and with the predicted vectors;
    - ``norm-matched``: each predicted vector's length replaced by the training items' mean length,
      since predictions shrink and short vectors lose;
    - ``true by cosine``, ``mapped by cosine``: all items at unit length.
    """
    users, true, test = matrix(audience.users), matrix(target), split.test
    _, guess = _same_shape(true[test], predicted)
    shape = (len(users), len(true))
    if not (
        users.shape[1] == true.shape[1] and audience.relevant.shape == audience.seen.shape == shape
    ):
        told = f"users {users.shape} with relevant {audience.relevant.shape} and seen items "
        told += f"{audience.seen.shape} were given; give {len(users)} users of {true.shape[1]}"
        raise InputError(f"{told} dimensions, and both as {len(users)} users × {len(true)} items")
    if not 1 <= k <= len(test):
        raise InputError(f"k = {k} was given with {len(test)} held-out items; give 1 to that many")
    wanted, seen = relevant_pairs(audience.relevant), relevant_pairs(audience.seen)
    able = np.flatnonzero(np.diff(wanted[:, test].indptr))
    if not len(able):
        able = np.array([0])  # top-K wants somebody; with nothing relevant the recall is NaN
    length = np.linalg.norm(true[split.train], axis=1).mean()
    ways = {
        "true": (true, true[test]),
        "mapped": (true, guess),
        "norm-matched": (true, unit(guess) * length),
        "true by cosine": (unit(true), unit(true[test])),
        "mapped by cosine": (unit(true), unit(guess)),
    }
    found = {}
    for pool, candidates in (("recall", test), ("recall among all items", np.arange(len(true)))):
        held_out = sp.diags(np.isin(candidates, test) * 1.0)
        relevant = sp.csr_matrix(wanted[able][:, candidates] @ held_out)
        for way, (vectors, held) in ways.items():
            items = vectors.copy()
            items[test] = held
            lists = topk(users[able], items[candidates], k, exclude=seen[able][:, candidates])
            found[f"{pool}, {way}"] = recall(lists.items.numpy(), relevant)
    return found


def _resample(function: Callable[[Floats], Floats], n: int, held: int, seed: int) -> Resampled:
    """Return a function from weights (b × n) to b values on resamples, each of ``held`` numbers."""
    rng, step = generator(seed, "bootstrap"), max(1, _BLOCK // max(n, held))
    drawn = []
    with np.errstate(divide="ignore", invalid="ignore"):
        value = function(np.ones((1, n)))
        # what is drawn does not depend on the block's size: every score meets the same resamples
        for start in range(0, DRAWS, step):
            b = min(step, DRAWS - start)
            chosen = rng.integers(0, n, (b, n)) + n * np.arange(b)[:, None]
            weights = np.bincount(chosen.ravel(), minlength=b * n).reshape(b, n)
            drawn.append(function(weights.astype(np.float64)))
    return Resampled(float(value[0]), np.concatenate(drawn), n)


def _same_shape(true: ArrayLike, predicted: ArrayLike) -> tuple[Floats, Floats]:
    y, guess = matrix(true), matrix(predicted)
    if y.shape != guess.shape:
        given = f"predicted vectors of shape {guess.shape} were given for true ones of {y.shape}"
        raise InputError(f"{given}; give predictions for the same items and target view")
    return y, guess
