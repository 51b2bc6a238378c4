"""The open questions: fusion at no extra cost, with fewer interactions, in time, with more views.

Recall comes per user, the mean over the training seeds, so that an interval over users is of what
can be expected of one training. Whatever can be chosen, in the controls too, is chosen on
validation items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from companion.data import load
from lib import fusion
from lib.core import InputError, generator
from lib.dataset import Dataset, only
from lib.diagnostics import hits_by_count, jaccard
from lib.encoders import text
from lib.metrics import Floats, recall
from lib.stats import Estimate
from lib.views import View
from studies import measures
from studies.concatenation import best_concat, even_concat
from studies.context import Run

SHARES = (1.0, 0.1, 0.5, 0.25)  # of the training interactions; the rule needs the first two
COLLABORATIVE, TEXT = "LightGCN", "text"
MODELS = {COLLABORATIVE: "lightgcn", TEXT: "linear"}
SECOND = "second LightGCN seed"
OVER_BETTER = "over the better view"
CONTROLS = ("over two LightGCN seeds", "over two seeds of the better view")
UNKNOWN = Estimate(np.nan, np.nan, np.nan, 0)
SeedViews = Sequence[View]
"""A view of each of the run's training seeds."""


def check_parameters(shares: int, epochs: int) -> None:
    """Refuse a number of shares that is not 2 to 4, or of epochs below 1."""
    if not 2 <= shares <= len(SHARES) or epochs < 1:
        raise InputError(
            f"shares = {shares} and epochs = {epochs} were given; shares must be 2 to "
            f"{len(SHARES)} and epochs at least 1"
        )


def mean_recall(run: Run, views: SeedViews) -> Floats:
    """Return each user's test recall, the mean over the seeds (n_users)."""
    test = run.dataset.test
    return np.mean([recall(run.lists_of(view), test) for view in views], axis=0)


def fused_recall(run: Run, parts: Sequence[SeedViews], grid: Floats | None = None) -> Floats:
    """Return each user's recall of norm-concat with the best weights (n_users)."""
    of_seeds = zip(*parts, strict=True)
    return mean_recall(run, [best_concat(run.dataset, views, grid) for views in of_seeds])


def mean_jaccard(run: Run, one: SeedViews, other: SeedViews) -> Floats:
    """Return the Jaccard of two views' test lists, the mean over the seeds (n_users)."""
    pairs = zip(one, other, strict=True)
    return np.mean([jaccard(run.lists_of(a), run.lists_of(b)) for a, b in pairs], axis=0)


# Cost.


def at_no_cost(run: Run, dimension: int = 64) -> tuple[dict[str, Floats], pd.DataFrame]:
    """Return recall per user of models of ``dimension`` dimensions in all, and what each costs.

    The joint model has half of the dimensions for each branch, as each of two seeds side by side
    has. Costs: parameters, seconds of training (mean over seeds, on the machine that trained),
    bytes of a user's or an item's vector, multiplications to score one item for one user.
    """
    half = dimension // 2
    parts: dict[str, list[SeedViews]] = {
        "joint: text and LightGCN": [run.views("joint", dimension=dimension)],
        "LightGCN": [run.views("lightgcn", dimension=dimension)],
        "two LightGCN seeds, half each": [
            run.views("lightgcn", dimension=half),
            run.views("lightgcn", other=True, dimension=half),
        ],
        "text": [run.views("linear", dimension=dimension)],
    }
    recalls, costs = {}, []
    for name, of in parts.items():
        of_seeds = list(zip(*of, strict=True))
        whole = [views[0] if len(views) == 1 else even_concat(views) for views in of_seeds]
        recalls[name] = mean_recall(run, whole)
        seconds = [sum(view.info["seconds"] for view in views) for views in of_seeds]
        costs.append(
            {
                "what": name,
                "parameters": sum(view.info["n_parameters"] for view in of_seeds[0]),
                "seconds of training": np.mean(seconds),
                "bytes per vector": 4 * dimension,
                "multiplications per score": dimension,
            }
        )
    return recalls, pd.DataFrame(costs)


# Fewer interactions, and another split.


class Comparison(NamedTuple):
    """A fusion, its views and its controls: recall and Jaccard per user (n_users)."""

    fused: Floats
    singles: dict[str, Floats]
    better: str  # of the singles
    seeds: Floats  # two LightGCN seeds side by side
    better_seeds: Floats  # two seeds of the better view side by side
    popular: Floats  # one list of the most popular items for everybody
    jaccard: dict[str, Floats]


def compare_fusion(run: Run) -> Comparison:
    """Return norm-concat of the two views, the better view, and concatenations of two seeds.

    Two seeds of LightGCN are the control; two seeds of the better view are it too where that is
    the text.
    """
    views = {name: run.views(model) for name, model in MODELS.items()}
    others = {name: run.views(model, other=True) for name, model in MODELS.items()}
    better = max(views, key=lambda name: np.mean([run.validation(view) for view in views[name]]))
    seeds = {n: fused_recall(run, (views[n], others[n])) for n in {COLLABORATIVE, better}}
    return Comparison(
        fused=fused_recall(run, list(views.values())),
        singles={name: mean_recall(run, of) for name, of in views.items()},
        better=better,
        seeds=seeds[COLLABORATIVE],
        better_seeds=seeds[better],
        popular=mean_recall(run, run.views("popularity")),
        jaccard={
            "LightGCN and text": mean_jaccard(run, *views.values()),
            "LightGCN, two seeds": mean_jaccard(run, views[COLLABORATIVE], others[COLLABORATIVE]),
        },
    )


def gains(found: Comparison | None) -> dict[str, Estimate]:
    """Return the fusion's gain over the better view and over each control, NaN without any."""
    names = (OVER_BETTER, *CONTROLS)
    if found is None:
        return dict.fromkeys(names, measures.NONE)
    bases = (found.singles[found.better], found.seeds, found.better_seeds)
    pairs = {what: (found.fused, base) for what, base in zip(names, bases, strict=True)}
    return measures.estimates(measures.gains(**pairs))


def by_share(run: Run, shares: int) -> dict[float, tuple[float, Comparison]]:
    """Return, per share of the training interactions, the share really left and a comparison.

    One draw of what is removed, of the run's first seed, serves all training seeds; a smaller share
    is part of a larger one.
    """
    found = {}
    for share in sorted(SHARES[:shares], reverse=True):
        data = run.dataset if share == 1 else subsample(run.dataset, share, run.seeds[0])
        left = data.train.nnz / run.dataset.train.nnz
        found[share] = (left, compare_fusion(run.learning_from(data)))
    return found


def subsample(dataset: Dataset, share: float, seed: int = 0) -> Dataset:
    """Return the dataset with a random share of its training interactions, 0 < share ≤ 1.

    Interactions are put in random order, but one of every user before all others, and the first
    round(share · n) are kept: each user keeps at least one, so that where users have few, more than
    the share is left. One seed's draws are nested: what a smaller share keeps, a larger one does.
    Validation and test items are untouched.
    """
    if not 0 < share <= 1:
        raise InputError(f"share = {share} was given; give one above 0 and at most 1, such as 0.1")
    whole = dataset.train
    users = np.repeat(np.arange(dataset.n_users), np.diff(whole.indptr))
    draws = generator(seed, "thinning").random(whole.nnz)
    order = np.lexsort((draws, users))  # by user, then at random
    first = order[np.diff(users[order], prepend=-1) > 0]  # one of every user who has any
    draws[first] -= 1
    n = max(round(share * whole.nnz), len(first))
    kept = np.zeros(whole.nnz, dtype=np.bool_)
    kept[np.argsort(draws, kind="stable")[:n]] = True
    times = dataset.times
    return replace(
        dataset,
        train=only(whole, kept, whole.data),
        times=None if times is None else only(times, kept, times.data),
        card=dataset.card | {"training interactions kept": f"{n:,} of {whole.nnz:,}"},
    )


def on_split(run: Run, split: str) -> Comparison | None:
    """Return the comparison on a split of the run's data; None where it needs times unknown."""
    if split == "temporal" and run.dataset.times is None:
        return None
    data = load(run.parameters["dataset"], split=split)
    return compare_fusion(Run(data, {**run.parameters, "split": split}, epochs=run.epochs))


# More views.


def further_descriptions(run: Run) -> list[str]:
    """Return the further descriptions of the items, the third view first: genres, then words.

    The rule was stated before any of them was trained; the run's own encoder is not among them.
    """
    return [name for name in text.available(run.dataset) if name != run.encoder]


def views_by_name(run: Run) -> dict[str, SeedViews]:
    """Return the collaborative view, the text, and every further description, by name."""
    both: dict[str, SeedViews] = {name: run.views(model) for name, model in MODELS.items()}
    return both | {n: run.views("linear", encoder=n) for n in further_descriptions(run)}


def recall_of_combinations(run: Run) -> dict[str, Floats]:
    """Return recall per user of single views and of fusions of two, three and all of them.

    Names join the views by " + ". Weights are chosen in tenths, in fifths for four views and more.
    The last is the control: the first two views and a second collaborative seed.
    """
    views = views_by_name(run)
    first = list(views)[:3]
    found = {name: mean_recall(run, of) for name, of in views.items()}
    for names in (names for n in (2, 3) for names in combinations(first, n)):
        found[" + ".join(names)] = fused_recall(run, [views[name] for name in names])
    if len(views) > len(first):
        grid = fusion.simplex(len(views), 5)
        found[" + ".join(views)] = fused_recall(run, list(views.values()), grid)
    control = [*(views[name] for name in first[:2]), run.views("lightgcn", other=True)]
    return found | {" + ".join([*first[:2], SECOND]): fused_recall(run, control)}


def third_gains(found: dict[str, Floats], names: Sequence[str]) -> tuple[Estimate, Estimate]:
    """Return the gain of three views over the first two, and over the control.

    ``found`` is what ``recall_of_combinations`` gives, ``names`` are those of ``views_by_name``, in
    order; NaN where there is no third.
    """
    if len(names) < 3:
        return measures.NONE, measures.NONE
    three, two = found[" + ".join(names[:3])], found[" + ".join(names[:2])]
    control = found[" + ".join([*names[:2], SECOND])]
    gains_of = measures.measure("Q4", third=(three, two), seeds=(three, control))
    return gains_of["third"], gains_of["seeds"]


def hits_by_lists(run: Run) -> pd.DataFrame:
    """Return the shares of hits (%) that exactly one, two and three lists find.

    Of the collaborative view, the text and the third description, and of the control with a second
    collaborative seed in its place; pooled over users and seeds.
    """
    views = views_by_name(run)
    first, both = list(views)[:3], [views[COLLABORATIVE], views[TEXT]]
    rows = {
        ", ".join(first): both + [views[name] for name in first[2:]],
        ", ".join([*first[:2], SECOND]): [*both, run.views("lightgcn", other=True)],
    }
    shares = {}
    for name, parts in rows.items():
        if len(parts) == 3:
            lists = [[run.lists_of(view) for view in views] for views in zip(*parts, strict=True)]
            counts = [hits_by_count(of_seed, run.dataset.test) for of_seed in lists]
            hits = np.sum(counts, axis=(0, 1))[1:]
            shares[name] = 100 * hits / hits.sum()
    return pd.DataFrame(shares, index=["one list", "two lists", "three lists"]).T
