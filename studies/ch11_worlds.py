"""Views of worlds whose shared fraction is known, beside two replicates of one view.

Noisy ideal views are cheap and meet every assumption of ``studies.ch11_theory``; trained views are what the
findings are about. Each world gives one table, a row per user:

- ``jaccard`` and ``jaccard_seeds``: of the two views' lists, and of the two replicates';
- ``better`` and ``better_seeds``: recall of the better of the two (on average in this world);
- ``union``, ``union_seeds``: recall of both lists together;
- ``fused``, ``fused_seeds``: recall of the fusion.

Shapes: n_users × k lists; n_users values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t
from tqdm import tqdm

from companion.data import synthetic
from lib import cache, diagnostics, fusion, metrics, views
from lib.core import Floats, InputError, generator
from lib.dataset import Dataset
from lib.probes import maps
from lib.probes import splits as item_splits
from lib.stats import Estimate, of_totals, summary, value_of_totals
from lib.topk import topk
from studies import ch11_shared_fraction, ch11_theory
from studies.ch11_theory import Setting

LEVELS = tuple(round(0.1 * step, 1) for step in range(11))
HALF, WHOLE = 0.5, 1.0
"""The two levels that the claims are about."""


_PAIRS = {"": ("semantic", "collaborative"), "_seeds": ("collaborative", "replicate")}

Pair = tuple[NDArray[np.floating], NDArray[np.floating]]


class Trained(NamedTuple):
    """A world's table, and the estimated share of its collaborative view that text reaches."""

    table: pd.DataFrame
    share: Estimate


def compared(
    dataset: Dataset,
    pairs: Mapping[str, Pair],
    k: int,
    fuse: Callable[[Sequence[Pair]], Pair],
) -> pd.DataFrame:
    """Return a world's table (see the top of this module).

    Parameters
    ----------
    pairs
        (users, items) of ``semantic``, ``collaborative`` and ``replicate``.
    fuse
        Gives the vectors of a fusion of several such pairs.
    """
    relevant = dataset.test

    def lists(pair: Pair) -> np.ndarray:
        found: np.ndarray = topk(*pair, k, exclude=dataset.seen).items.numpy()
        return found

    single = {name: lists(pair) for name, pair in pairs.items()}
    recalls = {name: metrics.recall(one, relevant) for name, one in single.items()}
    table: dict[str, Floats] = {}
    for mark, names in _PAIRS.items():
        both = [single[name] for name in names]
        table |= {
            f"jaccard{mark}": diagnostics.jaccard(*both),
            f"better{mark}": max((recalls[name] for name in names), key=np.nanmean),
            f"union{mark}": diagnostics.oracle(both, relevant),
            f"fused{mark}": metrics.recall(lists(fuse([pairs[n] for n in names])), relevant),
        }
    return pd.DataFrame(table)


def noisy(setting: Setting, seed: int) -> pd.DataFrame:
    """Return the table of noisy ideal views of one world, fused by the sum of standard scores."""
    world = _world(setting, seed)
    draw = generator(seed, "noisy views")
    shape = world.common.items.shape[0], setting.d_shared + setting.d_private
    size = setting.noise * np.sqrt(
        np.average(
            ch11_theory.variances(setting.shared, setting.d_shared, setting.d_private),
            weights=(setting.d_shared, setting.d_private),
        )
    )
    text, data, first, second = size * draw.standard_normal((4, *shape))
    repeated, fresh = np.sqrt(setting.common), np.sqrt(1 - setting.common)
    semantic, collaborative = world.ideal("semantic"), world.ideal("collaborative")
    pairs = {
        "semantic": (semantic.users, semantic.items + text),
        "collaborative": (
            collaborative.users, collaborative.items + repeated * data + fresh * first
        ),
        "replicate": (collaborative.users, collaborative.items + repeated * data + fresh * second),
    }  # fmt: skip
    return compared(world.dataset, pairs, setting.k, _sum_of_standard_scores)


def _world(setting: Setting, seed: int) -> synthetic.World:
    return synthetic.world(
        shared=setting.shared, d_shared=setting.d_shared, d_private=setting.d_private,
        strength=setting.strength, interactions=setting.interactions, n_items=setting.n_items,
        seed=seed,
    )  # fmt: skip


def _norm_concat(pairs: Sequence[Pair]) -> Pair:
    users, items = fusion.concat(pairs)
    return users, items


def _sum_of_standard_scores(pairs: Sequence[Pair]) -> Pair:
    """Return vectors that rank as the sum of each user's scores over their standard deviation."""
    users = [u / (u @ i.T).std(axis=1, keepdims=True) for u, i in pairs]
    return np.hstack(users), np.hstack([items for _, items in pairs])


def sweep(settings: Sequence[Setting], worlds: int) -> pd.DataFrame:
    """Return predictions and simulations of noisy ideal views, from the store after the first time.

    Columns shared, noise, common, measure (fields of ``studies.ch11_theory.Prediction``),
    predicted, and mean, low, high, n of ``worlds`` simulated worlds, pooled over their users.
    """

    def make() -> cache.Value:
        rows = []
        for setting in tqdm(settings, desc="noisy ideal views", unit="setting", disable=None):
            predicted = ch11_theory.predict(setting)._asdict()
            found = pooled([noisy(setting, seed) for seed in range(worlds)])
            for measure in ch11_theory.Prediction._fields:
                rows.append(
                    {
                        "shared": setting.shared, "noise": setting.noise, "common": setting.common,
                        "measure": measure, "predicted": predicted[measure],
                        **found[measure]._asdict(),
                    }
                )  # fmt: skip
        return {"table": pd.DataFrame(rows)}

    key = {"settings": [repr(one) for one in settings], "worlds": worlds}
    code = cache.code_version(compared)
    table: pd.DataFrame = cache.cached("worlds", key | {"code": code}, make)["table"]
    return table


def trained(shared: float, index: int, *, seed: int = 0, k: int = 20, **world: Any) -> Trained:
    """Return the table of trained views of one world, fused by norm-concat with equal weights.

    The views are ``linear`` and ``lightgcn`` of ``seed`` and ``lightgcn`` of the next one, by the
    recipe's defaults and on the processor, whatever the machine has.

    Parameters
    ----------
    shared, index
        The world: its shared fraction, and the seed that it is drawn from.
    world
        Other arguments of ``companion.data.synthetic.world``.
    """

    def make() -> cache.Value:
        made = synthetic.world(shared=shared, seed=index, **world)
        models = {"semantic": ("linear", 0), "collaborative": ("lightgcn", 0),
                  "replicate": ("lightgcn", 1)}  # fmt: skip
        pairs = {}
        for name, (model, step) in models.items():
            view = views.fit(made.dataset, model, seed=seed + step, device="cpu")
            pairs[name] = (view.users.numpy(), view.items.numpy())
        share = ch11_shared_fraction.estimate(
            made.vectors, pairs["collaborative"][1], pairs["replicate"][1], permutations=0
        ).share
        return {"table": compared(made.dataset, pairs, k, _norm_concat), "share": list(share)}

    key = {"shared": shared, "index": index, "seed": seed, "k": k, "world": world}
    code = cache.code_version(compared)
    value = cache.cached("worlds", key | {"code": code}, make)
    return Trained(value["table"], Estimate(*value["share"]))


VARIATIONS: dict[str, dict[str, float]] = {
    "half the interactions": {"interactions": 10.0},
    "twice the text noise": {"noise": 1.0},
}
"""Worlds other than the default: half of ``synthetic.world``'s interactions, twice its noise."""


def counts(worlds: int) -> dict[float, int]:
    """Return how many worlds each shared fraction gets: the claims' two all, the others a fifth.

    Fewer than five worlds leave the two alone.

    Raises
    ------
    InputError
        ``worlds`` outside 2 to 200.
    """
    if not 2 <= worlds <= 200:
        raise InputError(f"worlds = {worlds} was given; give 2 to 200, usually 10")
    wanted = {level: worlds if level in (HALF, WHOLE) else worlds // 5 for level in LEVELS}
    return {level: number for level, number in wanted.items() if number}


def _measures() -> dict[str, tuple[Callable[..., Floats], tuple[str, ...]]]:
    """Return measures over users: each a function of the totals of some columns."""

    def gain(top: Floats, base: Floats) -> Floats:
        return top / base - 1

    def further(top: Floats, base: Floats, other: Floats, other_base: Floats) -> Floats:
        return top / base - other / other_base

    return {
        "jaccard": (np.divide, ("jaccard", "users")),
        "jaccard_seeds": (np.divide, ("jaccard_seeds", "users")),
        "oracle": (gain, ("union", "better")),
        "oracle_seeds": (gain, ("union_seeds", "better_seeds")),
        "fusion": (gain, ("fused", "better")),
        "fusion_seeds": (gain, ("fused_seeds", "better_seeds")),
        "overlap": (np.divide, ("apart", "users")),
        "gain": (further, ("union", "better", "union_seeds", "better_seeds")),
        "benefit": (further, ("fused", "better", "fused_seeds", "better_seeds")),
        "over_seeds": (gain, ("fused", "fused_seeds")),
    }


def _ready(table: pd.DataFrame) -> pd.DataFrame:
    """Return a world's table with the columns that ``_measures`` derives from it."""
    return table.assign(users=1.0, apart=table["jaccard_seeds"] - table["jaccard"])


def pooled(tables: Sequence[pd.DataFrame]) -> dict[str, Estimate]:
    """Return the measures of several worlds, with intervals over the users of all of them.

    ``jaccard`` …, ``oracle`` …, ``fusion`` … as in ``studies.ch11_theory.Prediction``; ``overlap``, ``gain``
    and ``benefit``, by how much the two views differ from two replicates in each of the three; and
    ``over_seeds``, recall of the two views' fusion over that of the replicates', minus one.
    """
    every = _ready(pd.concat(tables, ignore_index=True))
    return {
        measure: of_totals(function, *(every[name] for name in names))
        for measure, (function, names) in _measures().items()
    }


def over_worlds(tables: Sequence[pd.DataFrame], measure: str) -> Estimate:
    """Return the mean over worlds of a measure of ``pooled``, with Student's interval (n: worlds).

    It holds the differences between worlds too, which an interval over pooled users leaves out. One
    world has none.
    """
    function, names = _measures()[measure]
    every = [_ready(table) for table in tables]
    values = [value_of_totals(function, *(table[name] for name in names)) for table in every]
    n = len(values)
    if n < 2:
        return Estimate(values[0], np.nan, np.nan, n)
    half = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    mean = float(np.mean(values))
    return Estimate(mean, mean - half, mean + half, n)


def over_seeds(found: Sequence[Estimate]) -> Estimate:
    """Return the mean of several seeds' estimates, with the widest of their intervals."""
    mean = float(np.mean([one.mean for one in found]))
    return Estimate(mean, min(x.low for x in found), max(x.high for x in found), found[0].n)


def upper(found: Sequence[ch11_shared_fraction.Shared]) -> float:
    """Return the largest 97.5 % quantile of several seeds' permutation nulls, NaN without any."""
    return max((float(np.quantile(x.null, 0.975)) if x.null.size else np.nan) for x in found)


def stops(gains: Mapping[float, Estimate]) -> float:
    """Return the shared fraction from which on no gain's interval lies above 0, NaN without."""
    stop = float("nan")
    for level in sorted(gains, reverse=True):
        if gains[level].low > 0:
            break
        stop = level
    return stop


def placed(share: Estimate, shares: Mapping[float, float]) -> Estimate:
    """Return the shared fraction of the worlds that have such a share on average.

    ``shares`` is the mean share by shared fraction, made to rise by a running maximum and read
    between its levels along a line. What lies outside is put at the nearest level.
    """
    levels = sorted(shares)
    rising = np.maximum.accumulate([shares[level] for level in levels])
    at = [float(np.interp(x, rising, levels)) for x in (share.mean, share.low, share.high)]
    return Estimate(at[0], at[1], at[2], share.n)


def probes(worlds: int) -> pd.DataFrame:
    """Return the held-out R² of ridge from text to the ideal collaborative view, by ``shared``.

    Dimensions weighted by variance, the split and map of the probe chapter. Columns shared, mean,
    low, high, n (worlds; intervals are over worlds).
    """

    def one(shared: float, seed: int) -> float:
        world = synthetic.world(shared=shared, seed=seed, n_users=20)  # users are not looked at
        x, y = world.vectors, world.ideal("collaborative").items
        split = item_splits.random(len(x))
        found = maps.fit_ridge(x[split.train], y[split.train], x[split.valid], y[split.valid])
        true = y[split.test]
        error = np.square(true - found.predict(x[split.test])).sum()
        return float(1 - error / np.square(true - true.mean(axis=0)).sum())

    def make() -> cache.Value:
        rows = [
            {"shared": level, **summary([one(level, s) for s in range(worlds)])._asdict()}
            for level in LEVELS
        ]
        return {"table": pd.DataFrame(rows)}

    code = cache.code_version(probes)
    table: pd.DataFrame = cache.cached("worlds", {"worlds": worlds, "code": code}, make)["table"]
    return table


def calibration(draws: int, noise: float = 0.5) -> pd.DataFrame:
    """Return the estimator of ``studies.ch11_shared_fraction`` on noisy views of worlds, beside the truth.

    The draws go round ten shared fractions from 0 to 1, each with a world and two replicates of its
    own; the second is turned by a random rotation, as a second training would be. Columns shared,
    truth, mean, low, high, covered.
    """

    def make() -> cache.Value:
        levels = np.linspace(0, 1, 10)
        rows = [_estimated(float(levels[i % 10]), noise, 10_000 + i) for i in range(draws)]
        return {"table": pd.DataFrame(rows)}

    key = {"draws": draws, "noise": noise}
    code = cache.code_version(calibration)
    table: pd.DataFrame = cache.cached("worlds", key | {"code": code}, make)["table"]
    return table


def _estimated(shared: float, noise: float, seed: int) -> dict[str, float]:
    setting = Setting(shared=shared, noise=noise)
    world = synthetic.world(shared=shared, seed=seed, n_users=20)  # users are not looked at
    draw = generator(seed, "calibration")
    items = world.ideal("collaborative").items
    width = items.shape[1]
    size = noise * np.sqrt(np.mean(ch11_theory.variances(shared)))
    view, replicate = (items + size * draw.standard_normal(items.shape) for _ in range(2))
    turned = replicate @ np.linalg.qr(draw.standard_normal((width, width)))[0]
    found = ch11_shared_fraction.estimate(
        world.vectors, view, turned, permutations=0, seed=seed
    ).share
    truth = ch11_theory.reachable_share(setting.shared)
    return {
        "shared": shared, "truth": truth, "mean": found.mean, "low": found.low, "high": found.high,
        "covered": found.low <= truth <= found.high,
    }  # fmt: skip
