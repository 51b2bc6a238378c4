"""How much of a view the text can reach: an estimate of the shared fraction, with its interval.

Of item i, y is its vector in the view (t), z that in a replicate of the view (another seed), x its
text (w). The estimand is a share of the variance over items that is *reproducible*, the noise of
either replicate being left out::

    share = Var(best linear prediction of y from x) / Cov(y, z, in the best rotation)

It is the shared fraction of the view as far as the observed text carries it: noise in the text
makes it smaller, and nothing in one text and two replicates tells that noise apart from a private
part (``studies.ch11_theory.reachable_share`` gives the value in a world). What both replicates share counts
as reproducible, also noise of the interactions, which two seeds see alike.

A held-out R² would be too small, because a fitted map is shrunk and wrong by chance; R² on the
training items too large. Both parts of the share are therefore covariances of one item's vector
with what the *other* items predict for it, which has no bias under a linear mean, whatever the
variances of the errors.

Shapes: n items, p text components, t the width of the view, b permutations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lib.core import Floats, InputError, generator, matrix
from lib.probes.maps import check_same_items
from lib.stats import Estimate

LEAST = 40
"""Items needed for an estimate: two a group of the jackknife."""
GROUPS = 20
NORMAL = 1.959964  # the 0.975 quantile: intervals hold 95 %


@dataclass(frozen=True)
class Shared:
    """What the text reaches of a view.

    ``share`` is the estimate with its interval, ``reached`` and ``reproducible`` are the two
    variances it is the ratio of, as fractions of the view's whole variance; ``null`` holds the
    shares with the text permuted among the items (b), ``p`` the share of permutations that reach
    as much, and ``components`` how many dimensions of the text were used.
    """

    share: Estimate
    reached: float
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
) -> Shared:
    """Return the share of a view's reproducible variance that the text linearly reaches.

    The numerator is the mean of y · (prediction of y without its own item − mean without it), the
    leave-out estimate of explained variance of Kline, Saggio and Sølvsten (Econometrica 88(5),
    2020), by ordinary least squares. Text wider than a quarter of the items is first cut to its
    leading principal components. The denominator is the covariance of y with the replicate rotated
    onto it (Schönemann, 1966), the rotation being fitted on other items and what that loses taken
    into account (see ``_covariance``).

    The interval is ± 1.96 standard errors over items (see ``_error``). It may pass 0 or 1. Fewer
    than 40 items, or replicates without common variance, give NaN.

    Parameters
    ----------
    text, view, replicate
        n × w, n × t and n × t, the same items row by row.
    permutations
        How often the text is permuted for the null, 0 for never.
    seed
        Of the permutations and the folds.

    Raises
    ------
    InputError
        Vectors that are not finite or not of the same items, views of two widths, or permutations
        below 0.
    """
    x, y, z = _checked(text, view, replicate, permutations)
    n = len(x)
    if n < LEAST:
        return Shared(Estimate(np.nan, np.nan, np.nan, n), np.nan, np.nan, np.empty(0), np.nan, 0)
    basis = _basis(x)
    draw = generator(seed, "shared fraction")
    predicted = _left_out(basis, y)
    whole = np.square(y).sum() / (n - 1)
    top = float(np.vdot(y, predicted) / n)
    folds = np.stack([draw.permutation(n) % parts for parts in (10, 2, 2, 2, GROUPS)])
    bottom = _covariance(y, z, folds[:-1])
    shuffled = (draw.permutation(n) for _ in range(permutations))
    null = np.array([np.vdot(y[o], _left_out(basis, y[o])) / n for o in shuffled]) / bottom
    # without variance that both replicates have there is nothing to be a share of
    error = _error(basis, y, z, predicted, bottom, folds) if bottom > 0 else np.nan
    share = Estimate(top / bottom, top / bottom - NORMAL * error, top / bottom + NORMAL * error, n)
    p = float((1 + np.count_nonzero(null * bottom >= top)) / (1 + permutations))
    return Shared(share, top / whole, bottom / whole, null, p, basis.shape[1])


def _checked(
    text: ArrayLike, view: ArrayLike, replicate: ArrayLike, permutations: int
) -> tuple[Floats, Floats, Floats]:
    """Return centred vectors, their items in an order that does not hang on their numbering."""
    x, y, z = matrix(text), matrix(view), matrix(replicate)
    check_same_items(x, y)
    check_same_items(z, y)
    if y.shape[1] != z.shape[1]:
        raise InputError(
            f"a view of width {y.shape[1]} was given with a replicate of width {z.shape[1]}; give "
            "two trainings of one model that differ in their seed alone"
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
    """Return what the other items predict for each, minus the others' mean (n × t).

    A least-squares prediction without item i is (ŷ − h y) / (1 − h), h being its leverage.
    """
    n = len(y)
    leverage = 1 / n + np.square(basis).sum(axis=1)
    # an item that alone spans a direction has no prediction from others: their mean, 0, stands in
    alone = leverage > 1 - 1e-9
    kept = np.where(alone, 1.0, 1 - leverage)[:, None]
    found: Floats = (basis @ (basis.T @ y) - leverage[:, None] * y) / kept + y / (n - 1)
    found[alone] = 0
    return found


def _covariance(y: Floats, z: Floats, folds: NDArray[np.intp]) -> float:
    """Return the covariance of y and the replicate rotated onto it, over items and dimensions.

    A rotation fitted on m other items loses some covariance c / m. It is fitted on 9/10 (first row
    of ``folds``) and on halves of the items (the other rows), and the line through both means is
    followed to c / m = 0.
    """
    many, *few = (_crossed(y, z, fold) for fold in folds)
    step = (1 / 0.9) / (1 / 0.5 - 1 / 0.9)
    return float(many + step * (many - np.mean(few))) / (len(y) - 1)


def _crossed(y: Floats, z: Floats, fold: NDArray[np.intp]) -> float:
    """Return Σ y · z, z being rotated as the items of the other folds say."""
    parts = [z[fold == number].T @ y[fold == number] for number in np.unique(fold)]
    whole = np.sum(parts, axis=0)
    return float(sum(np.vdot(part, _rotation(whole - part)) for part in parts))


def _rotation(cross: Floats) -> Floats:
    left, _, right = np.linalg.svd(cross, full_matrices=False)
    return np.asarray(left @ right)


def _error(
    basis: Floats, y: Floats, z: Floats, predicted: Floats, bottom: float, folds: NDArray[np.intp]
) -> float:
    """Return the standard error of the ratio, by what each item changes in it.

    To first order an item adds 2ym − m² to the explained variance, m being what the others predict
    for it, and y · z (rotated) to the covariance. Errors of two items meet in the changes of both:
    that part of the variance, 4 Σ h / (1 − h) tr S² / n² with leverages h and S the covariance of
    the errors, is counted twice, and half of it is taken off. How the rotation moves is of second
    order as well: it is what a jackknife on twenty groups finds beyond the items' own changes, and
    half of its variance is added.
    """
    n = len(y)
    top = np.einsum("nt,nt->n", 2 * y - predicted, predicted)
    ratio = np.vdot(y, predicted) / n / bottom
    twin = np.einsum("nt,nt->n", y, z @ _rotation(z.T @ y))
    top, twin = top - top.mean(), twin - twin.mean()
    first = np.square(top - ratio * twin).sum() / n**2
    residual = y - basis @ (basis.T @ y)
    errors = np.square(residual.T @ residual / (n - 1 - basis.shape[1])).sum()
    leverage = np.square(basis).sum(axis=1)
    twice = 2 * np.sum(leverage / (1 - leverage)) * errors / n**2
    moved = np.empty(GROUPS)
    for number in range(GROUPS):
        left = folds[-1] != number
        whole = bottom - _covariance(y[left], z[left], folds[:-1, left])
        moved[number] = (GROUPS - 1) * whole - GROUPS * twin[~left].sum() / n
    turned = np.square(ratio) * moved.var(ddof=1) / GROUPS / 2
    return float(np.sqrt(max(first - twice, first / 4) + turned) / bottom)
