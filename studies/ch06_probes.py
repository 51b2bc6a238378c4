"""What maps recover of the collaborative view, for chapter 06 and with ``ch07_shift`` for 07.

In this order: the vectors of a training seed; maps of them, each fitted once; their scores between
floor and ceiling; and the tables that the chapters show and judge. What is fitted and scored is
cached by what decides it, so that chapters share it and a killed run resumes where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from torch.nn.functional import normalize

from lib import cache, probes
from lib.core import Floats, device_of, matrix, whole_number
from lib.encoders import text
from lib.probes import Audience, ItemSplit, Recovery, networks
from lib.stats import Estimate
from studies import measures
from studies.context import Run, check_bounds

PROJECTED, RAW = "semantic view", "raw text"
"""What maps start from: the text after the semantic view's projection, and before it."""

SPLIT_SEED = 2024
"""The reference's, of all splits of items."""

LARGE = ("MLP-2", "MLP-3")
"""Networks of 2,048 units a layer, an epoch of which takes as long as a hundred of MLP-1; without
early stopping each takes hours on 17,000 items and one core."""

LABELS = {"procrustes": "Procrustes", "cca": "CCA"}
"""How figures call maps, where not by their names."""


def check(run: Run) -> None:
    """Refuse a run whose ``epochs`` or ``wide_items`` are out of bounds."""
    whole_number("epochs", run.parameters["epochs"])
    check_bounds("wide_items", run.parameters["wide_items"], 0)


def validated(run: Run) -> tuple[str, ...]:
    """Return the networks with validation, smallest first, without ``LARGE`` on many items."""
    able = run.dataset.n_items <= run.parameters["wide_items"]
    return tuple(name for name in networks.HIDDEN if able or name not in LARGE)


class ProbeVectors(NamedTuple):
    """The vectors of one training seed."""

    seed: int
    sources: dict[str, Floats]  # n_items × s, of ``PROJECTED`` and of ``RAW``
    target: Floats  # n_items × t, of the collaborative view
    second: Floats  # n_items × t, of the same model trained with another seed
    users: Floats  # n_users × t, of the collaborative view


def vectors(
    run: Run, seed: int, model: str = "lightgcn", of_text: Mapping[str, Any] = {},
    of_model: Mapping[str, Any] = {},
) -> ProbeVectors:  # fmt: skip
    """Return the vectors of a training seed of a run.

    ``of_text`` and ``of_model`` are settings of the semantic view and of ``model``.
    """
    raw = normalize(text.encode(run.dataset, run.encoder), dim=1)
    view, second = (run.view(model, s, **of_model) for s in (seed, run.second(seed)))
    source = run.view("linear", seed, **of_text)
    every = (source.items, raw, view.items, second.items, view.users)
    projected, raw_text, target, other, users = (matrix(one.numpy()) for one in every)
    return ProbeVectors(seed, {PROJECTED: projected, RAW: raw_text}, target, other, users)


def recovery(
    run: Run, name: str, source: Floats, target: Floats, split: ItemSplit, seed: int,
    *, shuffled: bool = False,
) -> Recovery:  # fmt: skip
    """Return ``lib.probes.recover`` for the map of that name, the floor if ``shuffled``; cached."""
    epochs, device = run.parameters["epochs"], device_of(run.parameters["device"]).type
    fit = probes.named(name, epochs=epochs, device=device)
    ordered = split.ordered_by(target)
    key = {
        "dataset": run.dataset.name, "model": name, "seed": seed, "permuted": shuffled,
        "training": [epochs, device] if name in probes.NETWORKS else None,
        "data": cache.digest(source, target, ordered.train, ordered.valid),
        "code": cache.code_version(networks),  # which import the other maps
    }  # fmt: skip

    def make() -> cache.Value:
        way = probes.permuted(fit) if shuffled else fit
        found = probes.recover(source, target, split, way, seed=seed)
        return {"predicted": found.predicted, "info": dict(found.info)}

    found = cache.cached("map", key, make)
    return Recovery(name, found["info"], ordered, target, found["predicted"])


def probe_table(
    run: Run, v: ProbeVectors, origin: str, name: str, split: ItemSplit, *, users: bool = False
) -> pd.DataFrame:
    """Return the table of ``lib.probes.probe``, with recall if ``users``, for an origin; cached."""
    source, data = v.sources[origin], run.dataset
    three = (
        recovery(run, name, source, v.target, split, v.seed),
        recovery(run, name, source, v.target, split, v.seed, shuffled=True),
        recovery(run, name, v.second, v.target, split, v.seed),
    )
    audience = Audience(v.users, data.test, data.seen) if users else None
    ordered = three[0].split
    arrays = (v.target, *(one.predicted for one in three), ordered.train, ordered.test)
    k = min(run.k, len(ordered.test) - 1)  # neighbours among few held-out items
    key = {
        "dataset": data.name, "model": name, "seed": v.seed, "split": split.name, "k": k,
        "data": cache.digest(*arrays, *(audience or ())), "code": cache.code_version(probes),
    }  # fmt: skip

    def make() -> cache.Value:
        return {"rows": probes.bounded(*three, audience=audience, k=k, seed=v.seed)}

    table: pd.DataFrame = cache.cached("probe", key, make)["rows"]
    table.insert(0, "seed", v.seed)
    table.insert(0, "origin", origin)
    return table


def by_map(run: Run, every: Sequence[ProbeVectors], split: ItemSplit) -> pd.DataFrame:
    """Return every map's scores from either origin: ridge of all seeds, others of the first."""
    others = ("procrustes", "cca", *validated(run))
    chosen = [("ridge", v) for v in every] + [(name, every[0]) for name in others]
    tables = [
        probe_table(run, v, origin, name, split, users=True)
        for origin in (PROJECTED, RAW)
        for name, v in chosen
    ]
    return pd.concat(tables, ignore_index=True)


def over_seeds(table: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Return the mean over seeds, with the widest of the seeds' intervals.

    Seeds share their items, so their intervals do not shrink by averaging; NaN where a seed has
    none. From the columns ``by``, seed, value, low, high, n come ``by``, mean, low, high, n and
    seeds (their number); parameters, reached, reached_low and reached_high stay where given.
    """
    mean, least, most = _whole(np.mean), _whole(np.min), _whole(np.max)
    ways: dict[str, Any] = {
        "value": mean, "low": least, "high": most, "n": "first", "seed": "nunique",
        "reached": mean, "reached_low": least, "reached_high": most, "parameters": "first",
    }  # fmt: skip
    given = {column: way for column, way in ways.items() if column in table}
    found = table.groupby(list(by), sort=False).agg(given).reset_index()
    return found.rename(columns={"value": "mean", "seed": "seeds"})


def _whole(way: Callable[[np.ndarray], float]) -> Callable[[pd.Series], float]:
    """Return a way to aggregate that does not skip NaN, as those of pandas would."""
    return lambda values: float(way(values.to_numpy()))


def by_seed(table: pd.DataFrame, column: str = "value", **where: str) -> list[Estimate]:
    """Return the estimate of value, mean or reached in each row where columns have these values."""
    for name, value in where.items():
        table = table[table[name] == value]
    low, high = ("reached_low", "reached_high") if column == "reached" else ("low", "high")
    return [Estimate(*row) for row in table[[column, low, high, "n"]].itertuples(index=False)]


def with_bounds(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows from text of ``over_seeds``, with the means of their floor and ceiling."""
    by = [name for name in ("origin", "map", "split", "score") if name in found]
    of_text, floors, ceilings = (found[found["source"] == s].set_index(by) for s in probes.SOURCES)
    return of_text.assign(floor=floors["mean"], ceiling=ceilings["mean"]).reset_index()


def ordered(table: pd.DataFrame, **wanted: Sequence[str]) -> pd.DataFrame:
    """Return the rows whose columns have values wanted, in their order, the last column fastest."""
    kept = table[np.logical_and.reduce([table[name].isin(of) for name, of in wanted.items()])]
    ranks = [kept[name].map(list(of).index) for name, of in wanted.items()]
    return kept.iloc[np.lexsort(ranks[::-1])].reset_index(drop=True)


def as_shares(found: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the share of the reachable, from 0 to 1, in place of the score."""
    names = {"mean": "reached", "low": "reached_low", "high": "reached_high"}
    shares = {name: found[reached] for name, reached in names.items()}
    return found.assign(**shares, floor=0.0, ceiling=1.0)


def pick(table: pd.DataFrame, column: str = "mean", **where: str) -> Estimate:
    """Return the estimate in the first such row of ``over_seeds``, NaN where there is none."""
    return (by_seed(table, column, **where) or [measures.NONE])[0]
