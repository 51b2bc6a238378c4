"""Nulls for signal that only text has: what a view without text shows in its place.

A base view, the text, and a null view take part. Where a null is matched, noise is added to the
item vectors of the stronger of text and null until its validation recall is that of the other. An
``excess`` is positive where the text differs from the base more than the null does. Which null a
finding is held against, and by how much it must exceed it, says ``claims.yml``.

The nulls (the base is LightGCN, and so is the null view unless it says otherwise):

- ``second seed``: from the base's own interactions and another seed, as strong as it happens to be;
- ``popularity``: the most popular items, which need neither text nor history;
- ``matched seed``: the second seed, made as strong as the text;
- ``bootstrap``: base from one subsample of the training interactions, text and null from another;
  each keeps an interaction with probability 0.63, as drawing with replacement does;
- ``other half``: base from one half of each user's training interactions, text and null from the
  other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch

from lib import cache, claims
from lib.core import Floats, generator
from lib.dataset import Dataset
from lib.diagnostics import neighbourhood_preservation
from lib.encoders.text import digest_of
from lib.probes.scores import Score, estimate, mean
from lib.stats import Estimate
from lib.views import TRAINED, View
from studies import measures
from studies.context import Run
from studies.subsets import altered, order_within_users

TEXT = "linear"
PLACEBOS = {"popular items": "popularity", "random items": "random"}
"""The model of the text, and by name those of lists that know nothing of it."""

UNMATCHED = ("second seed", "popularity")
KINDS = (*UNMATCHED, "matched seed", "bootstrap", "other half")
LONGER = "longer list"
"""The null of F5 alone: the better view's list of as many items as the union has."""

SAME = {"F3b": "F3"}
"""Findings with the excess of another: both are about hits that only the text finds."""

STEPS = 12
"""Halvings of the interval of noise: the recalls then differ by some hits."""


@dataclass(frozen=True)
class Views:
    """The base, the text and the null view of each training seed."""

    base: list[View]
    text: list[View]
    null: list[View]


def halves(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Return the dataset with one and with the other half of each user's training interactions.

    The odd one goes to either half with probability one half.
    """
    counts, rng = np.diff(dataset.train.indptr), generator(seed, "halves")
    position = order_within_users(dataset.train, rng.random(dataset.train.nnz))
    first = position < np.repeat((counts + rng.integers(0, 2, len(counts))) // 2, counts)
    return altered(dataset, first, None, "one half"), altered(dataset, ~first, None, "other half")


def bootstraps(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Return the dataset with two independent subsamples of the training interactions.

    An interaction is in a subsample with probability 1 − 1/e, as in a bootstrap sample.
    """
    chosen = generator(seed, "subsamples").random((2, dataset.train.nnz)) < 1 - np.exp(-1)
    one, other = (altered(dataset, of, None, f"subsample {n}") for n, of in enumerate(chosen))
    return one, other


def degraded(run: Run, view: View, recall: float, seed: int) -> View:
    """Return the view with noise in its item vectors that brings validation recall to ``recall``.

    The noise is one normal draw; its scale is found by bisection.
    """
    rng = generator(seed, "degraded")
    noise = torch.from_numpy(rng.standard_normal(view.items.shape).astype(np.float32))
    noise *= view.items.std()
    low, high = 0.0, 16.0
    while run.validation(replace(view, items=view.items + high * noise)) > recall and high < 1e6:
        high *= 2
    for _ in range(STEPS):
        middle = (low + high) / 2
        found = run.validation(replace(view, items=view.items + middle * noise))
        low, high = (middle, high) if found > recall else (low, middle)
    return replace(view, items=view.items + high * noise)


def matched(run: Run, text: View, null: View, seed: int) -> tuple[View, View]:
    """Return both views, the one that validates better degraded to the other's recall."""
    recalls = run.validation(text), run.validation(null)
    if recalls[0] > recalls[1]:
        return degraded(run, text, recalls[1], seed), null
    return text, degraded(run, null, recalls[0], seed)


def views(run: Run, null: str, *, text: str = TEXT, **settings: Any) -> Views:
    """Return the views that a null (of ``KINDS``) compares, one of each a training seed.

    ``text`` is the model of the text, or of another list that stands in its place; ``settings`` are
    those of every trained model.
    """
    made = Views([], [], [])
    for seed in run.seeds:
        if null == "bootstrap":
            sides = bootstraps(run.dataset, seed)
        elif null == "other half":
            sides = halves(run.dataset, seed)
        else:
            sides = (run.dataset, run.dataset)
        first, second = map(run.learning_from, sides)
        read = second.view(text, seed, **(settings if text in TRAINED else {}))
        if null == "popularity":
            beside = second.view("popularity", 0)
        else:
            beside = second.view("lightgcn", run.second(seed), **settings)
        if null not in UNMATCHED:
            read, beside = matched(run, read, beside, seed)
        for views_of, view in zip(
            (made.base, made.text, made.null),
            (first.view("lightgcn", seed, **settings), read, beside),
            strict=True,
        ):
            views_of.append(view)
    return made


def excesses(run: Run, found: Views) -> dict[str, Estimate]:
    """Return by how much the text differs from the base more than the null does, by finding.

    F2: Jaccard of null and base minus that of text and base. F3: share of all hits that only the
    text finds minus the same of the null. F4: popularity gap of the null's own hits minus the
    text's. F5: recall of the union with the text over that with the null, minus one. F13: as F2,
    of the neighbours of items. Differences are paired by user, or item.
    """
    relevant = run.dataset.test
    counts = run.dataset.train.getnnz(axis=0).astype(np.float64)
    base, text, null = (
        [run.lists_of(view) for view in of] for of in (found.base, found.text, found.null)
    )
    pairs = [list(zip(lists, base, strict=True)) for lists in (text, null)]

    def difference(of: Callable[..., Score], sign: int = 1, **given: Any) -> Estimate:
        scores = (of(groups, **given) for groups in pairs)
        return estimate(*scores, combine=lambda a, b: sign * (a - b))

    kept = [neighbours_kept(run, of, found.base) for of in (found.text, found.null)]
    unions = (measures.union_recall(groups, relevant) for groups in pairs)
    return {
        "F2": difference(measures.overlap, -1),
        "F3": difference(measures.own_share, relevant=relevant),
        "F4": difference(measures.popularity_gap, -1, relevant=relevant, counts=counts),
        "F5": estimate(measures.gain(*unions)),
        "F13": estimate(mean(kept[1] - kept[0])),
    }


def neighbours_kept(run: Run, views_of: list[View], base: list[View]) -> Floats:
    """Return the mean over seeds of each item's Jaccard of neighbours in a view and in the base."""
    near = measures.n_neighbours(run.dataset.n_items)
    pairs = zip(views_of, base, strict=True)
    kept = [neighbourhood_preservation(view.items, other.items, near) for view, other in pairs]
    return np.asarray(np.mean(kept, axis=0))


def reach(run: Run, found: Views) -> dict[str, Estimate]:
    """Return the most that the excess of F2 and of F13 can be: what null and base share."""
    lists = ([run.lists_of(view) for view in of] for of in (found.null, found.base))
    return {
        "F2": estimate(measures.overlap(zip(*lists, strict=True))),
        "F13": estimate(mean(neighbours_kept(run, found.null, found.base))),
    }


def excess(run: Run, finding: str, text: str = TEXT) -> dict[str, Estimate]:
    """Return a finding's ``excess`` over its claim's null, and its ``reach`` where a rule reads it.

    Nothing of a claim without a null.
    """
    claim = claims.load()[finding]
    if not claim.instrument:
        return {}
    null = claim.instrument
    found = run.once(("null", null, text), lambda: _of_null(run, null, text))
    most = {"reach": found["reach"][finding]} if claim.able else {}
    return {"excess": found["excess"][SAME.get(finding, finding)]} | most


def _of_null(run: Run, null: str, text: str) -> dict[str, dict[str, Estimate]]:
    """Return ``excesses`` and ``reach`` by finding; cached, as five chapters read them."""

    def make() -> cache.Value:
        made = views(run, null, text=text)
        return {"excess": excesses(run, made), "reach": reach(run, made)}

    key = {
        "dataset": run.dataset.name, "data": run.dataset.interactions_digest,
        "null": null, "list": text, "text": digest_of(run.dataset, run.encoder),
        "run": {name: run.parameters[name] for name in ("k", "seed", "seeds", "device")},
        "epochs": run.epochs, "code": cache.code_version(_of_null),
    }  # fmt: skip
    value = cache.cached("null", key, make)
    return {name: {f: Estimate(*e) for f, e in of.items()} for name, of in value.items()}


def placebos(run: Run) -> pd.DataFrame:
    """Return what the rules say of the text, and of lists without any text in its place.

    A row a list and finding: list, finding, null, rule, its excess (mean, low, high, n), passes.
    """
    asked = [c for c in claims.load().values() if c.instrument and c.id not in SAME]
    rows = []
    for claim, (name, model) in product(asked, ({"text": TEXT} | PLACEBOS).items()):
        found = excess(run, claim.id, model)
        row = {"list": name, "finding": claim.id, "null": claim.instrument, "rule": claim.beyond}
        passes = claims.evaluate(claim.beyond, found)
        rows.append(row | found["excess"]._asdict() | {"passes": passes})
    return pd.DataFrame(rows)


def over_longer_list(run: Run, found: Views) -> Estimate:
    """Return recall of the union of text and base over that of ``LONGER``, minus one (F5)."""
    longest = min(2 * run.k, run.dataset.n_items)
    text, base = ([run.lists_of(view, longest) for view in of] for of in (found.text, found.base))
    nothing = np.zeros(run.dataset.n_items)  # counts and strata, which F5 does not read
    rankings = measures.Rankings(
        [lists[:, : run.k] for lists in text], [lists[:, : run.k] for lists in base],
        run.dataset.test, nothing, nothing.astype(np.intp),
        {"longer": base, "semantic longer": text},
    )  # fmt: skip
    return measures.estimates(measures.oracle_gain(rankings))["over_longer"]
