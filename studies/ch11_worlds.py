"""Simulated worlds of known shared fraction: two trained views, and two seeds of one, measured.

The table of a world has a row per user:

- ``jaccard``, ``jaccard_seeds``: of the two views' lists, and of the two replicates';
- ``better``, ``better_seeds``: recall of the list that is better on average in this world;
- ``union``, ``union_seeds``: recall of both lists together;
- ``fused``, ``fused_seeds``: recall of the fusion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from companion.data import synthetic
from lib import cache, diagnostics, fusion, metrics, views
from lib.core import Floats, Lists
from lib.dataset import Dataset
from lib.probes.scores import Totals, estimate, mean
from lib.stats import Estimate
from lib.topk import topk
from studies.concatenation import Vectors

_COMPARED = {"": ("semantic", "collaborative"), "_seeds": ("collaborative", "replicate")}


def world_table(
    dataset: Dataset,
    vectors: Mapping[str, Vectors],
    k: int,
    fuse: Callable[[Sequence[Vectors]], Vectors],
) -> pd.DataFrame:
    """Return a world's table, as described at the top of this module.

    ``vectors`` are those of ``semantic``, ``collaborative`` and ``replicate``; ``fuse`` gives those
    of the fusion of two of them.
    """

    def lists(of: Vectors) -> Lists:
        return np.asarray(topk(*of, k, exclude=dataset.seen).items)

    single = {name: lists(of) for name, of in vectors.items()}
    recalls = {name: metrics.recall(one, dataset.test) for name, one in single.items()}
    table: dict[str, Floats] = {}
    for mark, names in _COMPARED.items():
        both = [single[name] for name in names]
        fused = lists(fuse([vectors[name] for name in names]))
        table |= {
            f"jaccard{mark}": diagnostics.jaccard(*both),
            f"better{mark}": max((recalls[name] for name in names), key=np.nanmean),
            f"union{mark}": diagnostics.oracle(both, dataset.test),
            f"fused{mark}": metrics.recall(fused, dataset.test),
        }
    return pd.DataFrame(table)


def measures_of(table: pd.DataFrame) -> dict[str, Totals]:
    """Return what two views and two replicates show, as functions of totals over a table's users.

    They are Jaccard, the gain of the union (``oracle``) and of the fusion over the better list, and
    by how much the views differ from the replicates: in Jaccard (``overlap``), oracle (``gain``)
    and fusion (``benefit``).
    """
    of = {str(name): table[name].to_numpy() for name in table}

    def gain(top: str, base: str) -> Totals:
        return Totals((of[top], of[base]), lambda a, b: a / b - 1)

    def difference(top: str) -> Totals:
        columns = (of[top], of["better"], of[f"{top}_seeds"], of["better_seeds"])
        return Totals(columns, lambda a, b, c, d: a / b - c / d)

    return {
        "jaccard": mean(of["jaccard"]),
        "jaccard_seeds": mean(of["jaccard_seeds"]),
        "oracle": gain("union", "better"),
        "oracle_seeds": gain("union_seeds", "better_seeds"),
        "fusion": gain("fused", "better"),
        "fusion_seeds": gain("fused_seeds", "better_seeds"),
        "overlap": mean(of["jaccard_seeds"] - of["jaccard"]),
        "gain": difference("union"),
        "benefit": difference("fused"),
        "over_seeds": gain("fused", "fused_seeds"),
    }


def pooled(tables: Sequence[pd.DataFrame]) -> dict[str, Estimate]:
    """Return the measures of several worlds, with intervals over the users of all of them."""
    found = measures_of(pd.concat(tables, ignore_index=True))
    return {name: estimate(of_users) for name, of_users in found.items()}


def trained_world(
    shared: float, index: int, *, seed: int = 0, k: int = 20, **world: Any
) -> pd.DataFrame:
    """Return the table of trained views of one world, fused by norm-concat with equal weights.

    The world is drawn from the seed ``index``; ``world`` are other arguments of
    ``companion.data.synthetic.world``. The views are trained on the CPU, whatever the machine has,
    with the recipe's defaults; the replicate has the next seed.
    """
    models = {
        "semantic": ("linear", seed),
        "collaborative": ("lightgcn", seed),
        "replicate": ("lightgcn", seed + 1),
    }

    def make() -> cache.Value:
        made = synthetic.world(shared=shared, seed=index, **world)
        vectors = {}
        for name, (model, own) in models.items():
            view = views.fit(made.dataset, model, seed=own, device="cpu")
            vectors[name] = (view.users.numpy(), view.items.numpy())
        return {"table": world_table(made.dataset, vectors, k, fusion.concat)}

    key = {"shared": shared, "index": index, "seed": seed, "k": k, "world": world,
           "code": cache.code_version(world_table)}  # fmt: skip
    return pd.DataFrame(cache.cached("worlds", key, make)["table"])
