"""The open questions: fusion in equal dimensions, of few interactions, in time, of more views.

Recall comes by training seed and user (n_seeds × n_users), so that intervals cover both. Whatever
can be chosen, in the controls too, is chosen on validation items.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from companion.data import load
from lib import fusion
from lib.core import Floats, InputError, generator
from lib.dataset import Dataset
from lib.encoders import text
from lib.metrics import recall
from lib.stats import Estimate
from lib.views import View
from studies import measures
from studies.concatenation import best_concat, better, even_concat
from studies.context import Run
from studies.subsets import altered, order_within_users

SHARES = (1.0, 0.1, 0.5, 0.25)  # of the training interactions; the rule needs the first two
COLLABORATIVE, TEXT = "LightGCN", "text"
MODELS = {COLLABORATIVE: "lightgcn", TEXT: "linear"}
SECOND = "second LightGCN seed"
FUSION, SEEDS, BETTER_SEEDS = "fusion", "two LightGCN seeds", "two seeds of the better view"
POPULAR = "the most popular items"
JOINT, HALVES = "joint: text and LightGCN", "two LightGCN seeds, half each"
OVER_BETTER = "over the better view"
CONTROLS = (f"over {SEEDS}", f"over {BETTER_SEEDS}", f"over {POPULAR}")
SeedViews = Sequence[View]
"""A view of each of the run's training seeds."""


def recall_by_seed(run: Run, views: SeedViews) -> Floats:
    """Return test recall by seed and user (n_seeds × n_users)."""
    return np.stack([recall(run.lists_of(view), run.dataset.test) for view in views])


def fused_recall(run: Run, parts: Sequence[SeedViews], grid: Floats | None = None) -> Floats:
    """Return recall of norm-concat with the best weights (n_seeds × n_users)."""
    of_seeds = zip(*parts, strict=True)
    return recall_by_seed(run, [best_concat(run.dataset, views, grid) for views in of_seeds])


def at_no_cost(run: Run, dimension: int = 64) -> tuple[dict[str, Floats], pd.DataFrame]:
    """Return recall by seed and user of models of ``dimension`` dimensions, and what each costs.

    The joint model has half of the dimensions for each branch, as has each of two seeds side by
    side. Seconds of training are the mean over seeds on the machine that trained.
    """
    half = dimension // 2
    parts: dict[str, Sequence[SeedViews]] = {
        JOINT: [run.views("joint", dimension=dimension)],
        COLLABORATIVE: [run.views("lightgcn", dimension=dimension)],
        HALVES: [run.views("lightgcn", second=s, dimension=half) for s in (False, True)],
        TEXT: [run.views("linear", dimension=dimension)],
    }
    recalls, costs = {}, []
    for name, of in parts.items():
        of_seeds = list(zip(*of, strict=True))
        whole = [views[0] if len(views) == 1 else even_concat(views) for views in of_seeds]
        recalls[name] = recall_by_seed(run, whole)
        infos = [[view.info for view in views] for views in of_seeds]
        seconds = np.mean([sum(info["seconds"] for info in of_seed) for of_seed in infos])
        costs.append((name, sum(info["n_parameters"] for info in infos[0]), seconds))
    return recalls, pd.DataFrame(costs, columns=["what", "parameters", "seconds of training"])


class Comparison(NamedTuple):
    """Recall (n_seeds × n_users) of a fusion, its views and its controls, by name."""

    recalls: dict[str, Floats]
    better: str  # the view that validates better


def compare_fusion(run: Run) -> Comparison:
    """Return norm-concat of the two views, and what it is compared with."""
    views = {name: run.views(model) for name, model in MODELS.items()}
    twins = {name: (of, run.views(MODELS[name], second=True)) for name, of in views.items()}
    leader = better(views)
    seeds = {name: fused_recall(run, twins[name]) for name in {COLLABORATIVE, leader}}
    recalls = {name: recall_by_seed(run, of) for name, of in views.items()} | {
        FUSION: fused_recall(run, list(views.values())),
        SEEDS: seeds[COLLABORATIVE],
        BETTER_SEEDS: seeds[leader],
        POPULAR: recall_by_seed(run, run.views("popularity")),
    }
    return Comparison(recalls, leader)


def gains(found: Comparison | None) -> dict[str, Estimate]:
    """Return the fusion's gain over the better view and over each control, NaN without any."""
    names = (OVER_BETTER, *CONTROLS)
    if found is None:
        return dict.fromkeys(names, measures.NONE)
    bases = zip(names, (found.better, SEEDS, BETTER_SEEDS, POPULAR), strict=True)
    compared = {what: (found.recalls[FUSION], found.recalls[base]) for what, base in bases}
    return measures.estimates(measures.gains(**compared))


def by_share(run: Run, shares: int) -> dict[float, tuple[float, Comparison]]:
    """Return, per share of the training interactions, the share really left and a comparison.

    One draw of what is removed, of the run's first seed, serves all training seeds.
    """
    found = {}
    for share in sorted(SHARES[:shares], reverse=True):
        data = run.dataset if share == 1 else subsample(run.dataset, share, run.seeds[0])
        left = data.train.nnz / run.dataset.train.nnz
        found[share] = (left, compare_fusion(run.learning_from(data)))
    return found


def subsample(dataset: Dataset, share: float, seed: int = 0) -> Dataset:
    """Return the dataset with a random share of its training interactions.

    Each user keeps at least one, so that where users have few, more than the share is left. One
    seed's draws are nested: what a smaller share keeps, a larger one does.
    """
    whole = dataset.train
    draws = generator(seed, "thinning").random(whole.nnz)
    first = order_within_users(whole, draws) == 0  # one of every user who has any
    draws[first] -= 1
    n = max(round(share * whole.nnz), np.count_nonzero(first))
    kept = np.zeros(whole.nnz, dtype=np.bool_)
    kept[np.argsort(draws, kind="stable")[:n]] = True
    return altered(dataset, kept, None, f"{n:,} of {whole.nnz:,} training interactions kept")


def on_split(run: Run, split: str) -> Comparison | None:
    """Return the comparison on a split of the run's data; None where it needs times unknown."""
    p = run.parameters
    try:
        data = load(p["dataset"], split=split, fields=p["fields"])
    except InputError:
        return None
    return compare_fusion(Run(data, {**run.parameters, "split": split}, epochs=run.epochs))


def views_by_name(run: Run) -> dict[str, SeedViews]:
    """Return the collaborative view, the text, and every further description, by name.

    The third view is the genres, else the words: a rule stated before any of them was trained.
    """
    both: dict[str, SeedViews] = {name: run.views(model) for name, model in MODELS.items()}
    further = [name for name in text.available(run.dataset) if name != run.encoder]
    return both | {name: run.views("linear", encoder=name) for name in further}


def recall_of_combinations(run: Run) -> dict[str, Floats]:
    """Return recall by seed and user of single views and of fusions of two, three and all of them.

    Weights are chosen in tenths, in fifths for four views and more. The last is the control: the
    first two views and a second collaborative seed.
    """
    views = views_by_name(run)
    first = list(views)[:3]
    found = {name: recall_by_seed(run, of) for name, of in views.items()}
    for names in (names for n in (2, 3) for names in combinations(first, n)):
        found[" + ".join(names)] = fused_recall(run, [views[name] for name in names])
    if len(views) > len(first):
        grid = fusion.simplex(len(views), 5)
        found[" + ".join(views)] = fused_recall(run, list(views.values()), grid)
    control = [*(views[name] for name in first[:2]), run.views("lightgcn", second=True)]
    return found | {" + ".join([*first[:2], SECOND]): fused_recall(run, control)}


def third_gains(found: dict[str, Floats], names: Sequence[str]) -> dict[str, Estimate]:
    """Return the measures of Q4: the first three views over the first two and over the control.

    ``found``: ``recall_of_combinations``; ``names``: of all views. NaN where there is no third.
    """
    groups = names[:3], names[:2], [*names[:2], SECOND]
    three, two, control = (found[" + ".join(of)] for of in groups)
    pairs = {"third": (three, two), "seeds": (three, control)}
    return measures.measure("Q4", **pairs if len(names) > 2 else dict.fromkeys(pairs))
