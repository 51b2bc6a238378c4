"""What the chapters on probes share: vectors of a seed, maps fitted once and kept, their scores.

A map's predictions are kept by what decides them, so that chapters share fits and a run that was
killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
from torch.nn.functional import normalize

from lib import cache, probes
from lib.core import Floats, InputError, device_of, matrix
from lib.encoders import text
from lib.probes import Recovery, maps
from lib.probes import splits as item_splits
from lib.probes.splits import ItemSplit
from studies.ch06_tables import Fits
from studies.context import Run

PROJECTED, RAW = "semantic view", "raw text"
"""What maps start from: the text after the semantic view's projection, and before it."""

SPLIT_SEED = 2024
"""The reference's, of all splits of items."""

WIDE = ("MLP-2", "MLP-3")
"""Networks of 2,048 units a layer: an epoch of theirs costs a hundred of MLP-1."""


def check(run: Run) -> None:
    """Refuse a run whose ``epochs`` or ``wide_items`` are out of bounds.

    Raises
    ------
    InputError
        They are.
    """
    epochs, most = run.parameters["epochs"], run.parameters["wide_items"]
    if epochs < 1 or most < 0:
        raise InputError(
            f"epochs = {epochs} and wide_items = {most} were given; epochs must be ≥ 1 and "
            "wide_items ≥ 0"
        )


def validated(run: Run) -> tuple[str, ...]:
    """Return the networks with validation that the run can afford, the smallest first.

    Those of ``WIDE`` are left out where there are more than ``wide_items`` items: fitted without
    early stopping on 17,000 items each takes hours on one core.
    """
    able = run.dataset.n_items <= run.parameters["wide_items"]
    return tuple(name for name in maps.HIDDEN if able or name not in WIDE)


class Bench(NamedTuple):
    """The vectors of one seed; ``sources`` has those of ``PROJECTED`` and of ``RAW``."""

    seed: int
    sources: dict[str, Floats]
    target: Floats
    """n_items × t, of the collaborative view."""
    second: Floats
    """n_items × t, of the same model trained with another seed."""
    users: Floats
    """n_users × t, of the collaborative view."""


def bench(run: Run, seed: int) -> Bench:
    """Return the vectors of a training seed of a run."""
    raw = normalize(text.encode(run.dataset, run.parameters["encoder"]), dim=1)
    view, second = run.view("lightgcn", seed), run.view("lightgcn", run.other(seed))
    sources = {PROJECTED: run.view("linear", seed).items, RAW: raw}
    return Bench(
        seed,
        {name: matrix(vectors.numpy()) for name, vectors in sources.items()},
        matrix(view.items.numpy()),
        matrix(second.items.numpy()),
        matrix(view.users.numpy()),
    )


def recover(
    run: Run, name: str, source: Floats, target: Floats, split: ItemSplit, seed: int,
    *, shuffled: bool = False,
) -> Recovery:  # fmt: skip
    """Return ``probes.recover`` for the map of that name, fitted now or read from the store.

    Parameters
    ----------
    run
        Its ``epochs`` (the most that a network is trained for) and ``device`` are for networks.
    name
        One of ``lib.probes.maps.MAPS``.
    source, target
        n_items × s and n_items × t.
    shuffled
        Whether training pairs are permuted, which gives the floor.

    Raises
    ------
    InputError
        As ``probes.recover``, or an unknown map.
    """
    epochs, device = run.parameters["epochs"], device_of(run.parameters["device"]).type
    fit = maps.named(name, epochs=epochs, device=device)
    x, y, ordered = probes.checked(source, target, split)
    key = {
        "dataset": run.dataset.name,
        "model": name,
        "seed": seed,
        "permuted": shuffled,
        "training": [epochs, device] if name in maps.NETWORKS else None,
        "data": cache.digest(x, y, ordered.train, ordered.valid),
        "code": cache.code_version(maps),
    }

    def make() -> cache.Value:
        way = maps.permuted(fit) if shuffled else fit
        found = probes.recover(source, target, split, way, seed=seed)
        return {"guess": found.guess, "info": dict(found.info)}

    kept = cache.cached("map", key, make)
    return Recovery(name, kept["info"], ordered, y, kept["guess"])


def three(run: Run, b: Bench, origin: str, name: str, split: ItemSplit) -> list[Recovery]:
    """Return what a map makes of the text, of permuted pairs (floor) and of a second seed."""
    source = b.sources[origin]
    return [
        recover(run, name, source, b.target, split, b.seed),
        recover(run, name, source, b.target, split, b.seed, shuffled=True),
        recover(run, name, b.second, b.target, split, b.seed),
    ]


def rows(
    run: Run, b: Bench, origin: str, name: str, split: ItemSplit, *, users: bool = False
) -> pd.DataFrame:
    """Return ``probes.bounded`` of ``three`` with the columns origin and seed before, kept.

    With ``users`` the recall scores stand in it too.
    """
    recoveries = three(run, b, origin, name, split)
    data = run.dataset
    audience = {"users": b.users, "relevant": data.test, "seen": data.seen} if users else {}
    first = recoveries[0]
    guesses = [one.guess for one in recoveries]
    key = {
        "dataset": data.name,
        "model": name,
        "seed": b.seed,
        "split": split.name,
        "k": run.k,
        "data": cache.digest(
            first.target, *guesses, first.split.train, first.split.test, *audience.values()
        ),
        "code": cache.code_version(probes),
    }

    def make() -> cache.Value:
        return {"rows": probes.bounded(*recoveries, **audience, k=run.k, seed=b.seed)}

    kept: pd.DataFrame = cache.cached("probe", key, make)["rows"]
    kept.insert(0, "seed", b.seed)
    kept.insert(0, "origin", origin)
    return kept


def by_map(run: Run, benches: Sequence[Bench], split: ItemSplit) -> pd.DataFrame:
    """Return ``rows`` of every map from either origin: ridge of all seeds, others of the first."""
    others = ("procrustes", "cca", *validated(run))
    chosen = [("ridge", b) for b in benches] + [(name, benches[0]) for name in others]
    return pd.concat(
        [
            rows(run, b, origin, name, split, users=True)
            for origin in (PROJECTED, RAW)
            for name, b in chosen
        ],
        ignore_index=True,
    )


def splits(run: Run) -> tuple[dict[str, ItemSplit], dict[str, str]]:
    """Return the splits of a run's items by name, and why there is none for other names."""
    data = run.dataset
    raw = text.encode(data, run.parameters["encoder"]).numpy()
    ways = {
        "random": lambda: item_splits.random(data.n_items, seed=SPLIT_SEED),
        "popularity": lambda: item_splits.popularity(data.train.getnnz(axis=0), seed=SPLIT_SEED),
        "cluster": lambda: item_splits.cluster(raw, seed=SPLIT_SEED),
        "temporal": lambda: item_splits.temporal(data.times, seed=SPLIT_SEED),
    }
    made, missing = {}, {}
    for name, make in ways.items():
        try:
            made[name] = make()
        except InputError as reason:
            missing[name] = str(reason)
    return made, missing


SHIFTED = ((PROJECTED, "ridge"), (PROJECTED, "MLP-1"), (RAW, "ridge"))
"""What is put to the four splits: a linear map and the smallest network, and text unprojected."""


def by_split(run: Run, benches: Sequence[Bench], made: Mapping[str, ItemSplit]) -> pd.DataFrame:
    """Return ``rows`` of ``SHIFTED`` on every split and seed."""
    return pd.concat(
        [
            rows(run, b, origin, name, split)
            for split in made.values()
            for origin, name in SHIFTED
            for b in benches
        ],
        ignore_index=True,
    )


def by_capacity(run: Run, benches: Sequence[Bench], split: ItemSplit) -> Fits:
    """Return ridge and the validated networks of every seed, and the reference's of the first.

    The reference's networks have no early stop and cost as much as all others together.
    """
    names = ("ridge", *validated(run))
    reference = tuple(f"{name}, reference" for name in ("linear", *validated(run)))
    return {
        b.seed: {
            name: recover(run, name, b.sources[PROJECTED], b.target, split, b.seed)
            for name in names + (reference if b is benches[0] else ())
        }
        for b in benches
    }
