"""What capacity buys and whether it travels, for chapter 07: maps by capacity and by item split.

Vectors, cached maps and the tables over seeds are those of ``ch06_probes``.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from lib.core import Floats, InputError, generator, whole_number
from lib.encoders import text
from lib.metrics import Ints
from lib.probes import ItemSplit, Recovery, networks, scores
from lib.probes import splits as item_splits
from lib.stats import Estimate
from studies.ch06_probes import PROJECTED, RAW, SPLIT_SEED, ProbeVectors, probe_table, recovery
from studies.context import Run, check_bounds

Recoveries = dict[int, dict[str, Recovery]]
"""What maps by name make of one source, by seed."""

SHIFTED = ((PROJECTED, "ridge"), (PROJECTED, "MLP-1"), (RAW, "ridge"))
"""What the four splits are for: a linear map and the smallest network, and text unprojected."""

LABELS = {
    "random": "drawn at random",
    "popularity": "the coldest",
    "cluster": "unseen themes",
    "temporal": "the newest",
}
"""How figures call the items that a split holds out."""

PARTS = {"train": "training items", "test": "held-out items"}


def check(run: Run) -> None:
    """Refuse a run whose ``epochs`` or ``sample_items`` are out of bounds."""
    whole_number("epochs", run.parameters["epochs"])
    check_bounds("sample_items", run.parameters["sample_items"], item_splits.LEAST)


def sample(run: Run) -> Ints:
    """Return the items that maps are compared on: all, or ``sample_items`` drawn at random."""
    n_items, most = run.dataset.n_items, run.parameters["sample_items"]
    if n_items <= most:
        return np.arange(n_items)
    return np.sort(generator(SPLIT_SEED, "sample of items").permutation(n_items)[:most])


def splits(run: Run) -> tuple[dict[str, ItemSplit], dict[str, str]]:
    """Return the splits of a run's items by name, and why there is none for other names."""
    data = run.dataset
    raw = text.encode(data, run.parameters["encoder"]).numpy()
    ways: dict[str, Callable[..., ItemSplit]] = {
        "random": partial(item_splits.random, data.n_items),
        "popularity": partial(item_splits.popularity, data.train.getnnz(axis=0)),
        "cluster": partial(item_splits.cluster, raw),
        "temporal": partial(item_splits.temporal, data.times),
    }
    made, missing = {}, {}
    for name, make in ways.items():
        try:
            made[name] = make(seed=SPLIT_SEED)
        except InputError as reason:
            missing[name] = str(reason)
    return made, missing


def by_split(
    run: Run, every: Sequence[ProbeVectors], made: Mapping[str, ItemSplit]
) -> pd.DataFrame:
    """Return the scores of ``SHIFTED`` on every split and seed."""
    tables = [
        probe_table(run, v, origin, name, split)
        for split in made.values()
        for origin, name in SHIFTED
        for v in every
    ]
    return pd.concat(tables, ignore_index=True)


def by_capacity(run: Run, every: Sequence[ProbeVectors]) -> Recoveries:
    """Return ridge and the validated networks of every seed, and the reference's of the first.

    They map a ``sample`` of the items. The reference's networks have no early stop and cost as much
    as all others together.
    """
    items = sample(run)
    split = item_splits.random(len(items), seed=SPLIT_SEED)
    reference = tuple(f"{name}, reference" for name in ("linear", *networks.HIDDEN))

    def fits(v: ProbeVectors) -> dict[str, Recovery]:
        names = ("ridge", *networks.HIDDEN, *(reference if v is every[0] else ()))
        given = (v.sources[PROJECTED][items], v.target[items], split, v.seed)
        return {name: recovery(run, name, *given) for name in names}

    return {v.seed: fits(v) for v in every}


def r2_of(
    *recoveries: Recovery,
    combine: Callable[..., Floats] = np.subtract,
    part: str = "test",
    seed: int = 0,
) -> Estimate:
    """Return ``combine`` of the R² of maps of one target on one split, on the same resamples.

    By default the difference of two, whose own intervals say little of it where both maps err on
    the same items. ``combine`` takes one R² per map; ``part`` is one of ``PARTS``.
    """
    items = getattr(recoveries[0].split, part)
    found = (scores.r2(one.target[items], one.predicted[items], seed=seed) for one in recoveries)
    return scores.estimate(*found, combine=combine, seed=seed)


def fitted_and_held_out(fits: Recoveries) -> pd.DataFrame:
    """Return R² on training and on held-out items of every map and seed."""
    rows = []
    for seed, by_name in fits.items():
        for name, one in by_name.items():
            facts = (one.info["parameters"], one.info.get("epochs"), seed)
            for part, items in PARTS.items():
                found = r2_of(one, combine=np.positive, part=part, seed=seed)
                rows.append((name, items, *facts, *found))
    columns = ["map", "items", "parameters", "epochs", "seed", "value", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def differences(fits: Recoveries) -> pd.DataFrame:
    """Return F7's comparisons of maps, each on the same resamples: what, maps, seed, value, …

    ``training`` and ``held_out`` are MLP-3 minus the linear map as the reference fits them, on the
    seeds that have them; ``stopped`` is the network of least validation error over ridge, minus
    one.
    """
    rows = []
    for seed, by_name in fits.items():
        deep, line = (by_name.get(f"{name}, reference") for name in ("MLP-3", "linear"))
        pairs: list[tuple[str, Recovery, Recovery, Estimate]] = []
        if deep and line:
            for what, part in (("training", "train"), ("held_out", "test")):
                pairs.append((what, deep, line, r2_of(deep, line, part=part, seed=seed)))
        tried, ridge = [by_name[name] for name in networks.HIDDEN], by_name["ridge"]
        best = min(tried, key=lambda one: min(one.info["validation"]))
        gain = r2_of(best, ridge, combine=lambda a, b: a / b - 1, seed=seed)
        pairs.append(("stopped", best, ridge, gain))
        rows += [(what, f"{a.map} against {b.map}", seed, *found) for what, a, b, found in pairs]
    return pd.DataFrame(rows, columns=["what", "maps", "seed", "value", "low", "high", "n"])


def by_step(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the means of ``fitted_and_held_out`` by ``step``, from few parameters to many."""
    reference = curves["map"].str.endswith(", reference")
    kind = np.where(reference, "as the reference", "validated")
    return curves.assign(
        step=curves["map"].str.removesuffix(", reference").replace("ridge", "linear"),
        what=kind + ", " + curves["items"],
    )
