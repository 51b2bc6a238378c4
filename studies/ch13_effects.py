"""What the findings become under each choice of protocol, everything else staying ours.

First the choices, as data: the points in which this project and the paper's reference code differ.
Then the audit, which holds our side, how each choice of the reference is reproduced, and the table
of both. Choices that need models of their own are measured on the run's first seed, ours beside
them on the same seed; the others on all seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike
from torch.nn.functional import normalize
from tqdm import tqdm

from lib import cache, claims, metrics, probes
from lib.core import Floats, InputError, device_of
from lib.metrics import Ints, Lists
from lib.probes import splits as item_splits
from lib.probes.scores import Resampled, Score, Totals, estimate, r2
from lib.stats import Estimate
from lib.topk import best, topk
from lib.views import View
from studies import measures
from studies.concatenation import best_concat, even_concat
from studies.context import Run
from studies.measures import MEASURES, NULLS, Measures, Rankings

FUSION = "fusion"
"""The gain of the fusion over the collaborative view: the comparison whose budgets the reference
makes unequal. It is no finding of the paper's: F8 compares fusion with alignment."""

LISTS = ("F1", "F2", "F3", "F3b", "F4", "F5", FUSION, "F9")
"""What lists decide."""

FINDINGS = ("F1", "F2", "F3", "F3b", "F4", "F5", "F6", FUSION, "F9")
"""What a choice may touch, in the order of the book."""


@dataclass(frozen=True)
class Choice:
    """One choice of protocol.

    ``ours`` and ``reference`` say what either side does, ``how`` how the reference's is reproduced
    here, ``findings`` what it can touch. ``linear`` and ``lightgcn`` are the settings
    (``lib.encoders.training.Recipe``) under which the two views are trained again. ``retrains``:
    the choice needs models beside the plain ones, so it can be left out; ``one_seed``: it is
    measured on the first seed only.
    """

    number: int
    name: str
    ours: str
    reference: str
    how: str
    findings: tuple[str, ...] = FINDINGS
    retrains: bool = False
    one_seed: bool = False
    linear: Mapping[str, Any] = field(default_factory=dict)
    lightgcn: Mapping[str, Any] = field(default_factory=dict)


_SELECT = {"select": "ndcg", "every": 5, "patience": 3}
_EXCLUDED = {"excluded": "positive"}
_FIRST = {"first_negative": 1}

JOINT = {"dimension": 128, "negatives": 512, "hardest": 256}
"""The reference's budget for the jointly trained fusion; batch, rate and temperature are ours."""

HALVES = {"dimension": 128}
"""A joint model each of whose halves has the dimension of a view."""

CHOICES = (
    Choice(
        1, "masking at test",
        ours="training and validation items are never recommended",
        reference="in some scripts only training items are left out",
        how="the same views, lists that may hold validation items",
        findings=LISTS,
    ),
    Choice(
        2, "model selection",
        ours="Recall@20 on validation items after every epoch, patience five, for every model",
        reference="NDCG@20 or Recall@20, every epoch or every fifth, patience three to ten",
        how="both views trained again, selected by NDCG@20 every fifth epoch with patience three",
        retrains=True, one_seed=True, linear=_SELECT, lightgcn=_SELECT,
    ),
    Choice(
        3, "unequal budgets",
        ours="one dimension, loss and number of negatives for all models",
        reference="LightGCN by BPR; the fusion has twice the dimension, InfoNCE and hard negatives",
        how="LightGCN by BPR as the collaborative view, and a joint model of 128 dimensions with "
        "the hardest 256 of 512 pooled negatives as the fusion; ours has the joint model as well",
        retrains=True, one_seed=True,
    ),
    Choice(
        4, "known items as negatives",
        ours="a user's known items are never its negatives",
        reference="only the positive at hand is never a negative",
        how="both views trained again",
        retrains=True, one_seed=True, linear=_EXCLUDED, lightgcn=_EXCLUDED,
    ),
    Choice(
        5, "the first item",
        ours="no item is reserved",
        reference="item id zero is a real item, but never a negative, and masked in one script",
        how="both views trained again without it as a negative, and lists that never hold it",
        retrains=True, one_seed=True, linear=_FIRST, lightgcn=_FIRST,
    ),
    Choice(
        6, "own text in the profile",
        ours="a user's text leaves out the item that is being learned",
        reference="a user's text includes it",
        how="the semantic view trained again",
        retrains=True, one_seed=True, linear={"own_text": True},
    ),
    Choice(
        7, "what popularity counts",
        ours="training interactions; strata by rank",
        reference="all interactions, test items included; strata by quantile, ties and all",
        how="the same lists, other counts",
        findings=("F4", "F9"),
    ),
    Choice(
        8, "halves of one model",
        ours="two views trained apart",
        reference="in the stratified tables, the two halves of one jointly trained model",
        how="the halves of a joint model of 128 dimensions; the fusion is the model itself",
        findings=LISTS, retrains=True, one_seed=True,
    ),
    Choice(
        9, "concatenation or mean",
        ours="the weighted mean of the two cosines",
        reference="norm-concat-norm, trained or not: the same scores by another name",
        how="both computed from the same views, with the weights that validation chose",
        findings=(FUSION, "F9"), one_seed=True,
    ),
    Choice(
        10, "an oracle with more items",
        ours="the better view may have as many items as the union",
        reference="the union of two lists of K is held against one list of K",
        how="the better view with lists of 2K, or with lists of K",
        findings=("F5",),
    ),
    Choice(
        11, "no null",
        ours="what is beyond a second seed of the collaborative model; full rule",
        reference="the number as it is; the first part of the rule alone",
        how="the same number minus that of two LightGCN seeds",
        findings=("F2", "F3", "F5"),
    ),
    Choice(
        12, "probes without validation",
        ours="ridge, its penalty chosen on validation items",
        reference="a map by gradient descent for a fixed number of epochs",
        how="the reference's linear map, on the same training items",
        findings=("F6",),
    ),
    Choice(
        13, "one seed",
        ours="the mean over seeds",
        reference="one seed, no interval",
        how="the seed that lies farthest from the mean",
    ),
)  # fmt: skip


Views = tuple[View, View]
"""The semantic and the collaborative view of one seed."""

_BLOCK = 256
"""Users whose scores are held at once: n_items × 256 of them."""


@dataclass(frozen=True)
class Comparison:
    """One finding under our choice and under the reference's.

    ``paired``: both headlines on the same resamples, where they are not those of the measures.
    ``word``: our verdict, where more than the ``holds`` part of the rule decides it.
    """

    ours: Measures
    reference: Measures
    paired: tuple[Score, Score] | None = None
    word: str | None = None


Comparisons = dict[str, Comparison]


class MapScores(NamedTuple):
    """R² of one map: on held-out items, on training items, and on resamples that all maps share.

    The first two resample items in the order of the target vectors, as the chapter on probes does,
    whatever the items' numbers; the third by number, so that maps to other targets can be paired.
    """

    held_out: Resampled
    training: Resampled
    shared: Resampled


class Three(NamedTuple):
    """The scores of the map from text, from permuted pairs and from a second seed."""

    text: MapScores
    floor: MapScores
    ceiling: MapScores

    @property
    def share(self) -> Resampled:
        """Share of the reachable R² that the text reaches, on the shared resamples."""
        every = [np.append(one.shared.value, one.shared.drawn) for one in self]
        value, *drawn = probes.share_reached(*every)
        return Resampled(float(value), np.array(drawn), self.text.shared.n)


@dataclass(frozen=True, eq=False)
class Audit:
    """Our side of every comparison: a run's views, their rankings and the probes."""

    run: Run

    @property
    def first(self) -> int:
        """The seed that choices with models of their own are measured on."""
        return self.run.seeds[0]

    def views(self, seed: int) -> Views:
        """Return the two views of a seed under our protocol."""
        return self.run.view("linear", seed), self.run.view("lightgcn", seed)

    def lists(self, view: View, k: int | None = None, mask: sp.csr_matrix | None = None) -> Lists:
        """Return test lists (n_users × k); ``mask`` is never recommended, by default all seen."""
        exclude = self.run.dataset.seen if mask is None else mask
        return np.asarray(topk(view.users, view.items, k or self.run.k, exclude=exclude).items)

    def rankings(self, views: Sequence[Views], mask: sp.csr_matrix | None = None) -> Rankings:
        """Return the lists of views, one pair a seed, and of their fusions."""
        counts = self.run.dataset.train.getnnz(axis=0).astype(np.float64)
        semantic, collaborative = zip(*views, strict=True)
        return Rankings(
            [self.lists(view, mask=mask) for view in semantic],
            [self.lists(view, mask=mask) for view in collaborative],
            self.run.dataset.test,
            counts,
            metrics.by_count(counts),
            fused=[self.lists(best_concat(self.run.dataset, pair), mask=mask) for pair in views],
            semantic_leads=measures.leads(semantic, collaborative),
        )

    @cached_property
    def seeds(self) -> list[Rankings]:
        """Our protocol, each seed as a run of its own."""
        return [self.rankings([self.views(seed)]) for seed in self.run.seeds]

    @property
    def of_first(self) -> Rankings:
        """Our protocol, the first seed."""
        return self.seeds[0]

    @cached_property
    def plain(self) -> Rankings:
        """Our protocol, all seeds, with the nulls and controls of the chapters."""
        semantic, collaborative = (self.run.views(model) for model in ("linear", "lightgcn"))
        second = self.run.views("lightgcn", other=True)
        twins = [even_concat(pair) for pair in zip(collaborative, second, strict=True)]
        return replace(
            measures.rankings(self.run, *NULLS),
            fused=[found.fused[0] for found in self.seeds],
            control=[self.lists(view) for view in twins],
            semantic_leads=measures.leads(semantic, collaborative),
        )

    def probed(
        self,
        seed: int,
        linear: Mapping[str, Any] | None = None,
        lightgcn: Mapping[str, Any] | None = None,
        *,
        model: str = "lightgcn",
        fit: str = "ridge",
    ) -> Three:
        """Return the probes of a seed: text by ``linear`` settings, the target and its second seed.

        ``fit`` is one of ``lib.probes.MAPS``.
        """
        source = self.run.view("linear", seed, **(linear or {}))
        seeds = (seed, self.run.other(seed))
        target, second = (self.run.view(model, s, **(lightgcn or {})) for s in seeds)
        ways = ((source, False), (source, True), (second, False))
        return Three(
            *(self.mapped(start, target, fit, seed, shuffled=shuffled) for start, shuffled in ways)
        )

    def mapped(
        self, source: View, target: View, fit: str, seed: int, *, shuffled: bool = False
    ) -> MapScores:
        """Return the scores of one map, fitted now or read from the cache."""
        x, y = source.items.numpy(), target.items.numpy()
        split = item_splits.random(self.run.dataset.n_items)

        def make() -> dict[str, Resampled]:
            by = probes.permuted(probes.MAPS[fit]) if shuffled else probes.MAPS[fit]
            return map_scores(probes.recover(x, y, split, by, seed=seed), seed)._asdict()

        key = {
            "dataset": self.run.dataset.name,
            "model": fit,
            "permuted": shuffled,
            "seed": seed,
            "device": device_of("auto").type,  # networks are trained there
            "data": cache.digest(x, y, split.train, split.valid, split.test),
            "code": cache.code_version(map_scores),
        }
        return MapScores(**measures.cached_scores(key, make))

    @cached_property
    def probes(self) -> list[Three]:
        """Our probes, one a seed."""
        return [self.probed(seed) for seed in self.run.seeds]

    def measures(self, finding: str) -> Measures:
        """Return a finding under our protocol, all seeds."""
        return recovered(self.probes) if finding == "F6" else of_lists(finding, self.plain)

    def each_seed(self, finding: str) -> list[tuple[Measures, Score]]:
        """Return a finding under our protocol, one a seed, and its headline's score."""
        if finding == "F6":
            return [(recovered([three]), three.share) for three in self.probes]
        every = [of_lists(finding, found) for found in self.seeds]
        return [(found, score(finding, found)) for found in every]

    def record(self) -> dict[str, dict[str, Estimate]]:
        """Return our measures of every finding, to be compared with those of its chapter."""
        names = claims.load()
        found = {
            name: measures.estimates(self.measures(name)) for name in FINDINGS if name in names
        }
        return {n: {m: of[m] for m in names[n].measures if m in of} for n, of in found.items()}


def map_scores(found: probes.Recovery, seed: int) -> MapScores:
    """Return the scores of a map that was fitted with ``seed``."""

    def on(items: Ints, seed: int) -> Resampled:
        return r2(found.target[items], found.predicted[items], seed=seed)

    split = found.split
    return MapScores(on(split.test, seed), on(split.train, seed), on(np.sort(split.test), 0))


def recovered(by_seed: Sequence[Three]) -> Measures:
    """Return F6 from the probes of each seed."""
    named = {
        "reached": [
            estimate(*(one.held_out for one in three), combine=probes.share_reached)
            for three in by_seed
        ],
        "text": [estimate(three.text.held_out) for three in by_seed],
        "permuted": [estimate(three.floor.held_out) for three in by_seed],
        "seeds": [estimate(three.ceiling.held_out) for three in by_seed],
    }
    return MEASURES["F6"](**named)


def mean_share(by_seed: Sequence[Three]) -> Resampled:
    """Return F6's headline on the shared resamples, the mean over seeds on each of them."""
    shares = [three.share for three in by_seed]
    value = float(np.mean([one.value for one in shares]))
    return Resampled(value, np.mean([one.drawn for one in shares], axis=0), shares[0].n)


def of_lists(finding: str, found: Rankings) -> Measures:
    """Return the measures of a finding that lists decide, or the fusion's gain."""
    return measures.fusion_gain(found) if finding == FUSION else MEASURES[finding](found)


def headline(finding: str) -> str:
    """Return the name of the measure that is shown."""
    return "gain" if finding == FUSION else claims.load()[finding].headline


def score(finding: str, found: Measures) -> Score:
    """Return the headline's score."""
    head = found[headline(finding)]
    if isinstance(head, Estimate):
        raise TypeError(f"{finding} has an estimate and no score to compare with another")
    return head


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


def compare_lists(ours: Rankings, reference: Rankings, which: Sequence[str]) -> Comparisons:
    """Return the findings of ``which`` that lists decide, of both sides."""
    return {
        name: Comparison(of_lists(name, ours), of_lists(name, reference))
        for name in which
        if name in LISTS
    }


def compare_probes(ours: Sequence[Three], reference: Sequence[Three]) -> Comparisons:
    """Return F6 of both sides, one probe a seed each."""
    paired = (mean_share(ours), mean_share(reference))
    return {"F6": Comparison(recovered(ours), recovered(reference), paired)}


def masking(audit: Audit, choice: Choice) -> Comparisons:
    """Leave only training items out of the lists."""
    views = [audit.views(seed) for seed in audit.run.seeds]
    other = audit.rankings(views, audit.run.dataset.train)
    return compare_lists(audit.plain, other, choice.findings)


def trained_again(audit: Audit, choice: Choice, mask: sp.csr_matrix | None = None) -> Comparisons:
    """Train both views under the choice's settings."""
    first = audit.first
    views = (
        audit.run.view("linear", first, **choice.linear),
        audit.run.view("lightgcn", first, **choice.lightgcn),
    )
    found = compare_lists(audit.of_first, audit.rankings([views], mask), choice.findings)
    probed = audit.probed(first, choice.linear, choice.lightgcn)
    return found | compare_probes(audit.probes[:1], [probed])


def without_first_item(audit: Audit, choice: Choice) -> Comparisons:
    """Train both views without item 0 as a negative, and never recommend it."""
    data = audit.run.dataset
    rows = np.arange(data.n_users)
    column = sp.csr_matrix((np.ones(len(rows)), (rows, np.zeros(len(rows), int))), data.seen.shape)
    return trained_again(audit, choice, sp.csr_matrix(data.seen + column))


def unequal_budgets(audit: Audit, choice: Choice) -> Comparisons:
    """Compare LightGCN by BPR and a larger joint model with LightGCN and joint of one recipe."""
    run, first = audit.run, audit.first
    semantic, bpr = run.view("linear", first), run.view("lightgcn-bpr", first)
    ours = replace(audit.of_first, fused=[audit.lists(run.view("joint", first))])
    reference = replace(
        ours,
        collaborative=[audit.lists(bpr)],
        fused=[audit.lists(run.view("joint", first, **JOINT))],
        semantic_leads=measures.leads([semantic], [bpr]),
    )
    probed = audit.probed(first, model="lightgcn-bpr")
    found = compare_lists(ours, reference, choice.findings)
    return found | compare_probes(audit.probes[:1], [probed])


def counting_all(audit: Audit, choice: Choice) -> Comparisons:
    """Count test and validation interactions as popularity, and cut strata at its quantiles."""
    counts = all_counts(audit.run)
    other = replace(audit.plain, counts=counts, strata=quantile_strata(counts))
    return compare_lists(audit.plain, other, choice.findings)


def all_counts(run: Run) -> Floats:
    """Return the number of all interactions of each item, test included (n_items)."""
    data = run.dataset
    return np.asarray((data.seen + data.test).getnnz(axis=0), dtype=np.float64)


def quantile_strata(counts: ArrayLike) -> Ints:
    """Return each item's stratum by quantile of the counts, as the paper's reference does.

    Cold is at most the 60 % quantile, mid at most the 80 % one, hot above: all items of equal
    count are in one stratum, so that ties make cold and mid larger (n_items). Without ties this
    is ``lib.metrics.by_count``.
    """
    values = np.asarray(counts, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise InputError(
            f"counts of shape {values.shape} were given; give one finite number per item"
        )
    return np.searchsorted(np.quantile(values, metrics.ENDS), values, side="left").astype(np.intp)


def halves(audit: Audit, choice: Choice) -> Comparisons:
    """Take the two halves of one joint model as the views; the fusion is the model itself."""
    joint = audit.run.view("joint", audit.first, **HALVES)
    collaborative, semantic = split_joint(joint)
    validation = [audit.run.validation(half) for half in (semantic, collaborative)]
    reference = replace(
        audit.of_first,
        semantic=[audit.lists(semantic)],
        collaborative=[audit.lists(collaborative)],
        fused=[audit.lists(joint)],
        semantic_leads=validation[0] >= validation[1],
    )
    return compare_lists(audit.of_first, reference, choice.findings)


def split_joint(joint: View) -> Views:
    """Return the collaborative and the semantic half of a joint view."""
    users, items = (torch.chunk(side, 2, dim=1) for side in (joint.users, joint.items))
    first, second = (View(u, i, joint.info) for u, i in zip(users, items, strict=True))
    return first, second


def mean_or_concat(audit: Audit, choice: Choice) -> Comparisons:
    """Rank by the weighted mean of the two cosines, and by norm-concat-norm."""
    lists, _ = mean_of_cosines(audit, audit.first)
    return compare_lists(replace(audit.of_first, fused=[lists]), audit.of_first, choice.findings)


def mean_of_cosines(audit: Audit, seed: int, k: int | None = None) -> tuple[Lists, float]:
    """Return lists by the weighted mean of a seed's cosines, and how far norm-concat is from it.

    The lists are n_users × k, −1 where a user has no further item; equal means are broken by the
    smaller item id. The second is the largest absolute difference of the two scores over all users
    and items.
    """
    views, exclude = audit.views(seed), audit.run.dataset.seen
    whole = best_concat(audit.run.dataset, views)
    sides = [(normalize(view.users, dim=1), normalize(view.items, dim=1)) for view in views]
    lists, largest = [], 0.0
    for start in range(0, exclude.shape[0], _BLOCK):
        at = slice(start, start + _BLOCK)
        cosines = [(users[at] @ items.T).numpy() for users, items in sides]
        mean = np.average(cosines, axis=0, weights=whole.info["weights"]).astype(np.float32)
        largest = max(
            largest, float(np.abs(mean - (whole.users[at] @ whole.items.T).numpy()).max())
        )
        mean[exclude[at].nonzero()] = -np.inf
        values = torch.from_numpy(mean)
        chosen = best(values, k or audit.run.k)  # equal means by the smaller id
        lists.append(chosen.masked_fill(values.gather(1, chosen) == -torch.inf, -1).numpy())
    return np.concatenate(lists), largest


def longer_lists(audit: Audit, choice: Choice) -> Comparisons:
    """Compare the union with the better view's lists of 2K, and with those of K."""
    found = audit.plain
    union = measures.union_recall(found.pairs, found.relevant)
    ours = {"gain": measures.gain(union, recall_of_longer(found))}
    return {"F5": Comparison(ours, MEASURES["F5"](found))}


def recall_of_longer(found: Rankings) -> Floats:
    """Return per-user recall of the better view with lists of 2K (n_users)."""
    return found.recalls(found.nulls[f"{found.prefix}longer"])


def without_null(audit: Audit, choice: Choice) -> Comparisons:
    """Read the number as it is, or only what is beyond two seeds of one model."""
    compared = {}
    for name in choice.findings:
        found, key = MEASURES[name](audit.plain), headline(name)
        full = claims.judge(name, measures.estimates(found)).word
        beyond = {key: minus(score(name, found), found["seeds"])}
        compared[name] = Comparison(beyond, {key: found[key]}, word=full)
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
    return compare_probes(audit.probes, other)


def farthest_seed(audit: Audit, choice: Choice) -> Comparisons:
    """Compare the mean over seeds with the seed farthest from it; nothing where there is one."""
    if len(audit.run.seeds) == 1:
        return {}
    compared = {}
    for name in choice.findings:
        ours = audit.measures(name)
        middle = mean_share(audit.probes) if name == "F6" else score(name, ours)
        each = audit.each_seed(name)
        found, far = max(each, key=lambda one: abs(one[1].value - middle.value))
        compared[name] = Comparison(ours, found, (middle, far))
    return compared


EFFECTS: dict[str, Callable[[Audit, Choice], Comparisons]] = {
    "masking at test": masking,
    "model selection": trained_again,
    "unequal budgets": unequal_budgets,
    "known items as negatives": trained_again,
    "the first item": without_first_item,
    "own text in the profile": trained_again,
    "what popularity counts": counting_all,
    "halves of one model": halves,
    "concatenation or mean": mean_or_concat,
    "an oracle with more items": longer_lists,
    "no null": without_null,
    "probes without validation": without_validation,
    "one seed": farthest_seed,
}
"""How each choice of the reference is reproduced, by the choice's name."""


def effects(audit: Audit, *, retrain: bool = True) -> pd.DataFrame:
    """Return a row per choice and finding that it touches.

    Parameters
    ----------
    retrain
        Whether choices that need models of their own are measured, or left out.

    Returns
    -------
    DataFrame
        Columns number, choice, finding; ours and reference with ``_low`` and ``_high``;
        difference, reference minus ours, with its interval on resamples of users (F6: items) that
        both sides share; n; seeds; ``moved``, the difference over half of the width of our
        interval; and the verdicts ``word`` and ``reference_word`` by the ``holds`` part of the
        rule alone.
    """
    rows = []
    for choice in tqdm(CHOICES, desc="choices", unit="choice", disable=None):
        if choice.retrains and not retrain:
            continue
        seeds = len(audit.run.seeds) if not choice.one_seed else 1
        for name, found in EFFECTS[choice.name](audit, choice).items():
            head = {"number": choice.number, "choice": choice.name, "finding": name}
            rows.append(head | _row(name, found) | {"seeds": seeds})
    return pd.DataFrame(rows)


def _row(finding: str, both: Comparison) -> dict[str, Any]:
    sides = {"ours": both.ours, "reference": both.reference}
    every = {side: measures.estimates(found) for side, found in sides.items()}
    found = {side: every[side][headline(finding)] for side in sides}
    paired = both.paired or (score(finding, both.ours), score(finding, both.reference))
    found["difference"] = apart = difference(*paired)
    half = (found["ours"].high - found["ours"].low) / 2
    columns: dict[str, Any] = {}
    for side, value in found.items():
        columns |= {side: value.mean, f"{side}_low": value.low, f"{side}_high": value.high}
    return columns | {
        "n": apart.n,
        "moved": apart.mean / half if apart.mean else 0.0,
        "word": both.word or word(finding, every["ours"]),
        "reference_word": word(finding, every["reference"]),
    }
