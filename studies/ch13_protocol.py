"""What the findings become under each choice of protocol, everything else staying ours.

The choices in which this project and the paper's reference code differ are data,
``ch13_choices.yml``. Here are our side, with which each is compared; how each choice of the
reference is reproduced; the table of effects; and what the page says of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
import yaml

from companion.chapter import intervals, numbers
from companion.consistency import PROTOCOL
from lib import claims, metrics
from lib.core import Floats, Lists
from lib.metrics import Ints
from lib.probes import networks, share_reached
from lib.probes import splits as item_splits
from lib.probes.scores import Resampled, Score, Totals, estimate, r2
from lib.stats import Estimate
from lib.topk import topk
from lib.views import View
from studies import ch06_probes, measures, nulls
from studies.ch06_probes import PROJECTED, SPLIT_SEED
from studies.ch09_long_tail import beside_lightgcn
from studies.concatenation import best_concat, even_concat
from studies.context import Run
from studies.measures import MEASURES, NULLS, Measures, Rankings

FUSION = "fusion"
"""The gain of the fusion over the collaborative view: no finding of the paper's, whose F8 compares
fusion with alignment, but the comparison whose budgets the reference makes unequal."""

FINDINGS = {
    "F1": "ratio of recalls", "F2": "Jaccard of the lists", "F3": "hits of one view",
    "F3b": "balance of own hits", "F4": "popularity gap", "F5": "gain of the union",
    "F6": "share of R²", FUSION: "over LightGCN", "F9": "gain, cold minus hot",
}  # fmt: skip
"""What a choice may touch, in the order of the book, and what its number is."""

SEEDS = "one seed"
"""The choice by which the others are judged: how far another seed alone is from the mean."""

FARTHEST = "another seed, the farthest from the mean"
ENDS = ("", "_low", "_high")  # of the columns of a value and its interval

JOINT = {"dimension": 128, "negatives": 512, "hardest": 256}
"""The reference's budget for the jointly trained fusion; batch, rate and temperature are ours."""


@dataclass(frozen=True)
class Choice:
    """One choice of protocol, as ``ch13_choices.yml`` describes it."""

    name: str
    ours: str
    reference: str
    how: str
    findings: tuple[str, ...]
    retrains: bool = False
    linear: Mapping[str, Any] = field(default_factory=dict)
    lightgcn: Mapping[str, Any] = field(default_factory=dict)


GROUPS = {"all": tuple(FINDINGS), "lists": tuple(name for name in FINDINGS if name != "F6")}
CHOICES = tuple(
    Choice(**row | {"findings": GROUPS.get(str(row["findings"]), tuple(row["findings"]))})
    for row in yaml.safe_load(Path(__file__).with_name("ch13_choices.yml").read_text("utf-8"))
)


class Probe(NamedTuple):
    """F6 of one seed: the table of chapter 06, and the share of R² on resamples of the items.

    The table's resamples follow the order of the target's vectors. Those of ``share`` follow the
    items' numbers, so that maps to different targets can be paired.
    """

    table: pd.DataFrame
    share: Resampled


class Side(NamedTuple):
    """A finding under one protocol: its measures, and its headline as it is paired with another."""

    measures: Measures
    headline: Score


class Protocol(NamedTuple):
    """What findings are measured on: the lists and, for F6, a probe of each seed."""

    lists: Rankings
    probes: Sequence[Probe] = ()

    def side(self, finding: str) -> Side:
        """Return a finding, or the fusion's gain, under this protocol."""
        if finding == "F6":
            return of_probes(self.probes)
        found = (measures.fusion_gain if finding == FUSION else MEASURES[finding])(self.lists)
        return Side(found, cast(Score, found[headline(finding)]))


Effects = list[dict[str, Any]]
"""Rows of ``effects`` without their choice and seeds."""


@dataclass(frozen=True, eq=False)
class Audit:
    """Our side of every comparison: a run's views, their lists and the probes."""

    run: Run

    @property
    def first(self) -> int:
        """The seed that choices with models of their own are measured on."""
        return self.run.seeds[0]

    @cached_property
    def ours(self) -> Protocol:
        """Our protocol, all seeds, with the nulls and controls of the chapters."""
        beside = measures.rankings(self.run, *NULLS).nulls
        lists = beside_lightgcn(self.run, self.run, even_concat, **beside)
        return Protocol(lists, [one.probes[0] for one in self.by_seed])

    @cached_property
    def by_seed(self) -> list[Protocol]:
        """Our protocol, each seed as a run of its own."""
        return [Protocol(self.rankings([seed]), [self.probe(seed)]) for seed in self.run.seeds]

    def lists(self, view: View, mask: sp.csr_matrix | None = None) -> Lists:
        """Return test lists (n_users × k); ``mask`` is never recommended, by default all seen."""
        exclude = self.run.dataset.seen if mask is None else mask
        return np.asarray(topk(view.users, view.items, self.run.k, exclude=exclude).items)

    def rankings(
        self, seeds: Sequence[int], choice: Choice | None = None, mask: sp.csr_matrix | None = None
    ) -> Rankings:
        """Return the lists of both views and their fusion, trained as a choice says or as ours."""
        settings = (choice.linear, choice.lightgcn) if choice else ({}, {})
        views = [
            [self.run.view(model, seed, **of) for seed in seeds]
            for model, of in zip(("linear", "lightgcn"), settings, strict=True)
        ]
        fused = [best_concat(self.run.dataset, pair) for pair in zip(*views, strict=True)]
        lists = ([self.lists(view, mask) for view in of] for of in (*views, fused))
        semantic, collaborative, both = lists
        ours = measures.rankings(self.run)
        return replace(ours, semantic=semantic, collaborative=collaborative, fused=both)

    def probe(
        self, seed: int, choice: Choice | None = None, model: str = "lightgcn", fit: str = "ridge"
    ) -> Probe:
        """Return the probe of a map (``fit`` of ``lib.probes.MAPS``) from text to ``model``."""
        settings = (choice.linear, choice.lightgcn) if choice else ({}, {})
        vectors = ch06_probes.vectors(self.run, seed, model, *settings)
        x, y, other = vectors.sources[PROJECTED], vectors.target, vectors.second
        split = item_splits.random(len(x), seed=SPLIT_SEED)
        epochs = {"epochs": networks.EPOCHS}  # the run's are of views
        run = replace(self.run, parameters={**self.run.parameters, **epochs})
        table = ch06_probes.probe_table(run, vectors, PROJECTED, fit, split, users=True)
        ways = ((x, False), (x, True), (other, False))
        maps = [ch06_probes.recovery(run, fit, a, y, split, seed, shuffled=of) for a, of in ways]
        items = np.sort(split.test)
        scores = [r2(y[items], found.predicted[items]) for found in maps]
        value, *drawn = share_reached(*(np.append(one.value, one.drawn) for one in scores))
        return Probe(table, Resampled(float(value), np.array(drawn), len(items)))

    def record(self) -> dict[str, dict[str, Estimate]]:
        """Return our measures of every finding, to be compared with those of its chapter."""
        return {
            name: measures.of_claim(name, self.ours.side(name).measures)
            | nulls.excess(self.run, name)
            for name in FINDINGS
            if name != FUSION
        }


def of_probes(probes: Sequence[Probe]) -> Side:
    """Return F6, to be paired by the mean share over seeds on each of the shared resamples."""
    table = pd.concat([one.table for one in probes])

    def of(source: str, column: str = "value", score: str = "R²") -> list[Estimate]:
        return ch06_probes.by_seed(table, column, source=source, score=score)

    found = MEASURES["F6"](
        reached=of("text", "reached"),
        recall=of("text", "reached", "recall, mapped by cosine"),
        text=of("text"),
        permuted=of("permuted"),
        seeds=of("second seed"),
    )
    value = float(np.mean([one.share.value for one in probes]))
    drawn = np.mean([one.share.drawn for one in probes], axis=0)
    return Side(found, Resampled(value, drawn, probes[0].share.n))


def headline(finding: str) -> str:
    """Return the name of the measure that is shown."""
    return "gain" if finding == FUSION else claims.load()[finding].headline


def word(finding: str, found: Mapping[str, Estimate]) -> str:
    """Return what the ``holds`` part of the claim's rule alone says, without any null.

    The fusion's gain, which no claim is about, holds where its interval lies above 0.
    """
    rule = "gain.low > 0" if finding == FUSION else claims.load()[finding].holds
    if any(np.isnan(found[name].mean) for name in found if f"{name}." in rule):
        return claims.UNTESTABLE
    if claims.evaluate(rule, found):
        return claims.HOLDS
    turned = {name: of._replace(low=of.high, high=of.low) for name, of in found.items()}
    return claims.UNDECIDED if claims.evaluate(rule, turned) else claims.FAILS


def difference(ours: Score, other: Score) -> Estimate:
    """Return other − ours with its interval, both on the same resamples of users or items.

    A user who is undefined on one side only adds nothing to that side.
    """
    if isinstance(ours, Totals) and isinstance(other, Totals):
        sides = [np.stack(one.columns) for one in (ours, other)]
        undefined = [np.isnan(columns).any(axis=0) for columns in sides]
        nowhere = undefined[0] & undefined[1]
        ours, other = (
            replace(one, columns=tuple(np.where(nowhere, np.nan, np.where(gone, 0.0, columns))))
            for one, columns, gone in zip((ours, other), sides, undefined, strict=True)
        )
    return estimate(ours, other, combine=lambda a, b: b - a)


def effect(finding: str, ours: Side, reference: Side) -> dict[str, Any]:
    """Return what a choice does to a finding: values, their difference, and words."""
    found, other = measures.estimates(ours.measures), measures.estimates(reference.measures)
    name, apart = headline(finding), difference(ours.headline, reference.headline)
    sides = {"ours": found[name], "reference": other[name], "difference": apart}
    words = {"word": word(finding, found), "reference_word": word(finding, other)}
    values = {f"{side}{end}": value for side, of in sides.items()
              for end, value in zip(ENDS, of[:3], strict=True)}  # fmt: skip
    return {"finding": finding, **words, **values, "n": apart.n}


def compare(choice: Choice, ours: Protocol, reference: Protocol) -> Effects:
    """Return what a choice does to each finding that it touches."""
    return [effect(name, ours.side(name), reference.side(name)) for name in choice.findings]


def masking(audit: Audit, choice: Choice) -> Effects:
    """Leave only training items out of the lists."""
    lists = audit.rankings(audit.run.seeds, mask=audit.run.dataset.train)
    return compare(choice, audit.ours, Protocol(lists))


def trained_again(audit: Audit, choice: Choice, mask: sp.csr_matrix | None = None) -> Effects:
    """Train both views under the choice's settings."""
    lists = audit.rankings([audit.first], choice, mask)
    return compare(choice, audit.by_seed[0], Protocol(lists, [audit.probe(audit.first, choice)]))


def without_first_item(audit: Audit, choice: Choice) -> Effects:
    """Train both views without item 0 as a negative, and never recommend it."""
    mask = audit.run.dataset.seen.tolil()
    mask[:, 0] = 1
    return trained_again(audit, choice, mask.tocsr())


def unequal_budgets(audit: Audit, choice: Choice) -> Effects:
    """Compare LightGCN by BPR and a larger joint model with LightGCN and joint of one recipe."""
    run, first, (lists, probes) = audit.run, audit.first, audit.by_seed[0]
    ours = replace(lists, fused=[audit.lists(run.view("joint", first))])
    reference = replace(
        lists,
        collaborative=[audit.lists(run.view("lightgcn-bpr", first))],
        fused=[audit.lists(run.view("joint", first, **JOINT))],
    )
    probe = audit.probe(first, model="lightgcn-bpr")
    return compare(choice, Protocol(ours, probes), Protocol(reference, [probe]))


def counting_all(audit: Audit, choice: Choice) -> Effects:
    """Count test and validation interactions as popularity, and cut strata at its quantiles."""
    data = audit.run.dataset
    counts = (data.seen + data.test).getnnz(axis=0).astype(np.float64)
    lists = replace(audit.ours.lists, counts=counts, strata=quantile_strata(counts))
    return compare(choice, audit.ours, Protocol(lists))


def quantile_strata(counts: Floats) -> Ints:
    """Return each item's stratum by quantile of the counts, as the paper's reference does.

    Items of equal count are in one stratum, so that ties make cold (up to the 60 % quantile) and
    mid (up to 80 %) larger. Without ties this is ``lib.metrics.by_count``.
    """
    return np.searchsorted(np.quantile(counts, metrics.ENDS), counts, side="left").astype(np.intp)


def halves(audit: Audit, choice: Choice) -> Effects:
    """Take the two halves of one joint model as the views; the fusion is the model itself."""
    joint = audit.run.view("joint", audit.first, dimension=128)
    collaborative, semantic, both = ([audit.lists(of)] for of in (*split_joint(joint), joint))
    lists = replace(
        audit.by_seed[0].lists, semantic=semantic, collaborative=collaborative, fused=both
    )
    return compare(choice, audit.by_seed[0], Protocol(lists))


def split_joint(joint: View) -> tuple[View, View]:
    """Return the collaborative and the semantic half of a joint view."""
    users, items = (torch.chunk(side, 2, dim=1) for side in (joint.users, joint.items))
    first, second = (View(u, i, joint.info) for u, i in zip(users, items, strict=True))
    return first, second


def without_validation(audit: Audit, choice: Choice) -> Effects:
    """Fit the reference's linear map in place of ridge."""
    probes = [audit.probe(seed, fit="linear, reference") for seed in audit.run.seeds]
    return compare(choice, audit.ours, Protocol(audit.ours.lists, probes))


def farthest_seed(audit: Audit, choice: Choice) -> Effects:
    """Compare the mean over seeds with the seed farthest from it; nothing where there is one."""
    rows = []
    for name in choice.findings if len(audit.by_seed) > 1 else ():
        ours, each = audit.ours.side(name), [one.side(name) for one in audit.by_seed]
        middle = ours.headline.value
        far = max(each, key=lambda side: abs(side.headline.value - middle))
        rows.append(effect(name, ours, far))
    return rows


EFFECTS: dict[str, Callable[[Audit, Choice], Effects]] = {
    "masking at test": masking, "model selection": trained_again,
    "unequal budgets": unequal_budgets, "known items as negatives": trained_again,
    "the first item": without_first_item, "own text in the profile": trained_again,
    "what popularity counts": counting_all, "halves of one model": halves,
    "probes without validation": without_validation, SEEDS: farthest_seed,
}  # fmt: skip
"""How each choice of the reference is reproduced, by the choice's name, but for those that make no
other lists: where they are measured says ``ch13_choices.yml``."""


def effects(audit: Audit, *, retrain: bool = True) -> pd.DataFrame:
    """Return a row per choice and finding that it touches; ``retrain``: of choices that do as well.

    Columns choice, finding; ``word`` and ``reference_word``, what the first part of a rule says;
    ours, reference and difference, reference minus ours, with ``_low`` and ``_high``; n, users or
    items; and seeds.
    """
    rows: Effects = []
    for choice in CHOICES:
        if choice.name in EFFECTS and (retrain or not choice.retrains):
            seeds = 1 if choice.retrains else len(audit.run.seeds)
            found = EFFECTS[choice.name](audit, choice)
            rows += [{"choice": choice.name} | row | {"seeds": seeds} for row in found]
    return pd.DataFrame(rows)


def described() -> pd.DataFrame:
    """Return the choices in words: ours, the reference's, how it is reproduced, what it touches."""
    table = pd.DataFrame([vars(choice) for choice in CHOICES]).set_index("name").rename_axis(None)
    table["can touch"] = table["findings"].map(", ".join)
    names = {"reference": "the reference's", "how": "how it is reproduced here"}
    return table[["ours", *names, "can touch"]].rename(columns=names)


def drawn(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a figure of differences, a panel for each finding in its own unit."""
    changed = table["word"] != table["reference_word"]
    kinds = {FARTHEST: table["choice"] == SEEDS, "first part of the rule changes": changed}
    return table.assign(
        what=pd.Categorical(table["choice"], EFFECTS),
        panel=[f"{name}: {FINDINGS[name]}" for name in table["finding"]],
        group=np.select(list(kinds.values()), list(kinds), "first part of the rule stays"),
        mean=table["difference"],
        low=table["difference_low"],
        high=table["difference_high"],
    ).sort_values("finding", key=lambda of: of.map(list(FINDINGS).index), kind="stable")


def answer(table: pd.DataFrame) -> str:
    """Return in Markdown, without any number, which findings each choice moves and changes.

    Moved is a finding whose difference leaves out 0 and is larger than that of any two seeds: no
    two differ by more than twice the distance of the farthest from the mean.
    """
    apart, farthest = table["difference"].abs(), table[table["choice"] == SEEDS]
    between = 2 * table["finding"].map(farthest.set_index("finding")["difference"].abs())
    clear = (table["difference_low"] > 0) | (table["difference_high"] < 0)
    lines, same = [], []
    for choice, rows in table.assign(moved=clear & (apart > between)).groupby("choice", sort=False):
        told = [
            f"{row.finding} from *{row.word}* to *{row.reference_word}*"
            for row in rows.itertuples()
            if row.word != row.reference_word and row.moved
        ]
        if rows["moved"].any():
            told.append(
                f"moved further than any two seeds: {', '.join(rows['finding'][rows['moved']])}"
            )
        if told:
            lines.append(f"- **{choice}**: {'; '.join(told)}")
        else:
            same.append(str(choice))
    left_out = [name for name in EFFECTS if name not in set(table["choice"])]
    lines.append(f"- nothing: {', '.join(same) or 'none'}")
    lines += [f"- not measured in this run: {', '.join(left_out)}"] * bool(left_out)
    return "\n".join(lines)


def bundle(audit: Audit, table: pd.DataFrame) -> dict[str, Any]:
    """Return every number in words as a notebook's output, with our measures for machines to read.

    ``companion.consistency.contradictions`` compares them with the chapters' own.
    """
    columns = {
        "ours": intervals(table, "ours"), "the reference's": intervals(table, "reference"),
        "difference": intervals(table, "difference"), "n": list(table["n"]),
        "seeds": list(table["seeds"]), "by our choice": list(table["word"]),
        "by the reference's": list(table["reference_word"]),
    }  # fmt: skip
    words = pd.DataFrame(columns, index=pd.MultiIndex.from_frame(table[["choice", "finding"]]))
    measured = {finding: numbers(found) for finding, found in audit.record().items()}
    run = audit.run
    record = {"dataset": run.dataset.name, "parameters": {**run.parameters}, "measures": measured}
    return {"text/plain": words.to_string(), "text/html": words.to_html(), PROTOCOL: record}
