"""Every finding's measure, once: chapters judge by it, and the audit of the protocol repeats it.

``MEASURES`` names the function of each finding. F1 to F5 and F9 are measures of ``Rankings``, the
lists of both views; the others take what their chapter computes. A function returns the measures
that its claim names, the headline first. Each is an estimate, or a score (``lib.probes.scores``),
which keeps its values per user or item so that two protocols share their resamples.

Shapes: a list of lists has one array a training seed, n_users × K.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import isotonic_regression

from lib import claims, metrics
from lib.core import Floats, Lists
from lib.diagnostics import (
    complementary,
    composition,
    cut_to_union,
    hit_popularity,
    jaccard,
    oracle,
)
from lib.metrics import Ints, recall
from lib.probes.scores import Score, Totals, estimate, mean
from lib.stats import Estimate
from studies.context import Run

Measures = Mapping[str, Score | Estimate]
NONE = Estimate(np.nan, np.nan, np.nan, 0)
Group = Sequence[Lists]
"""Lists of the same users that are compared with each other, most often two."""

NULLS = ("seeds", "other", "popularity", "longer")
"""What ``rankings`` can add: second seeds of both views, SVD, popular items, longer lists."""


@dataclass(frozen=True)
class Rankings:
    """The lists of both views and of their nulls, and what they are judged by.

    ``nulls``: "seeds" and "semantic seeds" are the views' other seeds, "other" truncated SVD,
    "popularity" the most popular items, "longer" and "semantic longer" the views' lists of 2K.
    ``fused`` is norm-concat of both views, ``control`` of two collaborative seeds; only F9, F9b and
    ``fusion_gain`` need these.
    """

    semantic: Sequence[Lists]
    collaborative: Sequence[Lists]
    relevant: sp.csr_matrix  # n_users × n_items
    counts: Floats  # n_items: interactions, by which hits are cold or hot
    strata: Ints  # n_items: 0 cold, 1 mid, 2 hot
    nulls: Mapping[str, Sequence[Lists]] = field(default_factory=dict)
    fused: Sequence[Lists] = ()
    control: Sequence[Lists] = ()

    @property
    def pairs(self) -> list[Group]:
        """The semantic and the collaborative lists of each seed."""
        return list(zip(self.semantic, self.collaborative, strict=True))

    def beside(self, null: str) -> list[Group]:
        """Return the lists of a null and the collaborative ones of each seed."""
        return list(zip(self.nulls[null], self.collaborative, strict=True))

    def recalls(self, lists: Sequence[Lists]) -> Floats:
        """Return recall by seed and user (n_seeds × n_users)."""
        return np.stack([recall(one, self.relevant) for one in lists])

    @property
    def prefix(self) -> str:
        """Prefix of the nulls of the view with higher test recall: "semantic " or nothing."""
        means = [np.nanmean(self.recalls(of)) for of in (self.semantic, self.collaborative)]
        return "semantic " if means[0] >= means[1] else ""


def rankings(run: Run, *nulls: str) -> Rankings:
    """Return the lists of a run's two views, and of the nulls that are named (``NULLS``)."""
    longest = min(2 * run.k, run.dataset.n_items)
    made: dict[str, Sequence[Lists]] = {}
    for prefix, model in (("", "lightgcn"), ("semantic ", "linear")):
        if "longer" in nulls:  # the longest first: shorter ones are their start
            made[f"{prefix}longer"] = run.lists_by_seed(model, longest)
        if "seeds" in nulls:
            made[f"{prefix}seeds"] = run.lists_by_seed(model, second=True)
    if "other" in nulls:
        made["other"] = run.lists_by_seed("svd")
    if "popularity" in nulls:
        made["popularity"] = [run.lists("popularity", 0)]
    views = run.lists_by_seed("linear"), run.lists_by_seed("lightgcn")
    counts = run.dataset.train.getnnz(axis=0).astype(np.float64)
    return Rankings(*views, run.dataset.test, counts, metrics.by_count(counts), made)


def columns_by_seed(groups: Iterable[Group], parts: Callable[..., Floats]) -> Floats:
    """Return the columns that ``parts`` gives for a group's lists (columns × seeds × n_users)."""
    return np.stack([parts(*group) for group in groups], axis=1)


def mean_jaccard(groups: Iterable[Group]) -> Floats:
    """Return the Jaccard of two lists by seed and user (n_seeds × n_users)."""
    return np.stack([jaccard(a, b) for a, b in groups])


def overlap(groups: Iterable[Group]) -> Totals:
    """Return the Jaccard of two lists, averaged over seeds per user and then over users."""
    return mean(mean_jaccard(groups))


def one_list_only(groups: Sequence[Group], relevant: sp.csr_matrix) -> Totals:
    """Return the share of hits that one list alone finds, pooled over users and seeds."""
    one, either = columns_by_seed(groups, lambda a, b: np.stack(complementary(a, b, relevant)))
    return Totals((one, either), np.divide)


def finders(groups: Sequence[Group], relevant: sp.csr_matrix) -> Floats:
    """Return hits of both lists, of the second and of the first only (3 × n_seeds × n_users)."""

    def parts(a: Lists, b: Lists) -> Floats:
        return composition(a, b, relevant)[["both", "b_only", "a_only"]].to_numpy().T

    return columns_by_seed(groups, parts)


def own_share(groups: Sequence[Group], relevant: sp.csr_matrix) -> Totals:
    """Return the share of all hits that only the first list finds, pooled over users and seeds."""
    hits = finders(groups, relevant)
    return Totals((hits[2], hits.sum(axis=0)), np.divide)


def popularity_totals(a: Lists, b: Lists, relevant: sp.csr_matrix, counts: Floats) -> Floats:
    """Return sum and number of ln(1 + count) of each user's hits (6 × n_users).

    Of hits of both lists, of the first only, and of the second only.
    """
    tidy = hit_popularity(a, b, relevant, counts)  # parts, and of each the users in order
    total = (tidy["log_popularity"] * tidy["n"]).fillna(0).to_numpy()
    columns = np.stack([total, tidy["n"].to_numpy(np.float64)])
    return columns.reshape(2, 3, -1).transpose(1, 0, 2).reshape(6, -1)


def popularity_gap(groups: Sequence[Group], relevant: sp.csr_matrix, counts: Floats) -> Totals:
    """Return mean ln(1 + count) of the first list's own hits minus that of the second's."""
    columns = columns_by_seed(groups, lambda a, b: popularity_totals(a, b, relevant, counts)[2:])
    return Totals(tuple(columns), lambda a, m, b, n: a / m - b / n)


def popularity_gap_size(groups: Sequence[Group], relevant: sp.csr_matrix, counts: Floats) -> Totals:
    """Return the mean over seeds of the absolute gap: signed gaps would cancel."""
    columns = [x for a, b in groups for x in popularity_totals(a, b, relevant, counts)[2:]]

    def mean_size(*t: Floats) -> Floats:
        return mean_of(*(abs(t[i] / t[i + 1] - t[i + 2] / t[i + 3]) for i in range(0, len(t), 4)))

    return Totals(tuple(columns), mean_size)


def mean_of(*values: Floats) -> Floats:
    """Return the mean of several scores: a ``combine`` for ``lib.probes.scores.estimate``."""
    return sum(values[1:], values[0]) / len(values)


def gain(top: Floats, base: Floats) -> Totals:
    """Return Σ top / Σ base − 1 over users."""
    return Totals((top, base), lambda found, least: found / least - 1)


def union_recall(groups: Sequence[Group], relevant: sp.csr_matrix) -> Floats:
    """Return recall of the union of a group's lists by seed and user (n_seeds × n_users)."""
    return np.stack([oracle(group, relevant) for group in groups])


def better_recall(groups: Sequence[Group], relevant: sp.csr_matrix) -> Floats:
    """Return recall of the group's list with the higher mean by seed and user."""
    found = [[recall(one, relevant) for one in group] for group in groups]
    return np.stack([max(of, key=np.nanmean) for of in found])


def union_gain(groups: Sequence[Group], relevant: sp.csr_matrix) -> Totals:
    """Return recall of the union of a group's lists over that of its better list, minus one."""
    return gain(union_recall(groups, relevant), better_recall(groups, relevant))


def longer_recall(
    groups: Sequence[Group], longer: Sequence[Lists], relevant: sp.csr_matrix
) -> Floats:
    """Return recall of longer lists, each cut to the length of its group's union.

    ``longer`` has one array a group, n_users × 2K; the recall is by seed and user.
    """

    cut = (cut_to_union(one, group) for one, group in zip(longer, groups, strict=True))
    return np.stack([recall(one, relevant) for one in cut])


def ratio(found: Rankings) -> Measures:
    """Return F1: recall of the semantic view over that of the collaborative view, and each."""
    sides = {"semantic": found.semantic, "collaborative": found.collaborative}
    if "popularity" in found.nulls:
        sides["popularity"] = found.nulls["popularity"]
    recalls = {name: found.recalls(lists) for name, lists in sides.items()}
    columns = (recalls["semantic"], recalls["collaborative"])
    return {"ratio": Totals(columns, np.divide)} | {n: mean(of) for n, of in recalls.items()}


def agreement(found: Rankings) -> Measures:
    """Return F2: the overlap of the two views, and of the nulls with the collaborative view."""
    return {"jaccard": overlap(found.pairs)} | _of_nulls(found, overlap)


def complementarity(found: Rankings) -> Measures:
    """Return F3: the share of hits that one view alone finds, and that with the nulls."""
    share = partial(one_list_only, relevant=found.relevant)
    return {"complementary": share(found.pairs)} | _of_nulls(found, share)


def balance(found: Rankings) -> Measures:
    """Return F3b: semantic-only over collaborative-only hits, and the nulls' shares of own hits."""
    share = partial(own_share, relevant=found.relevant)
    _, collaborative, semantic = finders(found.pairs, found.relevant)
    both = {"balance": Totals((semantic, collaborative), np.divide), "own": share(found.pairs)}
    return both | _of_nulls(found, share)


def coldness(found: Rankings) -> Measures:
    """Return F4: the popularity gap of the views' own hits, and its size with the nulls."""
    given = {"relevant": found.relevant, "counts": found.counts}
    size = partial(popularity_gap_size, **given)
    return {"gap": popularity_gap(found.pairs, **given)} | _of_nulls(found, size)


def oracle_gain(found: Rankings) -> Measures:
    """Return F5: the gain of the union over the better view by test recall, and of the nulls.

    The nulls "seeds" and "longer" are of the view that is better over all seeds: its union with its
    other seed, and its list of as many items as the union has. ``over_longer`` is the union
    over the latter.
    """
    relevant, nulls, name = found.relevant, found.nulls, found.prefix
    both, better = union_recall(found.pairs, relevant), better_recall(found.pairs, relevant)
    measures = {"gain": gain(both, better)}
    if "seeds" in nulls:
        leader = found.semantic if name else found.collaborative
        twins = list(zip(nulls[f"{name}seeds"], leader, strict=True))
        measures["seeds"] = union_gain(twins, relevant)
    if "other" in nulls:
        measures["other"] = union_gain(found.beside("other"), relevant)
    if "longer" in nulls:
        longer = longer_recall(found.pairs, nulls[f"{name}longer"], relevant)
        measures |= {"longer": gain(longer, better), "over_longer": gain(both, longer)}
    return measures


def _of_nulls(found: Rankings, of: Callable[[list[Group]], Totals]) -> dict[str, Totals]:
    return {name: of(found.beside(name)) for name in ("seeds", "other") if name in found.nulls}


def fusion_gain(found: Rankings) -> Measures:
    """Return the gain of the fusion over the collaborative view, not a finding of the paper."""
    return {"gain": gain(found.recalls(found.fused), found.recalls(found.collaborative))}


def gain_gap(top: Floats, base: Floats, other: Floats, other_base: Floats) -> Totals:
    """Return one gain minus another; a user who is undefined in one adds nothing to it."""
    four = np.stack([top, base, other, other_base])
    four = np.where(np.isnan(four).all(axis=0), np.nan, np.nan_to_num(four))
    return Totals(tuple(four), lambda a, b, c, d: a / b - c / d)


def tail_gain(found: Rankings) -> Measures:
    """Return F9 and F9b: gains of the fusion over the collaborative view, by item stratum.

    A stratum's gain is over users with a test item in it; "tail", cold minus hot, over users with
    one in either. Names that end in "_text" are of gains over the semantic view, in "_seeds" over
    the control.
    """
    bases = {"": found.collaborative, "_text": found.semantic, "_seeds": found.control}
    bases = {suffix: lists for suffix, lists in bases.items() if len(lists)}
    columns: dict[str, tuple[Floats, Floats]] = {}
    for stratum, name in enumerate(metrics.ITEM_STRATA):
        relevant = metrics.restricted(found.relevant, found.strata == stratum)
        inside = replace(found, relevant=relevant)
        fused = inside.recalls(found.fused)
        columns |= {f"{name}{s}": (fused, inside.recalls(lists)) for s, lists in bases.items()}
    tails = {f"tail{s}": gain_gap(*columns[f"cold{s}"], *columns[f"hot{s}"]) for s in bases}
    return {**tails, **gains(**columns)}


def over_seeds(**by_seed: Sequence[Estimate]) -> Measures:
    """Return F6, F7 and F7b: each measure's mean over seeds, with the widest of their intervals.

    The seeds share their held-out items, so intervals do not shrink by averaging. NaN if any seed
    lacks the measure. Estimates are of R² and ``lib.probes.share_reached`` (F6, F7b), and of
    ``ch07_shift.differences`` (F7).
    """
    found = {}
    for name, estimates_of in by_seed.items():
        means, lows, highs, n = map(np.array, zip(*(estimates_of or [NONE]), strict=True))
        found[name] = Estimate(means.mean(), lows.min(), highs.max(), int(n[0]))
    return found


def gains(**recalls: tuple[Floats, Floats] | None) -> Measures:
    """Return F8, F11b, A1 and Q1 to Q4: Σ top / Σ base − 1 over users of each top and base."""
    return {name: NONE if of is None else gain(*of) for name, of in recalls.items()}


def budget(*recalls: Floats) -> Measures:
    """Return A4, of the recalls of fusion and best rival at the reference's budget and at one.

    ``share`` is that of the reference's gain that is lost at one budget, of logarithms.
    """
    if not recalls:
        return dict.fromkeys(("reference", "equal", "share", "rivals"), NONE)
    fused, rival, fused_now, rival_now = recalls
    return {
        "reference": gain(fused, rival),
        "equal": gain(fused_now, rival_now),
        "share": Totals(recalls, lambda a, b, c, d: 1 - np.log(c / d) / np.log(a / b)),
        "rivals": gain(rival_now, rival),
    }


def cold_users(
    one: tuple[Floats, Floats], uncut: tuple[Floats, Floats], **others: tuple[Floats, Floats]
) -> Measures:
    """Return F11: gains of each top over its base, and that for ``one`` minus that for ``uncut``.

    ``one`` are recalls of users cut to one training item, ``uncut`` of users who keep all.
    """
    apart = gain_gap(*one, *uncut)
    return {"one": gain(*one), "more": apart, **gains(uncut=uncut, **others)}


def ratios(**recalls: tuple[Floats, Floats]) -> Measures:
    """Return A3: Σ top / Σ base over users of each named top and base."""
    return {name: Totals(of, np.divide) for name, of in recalls.items()}


def changes(**pairs: tuple[Floats, Floats]) -> Measures:
    """Return F10: Σ new / Σ old − 1 over users and seeds of each named new and old.

    Of ``seeds`` the mean size of each seed's change: two seeds swapped would cancel.
    """

    def size(*totals: Floats) -> Floats:
        found = zip(totals[::2], totals[1::2], strict=True)
        return mean_of(*(np.abs(new / old - 1) for new, old in found))

    found = {name: gain(*of) for name, of in pairs.items()}
    if "seeds" in pairs:
        found["seeds"] = Totals(tuple(chain(*zip(*pairs["seeds"], strict=True))), size)
    return found


def means(**values: Floats) -> Measures:
    """Return F13 and A2: the mean of each named value by seed and item (n_seeds × n_items)."""
    return {name: mean(of_items) for name, of_items in values.items()}


def n_neighbours(n_items: int) -> int:
    """Return how many nearest others of an item to look at: 20, at most a tenth of all others."""
    return max(1, min(20, (n_items - 1) // 10))


def simulated(half: Mapping[str, Estimate], whole: Mapping[str, Estimate]) -> Measures:
    """Return F12 and Q5 from worlds half and wholly shared (``ch11_worlds.pooled``).

    Each is the two views' measure minus the two seeds' measure, over the users of all worlds; F12
    reads overlap, oracle gain and fusion gain, Q5 fusion over fusion.
    """
    names = {"overlap": "overlap", "gain": "gain", "fusion": "benefit"}
    found = {name: half[of] for name, of in names.items()}
    found |= {f"{name}_shared": whole[of] for name, of in names.items()}
    return found | {"half": half["over_seeds"], "whole": whole["over_seeds"]}


def dose(found: Sequence[Rankings]) -> Measures:
    """Return T1: how fusion's gain over two collaborative seeds goes with the text's strength.

    ``found`` are rankings of several texts beside the same collaborative view, the text that
    validates best first; their null "wide" is a collaborative view of twice the dimension. "slope"
    is that of the line of least squares, gain over ratio; "threshold" the ratio at which the gains'
    isotonic fit passes 0, the smallest ratio if all are above it.
    """
    one = found[0]
    texts, fusions = ([of.recalls(getattr(of, s)) for of in found] for s in ("semantic", "fused"))
    base, seeds = one.recalls(one.collaborative), one.recalls(one.control)

    def points(*totals: Floats) -> tuple[Floats, Floats]:
        """Return ratios and gains (each n_texts, or n_texts × draws)."""
        text, fused = np.split(np.stack(totals[:-2]), 2)
        return text / totals[-2], fused / totals[-1] - 1

    def slope(*totals: Floats) -> Floats:
        ratios, gains = points(*totals)
        away = ratios - ratios.mean(axis=0)
        return np.asarray((away * gains).sum(axis=0) / np.square(away).sum(axis=0))

    def threshold(*totals: Floats) -> Floats:
        return np.apply_along_axis(crossing, 0, np.concatenate(points(*totals)))

    columns = (*texts, *fusions, base, seeds)
    return {
        "strongest": gain(fusions[0], seeds),
        "slope": Totals(columns, slope),
        "wide": gain(fusions[0], one.recalls(one.nulls["wide"])),
        "threshold": Totals(columns, threshold),
    }


def crossing(points: Floats) -> float:
    """Return where an isotonic fit of y over x passes 0, of all x and then all y; NaN if nowhere.

    Between two of the fit's values it is interpolated; where all are above 0 it is the smallest x.
    """
    x, y = np.split(points, 2)
    order = np.argsort(x, kind="stable")
    if not np.isfinite(points).all() or (fit := isotonic_regression(y[order]).x)[-1] <= 0:
        return np.nan
    return float(np.interp(0.0, fit, x[order]))


MEASURES: dict[str, Callable[..., Measures]] = {
    "F1": ratio, "F2": agreement, "F3": complementarity, "F3b": balance, "F4": coldness,
    "F5": oracle_gain, "F6": over_seeds, "F7": over_seeds, "F7b": over_seeds, "F8": gains,
    "F9": tail_gain, "F9b": tail_gain, "F10": changes, "F11": cold_users, "F11b": gains,
    "F12": simulated, "F13": means, "A1": gains, "A2": means, "A3": ratios, "A4": budget,
    "Q1": gains, "Q2": gains, "Q3": gains, "Q4": gains, "Q5": simulated, "T1": dose,
}  # fmt: skip
"""The function of every finding's measures."""


def estimates(found: Measures) -> dict[str, Estimate]:
    """Return each measure with its bootstrap interval."""
    return {n: of if isinstance(of, Estimate) else estimate(of) for n, of in found.items()}


def of_claim(finding: str, found: Measures) -> dict[str, Estimate]:
    """Return the estimates of the measures that a finding's claim names."""
    names = claims.load()[finding].measures
    return estimates({name: found[name] for name in names if name in found})


def measure(finding: str, *given: Any, **named: Any) -> dict[str, Estimate]:
    """Return the measures that a finding's claim names, from what its function takes."""
    return of_claim(finding, MEASURES[finding](*given, **named))


def percent(of: Estimate) -> str:
    """Return a gain in words, "+12.3 % [−4.5, 20.1]"; a dash where there is none."""
    mean, low, high, _ = (100 * value for value in of)
    words = f"{mean:+.1f} % [{low:.1f}, {high:.1f}]".replace("-", "−")
    return "–" if np.isnan(mean) else words
