"""How the methods of chapter 8 are scored: once a seed, and cached.

Every method gets a validation score to choose by, and per-user test values to report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from lib import cache, views
from lib.core import Floats
from lib.encoders import text
from lib.metrics import ndcg, recall
from lib.views import View
from studies import ch08_methods
from studies.ch08_methods import LIGHTGCN, TEXT, WIDE, Method, TooLargeError, ViewSpec, fitted
from studies.context import Run

RLMREC = ViewSpec("rlmrec")
EVERY_SEED = (TEXT, LIGHTGCN, ViewSpec("joint"), RLMREC, RLMREC._replace(settings=WIDE))
"""Views that every training seed has, as closed forms have, however few the others have."""

LEARNED = {"svd": ("users", "items"), "ease": ("items",), "l3ae": ("items",)}
"""The sides of a closed-form view that are solved for; the others count, average or draw."""


@dataclass(frozen=True, eq=False)
class MethodScores:
    """A method with its validation score and its test values by seed and user.

    ``recall`` and ``ndcg`` at K are n_seeds × n_users, NaN where a user has no test item.
    ``validation``, ``seconds`` of training (NaN where nothing is trained) and
    ``parameters`` are means over seeds, the latter two of all views that the method uses. A method
    that was not run has only a ``reason``.
    """

    method: Method
    seeds: int
    validation: float = np.nan
    recall: Floats = field(default_factory=lambda: np.empty((0, 0)))
    ndcg: Floats = field(default_factory=lambda: np.empty((0, 0)))
    dimensions: tuple[int, ...] = ()
    seconds: float = np.nan
    parameters: float = np.nan
    trials: int = 0
    chosen: tuple[str, ...] = ()
    reason: str = ""


def score(
    run: Run, methods: Sequence[Method], *, others: Sequence[int] | None = None
) -> list[MethodScores]:
    """Return the scores of methods over their seeds.

    ``others`` are the seeds of methods that use more than ``EVERY_SEED`` and closed forms; by
    default the run's own. A method that draws nothing has one. A method that the dataset is too
    large for has a reason and no scores.
    """
    few = run.seeds if others is None else others
    found: dict[str, list[dict[str, Any]]] = {method.name: [] for method in methods}
    reasons: dict[str, str] = {}
    for seed in run.seeds:
        own = replace(run)  # a copy, so that a seed's views are freed after it
        able = [method for method in methods if seed in _seeds(run, method, few)]
        for method in tqdm(able, desc=f"seed {seed}", unit="method", disable=None):
            try:
                found[method.name].append(_seed_scores(own, seed, method))
            except TooLargeError as fault:
                reasons[method.name] = str(fault)
    return [
        MethodScores(method, 0, reason=reasons[method.name])
        if method.name in reasons
        else _of_seeds(method, found[method.name])
        for method in methods
    ]


def _seeds(run: Run, method: Method, few: Sequence[int]) -> Sequence[int]:
    specs = [spec._replace(second=False, grid=()) for spec in method.views]
    if all(spec.model in ch08_methods.UNDRAWN for spec in specs):
        return run.seeds[:1]
    every = all(spec in EVERY_SEED or spec.model in views.SOLVED for spec in specs)
    return run.seeds if every else few


def _seed_scores(run: Run, seed: int, method: Method) -> dict[str, Any]:
    """Return what ``_list_scores`` does, cached, and what the method's views cost to train."""
    able = [spec for spec in method.views if not ch08_methods.too_large(run.dataset, spec)]
    key = {
        "dataset": run.dataset.name,
        "data": run.dataset.interactions_digest,
        "method": method.name,
        "seed": seed,
        "k": run.k,
        "text": text.digest_of(run.dataset, run.encoder),
        "views": [[str(spec), _digest(run, seed, spec)] for spec in able],
        "code": cache.code_version(_list_scores),
    }
    found = cache.cached("fusion", key, lambda: _list_scores(run, seed, method))
    of_views = [(spec.model, fitted(run, seed, spec)) for spec in able]
    seconds = [view.info["seconds"] for _, view in of_views if "seconds" in view.info]
    return found | {
        "seconds": sum(seconds) if seconds else np.nan,
        "parameters": sum(_parameters(model, view) for model, view in of_views),
    }


def _digest(run: Run, seed: int, spec: ViewSpec) -> str:
    """Return the digest of a view's vectors, computed once in a run."""
    users, items = (getattr(fitted(run, seed, spec), side).numpy() for side in ("users", "items"))
    return run.once(("digest", seed, spec), lambda: cache.digest(users, items))


def _list_scores(run: Run, seed: int, method: Method) -> cache.Value:
    """Return what a method's lists of one seed score; recall and nDCG of n_users."""
    made, dataset = method.make(run, seed), run.dataset
    valid, test = made.lists("valid", min(20, dataset.n_items)), made.lists("test", run.k)
    return {
        "validation": float(np.nanmean(recall(valid, dataset.valid))),
        "recall": recall(test, dataset.test),
        "ndcg": ndcg(test, dataset.test),
        "dimensions": list(made.dimensions),
        "trials": made.trials,
        "chosen": made.chosen,
    }


def _parameters(model: str, view: View) -> int:
    """Return how many numbers were trained or solved for."""
    if "n_parameters" in view.info:
        return int(view.info["n_parameters"])
    return sum(int(getattr(view, side).numel()) for side in LEARNED.get(model, ()))


def _of_seeds(method: Method, seeds: list[dict[str, Any]]) -> MethodScores:
    def mean(name: str) -> float:
        return float(np.mean([one[name] for one in seeds]))

    return MethodScores(
        method,
        len(seeds),
        validation=mean("validation"),
        recall=np.stack([one["recall"] for one in seeds]),
        ndcg=np.stack([one["ndcg"] for one in seeds]),
        dimensions=max(tuple(one["dimensions"]) for one in seeds),  # SVD's is chosen for each seed
        seconds=mean("seconds"),
        parameters=mean("parameters"),
        trials=seeds[0]["trials"],
        chosen=tuple(one["chosen"] for one in seeds if one["chosen"]),
    )
