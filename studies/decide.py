"""When to fuse, when to align: gains over one LightGCN and costs, by set and stratum."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from companion.data import load
from companion.testable import untestable
from lib import cache, metrics
from lib.core import InputError, Lists
from lib.probes.scores import estimate
from studies import measures
from studies.ch08_methods import Method, alternatives, fitted, methods
from studies.context import Run

BASE = "LightGCN alone"
METHODS = {"fuse": "norm-concat, weight on validation", "align": "RLMRec-Con, 128 dimensions",
           "two seeds": "two LightGCN seeds, 64 + 64", "text alone": "text, projected"}  # fmt: skip
LEAST = 100  # users with a test item, with fewer of whom a cell has no gain
BANDS = {"weaker": 0.0, "about as strong": 0.8, "stronger": 1.25}  # text, from which ratio of F1
# strata of items and users, the methods to choose from, and the chapter with more of it
SITUATIONS = {
    "all items and users": ("all", "all", list(METHODS), "08-fusion"),
    "most items cold": ("cold", "all", list(METHODS), "09-long-tail"),
    "users with short histories": ("all", "light", list(METHODS), "16-cold-start"),
    "one model only, nothing beside it": ("all", "all", ["align", "text alone"], "08-fusion"),
}


def of_sets(
    names: Iterable[str], parameters: Mapping[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Return all sets' gains and costs, the strongest text first, and why others are left out."""
    made, lacking = [], []
    for name in names:
        try:
            made.append(of_set(name, parameters))
        except InputError as fault:
            lacking.append(f"{name} ({fault})")
    if not made:
        raise InputError(f"no dataset could be measured: {'; '.join(lacking)}")
    made.sort(key=lambda one: one["gains"]["ratio"].iloc[0], reverse=True)
    gained, costs = (pd.concat([one[x] for one in made]) for x in ("gains", "costs"))
    return gained.reset_index(drop=True), costs.reset_index(drop=True), lacking


def of_set(name: str, parameters: Mapping[str, Any]) -> cache.Value:
    """Return the ``gains`` and ``costs`` of one set, cached; at most ``others`` seeds align."""
    data = load(name)
    if reason := untestable(data, parameters["k"], "F8", parameters["encoder"]):
        raise InputError(reason)
    run, known = Run(data, parameters, parameters["epochs"]), {one.name: one for one in methods()}

    def make() -> cache.Value:
        few, named = run.fewer(parameters["others"]), {BASE: "LightGCN, 128 dimensions", **METHODS}
        made = {of: of_method(few if of == "align" else run, known[n]) for of, n in named.items()}
        costs = pd.DataFrame([{"what": what, **cost} for what, (_, cost) in made.items()])
        ratio = measures.measure("F1", measures.rankings(run))["ratio"].mean
        gained = gains(run, {what: lists for what, (lists, _) in made.items()})
        density = (data.seen.nnz + data.test.nnz) / (data.n_users * data.n_items)
        gained = gained.assign(set=data.name, ratio=ratio, density=density)
        return {"gains": gained, "costs": costs.assign(set=data.name)}

    key = {"page": "decide", "dataset": name, "data": data.digest, **parameters}
    return cache.cached("landscape", key | {"code": cache.code_version(of_set)}, make)


def of_method(run: Run, method: Method) -> tuple[list[Lists], dict[str, Any]]:
    """Return a method's lists by seed, and its cost, with all trainings that choose a weight."""
    made = [method.make(run, seed) for seed in run.seeds]
    took = [[fitted(run, s, of).info["seconds"] for of in method.views] for s in run.seeds]
    trainings = [alternatives(of) for of in method.views]
    sizes, of_text = made[0].dimensions, [of.model == "linear" for of in method.views]
    return [one.lists("test", run.k) for one in made], {
        "chosen": "; ".join(dict.fromkeys(one.chosen for one in made)),
        "seeds": len(made),
        "trainings": sum(trainings),
        "seconds": float(np.median(took, axis=0) @ trainings),
        "dimensions": sum(sizes),
        "new": int(np.dot(sizes, of_text)),  # dimensions of an item before it is trained on
    }


def gains(run: Run, lists: Mapping[str, list[Lists]]) -> pd.DataFrame:
    """Return gains over ``BASE`` by method and stratum; ``n`` users have a test item in it."""
    items, users = (metrics.by_count(run.dataset.train.getnnz(axis=axis)) for axis in (0, 1))
    of_items, of_users = ("all", *metrics.ITEM_STRATA), ("all", *metrics.USER_STRATA)
    rows = []
    for (at, item), (group, user) in product(enumerate(of_items, -1), enumerate(of_users, -1)):
        relevant = metrics.restricted(run.dataset.test, (items == at) | (at < 0))
        relevant = relevant.multiply(((users == group) | (group < 0))[:, None]).tocsr()
        n = np.count_nonzero(relevant.sum(axis=1))
        for what, of in product(METHODS, (metrics.recall, metrics.ndcg)):
            top, base = (np.array([of(one, relevant) for one in lists[x]]) for x in (what, BASE))
            value = estimate(measures.gain(top, base[: len(top)])) if n >= LEAST else measures.NONE
            about = {"what": what, "metric": of.__name__, "items": item, "users": user}
            rows.append({**about, **value._asdict(), "n": n})
    return pd.DataFrame(rows)


def choices(gained: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """Return what to ``do`` on every set in each situation, with gain and cost over ``BASE``.

    That is the method whose gain in recall has the largest lower end, the ``best``, if that is
    above 0; else ``BASE``. The gain is that of the best.
    """
    rows, paid = [], costs.set_index(["set", "what"])
    for (situation, at), name in product(SITUATIONS.items(), gained["set"].unique()):
        cell = gained.query("set == @name and metric == 'recall'").set_index(["items", "users"])
        found = cell.loc[at[:2]].set_index("what").loc[at[2]]
        best = found["low"].fillna(-np.inf).idxmax()
        do = best if found["low"][best] > 0 else BASE
        cost = {"slower": paid["seconds"][name, do] / paid["seconds"][name, BASE]}
        about = {"situation": situation, "do": do, "best": best, "chapter": at[3]}
        rows.append({**about, **found.loc[best], **paid.loc[(name, do)], **cost})
    table, ends = pd.DataFrame(rows), [*BANDS.values(), np.inf]
    return table.assign(text=pd.cut(table["ratio"], ends, right=False, labels=list(BANDS)))
