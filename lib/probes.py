"""Probes: what a map recovers of one view's item vectors from another's, beyond chance.

A probe alone says little. The same map fitted on pairs that do not belong together is its floor;
the same map from a second training of the target view, which differs only in its seed, its ceiling.
Two trainings of a factor model agree at best up to a rotation, so a linear map can reach it. Both
seeds have seen the held-out items' interactions: the ceiling is what is in the target to be
recovered, not what could be known of a new item.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike
from tqdm import tqdm

from lib import probe_scores as scores
from lib.diagnostics import neighbourhood_preservation
from lib.errors import InputError
from lib.item_splits import ItemSplit, cluster, popularity, random, temporal
from lib.maps import Fit, permuted
from lib.maps import fit_cca as cca
from lib.maps import fit_mlp as mlp
from lib.maps import fit_mlp_reference as mlp_reference
from lib.maps import fit_procrustes as procrustes
from lib.maps import fit_ridge as ridge
from lib.pairs import Map, check_same_items
from lib.probe_scores import Audience, Score, estimate
from lib.stats import Estimate
from lib.vectors import Floats, matrix

__all__ = [
    "ItemSplit", "Map", "cca", "cluster", "mlp", "mlp_reference", "permuted", "popularity", "probe",
    "probe_with_bounds", "procrustes", "random", "ridge", "temporal",
]  # fmt: skip

SOURCES = ("text", "permuted", "second seed")
"""What a probe starts from: the source, the source paired at random (floor), a second seed
(ceiling)."""


def probe(
    source: ArrayLike,
    target: ArrayLike,
    split: ItemSplit,
    fit: Fit,
    *,
    users: ArrayLike | None = None,
    relevant: sp.csr_matrix | None = None,
    seen: sp.csr_matrix | None = None,
    k: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """Fit a map on training items and score it on held-out items.

    Results do not depend on how items are numbered: rows are put in an order of their own first.

    Parameters
    ----------
    source
        Vectors of any kind (n_items × s): text, or a view's items.
    target
        The target view's items (n_items × t).
    split
        Which items train, choose and test; see ``lib.item_splits``.
    fit
        One of ``lib.maps``.
    users, relevant, seen
        The target view's users (n_users × t), their test items and what they have already (both
        n_users × n_items), for the recall scores, which are left out without them.
    k
        Length of neighbourhoods and lists.
    seed
        Of the map, the bootstrap and the pairs of items.

    Returns
    -------
    DataFrame
        Columns map, split, score, value, low, high (95 % bootstrap interval over items, for recall
        and drop over users), n (items or users) and parameters (numbers the map fitted). Scores:
        ``R²`` (mean over dimensions), ``R², training items``, ``R², variance-weighted``,
        ``R², direction only``, ``cosine``, ``neighbourhood Jaccard``, ``rank correlation``;
        ``recall, …`` and ``recall among all items, …`` in the ways of
        ``lib.probe_scores.inductive_recall``, and ``drop, …``, the share of the true vectors'
        recall that is lost.

    Raises
    ------
    InputError
        Vectors that are not finite or not of the same items, a split of other items, ``k`` outside
        1 to one below the number of held-out items, or some but not all of users, relevant, seen.
    """
    x, y, split = _checked(source, target, split, k)
    fitted, found = _probed(x, y, split, fit, _audience(users, relevant, seen), k, seed)
    rows = [_row(fitted, split, name, estimate(s, seed=seed)) for name, s in found.items()]
    return pd.DataFrame(rows)


def probe_with_bounds(
    source: ArrayLike,
    target: ArrayLike,
    second_seed_target: ArrayLike,
    split: ItemSplit,
    fits: Iterable[Fit],
    *,
    users: ArrayLike | None = None,
    relevant: sp.csr_matrix | None = None,
    seen: sp.csr_matrix | None = None,
    k: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """Probe with each map, and with its floor and its ceiling.

    Parameters
    ----------
    second_seed_target
        The items of the target view trained with another seed (n_items × any width).
    fits
        Some of ``lib.maps``; each is fitted three times.
    source, target, split, users, relevant, seen, k, seed
        As in ``probe``.

    Returns
    -------
    DataFrame
        That of ``probe`` with the columns source (text, permuted, second seed) before, and
        reached, reached_low, reached_high behind: (value − floor) / (ceiling − floor) with its
        bootstrap interval, all three on the same resamples. It is 0 for the floor and 1 for the
        ceiling, and NaN where the two are equal. It means little where they are close, or where the
        ceiling is no better than the floor.

    Raises
    ------
    InputError
        As ``probe``.
    """
    x, y, split = _checked(source, target, split, k)
    second = _checked(second_seed_target, target, split, k)[0]
    audience = _audience(users, relevant, seen)
    rows = []
    for fit in tqdm(list(fits), desc="maps", delay=3, disable=None):
        ways = ((x, fit), (x, permuted(fit)), (second, fit))
        probed = [_probed(start, y, split, one, audience, k, seed) for start, one in ways]
        for name in probed[0][1]:
            of_source, floor, ceiling = (found[name] for _, found in probed)
            reached = estimate(of_source, floor, ceiling, combine=_reached, seed=seed)
            known = 0.0 * reached.mean  # NaN where the share is
            shares = (reached, *(Estimate(b, b, b, reached.n) for b in (known, 1 + known)))
            for label, (fitted, found), share in zip(SOURCES, probed, shares, strict=True):
                row = _row(fitted, split, name, estimate(found[name], seed=seed))
                columns = ("reached", "reached_low", "reached_high")
                rows.append({"source": label} | row | dict(zip(columns, share[:3], strict=True)))
    return pd.DataFrame(rows)


def _reached(value: Floats, floor: Floats, ceiling: Floats) -> Floats:
    span = ceiling - floor
    # bounds that differ by rounding alone leave nothing to reach
    return (value - floor) / np.where(np.abs(span) > 1e-9, span, np.nan)


def _probed(
    x: Floats,
    y: Floats,
    split: ItemSplit,
    fit: Fit,
    audience: Audience | None,
    k: int,
    seed: int,
) -> tuple[Map, dict[str, Score]]:
    """Return the map and its scores by name."""
    train, valid, test = split.train, split.valid, split.test
    fitted = fit(x[train], y[train], x[valid], y[valid], seed=seed)
    true, guess = y[test], fitted.predict(x[test])
    found: dict[str, Score] = {
        "R²": scores.r2(true, guess, seed=seed),
        "R², training items": scores.r2(y[train], fitted.predict(x[train]), seed=seed),
        "R², variance-weighted": scores.r2_weighted(true, guess, seed=seed),
        "R², direction only": scores.r2_direction(true, guess, seed=seed),
        "cosine": scores.mean(scores.cosine(true, guess)),
        "neighbourhood Jaccard": scores.mean(neighbourhood_preservation(true, guess, k)),
        "rank correlation": scores.rank_correlation(true, guess, seed=seed),
    }
    if audience is not None:
        recalls = scores.inductive_recall(audience, y, guess, split, k)
        found |= {name: scores.mean(values) for name, values in recalls.items()}
        for pool, place in (("recall", "drop"), ("recall among all items", "drop among all items")):
            for way, whole in _DROPS.items():
                whole_recall, kept = recalls[f"{pool}, {whole}"], recalls[f"{pool}, {way}"]
                found[f"{place}, {way}"] = scores.drop(whole_recall, kept)
    return fitted, found


_DROPS = {"mapped": "true", "norm-matched": "true", "mapped by cosine": "true by cosine"}
"""What each way to rank predicted vectors is held against."""


def _row(fitted: Map, split: ItemSplit, name: str, found: Estimate) -> dict[str, Any]:
    value, low, high, n = found
    return {
        "map": fitted.name, "split": split.name, "score": name,
        "value": value, "low": low, "high": high, "n": n,
        "parameters": fitted.info["parameters"],
    }  # fmt: skip


def _audience(
    users: ArrayLike | None, relevant: sp.csr_matrix | None, seen: sp.csr_matrix | None
) -> Audience | None:
    if users is None and relevant is None and seen is None:
        return None
    if users is None or relevant is None or seen is None:
        raise InputError(
            "only some of users, relevant and seen were given; give all three for the recall "
            "scores, or none of them"
        )
    return Audience(users, relevant, seen)


def _checked(
    source: ArrayLike, target: ArrayLike, split: ItemSplit, k: int
) -> tuple[Floats, Floats, ItemSplit]:
    """Return vectors, and the split with its items ordered by their target vectors.

    In that order neither batches nor draws depend on how the items are numbered.
    """
    x, y = matrix(source), matrix(target)
    check_same_items(x, y)
    ids = np.concatenate([split.train, split.valid, split.test])
    if not np.array_equal(np.sort(ids), np.arange(len(y))):
        raise InputError(
            f"a split of {len(ids)} items was given for vectors of {len(y)}; give one in which "
            "each of them stands once"
        )
    if not 1 <= k < len(split.test):
        raise InputError(
            f"k = {k} was given with {len(split.test)} held-out items; give 1 to "
            f"{len(split.test) - 1}, so that an item can have as many neighbours"
        )
    parts = {name: getattr(split, name) for name in ("train", "valid", "test")}
    ordered = {name: part[np.lexsort(y[part].T)] for name, part in parts.items()}
    return x, y, replace(split, **ordered)
