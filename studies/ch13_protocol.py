"""The chapter on protocol: what stands beside its table, its figures' frames, and its words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from companion.chapter import interval
from lib import claims
from lib.core import Floats, unit
from lib.diagnostics import best_of_union, jaccard, neighbourhood_preservation, oracle
from lib.metrics import Ints, check_k, recall
from lib.probes import maps
from lib.probes import scores as probe_scores
from lib.probes import splits as item_splits
from lib.stats import Estimate, summary
from lib.topk import topk
from studies import cached, measures
from studies.ch13_choices import CHOICES, FINDINGS, HALVES, JOINT, SHORT
from studies.ch13_effects import (
    Bench,
    everything,
    mean_of_cosines,
    nulls,
    recall_of_longer,
    split_joint,
)
from studies.measures import MEASURES

OTHER_QUESTIONS = ("an oracle with more items", "no null")
"""Choices whose sides are different questions to the same lists, not answers to one question."""

Line = tuple[str, str, Estimate]
"""What of which choice, and its value; low and high are NaN where nothing is drawn."""


def details(bench: Bench, *, retrain: bool = True) -> pd.DataFrame:
    """Return what the choices' differences are made of: choice, what, mean, low, high, n."""
    parts: list[Callable[[Bench], Iterator[Line]]] = [
        _strata, _identity, _oracle, _null, _probes, _seeds,
    ]  # fmt: skip
    if retrain:
        parts = [_budgets, _halves, *parts]
    lines = [line for part in parts for line in part(bench)]
    return pd.DataFrame(
        [{"choice": choice, "what": what, **found._asdict()} for choice, what, found in lines]
    )


def _budgets(bench: Bench) -> Iterator[Line]:
    """Yield the fusion's gain over LightGCN, from the reference's budgets to equal ones."""
    first = bench.first

    def recalls(model: str, **settings: Any) -> Floats:
        return recall(bench.lists(bench.view(model, first, **settings)), bench.run.dataset.test)

    wide, hard = recalls("joint", **HALVES), recalls("joint", **JOINT)
    ways = {
        "joint, 128 wide, hard negatives, over LightGCN by BPR": (hard, recalls("lightgcn-bpr")),
        "joint, 128 wide, hard negatives, over LightGCN": (hard, recalls("lightgcn")),
        "joint, 128 wide, over LightGCN, 128 wide": (wide, recalls("lightgcn", dimension=128)),
        "joint over LightGCN, both 64 wide": (recalls("joint"), recalls("lightgcn")),
    }
    for what, (top, base) in ways.items():
        yield "unequal budgets", what, probe_scores.estimate(measures.gain(top, base))


def _halves(bench: Bench) -> Iterator[Line]:
    """Yield the recall of a joint model, of its halves, and of the two views."""
    joint = bench.view("joint", bench.first, **HALVES)
    semantic, collaborative = bench.views(bench.first)
    first, second = split_joint(joint)
    ways = {
        "the joint model, 128 wide": joint, "its collaborative half": first,
        "its semantic half": second, "the collaborative view": collaborative,
        "the semantic view": semantic,
    }  # fmt: skip
    for what, view in ways.items():
        found = recall(bench.lists(view), bench.run.dataset.test)
        yield "halves of one model", f"recall of {what}", summary(found)


def _strata(bench: Bench) -> Iterator[Line]:
    """Yield the share of items in each stratum."""
    ways = {
        "training counts, by rank": bench.plain.strata,
        "all counts, by quantile": measures.quantile_strata(everything(bench.run)),
    }
    for way, strata in ways.items():
        for name, share in zip(("cold", "mid", "hot"), _shares(strata), strict=True):
            yield "what popularity counts", f"share of {name} items: {way}", _exact(share)


def _shares(strata: Ints) -> Floats:
    return np.bincount(strata, minlength=3) / len(strata)


def _identity(bench: Bench) -> Iterator[Line]:
    """Yield how far norm-concat-norm is from the mean of the cosines."""
    lists, largest = mean_of_cosines(bench.views(bench.first), bench.run.k, bench.run.dataset.seen)
    same = (lists == bench.of_first.fused[0]).all(axis=1)
    choice = "concatenation or mean"
    yield choice, "largest difference of two scores", _exact(largest)
    yield choice, "share of users with the same list", _exact(float(same.mean()))


def _oracle(bench: Bench) -> Iterator[Line]:
    """Yield the recalls that an oracle's gain compares."""
    found, k = bench.plain, bench.run.k

    def over_seeds(measure: Callable[..., Floats]) -> Floats:
        return np.mean([measure(pair) for pair in found.pairs], axis=0)

    rows = {
        "recall of the better view, K items": found.recalls(found.better()),
        "recall of the better view, 2K items": recall_of_longer(bench),
        "recall of the best K items of the union": over_seeds(
            lambda pair: best_of_union(pair, found.relevant, k)
        ),
        "recall of the union, up to 2K items": over_seeds(
            lambda pair: oracle(pair, found.relevant)
        ),
    }
    for what, values in rows.items():
        yield "an oracle with more items", what, summary(values)


def _null(bench: Bench) -> Iterator[Line]:
    """Yield F2, F3 and F5 of the two views and of what stands in their place."""
    rows = {"text and LightGCN": bench.plain} | nulls(bench)
    for name in ("F2", "F3", "F5"):
        for what, found in rows.items():
            score = measures.headline(name, MEASURES[name](found))
            yield "no null", f"{name}: {what}", probe_scores.estimate(score)


def _probes(bench: Bench) -> Iterator[Line]:
    """Yield what maps fitted with and without validation reach, and how they are scored."""
    data, seed = bench.run.dataset, bench.first
    semantic, collaborative = bench.views(seed)
    source, target = (view.items.double().numpy() for view in (semantic, collaborative))
    split = item_splits.random(data.n_items)
    names = ("ridge", "linear, reference", "MLP-1, reference")
    for what, score in cached.fitted(data.name, (source, target), split, names, seed=seed).items():
        yield _PROBES, f"R² on {what}", probe_scores.estimate(score)
    ridge = maps.fit_ridge(maps.PairedVectors.of(source, target, split.train, split.valid))
    guess = ridge.predict(source[split.test])
    yield from _scoring(bench, collaborative.users.numpy(), target, guess, split)


_PROBES = "probes without validation"


def _scoring(
    bench: Bench, users: Floats, target: Floats, guess: Floats, split: item_splits.ItemSplit
) -> Iterator[Line]:
    """Yield the loss in recall by inner product and by cosine, and both neighbourhood scores."""
    data, k = bench.run.dataset, min(20, len(split.test) - 1)
    audience = probe_scores.Audience(users, data.test, data.seen)
    recalls = probe_scores.inductive_recall(audience, target, guess, split, k)
    for what, whole, left in (
        ("by inner product", "recall, true", "recall, mapped"),
        ("by cosine", "recall, true by cosine", "recall, mapped by cosine"),
    ):
        score = probe_scores.drop(recalls[whole], recalls[left])
        yield _PROBES, f"recall lost by mapped vectors, ranked {what}", probe_scores.estimate(score)
    true = target[split.test]
    for what, values in (
        ("itself left out by id", neighbourhood_preservation(true, guess, k)),
        ("first column dropped", first_column_dropped(true, guess, k)),
    ):
        yield _PROBES, f"neighbourhood Jaccard, {what}", summary(values)


def first_column_dropped(x: Floats, y: Floats, k: int) -> Floats:
    """Return the Jaccard of ``k`` neighbours in two spaces as the paper's reference finds them (n).

    The k + 1 nearest by cosine are taken, and the first of them is dropped as if it were the item
    itself. Where another item has the same direction it need not be, and the item counts as its own
    neighbour. Compare ``lib.diagnostics.neighbourhood_preservation``.

    Raises
    ------
    InputError
        No finite matrices (n × d), ``k`` below 1, or different numbers of items.
    """
    check_k(k)
    found = []
    for vectors in (x, y):
        directions = unit(vectors).astype(np.float32)
        found.append(topk(directions, directions, k + 1).items.numpy()[:, 1:])
    return jaccard(*found)


def _seeds(bench: Bench) -> Iterator[Line]:
    """Yield every finding on each seed alone."""
    for name in FINDINGS:
        for seed, found in zip(bench.run.seeds, bench.each_seed(name), strict=True):
            score = measures.headline(name, found)
            yield "one seed", f"{name}: seed {seed}", probe_scores.estimate(score)


def _exact(number: float) -> Estimate:
    return Estimate(number, np.nan, np.nan, 0)


def grid(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a column of the choices' table as choices × findings, NaN where nothing is touched."""
    wide = table.pivot(index="choice", columns="finding", values=column)
    return wide.reindex(index=[choice.name for choice in CHOICES], columns=list(FINDINGS))


def named(grid: pd.DataFrame) -> pd.DataFrame:
    """Return a grid whose columns also say what is measured."""
    return grid.rename(columns=lambda name: f"{name}\n{SHORT[name]}")


def texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return what stands in the cells of the figure: ours and the reference's number, or why not.

    Cells that a choice cannot touch are empty; "left out" is a choice that this run did not
    measure.
    """
    found = grid(table.assign(text=_texts(table)), "text").astype(object)
    for choice in CHOICES:
        for name in FINDINGS:
            if pd.isna(found.loc[choice.name, name]):
                found.loc[choice.name, name] = "left out" if name in choice.findings else ""
    return found


def _texts(table: pd.DataFrame) -> list[str]:
    pairs = zip(table["ours"], table["reference"], strict=True)
    return [f"{ours:.2f}\n→ {reference:.2f}" for ours, reference in pairs]


def framed(table: pd.DataFrame) -> pd.DataFrame:
    """Return which cells of the figure change the word of a verdict (choices × findings)."""
    changed = (table["word"] != table["reference_word"]).astype(float)
    return grid(table.assign(changed=changed), "changed") == 1


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table in words: every number with its interval, one row per choice and finding."""

    def words(side: str) -> list[str]:
        columns = table[[side, f"{side}_low", f"{side}_high", "n"]]
        return [interval(Estimate(*row)) for row in columns.itertuples(index=False)]

    index = pd.MultiIndex.from_frame(table[["choice", "finding"]])
    columns = {
        "ours": words("ours"),
        "the reference's": words("reference"),
        "difference": words("difference"),
        "in half-widths": [f"{moved:+.1f}" for moved in table["moved"]],
        "n": list(table["n"]),
        "seeds": list(table["seeds"]),
        "our word": list(table["word"]),
        "the reference's word": list(table["reference_word"]),
    }
    return pd.DataFrame(columns, index=index)


def shown_details(found: pd.DataFrame) -> pd.DataFrame:
    """Return the details in words, a number alone where nothing is drawn."""
    values = [
        f"{row.mean:.3g}" if row.n == 0 else interval(Estimate(row.mean, row.low, row.high, row.n))
        for row in found.itertuples(index=False)
    ]
    index = pd.MultiIndex.from_frame(found[["choice", "what"]])
    return pd.DataFrame({"value": values, "n": found["n"].replace(0, "").to_numpy()}, index=index)


def described() -> pd.DataFrame:
    """Return the choices in words: ours, the reference's, how it is brought about, what it can
    touch.
    """
    rows = {
        choice.name: {
            "ours": choice.ours,
            "the reference's": choice.reference,
            "how it is measured here": choice.how,
            "can touch": ", ".join(choice.findings),
        }
        for choice in CHOICES
    }
    return pd.DataFrame(rows).T


def headlines() -> pd.Series:
    """Return what the number of each finding is."""
    units = {name: claims.load()[name].unit for name in FINDINGS}
    units["F8"] = "recall of norm-concat over that of the collaborative view, minus one (stand-in)"
    return pd.Series(units, name="the number in its column")


def changes(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in which the reference's choice changes the word of the verdict."""
    return table[table["word"] != table["reference_word"]]


def movers(table: pd.DataFrame, most: int = 10) -> pd.DataFrame:
    """Return the largest differences in units of half of our interval: what, mean, low, high, n.

    The choices whose two sides ask different questions (``OTHER_QUESTIONS``) are left out. Behind
    the ``most`` others stand the rows of "one seed" for the same findings: ``null`` is true there.
    """
    half = (table["ours_high"] - table["ours_low"]) / 2
    star = np.where(table["word"] != table["reference_word"], " *", "")
    found = pd.DataFrame(
        {
            "what": table["finding"] + ": " + table["choice"] + star,
            "mean": table["moved"],
            "low": table["difference_low"] / half,
            "high": table["difference_high"] / half,
            "n": table["n"],
            "null": table["choice"] == "one seed",
        }
    )
    asked = ~table["choice"].isin([*OTHER_QUESTIONS, "one seed"])
    order = found.loc[asked, "mean"].abs().sort_values(ascending=False, kind="stable").index[:most]
    touched = table.loc[order, "finding"].unique()
    beside = found[found["null"] & table["finding"].isin(touched)]
    return pd.concat([found.loc[order], beside], ignore_index=True)


def beyond_seeds(table: pd.DataFrame) -> dict[str, list[str]]:
    """Return the findings that each choice moves further than any two seeds lie apart.

    No two are further apart than twice the distance of the farthest from the mean. The interval of
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
    """Return in Markdown, without any number, which choices change the word of a verdict."""
    changed = changes(table)
    lines = []
    for name, rows in changed.groupby("choice", sort=False):
        words = "; ".join(
            f"{row.finding} from *{row.word}* to *{row.reference_word}*"
            for row in rows.itertuples()
        )
        lines.append(f"- **{name}**: {words}")
    measured = table["choice"].unique()
    same = [name for name in measured if name not in set(changed["choice"])]
    missing = [choice.name for choice in CHOICES if choice.name not in set(measured)]
    head = "Choices of the reference that change the word of a verdict:"
    parts = [f"{head}\n\n" + ("\n".join(lines) or "- none")]
    parts.append(f"Choices that change no word: {', '.join(same) or 'none'}.")
    if missing:
        parts.append(f"Left out of this run: {', '.join(missing)}.")
    return "\n\n".join(parts)
