"""Probes: what a map recovers of one view's item vectors from another's, beyond chance.

A probe alone says little. The same map fitted on pairs that do not belong together is its floor;
the same map from a second training of the target view, which differs only in its seed, its ceiling.
Two trainings of a factor model agree at best up to a rotation, so a linear map can reach it. Both
seeds have seen the held-out items' interactions: the ceiling is what is in the target to be
recovered, not what could be known of a new item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike
from tqdm import tqdm

from lib.core import Floats, InputError, matrix
from lib.diagnostics import neighbourhood_preservation
from lib.probes import scores
from lib.probes.maps import Fit, Map, check_same_items, permuted
from lib.probes.maps import fit_cca as cca
from lib.probes.maps import fit_mlp as mlp
from lib.probes.maps import fit_mlp_reference as mlp_reference
from lib.probes.maps import fit_procrustes as procrustes
from lib.probes.maps import fit_ridge as ridge
from lib.probes.scores import Audience, Score, estimate
from lib.probes.splits import ItemSplit, cluster, popularity, random, temporal
from lib.stats import Estimate

__all__ = [
    "ItemSplit", "Map", "Recovery", "bounded", "cca", "cluster", "compare", "mlp", "mlp_reference",
    "permuted", "popularity", "probe", "probe_with_bounds", "procrustes", "random", "reached",
    "recover", "ridge", "temporal",
]  # fmt: skip

SOURCES = ("text", "permuted", "second seed")
"""What a probe starts from: the source, the source paired at random (floor), a second seed
(ceiling)."""

Part = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class Recovery:
    """What a map makes of all items, beside what they are.

    ``target`` and ``guess`` are n_items × t, ``info`` is the map's. The parts of ``split`` stand in
    the order of their target vectors, so that no draw depends on how the items are numbered.
    """

    map: str
    info: Mapping[str, Any]
    split: ItemSplit
    target: Floats
    guess: Floats


def recover(
    source: ArrayLike, target: ArrayLike, split: ItemSplit, fit: Fit, *, seed: int = 0
) -> Recovery:
    """Fit a map on training items, its strength on validation items, and predict all items.

    Parameters
    ----------
    source, target, split, fit
        As in ``probe``.
    seed
        Of the map.

    Raises
    ------
    InputError
        Vectors that are not finite or not of the same items, or a split of other items.
    """
    x, y, split = checked(source, target, split)
    train, valid = split.train, split.valid
    fitted = fit(x[train], y[train], x[valid], y[valid], seed=seed)
    return Recovery(fitted.name, fitted.info, split, y, fitted.predict(x))


def compare(
    *recoveries: Recovery,
    combine: Callable[..., Floats] = np.subtract,
    part: Part = "test",
    seed: int = 0,
) -> Estimate:
    """Return ``combine`` of the R² of maps on the same items, all on the same resamples of them.

    By default the difference of two: maps that err on the same items differ by less than their
    separate intervals suggest, or by more. ``combine`` takes one R² per map, as numbers or arrays.

    Raises
    ------
    InputError
        Maps of other targets, or judged on other items.
    """
    first = recoveries[0]
    items = getattr(first.split, part)
    for other in recoveries[1:]:
        if not (
            np.array_equal(first.target, other.target)
            and np.array_equal(items, getattr(other.split, part))
        ):
            raise InputError(
                f"the maps {first.map!r} and {other.map!r} were judged on other target vectors or "
                "another split; compare maps of one target view on one split"
            )
    found = (scores.r2(one.target[items], one.guess[items], seed=seed) for one in recoveries)
    return estimate(*found, combine=combine, seed=seed)


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
        Which items train, choose and test; see ``lib.probes.splits``.
    fit
        One of ``lib.probes.maps``.
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
        ``lib.probes.scores.inductive_recall``, and ``drop, …``, the share of the true vectors'
        recall that is lost.

    Raises
    ------
    InputError
        Vectors that are not finite or not of the same items, a split of other items, ``k`` outside
        1 to one below the number of held-out items, or some but not all of users, relevant, seen.
    """
    recovery = recover(source, target, split, fit, seed=seed)
    found = _scores(recovery, _audience(users, relevant, seen), k, seed)
    return pd.DataFrame([_row(recovery, name, estimate(s, seed=seed)) for name, s in found.items()])


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
        Some of ``lib.probes.maps``; each is fitted three times.
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
    rows = []
    for fit in tqdm(list(fits), desc="maps", delay=3, disable=None):
        ways = ((source, fit), (source, permuted(fit)), (second_seed_target, fit))
        three = [recover(start, target, split, one, seed=seed) for start, one in ways]
        rows.append(bounded(*three, users=users, relevant=relevant, seen=seen, k=k, seed=seed))
    return pd.concat(rows, ignore_index=True)


def bounded(
    text: Recovery,
    floor: Recovery,
    ceiling: Recovery,
    *,
    users: ArrayLike | None = None,
    relevant: sp.csr_matrix | None = None,
    seen: sp.csr_matrix | None = None,
    k: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """Score what one map makes of the text, of permuted pairs, and of a second seed.

    Returns the table of ``probe_with_bounds``, whose other parameters are those here.

    Raises
    ------
    InputError
        As ``probe``.
    """
    audience, three = _audience(users, relevant, seen), (text, floor, ceiling)
    found = [_scores(one, audience, k, seed) for one in three]
    rows = []
    for name in found[0]:
        each = [one[name] for one in found]
        share = estimate(*each, combine=reached, seed=seed)
        known = 0.0 * share.mean  # NaN where the share is
        shares = (share, *(Estimate(b, b, b, share.n) for b in (known, 1 + known)))
        for label, recovery, score, of in zip(SOURCES, three, each, shares, strict=True):
            row = _row(recovery, name, estimate(score, seed=seed))
            columns = ("reached", "reached_low", "reached_high")
            rows.append({"source": label} | row | dict(zip(columns, of[:3], strict=True)))
    return pd.DataFrame(rows)


def reached(value: Floats, floor: Floats, ceiling: Floats) -> Floats:
    """Return (value − floor) / (ceiling − floor), NaN where the bounds are equal but for rounding.

    For ``compare`` of a map from text, from permuted pairs and from a second seed.
    """
    span = ceiling - floor
    # bounds that differ by rounding alone leave nothing to reach
    return (value - floor) / np.where(np.abs(span) > 1e-9, span, np.nan)


def _scores(recovery: Recovery, audience: Audience | None, k: int, seed: int) -> dict[str, Score]:
    """Return the scores by name."""
    split, y = recovery.split, recovery.target
    train, test = split.train, split.test
    if not 1 <= k < len(test):
        raise InputError(
            f"k = {k} was given with {len(test)} held-out items; give 1 to "
            f"{len(test) - 1}, so that an item can have as many neighbours"
        )
    true, guess = y[test], recovery.guess[test]
    found: dict[str, Score] = {
        "R²": scores.r2(true, guess, seed=seed),
        "R², training items": scores.r2(y[train], recovery.guess[train], seed=seed),
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
    return found


_DROPS = {"mapped": "true", "norm-matched": "true", "mapped by cosine": "true by cosine"}
"""What each way to rank predicted vectors is held against."""


def _row(recovery: Recovery, name: str, found: Estimate) -> dict[str, Any]:
    value, low, high, n = found
    return {
        "map": recovery.map, "split": recovery.split.name, "score": name,
        "value": value, "low": low, "high": high, "n": n,
        "parameters": recovery.info["parameters"],
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


def checked(
    source: ArrayLike, target: ArrayLike, split: ItemSplit
) -> tuple[Floats, Floats, ItemSplit]:
    """Return vectors, and the split with its items ordered by their target vectors.

    In that order neither batches nor draws depend on how the items are numbered.

    Raises
    ------
    InputError
        As ``recover``.
    """
    x, y = matrix(source), matrix(target)
    check_same_items(x, y)
    ids = np.concatenate([split.train, split.valid, split.test])
    if not np.array_equal(np.sort(ids), np.arange(len(y))):
        raise InputError(
            f"a split of {len(ids)} items was given for vectors of {len(y)}; give one in which "
            "each of them stands once"
        )
    parts = {name: getattr(split, name) for name in ("train", "valid", "test")}
    ordered = {name: part[np.lexsort(y[part].T)] for name, part in parts.items()}
    return x, y, replace(split, **ordered)
