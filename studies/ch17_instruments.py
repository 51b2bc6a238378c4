"""Error rates of the rules that say "only text has this", from worlds whose truth is known.

A rule asks whether a finding's excess over a null (``studies.nulls``) is above zero, or above a
margin: the lower end of its 95 % interval over users. In worlds without a part private to text it
should hardly ever be; where there is one, often (``studies.ch17_worlds``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from companion.consistency import INSTRUMENTS
from studies import nulls

FINDINGS = ("F2", "F3", "F4", "F5", "F13")
LIMIT, UPPER = 0.05, 0.10
"""A rule is used if its false-positive rate, and the upper end of its interval, are not above."""

LEAST = 36
"""Worlds from which on no false positive at all puts the upper end below ``UPPER``."""

RATES = ["false positives", "power"]

Margin = Callable[[pd.DataFrame], float]
"""A margin, of the excesses over one null in the worlds without a private part that set it."""


def _quantile(level: float) -> Margin:
    """Return the margin that a further world's lower end exceeds at a rate of 1 − level."""
    return lambda excesses: max(0.0, conformal(excesses["low"], level))


MARGINS: dict[str, Margin] = {
    "above 0": lambda _: 0.0,
    "above the margin": lambda excesses: max(0.0, excesses["mean"].max()),
}
LOWER: dict[str, Margin] = {
    f"above the {level:.1%} quantile".replace("%", " %"): _quantile(level)
    for level in (0.975, 0.95)
}
"""Margins that are less strict than those of ``MARGINS``, by which no finding is judged."""


def conformal(values: pd.Series, level: float) -> float:
    """Return the value that a further one exceeds with probability 1 − level at most.

    Split conformal prediction (Vovk et al. 2005): of n exchangeable values the ⌈level · (n + 1)⌉-th
    from below, infinite where there are too few.
    """
    rank = math.ceil(level * (len(values) + 1))
    return float(np.sort(values)[rank - 1]) if rank <= len(values) else math.inf


def rates(table: pd.DataFrame, margins: Mapping[str, Margin] = MARGINS) -> pd.DataFrame:
    """Return how often each rule passes in the worlds that set no margin.

    By null, finding, private share and rule: margin, passes, n, rate, the rate's 95 % interval by
    Clopper and Pearson, low and high, the rate of the noise and gap where it is highest, worst, and
    how often lists pass that know nothing of the text, placebo.
    """
    keys = ["null", "finding", "private"]
    of_text = table["text"] == nulls.TEXT
    without_text, table = table[~of_text].groupby(keys[:2])["low"], table[of_text]
    sets = table["number"] % 3 == 0
    setting = dict(list(table[sets & (table["private"] == 0)].groupby(keys[:2])))
    rows = []
    for (null, finding, private), group in table[~sets | (table["private"] > 0)].groupby(keys):
        for rule, margin_of in margins.items():
            margin = margin_of(setting[null, finding])
            passed = group["low"] > margin
            passes, n = int(passed.sum()), len(group)
            worst = passed.groupby([group["noise"], group["gap"]]).mean().max()
            low, high = binomtest(passes, n).proportion_ci(method="exact")
            found = {"null": null, "finding": finding, "private": private, "rule": rule}
            found |= {"margin": margin, "passes": passes, "n": n, "rate": passes / n}
            placebo = (without_text.get_group((null, finding)) > margin).mean()
            rows.append(found | {"low": low, "high": high, "worst": worst, "placebo": placebo})
    return pd.DataFrame(rows)


def usable(rates: pd.DataFrame) -> pd.DataFrame:
    """Return which rules may judge data: null, finding, rule, margin, false positives and power.

    Those whose false-positive rate is within ``LIMIT``, the upper end of its interval within
    ``UPPER``, which pass more often where half of the utility is private than that upper end, and
    which no list without text passes.
    """
    keys = ["null", "finding", "rule", "margin"]
    nothing, half = (rates[rates["private"] == share].set_index(keys) for share in (0.0, 0.5))
    found = nothing[["rate", "high", "placebo"]].rename(columns={"rate": "false positives"})
    found = found.assign(power=half["rate"], least=half["low"])
    told = (found["false positives"] <= LIMIT) & (found["high"] <= UPPER)
    told &= (found["least"] > found["high"]) & (found["placebo"] == 0)
    return found.loc[told, ["false positives", "power"]]


def chosen(rates: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return by finding the usable rule of largest power, of equal ones that of the first null.

    ``beyond`` is what ``claims.yml`` asks for: the margin, rounded up to three digits.
    """
    found = usable(rates).reset_index()
    order = found["null"].map([*nulls.KINDS, nulls.LONGER].index)
    found = found.assign(order=order).sort_values(["power", "order"], ascending=[False, True])
    best = found.drop_duplicates("finding").drop(columns="order").set_index("finding")
    return {
        name: row | {"beyond": f"excess.low > {math.ceil(1000 * row['margin']) / 1000:g}"}
        for name, row in best.reindex(FINDINGS).dropna().to_dict("index").items()
    }


def answer(rates: pd.DataFrame) -> str:
    """Return what the rates say, in words."""
    n = int(rates.loc[rates["private"] == 0, "n"].max())
    words = f"These rates come from {n} worlds without a part private to text. "
    if n < LEAST:
        return f"{words}They are too few to calibrate a rule: {LEAST} are needed."
    rules = chosen(rates)
    none = [name for name in FINDINGS if name in set(rates["finding"]) - set(rules)]
    if none:
        words += (
            f"For {', '.join(none)}, no null that was tried distinguishes information private to "
            "text from shared information measured with error. "
        )
    if rules:
        powers = [rule["power"] for rule in rules.values()]
        words += (
            f"{', '.join(rules)} can be judged: by an excess over a null that is above a margin. "
            f"Such a rule finds a private half of the utility in {min(powers):.0%} to "
            f"{max(powers):.0%} of the worlds that have one, and in hardly any that has none. What "
            "does not pass may still be private."
        )
    return words.strip()


def used(rates: pd.DataFrame) -> pd.DataFrame:
    """Return the rule that judges each finding: null, margin, false positives and power."""
    table = pd.DataFrame(chosen(rates)).T.reindex(columns=["null", "margin", *RATES])
    table[RATES] = table[RATES].map("{:.0%}".format)
    # rounded up, as in the rules
    return table.assign(margin=[f"{math.ceil(1000 * of) / 1000:.3f}" for of in table["margin"]])


def less_strict(table: pd.DataFrame, rules: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return, to be read, the rates that the rules of ``chosen`` would have with ``LOWER``."""
    found = rates(table, LOWER)
    pairs = {(rule["null"], name) for name, rule in rules.items()}
    kept = [pair in pairs for pair in zip(found["null"], found["finding"], strict=True)]
    return shown(found[kept]) if any(kept) else pd.DataFrame()


def drawn(rates: pd.DataFrame) -> pd.DataFrame:
    """Return the table of the figure: a panel a null and rule, a row a finding, two groups."""
    words = {0.0: "nothing private to text: false positives", 0.5: "half private to text: power"}
    order = {name: at for at, name in enumerate((*nulls.KINDS, nulls.LONGER, *FINDINGS))}
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
    nothing = rates[rates["private"] == 0].set_index(keys)[["worst", "placebo"]].round(2)
    table.insert(1, "0.0, worst cell", nothing["worst"])
    table.insert(0, "without text", nothing["placebo"])
    return table.rename_axis(columns="private to text").reset_index(level="margin").round(3)


def record(rates: pd.DataFrame) -> dict[str, Any]:
    """Return, as an output for machines, the rule of each finding that may judge data, if any.

    Nothing where there are too few worlds to say.
    """
    if rates.loc[rates["private"] == 0, "n"].max() < LEAST:
        return {"text/plain": "too few worlds"}
    rules = chosen(rates)
    found = {name: rules.get(nulls.SAME.get(name, name), {}) for name in (*FINDINGS, *nulls.SAME)}
    return {INSTRUMENTS: found, "text/plain": pd.DataFrame(rules).T.to_string()}
