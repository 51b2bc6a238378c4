"""Views side by side as one view: with equal weights, or with weights chosen on validation items.

Norm-concat (``lib.fusion.concat``): each view's vectors are normalised and scaled by the root of
its weight, so that the joint inner product is the weighted mean of the cosines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from lib import cache, fusion
from lib.core import InputError
from lib.dataset import Dataset
from lib.encoders.training import validation_score, validation_users
from lib.views import View

Vectors = tuple[np.ndarray, np.ndarray]
"""User and item vectors of a view: n_users × d and n_items × d."""


def even_concat(views: Sequence[View]) -> View:
    """Return the views side by side with equal weights (n_users × Σ d and n_items × Σ d)."""
    return _view(fusion.concat(_vectors(views)), {"weights": [1 / len(views)] * len(views)})


def best_concat(dataset: Dataset, views: Sequence[View], grid: ArrayLike | None = None) -> View:
    """Return the views side by side with the weights, in tenths, of best validation recall; cached.

    ``grid``: what to try in place of tenths, one weighting per row (``lib.fusion.simplex``).
    ``info`` has ``weights`` (one per view, sum 1), ``trials`` (how many were tried) and
    ``validation``, their Recall@20. Of equally good weights the evenest are taken.
    """
    vectors = _vectors(views)
    key = {
        "dataset": dataset.name,
        "data": dataset.interactions_digest,
        "views": cache.digest(*chain.from_iterable(vectors)),
        "grid": None if grid is None else cache.digest(np.asarray(grid)),
        "code": cache.code_version(_chosen),
    }
    info = cache.cached("weights", key, lambda: _chosen(dataset, vectors, grid))
    return _view(fusion.concat(vectors, info["weights"]), info)


def _chosen(dataset: Dataset, vectors: Sequence[Vectors], grid: ArrayLike | None) -> cache.Value:
    subset = validation_users(dataset)

    def score(found: fusion.JointVectors) -> float:
        users, items = map(torch.from_numpy, found)
        return validation_score(dataset, users, items, subset)

    choice = fusion.choose_weights(vectors, score, grid)
    trials = len(choice.tried)
    return {"weights": list(choice.weights), "validation": choice.score, "trials": trials}


def better(views: Mapping[str, Sequence[View]]) -> str:
    """Return the name whose views, one a seed, have the best mean validation score."""
    unscored = [name for name, of in views.items() if any("validation" not in v.info for v in of)]
    if unscored or not views:
        raise InputError(
            f"{unscored or 'no views'} were given to choose from by validation; give trained views"
        )
    return max(views, key=lambda name: np.mean([view.info["validation"] for view in views[name]]))


def _vectors(views: Sequence[View]) -> list[Vectors]:
    return [(view.users.numpy(), view.items.numpy()) for view in views]


def _view(found: fusion.JointVectors, info: dict[str, Any]) -> View:
    return View(torch.from_numpy(found.users), torch.from_numpy(found.items), info)
