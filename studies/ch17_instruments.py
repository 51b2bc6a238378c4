"""Error rates of the rules that say "only text has this", from worlds whose truth is known.

A rule asks whether a finding's excess over a null (``studies.nulls``) is above zero, or above a
margin: the lower end of its 95 % interval over users. In worlds without a part private to text it
should hardly ever be; where there is one, often (``studies.ch17_worlds``).
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from scipy.stats import binomtest

from companion.consistency import INSTRUMENTS
from studies import nulls

FINDINGS = ("F2", "F3", "F4", "F5", "F13")
LIMIT, UPPER = 0.05, 0.10
"""A rule is used if its false-positive rate, and the upper end of its interval, are not above."""

LEAST = 36
"""Worlds from which on no false positive at all puts the upper end below ``UPPER``."""


def rates(table: pd.DataFrame) -> pd.DataFrame:
    """Return how often each rule passes in the worlds that set no margin.

    By null, finding, private share and rule: margin, passes, n, rate, the rate's 95 % interval by
    Clopper and Pearson, low and high, and the rate of the noise and gap where it is highest, worst.
    The margin of the rule "above 0" is 0, that of "above the
    margin" the largest mean excess in a world without a private part that sets it.
    """
    keys = ["null", "finding", "private"]
    sets = table["number"] % 3 == 0
    largest = table[sets & (table["private"] == 0)].groupby(keys[:2])["mean"].max().clip(lower=0)
    rows = []
    for (null, finding, private), group in table[~sets | (table["private"] > 0)].groupby(keys):
        for rule, margin in (("above 0", 0.0), ("above the margin", largest[null, finding])):
            passed = group["low"] > margin
            passes, n = int(passed.sum()), len(group)
            worst = passed.groupby([group["noise"], group["gap"]]).mean().max()
            low, high = binomtest(passes, n).proportion_ci(method="exact")
            found = {"null": null, "finding": finding, "private": private, "rule": rule}
            found |= {"margin": margin, "passes": passes, "n": n, "rate": passes / n}
            rows.append(found | {"low": low, "high": high, "worst": worst})
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
    if n < LEAST:
        return f"{words}They are too few to calibrate a rule: {LEAST} are needed."
    if none:
        words += (
            "No null that was tried distinguishes information private to text from shared "
            f"information measured with error, for {', '.join(none)}. "
        )
    for finding, rules in chosen.groupby("finding"):
        nulls_of = " or ".join(f"{row.null}, {row.rule}" for row in rules.itertuples())
        words += f"{finding} can be judged by: {nulls_of}. "
    return words.strip()


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
    nothing = rates[rates["private"] == 0].set_index(keys)["worst"].round(2)
    table.insert(1, "0.0, worst cell", nothing)
    return table.rename_axis(columns="private to text").reset_index(level="margin").round(3)


def record(rates: pd.DataFrame) -> dict[str, Any]:
    """Return, as an output for machines, which findings have a rule that may judge data.

    Nothing where there are too few worlds to say.
    """
    if rates.loc[rates["private"] == 0, "n"].max() < LEAST:
        return {"text/plain": "too few worlds"}
    chosen = usable(rates).reset_index()
    found = {name: chosen[chosen["finding"] == name].to_dict("records") for name in FINDINGS}
    found["F3b"] = found["F3"]  # both are about hits that only the text finds
    return {INSTRUMENTS: found, "text/plain": chosen.to_string()}
