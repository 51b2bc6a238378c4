"""Estimates with intervals, a paired test and its correction. Users and seeds are resampled.

Values come per user (n_users), or per training seed and user (n_seeds × n_users), whose seeds and
users are then drawn together; a user with a NaN in any column is left out. The order of the users
is of no matter. Intervals are of 95 %; ``seed`` and ``draws`` are the bootstrap's.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lib.core import Floats, InputError, generator, numbers, whole_number

_ENDS = (1 - 0.95) / 2, (1 + 0.95) / 2
_BLOCK = 1 << 17  # values drawn at once: they stay in cache, a few MiB for any ``draws``


class Estimate(NamedTuple):
    """A mean or ratio, its percentile bootstrap interval over users, and the number of users."""

    mean: float
    low: float
    high: float
    n: int


class Paired(NamedTuple):
    """A mean difference with its interval, effect size d_z, randomisation p-value and users."""

    difference: float
    low: float
    high: float
    effect: float
    p: float
    n: int


def summary(values: ArrayLike, *, seed: int = 0, draws: int = 1000) -> Estimate:
    """Return the mean over users with its bootstrap interval; NaN and n = 0 where none is left."""
    column = numbers(values, "values")
    return of_totals(np.divide, column, np.ones_like(column), seed=seed, draws=draws)


def ratio(
    numerator: ArrayLike, denominator: ArrayLike, *, seed: int = 0, draws: int = 1000
) -> Estimate:
    """Return the pooled ratio Σ numerator / Σ denominator with its bootstrap interval.

    Users, not hits, are resampled, because the hits of one user are not independent.
    """
    return of_totals(np.divide, numerator, denominator, seed=seed, draws=draws)


def relative_gain(found: ArrayLike, base: ArrayLike, *, seed: int = 0) -> Estimate:
    """Return the relative gain Σ found / Σ base − 1 over users with its bootstrap interval."""
    return of_totals(lambda a, b: a / b - 1, found, base, seed=seed)


def of_totals(
    function: Callable[..., Floats], *columns: ArrayLike, seed: int = 0, draws: int = 1000
) -> Estimate:
    """Return any function of the columns' totals over users with its bootstrap interval.

    A mean, a pooled ratio, a gain or a difference of pooled means is each a function of totals:
    ``of_totals(lambda s, n, t, m: s / n - t / m, s, n, t, m)``. ``function`` takes one array of
    totals per column and returns an array of the same shape.
    """
    whole_number("draws", draws)
    rows = _complete(*columns)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        drawn = function(*_resampled_totals(rows, draws, seed))
    return with_percentiles(value_of_totals(function, *rows), drawn, rows[0].shape[1])


def with_percentiles(value: float, drawn: Floats, n: int) -> Estimate:
    """Return a value over n users with the percentile interval of its values on resamples (draws).

    Efron and Tibshirani (1993, ch. 13). Resamples on which it is undefined (0 / 0) are skipped.
    """
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not drawn.size:
        return Estimate(np.nan, np.nan, np.nan, n)
    low, high = np.quantile(drawn, _ENDS)
    return Estimate(value, float(low), float(high), n)


def value_of_totals(function: Callable[..., Floats], *columns: ArrayLike) -> float:
    """Return the mean of ``of_totals`` without its interval."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return float(function(*(column.sum(axis=1).mean() for column in _complete(*columns))))


def _complete(*columns: ArrayLike) -> list[Floats]:
    """Return the columns (1 or n_seeds × n each) without users that have a NaN, users sorted."""
    given = [numbers(column, "values") for column in columns]
    arrays = [np.atleast_2d(column) for column in given]
    seeds, users = ({array.shape[axis] for array in arrays} for axis in (0, -1))
    flat = all(column.ndim in (1, 2) for column in given)
    if not flat or len(users) > 1 or len(seeds - {1}) > 1 or 0 in seeds:
        told = ", ".join(str(np.shape(column)) for column in columns)
        raise InputError(f"values of shapes {told} were given; give one for each user (and seed)")
    rows = np.concatenate(arrays)
    rows = rows[:, ~np.isnan(rows).any(axis=0)]
    rows = rows[:, np.lexsort(rows[::-1])]
    return np.split(rows, np.cumsum([len(array) for array in arrays])[:-1])


def _resampled_totals(columns: list[Floats], draws: int, seed: int) -> list[Floats]:
    """Return the columns' totals over ``draws`` resamples of users and seeds (draws each)."""
    # scipy.stats.bootstrap refuses a single user, and one resample without a hit makes it NaN
    rows = np.concatenate(columns)
    n, rng = rows.shape[1], generator(seed, "bootstrap")
    totals = np.zeros((len(rows), draws))
    step = max(1, _BLOCK // max(1, n))
    values = np.empty((step, n))
    for start in range(0, draws if n else 0, step):
        part = slice(start, min(start + step, draws))
        chosen = rng.integers(0, n, (part.stop - start, n))
        drawn = values[: len(chosen)]
        for total, row in zip(totals, rows, strict=True):
            row.take(chosen, out=drawn, mode="clip")
            total[part] = drawn.sum(axis=1)
    weights = _seed_weights(max(map(len, columns)), draws, seed)
    return [
        (of * weights).mean(axis=0) if len(of) > 1 else of[0]
        for of in np.split(totals, np.cumsum([len(column) for column in columns])[:-1])
    ]


def _seed_weights(n_seeds: int, draws: int, seed: int) -> Floats:
    """Return what each training seed counts (n_seeds × draws), 1 on average and never negative.

    Resamples of S − 1 seeds, each counted S / (S − 1) times: those of S have too small a variance
    (Rao and Wu 1988). With one seed there is nothing to draw.
    """
    if n_seeds == 1:
        return np.ones((1, draws))
    rng = generator(seed, "bootstrap of seeds")
    counts = rng.multinomial(n_seeds - 1, np.full(n_seeds, 1 / n_seeds), draws).T
    return counts * np.float64(n_seeds / (n_seeds - 1))


def paired(a: ArrayLike, b: ArrayLike, *, seed: int = 0, draws: int = 10000) -> Paired:
    """Compare two systems on the same users by randomisation.

    If the systems do not differ, each user's difference a − b is as likely with the other sign.
    ``p`` is the two-sided share of random sign assignments whose mean difference is at least as
    large, the observed one included: (1 + extreme) / (1 + draws) (Phipson and Smyth, 2010). At
    the scale of recommender tests sign and Wilcoxon tests mislead (arXiv:2305.02461).

    ``draws`` are those of the randomisation; the interval is that of ``summary``. ``effect`` is
    Cohen's d_z, mean / standard deviation of the differences (ddof 1): 0 where no user differs,
    NaN for a single user. NaN throughout and n = 0 where no user is left.
    """
    whole_number("draws", draws)
    first, second = (column.mean(axis=0) for column in _complete(a, b))
    with np.errstate(over="ignore", invalid="ignore"):
        difference = first - second
        largest = np.abs(difference).max(initial=0)
        finite = np.isfinite(largest * len(difference))  # no total of a resample overflows either
    if not finite:
        told = "values whose differences are not finite or overflow when added were given"
        raise InputError(f"{told}; give finite values, NaN for a user without a value")
    mean, low, high, n = summary(difference, seed=seed)
    if n == 0:
        return Paired(np.nan, np.nan, np.nan, np.nan, np.nan, 0)
    if not difference.any():
        return Paired(0.0, 0.0, 0.0, 0.0, 1.0, n)
    spread = largest * (difference / largest).std(ddof=1) if n > 1 else np.nan
    with np.errstate(divide="ignore"):
        effect = float(np.divide(mean, spread))
    extreme = _sign_flips_beyond(difference, draws, generator(seed, "sign flips"))
    return Paired(mean, low, high, effect, (1 + extreme) / (1 + draws), n)


def _sign_flips_beyond(difference: Floats, draws: int, rng: np.random.Generator) -> int:
    """Return how many random sign assignments have a total as large as the observed one."""
    # scipy.stats.permutation_test holds a float for each user and draw to make its signs
    sizes = np.sort(np.abs(difference[difference != 0]))
    whole = sizes.sum()
    # totals that are equal but for the order of adding must count as equal
    observed = abs(difference.sum()) - 1e-10 * whole
    step = max(1, _BLOCK // len(sizes))
    positive = np.empty((step, len(sizes)))
    extreme = 0
    for start in range(0, draws, step):
        block = min(step, draws - start)
        packed = rng.integers(0, 256, (block, -(-len(sizes) // 8)), dtype=np.uint8)
        positive[:block] = np.unpackbits(packed, axis=1, count=len(sizes))
        totals = 2 * (positive[:block] @ sizes) - whole
        extreme += int(np.count_nonzero(np.abs(totals) >= observed))
    return extreme


def holm(p: ArrayLike) -> Floats:
    """Return p-values corrected for many comparisons by Holm's step-down procedure (1979).

    The i-th smallest of m is multiplied by m − i + 1 and is never below those before it, nor
    above 1. NaN (a comparison that could not be made) stays NaN and does not count in m.
    """
    values = numbers(p, "p-values")
    made = ~np.isnan(values)
    if values.ndim != 1 or not ((values[made] >= 0) & (values[made] <= 1)).all():
        told = f"p-values {values.tolist()} were given; give a flat list of numbers from 0 to 1"
        raise InputError(f"{told}, NaN for a comparison that was not made")
    order = np.flatnonzero(made)[np.argsort(values[made], kind="stable")]
    scaled = values[order] * np.arange(len(order), 0, -1)
    adjusted = np.full_like(values, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted
