"""How much of a view the text can explain: an estimate of the shared fraction, with its interval.

For item i, y is its vector in the view (dimension t), z that in a replicate of the view (another
seed) and x its text. The estimand is a share of the *reproducible* variance over items, which
leaves out the noise of either replicate::

    share = Var(best linear prediction of y from x) / Cov(y, z, in the best rotation)

This is the shared fraction of the view as far as the observed text carries it: noise in the text
lowers it, and one text with two replicates cannot tell that noise from a private part
(``studies.ch11_theory.reachable_share`` gives the value in a world). What both replicates share
counts as reproducible, including the noise of the interactions, which two seeds see alike.

A held-out R² would be too small, because a fitted map is shrunk and wrong by chance; R² on the
training items would be too large. Both parts of the share are therefore covariances of an item's
vector with what the *other* items predict for it, which are unbiased under a linear mean, whatever
the variances of the errors.

Shapes: n items, p text components, t dimensions of the view, b permutations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lib import cache
from lib.core import Floats, InputError, generator, matrix
from lib.stats import Estimate

MIN_ITEMS = 40  # two in each group of the jackknife
GROUPS = 20
NORMAL = 1.959964  # the 0.975 quantile: intervals hold 95 %


@dataclass(frozen=True)
class SharedFraction:
    """How much of a view the text explains.

    ``share`` is the estimate with its interval: the ratio of ``explained`` to ``reproducible``,
    both fractions of the view's whole variance. ``null`` has the shares with the text permuted
    among the items (b), ``p`` is the fraction of permutations that explain as much, and
    ``components`` the number of text components used.
    """

    share: Estimate
    explained: float
    reproducible: float
    null: Floats
    p: float
    components: int


def estimate(
    text: ArrayLike,
    view: ArrayLike,
    replicate: ArrayLike,
    *,
    permutations: int = 100,
    seed: int = 0,
) -> SharedFraction:
    """Return the share of a view's reproducible variance that a linear map of the text explains.

    The numerator is the mean of y · (prediction of y without its own item − mean without it), the
    leave-out estimate of explained variance of Kline, Saggio and Sølvsten (Econometrica 88(5),
    2020), by ordinary least squares on at most n / 4 leading principal components of the text. The
    denominator is the covariance of y with the replicate rotated onto it (Schönemann, 1966), the
    rotation being fitted on other items and corrected for what that loses (see ``_covariance``).

    The interval is ± 1.96 standard errors over items (see ``_error``); it may pass 0 or 1. Fewer
    than 40 items, or replicates without common variance, give NaN. Vectors that are not finite or
    not of the same items, and replicates of two dimensions raise ``InputError``.

    ``text``, ``view`` and ``replicate`` (n × any, n × t, n × t) have the same items row by row.
    ``permutations`` of the text give the null, 0 for none; ``seed`` draws them and the folds.
    """
    x, y, z = _checked(text, view, replicate, permutations)
    n = len(x)
    if n < MIN_ITEMS:
        share = Estimate(np.nan, np.nan, np.nan, n)
        return SharedFraction(share, np.nan, np.nan, np.empty(0), np.nan, 0)
    basis = _basis(x)
    rng = generator(seed, "shared fraction")
    predicted = _left_out(basis, y)
    whole = np.square(y).sum() / (n - 1)
    explained = float(np.vdot(y, predicted) / n)
    folds = np.stack([rng.permutation(n) % parts for parts in (10, 2, 2, 2, GROUPS)])
    common = _covariance(y, z, folds[:-1])
    orders = (rng.permutation(n) for _ in range(permutations))
    null = np.array([np.vdot(y[o], _left_out(basis, y[o])) / n for o in orders]) / common
    # without common variance of the replicates the ratio means nothing
    error = _error(basis, y, z, predicted, common, folds) if common > 0 else np.nan
    ratio = explained / common
    share = Estimate(ratio, ratio - NORMAL * error, ratio + NORMAL * error, n)
    p = float((1 + np.count_nonzero(null * common >= explained)) / (1 + permutations))
    return SharedFraction(share, explained / whole, common / whole, null, p, basis.shape[1])


def cached_estimate(
    dataset: str, text: np.ndarray, view: np.ndarray, replicate: np.ndarray, *, seed: int
) -> SharedFraction:
    """Return ``estimate``, computed now or read from the cache under the name of ``dataset``."""
    data, code = cache.digest(text, view, replicate), cache.code_version(estimate)
    key = {"dataset": dataset, "seed": seed, "data": data, "code": code}
    value = cache.cached("score", key, lambda: vars(estimate(text, view, replicate, seed=seed)))
    return SharedFraction(**value | {"share": Estimate(*value["share"])})


def _checked(
    text: ArrayLike, view: ArrayLike, replicate: ArrayLike, permutations: int
) -> tuple[Floats, Floats, Floats]:
    """Return centred vectors, items in an order that does not depend on their numbering."""
    x, y, z = matrix(text), matrix(view), matrix(replicate)
    if not len(x) == len(y) == len(z):
        raise InputError(
            f"vectors of {len(x)}, {len(y)} and {len(z)} items were given; give the same items, "
            "row by row"
        )
    if y.shape[1] != z.shape[1]:
        raise InputError(
            f"a view of {y.shape[1]} dimensions was given with a replicate of {z.shape[1]}; give "
            "two trainings of one model that differ only in their seed"
        )
    if permutations < 0:
        raise InputError(f"permutations = {permutations} was given; give 0 or more")
    order = np.lexsort(y.T)
    x, y, z = (one[order] - one.mean(axis=0) for one in (x, y, z))
    return x, y, z


def _basis(x: Floats) -> Floats:
    """Return orthonormal columns that span the text's leading components (n × p)."""
    most = min(x.shape[1], len(x) // 4)
    values, axes = np.linalg.eigh(x.T @ x)
    leading = axes[:, ::-1][:, :most]
    kept = values[::-1][:most] > 1e-10 * max(values[-1], 1e-300)
    scores = x @ leading[:, kept]
    return np.linalg.qr(scores)[0] if kept.any() else np.zeros((len(x), 0))


def _left_out(basis: Floats, y: Floats) -> Floats:
    """Return each item's least-squares prediction by the others, minus their mean (n × t).

    The prediction without item i is (ŷ − h y) / (1 − h), h being its leverage.
    """
    n = len(y)
    leverage = 1 / n + np.square(basis).sum(axis=1)
    # an item that alone spans a direction cannot be predicted from others: use their mean, 0
    alone = leverage > 1 - 1e-9
    kept = np.where(alone, 1.0, 1 - leverage)[:, None]
    found: Floats = (basis @ (basis.T @ y) - leverage[:, None] * y) / kept + y / (n - 1)
    found[alone] = 0
    return found


def _covariance(y: Floats, z: Floats, folds: NDArray[np.intp]) -> float:
    """Return the covariance of y and the replicate rotated onto it, over items and dimensions.

    A rotation fitted on m other items loses covariance c / m. It is fitted on 9/10 (first row of
    ``folds``) and on halves of the items (the other rows), and extrapolated linearly to 1 / m = 0.
    """
    many, *few = (_crossed(y, z, fold) for fold in folds)
    step = (1 / 0.9) / (1 / 0.5 - 1 / 0.9)
    return float(many + step * (many - np.mean(few))) / (len(y) - 1)


def _crossed(y: Floats, z: Floats, fold: NDArray[np.intp]) -> float:
    """Return Σ y · z, with z rotated as fitted on the other folds."""
    parts = [z[fold == number].T @ y[fold == number] for number in np.unique(fold)]
    whole = np.sum(parts, axis=0)
    return float(sum(np.vdot(part, _rotation(whole - part)) for part in parts))


def _rotation(cross: Floats) -> Floats:
    left, _, right = np.linalg.svd(cross, full_matrices=False)
    return np.asarray(left @ right)


def _error(
    basis: Floats, y: Floats, z: Floats, predicted: Floats, common: float, folds: NDArray[np.intp]
) -> float:
    """Return the standard error of the ratio, from what each item changes in it.

    To first order an item adds 2ym − m² to the explained variance, m being its prediction by the
    others, and y · z (rotated) to the covariance. Errors of two items meet in the changes of both,
    which counts that part of the variance, 4 Σ h / (1 − h) tr S² / n² (leverages h, error
    covariance S), twice: half is subtracted. The rotation's own variation is of second order: a
    jackknife on twenty groups finds it beyond the items' changes, and half is added.
    """
    n = len(y)
    top = np.einsum("nt,nt->n", 2 * y - predicted, predicted)
    ratio = np.vdot(y, predicted) / n / common
    bottom = np.einsum("nt,nt->n", y, z @ _rotation(z.T @ y))
    top, bottom = top - top.mean(), bottom - bottom.mean()
    first = np.square(top - ratio * bottom).sum() / n**2
    residual = y - basis @ (basis.T @ y)
    errors = np.square(residual.T @ residual / (n - 1 - basis.shape[1])).sum()
    leverage = np.square(basis).sum(axis=1)
    twice = 2 * np.sum(leverage / (1 - leverage)) * errors / n**2
    moved = np.empty(GROUPS)
    for group in range(GROUPS):
        rest = folds[-1] != group
        change = common - _covariance(y[rest], z[rest], folds[:-1, rest])
        moved[group] = (GROUPS - 1) * change - GROUPS * bottom[~rest].sum() / n
    rotated = np.square(ratio) * moved.var(ddof=1) / GROUPS / 2
    return float(np.sqrt(max(first - twice, first / 4) + rotated) / common)
