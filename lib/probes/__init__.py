"""Probes: what a map recovers of one view's item vectors from another's, beyond chance.

A probe alone says little. The same map fitted on pairs that do not belong together is its floor;
the same map from a second training of the target view, which differs only in its seed, its ceiling.
Both seeds saw the held-out items' interactions: the ceiling is not what a new item's could be.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lib.core import Floats, InputError, matrix
from lib.diagnostics import neighbourhood_preservation
from lib.probes import maps, networks, scores
from lib.probes.maps import Fit, Map, PairedVectors, permuted
from lib.probes.scores import Audience, Score, estimate
from lib.probes.splits import ItemSplit

__all__ = [
    "MAPS", "NETWORKS", "SOURCES", "Audience", "Fit", "ItemSplit", "Map", "PairedVectors",
    "Recovery", "bounded", "named", "permuted", "probe", "recover", "share_reached",
]  # fmt: skip

SOURCES = ("text", "permuted", "second seed")
"""What a probe starts from: the source, its pairs permuted (floor), a second seed (ceiling)."""

NETWORKS: Mapping[str, Fit] = {
    name: partial(networks.fit_mlp, hidden=of) for name, of in networks.HIDDEN.items()
} | {
    f"{name}, reference": partial(networks.fit_mlp_reference, hidden=of)
    for name, of in {"linear": (), **networks.HIDDEN}.items()
}
"""Trained maps by their names: those with validation, and those of the reference."""

MAPS: Mapping[str, Fit] = {
    "procrustes": maps.fit_procrustes,
    "cca": maps.fit_cca,
    "ridge": maps.fit_ridge,
    **NETWORKS,
}


def named(name: str, *, epochs: int = networks.EPOCHS, device: str = "auto") -> Fit:
    """Return the map of that name; ``epochs`` and ``device`` are for those that are trained."""
    if name not in MAPS:
        raise InputError(f"map {name!r} is not known; choose one of {', '.join(map(repr, MAPS))}")
    fit: Any = MAPS[name]
    return partial(fit, epochs=epochs, device=device) if name in NETWORKS else fit


@dataclass(frozen=True)
class Recovery:
    """What a map predicts for all items, and their true vectors."""

    map: str
    info: Mapping[str, Any]  # the map's
    split: ItemSplit  # as ``ordered_by`` the target: no draw depends on how items are numbered
    target: Floats  # n_items × t
    predicted: Floats  # n_items × t


def recover(
    source: ArrayLike, target: ArrayLike, split: ItemSplit, fit: Fit, *, seed: int = 0
) -> Recovery:
    """Fit a map on training and validation items and predict all items; parameters of ``probe``."""
    x, y = matrix(source), matrix(target)
    split = split.ordered_by(y)
    fitted = fit(PairedVectors.of(x, y, split.train, split.valid), seed=seed)
    return Recovery(fitted.name, fitted.info, split, y, fitted.predict(x))


def probe(
    source: ArrayLike, target: ArrayLike, split: ItemSplit, fit: Fit, *, second_seed: ArrayLike,
    audience: Audience | None = None, k: int = 20, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Fit a map on training items, and its floor and its ceiling; score them on held-out items.

    ``source`` are vectors of any kind (n_items × s), ``target`` the target view's items (n_items ×
    t), ``second_seed`` those of the same view trained with another seed, and ``audience`` its
    users, without whom recall is left out. ``fit`` is one of ``MAPS``, or any other function from
    ``PairedVectors`` to a ``Map``; ``k`` is the length of neighbourhoods and lists.
    """
    text = recover(source, target, split, fit, seed=seed)
    floor = recover(source, target, split, permuted(fit), seed=seed)
    ceiling = recover(second_seed, target, split, fit, seed=seed)
    return bounded(text, floor, ceiling, audience=audience, k=k, seed=seed)


def bounded(
    text: Recovery, floor: Recovery, ceiling: Recovery, *, audience: Audience | None = None,
    k: int = 20, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Return the scores of a map that was fitted in its three ways; parameters of ``probe``.

    Columns: source (one of ``SOURCES``), map, split, score, value, low, high (95 % bootstrap
    interval over items, of recall and drop over users), n (items or users), parameters (numbers the
    map fitted), and reached, reached_low, reached_high: ``share_reached`` on the same resamples of
    all three, which means little where the floor is close to the ceiling. Scores: those of
    ``lib.probes.scores``; ``drop, …`` is the share of the true vectors' recall that is lost.
    """
    three = (text, floor, ceiling)
    found = [_scores(one, audience, k, seed) for one in three]
    rows = []
    for name in found[0]:
        each = [one[name] for one in found]
        share = estimate(*each, combine=share_reached, seed=seed)
        known = 0.0 * share.mean  # NaN where the share is
        shares = (share[:3], 3 * (known,), 3 * (1 + known,))
        for source, recovery, score, reached in zip(SOURCES, three, each, shares, strict=True):
            value, low, high, n = estimate(score, seed=seed)
            rows.append({
                "source": source, "map": recovery.map, "split": recovery.split.name, "score": name,
                "value": value, "low": low, "high": high, "n": n,
                "parameters": recovery.info["parameters"],
                **dict(zip(("reached", "reached_low", "reached_high"), reached, strict=True)),
            })  # fmt: skip
    return pd.DataFrame(rows)


def share_reached(value: Floats, floor: Floats, ceiling: Floats) -> Floats:
    """Return (value − floor) / (ceiling − floor), NaN where floor and ceiling are about equal."""
    span = ceiling - floor
    return (value - floor) / np.where(np.abs(span) > 1e-9, span, np.nan)


def _scores(recovery: Recovery, audience: Audience | None, k: int, seed: int) -> dict[str, Score]:
    split, y = recovery.split, recovery.target
    train, test = split.train, split.test
    true, guess = y[test], recovery.predicted[test]
    found: dict[str, Score] = {
        "R²": scores.r2(true, guess, seed=seed),
        "R², training items": scores.r2(y[train], recovery.predicted[train], seed=seed),
        "R², variance-weighted": scores.r2_weighted(true, guess, seed=seed),
        "R², direction only": scores.r2_direction(true, guess, seed=seed),
        "cosine": scores.mean(scores.cosine(true, guess)),
        "neighbourhood Jaccard": scores.mean(neighbourhood_preservation(true, guess, k)),
        "rank correlation": scores.rank_correlation(true, guess, seed=seed),
    }
    if audience is None:
        return found
    recalls = scores.inductive_recall(audience, y, guess, split, k)
    found |= {name: scores.mean(values) for name, values in recalls.items()}
    # each ranking of predicted vectors, and the one of true vectors that it is compared with
    pairs = {"mapped": "true", "norm-matched": "true", "mapped by cosine": "true by cosine"}
    for pool, drop in (("recall", "drop"), ("recall among all items", "drop among all items")):
        for way, whole in pairs.items():
            of_true, of_mapped = recalls[f"{pool}, {whole}"], recalls[f"{pool}, {way}"]
            found[f"{drop}, {way}"] = scores.drop(of_true, of_mapped)
    return found
