"""Scores that take seconds to compute, with their resamples or nulls, kept by what decides them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lib import cache, probes
from lib.core import device_of
from lib.probes import scores as probe_scores
from lib.probes.maps import PairedVectors
from lib.probes.scores import Resampled
from lib.probes.splits import ItemSplit
from lib.stats import Estimate
from studies import ch11_shared_fraction, measures
from studies.ch11_shared_fraction import SharedFraction


def resampled(
    key: dict[str, Any], make: Callable[[], dict[str, Resampled]]
) -> dict[str, Resampled]:
    """Return the scores that ``make`` gives for ``key``, from the store where they are there.

    ``key`` and ``make`` are those of ``lib.cache.cached``.
    """

    def stored() -> cache.Value:
        made = make()
        return {
            "names": list(made),
            "values": np.array([score.value for score in made.values()]),
            "drawn": np.stack([score.drawn for score in made.values()]),  # scores × resamples
            "n": [int(score.n) for score in made.values()],
        }

    kept = cache.cached("score", key, stored)
    columns = (kept["values"], kept["drawn"], kept["n"])
    return {
        name: Resampled(float(value), drawn, n)
        for name, value, drawn, n in zip(kept["names"], *columns, strict=True)
    }


def reached(
    dataset: str, items: Sequence[np.ndarray], split: ItemSplit, fit: str, *, seed: int
) -> dict[str, Resampled]:
    """Return ``findings.reached``, computed now or read from the store.

    Parameters
    ----------
    dataset
        Its name, by which ``lib.cache`` lists what is kept.
    items
        Source, target and second target (n_items × any width).
    fit
        One of ``lib.probes.MAPS``.
    """
    source, target, second = items
    by = probes.MAPS[fit]
    key = _key(measures.reached, dataset, items, split, [fit], seed)
    return resampled(key, lambda: measures.reached(source, target, second, split, by, seed=seed))


def fitted(
    dataset: str, items: Sequence[np.ndarray], split: ItemSplit, fits: Sequence[str], *, seed: int
) -> dict[str, Resampled]:
    """Return R² of maps on held-out and on training items, computed now or read from the store.

    By "held-out items: NAME" and "training items: NAME". Parameters are those of ``reached``, but
    for ``items``, source and target, and ``fits``, names of maps.
    """
    x, y = items
    pairs = PairedVectors.of(x, y, split.train, split.valid)

    def make() -> dict[str, Resampled]:
        found = {}
        for name in fits:
            by = probes.MAPS[name](pairs, seed=seed)
            for what, part in (("held-out", split.test), ("training", split.train)):
                score = probe_scores.r2(y[part], by.predict(x[part]))
                found[f"{what} items: {name}"] = score
        return found

    return resampled(_key(fitted, dataset, items, split, fits, seed), make)


def shared(
    dataset: str, text: np.ndarray, view: np.ndarray, replicate: np.ndarray, *, seed: int
) -> SharedFraction:
    """Return ``studies.ch11_shared_fraction.estimate``, computed now or read from the store.

    ``dataset`` is its name, by which ``lib.cache`` lists what is kept; the rest is as there.
    """
    key = {
        "dataset": dataset,
        "seed": seed,
        "data": cache.digest(text, view, replicate),
        "code": cache.code_version(ch11_shared_fraction),
    }
    facts = ("share", "explained", "reproducible", "p", "components")

    def make() -> cache.Value:
        found = ch11_shared_fraction.estimate(text, view, replicate, seed=seed)
        return {"null": found.null} | {name: getattr(found, name) for name in facts}

    value = cache.cached("score", key, make)
    return SharedFraction(**value | {"share": Estimate(*value["share"])})


def _key(
    by: Callable[..., Any], dataset: str, items: Sequence[np.ndarray], split: ItemSplit,
    fits: Sequence[str], seed: int,
) -> dict[str, Any]:  # fmt: skip
    return {
        "dataset": dataset,
        "maps": list(fits),
        "seed": seed,
        "device": device_of("auto").type,  # on which networks are trained unless told otherwise
        "data": cache.digest(*items, split.train, split.valid, split.test),
        "code": cache.code_version(by, probes),
    }
