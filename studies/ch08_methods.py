"""The methods that chapter 8 compares, and how the lists of each are made for one seed.

A method chooses what it can choose (a weight, a map's strength, a set of views) on validation
items; test items are only ever scored. All methods share the views of a seed, and all trained
models one recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import normalize

from lib import fusion
from lib.core import InputError, Lists
from lib.dataset import Dataset
from lib.encoders import text
from lib.encoders.training import VALIDATION_K, validation_users
from lib.fusion import learned
from lib.metrics import recall
from lib.probes import maps
from lib.probes.splits import random as random_items
from lib.topk import TopK, topk
from lib.views import View
from studies.concatenation import best_concat, even_concat
from studies.context import Part, Run

SINGLE, ALIGNMENT, FUSION, NULL = "single view", "alignment", "fusion", "null"
FAMILIES = (FUSION, ALIGNMENT, SINGLE, NULL)
DEPTH = 100  # candidates of each view that fusions of lists see
# of an auxiliary loss: one grid for every model that has one, from no such loss at all on
AUXILIARY_WEIGHTS = (0.0, 0.001, 0.01, 0.1, 1.0)
DENSE = ("ease", "l3ae")  # models with a users × items and an items × items matrix
MAX_BYTES = 2**31  # of the former; inverting the latter may take twice as much
_BLOCK = 4096  # users whose candidates are scored by all views at once


class TooLargeError(InputError):
    """The dataset is too large for a method, and the comparison goes on without it."""


class ViewSpec(NamedTuple):
    """A view that methods use: a model and its settings, of a seed or of its second seed.

    ``tuned``: the weight of its auxiliary loss is chosen from ``AUXILIARY_WEIGHTS``.
    """

    model: str
    settings: tuple[tuple[str, Any], ...] = ()
    second: bool = False
    tuned: bool = False


class MethodLists(NamedTuple):
    """A method's lists for one seed.

    ``lists(part, k)`` gives n_users × k item ids. ``dimensions`` are those of the vectors that
    rank or, where lists are fused, of each view. ``trials`` is the number of alternatives compared
    on validation (1: nothing was chosen), and ``chosen`` says what was chosen.
    """

    lists: Callable[[Part, int], Lists]
    dimensions: tuple[int, ...]
    trials: int = 1
    chosen: str = ""


class Method(NamedTuple):
    """A method: its name, family and views, and what makes lists from a run, a seed and views."""

    name: str
    family: str
    views: tuple[ViewSpec, ...]
    maker: Callable[[Run, int, Sequence[ViewSpec]], MethodLists]

    def make(self, run: Run, seed: int) -> MethodLists:
        """Return the method's lists for one seed."""
        return self.maker(run, seed, self.views)


TEXT, LIGHTGCN = ViewSpec("linear"), ViewSpec("lightgcn")
BOTH = (TEXT, LIGHTGCN)
WIDE = (("dimension", 128),)
HARD = (("hardest", 256), ("negatives", 512))
SINGLES = {
    "EASE": ViewSpec("ease"),
    "truncated SVD": ViewSpec("svd"),
    "MF-BPR": ViewSpec("mf-bpr"),
    "LightGCN, BPR": ViewSpec("lightgcn-bpr"),
    "LightGCN, BPR, 128 dimensions": ViewSpec("lightgcn-bpr", WIDE),
    "LightGCN": LIGHTGCN,
    "LightGCN, 128 dimensions": ViewSpec("lightgcn", WIDE),
    "SimGCL": ViewSpec("simgcl", tuned=True),
    "text, zero-shot mean": ViewSpec("text-mean"),
    "text, projected": TEXT,
}
ALIGNED = {
    "RLMRec-Con": ViewSpec("rlmrec", tuned=True),
    "RLMRec-Con, 128 dimensions": ViewSpec("rlmrec", WIDE, tuned=True),
    "CARec style": ViewSpec("carec", tuned=True),
    "AlphaRec": ViewSpec("alpharec"),
    "TextGCN style": ViewSpec("textgcn"),
    "L3AE style": ViewSpec("l3ae"),
}
TRAINED_TOGETHER = {
    "joint norm-concat-norm": ViewSpec("joint"),
    "joint norm-concat-norm, 128 dimensions": ViewSpec("joint", WIDE),
    "joint, hard negatives": ViewSpec("joint", HARD),
    "joint, hard negatives, 128 dimensions": ViewSpec("joint", WIDE + HARD),
    "shared and private parts": ViewSpec("shared-private", tuned=True),
}
_SLOW = (("learning_rate", 1e-3), ("batch", 2048), ("excluded", "positive"))
REFERENCE = {
    "LightGCN": (SINGLE, ViewSpec("lightgcn-bpr", (*_SLOW, ("select", "ndcg")))),
    "text, projected": (SINGLE, ViewSpec("linear", (
        *_SLOW, ("temperature", 0.1), ("negatives", 256), ("patience", 3), ("own_text", True)
    ))),
    "AlphaRec": (ALIGNMENT, ViewSpec("alpharec", (("temperature", 0.1), ("negatives", 64)))),
    "joint norm-concat-norm, 128 dimensions": (FUSION, ViewSpec("joint", (
        *_SLOW, *WIDE, *HARD, ("own_text", True)
    ))),
}  # fmt: skip
SCALES: dict[str, Callable[[Any], np.ndarray]] = {
    "z": fusion.z,
    "min-max": fusion.minmax,
    # at the temperature that the views were trained with; at 1 cosines are nearly equal
    "softmax": partial(fusion.softmax, temperature=0.15),
    "rank percentile": fusion.rank_percentile,
}


def methods() -> list[Method]:
    """Return the methods that are compared at one budget."""
    seeds = (LIGHTGCN, LIGHTGCN._replace(second=True))
    narrow = tuple(spec._replace(settings=(("dimension", 32),)) for spec in seeds)
    three, every = (*BOTH, ViewSpec("svd")), tuple(SINGLES.values())
    return [
        *(Method(name, SINGLE, (spec,), _one_view) for name, spec in SINGLES.items()),
        *(Method(name, ALIGNMENT, (spec,), _one_view) for name, spec in ALIGNED.items()),
        Method("ridge-mapped text", ALIGNMENT, (LIGHTGCN,), _mapped),
        *(Method(name, FUSION, (spec,), _one_view) for name, spec in TRAINED_TOGETHER.items()),
        Method("norm-concat, equal weights", FUSION, BOTH, _even),
        Method("norm-concat, weight on validation", FUSION, BOTH, _weighted),
        Method("norm-concat, a weight per user", FUSION, BOTH, _gated),
        Method("norm-concat with SVD, weights on validation", FUSION, three, _weighted),
        Method("N views, chosen on validation", FUSION, every, _selected),
        *(Method(f"CombSUM, {name}", FUSION, BOTH, partial(_of_lists, fusion.comb_sum, scale))
          for name, scale in SCALES.items()),
        # a negative sum times a count would push down what both lists hold
        *(Method(f"CombMNZ, {name}", FUSION, BOTH, partial(_of_lists, fusion.comb_mnz, scale))
          for name, scale in SCALES.items() if name != "z"),
        Method("weighted sum of scores", FUSION, BOTH, _of_weighted_scores),
        Method("reciprocal rank fusion", FUSION, BOTH, partial(_of_lists, fusion.rrf, None)),
        Method("Borda count", FUSION, BOTH, partial(_of_lists, fusion.borda, None)),
        Method("interleaving", FUSION, BOTH, partial(_of_lists, fusion.interleave, None)),
        Method("two LightGCN seeds, 64 + 64", NULL, seeds, _even),
        Method("two LightGCN seeds, 32 + 32", NULL, narrow, _even),
        Method("popularity", NULL, (ViewSpec("popularity"),), _one_view),
        Method("random", NULL, (ViewSpec("random"),), _one_view),
    ]  # fmt: skip


def reference_methods() -> list[Method]:
    """Return the methods at the unequal settings of the paper's reference."""
    return [Method(name, of, (spec,), _one_view) for name, (of, spec) in REFERENCE.items()]


def too_large(dataset: Dataset, spec: ViewSpec) -> str:
    """Return why this dataset is too large for a model's matrices; "" where it is not."""
    matrix, work = 4 * dataset.n_users * dataset.n_items, 40 * dataset.n_items**2
    if spec.model not in DENSE or (matrix <= MAX_BYTES and work <= 2 * MAX_BYTES):
        return ""
    return (
        f"{spec.model} needs {matrix / 2**30:.1f} GiB for a users × items matrix and "
        f"{work / 2**30:.1f} GiB to invert an items × items one; at most {MAX_BYTES / 2**30:.0f} "
        f"and {2 * MAX_BYTES / 2**30:.0f} are given"
    )


def auxiliary_weight(
    run: Run, spec: ViewSpec, weights: Sequence[float] = AUXILIARY_WEIGHTS
) -> float:
    """Return the auxiliary weight with the best validation score on the run's first seed.

    Of equally good ones the first.
    """

    def score(weight: float) -> float:
        view = run.view(spec.model, run.seeds[0], **dict(spec.settings) | {"weight": weight})
        return float(view.info["validation"])

    return max(weights, key=score)


def fitted(run: Run, seed: int, spec: ViewSpec) -> View:
    """Return the view of a seed, the auxiliary weight chosen where it is tuned."""
    if reason := too_large(run.dataset, spec):
        raise TooLargeError(reason)
    settings = dict(spec.settings)
    if spec.tuned:
        settings["weight"] = auxiliary_weight(run, spec)
    return run.view(spec.model, run.second(seed) if spec.second else seed, **settings)


def candidates(run: Run, seed: int, spec: ViewSpec, part: Part) -> TopK:
    """Return the best ``DEPTH`` items of a view for every user, with their scores."""
    view, dataset = fitted(run, seed, spec), run.dataset
    depth = min(max(DEPTH, run.k), dataset.n_items)
    seen = dataset.seen if part == "test" else dataset.train
    make = partial(topk, view.users, view.items, depth, exclude=seen)
    return run.once(("candidates", seed, spec, part), make)


def _trials_within(run: Run, seed: int, specs: Sequence[ViewSpec]) -> int:
    """Return how many alternatives were compared to make the views, beyond one each."""
    return sum(
        len(AUXILIARY_WEIGHTS) if spec.tuned else fitted(run, seed, spec).info.get("trials", 1)
        for spec in specs
    ) - len(specs)


def _weights_text(specs: Sequence[ViewSpec], weights: Sequence[float]) -> str:
    """Return the views with a weight, the largest first: "linear 0.6, lightgcn 0.4"."""

    def label(spec: ViewSpec) -> str:
        dimension = dict(spec.settings).get("dimension")
        return spec.model + (f" ({dimension} dimensions)" if dimension else "")

    parts = sorted(zip(specs, weights, strict=True), key=lambda pair: -pair[1])
    return ", ".join(f"{label(spec)} {weight:.2g}" for spec, weight in parts if weight > 0)


def _ranking(run: Run, view: View, trials: int = 1, chosen: str = "") -> MethodLists:
    """Return the lists of all items ranked by a view's vectors."""
    dimensions = (view.items.shape[1],)
    return MethodLists(lambda part, k: run.lists_of(view, k, part), dimensions, trials, chosen)


def _one_view(run: Run, seed: int, specs: Sequence[ViewSpec]) -> MethodLists:
    (spec,) = specs
    chosen = f"auxiliary weight {auxiliary_weight(run, spec):g}" if spec.tuned else ""
    trials = 1 + _trials_within(run, seed, specs)
    made = _ranking(run, fitted(run, seed, spec), trials, chosen)
    if spec not in SINGLES.values():
        return made
    # the start of the candidates that fusions need anyway
    return made._replace(
        lists=lambda part, k: candidates(run, seed, spec, part).items[:, :k].numpy()
    )


def _mapped(run: Run, seed: int, specs: Sequence[ViewSpec]) -> MethodLists:
    """Rank a view's item vectors, as a ridge map predicts them from text, for its users."""
    dataset, view = run.dataset, fitted(run, seed, *specs)
    source = normalize(text.encode(dataset, run.encoder), dim=1).numpy()
    split = random_items(dataset.n_items, seed=seed)
    learn = np.concatenate([split.train, split.test])  # all but the items that choose λ
    pairs = maps.PairedVectors.of(source, view.items.numpy(), learn, split.valid)
    predicted = maps.fit_ridge(pairs).predict(source).astype(np.float32)
    mapped = normalize(torch.from_numpy(predicted), dim=1)
    return _ranking(run, View(view.users, mapped, {}), len(maps.PENALTIES))


def _even(run: Run, seed: int, specs: Sequence[ViewSpec]) -> MethodLists:
    return _ranking(run, even_concat([fitted(run, seed, spec) for spec in specs]))


def _weighted(run: Run, seed: int, specs: Sequence[ViewSpec]) -> MethodLists:
    """Rank by the concatenation whose weights, in tenths, have the best validation recall."""
    found = best_concat(run.dataset, [fitted(run, seed, spec) for spec in specs])
    trials = found.info["trials"] + _trials_within(run, seed, specs)
    return _ranking(run, found, trials, _weights_text(specs, found.info["weights"]))


def _gated(run: Run, seed: int, specs: Sequence[ViewSpec]) -> MethodLists:
    """Rank by the concatenation whose weight is predicted for every user from a few features."""
    dataset, subset = run.dataset, validation_users(run.dataset)
    views = (fitted(run, seed, spec) for spec in specs)
    semantic, collaborative = ((view.users.numpy(), view.items.numpy()) for view in views)
    grid = fusion.simplex(2)[:, 1]  # the evenest first
    recalls = np.full((dataset.n_users, len(grid)), np.nan)
    k = min(VALIDATION_K, dataset.n_items)
    for column, weight in enumerate(grid):
        both = fusion.concat([semantic, collaborative], [1 - weight, weight])
        found = topk(both.users[subset], both.items, k, exclude=dataset.train[subset])
        recalls[subset, column] = recall(found.items.numpy(), dataset.valid[subset])
    features = learned.gate_features(dataset.train, text.encode(dataset, run.encoder).numpy())
    weights = learned.gate_weights(features, recalls, grid, seed=seed)
    joint = learned.gated(semantic, collaborative, weights)
    low, high = np.quantile(weights, [0.1, 0.9])
    chosen = f"lightgcn {low:.2g} to {high:.2g} for eight users of ten"
    view = View(torch.from_numpy(joint.users), torch.from_numpy(joint.items), {})
    return _ranking(run, view, len(grid), chosen)


def _selected(run: Run, seed: int, offered: Sequence[ViewSpec]) -> MethodLists:
    """Rank by the weighted sum of the views that forward selection takes on validation."""
    dataset, subset = run.dataset, validation_users(run.dataset)
    able = [spec for spec in offered if not too_large(dataset, spec)]
    views = {spec: fitted(run, seed, spec) for spec in able}

    def pool(part: Part, users: Any, specs: Sequence[ViewSpec]) -> learned.CandidatePool:
        found = [candidates(run, seed, spec, part).items.numpy()[users] for spec in able]
        return learned.candidate_pool(
            [(views[spec].users[users], views[spec].items) for spec in specs], found
        )

    validation, top = pool("valid", subset, able), min(VALIDATION_K, dataset.n_items)

    def score(weights: np.ndarray) -> float:
        found = learned.fuse_pool(validation, weights, top)
        return float(np.nanmean(recall(found, dataset.valid[subset])))

    choice = learned.forward_selection(len(able), score)
    taken = {spec: w for spec, w in zip(able, choice.weights, strict=True) if w > 0}

    def lists(part: Part, k: int) -> Lists:
        starts = range(0, dataset.n_users, _BLOCK)
        pools = (pool(part, slice(start, start + _BLOCK), list(taken)) for start in starts)
        return np.concatenate([learned.fuse_pool(one, list(taken.values()), k) for one in pools])

    # a sum of inner products is that of vectors side by side, so these rank
    dimension = sum(view.items.shape[1] for view in views.values())
    trials = choice.trials + _trials_within(run, seed, able)
    return MethodLists(lists, (dimension,), trials, _weights_text(able, choice.weights))


def _of_lists(
    fuse: Callable[..., Lists],
    scale: Callable[[Any], np.ndarray] | None,
    run: Run,
    seed: int,
    specs: Sequence[ViewSpec],
) -> MethodLists:
    """Fuse the views' candidates: by ranks, or by scores where there is a scale for them."""

    def lists(part: Part, k: int) -> Lists:
        found = [candidates(run, seed, spec, part) for spec in specs]
        items = [one.items.numpy() for one in found]
        if scale is None:
            return fuse(items, k)
        return fuse(items, [scale(one.scores.numpy()) for one in found], k)

    return MethodLists(lists, tuple(fitted(run, seed, spec).items.shape[1] for spec in specs))


def _of_weighted_scores(run: Run, seed: int, specs: Sequence[ViewSpec]) -> MethodLists:
    """Fuse by the weighted sum whose scale and weights have the best validation recall."""
    dataset, subset = run.dataset, validation_users(run.dataset)
    found = [candidates(run, seed, spec, "valid") for spec in specs]
    items, scores = [x.items.numpy()[subset] for x in found], [x.scores.numpy() for x in found]
    tried: dict[tuple[str, tuple[float, ...]], float] = {}
    for name, scale in SCALES.items():
        scaled = [scale(one[subset]) for one in scores]
        for weights in map(tuple, fusion.simplex(len(specs))):
            fused = fusion.weighted(items, scaled, weights, min(VALIDATION_K, dataset.n_items))
            tried[name, weights] = float(np.nanmean(recall(fused, dataset.valid[subset])))
    name, weights = max(tried, key=tried.__getitem__)

    def fuse(items: Sequence[Lists], scores: Sequence[np.ndarray], k: int) -> Lists:
        return fusion.weighted(items, scores, weights, k)

    made = _of_lists(fuse, SCALES[name], run, seed, specs)
    return made._replace(trials=len(tried), chosen=f"{name}: {_weights_text(specs, weights)}")
