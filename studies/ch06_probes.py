"""What maps recover of the collaborative view, for chapter 06 and with ``ch07_shift`` for 07.

In this order: the vectors of a training seed; maps of them, each fitted once; their scores between
floor and ceiling; and the tables that the chapters show and judge. What is fitted and scored is
cached by what decides it, so that chapters share it and a killed run resumes where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from torch.nn.functional import normalize

from companion.chapter import interval
from lib import cache, probes
from lib.core import Floats, InputError, device_of, matrix
from lib.encoders import text
from lib.probes import Audience, ItemSplit, Recovery, networks
from lib.stats import Estimate
from studies.context import Run

PROJECTED, RAW = "semantic view", "raw text"
"""What maps start from: the text after the semantic view's projection, and before it."""

SPLIT_SEED = 2024
"""The reference's, of all splits of items."""

LARGE = ("MLP-2", "MLP-3")
"""Networks of 2,048 units a layer: an epoch of theirs takes as long as a hundred of MLP-1."""

LABELS = {"procrustes": "Procrustes", "cca": "CCA"}
"""How figures call maps, where not by their names."""


def check(run: Run) -> None:
    """Refuse a run whose ``epochs`` or ``wide_items`` are out of bounds."""
    epochs, most = run.parameters["epochs"], run.parameters["wide_items"]
    if epochs < 1 or most < 0:
        raise InputError(
            f"epochs = {epochs} and wide_items = {most} were given; epochs must be ≥ 1 and "
            "wide_items ≥ 0"
        )


def validated(run: Run) -> tuple[str, ...]:
    """Return the networks with validation, smallest first, without ``LARGE`` on many items.

    Without early stopping each of these takes hours on 17,000 items and one core.
    """
    able = run.dataset.n_items <= run.parameters["wide_items"]
    return tuple(name for name in networks.HIDDEN if able or name not in LARGE)


class ProbeVectors(NamedTuple):
    """The vectors of one training seed."""

    seed: int
    sources: dict[str, Floats]  # n_items × s, of ``PROJECTED`` and of ``RAW``
    target: Floats  # n_items × t, of the collaborative view
    second: Floats  # n_items × t, of the same model trained with another seed
    users: Floats  # n_users × t, of the collaborative view


def vectors(run: Run, seed: int) -> ProbeVectors:
    """Return the vectors of a training seed of a run."""
    raw = normalize(text.encode(run.dataset, run.parameters["encoder"]), dim=1)
    view, second = run.view("lightgcn", seed), run.view("lightgcn", run.other(seed))
    every = (run.view("linear", seed).items, raw, view.items, second.items, view.users)
    projected, raw_text, target, other, users = (matrix(one.numpy()) for one in every)
    return ProbeVectors(seed, {PROJECTED: projected, RAW: raw_text}, target, other, users)


def recovery(
    run: Run, name: str, source: Floats, target: Floats, split: ItemSplit, seed: int,
    *, shuffled: bool = False,
) -> Recovery:  # fmt: skip
    """Return ``lib.probes.recover`` for the map of that name, fitted now or cached.

    The run's ``epochs``, the most that a network is trained for, and ``device`` are for networks.
    ``shuffled`` permutes the training pairs, which gives the floor.
    """
    epochs, device = run.parameters["epochs"], device_of(run.parameters["device"]).type
    fit = probes.named(name, epochs=epochs, device=device)
    ordered = split.ordered_by(target)
    key = {
        "dataset": run.dataset.name,
        "model": name,
        "seed": seed,
        "permuted": shuffled,
        "training": [epochs, device] if name in probes.NETWORKS else None,
        "data": cache.digest(source, target, ordered.train, ordered.valid),
        "code": cache.code_version(networks),  # which import the other maps
    }

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
    key = {
        "dataset": data.name,
        "model": name,
        "seed": v.seed,
        "split": split.name,
        "k": run.k,
        "data": cache.digest(*arrays, *(audience or ())),
        "code": cache.code_version(probes),
    }

    def make() -> cache.Value:
        return {"rows": probes.bounded(*three, audience=audience, k=run.k, seed=v.seed)}

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

    Seeds share their items, so their intervals do not shrink by averaging. From the columns ``by``,
    seed, value, low, high, n come ``by``, mean, low, high, n and seeds (their number); parameters,
    reached, reached_low and reached_high stay where given. NaN where a seed has none.
    """
    mean, least, most = _whole(np.mean), _whole(np.min), _whole(np.max)
    wanted: dict[str, Any] = {
        "mean": ("value", mean), "low": ("low", least), "high": ("high", most),
        "n": ("n", "first"), "seeds": ("seed", "nunique"),
    }  # fmt: skip
    if "reached" in table:
        low, high = ("reached_low", least), ("reached_high", most)
        wanted |= {"reached": ("reached", mean), "reached_low": low, "reached_high": high}
    if "parameters" in table:
        wanted["parameters"] = ("parameters", "first")
    return table.groupby(list(by), sort=False).agg(**wanted).reset_index()


def _whole(way: Callable[[np.ndarray], Any]) -> Callable[[pd.Series], float]:
    """Return a way to aggregate that does not skip NaN, as those of pandas would."""
    return lambda values: float(way(values.to_numpy()))


def by_seed(table: pd.DataFrame, column: str = "value", **where: str) -> list[Estimate]:
    """Return each seed's estimate in the rows where columns have these values.

    ``column`` is value, or reached.
    """
    chosen = table
    for name, value in where.items():
        chosen = chosen[chosen[name] == value]
    low, high = ("low", "high") if column == "value" else (f"{column}_low", f"{column}_high")
    return [Estimate(*row) for row in chosen[[column, low, high, "n"]].itertuples(index=False)]


def with_bounds(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows from text of ``over_seeds`` by source, with the means of floor and ceiling.

    Its other columns of origin, map, split and score tell which rows belong together.
    """
    by = [name for name in ("origin", "map", "split", "score") if name in found]
    text_rows, floors, ceilings = (
        found[found["source"] == source].set_index(by) for source in probes.SOURCES
    )
    bounds = {"floor": floors["mean"], "ceiling": ceilings["mean"]}
    return text_rows.assign(**bounds).reset_index()


def ordered(table: pd.DataFrame, **wanted: Sequence[str]) -> pd.DataFrame:
    """Return the rows whose columns have one of the values wanted, in the order of these.

    Of several columns the last one changes fastest.
    """
    kept = table[np.logical_and.reduce([table[name].isin(of) for name, of in wanted.items()])]
    ranks = [kept[name].map(list(of).index) for name, of in wanted.items()]
    return kept.iloc[np.lexsort(ranks[::-1])].reset_index(drop=True)


def as_shares(found: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the share of the reachable, from 0 to 1, in place of the score."""
    names = {"mean": "reached", "low": "reached_low", "high": "reached_high"}
    shares = {name: found[reached] for name, reached in names.items()}
    return found.assign(**shares, floor=0.0, ceiling=1.0)


def intervals(table: pd.DataFrame, column: str = "mean") -> list[str]:
    """Return each row's estimate in the words of ``companion.chapter.interval``."""
    return [interval(_estimate(row, column)) for _, row in table.iterrows()]


def pick(table: pd.DataFrame, column: str = "mean", **where: str) -> Estimate:
    """Return the estimate in the one row of ``over_seeds`` where columns have these values.

    ``column`` is mean, or reached. Without such a row the estimate is NaN.
    """
    chosen = table
    for name, value in where.items():
        chosen = chosen[chosen[name] == value]
    if chosen.empty:
        return Estimate(np.nan, np.nan, np.nan, 0)
    return _estimate(chosen.iloc[0], column)


def _estimate(row: pd.Series, column: str) -> Estimate:
    low, high = ("low", "high") if column == "mean" else (f"{column}_low", f"{column}_high")
    return Estimate(float(row[column]), float(row[low]), float(row[high]), int(row["n"]))
