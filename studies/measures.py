"""The findings' measures as scores: one code measures them, whatever the protocol was.

A score (``lib.probes.scores``) keeps what it is made of, per user for F1 to F5, F8 and F9 and per
item for F6, so that two protocols are compared on the same resamples. Each function returns the
measures that the ``holds`` part of its claim names, the headline among them.

Shapes: a list of lists has one array a training seed, n_users × K.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from lib import claims
from lib.core import InputError, matrix
from lib.diagnostics import complementary, composition, hit_popularity, jaccard, oracle
from lib.metrics import ENDS, Floats, Ints, Lists, recall
from lib.probes.maps import Fit, PairedVectors, permuted
from lib.probes.scores import Resampled, Score, Totals, estimate, mean, r2
from lib.probes.splits import ItemSplit
from lib.stats import Estimate

Measures = Mapping[str, Score]
Measure = Callable[[Lists, Lists], Floats]


@dataclass(frozen=True)
class Evidence:
    """What one protocol gives: the lists of each training seed, and what they are judged by."""

    semantic: Sequence[Lists]
    collaborative: Sequence[Lists]
    fused: Sequence[Lists]
    relevant: sp.csr_matrix  # n_users × n_items
    counts: Floats  # n_items: interactions, by which hits are cold or hot
    strata: Ints  # n_items: 0 cold, 1 mid, 2 hot

    @property
    def pairs(self) -> list[tuple[Lists, Lists]]:
        """The semantic and the collaborative lists of each seed."""
        return list(zip(self.semantic, self.collaborative, strict=True))

    def recalls(self, lists: Sequence[Lists]) -> Floats:
        """Return per-user recall averaged over the seeds (n_users)."""
        return np.mean([recall(one, self.relevant) for one in lists], axis=0)

    def better(self) -> list[Lists]:
        """Return for each seed the lists of the view whose recall is better on average."""
        return [max(pair, key=lambda one: np.nanmean(recall(one, self.relevant)))
                for pair in self.pairs]  # fmt: skip


def mean_over(pairs: Sequence[tuple[Lists, Lists]], measure: Measure) -> Floats:
    """Return per-user values of a measure of two lists, the mean over the pairs (n_users)."""
    return np.mean([measure(a, b) for a, b in pairs], axis=0)


def ratio(found: Evidence) -> Mapping[str, Totals]:
    """Return F1: recall of the semantic view over that of the collaborative view."""
    columns = (found.recalls(found.semantic), found.recalls(found.collaborative))
    return {"ratio": Totals(columns, np.divide)}


def overlap(found: Evidence) -> Mapping[str, Totals]:
    """Return F2: mean Jaccard of the semantic and the collaborative list."""
    return {"jaccard": mean(np.mean([jaccard(a, b) for a, b in found.pairs], axis=0))}


def one_view_only(found: Evidence) -> Mapping[str, Totals]:
    """Return F3: share of hits found by exactly one of the two lists, pooled over users."""
    one, either = _summed(found, lambda a, b: np.stack(complementary(a, b, found.relevant)))
    return {"complementary": Totals((one, either), np.divide)}


def balance(found: Evidence) -> Mapping[str, Totals]:
    """Return F3b: semantic-only over collaborative-only hits, pooled over users."""

    def parts(a: Lists, b: Lists) -> Floats:
        return composition(a, b, found.relevant)[["a_only", "b_only"]].to_numpy(np.float64).T

    semantic, collaborative = _summed(found, parts)
    return {"balance": Totals((semantic, collaborative), np.divide)}


def popularity_gap(found: Evidence) -> Mapping[str, Totals]:
    """Return F4: mean ln(1 + count) of semantic-only hits minus that of collaborative-only hits."""

    def parts(a: Lists, b: Lists) -> Floats:
        tidy = hit_popularity(a, b, found.relevant, found.counts)
        total = (tidy["log_popularity"] * tidy["n"]).fillna(0).to_numpy()
        (_, first, second), (_, n_first, n_second) = (
            column.reshape(3, -1) for column in (total, tidy["n"].to_numpy(np.float64))
        )
        return np.stack([first, n_first, second, n_second])

    columns = tuple(_summed(found, parts))
    return {"gap": Totals(columns, lambda a, m, b, n: a / m - b / n)}


def oracle_gain(found: Evidence) -> Mapping[str, Totals]:
    """Return F5: recall of the union over that of the better view, minus one."""
    union = np.mean([oracle(pair, found.relevant) for pair in found.pairs], axis=0)
    return {"gain": gain(union, found.recalls(found.better()))}


def advantage(found: Evidence) -> Mapping[str, Totals]:
    """Return the gain of the fusion over the collaborative view: F8 but for what it is held to."""
    return {"advantage": gain(found.recalls(found.fused), found.recalls(found.collaborative))}


def tail(found: Evidence) -> Mapping[str, Totals]:
    """Return F9: gain of the fusion over the better view on cold, mid and hot items.

    ``tail`` is the gain on cold items minus that on hot ones. A gain is NaN where the better view
    has no hit in a stratum.
    """
    columns: list[Floats] = []
    for stratum in range(3):
        inside = (found.strata == stratum).astype(np.float32)
        relevant = sp.csr_matrix(found.relevant @ sp.diags(inside))
        for lists in (found.fused, found.better()):
            # nothing relevant adds nothing to either total: the users divided by cancel out
            columns.append(np.mean([np.nan_to_num(recall(one, relevant)) for one in lists], axis=0))
    cold, mid, hot = (gain(*columns[i : i + 2]) for i in (0, 2, 4))
    return {"cold": cold, "mid": mid, "hot": hot, "tail": minus(cold, hot)}


MEASURES: dict[str, Callable[[Evidence], Mapping[str, Totals]]] = {
    "F1": ratio, "F2": overlap, "F3": one_view_only, "F3b": balance, "F4": popularity_gap,
    "F5": oracle_gain, "F8": advantage, "F9": tail,
}  # fmt: skip
"""The findings that lists decide; F6 is ``reached``."""


def gain(top: Floats, base: Floats) -> Totals:
    """Return Σ top / Σ base − 1 over users as a score."""
    return Totals((top, base), lambda found, least: found / least - 1)


def minus(one: Totals, other: Totals) -> Totals:
    """Return one − other as a score of its own."""
    cut = len(one.columns)

    def function(*totals: Floats) -> Floats:
        return one.function(*totals[:cut]) - other.function(*totals[cut:])

    return Totals((*one.columns, *other.columns), function)


def reached(
    source: ArrayLike,
    target: ArrayLike,
    second: ArrayLike,
    split: ItemSplit,
    fit: Fit,
    *,
    seed: int = 0,
) -> dict[str, Resampled]:
    """Return F6 on held-out items: R² from text, from pairs at random and from a second seed.

    Unlike ``lib.probes.probe`` it keeps the items in their order, so that two source
    or target views are resampled on the same items.

    Parameters
    ----------
    source, target, second
        Items of the semantic view, of the collaborative view, and of a second seed of it
        (n_items × any width).
    split, fit, seed
        As in ``lib.probes.probe``.

    Returns
    -------
    dict
        ``text``, ``permuted``, ``seeds`` and ``reached``, (text − permuted) / (seeds − permuted).

    Raises
    ------
    InputError
        As the map's fit.
    """
    x, y, z = matrix(source), matrix(target), matrix(second)

    def held_out(start: Floats, by: Fit) -> Resampled:
        fitted = by(PairedVectors.of(start, y, split.train, split.valid), seed=seed)
        return r2(y[split.test], fitted.predict(start[split.test]), seed=0)

    text, floor, ceiling = held_out(x, fit), held_out(x, permuted(fit)), held_out(z, fit)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = Resampled(
            float(np.float64(text.value - floor.value) / (ceiling.value - floor.value)),
            (text.drawn - floor.drawn) / (ceiling.drawn - floor.drawn),
            text.n,
        )
    return {"reached": share, "text": text, "permuted": floor, "seeds": ceiling}


def averaged(every: Sequence[Mapping[str, Resampled]]) -> dict[str, Resampled]:
    """Return resampled measures averaged over seeds, resample by resample."""

    def over_seeds(scores: list[Resampled]) -> Resampled:
        value = float(np.mean([score.value for score in scores]))
        return Resampled(value, np.mean([score.drawn for score in scores], axis=0), scores[0].n)

    return {name: over_seeds([one[name] for one in every]) for name in every[0]}


def estimates(found: Measures) -> dict[str, Estimate]:
    """Return each measure with its bootstrap interval."""
    return {name: estimate(score) for name, score in found.items()}


def difference(ours: Score, other: Score) -> Estimate:
    """Return other − ours with its interval, both on the same resamples of users or items."""
    return estimate(ours, other, combine=lambda a, b: b - a)


def headline(finding: str, found: Measures) -> Score:
    """Return the score that the claim is about."""
    return found[claims.load()[finding].headline]


def word(finding: str, found: Mapping[str, Estimate]) -> str:
    """Return the verdict by the ``holds`` part of the claim's rule alone, without any null."""
    claim = claims.load()[finding]
    needed = [name for name in claim.measures if f"{name}." in claim.holds]
    if any(np.isnan(found[name].mean) for name in needed):
        return claims.UNTESTABLE
    return claims.HOLDS if claims.evaluate(claim.holds, found) else claims.FAILS


def quantile_strata(counts: ArrayLike) -> Ints:
    """Return each item's stratum by quantile of the counts, as the paper's reference does.

    Cold is at most the 60 % quantile, mid at most the 80 % one, hot above: all items of equal
    count are in one stratum, so that ties make cold and mid larger (n_items). Without the ties
    this is ``lib.metrics.by_count``.

    Raises
    ------
    InputError
        Not one finite count per item.
    """
    values = np.asarray(counts, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise InputError(
            f"counts of shape {values.shape} were given; give one finite number per item"
        )
    return np.searchsorted(np.quantile(values, ENDS), values, side="left").astype(np.intp)


def _summed(found: Evidence, parts: Callable[[Lists, Lists], Floats]) -> Floats:
    """Return the columns of ``parts`` summed over the seeds' pairs (columns × n_users)."""
    return np.sum([parts(a, b) for a, b in found.pairs], axis=0)
