"""Who is compared with whom in the fusion chapter, and how each row is made for a seed.

A row chooses what it can choose (a weight, a map's strength, a set of views) on validation items;
test items are only ever scored. All rows of one seed share that seed's views, and all trained
rows one recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from lib import fusion
from lib.encoders import text
from lib.encoders.training import VALIDATION_K, validation_users
from lib.fusion import learned
from lib.metrics import recall
from lib.probes import maps
from lib.probes.splits import random as random_items
from lib.topk import topk
from lib.views import View
from studies.ch08_bench import WEIGHTS, Bench, Made, Part, Row, Source, Vectors
from studies.concatenation import best_concat, even_concat

SINGLE, ALIGNMENT, FUSION, NULL = "single view", "alignment", "fusion", "null"
FAMILIES = (FUSION, ALIGNMENT, SINGLE, NULL)
_BLOCK = 4096  # users whose candidates are scored by all views at once

TEXT, LIGHTGCN = Source("linear"), Source("lightgcn")
BOTH = (TEXT, LIGHTGCN)
WIDE = (("dimension", 128),)
HARD = (("hardest", 256), ("negatives", 512))
SINGLES = {
    "EASE": Source("ease"),
    "truncated SVD": Source("svd"),
    "MF-BPR": Source("mf-bpr"),
    "LightGCN, BPR": Source("lightgcn-bpr"),
    "LightGCN, BPR, 128 dimensions": Source("lightgcn-bpr", WIDE),
    "LightGCN": LIGHTGCN,
    "LightGCN, 128 dimensions": Source("lightgcn", WIDE),
    "SimGCL": Source("simgcl", tuned=True),
    "text, zero-shot mean": Source("text-mean"),
    "text, projected": TEXT,
}
ALIGNED = {
    "RLMRec-Con": Source("rlmrec", tuned=True),
    "RLMRec-Con, 128 dimensions": Source("rlmrec", WIDE, tuned=True),
    "CARec style": Source("carec", tuned=True),
    "AlphaRec": Source("alpharec"),
    "TextGCN style": Source("textgcn"),
    "L3AE style": Source("l3ae"),
}
TRAINED_TOGETHER = {
    "joint norm-concat-norm": Source("joint"),
    "joint norm-concat-norm, 128 dimensions": Source("joint", WIDE),
    "joint, hard negatives": Source("joint", HARD),
    "joint, hard negatives, 128 dimensions": Source("joint", WIDE + HARD),
    "shared and private parts": Source("shared-private", tuned=True),
}
_SLOW = (("learning_rate", 1e-3), ("batch", 2048), ("excluded", "positive"))
REFERENCE = {
    "LightGCN": (SINGLE, Source("lightgcn-bpr", (*_SLOW, ("select", "ndcg")))),
    "text, projected": (SINGLE, Source("linear", (
        *_SLOW, ("temperature", 0.1), ("negatives", 256), ("patience", 3), ("own_text", True)
    ))),
    "AlphaRec": (ALIGNMENT, Source("alpharec", (("temperature", 0.1), ("negatives", 64)))),
    "joint norm-concat-norm, 128 dimensions": (FUSION, Source("joint", (
        *_SLOW, *WIDE, *HARD, ("own_text", True)
    ))),
}  # fmt: skip


def rows() -> list[Row]:
    """Return the comparison's rows at one budget."""
    return [
        *(_plain(name, SINGLE, source) for name, source in SINGLES.items()),
        *(_plain(name, ALIGNMENT, source) for name, source in ALIGNED.items()),
        Row("ridge-mapped text", ALIGNMENT, (LIGHTGCN,), _mapped),
        *(_plain(name, FUSION, source) for name, source in TRAINED_TOGETHER.items()),
        Row("norm-concat, equal weights", FUSION, BOTH, partial(_even, BOTH)),
        Row("norm-concat, weight on validation", FUSION, BOTH, partial(_weighted, BOTH)),
        Row("norm-concat, a weight per user", FUSION, BOTH, _gated),
        *_of_three_and_more(),
        *_of_lists(),
        *_nulls(),
    ]


def reference_rows() -> list[Row]:
    """Return the rows at the unequal settings of the paper's reference."""
    return [_plain(name, family, source) for name, (family, source) in REFERENCE.items()]


def _of_three_and_more() -> list[Row]:
    three = (*BOTH, Source("svd"))
    every = tuple(SINGLES.values())
    return [
        Row("norm-concat with SVD, weights on validation", FUSION, three,
            partial(_weighted, three)),
        Row("N views, chosen on validation", FUSION, every, partial(_selected, every)),
    ]  # fmt: skip


def _nulls() -> list[Row]:
    def seeds(*settings: tuple[str, Any]) -> tuple[Source, Source]:
        return Source("lightgcn", settings), Source("lightgcn", settings, other=True)

    wide, narrow = seeds(), seeds(("dimension", 32))
    return [
        Row("two LightGCN seeds, 64 + 64", NULL, wide, partial(_even, wide)),
        Row("two LightGCN seeds, 32 + 32", NULL, narrow, partial(_even, narrow)),
        _plain("popularity", NULL, Source("popularity")),
        _plain("random", NULL, Source("random")),
    ]


def _plain(name: str, family: str, source: Source) -> Row:
    def make(bench: Bench) -> Made:
        view = bench.view(source)
        trials = view.info.get("trials", 1)
        chosen = ""
        if source.tuned:
            trials, chosen = len(WEIGHTS), f"auxiliary weight {bench.weight(source):g}"
        width = (view.items.shape[1],)
        if source not in SINGLES.values():
            return Made(bench.lists_of((view.users, view.items)), width, trials, chosen)

        def lists(part: Part, k: int) -> np.ndarray:
            found: np.ndarray = bench.ranked(source, part).items[:, :k].numpy()
            return found

        return Made(lists, width, trials, chosen)

    return Row(name, family, (source,), make)


def _numbers(view: View) -> tuple[np.ndarray, np.ndarray]:
    return view.users.numpy(), view.items.numpy()


def _tensors(found: fusion.JointVectors) -> Vectors:
    return torch.from_numpy(found.users), torch.from_numpy(found.items)


def _trials_of(bench: Bench, sources: Sequence[Source]) -> int:
    """Return how many alternatives the choices inside the views had, beyond one each."""
    return sum(
        len(WEIGHTS) - 1 if source.tuned else bench.view(source).info.get("trials", 1) - 1
        for source in sources
    )


def _even(sources: tuple[Source, ...], bench: Bench) -> Made:
    found = even_concat([bench.view(source) for source in sources])
    return Made(bench.lists_of((found.users, found.items)), (found.items.shape[1],))


def _weighted(sources: tuple[Source, ...], bench: Bench) -> Made:
    """Make the concatenation whose weights, in tenths, have the best validation recall."""
    found = best_concat(bench.run.dataset, [bench.view(source) for source in sources])
    trials = found.info["trials"] + _trials_of(bench, sources)
    words = _in_words(sources, found.info["weights"])
    return Made(bench.lists_of((found.users, found.items)), (found.items.shape[1],), trials, words)


def _in_words(sources: Sequence[Source], weights: Sequence[float]) -> str:
    parts = sorted(zip(sources, weights, strict=True), key=lambda pair: -pair[1])
    return ", ".join(f"{_label(source)} {weight:.2g}" for source, weight in parts if weight > 0)


def _label(source: Source) -> str:
    dimension = dict(source.settings).get("dimension")
    return source.model + (f" ({dimension} dimensions)" if dimension else "")


def _gated(bench: Bench) -> Made:
    """Make the concatenation whose weight is foretold for every user from a few features."""
    dataset, subset = bench.dataset, validation_users(bench.dataset)
    semantic, collaborative = (_numbers(bench.view(source)) for source in BOTH)
    grid = fusion.simplex(2)[:, 1]  # the evenest first
    recalls = np.full((dataset.n_users, len(grid)), np.nan)
    k = min(VALIDATION_K, dataset.n_items)
    for column, weight in enumerate(grid):
        users, items = _tensors(fusion.concat([semantic, collaborative], [1 - weight, weight]))
        found = topk(users[subset], items, k, exclude=dataset.train[subset])
        recalls[subset, column] = recall(found.items.numpy(), dataset.valid[subset])
    source = text.encode(dataset, bench.run.parameters["encoder"]).numpy()
    features = learned.gate_features(dataset.train, source)
    weights = learned.gate_weights(features, recalls, grid, seed=bench.seed)
    vectors = _tensors(learned.gated(semantic, collaborative, weights))
    low, high = np.quantile(weights, [0.1, 0.9])
    words = f"lightgcn {low:.2g} to {high:.2g} for eight users of ten"
    return Made(bench.lists_of(vectors), (vectors[0].shape[1],), len(grid), words)


def _selected(offered: tuple[Source, ...], bench: Bench) -> Made:
    """Make the weighted sum of the views that forward selection takes on validation."""
    dataset, subset = bench.dataset, validation_users(bench.dataset)
    able = [source for source in offered if not bench.too_large(source)]

    def pool(part: Part, users: Any, of: list[Source]) -> learned.CandidatePool:
        found = [bench.ranked(source, part).items.numpy()[users] for source in able]
        held = [bench.view(source) for source in of]
        return learned.candidate_pool([(view.users[users], view.items) for view in held], found)

    candidates, k = pool("valid", subset, able), min(VALIDATION_K, dataset.n_items)

    def score(weights: np.ndarray) -> float:
        found = learned.fuse_pool(candidates, weights, k)
        return float(np.nanmean(recall(found, dataset.valid[subset])))

    choice = learned.forward_selection(len(able), score)
    taken = {source: w for source, w in zip(able, choice.weights, strict=True) if w > 0}

    def lists(part: Part, k: int) -> np.ndarray:
        blocks = []
        for start in range(0, dataset.n_users, _BLOCK):
            users = slice(start, min(start + _BLOCK, dataset.n_users))
            some = pool(part, users, list(taken))
            blocks.append(learned.fuse_pool(some, list(taken.values()), k))
        return np.concatenate(blocks)

    # a sum of inner products is one of vectors side by side, so these are the row's vectors
    width = sum(bench.view(source).items.shape[1] for source in able)
    trials = choice.trials + _trials_of(bench, able)
    return Made(lists, (width,), trials, _in_words(able, choice.weights))


def _mapped(bench: Bench) -> Made:
    """Make LightGCN's users and its item vectors as a ridge map predicts them from text."""
    collaborative = bench.view(LIGHTGCN)
    source = normalize(text.encode(bench.dataset, bench.run.parameters["encoder"]), dim=1).numpy()
    target = collaborative.items.numpy()
    split = random_items(bench.dataset.n_items, seed=bench.seed)
    learn = np.concatenate([split.train, split.test])  # all but the items that choose λ
    found = maps.fit_ridge(maps.PairedVectors.of(source, target, learn, split.valid))
    mapped = normalize(torch.from_numpy(found.predict(source).astype(np.float32)), dim=1)
    vectors = (collaborative.users, mapped)
    return Made(bench.lists_of(vectors), (mapped.shape[1],), len(maps.PENALTIES))


Scale = Callable[[Any], np.ndarray]
SCALES: dict[str, Scale] = {
    "z": fusion.z,
    "min-max": fusion.minmax,
    # at the temperature that the views were trained with; at 1 cosines are nearly equal
    "softmax": partial(fusion.softmax, temperature=0.15),
    "rank percentile": fusion.rank_percentile,
}


def _of_lists() -> list[Row]:
    """Return the fusions that see only the 100 best items of each of the two views."""
    ranks = {
        "reciprocal rank fusion": fusion.rrf,
        "Borda count": fusion.borda,
        "interleaving": fusion.interleave,
    }
    found = [
        Row(f"CombSUM, {name}", FUSION, BOTH, partial(_by_scores, fusion.comb_sum, scale))
        for name, scale in SCALES.items()
    ]
    # a negative sum times a count would push down what both lists hold
    found += [
        Row(f"CombMNZ, {name}", FUSION, BOTH, partial(_by_scores, fusion.comb_mnz, scale))
        for name, scale in SCALES.items()
        if name != "z"
    ]
    found.append(Row("weighted sum of scores", FUSION, BOTH, _by_weighted_scores))
    found += [Row(name, FUSION, BOTH, partial(_by_ranks, fuse)) for name, fuse in ranks.items()]
    return found


def _candidates(bench: Bench, part: Part) -> tuple[list[np.ndarray], list[np.ndarray]]:
    found = [bench.ranked(source, part) for source in BOTH]
    return [one.items.numpy() for one in found], [one.scores.numpy() for one in found]


def _widths(bench: Bench) -> tuple[int, ...]:
    return tuple(bench.view(source).items.shape[1] for source in BOTH)


def _by_ranks(fuse: Callable[..., np.ndarray], bench: Bench) -> Made:
    def lists(part: Part, k: int) -> np.ndarray:
        return fuse(_candidates(bench, part)[0], k)

    return Made(lists, _widths(bench))


def _by_scores(fuse: Callable[..., np.ndarray], scale: Scale, bench: Bench) -> Made:
    def lists(part: Part, k: int) -> np.ndarray:
        items, scores = _candidates(bench, part)
        return fuse(items, [scale(one) for one in scores], k)

    return Made(lists, _widths(bench))


def _by_weighted_scores(bench: Bench) -> Made:
    """Make the weighted sum whose normalisation and weights have the best validation recall."""
    dataset, subset = bench.dataset, validation_users(bench.dataset)
    relevant, k = dataset.valid[subset], min(VALIDATION_K, dataset.n_items)
    items, scores = ([one[subset] for one in side] for side in _candidates(bench, "valid"))
    tried: dict[tuple[str, tuple[float, ...]], float] = {}
    for name, scale in SCALES.items():
        scaled = [scale(one) for one in scores]
        for weights in map(tuple, fusion.simplex(2)):
            found = fusion.weighted(items, scaled, weights, k)
            tried[name, weights] = float(np.nanmean(recall(found, relevant)))
    name, weights = max(tried, key=tried.__getitem__)

    def lists(part: Part, k: int) -> np.ndarray:
        items, scores = _candidates(bench, part)
        return fusion.weighted(items, [SCALES[name](one) for one in scores], weights, k)

    words = f"{name}: {_in_words(BOTH, weights)}"
    return Made(lists, _widths(bench), len(tried), words)
