"""Tables of the chapters on probes: from scores of every seed to what is shown and judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from companion.chapter import interval
from lib import probes
from lib.probes import Part, Recovery, maps
from lib.stats import Estimate

Fits = dict[int, dict[str, Recovery]]
"""What maps by name make of one source, by seed."""

LABELS = {
    "procrustes": "Procrustes",
    "cca": "CCA",
    "random": "drawn at random",
    "popularity": "the coldest",
    "cluster": "unseen themes",
    "temporal": "the newest",
}
"""How figures call maps, and the items that a split holds out, where not by their names."""

UNKNOWN = Estimate(np.nan, np.nan, np.nan, 0)

PARTS: dict[Part, str] = {"train": "training items", "test": "held-out items"}


def fitted_and_held_out(fits: Fits) -> pd.DataFrame:
    """Return R² on training and on held-out items.

    Columns map, items, parameters, epochs (of a network), seed, value, low, high, n.
    """
    found = [
        {
            "map": name,
            "items": items,
            "parameters": one.info["parameters"],
            "epochs": one.info.get("epochs"),
            "seed": seed,
            **_entry(probes.compare(one, combine=lambda value: value, part=part, seed=seed)),
        }
        for seed, by_name in fits.items()
        for name, one in by_name.items()
        for part, items in PARTS.items()
    ]
    return pd.DataFrame(found)


def differences(fits: Fits) -> pd.DataFrame:
    """Return F7's comparisons of maps, each on the same resamples: what, maps, seed, value, …

    ``training`` and ``held_out`` are MLP-3 minus the linear map as the reference fits them, on the
    seeds that have them; ``stopped`` is the network of least validation error over ridge, minus
    one. None of them can be had without the wide networks.
    """
    found = []
    for seed, by_name in fits.items():
        deep, line = (by_name.get(f"{name}, reference") for name in ("MLP-3", "linear"))
        if deep and line:
            parts: dict[str, Part] = {"training": "train", "held_out": "test"}
            for what, part in parts.items():
                value = probes.compare(deep, line, part=part, seed=seed)
                found.append(_compared(what, deep, line, seed, value))
        if "MLP-3" in by_name:
            best = min((by_name[name] for name in maps.HIDDEN), key=_validation_error)
            ridge = by_name["ridge"]
            value = probes.compare(best, ridge, combine=lambda a, b: a / b - 1, seed=seed)
            found.append(_compared("stopped", best, ridge, seed, value))
    return pd.DataFrame(found, columns=["what", "maps", "seed", "value", "low", "high", "n"])


def _validation_error(recovery: Recovery) -> float:
    return float(min(recovery.info["validation"]))


def _compared(what: str, a: Recovery, b: Recovery, seed: int, value: Estimate) -> dict[str, object]:
    return {"what": what, "maps": f"{a.map} against {b.map}", "seed": seed, **_entry(value)}


def _entry(value: Estimate) -> dict[str, float]:
    return dict(zip(("value", "low", "high", "n"), value, strict=True))


def over_seeds(table: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Return the mean over seeds, with the widest of the seeds' intervals.

    Seeds share their items, so their intervals do not shrink by averaging.

    Parameters
    ----------
    table
        Columns seed, value, low, high, n, those of ``by``, and, where there, parameters, reached,
        reached_low and reached_high.

    Returns
    -------
    DataFrame
        Columns of ``by``, mean, low, high, n, seeds (their number), and parameters, reached, …
        where given. NaN where a seed has none.
    """
    wanted: dict[str, Any] = {
        "mean": ("value", _mean),
        "low": ("low", _least),
        "high": ("high", _most),
        "n": ("n", "first"),
        "seeds": ("seed", "nunique"),
    }
    if "reached" in table:
        wanted |= {
            "reached": ("reached", _mean),
            "reached_low": ("reached_low", _least),
            "reached_high": ("reached_high", _most),
        }
    if "parameters" in table:
        wanted["parameters"] = ("parameters", "first")
    return table.groupby(list(by), sort=False).agg(**wanted).reset_index()


# NaN is not passed over, as pandas would


def _mean(values: pd.Series) -> float:
    return float(values.to_numpy().mean())


def _least(values: pd.Series) -> float:
    return float(values.to_numpy().min())


def _most(values: pd.Series) -> float:
    return float(values.to_numpy().max())


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
    places = [kept[name].map(list(of).index) for name, of in wanted.items()]
    return kept.iloc[np.lexsort(places[::-1])].reset_index(drop=True)


def intervals(table: pd.DataFrame, column: str = "mean") -> list[str]:
    """Return each row's estimate as ``companion.chapter.interval`` has it; ``column`` as in ``pick``."""
    names = [column, *_bounds(column), "n"]
    return [interval(Estimate(*row)) for row in table[names].itertuples(index=False)]


def _bounds(column: str) -> tuple[str, str]:
    return ("low", "high") if column == "mean" else (f"{column}_low", f"{column}_high")


def as_shares(found: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the share of the reachable, from 0 to 1, in place of the score."""
    names = {"mean": "reached", "low": "reached_low", "high": "reached_high"}
    shares = {name: found[reached] for name, reached in names.items()}
    return found.assign(**shares, floor=0.0, ceiling=1.0)


def by_step(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the means of ``fitted_and_held_out`` by ``step``, from few parameters to many."""
    reference = curves["map"].str.endswith(", reference")
    kind = np.where(reference, "as the reference", "validated")
    return curves.assign(
        step=curves["map"].str.removesuffix(", reference").replace("ridge", "linear"),
        what=kind + ", " + curves["items"],
    )


def pick(table: pd.DataFrame, column: str = "mean", **where: str) -> Estimate:
    """Return the estimate in the one row of ``over_seeds`` where columns have these values.

    ``column`` is mean, or reached. Without such a row the estimate is NaN.
    """
    chosen = table
    for name, value in where.items():
        chosen = chosen[chosen[name] == value]
    if chosen.empty:
        return UNKNOWN
    row = chosen.iloc[0]
    low, high = _bounds(column)
    return Estimate(float(row[column]), float(row[low]), float(row[high]), int(row["n"]))
