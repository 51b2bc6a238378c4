"""The landscape: findings on every set of one list, and what they come to over all sets."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from companion.data import load
from lib import cache
from lib.core import Floats
from studies.ch08_methods import ALIGNED, SINGLES, fitted
from studies.ch09_long_tail import beside_lightgcn, weighted
from studies.ch15_text_strength import PAPER, findings
from studies.context import Run

SETS = (
    "scientific-2018 toys-2014 clothing-2014 beauty-2014 health-2014 electronics-2014 "
    "electronics-2018 games-2018 books-2014 food steam ml-1m movietweetings ml-100k"
).split()
OTHERS = {
    "LightGCN-128": SINGLES["LightGCN, 128 dimensions"],
    "RLMRec-64": ALIGNED["RLMRec-Con"],
    "RLMRec-128": ALIGNED["RLMRec-Con, 128 dimensions"],
}
GAINS = {"seeds": "F8: over two LightGCN seeds"} | {name: f"F8: over {name}" for name in OTHERS}
VIEWS = {"ratio": "F1: text / LightGCN", "jaccard": "F2: Jaccard", "gain": "F5: gain of union"}
COEFFICIENTS = ("ratio 1.03, 99.9 % sparse", "ratio doubled", "ten times sparser")
SUMMARY, NEXT = "mean of all sets", "a next set, 95 % prediction"


def of_set(name: str, parameters: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """Return a set's density and ``findings``; cached, so that sets can be added over time.

    The models of ``OTHERS`` have one seed, and RLMRec the weight of best validation recall.
    """
    run = Run(load(name), {**parameters, "dataset": name}, epochs=epochs)
    one, data = run.fewer(1), run.dataset

    def make() -> cache.Value:
        views = {other: fitted(one, one.seeds[0], spec) for other, spec in OTHERS.items()}
        others = {other: [run.lists_of(view)] for other, view in views.items()}
        density = (data.seen.nnz + data.test.nnz) / (data.n_users * data.n_items)
        lists = beside_lightgcn(run, run, weighted(run), **others)
        return {"set": name, "density": density, **findings(lists)}

    key = {"dataset": name, "data": data.digest, **parameters, "epochs": epochs}
    return cache.cached("landscape", {**key, "code": cache.code_version(of_set)}, make)


def pooled(sets: pd.DataFrame, name: str, *predictors: Floats) -> pd.DataFrame:
    """Return a random-effects regression's coefficients: mean, low, high, se, tau, I², sets.

    Without ``predictors`` (a value per set) that is the mean over sets. The variance between sets,
    tau², is DerSimonian and Laird's (1986), or by the same moments of residuals; intervals are
    Knapp and Hartung's (2003), never narrower than without that. NaN where sets are too few.
    """
    effects, low, high = (sets[name + end].to_numpy(float) for end in ("", "_low", "_high"))
    variances, design = np.square((high - low) / 3.92), np.column_stack([0 * low + 1, *predictors])
    if (free := len(sets) - design.shape[1]) < 2:
        unknown = dict.fromkeys(("mean", "low", "high", "se", "tau", "I²"), np.nan)
        return pd.DataFrame(unknown, range(design.shape[1])).assign(sets=len(sets))

    def fit(variances: Floats) -> tuple[Floats, Floats, float, float]:
        weights = 1 / variances
        inverse = np.linalg.inv(design.T * weights @ design)
        found = inverse @ design.T @ (weights * effects)
        q = float(weights @ np.square(effects - design @ found))
        whole = weights.sum() - np.trace(inverse @ (design.T * weights**2) @ design)
        return found, inverse, q, max(0.0, (q - free) / whole)

    *_, q, between = fit(variances)
    found, inverse, left, _ = fit(variances + between)
    se = np.sqrt(np.diag(inverse) * max(1.0, left / free))
    half, i2 = t.ppf(0.975, free) * se, max(0.0, 1 - free / q)
    about = {"se": se, "tau": np.sqrt(between), "I²": i2, "sets": len(sets)}
    return pd.DataFrame({"mean": found, "low": found - half, "high": found + half, **about})


def forest(sets: pd.DataFrame, measures: Mapping[str, str]) -> pd.DataFrame:
    """Return a panel per measure: every set, the mean, and the prediction of a next set.

    The latter is the interval of Higgins, Thompson and Spiegelhalter (2009).
    """
    parts = []
    for name, panel in measures.items():
        ends = {name: "mean", f"{name}_low": "low", f"{name}_high": "high", "set": "what"}
        mean = pooled(sets, name).assign(what=SUMMARY)
        half = np.hypot(mean["tau"], mean["se"]) * t.ppf(0.975, max(1, len(sets) - 2))
        further = mean.assign(what=NEXT, low=mean["mean"] - half, high=mean["mean"] + half)
        each = sets.rename(columns=ends)[list(ends.values())]
        parts.append(pd.concat([each, mean, further]).assign(panel=panel))
    return pd.concat(parts, ignore_index=True)


def regression(sets: pd.DataFrame) -> pd.DataFrame:
    """Return how the gains of fusion go with the ratio of F1 and with sparsity, over sets."""
    along = np.log2(sets["ratio"] / PAPER), np.log10(1e-3 / sets["density"])
    found = {panel: pooled(sets, name, *along) for name, panel in GAINS.items()}
    rows = [of.assign(what=COEFFICIENTS, panel=panel) for panel, of in found.items()]
    return pd.concat(rows, ignore_index=True)
