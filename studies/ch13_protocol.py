"""Chapter 13 as its page shows it: the lines behind the effects, the figures' cells, the words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from companion.chapter import interval
from companion.consistency import PROTOCOL
from lib import claims
from lib.core import Floats, unit
from lib.diagnostics import best_of_union, jaccard, neighbourhood_preservation
from lib.metrics import recall
from lib.probes import scores as probe_scores
from lib.stats import Estimate, summary
from lib.topk import topk
from studies import ch13_effects, measures
from studies.ch13_effects import CHOICES, FINDINGS, FUSION, HALVES, JOINT, Audit, headline

SHORT = {
    "F1": "recall\nratio", "F2": "Jaccard", "F3": "one view's\nhits", "F3b": "balance\nof hits",
    "F4": "popularity\ngap", "F5": "oracle\ngain", "F6": "reached\nof R²",
    FUSION: "over\nLightGCN", "F9": "tail minus\nhot gain",
}  # fmt: skip
"""What each finding's number is, for the head of a column."""

OTHER_QUESTIONS = ("an oracle with more items", "no null")
"""Choices whose sides are different questions to the same lists, not answers to one question."""

Lines = dict[str, Estimate]
"""What is measured, and its value; low and high are NaN where nothing is resampled."""


def details(audit: Audit, *, retrain: bool = True) -> pd.DataFrame:
    """Return what the choices' differences are made of: choice, what, mean, low, high, n."""
    parts = {
        "unequal budgets": _budgets, "halves of one model": _halves,
        "what popularity counts": _strata, "concatenation or mean": _identity,
        "an oracle with more items": _oracle, "no null": _null,
        "probes without validation": _probes, "one seed": _seeds,
    }  # fmt: skip
    rows = [
        {"choice": choice, "what": what, **found._asdict()}
        for choice, lines in parts.items()
        if retrain or lines not in (_budgets, _halves)
        for what, found in lines(audit).items()
    ]
    return pd.DataFrame(rows)


def _budgets(audit: Audit) -> Lines:
    """Return the fusion's gain over LightGCN, from the reference's budgets to equal ones."""

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
    return {what: probe_scores.estimate(measures.gain(*pair)) for what, pair in ways.items()}


def _halves(audit: Audit) -> Lines:
    """Return the recall of a joint model, of its halves, and of the two views."""
    joint = audit.run.view("joint", audit.first, **HALVES)
    semantic, collaborative = audit.views(audit.first)
    first, second = ch13_effects.split_joint(joint)
    ways = {
        "the joint model, 128 dimensions": joint, "its collaborative half": first,
        "its semantic half": second, "the collaborative view": collaborative,
        "the semantic view": semantic,
    }  # fmt: skip
    test = audit.run.dataset.test
    return {f"recall of {n}": summary(recall(audit.lists(of), test)) for n, of in ways.items()}


def _strata(audit: Audit) -> Lines:
    """Return the share of items in each stratum."""
    ways = {
        "training counts, by rank": audit.plain.strata,
        "all counts, by quantile": ch13_effects.quantile_strata(ch13_effects.all_counts(audit.run)),
    }
    return {
        f"share of {name} items: {way}": _exact(np.mean(strata == stratum))
        for way, strata in ways.items()
        for stratum, name in enumerate(("cold", "mid", "hot"))
    }


def _identity(audit: Audit) -> Lines:
    """Return how far norm-concat-norm is from the weighted mean of the cosines."""
    lists, largest = ch13_effects.mean_of_cosines(audit)
    same = (lists == audit.seeds[0].fused[0]).all(axis=1)
    return {
        "largest difference of two scores": _exact(largest),
        "share of users with the same list": _exact(same.mean()),
    }


def _oracle(audit: Audit) -> Lines:
    """Return the recalls that an oracle's gain compares."""
    found, k = audit.plain, audit.run.k
    best = [best_of_union(pair, found.relevant, k) for pair in found.pairs]
    rows = {
        "the better view, K items": measures.better_recall(found.pairs, found.relevant),
        "the better view, 2K items": ch13_effects.recall_of_longer(found),
        "the best K items of the union": np.mean(best, axis=0),
        "the union, up to 2K items": measures.union_recall(found.pairs, found.relevant),
    }
    return {f"recall of {what}": summary(values) for what, values in rows.items()}


def _null(audit: Audit) -> Lines:
    """Return F2, F3 and F5 of the two views and of their nulls."""
    lines = {}
    for name in ("F2", "F3", "F5"):
        found = measures.estimates(audit.side(name).measures)
        twins = "the better view" if name == "F5" else "LightGCN"
        lines[f"{name}: text and LightGCN"] = found[headline(name)]
        lines[f"{name}: two seeds of {twins}"] = found["seeds"]
        lines[f"{name}: SVD and LightGCN"] = found["other"]
    return lines


def _probes(audit: Audit) -> Lines:
    """Return what maps fitted with and without validation reach, and how they are scored."""
    data, seed = audit.run.dataset, audit.first
    semantic, collaborative = audit.views(seed)
    names = ("ridge", "linear, reference", "MLP-1, reference")
    maps = [audit.mapped(semantic, collaborative, name, seed) for name in names]
    ridge, split = maps[0], maps[0].split
    lines = {
        f"R² on {part} items: {name}": probe_scores.estimate(ch13_effects.r2_on(items, found, seed))
        for name, found in zip(names, maps, strict=True)
        for part, items in (("held-out", split.test), ("training", split.train))
    }
    true, guess = ridge.target[split.test], ridge.predicted[split.test]
    k = min(20, len(split.test) - 1)
    audience = probe_scores.Audience(collaborative.users.numpy(), data.test, data.seen)
    recalls = probe_scores.inductive_recall(audience, ridge.target, guess, split, k)
    for what, way in (("inner product", ""), ("cosine", " by cosine")):
        lost = probe_scores.drop(recalls[f"recall, true{way}"], recalls[f"recall, mapped{way}"])
        lines[f"recall lost by mapped vectors, ranked by {what}"] = probe_scores.estimate(lost)
    jaccards = {
        "itself left out by id": neighbourhood_preservation(true, guess, k),
        "first column dropped": first_column_dropped(true, guess, k),
    }
    return lines | {f"neighbourhood Jaccard, {n}": summary(of) for n, of in jaccards.items()}


def first_column_dropped(x: Floats, y: Floats, k: int) -> Floats:
    """Return the Jaccard of ``k`` neighbours in two spaces as the paper's reference finds them (n).

    The k + 1 nearest by cosine are taken, and the first of them is dropped as if it were the item
    itself. Where another item has the same direction it need not be, and the item counts as its own
    neighbour. Compare ``lib.diagnostics.neighbourhood_preservation``.
    """
    directions = (unit(vectors).astype(np.float32) for vectors in (x, y))
    return jaccard(*(topk(of, of, k + 1).items.numpy()[:, 1:] for of in directions))


def _seeds(audit: Audit) -> Lines:
    """Return every finding on each seed alone."""
    return {
        f"{name}: seed {seed}": measures.estimates(side.measures)[headline(name)]
        for name in FINDINGS
        for seed, side in zip(audit.run.seeds, audit.each_seed(name), strict=True)
    }


def _exact(number: float) -> Estimate:
    return Estimate(float(number), np.nan, np.nan, 0)


def grid(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a column of the choices' table as choices × findings, NaN where nothing is touched."""
    wide = table.pivot(index="choice", columns="finding", values=column)
    return wide.reindex(index=[choice.name for choice in CHOICES], columns=list(FINDINGS))


def named(grid: pd.DataFrame) -> pd.DataFrame:
    """Return a grid whose columns also say what is measured."""
    return grid.rename(columns=lambda name: f"{name}\n{SHORT[name]}")


def texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return what stands in the cells of the figure: ours and the reference's number, or why not.

    Cells that a choice cannot touch are empty; "left out" is what this run did not measure.
    """
    pairs = zip(table["ours"], table["reference"], strict=True)
    words = [f"{ours:.2f}\n→ {reference:.2f}" for ours, reference in pairs]
    found = grid(table.assign(text=words), "text").astype(object)
    missing = {
        choice.name: {name: "left out" if name in choice.findings else "" for name in FINDINGS}
        for choice in CHOICES
    }
    return found.where(found.notna(), pd.DataFrame(missing).T)


def changed_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return which cells of the figure change a verdict (choices × findings)."""
    changed = (table["word"] != table["reference_word"]).astype(float)
    return grid(table.assign(changed=changed), "changed") == 1


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with every number's interval, one row per choice and finding."""

    def words(side: str) -> list[str]:
        columns = table[[side, f"{side}_low", f"{side}_high", "n"]]
        return [interval(Estimate(*row)) for row in columns.itertuples(index=False)]

    index = pd.MultiIndex.from_frame(table[["choice", "finding"]])
    columns = {
        "ours": words("ours"), "the reference's": words("reference"),
        "difference": words("difference"),
        "in half-widths": [f"{moved:+.1f}" for moved in table["moved"]],
        "n": list(table["n"]), "seeds": list(table["seeds"]),
        "our verdict": list(table["word"]),
        "the reference's verdict": list(table["reference_word"]),
    }  # fmt: skip
    return pd.DataFrame(columns, index=index)


def details_in_words(found: pd.DataFrame) -> pd.DataFrame:
    """Return the details in words, a number alone where nothing is drawn."""
    values = [
        f"{row.mean:.3g}" if row.n == 0 else interval(Estimate(row.mean, row.low, row.high, row.n))
        for row in found.itertuples(index=False)
    ]
    index = pd.MultiIndex.from_frame(found[["choice", "what"]])
    return pd.DataFrame({"value": values, "n": found["n"].replace(0, "").to_numpy()}, index=index)


def described() -> pd.DataFrame:
    """Return the choices in words: ours, the reference's, how it is reproduced, what it touches."""
    rows = {
        choice.name: {
            "ours": choice.ours,
            "the reference's": choice.reference,
            "how it is reproduced here": choice.how,
            "can touch": ", ".join(choice.findings),
        }
        for choice in CHOICES
    }
    return pd.DataFrame(rows).T


def units() -> pd.Series:
    """Return each finding's unit."""
    found = {name: claim.unit for name, claim in claims.load().items() if name in FINDINGS}
    found[FUSION] = "recall of norm-concat over that of the collaborative view, minus one"
    return pd.Series(found, name="the number in its column").loc[list(FINDINGS)]


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


def movers(table: pd.DataFrame, most: int = 10) -> pd.DataFrame:
    """Return the largest differences in units of half of our interval: what, mean, low, high, n.

    Choices whose two sides ask different questions (``OTHER_QUESTIONS``) are left out. The ``most``
    others are followed by the rows of "one seed" for the same findings: ``null`` is true there.
    """
    half = (table["ours_high"] - table["ours_low"]) / 2
    star = np.where(table["word"] != table["reference_word"], " *", "")
    found = pd.DataFrame({
        "what": table["finding"] + ": " + table["choice"] + star, "mean": table["moved"],
        "low": table["difference_low"] / half, "high": table["difference_high"] / half,
        "n": table["n"], "null": table["choice"] == "one seed",
    })  # fmt: skip
    asked = ~table["choice"].isin([*OTHER_QUESTIONS, "one seed"])
    order = found.loc[asked, "mean"].abs().sort_values(ascending=False, kind="stable").index[:most]
    touched = table.loc[order, "finding"].unique()
    beside = found[found["null"] & table["finding"].isin(touched)]
    return pd.concat([found.loc[order], beside], ignore_index=True)


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
