"""What alignment does to accuracy and diversity: measures as functions of its weight.

The alignment loss of RLMRec-Con is given more and more weight; weight 0 is the same model without
alignment. Every measure is a score (``lib.probes.scores``), so that any combination of them has an
interval: over users for measures of lists, over items for measures of vectors.

A measure of all lists together (coverage, Gini index, overlap) comes as one value per user, too
(``…_by_user``, n_users): the pseudo-values of the jackknife (Efron and Tibshirani, 1993, ch. 11),
moved so that their mean is the measure itself. Users resampled with replacement would never cover
as many items.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import entr
from scipy.stats import rankdata
from torch.nn.functional import normalize
from tqdm import tqdm

from lib import cache
from lib.core import Floats, generator, matrix
from lib.diagnostics import effective_rank, gini, intra_list_distance, jaccard, neighbours, novelty
from lib.encoders import text
from lib.metrics import Lists, check_items, checked_lists, filled, recall
from lib.probes import maps
from lib.probes.scores import DRAWS, Resampled, Score, estimate, mean, r2
from lib.probes.splits import random as random_items
from lib.stats import Estimate
from lib.views import View
from studies import measures
from studies.concatenation import even_concat
from studies.context import Run

WEIGHTS = (0, 0.01, 0.1, 1, 10)
"""Weights of the alignment loss that are compared; 0.1 is the model's own."""

SECOND, TEXT, FUSED, POPULAR = "second seed", "text view", "norm-concat", "popularity"
"""What the weights are compared with: weight 0 of another seed, the text alone, text and weight 0
side by side instead of aligned, and one list for everybody."""

SWEPT = "mean over seeds, 95 % interval"
REFERENCES = {
    SECOND: "second seed at weight 0, smallest to largest",
    TEXT: "text view alone",
    FUSED: "text view and weight 0, equal weights",
}
"""What a figure calls the weights, and the references."""

MEASURES = {
    "test recall": "Recall@K, test items",
    "validation recall": "Recall@20, validation items",
    "coverage": "share of the items in some list",
    "Gini index": "0 even, 1 one item only",
    "novelty": "bits",
    "distance in the text": "1 − cosine, text",
    "distance in the unaligned space": "1 − cosine, weight 0",
    "overlap of users": "share of K items",
    "effective rank": "dimensions",
    "neighbours of the text kept": "Jaccard",
    "neighbours of weight 0 kept": "Jaccard",
    "predicted from the text": "held-out R²",
}
"""Every measure and its unit: the first eight are of lists, with intervals over users."""

_BLOCK = 1 << 22
"""Products of two vector entries held at once, 32 MiB."""

Scores = dict[tuple[str, str, int], Score]
"""By measure, what is measured (a weight as text, or a reference), and training seed."""


def coverage_by_user(lists: ArrayLike, n_items: int) -> Floats:
    """Return the share of the catalogue in some list; a user counts by what no other user has."""
    checked, exposure = _exposure(lists, n_items)
    alone = _summed(checked, (exposure == 1) / n_items)
    return _around(np.count_nonzero(exposure) / n_items, len(checked) * alone)


def gini_by_user(lists: ArrayLike, n_items: int) -> Floats:
    """Return the Gini index of the items' exposure; NaN where nothing is recommended.

    The index is G = Σ (2r − n − 1) x / (n Σ x) over counts x of rank r; a user counts by how much
    one more of each of its items would move it, ∂G/∂x = (2r − n − 1) / (n Σ x) − G / Σ x, items
    of equal count sharing the mean of their ranks.
    """
    checked, exposure = _exposure(lists, n_items)
    index, total = gini(checked, n_items), max(int(exposure.sum()), 1)
    slope = (2 * rankdata(exposure) - n_items - 1) / (n_items * total) - index / total
    return _around(index, len(checked) * _summed(checked, slope))


def overlap_by_user(lists: ArrayLike, n_items: int) -> Floats:
    """Return how much of a list another user's list holds: the mean |a ∩ b| / |a| over all pairs.

    One minus it is the personalisation of Zhou et al. (PNAS 107(10), 2010). An item that x users
    have is met x − 1 times in the others' lists, so no pair is formed. Each user is on both sides
    of a pair: its value stands twice as far from the mean. NaN for an empty list or a single user.
    """
    checked, exposure = _exposure(lists, n_items)
    with np.errstate(invalid="ignore", divide="ignore"):
        met = _summed(checked, exposure - 1.0) / filled(checked) / (len(checked) - 1.0)
    return 2 * met - np.nanmean(met) if np.isfinite(met).any() else met


def _exposure(lists: ArrayLike, n_items: int) -> tuple[Lists, Floats]:
    """Return checked lists and how many of them hold each item (n_items)."""
    checked = checked_lists(lists)
    check_items(checked, n_items)
    return checked, np.bincount(checked[checked >= 0], minlength=n_items).astype(np.float64)


def _summed(lists: Lists, of_items: Floats) -> Floats:
    """Return each user's sum of a value of its items (n_users)."""
    # position −1, where absent items point, is the appended 0
    summed: Floats = np.append(of_items, 0.0)[lists].sum(axis=1)
    return summed


def _around(value: float, influence: Floats) -> Floats:
    return value + influence - influence.mean()


def effective_ranks(spaces: Sequence[ArrayLike], *, seed: int = 0) -> list[Resampled]:
    """Return the effective rank of spaces of the same items (n_items × each one's d).

    Resamples of the *items* are the same for every space and in any order of items. They hold fewer
    different items and so fill a little fewer directions: their values are moved together so that
    their mean is that of all items.
    """
    vectors = [matrix(space) for space in spaces]
    n, order = len(vectors[0]), np.lexsort(vectors[0].T)
    rng = generator(seed, "bootstrap of effective ranks")
    weights = rng.multinomial(n, np.full(n, 1 / n), DRAWS).astype(np.float32)  # b × n
    found = []
    for one in tqdm(vectors, desc="effective ranks", unit="space", delay=3, disable=None):
        value, drawn = effective_rank(one), _ranks(one[order], weights)
        found.append(Resampled(value, drawn + (value - drawn.mean()), n))
    return found


def _ranks(x: Floats, weights: np.ndarray) -> Floats:
    """Return the effective rank of ``x`` (n × d) under each row of weights (b × n).

    The Gram matrix Σ w x xᵀ (d × d) has the squared singular values as its eigenvalues.
    """
    d = x.shape[1]
    upper = np.triu_indices(d)
    gram = np.zeros((len(weights), d, d))
    step = max(1, _BLOCK // len(upper[0]))
    packed = np.zeros((len(weights), len(upper[0])))
    for start in range(0, len(x), step):
        rows = x[start : start + step]
        products = rows[:, upper[0]] * rows[:, upper[1]]  # items × d(d + 1) / 2
        packed += weights[:, start : start + step].astype(np.float64) @ products
    gram[:, upper[1], upper[0]] = packed  # eigvalsh reads the lower triangle
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0))  # b × d singular values
    with np.errstate(invalid="ignore"):  # NaN where all are 0
        return np.exp(entr(values / values.sum(axis=1, keepdims=True)).sum(axis=1))


def swept_views(run: Run) -> dict[tuple[str, int], View]:
    """Return every weight's view and those of the references but popularity, by name and seed."""
    found: dict[tuple[str, int], View] = {}
    for seed in run.seeds:
        found |= {(str(w), seed): run.view("rlmrec", seed, weight=w) for w in WEIGHTS}
        found[SECOND, seed] = run.view("rlmrec", run.other(seed), weight=0)
        found[TEXT, seed] = run.view("linear", seed)
        found[FUSED, seed] = even_concat([found[TEXT, seed], found["0", seed]])
    return found


def trainings(run: Run) -> pd.DataFrame:
    """Return the epochs to the best one and its validation score by weight, means over seeds."""
    names = {"epochs": "epochs to the best", "validation": "validation Recall@20"}
    infos = {str(w): [view.info for view in run.views("rlmrec", weight=w)] for w in WEIGHTS}
    means = {w: pd.DataFrame(of)[list(names)].mean() for w, of in infos.items()}
    return pd.DataFrame(means).T.rename(columns=names).rename_axis("weight").reset_index()


def scores(run: Run, views: dict[tuple[str, int], View]) -> Scores:
    """Return every measure of every view, and those of lists of the most popular items."""
    raw = normalize(text.encode(run.dataset, run.encoder), dim=1).numpy()
    k = n_neighbours(run.dataset.n_items)
    near_text = neighbours(raw, k)
    near = {seed: (near_text, neighbours(views["0", seed].items, k)) for seed in run.seeds}
    items = [view.items.numpy() for view in views.values()]
    code = cache.code_version(effective_ranks)
    ranks = measures.cached_scores(
        {"dataset": run.dataset.name, "data": cache.digest(*items), "code": code},
        lambda: {str(i): rank for i, rank in enumerate(effective_ranks(items))},
    )
    popular = {(POPULAR, seed): run.view("popularity", 0) for seed in run.seeds}
    out: Scores = {}
    bar = tqdm((views | popular).items(), desc="measures", unit="view", delay=3, disable=None)
    for (what, seed), view in bar:
        measured = _of_lists(run, view, raw, views["0", seed].items.numpy())
        if what != POPULAR:  # its vectors are one number long
            measured |= _of_vectors(view.items.numpy(), raw, near[seed])
        out |= {(measure, what, seed): score for measure, score in measured.items()}
    by_view = zip(views, ranks.values(), strict=True)
    return out | {("effective rank", what, seed): rank for (what, seed), rank in by_view}


def n_neighbours(n_items: int) -> int:
    """Return how many nearest others of an item to look at: 20, at most a tenth of all others."""
    return max(1, min(20, (n_items - 1) // 10))


def _of_lists(run: Run, view: View, raw: np.ndarray, unaligned: np.ndarray) -> dict[str, Score]:
    """Return the measures of a view's lists; distances by text and by item vectors at weight 0."""
    data, n_items = run.dataset, run.dataset.n_items
    test, valid = run.lists_of(view), run.lists_of(view, min(20, n_items), "valid")
    values = {
        "test recall": recall(test, data.test),
        "validation recall": recall(valid, data.valid),
        "coverage": coverage_by_user(test, n_items),
        "Gini index": gini_by_user(test, n_items),
        "novelty": novelty(test, data.train.getnnz(axis=0)),
        "distance in the text": intra_list_distance(test, raw),
        "distance in the unaligned space": intra_list_distance(test, unaligned),
        "overlap of users": overlap_by_user(test, n_items),
    }
    return {name: mean(per_user) for name, per_user in values.items()}


def _of_vectors(items: np.ndarray, raw: np.ndarray, near: Sequence[Lists]) -> dict[str, Score]:
    """Return the measures of item vectors; ``near``: neighbours in the text and at weight 0."""
    own, split = neighbours(items, near[0].shape[1]), random_items(len(items))
    fitted = maps.fit_ridge(maps.PairedVectors.of(raw, items, split.train, split.valid))
    return {
        "neighbours of the text kept": mean(jaccard(own, near[0])),
        "neighbours of weight 0 kept": mean(jaccard(own, near[1])),
        "predicted from the text": r2(items[split.test], fitted.predict(raw[split.test])),
    }


def over_seeds(run: Run, found: Scores) -> pd.DataFrame:
    """Return measure, what, mean over seeds, low, high, n, and the least and most of a seed."""
    rows = []
    for measure in MEASURES:
        for what in dict.fromkeys(what for name, what, _ in found if name == measure):
            of_seeds = [found[measure, what, seed] for seed in run.seeds]
            values = [one.value for one in of_seeds]
            whole = estimate(*of_seeds, combine=measures.mean_of)
            rows.append((measure, what, *whole, min(values), max(values)))
    return pd.DataFrame(rows, columns=["measure", "what", *Estimate._fields, "least", "most"])


def over_weights(measured: pd.DataFrame) -> pd.DataFrame:
    """Return ``over_seeds`` for a figure: panel, what, weight, mean, low, high.

    References are level; the interval of the second seed is from its smallest to its largest seed.
    The fusion's effective rank is left out, as its vectors have twice the dimension.
    """
    measured = measured.rename(columns={"measure": "panel"})
    names = list(map(str, WEIGHTS))
    swept = measured[measured["what"].isin(names)]
    level = measured[measured["what"].isin(list(REFERENCES))]
    level = level[(level["panel"] != "effective rank") | (level["what"] != FUSED)]
    bounds = level[["least", "most"]].where(level["what"] == SECOND)
    level = level.assign(
        what=level["what"].map(REFERENCES), low=bounds["least"], high=bounds["most"]
    )
    ends = pd.DataFrame({"weight": [names[0], names[-1]]})
    return pd.concat(
        [swept.assign(weight=swept["what"], what=SWEPT), level.merge(ends, how="cross")]
    )


def beside_unaligned(run: Run, found: Scores, measure: str, new: str) -> list[tuple[Score, Score]]:
    """Return each seed's score of ``new`` and of weight 0."""
    return [(found[measure, new, s], found[measure, "0", s]) for s in run.seeds]
