"""What the findings become under each choice of protocol, everything else being ours.

Choices that need models of their own are measured on the run's first seed, ours beside them on the
same seed; the others on all seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch.nn.functional import normalize
from tqdm import tqdm

from lib import claims, fusion, metrics
from lib.diagnostics import oracle
from lib.metrics import Lists, recall
from lib.probes import splits as item_splits
from lib.probes.scores import Resampled
from lib.topk import best, topk
from lib.views import View
from studies import cached
from studies import measures as findings
from studies.ch13_choices import CHOICES, HALVES, JOINT, Choice
from studies.context import Run
from studies.measures import MEASURES, Evidence, Measures

Views = tuple[View, View]
"""The semantic and the collaborative view of one seed."""

_BLOCK = 256
"""Users whose scores are held at once: n_items × 256 of them."""


@dataclass(frozen=True)
class Cell:
    """One finding under our choice and under the reference's.

    ``word`` is our verdict where more than the ``holds`` part of the rule makes it.
    """

    ours: Measures
    reference: Measures
    word: str | None = None


Cells = dict[str, Cell]


@dataclass(frozen=True)
class Bench:
    """A run's views, and the findings' evidence under our protocol."""

    run: Run
    epochs: int  # at most, of every training

    @property
    def first(self) -> int:
        """The seed that choices with models of their own are measured on."""
        return self.run.seeds[0]

    def view(self, model: str, seed: int, **settings: Any) -> View:
        """Return a trained view, of at most the bench's epochs."""
        return self.run.view(model, seed, epochs=self.epochs, **settings)

    def views(self, seed: int) -> Views:
        """Return the two views of a seed under our protocol."""
        return self.view("linear", seed), self.view("lightgcn", seed)

    def lists(
        self,
        view: View | fusion.JointVectors,
        k: int | None = None,
        mask: sp.csr_matrix | None = None,
    ) -> Lists:
        """Return test lists (n_users × k); ``mask`` is never recommended, by default all seen."""
        exclude = self.run.dataset.seen if mask is None else mask
        found = topk(view.users, view.items, k or self.run.k, exclude=exclude)
        return np.asarray(found.items.numpy())

    def evidence(self, views: Sequence[Views], mask: sp.csr_matrix | None = None) -> Evidence:
        """Return the lists of views, one pair a seed, and of their concatenations."""
        data = self.run.dataset
        counts = data.train.getnnz(axis=0).astype(np.float64)
        return Evidence(
            [self.lists(semantic, mask=mask) for semantic, _ in views],
            [self.lists(collaborative, mask=mask) for _, collaborative in views],
            [self.lists(concatenated(pair), mask=mask) for pair in views],
            data.test,
            counts,
            metrics.by_count(counts),
        )

    @cached_property
    def plain(self) -> Evidence:
        """Our protocol, all seeds."""
        return self.evidence([self.views(seed) for seed in self.run.seeds])

    @cached_property
    def of_first(self) -> Evidence:
        """Our protocol, the first seed."""
        return one_seed(self.plain, 0)

    def probed(
        self,
        seed: int,
        linear: Mapping[str, Any] | None = None,
        lightgcn: Mapping[str, Any] | None = None,
        *,
        model: str = "lightgcn",
        fit: str = "ridge",
    ) -> dict[str, Resampled]:
        """Return F6 of a seed: text by ``linear`` settings, the target and its second seed.

        ``fit`` is one of ``lib.probes.MAPS``.
        """
        source = self.view("linear", seed, **(linear or {}))
        target, second = (
            self.view(model, s, **(lightgcn or {})) for s in (seed, self.run.other(seed))
        )
        split = item_splits.random(self.run.dataset.n_items)
        items = [view.items.numpy() for view in (source, target, second)]
        return cached.reached(self.run.dataset.name, items, split, fit, seed=seed)

    def measures(self, finding: str) -> Measures:
        """Return a finding under our protocol, all seeds."""
        if finding == "F6":
            return findings.averaged(self.reached)
        return MEASURES[finding](self.plain)

    def each_seed(self, finding: str) -> list[Measures]:
        """Return a finding under our protocol, one a seed."""
        if finding == "F6":
            return list(self.reached)
        return [MEASURES[finding](one_seed(self.plain, at)) for at in range(len(self.run.seeds))]

    @cached_property
    def reached(self) -> list[dict[str, Resampled]]:
        """F6 under our protocol, one a seed."""
        return [self.probed(seed) for seed in self.run.seeds]


def one_seed(found: Evidence, place: int) -> Evidence:
    """Return the evidence of one seed alone, by its place."""
    at = slice(place, place + 1)
    return replace(
        found,
        semantic=found.semantic[at],
        collaborative=found.collaborative[at],
        fused=found.fused[at],
    )


def concatenated(views: Views) -> fusion.JointVectors:
    """Return norm-concat-norm of the two views."""
    return fusion.concat([(view.users.numpy(), view.items.numpy()) for view in views])


def compared(ours: Evidence, reference: Evidence, which: Sequence[str]) -> Cells:
    """Return the findings of ``which`` that lists decide, of both sides."""
    return {
        name: Cell(MEASURES[name](ours), MEASURES[name](reference))
        for name in which
        if name in MEASURES
    }


def masking(bench: Bench, choice: Choice) -> Cells:
    """Leave only training items out of the lists."""
    views = [bench.views(seed) for seed in bench.run.seeds]
    other = bench.evidence(views, bench.run.dataset.train)
    return compared(bench.plain, other, choice.findings)


def trained_anew(bench: Bench, choice: Choice, mask: sp.csr_matrix | None = None) -> Cells:
    """Train both views under the choice's settings."""
    views = (
        bench.view("linear", bench.first, **choice.linear),
        bench.view("lightgcn", bench.first, **choice.lightgcn),
    )
    cells = compared(bench.of_first, bench.evidence([views], mask), choice.findings)
    probed = bench.probed(bench.first, choice.linear, choice.lightgcn)
    return cells | {"F6": Cell(bench.reached[0], probed)}


def without_first_item(bench: Bench, choice: Choice) -> Cells:
    """Train both views without item 0 as a negative, and never recommend it."""
    data = bench.run.dataset
    rows = np.arange(data.n_users)
    column = sp.csr_matrix((np.ones(len(rows)), (rows, np.zeros(len(rows), int))), data.seen.shape)
    return trained_anew(bench, choice, sp.csr_matrix(data.seen + column))


def unequal_budgets(bench: Bench, choice: Choice) -> Cells:
    """Hold LightGCN by BPR and a wider joint model against LightGCN and joint of one recipe."""
    first = bench.first
    ours = replace(bench.of_first, fused=[bench.lists(bench.view("joint", first))])
    reference = replace(
        ours,
        collaborative=[bench.lists(bench.view("lightgcn-bpr", first))],
        fused=[bench.lists(bench.view("joint", first, **JOINT))],
    )
    probed = bench.probed(first, model="lightgcn-bpr")
    return compared(ours, reference, choice.findings) | {"F6": Cell(bench.reached[0], probed)}


def counting_all(bench: Bench, choice: Choice) -> Cells:
    """Count test and validation interactions as popularity, and cut strata at its quantiles."""
    counts = everything(bench.run)
    other = replace(bench.plain, counts=counts, strata=findings.quantile_strata(counts))
    return compared(bench.plain, other, choice.findings)


def everything(run: Run) -> np.ndarray:
    """Return the number of all interactions of each item, test included (n_items)."""
    data = run.dataset
    return np.asarray((data.seen + data.test).getnnz(axis=0), dtype=np.float64)


def halves(bench: Bench, choice: Choice) -> Cells:
    """Take the two halves of one joint model for the views."""
    joint = bench.view("joint", bench.first, **HALVES)
    collaborative, semantic = split_joint(joint)
    return compared(bench.of_first, bench.evidence([(semantic, collaborative)]), choice.findings)


def split_joint(joint: View) -> Views:
    """Return the collaborative and the semantic half of a joint view."""
    users, items = (torch.chunk(side, 2, dim=1) for side in (joint.users, joint.items))
    first, second = (View(u, i, joint.info) for u, i in zip(users, items, strict=True))
    return first, second


def mean_or_concat(bench: Bench, choice: Choice) -> Cells:
    """Rank by the mean of the two cosines, and by norm-concat-norm."""
    views = bench.views(bench.first)
    lists, _ = mean_of_cosines(views, bench.run.k, bench.run.dataset.seen)
    return compared(replace(bench.of_first, fused=[lists]), bench.of_first, choice.findings)


def mean_of_cosines(views: Views, k: int, exclude: sp.csr_matrix) -> tuple[Lists, float]:
    """Return lists by the mean of the views' cosines, and how far norm-concat-norm ever is from it.

    The lists are n_users × k, −1 where a user has no further item; equal means are broken by the
    smaller item id. The second is the largest absolute difference of the two scores over all users
    and items.
    """
    sides = [(normalize(view.users, dim=1), normalize(view.items, dim=1)) for view in views]
    whole = concatenated(views)
    lists, largest = [], 0.0
    for start in range(0, exclude.shape[0], _BLOCK):
        at = slice(start, start + _BLOCK)
        mean = np.mean([(users[at] @ items.T).numpy() for users, items in sides], axis=0)
        largest = max(largest, float(np.abs(mean - whole.users[at] @ whole.items.T).max()))
        mean[exclude[at].nonzero()] = -np.inf
        values = torch.from_numpy(mean)
        chosen = best(values, k)  # equal means by the smaller id
        lists.append(chosen.masked_fill(values.gather(1, chosen) == -torch.inf, -1).numpy())
    return np.concatenate(lists), largest


def longer_lists(bench: Bench, choice: Choice) -> Cells:
    """Hold the union against the better view with 2K items, and with K."""
    found = bench.plain
    union = np.mean([oracle(pair, found.relevant) for pair in found.pairs], axis=0)
    longer = {"gain": findings.gain(union, recall_of_longer(bench))}
    return {"F5": Cell(longer, MEASURES["F5"](found))}


def recall_of_longer(bench: Bench) -> np.ndarray:
    """Return per-user recall of each seed's better view with lists of 2K (n_users)."""
    k = min(2 * bench.run.k, bench.run.dataset.n_items)
    values = []
    for seed in bench.run.seeds:
        recalls = []
        for view in bench.views(seed):
            lists = bench.lists(view, k)
            at_k, at_2k = (
                recall(x, bench.run.dataset.test) for x in (lists[:, : bench.run.k], lists)
            )
            recalls.append((np.nanmean(at_k), at_2k))
        values.append(max(recalls, key=lambda pair: pair[0])[1])
    return np.mean(values, axis=0)


def nulls(bench: Bench) -> dict[str, Evidence]:
    """Return what stands in the place of the two views: two LightGCN seeds, SVD with LightGCN."""
    seeds = bench.run.seeds
    own = bench.plain.collaborative
    twin = [bench.lists(bench.view("lightgcn", bench.run.other(s))) for s in seeds]
    svd = [bench.lists(bench.run.view("svd", s)) for s in seeds]
    return {
        "two LightGCN seeds": replace(bench.plain, semantic=twin, collaborative=own),
        "SVD and LightGCN": replace(bench.plain, semantic=svd, collaborative=own),
    }


def without_null(bench: Bench, choice: Choice) -> Cells:
    """Read the number as it is, or only what is beyond two seeds of the collaborative model."""
    seeds, svd = nulls(bench).values()
    cells = {}
    for name in choice.findings:
        key = claims.load()[name].headline
        plain, twin, other = (MEASURES[name](found)[key] for found in (bench.plain, seeds, svd))
        measures = {key: plain, "seeds": twin, "other": other}
        if name == "F5":
            found = bench.plain
            measures["longer"] = findings.gain(
                recall_of_longer(bench), found.recalls(found.better())
            )
        word = claims.judge(name, findings.estimates(measures)).word
        cells[name] = Cell({key: findings.minus(plain, twin)}, {key: plain}, word)
    return cells


def without_validation(bench: Bench, choice: Choice) -> Cells:
    """Fit the reference's linear map in place of ridge."""
    other = [bench.probed(seed, fit="linear, reference") for seed in bench.run.seeds]
    return {"F6": Cell(findings.averaged(bench.reached), findings.averaged(other))}


def farthest_seed(bench: Bench, choice: Choice) -> Cells:
    """Hold the mean over seeds against the seed that lies farthest from it; no cell of one seed."""
    if len(bench.run.seeds) == 1:
        return {}
    cells = {}
    for name in choice.findings:
        ours = bench.measures(name)
        middle = findings.headline(name, ours).value

        def distance(of_seed: Measures, name: str = name, middle: float = middle) -> float:
            return abs(findings.headline(name, of_seed).value - middle)

        cells[name] = Cell(ours, max(bench.each_seed(name), key=distance))
    return cells


REALISED: dict[str, Callable[[Bench, Choice], Cells]] = {
    "masking at test": masking,
    "model selection": trained_anew,
    "unequal budgets": unequal_budgets,
    "known items as negatives": trained_anew,
    "the first item": without_first_item,
    "own text in the profile": trained_anew,
    "what popularity counts": counting_all,
    "halves of one model": halves,
    "concatenation or mean": mean_or_concat,
    "an oracle with more items": longer_lists,
    "no null": without_null,
    "probes without validation": without_validation,
    "one seed": farthest_seed,
}
"""How each choice is brought about, by its name."""


def table(bench: Bench, *, retrain: bool = True) -> pd.DataFrame:
    """Return a row per choice and finding that it touches.

    Parameters
    ----------
    retrain
        Whether choices that need models of their own are measured, or left out.

    Returns
    -------
    DataFrame
        Columns number, choice, finding; ours and reference with ``_low`` and ``_high``;
        difference, reference minus ours, with its interval on the same resamples of users (F6:
        items); n; seeds; ``moved``, the difference over half of the width of our interval; and the
        verdicts ``word`` and ``reference_word`` by the ``holds`` part of the rule alone.
    """
    rows = []
    for choice in tqdm(CHOICES, desc="choices", unit="choice", disable=None):
        if choice.fits and not retrain:
            continue
        seeds = len(bench.run.seeds) if not choice.one_seed else 1
        for name, cell in REALISED[choice.name](bench, choice).items():
            head = {"number": choice.number, "choice": choice.name, "finding": name}
            rows.append(head | _row(name, cell) | {"seeds": seeds})
    return pd.DataFrame(rows)


def _row(finding: str, cell: Cell) -> dict[str, Any]:
    sides = {"ours": cell.ours, "reference": cell.reference}
    every = {side: findings.estimates(measures) for side, measures in sides.items()}
    found = {side: every[side][claims.load()[finding].headline] for side in sides}
    heads = (findings.headline(finding, measures) for measures in sides.values())
    found["difference"] = apart = findings.difference(*heads)
    half = (found["ours"].high - found["ours"].low) / 2
    columns: dict[str, Any] = {}
    for side, value in found.items():
        columns |= {side: value.mean, f"{side}_low": value.low, f"{side}_high": value.high}
    return columns | {
        "n": apart.n,
        "moved": apart.mean / half if apart.mean else 0.0,
        "word": cell.word or findings.word(finding, every["ours"]),
        "reference_word": findings.word(finding, every["reference"]),
    }
