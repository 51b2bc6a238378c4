"""Chapter 13 as its page shows it: the figure's cells, the tables, and the words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from companion.chapter import intervals
from companion.consistency import PROTOCOL
from lib import claims
from lib.core import Floats
from lib.metrics import recall
from lib.stats import relative_gain
from studies.ch13_effects import CHOICES, FINDINGS, FUSION, HALVES, JOINT, Audit

SHORT = {
    "F1": "recall\nratio", "F2": "Jaccard", "F3": "one view's\nhits", "F3b": "balance\nof hits",
    "F4": "popularity\ngap", "F5": "oracle\ngain", "F6": "reached\nof R²",
    FUSION: "over\nLightGCN", "F9": "tail minus\nhot gain",
}  # fmt: skip
"""What each finding's number is, for the head of a column."""


def described() -> pd.DataFrame:
    """Return the choices in words: ours, the reference's, how it is reproduced, what it touches."""
    table = pd.DataFrame([vars(choice) for choice in CHOICES]).set_index("name").rename_axis(None)
    table["can touch"] = table["findings"].map(", ".join)
    names = {"reference": "the reference's", "how": "how it is reproduced here"}
    return table[["ours", *names, "can touch"]].rename(columns=names)


def units() -> pd.Series:
    """Return each finding's unit."""
    found = {name: claim.unit for name, claim in claims.load().items() if name in FINDINGS}
    found[FUSION] = "recall of norm-concat over that of the collaborative view, minus one"
    return pd.Series(found, name="the number in its column").loc[list(FINDINGS)]


def cells(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the figure's colours, texts and frames (choices × findings each).

    Colours are ``moved``, NaN where nothing is touched; texts are ours and the reference's number,
    "left out" for what this run did not measure; a frame is true where the verdict changes.
    """
    pairs = zip(table["ours"], table["reference"], strict=True)
    wide = table.assign(
        text=[f"{ours:.2f}\n→ {reference:.2f}" for ours, reference in pairs],
        framed=table["word"] != table["reference_word"],
    ).pivot(index="choice", columns="finding", values=["moved", "text", "framed"])
    axes = {"index": [choice.name for choice in CHOICES], "columns": list(FINDINGS)}
    moved, text, framed = (wide[of].reindex(**axes) for of in ("moved", "text", "framed"))
    for choice in CHOICES:
        for name in FINDINGS:
            if pd.isna(text.loc[choice.name, name]):
                text.loc[choice.name, name] = "left out" if name in choice.findings else ""
    moved.columns = [f"{name}\n{SHORT[name]}" for name in FINDINGS]
    return moved, text, framed.eq(True)


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with every number's interval, one row per choice and finding."""
    columns = {
        "ours": intervals(table, "ours"), "the reference's": intervals(table, "reference"),
        "difference": intervals(table, "difference"),
        "in half-widths": [f"{moved:+.1f}" for moved in table["moved"]],
        "n": list(table["n"]), "seeds": list(table["seeds"]),
        "our verdict": list(table["word"]),
        "the reference's verdict": list(table["reference_word"]),
    }  # fmt: skip
    return pd.DataFrame(columns, index=pd.MultiIndex.from_frame(table[["choice", "finding"]]))


def bundle(audit: Audit, table: pd.DataFrame) -> dict[str, Any]:
    """Return the table in words as a notebook's output, with our measures for machines to read.

    ``companion.consistency.contradictions`` compares them with the chapters' own.
    """
    words = in_words(table)
    measured = {
        finding: {name: [None if np.isnan(x) else float(x) for x in value]
                  for name, value in found.items()}
        for finding, found in audit.record().items()
    }  # fmt: skip
    run = audit.run
    record = {"dataset": run.dataset.name, "parameters": {**run.parameters}, "measures": measured}
    return {"text/plain": words.to_string(), "text/html": words.to_html(), PROTOCOL: record}


def budgets(audit: Audit) -> pd.DataFrame:
    """Return the fusion's gain over LightGCN, from the reference's budgets to equal ones.

    Columns what, mean, low, high, n; of the first seed.
    """

    def recalls(model: str, **settings: Any) -> Floats:
        found = audit.run.view(model, audit.first, **settings)
        return recall(audit.lists(found), audit.run.dataset.test)

    hard, lightgcn = recalls("joint", **JOINT), recalls("lightgcn")
    joint, wide = recalls("joint", **HALVES), recalls("lightgcn", dimension=128)
    larger = "joint, 128 dimensions, hard negatives, over LightGCN"
    ways = {
        f"{larger} by BPR": (hard, recalls("lightgcn-bpr")),
        larger: (hard, lightgcn),
        "joint over LightGCN, both of 128 dimensions": (joint, wide),
        "joint over LightGCN, both of 64 dimensions": (recalls("joint"), lightgcn),
    }
    return pd.DataFrame({"what": n, **relative_gain(*of)._asdict()} for n, of in ways.items())


def beyond_seeds(table: pd.DataFrame) -> dict[str, list[str]]:
    """Return the findings that each choice moves further than any two seeds differ.

    No two differ by more than twice the distance of the farthest from the mean. The interval of
    the difference must leave out 0 as well. Empty where only one seed was run.
    """
    apart = table.set_index(["choice", "finding"])
    if "one seed" not in apart.index.get_level_values("choice"):
        return {}
    seeds = 2 * apart.loc["one seed", "difference"].abs()
    found: dict[str, list[str]] = {}
    for (choice, name), row in apart.drop("one seed", level="choice").iterrows():
        clear = row["difference_low"] > 0 or row["difference_high"] < 0
        if clear and abs(row["difference"]) > seeds[name]:
            found.setdefault(choice, []).append(name)
    return found


def verdict(table: pd.DataFrame) -> str:
    """Return in Markdown, without any number, which choices change a verdict."""
    changes: dict[str, list[str]] = {name: [] for name in table["choice"].unique()}
    for row in table[table["word"] != table["reference_word"]].itertuples():
        changes[row.choice].append(f"{row.finding} from *{row.word}* to *{row.reference_word}*")
    lines = [f"- **{name}**: {'; '.join(of)}" for name, of in changes.items() if of]
    same = [name for name, of in changes.items() if not of]
    missing = [choice.name for choice in CHOICES if choice.name not in changes]
    parts = [
        "Choices of the reference that change a verdict:",
        "\n".join(lines) or "- none",
        f"Choices that change no verdict: {', '.join(same) or 'none'}.",
    ]
    if missing:
        parts.append(f"Left out of this run: {', '.join(missing)}.")
    return "\n\n".join(parts)
