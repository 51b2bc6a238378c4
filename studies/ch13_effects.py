"""What the findings become under each choice of protocol, everything else staying ours.

The choices in which this project and the paper's reference code differ are data,
``ch13_choices.yml``. Here are our side, with which each is compared; how each choice of the
reference is reproduced; and the table of effects.
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
from torch.nn.functional import normalize
from tqdm import tqdm

from lib import claims, metrics, probes
from lib.core import Floats, Lists, matrix
from lib.metrics import Ints
from lib.probes import Recovery, networks
from lib.probes import splits as item_splits
from lib.probes.scores import Resampled, Score, Totals, estimate, r2
from lib.stats import Estimate
from lib.topk import best, topk
from lib.views import View
from studies import ch06_probes, measures
from studies.concatenation import best_concat, even_concat
from studies.context import Run
from studies.measures import MEASURES, NULLS, Measures, Rankings

FUSION = "fusion"
"""The gain of the fusion over the collaborative view: no finding of the paper's, whose F8 compares
fusion with alignment, but the comparison whose budgets the reference makes unequal."""

LISTS = ("F1", "F2", "F3", "F3b", "F4", "F5", FUSION, "F9")
FINDINGS = (*LISTS[:6], "F6", *LISTS[6:])
"""What a choice may touch, in the order of the book: what lists decide, and the probes' F6."""

JOINT = {"dimension": 128, "negatives": 512, "hardest": 256}
"""The reference's budget for the jointly trained fusion; batch, rate and temperature are ours."""

HALVES = {"dimension": 128}
"""A joint model each of whose halves has the dimension of a view."""


@dataclass(frozen=True)
class Choice:
    """One choice of protocol, as ``ch13_choices.yml`` describes it."""

    name: str
    ours: str
    reference: str
    how: str
    findings: tuple[str, ...] = FINDINGS
    retrains: bool = False
    linear: Mapping[str, Any] = field(default_factory=dict)
    lightgcn: Mapping[str, Any] = field(default_factory=dict)


GROUPS = {"all": FINDINGS, "lists": LISTS}
CHOICES = tuple(
    Choice(**row | {"findings": GROUPS.get(str(row["findings"]), tuple(row["findings"]))})
    for row in yaml.safe_load(Path(__file__).with_name("ch13_choices.yml").read_text("utf-8"))
)
"""The choices in the order of their numbers, which begin with 1."""

Views = tuple[View, View]
"""The semantic and the collaborative view of one seed."""

_BLOCK = 256
"""Users whose scores are held at once: n_items × 256 of them."""


class Probe(NamedTuple):
    """R² of three maps of one seed: from text, from permuted pairs, and from a second seed.

    ``held_out`` resamples items in the order of the target vectors, as chapter 06 does whatever
    the items' numbers; ``shared`` by number, so that maps to different targets can be paired.
    """

    held_out: list[Resampled]
    shared: list[Resampled]


class Side(NamedTuple):
    """A finding under one protocol: its measures, and its headline as it is paired with another."""

    measures: Measures
    headline: Score


class Comparison(NamedTuple):
    """A finding under our choice and under the reference's.

    ``word``: our verdict, where more than the ``holds`` part of the rule decides it.
    """

    ours: Side
    reference: Side
    word: str | None = None


Comparisons = dict[str, Comparison]


@dataclass(frozen=True, eq=False)
class Audit:
    """Our side of every comparison: a run's views, their rankings and the probes."""

    run: Run

    @property
    def first(self) -> int:
        """The seed that choices with models of their own are measured on."""
        return self.run.seeds[0]

    def views(self, seed: int, choice: Choice | None = None) -> Views:
        """Return the two views of a seed, under the settings of a choice or ours."""
        linear, lightgcn = (choice.linear, choice.lightgcn) if choice else ({}, {})
        return self.run.view("linear", seed, **linear), self.run.view("lightgcn", seed, **lightgcn)

    def lists(self, view: View, mask: sp.csr_matrix | None = None) -> Lists:
        """Return test lists (n_users × k); ``mask`` is never recommended, by default all seen."""
        exclude = self.run.dataset.seen if mask is None else mask
        return np.asarray(topk(view.users, view.items, self.run.k, exclude=exclude).items)

    def rankings(self, views: Sequence[Views], mask: sp.csr_matrix | None = None) -> Rankings:
        """Return the lists of views, one pair a seed, and of their fusions."""
        data = self.run.dataset
        counts = data.train.getnnz(axis=0).astype(np.float64)
        semantic, collaborative = zip(*views, strict=True)
        return Rankings(
            [self.lists(view, mask) for view in semantic],
            [self.lists(view, mask) for view in collaborative],
            data.test,
            counts,
            metrics.by_count(counts),
            fused=[self.lists(best_concat(data, pair), mask) for pair in views],
        )

    @cached_property
    def seeds(self) -> list[Rankings]:
        """Our protocol, each seed as a run of its own."""
        return [self.rankings([self.views(seed)]) for seed in self.run.seeds]

    @cached_property
    def plain(self) -> Rankings:
        """Our protocol, all seeds, with the nulls and controls of the chapters."""
        twins = (self.run.views("lightgcn", second=second) for second in (False, True))
        return replace(
            self.rankings([self.views(seed) for seed in self.run.seeds]),
            nulls=measures.rankings(self.run, *NULLS).nulls,
            control=[self.lists(even_concat(pair)) for pair in zip(*twins, strict=True)],
        )

    def mapped(
        self, source: View, target: View, fit: str, seed: int, *, shuffled: bool = False
    ) -> Recovery:
        """Return a map (``fit`` of ``lib.probes.MAPS``) between the items of two views, cached."""
        epochs = {"epochs": networks.EPOCHS}  # the run's are of views
        run = replace(self.run, parameters={**self.run.parameters, **epochs})
        x, y = (matrix(view.items.numpy()) for view in (source, target))
        split = item_splits.random(len(x))
        return ch06_probes.recovery(run, fit, x, y, split, seed, shuffled=shuffled)

    def probed(
        self, seed: int, choice: Choice | None = None, model: str = "lightgcn", fit: str = "ridge"
    ) -> Probe:
        """Return the probe of a seed: maps from text and from a second seed to ``model``."""
        source, _ = self.views(seed, choice)
        settings = choice.lightgcn if choice else {}
        target, second = (
            self.run.view(model, s, **settings) for s in (seed, self.run.second(seed))
        )
        ways = ((source, False), (source, True), (second, False))
        maps = [self.mapped(start, target, fit, seed, shuffled=of) for start, of in ways]
        test = maps[0].split.test
        shared = [r2_on(np.sort(test), found, 0) for found in maps]
        return Probe([r2_on(test, found, seed) for found in maps], shared)

    @cached_property
    def probes(self) -> list[Probe]:
        """Our probes, one a seed."""
        return [self.probed(seed) for seed in self.run.seeds]

    def side(self, finding: str) -> Side:
        """Return a finding under our protocol, all seeds."""
        return of_probes(self.probes) if finding == "F6" else of_lists(finding, self.plain)

    def each_seed(self, finding: str) -> list[Side]:
        """Return a finding under our protocol, one a seed."""
        if finding == "F6":
            return [of_probes([probe]) for probe in self.probes]
        return [of_lists(finding, found) for found in self.seeds]

    def record(self) -> dict[str, dict[str, Estimate]]:
        """Return our measures of every finding, to be compared with those of its chapter."""
        names = [name for name in FINDINGS if name != FUSION]
        return {name: measures.of_claim(name, self.side(name).measures) for name in names}


def r2_on(items: Ints, found: Recovery, seed: int) -> Resampled:
    """Return R² of a map on some items."""
    return r2(found.target[items], found.predicted[items], seed=seed)


def of_lists(finding: str, found: Rankings) -> Side:
    """Return a finding that lists decide, or the fusion's gain."""
    of = measures.fusion_gain(found) if finding == FUSION else MEASURES[finding](found)
    return Side(of, cast(Score, of[headline(finding)]))


def of_probes(by_seed: Sequence[Probe]) -> Side:
    """Return F6, to be paired by the mean share over seeds on each of the shared resamples."""
    each = [map(estimate, of) for of in zip(*(probe.held_out for probe in by_seed), strict=True)]
    text, permuted, seeds = map(list, each)
    shares = [estimate(*probe.held_out, combine=probes.share_reached) for probe in by_seed]
    values = [
        probes.share_reached(*(np.append(one.value, one.drawn) for one in probe.shared))
        for probe in by_seed
    ]
    value, *drawn = np.mean(values, axis=0)
    return Side(
        MEASURES["F6"](reached=shares, text=text, permuted=permuted, seeds=seeds),
        Resampled(float(value), np.array(drawn), by_seed[0].shared[0].n),
    )


def headline(finding: str) -> str:
    """Return the name of the measure that is shown."""
    return "gain" if finding == FUSION else claims.load()[finding].headline


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


def word(finding: str, found: Mapping[str, Estimate]) -> str:
    """Return the verdict by the ``holds`` part of the claim's rule alone, without any null.

    The fusion's gain, which no claim is about, holds where its interval lies above 0.
    """
    rule = "gain.low > 0" if finding == FUSION else claims.load()[finding].holds
    if any(np.isnan(found[name].mean) for name in found if f"{name}." in rule):
        return claims.UNTESTABLE
    return claims.HOLDS if claims.evaluate(rule, found) else claims.FAILS


def compare(
    audit: Audit, choice: Choice, reference: Rankings, probed: Probe | None = None,
    *, ours: Rankings | None = None,
) -> Comparisons:  # fmt: skip
    """Return what a choice touches: lists, ours by default, and probes of the first seed."""
    default = audit.seeds[0] if choice.retrains else audit.plain
    found = {
        name: Comparison(of_lists(name, ours or default), of_lists(name, reference))
        for name in choice.findings
        if name in LISTS
    }
    if probed:
        found["F6"] = Comparison(of_probes(audit.probes[:1]), of_probes([probed]))
    return found


def masking(audit: Audit, choice: Choice) -> Comparisons:
    """Leave only training items out of the lists."""
    views = [audit.views(seed) for seed in audit.run.seeds]
    return compare(audit, choice, audit.rankings(views, audit.run.dataset.train))


def trained_again(audit: Audit, choice: Choice, mask: sp.csr_matrix | None = None) -> Comparisons:
    """Train both views under the choice's settings."""
    lists = audit.rankings([audit.views(audit.first, choice)], mask)
    return compare(audit, choice, lists, audit.probed(audit.first, choice))


def without_first_item(audit: Audit, choice: Choice) -> Comparisons:
    """Train both views without item 0 as a negative, and never recommend it."""
    mask = audit.run.dataset.seen.tolil()
    mask[:, 0] = 1
    return trained_again(audit, choice, mask.tocsr())


def unequal_budgets(audit: Audit, choice: Choice) -> Comparisons:
    """Compare LightGCN by BPR and a larger joint model with LightGCN and joint of one recipe."""
    run, first = audit.run, audit.first
    bpr = run.view("lightgcn-bpr", first)
    ours = replace(audit.seeds[0], fused=[audit.lists(run.view("joint", first))])
    reference = replace(
        ours,
        collaborative=[audit.lists(bpr)],
        fused=[audit.lists(run.view("joint", first, **JOINT))],
    )
    probed = audit.probed(first, model="lightgcn-bpr")
    return compare(audit, choice, reference, probed, ours=ours)


def counting_all(audit: Audit, choice: Choice) -> Comparisons:
    """Count test and validation interactions as popularity, and cut strata at its quantiles."""
    data = audit.run.dataset
    counts = (data.seen + data.test).getnnz(axis=0).astype(np.float64)
    other = replace(audit.plain, counts=counts, strata=quantile_strata(counts))
    return compare(audit, choice, other)


def quantile_strata(counts: Floats) -> Ints:
    """Return each item's stratum by quantile of the counts, as the paper's reference does.

    Items of equal count are in one stratum, so that ties make cold (up to the 60 % quantile) and
    mid (up to 80 %) larger. Without ties this is ``lib.metrics.by_count``.
    """
    return np.searchsorted(np.quantile(counts, metrics.ENDS), counts, side="left").astype(np.intp)


def halves(audit: Audit, choice: Choice) -> Comparisons:
    """Take the two halves of one joint model as the views; the fusion is the model itself."""
    joint = audit.run.view("joint", audit.first, **HALVES)
    collaborative, semantic = split_joint(joint)
    reference = replace(
        audit.seeds[0],
        semantic=[audit.lists(semantic)],
        collaborative=[audit.lists(collaborative)],
        fused=[audit.lists(joint)],
    )
    return compare(audit, choice, reference)


def split_joint(joint: View) -> Views:
    """Return the collaborative and the semantic half of a joint view."""
    users, items = (torch.chunk(side, 2, dim=1) for side in (joint.users, joint.items))
    first, second = (View(u, i, joint.info) for u, i in zip(users, items, strict=True))
    return first, second


def mean_or_concat(audit: Audit, choice: Choice) -> Comparisons:
    """Rank by the weighted mean of the two cosines, and by norm-concat-norm."""
    lists = [mean_of_cosines(audit, seed) for seed in audit.run.seeds]
    return compare(audit, choice, audit.plain, ours=replace(audit.plain, fused=lists))


def mean_of_cosines(audit: Audit, seed: int) -> Lists:
    """Return a seed's lists by the weighted mean of cosines, equal means by the smaller id."""
    views, exclude = audit.views(seed), audit.run.dataset.seen
    weights = best_concat(audit.run.dataset, views).info["weights"]
    sides = [(normalize(view.users, dim=1), normalize(view.items, dim=1)) for view in views]
    lists = []
    for start in range(0, exclude.shape[0], _BLOCK):
        at = slice(start, start + _BLOCK)
        cosines = [(users[at] @ items.T).numpy() for users, items in sides]
        mean = np.average(cosines, axis=0, weights=weights).astype(np.float32)
        mean[exclude[at].nonzero()] = -np.inf
        values = torch.from_numpy(mean)
        chosen = best(values, audit.run.k)
        lists.append(chosen.masked_fill(values.gather(1, chosen) == -torch.inf, -1).numpy())
    return np.concatenate(lists)


def longer_lists(audit: Audit, choice: Choice) -> Comparisons:
    """Compare the union with the better view's list of as many items, and with that of K."""
    found = audit.plain
    longer = found.nulls[f"{found.prefix}longer"]
    union, same = (
        measures.union_recall(found.pairs, found.relevant),
        measures.longer_recall(found.pairs, longer, found.relevant),
    )
    gain = measures.gain(union, same)
    return {"F5": Comparison(Side({"gain": gain}, gain), of_lists("F5", found))}


def without_null(audit: Audit, choice: Choice) -> Comparisons:
    """Read the number as it is, or only what is beyond two seeds of one model."""
    compared = {}
    for name in choice.findings:
        found = audit.side(name)
        beyond = minus(found.headline, found.measures["seeds"])
        full = claims.judge(name, measures.estimates(found.measures)).word
        full = claims.FAILS if full == claims.UNDECIDED else full  # as ``word`` has it
        ours, alone = (Side({headline(name): score}, score) for score in (beyond, found.headline))
        compared[name] = Comparison(ours, alone, full)
    return compared


def minus(one: Any, other: Any) -> Totals:
    """Return one − other, both functions of totals over users, as a score of its own."""
    cut = len(one.columns)

    def function(*totals: Floats) -> Floats:
        return np.subtract(one.function(*totals[:cut]), other.function(*totals[cut:]))

    return Totals((*one.columns, *other.columns), function)


def without_validation(audit: Audit, choice: Choice) -> Comparisons:
    """Fit the reference's linear map in place of ridge."""
    other = [audit.probed(seed, fit="linear, reference") for seed in audit.run.seeds]
    return {"F6": Comparison(audit.side("F6"), of_probes(other))}


def farthest_seed(audit: Audit, choice: Choice) -> Comparisons:
    """Compare the mean over seeds with the seed farthest from it; nothing where there is one."""
    compared = {}
    for name in choice.findings if len(audit.run.seeds) > 1 else ():
        ours = audit.side(name)
        middle = ours.headline.value
        far = max(audit.each_seed(name), key=lambda side: abs(side.headline.value - middle))
        compared[name] = Comparison(ours, far)
    return compared


EFFECTS: dict[str, Callable[[Audit, Choice], Comparisons]] = {
    "masking at test": masking, "model selection": trained_again,
    "unequal budgets": unequal_budgets, "known items as negatives": trained_again,
    "the first item": without_first_item, "own text in the profile": trained_again,
    "what popularity counts": counting_all, "halves of one model": halves,
    "concatenation or mean": mean_or_concat, "an oracle with more items": longer_lists,
    "no null": without_null, "probes without validation": without_validation,
    "one seed": farthest_seed,
}  # fmt: skip
"""How each choice of the reference is reproduced, by the choice's name."""


def effects(audit: Audit, *, retrain: bool = True) -> pd.DataFrame:
    """Return a row per choice and finding that it touches; ``retrain``: of choices that do as well.

    Columns number, choice, finding; ours and reference with ``_low`` and ``_high``; difference,
    reference minus ours, with its interval on resamples of users (F6: items) that both sides share;
    n; seeds; ``moved``, the difference over half of the width of our interval; and the verdicts
    ``word`` and ``reference_word`` by the ``holds`` part of the rule alone.
    """
    rows = []
    choices = tqdm(CHOICES, desc="choices", unit="choice", disable=None)
    for number, choice in enumerate(choices, 1):
        if choice.retrains and not retrain:
            continue
        seeds = 1 if choice.retrains else len(audit.run.seeds)
        for name, found in EFFECTS[choice.name](audit, choice).items():
            head = {"number": number, "choice": choice.name, "finding": name}
            rows.append(head | _row(name, found) | {"seeds": seeds})
    return pd.DataFrame(rows)


def _row(finding: str, both: Comparison) -> dict[str, Any]:
    ours, reference = (measures.estimates(side.measures) for side in (both.ours, both.reference))
    apart = difference(both.ours.headline, both.reference.headline)
    name = headline(finding)
    found = {"ours": ours[name], "reference": reference[name], "difference": apart}
    columns: dict[str, Any] = {}
    for side, value in found.items():
        columns |= {side: value.mean, f"{side}_low": value.low, f"{side}_high": value.high}
    half = (columns["ours_high"] - columns["ours_low"]) / 2
    return columns | {
        "n": apart.n,
        "moved": 0.0 if not apart.mean else apart.mean / half if half else np.nan,
        "word": both.word or word(finding, ours),
        "reference_word": word(finding, reference),
    }
