"""What alignment does to accuracy and diversity: measures as functions of its weight.

The alignment loss of RLMRec-Con is given more and more weight; weight 0 is the same model without
alignment. Every measure is a score (``lib.probes.scores``), so that any combination of them has an
interval: over users for measures of lists, over items for measures of vectors.

A measure of all lists together (coverage, Gini index, overlap) comes as one value per user, too:
the pseudo-values of the jackknife (Efron and Tibshirani, 1993, ch. 11), moved so that their mean is
the measure itself. Users resampled with replacement would never cover as many items.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
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
from lib.views import View
from studies import measures
from studies.concatenation import even_concat
from studies.context import Run

WEIGHTS = (0, 0.01, 0.1, 1, 10)
"""Weights of the alignment loss that are compared; 0.1 is the model's own."""

SECOND, TEXT, FUSED, POPULAR = "second seed", "text view", "norm-concat", "popularity"
"""What the weights are compared with: another seed at weight 0, the two views that could be kept
apart instead of aligned (text, and text beside weight 0), and one list for everybody."""

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
    """Return values per user (n_users) whose mean is the share of the catalogue in some list.

    A user counts by the items that no other user has.
    """
    checked, exposure = _exposure(lists, n_items)
    alone = _summed(checked, (exposure == 1) / n_items)
    return _around(np.count_nonzero(exposure) / n_items, len(checked) * alone)


def gini_by_user(lists: ArrayLike, n_items: int) -> Floats:
    """Return values per user (n_users) whose mean is the Gini index of the items' exposure.

    The index is G = Σ (2r − n − 1) x / (n Σ x) over counts x of rank r; a user counts by how much
    one more of each of its items would move it, ∂G/∂x = (2r − n − 1) / (n Σ x) − G / Σ x, items
    of equal count sharing the mean of their ranks. NaN where nothing is recommended.
    """
    checked, exposure = _exposure(lists, n_items)
    index, total = gini(checked, n_items), max(int(exposure.sum()), 1)
    slope = (2 * rankdata(exposure) - n_items - 1) / (n_items * total) - index / total
    return _around(index, len(checked) * _summed(checked, slope))


def overlap_by_user(lists: ArrayLike, n_items: int) -> Floats:
    """Return values per user (n_users) whose mean is how much of a list another user's list holds.

    The mean of |a ∩ b| / |a| over all ordered pairs of users; one minus it is the personalisation
    of Zhou et al. (PNAS 107(10), 2010). With x users having an item, the items of a list are met
    x − 1 times in the others' lists, so no pair is formed. Each user is on both sides of a pair,
    so its values stand twice as far from the mean. NaN for an empty list or a single user.
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
    """Return the effective rank of several spaces of the same items (n_items × each one's d).

    ``lib.diagnostics.effective_rank`` of all items, and of 1,000 resamples of the *items*, the same
    for every space and in any order of items. A resample in which item i counts w times has the
    Gram matrix Σ w x xᵀ (d × d), whose eigenvalues are the squared singular values. It holds fewer
    different items and so fills a little fewer directions: the resamples' values are moved together
    so that their mean is that of all items.
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
    """Return the effective rank of ``x`` (n × d) under each row of weights (b × n)."""
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
    with np.errstate(invalid="ignore", divide="ignore"):
        part = values / values.sum(axis=1, keepdims=True)
        entropy = -np.where(part > 0, part * np.log(part), 0).sum(axis=1)
        return np.where(values.any(axis=1), np.exp(entropy), np.nan)


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
    """Return how long each training took to its best epoch: mean epochs and score by weight."""
    columns = {"epochs to the best": "epochs", "validation Recall@20": "validation"}
    rows = []
    for weight in WEIGHTS:
        infos = [view.info for view in run.views("rlmrec", weight=weight)]
        means = {name: np.mean([info[key] for info in infos]) for name, key in columns.items()}
        rows.append({"weight": str(weight), **means})
    return pd.DataFrame(rows)


def scores(run: Run, views: dict[tuple[str, int], View]) -> Scores:
    """Return every measure of every view, and those of lists of the most popular items."""
    raw = normalize(text.encode(run.dataset, run.encoder), dim=1).numpy()
    k = n_neighbours(run.dataset.n_items)
    near_text = neighbours(raw, k)
    near = {seed: (near_text, neighbours(views["0", seed].items, k)) for seed in run.seeds}
    items = [view.items.numpy() for view in views.values()]
    key = {
        "dataset": run.dataset.name,
        "data": cache.digest(*items),
        "code": cache.code_version(effective_ranks),
    }
    ranks = measures.cached_scores(
        key, lambda: {str(i): r for i, r in enumerate(effective_ranks(items))}
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
    """Return how many nearest others of an item to look at: 20, at most a tenth of all others.

    Of few items nearly all would be neighbours in every space.
    """
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


def mean_of(*values: Floats) -> Floats:
    """Return the mean of scores over seeds: a ``combine`` for ``lib.probes.scores.estimate``."""
    return sum(values[1:], values[0]) / len(values)


def over_seeds(run: Run, found: Scores) -> pd.DataFrame:
    """Return a tidy table: measure, what, mean over seeds, low, high, n, and the seeds' extremes.

    ``least`` and ``most`` are the smallest and the largest value that a seed has.
    """
    rows = []
    for measure, what in dict.fromkeys((measure, what) for measure, what, _ in found):
        of_seeds = [found[measure, what, seed] for seed in run.seeds]
        values = [one.value for one in of_seeds]
        whole = estimate(*of_seeds, combine=mean_of)
        spread = {"least": min(values), "most": max(values)}
        rows.append({"measure": measure, "what": what, **whole._asdict(), **spread})
    rows.sort(key=lambda row: list(MEASURES).index(row["measure"]))
    return pd.DataFrame(rows)


def over_weights(measured: pd.DataFrame) -> pd.DataFrame:
    """Return ``over_seeds`` for a figure: panel, what, weight, mean, low, high.

    A reference is level from the first weight to the last; the second seed's interval is from the
    smallest to the largest of its seeds. The fusion's vectors have twice the dimension, so that its
    effective rank is left out.
    """
    names = list(map(str, WEIGHTS))
    swept = measured[measured["what"].isin(names)]
    level = measured[measured["what"].isin(list(REFERENCES))]
    level = level[(level["measure"] != "effective rank") | (level["what"] != FUSED)]
    bounds = level[["least", "most"]].where(level["what"] == SECOND)
    what = level["what"].map(REFERENCES)
    level = level.assign(what=what, low=bounds["least"], high=bounds["most"])
    ends = pd.DataFrame({"weight": [names[0], names[-1]]})
    swept = swept.assign(weight=swept["what"], what=SWEPT)
    both = pd.concat([swept, level.merge(ends, how="cross")])
    return both.rename(columns={"measure": "panel"})


def beside_unaligned(run: Run, found: Scores, measure: str, new: str) -> list[tuple[Score, Score]]:
    """Return each seed's score of ``new`` and of weight 0."""
    return [(found[measure, new, s], found[measure, "0", s]) for s in run.seeds]
