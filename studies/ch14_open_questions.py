"""The comparisons of the chapter on open questions: cost, sparsity, other splits, more views.

Recall comes per user, the mean over the training seeds, so that an interval over users is of what
can be expected of one training. Whatever can be chosen, in the controls too, is chosen on
validation items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from companion.data import load
from lib import fusion, views
from lib.core import InputError
from lib.dataset import Dataset
from lib.diagnostics import hits_by_count, jaccard
from lib.encoders import text
from lib.encoders.training import VALIDATION_K
from lib.metrics import Floats, Lists, recall
from lib.stats import Estimate, relative_gain
from lib.views import View
from studies.ch14_thinning import thinned
from studies.concatenation import best_concat, even_concat
from studies.context import Run

SHARES = (1.0, 0.1, 0.5, 0.25)  # of the training interactions; the rule needs the first two
COLLABORATIVE, TEXT = "LightGCN", "text"
SECOND = "second LightGCN seed"
OVER_BETTER = "over the better view"
CONTROLS = ("over two LightGCN seeds", "over two seeds of the better view")
NONE = Estimate(np.nan, np.nan, np.nan, 0)
Make = Callable[[int], View]
"""How a view is made from a training seed."""


def check(shares: int, epochs: int) -> None:
    """Refuse a number of shares that is not 2 to 4, or of epochs below 1.

    Raises
    ------
    InputError
        It names what is accepted.
    """
    if not 2 <= shares <= len(SHARES) or epochs < 1:
        raise InputError(
            f"shares = {shares} and epochs = {epochs} were given; shares must be 2 to "
            f"{len(SHARES)} and epochs at least 1"
        )


@dataclass(frozen=True)
class Trials:
    """Views that learn from ``trained`` and are judged on ``run.dataset``, by the run's seeds.

    The two differ where training interactions were removed. Lists leave out what the judging
    dataset has as training (and, at test, validation) items, so that candidates stay the same.
    """

    run: Run
    trained: Dataset
    epochs: int

    def view(self, model: str, seed: int, **settings: Any) -> View:
        """Return a view, with the run's encoder unless another is given."""
        p = self.run.parameters
        given = {"encoder": p["encoder"], "epochs": self.epochs} | settings
        return views.fit(self.trained, model, seed=seed, device=p["device"], **given)

    def second(self, model: str, seed: int, **settings: Any) -> View:
        """Return the view of the seed that ``seed`` is held against."""
        return self.view(model, self.run.other(seed), **settings)

    def lists(self, view: View) -> Lists:
        """Return the view's test lists (n_users × k)."""
        return views.lists(view, self.run.dataset, self.run.k)

    def recall(self, make: Make) -> Floats:
        """Return each user's recall, the mean over the seeds (n_users)."""
        test = self.run.dataset.test
        return np.mean([recall(self.lists(make(s)), test) for s in self.run.seeds], axis=0)

    def validation(self, make: Make) -> float:
        """Return Recall@20 on validation items, the mean over users and seeds."""
        data, k = self.run.dataset, min(VALIDATION_K, self.run.dataset.n_items)
        every = [views.lists(make(s), data, k, part="valid") for s in self.run.seeds]
        return float(np.mean([np.nanmean(recall(one, data.valid)) for one in every]))

    def fused(self, parts: Sequence[Make], grid: Floats | None = None) -> Floats:
        """Return each user's recall of norm-concat with the best weights (n_users)."""
        return self.recall(
            lambda s: best_concat(self.run.dataset, [make(s) for make in parts], grid)
        )

    def jaccard(self, parts: Sequence[Make]) -> Floats:
        """Return the Jaccard of two views' lists, the mean over the seeds (n_users)."""
        lists = [[self.lists(make(s)) for make in parts] for s in self.run.seeds]
        return np.mean([jaccard(a, b) for a, b in lists], axis=0)


class Comparison(NamedTuple):
    """A fusion beside its views and its controls: recall and Jaccard per user (n_users)."""

    fused: Floats
    singles: dict[str, Floats]
    better: str  # of the singles
    seeds: Floats  # two LightGCN seeds side by side
    better_seeds: Floats  # two seeds of the better view side by side
    popular: Floats  # one list of the most popular items for everybody
    jaccard: dict[str, Floats]


def gains(found: Comparison | None) -> dict[str, Estimate]:
    """Return the fusion's gain over the better view and over each control, NaN without any."""
    if found is None:
        return dict.fromkeys((OVER_BETTER, *CONTROLS), NONE)
    against = (found.singles[found.better], found.seeds, found.better_seeds)
    return {
        what: relative_gain(found.fused, values)
        for what, values in zip((OVER_BETTER, *CONTROLS), against, strict=True)
    }


def compared(trials: Trials) -> Comparison:
    """Return norm-concat of the two views beside the better view and concatenations of two seeds.

    Two seeds of LightGCN are the control; two seeds of the better view are it too where that is
    the text.
    """
    models = {COLLABORATIVE: "lightgcn", TEXT: "linear"}
    make: dict[str, Make] = {n: partial(trials.view, model) for n, model in models.items()}
    again: dict[str, Make] = {n: partial(trials.second, model) for n, model in models.items()}
    better = max(make, key=lambda name: trials.validation(make[name]))
    seeds = {n: trials.fused((make[n], again[n])) for n in {COLLABORATIVE, better}}
    return Comparison(
        fused=trials.fused(list(make.values())),
        singles={name: trials.recall(of) for name, of in make.items()},
        better=better,
        seeds=seeds[COLLABORATIVE],
        better_seeds=seeds[better],
        popular=trials.recall(lambda seed: views.fit(trials.trained, "popularity", seed=seed)),
        jaccard={
            "LightGCN and text": trials.jaccard(list(make.values())),
            "LightGCN, two seeds": trials.jaccard([make[COLLABORATIVE], again[COLLABORATIVE]]),
        },
    )


def by_share(run: Run, shares: int, epochs: int) -> dict[float, tuple[float, Comparison]]:
    """Return, per share of the training interactions, the share really left and a comparison.

    One draw of what is removed, of the run's first seed, serves all training seeds; a smaller share
    is part of a larger one.
    """
    found = {}
    for share in sorted(SHARES[:shares], reverse=True):
        data = run.dataset if share == 1 else thinned(run.dataset, share, run.seeds[0])
        left = data.train.nnz / run.dataset.train.nnz
        found[share] = (left, compared(Trials(run, data, epochs)))
    return found


def of_split(run: Run, split: str, epochs: int) -> Comparison | None:
    """Return the comparison on a split of the run's data; None where it needs times unknown."""
    if split == "temporal" and run.dataset.times is None:
        return None
    data = load(run.parameters["dataset"], split=split)
    other = Run(data, {**run.parameters, "split": split}, epochs=run.epochs)
    return compared(Trials(other, other.dataset, epochs))


def descriptions_of(run: Run) -> list[str]:
    """Return the further descriptions of the items, the third view first: genres, then words.

    The rule was stated before any of them was trained; the run's own encoder is not among them.
    """
    return [n for n in text.available(run.dataset) if n != run.parameters["encoder"]]


def members(trials: Trials) -> dict[str, Make]:
    """Return the collaborative view, the text, and every further description, by name."""
    further: dict[str, Make] = {
        n: partial(trials.view, "linear", encoder=n) for n in descriptions_of(trials.run)
    }
    both: dict[str, Make] = {
        COLLABORATIVE: partial(trials.view, "lightgcn"),
        TEXT: partial(trials.view, "linear"),
    }
    return both | further


def more_views(trials: Trials) -> dict[str, Floats]:
    """Return recall per user of single views and of fusions of two, three and all of them.

    Names join the views by " + ". Weights are chosen in tenths, in fifths for four views and more.
    The last is the control: the first two views and a second collaborative seed.
    """
    make = members(trials)
    first = list(make)[:3]
    found = {name: trials.recall(make[name]) for name in make}
    groups = [names for n in (2, 3) for names in combinations(first, n)]
    for names in groups:
        found[" + ".join(names)] = trials.fused([make[name] for name in names])
    if len(make) > len(first):
        grid = fusion.simplex(len(make), 5)
        found[" + ".join(make)] = trials.fused(list(make.values()), grid)
    control: list[Make] = [*(make[name] for name in first[:2]), partial(trials.second, "lightgcn")]
    return found | {" + ".join([*first[:2], SECOND]): trials.fused(control)}


def third_gains(found: dict[str, Floats], names: Sequence[str]) -> tuple[Estimate, Estimate]:
    """Return the gain of three views over the first two, and over the control.

    ``found`` is what ``more_views`` gives, ``names`` are those of ``members``, in order; NaN where
    there is no third.
    """
    if len(names) < 3:
        return NONE, NONE
    three = found[" + ".join(names[:3])]
    controls = (names[:2], [*names[:2], SECOND])
    two, seeds = (relative_gain(three, found[" + ".join(control)]) for control in controls)
    return two, seeds


def finders(trials: Trials) -> pd.DataFrame:
    """Return the shares of hits (%) that exactly one, two and three lists find.

    Of the collaborative view, the text and the third description, and of the control with a second
    collaborative seed in its place; pooled over users and seeds.
    """
    make = members(trials)
    first = list(make)[:3]
    both = [make[name] for name in first[:2]]
    third = [make[name] for name in first[2:]]
    rows: dict[str, list[Make]] = {
        ", ".join(first): both + third,
        ", ".join([*first[:2], SECOND]): [*both, partial(trials.second, "lightgcn")],
    }
    shares = {name: _found_by(trials, parts) for name, parts in rows.items() if len(parts) == 3}
    return pd.DataFrame(shares, index=["one list", "two lists", "three lists"]).T


def _found_by(trials: Trials, parts: Sequence[Make]) -> Floats:
    counts = [
        hits_by_count([trials.lists(make(seed)) for make in parts], trials.run.dataset.test)
        for seed in trials.run.seeds
    ]
    hits = np.sum(counts, axis=(0, 1))[1:]
    return 100 * hits / hits.sum()


def at_no_cost(trials: Trials, width: int = 64) -> tuple[dict[str, Floats], pd.DataFrame]:
    """Return recall per user of models of ``width`` dimensions in all, and what each costs.

    The joint model has half of the dimensions for each branch, as each of two seeds side by side
    has. Costs: parameters, seconds of training (mean over seeds, on the machine that trained),
    bytes of a user's or an item's vector, multiplications to score one item for one user.
    """
    half = {"dimension": width // 2}
    parts: dict[str, list[Make]] = {
        "joint: text and LightGCN": [partial(trials.view, "joint", dimension=width)],
        "LightGCN": [partial(trials.view, "lightgcn", dimension=width)],
        "two LightGCN seeds, half each": [
            partial(trials.view, "lightgcn", **half),
            partial(trials.second, "lightgcn", **half),
        ],
        "text": [partial(trials.view, "linear", dimension=width)],
    }
    recalls = {name: trials.recall(partial(_side_by_side, of)) for name, of in parts.items()}
    costs = [
        {
            "what": name,
            "parameters": sum(make(trials.run.seeds[0]).info["n_parameters"] for make in of),
            "seconds of training": np.mean(
                [sum(make(s).info["seconds"] for make in of) for s in trials.run.seeds]
            ),
            "bytes per vector": 4 * width,
            "multiplications per score": width,
        }
        for name, of in parts.items()
    ]
    return recalls, pd.DataFrame(costs)


def _side_by_side(parts: Sequence[Make], seed: int) -> View:
    made = [make(seed) for make in parts]
    return made[0] if len(made) == 1 else even_concat(made)
