"""Who is compared with whom in the fusion chapter: every row gives lists for validation and test.

A row chooses what it can choose (a weight, a map's strength) on validation items; test items are
only ever scored. All rows of one seed share that seed's views, and all trained rows one recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import normalize

from lib import fusion, maps, views
from lib.chapter import Run
from lib.encoders import text
from lib.encoders.training import validation_score, validation_users
from lib.item_splits import random as random_items
from lib.metrics import ndcg, recall
from lib.stats import holm, paired, summary
from lib.topk import TopK, topk
from lib.views import View

Part = Literal["valid", "test"]
DEPTH = 100  # candidates of each view that fusions of lists see

SINGLE, ALIGNMENT, FUSION, NULL = "single view", "alignment", "fusion", "null"


@dataclass(frozen=True)
class Row:
    """One line of the comparison.

    ``lists(seed, part, k)`` gives n_users × k item ids. ``dimension`` is the width of the vectors
    that rank, 0 where lists are fused. ``models`` are the trained models it rests on.
    """

    name: str
    family: str
    dimension: int
    models: tuple[str, ...]
    lists: Callable[[int, Part, int], np.ndarray]


def rows(run: Run) -> list[Row]:
    """Return the comparison's rows for a run."""

    def plain(name: str, family: str, model: str, width: int = 64, **settings: Any) -> Row:
        def lists(seed: int, part: Part, k: int) -> np.ndarray:
            return views.lists(run.view(model, seed, **settings), run.dataset, k, part=part)

        return Row(name, family, width, (model,), lists)

    wide = {"dimension": 128}
    candidates = cache(partial(_candidates, run))  # five rows fuse the same candidates
    return [
        plain("text, linear", SINGLE, "linear"),
        plain("LightGCN", SINGLE, "lightgcn"),
        plain("LightGCN, 128 dimensions", SINGLE, "lightgcn", 128, **wide),
        plain("truncated SVD", SINGLE, "svd"),
        _vectors(run, "ridge-mapped text", ALIGNMENT, 64, ("lightgcn",), _mapped),
        plain("RLMRec-Con", ALIGNMENT, "rlmrec"),
        plain("RLMRec-Con, 128 dimensions", ALIGNMENT, "rlmrec", 128, **wide),
        plain("AlphaRec", ALIGNMENT, "alpharec"),
        plain("joint norm-concat-norm", FUSION, "joint"),
        _vectors(run, "norm-concat, equal weights", FUSION, 128, _BOTH, _even),
        _vectors(run, "norm-concat, weight on validation", FUSION, 128, _BOTH, _weighted),
        _vectors(run, "norm-concat with SVD, weights on validation", FUSION, 192, _BOTH, _three),
        _ranks(candidates, "reciprocal rank fusion", fusion.rrf),
        _ranks(candidates, "Borda count", fusion.borda),
        _ranks(candidates, "interleaving", fusion.interleave),
        _scores(candidates, "CombSUM of z-scores", fusion.comb_sum, fusion.z),
        _scores(candidates, "CombMNZ of min-max", fusion.comb_mnz, fusion.minmax),
        _vectors(run, "norm-concat of two LightGCN seeds", NULL, 128, ("lightgcn",), _two_seeds),
        plain("popularity", NULL, "popularity", 1),
    ]


_BOTH = ("linear", "lightgcn")
Make = Callable[[Run, int], tuple[torch.Tensor, torch.Tensor]]
Candidates = Callable[[int, Part], list[TopK]]


def _vectors(
    run: Run, name: str, family: str, dimension: int, models: tuple[str, ...], make: Make
) -> Row:
    made = cache(partial(make, run))

    def lists(seed: int, part: Part, k: int) -> np.ndarray:
        return views.lists(View(*made(seed), {}), run.dataset, k, part=part)

    return Row(name, family, dimension, models, lists)


def _pair(view: View) -> tuple[np.ndarray, np.ndarray]:
    return view.users.numpy(), view.items.numpy()


def _as_tensors(found: fusion.Vectors) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(found.users), torch.from_numpy(found.items)


def _even(run: Run, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return _as_tensors(fusion.concat([_pair(run.view(model, seed)) for model in _BOTH]))


def _two_seeds(run: Run, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    seeds = (seed, run.other(seed))
    return _as_tensors(fusion.concat([_pair(run.view("lightgcn", s)) for s in seeds]))


def _weighted(run: Run, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return _best_concat(run, [run.view(model, seed) for model in _BOTH])


def _three(run: Run, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return _best_concat(run, [run.view(model, seed) for model in (*_BOTH, "svd")])


def _best_concat(run: Run, parts: list[View]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the concatenation whose weights, in tenths, have the best validation recall."""
    subset = validation_users(run.dataset)

    def score(found: fusion.Vectors) -> float:
        return validation_score(run.dataset, *_as_tensors(found), subset)

    pairs = [_pair(view) for view in parts]
    return _as_tensors(fusion.concat(pairs, fusion.choose_weights(pairs, score).weights))


def _mapped(run: Run, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return LightGCN's users and its item vectors as a ridge map predicts them from text."""
    collaborative = run.view("lightgcn", seed)
    source = normalize(text.encode(run.dataset, run.parameters["encoder"]), dim=1).numpy()
    target = collaborative.items.numpy()
    split = random_items(run.dataset.n_items, seed=seed)
    learn = np.concatenate([split.train, split.test])  # all but the items that choose λ
    found = maps.fit_ridge(
        source[learn], target[learn], source[split.valid], target[split.valid], seed=seed
    )
    mapped = torch.from_numpy(found.predict(source).astype(np.float32))
    return collaborative.users, normalize(mapped, dim=1)


def _candidates(run: Run, seed: int, part: Part) -> list[TopK]:
    seen = run.dataset.seen if part == "test" else run.dataset.train
    depth = min(DEPTH, run.dataset.n_items)
    found = (run.view(model, seed) for model in _BOTH)
    return [topk(view.users, view.items, depth, exclude=seen) for view in found]


def _ranks(candidates: Candidates, name: str, fuse: Callable[..., np.ndarray]) -> Row:
    def lists(seed: int, part: Part, k: int) -> np.ndarray:
        return fuse([found.items.numpy() for found in candidates(seed, part)], k)

    return Row(name, FUSION, 0, _BOTH, lists)


def _scores(
    candidates: Candidates,
    name: str,
    fuse: Callable[..., np.ndarray],
    scale: Callable[..., np.ndarray],
) -> Row:
    def lists(seed: int, part: Part, k: int) -> np.ndarray:
        found = candidates(seed, part)
        items = [one.items.numpy() for one in found]
        return fuse(items, [scale(one.scores.numpy()) for one in found], k)

    return Row(name, FUSION, 0, _BOTH, lists)


@dataclass(frozen=True)
class Scored:
    """A row with its validation score and its per-user test values, averaged over seeds."""

    row: Row
    validation: float
    recall: np.ndarray  # n_users, NaN where nothing is relevant
    ndcg: np.ndarray  # n_users


def score(run: Run, row: Row) -> Scored:
    """Score a row on every seed: validation Recall@20 to choose by, test values to report."""
    at_validation, recalls, gains = [], [], []
    for seed in run.seeds:
        valid = row.lists(seed, "valid", min(20, run.dataset.n_items))
        at_validation.append(np.nanmean(recall(valid, run.dataset.valid)))
        test = row.lists(seed, "test", run.k)
        recalls.append(recall(test, run.dataset.test))
        gains.append(ndcg(test, run.dataset.test))
    values = (np.mean(at_validation), np.mean(recalls, axis=0), np.mean(gains, axis=0))
    return Scored(row, float(values[0]), values[1], values[2])


def best(scored: list[Scored], family: str, *, above: int = -1) -> Scored:
    """Return a family's row with the best validation score, of vectors wider than ``above``."""
    able = [one for one in scored if one.row.family == family and one.row.dimension > above]
    return max(able, key=lambda one: one.validation)


def table(scored: list[Scored], reference: Scored) -> pd.DataFrame:
    """Return a tidy table: scores with intervals, and each row's test against ``reference``.

    Columns what, family, dimension, validation, mean, low, high, n (recall), ndcg, difference,
    effect (d_z), p and p_holm, corrected over all rows but the reference itself.
    """
    tests = [paired(one.recall, reference.recall) for one in scored]
    p = np.array([np.nan if o is reference else t.p for o, t in zip(scored, tests, strict=True)])
    found = [
        {
            "what": one.row.name,
            "family": one.row.family,
            "dimension": one.row.dimension,
            "validation": one.validation,
            **summary(one.recall)._asdict(),
            "ndcg": summary(one.ndcg).mean,
            "difference": test.difference,
            "effect": test.effect,
        }
        for one, test in zip(scored, tests, strict=True)
    ]
    return pd.DataFrame(found).assign(p=p, p_holm=holm(p))
