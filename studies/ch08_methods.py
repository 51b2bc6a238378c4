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
from lib.views import TRAINED, View
from studies.concatenation import best_concat, even_concat
from studies.context import Part, Run

SINGLE, ALIGNMENT, FUSION, NULL = "single view", "alignment", "fusion", "null"
FAMILIES = (FUSION, ALIGNMENT, SINGLE, NULL)
DEPTH = 100  # candidates of each view that fusions of lists see
Grid = tuple[tuple[str, tuple[float, ...]], ...]
"""Settings with the values that they are chosen from on validation items, one after the other."""

# of an auxiliary loss: one grid for every model that has one, from no such loss at all on
AUXILIARY: Grid = (("weight", (0.0, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0)),)
AUXILIARY_COARSE: Grid = (("weight", (0.0, 0.01, 0.1, 1.0)),)  # where fewer trainings are wanted
# one grid for every trained model, where models are tuned; first the recipe's own value
TUNING: Grid = (
    ("temperature", (0.15, 0.1, 0.25)), ("learning_rate", (5e-3, 2e-3)),
    ("weight_decay", (0.0, 0.1)),
)  # fmt: skip
DENSE = ("ease", "l3ae")  # models with a users × items and an items × items matrix
MAX_BYTES = 2**31  # of both: the view is held and cached, and solving takes no more in float32
UNDRAWN = (*DENSE, "text-mean", "textgcn", "popularity")  # the same for every seed
MAX_DIMENSION = 128  # of the vectors, or of each view, that compete in F8
_BLOCK = 4096  # users whose candidates are scored by all views at once


class TooLargeError(InputError):
    """The dataset is too large for a method, and the comparison goes on without it."""


class ViewSpec(NamedTuple):
    """A view that methods use: a model and its settings, of a seed or of its second seed.

    ``grid``: what is chosen of its settings, on the run's first seed.
    """

    model: str
    settings: tuple[tuple[str, Any], ...] = ()
    second: bool = False
    grid: Grid = ()


class MethodLists(NamedTuple):
    """A method's lists for one seed.

    ``lists(part, k)`` gives n_users × k item ids. ``dimensions`` are those of each view that is
    fused, as vectors or as lists. ``trials`` is the number of alternatives compared on validation
    (1: nothing was chosen), and ``chosen`` says what was chosen.
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


WIDE = (("dimension", 128),)
TEXT, LIGHTGCN = ViewSpec("linear"), ViewSpec("lightgcn")
TEXT_WIDE, LIGHTGCN_WIDE = ViewSpec("linear", WIDE), ViewSpec("lightgcn", WIDE)
BOTH = (TEXT, LIGHTGCN)
HARD = (("hardest", 256), ("negatives", 512))
SINGLES = {
    "EASE": ViewSpec("ease"),
    "truncated SVD": ViewSpec("svd"),
    "MF-BPR": ViewSpec("mf-bpr"),
    "LightGCN, BPR": ViewSpec("lightgcn-bpr"),
    "LightGCN, BPR, 128 dimensions": ViewSpec("lightgcn-bpr", WIDE),
    "LightGCN": LIGHTGCN,
    "LightGCN, 128 dimensions": LIGHTGCN_WIDE,
    "SimGCL": ViewSpec("simgcl", grid=AUXILIARY),
    "text, zero-shot mean": ViewSpec("text-mean"),
    "text, projected": TEXT,
    "text, projected, 128 dimensions": TEXT_WIDE,
}
ALIGNED = {
    "RLMRec-Con": ViewSpec("rlmrec", grid=AUXILIARY),
    "RLMRec-Con, 128 dimensions": ViewSpec("rlmrec", WIDE, grid=AUXILIARY),
    "RLMRec-Con, 192 dimensions": ViewSpec("rlmrec", (("dimension", 192),), grid=AUXILIARY),
    "CARec style": ViewSpec("carec", grid=AUXILIARY),
    "CARec style, 128 dimensions": ViewSpec("carec", WIDE, grid=AUXILIARY),
    "AlphaRec": ViewSpec("alpharec"),
    "AlphaRec, 128 dimensions": ViewSpec("alpharec", WIDE),
    "TextGCN style": ViewSpec("textgcn"),
    "L3AE style": ViewSpec("l3ae"),
    "shared and private parts": ViewSpec("shared-private", grid=AUXILIARY),
}
TRAINED_TOGETHER = {
    "joint norm-concat-norm": ViewSpec("joint"),
    "joint norm-concat-norm, 128 dimensions": ViewSpec("joint", WIDE),
    "joint, hard negatives": ViewSpec("joint", HARD),
    "joint, hard negatives, 128 dimensions": ViewSpec("joint", WIDE + HARD),
}
_SLOW = (("learning_rate", 1e-3), ("batch", 2048), ("excluded", "positive"))
_STOPPED = (("select", "ndcg"), ("patience", 10))  # documented for LightGCN
# RLMRec's and CARec's settings are not documented: LightGCN's backbone, loss and stopping rule are
# assumed, and the weight that RLMRec's authors use for their Amazon data
_PULLED = (
    *_SLOW, *_STOPPED, ("loss", "bpr"), ("temperature", 1.0), ("own_text", True), ("weight", 0.01),
)  # fmt: skip
REFERENCE = {
    "LightGCN": (SINGLE, ViewSpec("lightgcn-bpr", (*_SLOW, *_STOPPED))),
    "text, projected": (SINGLE, ViewSpec("linear", (
        *_SLOW, ("temperature", 0.1), ("negatives", 256), ("patience", 3), ("own_text", True)
    ))),
    "RLMRec-Con": (ALIGNMENT, ViewSpec("rlmrec", _PULLED)),
    "CARec style": (ALIGNMENT, ViewSpec("carec", _PULLED)),
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


def methods(*, fine: bool = True, tune: bool = False) -> list[Method]:
    """Return the methods that are compared at one budget.

    All trained models have one recipe, or, where they are tuned, all choose from ``TUNING``;
    weights of auxiliary losses come from ``AUXILIARY``, or, where not ``fine``, from
    ``AUXILIARY_COARSE``.
    """

    def choosing(spec: ViewSpec) -> ViewSpec:
        grid = spec.grid if fine or not spec.grid else AUXILIARY_COARSE
        return spec._replace(grid=grid + TUNING if tune and spec.model in TRAINED else grid)

    return [of._replace(views=tuple(map(choosing, of.views))) for of in _methods()]


def _methods() -> list[Method]:
    narrow = ViewSpec("lightgcn", (("dimension", 32),))
    three, every = (*BOTH, ViewSpec("svd")), tuple(SINGLES.values())
    return [
        *(Method(name, SINGLE, (spec,), _one_view) for name, spec in SINGLES.items()),
        *(Method(name, ALIGNMENT, (spec,), _one_view) for name, spec in ALIGNED.items()),
        Method("ridge-mapped text", ALIGNMENT, (LIGHTGCN,), _mapped),
        *(Method(name, FUSION, (spec,), _one_view) for name, spec in TRAINED_TOGETHER.items()),
        Method("norm-concat, equal weights", FUSION, BOTH, _even),
        Method("norm-concat, weight on validation", FUSION, BOTH, _weighted),
        Method("norm-concat, a weight per user", FUSION, BOTH, _gated),
        Method("norm-concat, LightGCN 128 and text 64", FUSION, (TEXT, LIGHTGCN_WIDE), _weighted),
        Method("norm-concat, 128 and 128", FUSION, (TEXT_WIDE, LIGHTGCN_WIDE), _weighted),
        Method("norm-concat with SVD, weights on validation", FUSION, three, _weighted),
        Method("N views, chosen on validation", FUSION, every, _selected),
        *(Method(f"CombSUM, {name}", FUSION, BOTH, partial(_of_lists, fusion.comb_sum, scale))
          for name, scale in SCALES.items()),
        Method("reciprocal rank fusion", FUSION, BOTH, partial(_of_lists, fusion.rrf, None)),
        Method("Borda count", FUSION, BOTH, partial(_of_lists, fusion.borda, None)),
        Method("interleaving", FUSION, BOTH, partial(_of_lists, fusion.interleave, None)),
        *(Method(f"two LightGCN seeds, {d} + {d}", NULL, (of, of._replace(second=True)), _even)
          for d, of in {32: narrow, 64: LIGHTGCN, 128: LIGHTGCN_WIDE}.items()),
        Method("popularity", NULL, (ViewSpec("popularity"),), _one_view),
        Method("random", NULL, (ViewSpec("random"),), _one_view),
    ]  # fmt: skip


def reference_methods() -> list[Method]:
    """Return the methods at the unequal settings of the paper's reference."""
    return [Method(name, of, (spec,), _one_view) for name, (of, spec) in REFERENCE.items()]


def too_large(dataset: Dataset, spec: ViewSpec) -> str:
    """Return why this dataset is too large for a model's matrices; "" where it is not."""
    size = 4 * dataset.n_items * (dataset.n_users + dataset.n_items)
    if spec.model not in DENSE or size <= MAX_BYTES:
        return ""
    return (
        f"{spec.model} needs {size / 2**30:.1f} GiB for a users × items and an items × items "
        f"matrix; {MAX_BYTES / 2**30:.0f} are given"
    )


def chosen_settings(run: Run, spec: ViewSpec) -> dict[str, Any]:
    """Return a view's settings, those of its grid with the best validation score.

    One is chosen after the other, on the run's first seed; of equally good values the first. A
    model wider than ``MAX_DIMENSION`` takes what is chosen at that width.
    """
    settings = dict(spec.settings)
    tried = dict(settings)
    if "dimension" in settings:
        tried["dimension"] = min(settings["dimension"], MAX_DIMENSION)
    for name, values in spec.grid:
        views = {x: run.view(spec.model, run.seeds[0], **tried | {name: x}) for x in values}
        best = max(values, key=lambda value: float(views[value].info["validation"]))
        tried[name] = settings[name] = best
    return settings


def alternatives(spec: ViewSpec) -> int:
    """Return how many models are compared to choose a view's settings."""
    return 1 + sum(len(values) - 1 for _, values in spec.grid)


def fitted(run: Run, seed: int, spec: ViewSpec) -> View:
    """Return the view of a seed."""
    if reason := too_large(run.dataset, spec):
        raise TooLargeError(reason)
    own = run.seeds[0] if spec.model in UNDRAWN else run.second(seed) if spec.second else seed
    return run.view(spec.model, own, **chosen_settings(run, spec))


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
        alternatives(spec) if spec.grid else fitted(run, seed, spec).info.get("trials", 1)
        for spec in specs
    ) - len(specs)


def _weights_text(specs: Sequence[ViewSpec], weights: Sequence[float]) -> str:
    """Return the views with a weight, the largest first: "linear 0.6, lightgcn 0.4"."""

    def label(spec: ViewSpec) -> str:
        dimension = dict(spec.settings).get("dimension")
        return spec.model + (f" ({dimension} dimensions)" if dimension else "")

    parts = sorted(zip(specs, weights, strict=True), key=lambda pair: -pair[1])
    return ", ".join(f"{label(spec)} {weight:.2g}" for spec, weight in parts if weight > 0)


def _ranking(
    run: Run, view: View, parts: Sequence[View] = (), trials: int = 1, chosen: str = ""
) -> MethodLists:
    """Return the lists of all items ranked by a view's vectors, those of ``parts`` side by side."""
    dimensions = tuple(part.items.shape[1] for part in parts or (view,))
    return MethodLists(lambda part, k: run.lists_of(view, k, part), dimensions, trials, chosen)


def _one_view(run: Run, seed: int, specs: Sequence[ViewSpec]) -> MethodLists:
    (spec,) = specs
    settings = chosen_settings(run, spec)
    words = ", ".join(f"{name.replace('_', ' ')} {settings[name]:g}" for name, _ in spec.grid)
    trials = 1 + _trials_within(run, seed, specs)
    made = _ranking(run, fitted(run, seed, spec), trials=trials, chosen=words)
    if spec.model == "joint":  # each branch has half
        return made._replace(dimensions=(made.dimensions[0] // 2,) * 2)
    if spec.model not in {single.model for single in SINGLES.values()}:
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
    return _ranking(run, View(view.users, mapped, {}), trials=len(maps.PENALTIES))


def _even(run: Run, seed: int, specs: Sequence[ViewSpec]) -> MethodLists:
    views = [fitted(run, seed, spec) for spec in specs]
    return _ranking(run, even_concat(views), views)


def _weighted(run: Run, seed: int, specs: Sequence[ViewSpec]) -> MethodLists:
    """Rank by the concatenation whose weights, in tenths, have the best validation recall."""
    views = [fitted(run, seed, spec) for spec in specs]
    found = best_concat(run.dataset, views)
    trials = found.info["trials"] + _trials_within(run, seed, specs)
    return _ranking(run, found, views, trials, _weights_text(specs, found.info["weights"]))


def _gated(run: Run, seed: int, specs: Sequence[ViewSpec]) -> MethodLists:
    """Rank by the concatenation whose weight is predicted for every user from a few features."""
    dataset, subset = run.dataset, validation_users(run.dataset)
    views = [fitted(run, seed, spec) for spec in specs]
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
    return _ranking(run, view, views, len(grid), chosen)


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

    dimensions = tuple(view.items.shape[1] for view in views.values())
    trials = choice.trials + _trials_within(run, seed, able)
    return MethodLists(lists, dimensions, trials, _weights_text(able, choice.weights))


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
