"""Simulated worlds of known shared fraction: two views, and two replicates of one view, measured.

Noisy ideal views are cheap and meet every assumption of ``studies.ch11_theory``; trained views are
what the findings are about. The table of a world has a row per user:

- ``jaccard``, ``jaccard_seeds``: of the two views' lists, and of the two replicates';
- ``better``, ``better_seeds``: recall of the list that is better on average in this world;
- ``union``, ``union_seeds``: recall of both lists together;
- ``fused``, ``fused_seeds``: recall of the fusion.

Results are cached by the code of this module and all that it imports: nothing belongs here that
does not decide a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from companion.data import synthetic
from lib import cache, diagnostics, fusion, metrics, views
from lib.core import Floats, Lists, generator
from lib.dataset import Dataset
from lib.probes import maps
from lib.probes import splits as item_splits
from lib.probes.scores import Totals, estimate, mean, r2_weighted
from lib.stats import Estimate, summary
from lib.topk import topk
from studies import ch11_theory
from studies.ch11_theory import Setting
from studies.concatenation import Vectors

LEVELS = tuple(round(0.1 * step, 1) for step in range(11))
"""The shared fractions of the simulated worlds."""

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

    They are those of ``ch11_theory.Prediction``, and by how much the views differ from the
    replicates: in Jaccard (``overlap``), oracle (``gain``) and fusion (``benefit``).
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


def noisy_table(setting: Setting, seed: int) -> pd.DataFrame:
    """Return the table of noisy ideal views of one world, fused by the sum of standard scores."""
    world = synthetic.world(n_users=500, shared=setting.shared, seed=seed)
    semantic, collaborative = world.ideal("semantic"), world.ideal("collaborative")
    rng = generator(seed, "noisy views")
    scale = setting.noise * np.sqrt(np.mean(ch11_theory.variances(setting.shared)))
    noise = scale * rng.standard_normal((4, *semantic.items.shape))
    text, data, first, second = noise
    fresh = np.sqrt(1 - setting.common)
    users, items = collaborative.users, collaborative.items + np.sqrt(setting.common) * data
    vectors = {
        "semantic": (semantic.users, semantic.items + text),
        "collaborative": (users, items + fresh * first),
        "replicate": (users, items + fresh * second),
    }
    return world_table(world.dataset, vectors, setting.k, _sum_of_standard_scores)


def _sum_of_standard_scores(vectors: Sequence[Vectors]) -> Vectors:
    """Return vectors that rank by the sum of each user's scores over their standard deviation."""
    users = [u / (u @ i.T).std(axis=1, keepdims=True) for u, i in vectors]
    return np.hstack(users), np.hstack([items for _, items in vectors])


def _cached_table(key: dict[str, Any], make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    key = key | {"code": cache.code_version(world_table)}
    return pd.DataFrame(cache.cached("worlds", key, lambda: {"table": make()})["table"])


def noisy_worlds(settings: Sequence[Setting], worlds: int) -> pd.DataFrame:
    """Return predictions beside ``worlds`` simulations of noisy ideal views, pooled over users.

    Columns shared, measure (a field of ``ch11_theory.Prediction``), predicted, and mean, low, high,
    n of the simulations.
    """

    def rows() -> Iterable[dict[str, Any]]:
        for setting in tqdm(settings, desc="noisy ideal views", unit="setting", disable=None):
            found = pooled([noisy_table(setting, seed) for seed in range(worlds)])
            for measure, predicted in ch11_theory.predict(setting)._asdict().items():
                head = {"shared": setting.shared, "measure": measure, "predicted": predicted}
                yield head | found[measure]._asdict()

    key = {"settings": [repr(one) for one in settings], "worlds": worlds}
    return _cached_table(key, lambda: pd.DataFrame(rows()))


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

    def make() -> pd.DataFrame:
        made = synthetic.world(shared=shared, seed=index, **world)
        vectors = {}
        for name, (model, own) in models.items():
            view = views.fit(made.dataset, model, seed=own, device="cpu")
            vectors[name] = (view.users.numpy(), view.items.numpy())
        return world_table(made.dataset, vectors, k, fusion.concat)

    key = {"shared": shared, "index": index, "seed": seed, "k": k, "world": world}
    return _cached_table(key, make)


def map_r2(worlds: int) -> pd.DataFrame:
    """Return the held-out R² of ridge from text to the ideal collaborative view, by ``shared``.

    Dimensions are weighted by variance; split and map are those of the probe chapter. Columns
    shared, mean, low, high, n (worlds; intervals are over worlds).
    """

    def held_out_r2(shared: float, seed: int) -> float:
        world = synthetic.world(n_users=20, shared=shared, seed=seed)  # users are not looked at
        x, y = world.vectors, world.ideal("collaborative").items
        split = item_splits.random(len(x))
        found = maps.fit_ridge(maps.PairedVectors.of(x, y, split.train, split.valid))
        return r2_weighted(y[split.test], found.predict(x[split.test])).value

    def row(level: float) -> dict[str, Any]:
        found = summary([held_out_r2(level, seed) for seed in range(worlds)])
        return {"shared": level, **found._asdict()}

    return _cached_table({"map R²": worlds}, lambda: pd.DataFrame(map(row, LEVELS)))
