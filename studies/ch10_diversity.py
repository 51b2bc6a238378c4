"""What alignment does to accuracy and diversity: measures as functions of its weight.

The alignment loss of RLMRec-Con is given more and more weight; weight 0 is the same model without
alignment. Every measure is a score (``lib.probes.scores``), so that any combination of them has an
interval: over users for measures of lists, over items for measures of vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import entr
from torch.nn.functional import normalize
from tqdm import tqdm

from lib import cache
from lib.core import Floats, Lists, generator, matrix
from lib.diagnostics import (
    coverage,
    effective_rank,
    gini,
    intra_list_distance,
    jaccard,
    neighbours,
    novelty,
)
from lib.encoders import text
from lib.metrics import recall
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
    "novelty": "bits",
    "distance in the text": "1 − cosine, text",
    "effective rank": "dimensions",
    "neighbours of weight 0 kept": "Jaccard",
    "predicted from the text": "held-out R²",
}
"""Every measure and its unit: the first three are of lists, with intervals over users."""

_BLOCK = 1 << 22
"""Products of two vector entries held at once, 32 MiB."""

Scores = dict[tuple[str, str, int], Score]
"""By measure, what is measured (a weight as text, or a reference), and training seed."""


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
        found[SECOND, seed] = run.view("rlmrec", run.second(seed), weight=0)
        found[TEXT, seed] = run.view("linear", seed)
        found[FUSED, seed] = even_concat([found[TEXT, seed], found["0", seed]])
    return found


def catalogue(run: Run, views: dict[tuple[str, int], View]) -> pd.DataFrame:
    """Return how much of the catalogue lists cover and how long was trained: means over seeds.

    By what is measured: coverage, Gini index, epochs to the best one and its validation score.
    """
    rows = []
    for (what, _), view in views.items():
        lists, n_items = run.lists_of(view), run.dataset.n_items
        rows.append({
            "": what, "coverage": coverage(lists, n_items), "Gini index": gini(lists, n_items),
            "epochs to the best": view.info.get("epochs"),
            "validation Recall@20": view.info.get("validation"),
        })  # fmt: skip
    return pd.DataFrame(rows).groupby("", sort=False).mean()


def scores(run: Run, views: dict[tuple[str, int], View]) -> Scores:
    """Return every measure of every view, and those of lists of the most popular items."""
    raw = normalize(text.encode(run.dataset, run.encoder), dim=1).numpy()
    k = n_neighbours(run.dataset.n_items)
    near = {seed: neighbours(views["0", seed].items, k) for seed in run.seeds}
    popular = {(POPULAR, seed): run.view("popularity", 0) for seed in run.seeds}
    out: Scores = {}
    bar = tqdm((views | popular).items(), desc="measures", unit="view", delay=3, disable=None)
    for (what, seed), view in bar:
        measured = _of_lists(run, view, raw)
        if what != POPULAR:  # its vectors are one number long
            measured |= _of_vectors(view.items.numpy(), raw, near[seed])
        out |= {(measure, what, seed): score for measure, score in measured.items()}
    ranks = zip(views, _cached_ranks(run, views.values()), strict=True)
    return out | {("effective rank", what, seed): rank for (what, seed), rank in ranks}


def _cached_ranks(run: Run, views: Iterable[View]) -> list[Resampled]:
    items = [view.items.numpy() for view in views]
    key = {"dataset": run.dataset.name, "data": cache.digest(*items),
           "code": cache.code_version(effective_ranks)}  # fmt: skip

    def make() -> cache.Value:
        ranks = effective_ranks(items)
        return {"values": [x.value for x in ranks], "drawn": np.stack([x.drawn for x in ranks])}

    found = cache.cached("score", key, make)
    pairs = zip(found["values"], found["drawn"], strict=True)
    return [Resampled(value, drawn, len(items[0])) for value, drawn in pairs]


def n_neighbours(n_items: int) -> int:
    """Return how many nearest others of an item to look at: 20, at most a tenth of all others."""
    return max(1, min(20, (n_items - 1) // 10))


def _of_lists(run: Run, view: View, raw: np.ndarray) -> dict[str, Score]:
    """Return the measures of a view's lists."""
    data, lists = run.dataset, run.lists_of(view)
    return {
        "test recall": mean(recall(lists, data.test)),
        "novelty": mean(novelty(lists, data.train.getnnz(axis=0))),
        "distance in the text": mean(intra_list_distance(lists, raw)),
    }


def _of_vectors(items: np.ndarray, raw: np.ndarray, near: Lists) -> dict[str, Score]:
    """Return the measures of item vectors; ``near`` are the neighbours at weight 0."""
    own, split = neighbours(items, near.shape[1]), random_items(len(items))
    fitted = maps.fit_ridge(maps.PairedVectors.of(raw, items, split.train, split.valid))
    return {
        "neighbours of weight 0 kept": mean(jaccard(own, near)),
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
