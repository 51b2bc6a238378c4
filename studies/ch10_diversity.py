"""Dose and response: what the weight of the alignment loss does to accuracy and diversity.

RLMRec-Con, the CARec-style model and the one of shared and private parts are trained with several
weights of their auxiliary loss; weight 0 is the same model without alignment. The *chosen* weight
has the best validation recall on the run's first seed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike

from lib import core, metrics
from lib.core import Floats, Lists, Relevant, relevant_pairs
from lib.diagnostics import neighbours
from lib.encoders import text
from lib.metrics import positions, recall
from lib.probes.scores import Totals, estimate, mean
from lib.stats import Estimate
from lib.views import View
from studies.ch08_methods import WIDE, ViewSpec, chosen_settings
from studies.concatenation import even_concat
from studies.context import Run
from studies.measures import (
    NONE,
    columns_by_seed,
    gain,
    mean_jaccard,
    measure,
    n_neighbours,
    percent,
)

COARSE = (0, 0.01, 0.1, 1, 10)
FINE = (0, 0.001, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
_USERS = 16384  # users whose vectors are added at once
HEAVY = 1  # ten times RLMRec-Con's own weight

ALIGNED = "RLMRec-Con"
MODELS = {"rlmrec": ALIGNED, "carec": "CARec style", "shared-private": "shared and private parts"}
What = float | str
"""A weight of RLMRec-Con, or what its weights are compared with."""
SECOND: What = "second seed of weight 0"
FUSED: What = "norm-concat of text and weight 0"
TEXT: What = "text view"

UNITS = {
    "test recall": "change from weight 0, relative",
    "hits of one view kept": "share",
    "neighbours of weight 0 kept": "Jaccard, 20 nearest",
    "distance within lists, equal recall": "change from weight 0, relative",
}
"""Every panel of the figure, and the unit of its axis."""
RECALL, HITS, NEAR, DISTANCE = UNITS


@dataclass(frozen=True)
class Sweep:
    """A run and the weights that it tries; models other than RLMRec-Con have ``others`` seeds.

    ``what`` is a weight, SECOND, FUSED or TEXT. ``named`` are a model (RLMRec-Con), settings of it,
    and ``second``: whether the second seed of each seed is meant. Lists of results are by seed.
    """

    run: Run
    weights: Sequence[float] = COARSE
    others: int = 1

    def chosen(self, model: str = "rlmrec") -> float:
        """Return the weight that validation chooses on the first seed."""
        spec = ViewSpec(model, grid=(("weight", tuple(self.weights)),))
        return float(chosen_settings(self.run, spec)["weight"])

    def views(
        self, what: What, model: str = "rlmrec", *, second: bool = False, **settings: Any
    ) -> list[View]:
        """Return the views of ``what``."""
        if what == SECOND:
            return self.views(0, second=True)
        if what == FUSED:
            parts = (self.views(part, second=second) for part in (TEXT, 0))
            return [even_concat(pair) for pair in zip(*parts, strict=True)]
        seeds = self.run.seeds if model == "rlmrec" else self.run.seeds[: self.others]
        model, settings = ("linear", {}) if what == TEXT else (model, settings | {"weight": what})
        seeds = [self.run.second(seed) for seed in seeds] if second else seeds
        return [self.run.view(model, seed, **settings) for seed in seeds]

    def lists(self, what: What, **named: Any) -> list[Lists]:
        """Return the lists of ``what``."""
        return self._once("lists", self.run.lists_of, what, **named)

    def _once(self, name: str, of: Callable[[View], Lists], what: What, **named: Any) -> Any:
        key = (name, what, *sorted(named.items()))
        return self.run.once(key, lambda: list(map(of, self.views(what, **named))))

    def recalls(self, what: What, **named: Any) -> Floats:
        """Return test recall (n_seeds × n_users)."""
        return np.stack([recall(x, self.run.dataset.test) for x in self.lists(what, **named)])

    def distances(self, what: What) -> Floats:
        """Return the distance in the text within each list (n_seeds × n_users)."""
        of = partial(intra_list_distance, items=text.encode(self.run.dataset, self.run.encoder))
        return self.run.once(("distances", what), lambda: np.stack(list(map(of, self.lists(what)))))

    def matched(self, new: What, old: What) -> tuple[Floats, Floats]:
        """Return ``at_equal_recall`` of two kinds of lists."""
        both = new, old
        return at_equal_recall(*map(self.recalls, both), *map(self.distances, both))

    def kept(self, what: What, **named: Any) -> Floats:
        """Return ``kept_hits`` of the lists from those of text and weight 0 (4 × seeds × users)."""
        groups = zip(self.lists(what, **named), self.lists(TEXT), self.lists(0), strict=True)
        return columns_by_seed(groups, partial(kept_hits, relevant=self.run.dataset.test))

    def same(self, what: What, than: float = 0, **named: Any) -> Floats:
        """Return the Jaccard of items' nearest with those at weight ``than`` (seeds × items)."""
        k = n_neighbours(self.run.dataset.n_items)
        near = partial(self._once, "near", lambda view: neighbours(view.items, k))
        return mean_jaccard(zip(near(what, **named), near(than), strict=True))


def kept_hits(lists: Lists, one: Lists, other: Lists, *, relevant: Relevant) -> Floats:
    """Return hits of ``one`` alone that ``lists`` keeps, of ``other``, and all (4 × n_users)."""
    pairs = relevant_pairs(relevant)
    kept, first, second = (positions(of, pairs) >= 0 for of in (lists, one, other))
    alone = [first & ~second, second & ~first]
    chosen, users = [kept & own for own in alone] + alone, metrics.users_of(pairs)
    return np.stack([metrics.count(hits, users, pairs) for hits in chosen]).astype(np.float64)


def intra_list_distance(lists: ArrayLike, items: ArrayLike) -> Floats:
    """Return the mean 1 − cosine over the pairs of items in each user's list (n_users).

    Ziegler et al. (WWW 2005). ``items``: item vectors (n_items × d). A zero vector is at distance 1
    from everything; a list with fewer than two items has NaN.
    """
    # the cosines of all pairs of unit vectors v add up to (‖Σ v‖² − Σ ‖v‖²) / 2: no pair is formed
    checked, vectors = core.checked_lists(lists), core.unit(items)
    metrics.check_items(checked, len(vectors))
    n = metrics.filled(checked)
    starts, shape = np.append(0, np.cumsum(n)), (len(checked), len(vectors))
    held = sp.csr_matrix((np.ones(n.sum()), checked[checked >= 0], starts), shape)
    squares = held @ np.einsum("id,id->i", vectors, vectors)
    cosines = np.empty(len(checked))
    for start in range(0, len(checked), _USERS):
        part = slice(start, start + _USERS)
        total = held[part] @ vectors  # users × d
        cosines[part] = np.einsum("ud,ud->u", total, total) - squares[part]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(n > 1, 1 - cosines / (n * (n - 1)), np.nan)


def effective_rank(x: ArrayLike) -> float:
    """Return the effective rank of vectors (n × d): exp of the entropy of their singular values.

    Singular values divided by their sum (Roy and Vetterli, EUSIPCO 2007); the vectors are not
    centred. Between 1 and min(n, d), NaN for vectors that are all zero.
    """
    # QR's triangle has the same singular values; the Gram matrix would lose half of the digits
    triangle = np.linalg.qr(core.matrix(x), mode="r")
    values = np.linalg.svd(triangle, compute_uv=False)
    if not values.any():
        return float("nan")
    part = values[values > 0] / values.sum()
    return float(np.exp(-np.sum(part * np.log(part))))


def at_equal_recall(
    new: Floats, old: Floats, new_distance: Floats, old_distance: Floats
) -> tuple[Floats, Floats]:
    """Return both distances where the recalls new and old are equal, else 0 (n_seeds × n_users).

    A list of more hits may be closer in the text for that reason alone. The other way to match,
    noise in the vectors of the better model, would itself spread its lists. NaN for a user without
    a test item.
    """
    other = np.where(np.isnan(old), np.nan, 0)
    return np.where(new == old, new_distance, other), np.where(new == old, old_distance, other)


def stronger(sweep: Sweep) -> dict[str, Estimate]:
    """Return the measures of A1: recall at the largest weight over the chosen one, and over 0."""
    pairs: dict[str, tuple[Floats, Floats]] = {}
    for model in MODELS:
        weights = max(sweep.weights), sweep.chosen(model), 0
        largest, chosen, none = (sweep.recalls(weight, model=model) for weight in weights)
        name = model.replace("-", "_")
        pairs |= {name: (largest, chosen), f"{name}_none": (largest, none)}
        pairs |= {"best": (chosen, none)} if model == "rlmrec" else {}
    return measure("A1", **pairs)


def distorted(sweep: Sweep) -> dict[str, Estimate]:
    """Return the measures of A2: neighbours kept, minus those that a second seed keeps.

    Either is of two seeds, so that alignment gains nothing from sharing its seed.
    """
    weight, seeds = sweep.chosen(), sweep.same(SECOND)
    aligned = sweep.same(weight, second=True)
    kept, heavy = aligned - seeds, sweep.same(HEAVY, second=True) - seeds
    across = aligned - sweep.same(weight, than=weight, second=True)
    found = measure("A2", kept=kept, heavy=heavy, across=across, seeds=seeds)
    return found | ({} if weight else {"kept": NONE, "across": NONE})


def lost(sweep: Sweep) -> dict[str, Estimate]:
    """Return the measures of A3: share of one view's hits kept, minus what fusion keeps.

    A fusion ranks by the very vectors whose hits are looked for. So ``apart`` and ``seeds`` compare
    an aligned and an unaligned model of the second seeds with a fusion of the second seeds.
    """
    weight, wide = sweep.chosen(), dict(WIDE)
    fused, again = sweep.kept(FUSED), sweep.kept(FUSED, second=True)
    sides = {
        "narrow": (sweep.kept(weight), fused),
        "wide": (sweep.kept(weight, **wide), fused),
        "apart": (sweep.kept(weight, second=True, **wide), again),
        "seeds": (sweep.kept(SECOND), again),
    }
    pairs = {name: ((a - b)[:2].sum(axis=0), b[2:].sum(axis=0)) for name, (a, b) in sides.items()}
    nothing = {} if weight else dict.fromkeys(("narrow", "wide", "apart"), NONE)
    return measure("A3", **pairs) | nothing


def closer(sweep: Sweep) -> dict[str, Estimate]:
    """Return the measures of F10: change in the distance within lists of equal recall."""
    weight = sweep.chosen()
    pairs = {"chosen": (weight, 0), "fused": (weight, FUSED), "seeds": (SECOND, 0)}
    found = measure("F10", **{name: sweep.matched(*pair) for name, pair in pairs.items()})
    return found | ({} if weight else {"chosen": NONE, "fused": NONE})


def dose(sweep: Sweep) -> pd.DataFrame:
    """Return the curves: panel, what, weight, mean, low and high; what is no weight is level."""
    rows: list[tuple] = []

    def add(panel: str, what: What, score: Totals, name: str = ALIGNED) -> None:
        level = isinstance(what, str)
        for weight in sweep.weights if level else [what]:
            rows.append((panel, what if level else name, weight, *estimate(score)[:3]))

    for what in (*sweep.weights, SECOND, FUSED):
        kept = sweep.kept(what)
        add(RECALL, what, gain(sweep.recalls(what), sweep.recalls(0)))
        add(HITS, what, Totals((kept[:2].sum(axis=0), kept[2:].sum(axis=0)), np.divide))
        add(NEAR, what, mean(sweep.same(what, second=what != SECOND)))
        add(DISTANCE, what, gain(*sweep.matched(what, 0)))
    for model, name in list(MODELS.items())[1:]:
        base = sweep.recalls(0, model=model)
        for weight in sweep.weights:
            add(RECALL, weight, gain(sweep.recalls(weight, model=model), base), name)
    return pd.DataFrame(rows, columns=["panel", "what", "weight", "mean", "low", "high"])


def details(sweep: Sweep) -> pd.DataFrame:
    """Return what has no interval, by weight and reference: means over seeds and users."""
    rows, none, n_items = [], sweep.recalls(0), sweep.run.dataset.n_items
    for what in (*sweep.weights, SECOND, FUSED, TEXT):
        views, found, kept = sweep.views(what), sweep.recalls(what), sweep.kept(what)
        rows.append({
            "": what,
            "validation recall, first seed": views[0].info.get("validation", np.nan),
            "test recall": np.nanmean(found),
            "hits of the text alone kept": np.divide(*kept[[0, 2]].sum(axis=(1, 2))),
            "hits of weight 0 alone kept": np.divide(*kept[[1, 3]].sum(axis=(1, 2))),
            "users of equal recall": np.mean((found == none)[~np.isnan(none)]),
            "coverage": np.mean([len(np.unique(x[x >= 0])) / n_items for x in sweep.lists(what)]),
            "effective rank": np.mean([effective_rank(view.items) for view in views]),
            "epochs to the best": np.mean([view.info.get("epochs", np.nan) for view in views]),
        })  # fmt: skip
    return pd.DataFrame(rows).set_index("")


def answer(sweep: Sweep, diversity: Mapping[str, Estimate]) -> str:
    """Return the weight that validation chooses for each model, and F10's measures, in words."""
    of = ", ".join(f"{sweep.chosen(model):g} for {name}" for model, name in MODELS.items())
    said = f"The weight that validation chooses is {of}."
    if np.isnan(diversity["chosen"].mean):
        return said
    none, fused = (percent(diversity[base]) for base in ("chosen", "fused"))
    said += f" Among lists of equal recall, the distance within {ALIGNED}'s differs by {none} from "
    return f"{said}that without alignment, and by {fused} from that of norm-concat."
