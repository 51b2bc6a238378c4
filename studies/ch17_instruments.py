"""Error rates of the rules that say "only text has this": simulated worlds whose truth is known.

A rule asks whether a finding's excess over a null (``studies.nulls``) is above zero: the lower end
of its 95 % interval over users. In worlds without a part private to the text it should hardly ever
be; where there is one, often. Worlds have the shape of two of the book's sets with fewer users,
and views are trained by the models that chapters use.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from scipy.stats import binomtest
from tqdm import tqdm

from companion.consistency import INSTRUMENTS
from companion.data import synthetic
from lib import cache
from studies import nulls
from studies.context import Run, check_bounds

SHAPES = {
    "scientific-2018": (0.525, 7.0),
    "toys-2014": (0.615, 8.6),
}
"""Items and interactions per user of the two sets."""

SETTINGS: dict[str, Any] = {"batch": 1024, "negatives": 256}
"""The recipe's batch and negatives, an eighth each as the worlds are smaller."""

FIXED: dict[str, Any] = {"d_semantic": 64, "dimension": 128, "popularity": 1.0, "strength": 2.5}
NOISES, GAPS, PRIVATE = (1.0, 2.0, 4.0), (0.0, 0.5), (0.25, 0.5, 0.75)
FINDINGS = ("F2", "F3", "F4", "F5", "F13")
LIMIT, UPPER = 0.05, 0.10
"""A rule is used if its false-positive rate, and the upper end of its interval, are not above."""


@dataclass(frozen=True)
class Setting:
    """A kind of world: its shape, what is private to text, the gap between the views, the noise.

    ``private`` is the share of the utility's variance that only text knows, ``gap`` the share of
    the rest that only interactions know, ``noise`` the standard deviation of the noise in an entry
    of the text, whose signal has 1: at 4 half of what the text says of a shared factor is noise.
    """

    shape: str
    private: float
    gap: float
    noise: float

    def world(self, seed: int, users: int) -> synthetic.World:
        """Return the world drawn from ``seed``."""
        items, interactions = SHAPES[self.shape]
        shared = (1 - self.private) * (1 - self.gap)
        return synthetic.world(
            n_users=users, n_items=round(items * users), interactions=interactions, shared=shared,
            semantic=self.private, noise=self.noise, seed=seed, **FIXED,
        )  # fmt: skip


def plan(n: int) -> list[tuple[Setting, int]]:
    """Return the worlds of ``n`` rounds: settings with the seeds of their worlds.

    A round has a world of every noise, gap and shape without a private part. Every third, from the
    first, sets the margins, and has the worlds with a private part as well.
    """
    made = []
    for seed in range(n):
        shares = (0.0, *PRIVATE) if seed % 3 == 0 else (0.0,)
        made += [
            (Setting(shape, private, gap, noise), seed)
            for private in shares
            for gap in GAPS
            for shape in SHAPES
            for noise in (NOISES[1:2] if private else NOISES)
        ]
    return made


def tested(setting: Setting, seed: int, users: int, k: int) -> pd.DataFrame:
    """Return every rule's excess in one world: null, finding, mean, low, high."""

    def make() -> cache.Value:
        dataset = setting.world(seed, users).dataset
        parameters = {"k": k, "seed": seed, "seeds": 1, "encoder": "", "device": "cpu"}
        run = Run(dataset, parameters)
        rows = [
            {"null": null, "finding": finding, **excess._asdict()}
            for null in nulls.NULLS
            for finding, excess in nulls.excesses(run, nulls.views(run, null, **SETTINGS)).items()
        ]
        return {"table": pd.DataFrame(rows)}

    key = {"setting": asdict(setting), "seed": seed, "users": users, "k": k}
    key |= {"code": cache.code_version(tested)}
    return pd.DataFrame(cache.cached("instruments", key, make)["table"])


def worlds(n: int, users: int, k: int) -> pd.DataFrame:
    """Return ``tested`` of the worlds of ``plan``, with the columns of ``Setting`` and ``seed``."""
    check_bounds("worlds", n, 2)  # the first round sets the margins
    made = [
        tested(setting, seed, users, k).assign(**asdict(setting), seed=seed)
        for setting, seed in tqdm(plan(n), desc="worlds", unit="world", disable=None)
    ]
    return pd.concat(made, ignore_index=True)


def rates(table: pd.DataFrame) -> pd.DataFrame:
    """Return how often each rule passes in the worlds that set no margin.

    By null, finding, private share and rule: margin, passes, n, rate, and the rate's 95 % interval
    by Clopper and Pearson, low and high. The margin of the rule "above 0" is 0, that of "above the
    margin" the largest mean excess in a world without a private part that sets it.
    """
    keys = ["null", "finding", "private"]
    sets = table["seed"] % 3 == 0
    largest = table[sets & (table["private"] == 0)].groupby(keys[:2])["mean"].max().clip(lower=0)
    rows = []
    for (null, finding, private), group in table[~sets | (table["private"] > 0)].groupby(keys):
        for rule, margin in (("above 0", 0.0), ("above the margin", largest[null, finding])):
            passes, n = int((group["low"] > margin).sum()), len(group)
            low, high = binomtest(passes, n).proportion_ci(method="exact")
            found = {"null": null, "finding": finding, "private": private, "rule": rule}
            found |= {"margin": margin, "passes": passes, "n": n, "rate": passes / n}
            rows.append(found | {"low": low, "high": high})
    return pd.DataFrame(rows)


def usable(rates: pd.DataFrame) -> pd.DataFrame:
    """Return which rules may judge data: null, finding, rule, margin, false positives and power.

    Those whose false-positive rate is within ``LIMIT``, the upper end of its interval within
    ``UPPER``, and which pass more often where half of the utility is private than that upper end.
    """
    keys = ["null", "finding", "rule", "margin"]
    nothing, half = (rates[rates["private"] == share].set_index(keys) for share in (0.0, 0.5))
    found = nothing[["rate", "high"]].rename(columns={"rate": "false positives"})
    found = found.assign(power=half["rate"], least=half["low"])
    told = (found["false positives"] <= LIMIT) & (found["high"] <= UPPER)
    return found[told & (found["least"] > found["high"])].drop(columns=["high", "least"])


def answer(rates: pd.DataFrame) -> str:
    """Return what the rates say, in words."""
    chosen = usable(rates).reset_index()
    none = sorted(set(rates["finding"]) - set(chosen["finding"]), key=FINDINGS.index)
    n = int(rates.loc[rates["private"] == 0, "n"].max())
    words = f"Counted in {n} worlds without a part private to text. "
    if none:
        words += f"No null tells private signal from noise for {', '.join(none)}. "
    for finding, rules in chosen.groupby("finding"):
        nulls_of = " or ".join(f"{row.null}, {row.rule}" for row in rules.itertuples())
        words += f"{finding} can be judged by: {nulls_of}. "
    return words.strip()


def drawn(rates: pd.DataFrame) -> pd.DataFrame:
    """Return the table of the figure: a panel a null and rule, a row a finding, two groups."""
    words = {0.0: "nothing private: false positives", 0.5: "half is private to text: power"}
    order = {name: at for at, name in enumerate((*nulls.NULLS, *FINDINGS))}
    rows = rates[rates["private"].isin(words)]
    rows = rows.sort_values(["null", "finding"], key=lambda names: names.map(order), kind="stable")
    rows = rows.sort_values("private", kind="stable")
    return pd.DataFrame(
        {
            "panel": rows["null"] + ", " + rows["rule"],
            "what": rows["finding"],
            "group": rows["private"].map(words),
            **{"mean": rows["rate"], "low": rows["low"], "high": rows["high"]},
        }
    )


def shown(rates: pd.DataFrame) -> pd.DataFrame:
    """Return the rates as a table to be read: a column a private share."""
    words = [f"{r.rate:.2f} [{r.low:.2f}, {r.high:.2f}]" for r in rates.itertuples()]
    keys = ["null", "rule", "finding", "margin"]
    table = rates.assign(rate=words).pivot(index=keys, columns="private", values="rate")
    return table.rename_axis(columns="private to text").reset_index(level="margin").round(3)


def record(rates: pd.DataFrame) -> dict[str, Any]:
    """Return, as an output for machines, which findings have a rule that may judge data."""
    chosen = usable(rates).reset_index()
    found = {name: chosen[chosen["finding"] == name].to_dict("records") for name in FINDINGS}
    found["F3b"] = found["F3"]  # both are about hits that only the text finds
    return {INSTRUMENTS: found, "text/plain": chosen.to_string()}
