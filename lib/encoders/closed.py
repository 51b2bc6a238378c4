"""Views in closed form: truncated SVD, EASE, popularity, plain text means, and chance.

Each function takes the dataset and gives user vectors, item vectors and its settings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lib.data import Dataset
from lib.encoders.graph import normalised
from lib.encoders.linear import TextProfiles
from lib.encoders.training import validation_score, validation_users
from lib.seeds import generator

Solution = tuple[Tensor, Tensor, dict[str, Any]]


def truncated_svd(dataset: Dataset, seed: int, dimension: int = 64) -> Solution:
    """Rank by the truncated SVD of the normalised training matrix.

    Of the leading 4, 8, … ``dimension`` factors, validation Recall@20 chooses how many; the
    item's degree is multiplied back so that scores are on the scale of the interactions.
    """
    from sklearn.utils.extmath import randomized_svd  # a second, for those who read kept views too

    width = min(dimension, dataset.n_users - 1, dataset.n_items - 1)
    left, values, right = randomized_svd(
        normalised(dataset.train), width, n_iter=8, random_state=_integer(seed, "truncated svd")
    )
    degree = np.sqrt(np.asarray(dataset.train.sum(0)).ravel())  # n_items
    users = torch.from_numpy((left * values).astype(np.float32))  # n_users × d
    items = torch.from_numpy((right.T * degree[:, None]).astype(np.float32))  # n_items × d
    subset = validation_users(dataset)
    widths = sorted({min(4 * 2**power, width) for power in range(16)})
    scores = [validation_score(dataset, users[:, :w], items[:, :w], subset) for w in widths]
    chosen = widths[int(np.argmax(scores))]
    info = {"dimension": chosen, "validation": max(scores), "trials": len(widths)}
    return users[:, :chosen].contiguous(), items[:, :chosen].contiguous(), info


def ease(dataset: Dataset, seed: int) -> Solution:
    """Rank by EASE (Steck 2019, eq. 8), λ from a grid by validation Recall@20.

    Users are their training rows and items the columns of the item-item weights, so memory is
    (n_users + n_items) × n_items floats: for catalogues up to some tens of thousands.
    """
    dense = dataset.train.toarray()  # n_users × n_items
    gram = (dataset.train.T @ dataset.train).toarray().astype(np.float64)
    users, subset = torch.from_numpy(dense), validation_users(dataset)
    best: tuple[float, float, Tensor] = (-1.0, 0.0, torch.empty(0))
    grid = [10.0 * 2**power for power in range(9)]
    for ridge in grid:
        inverse = np.linalg.inv(gram + ridge * np.eye(len(gram)))
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0)
        items = torch.from_numpy(np.ascontiguousarray(weights.T, dtype=np.float32))
        best = max(best, (validation_score(dataset, users, items, subset), ridge, items),
                   key=lambda trial: trial[0])  # fmt: skip
    return users, best[2], {"ridge": best[1], "validation": best[0], "trials": len(grid)}


def popularity(dataset: Dataset, seed: int) -> Solution:
    """Rank every user's items by training count."""
    counts = torch.from_numpy(np.asarray(dataset.train.sum(0), dtype=np.float32).T.copy())
    return torch.ones(dataset.n_users, 1), counts, {}


def chance(dataset: Dataset, seed: int) -> Solution:
    """Rank at random: the scores of independent Gaussian vectors of 64 dimensions."""
    draw = generator(seed, "chance")
    users = draw.standard_normal((dataset.n_users, 64), dtype=np.float32)
    items = draw.standard_normal((dataset.n_items, 64), dtype=np.float32)
    return torch.from_numpy(users), torch.from_numpy(items), {}


def text_mean(dataset: Dataset, seed: int, text: Tensor) -> Solution:
    """Rank by the cosine of an item's text with the user's mean text: nothing is trained."""
    profiles = TextProfiles(dataset, text, torch.device("cpu"))
    return profiles.users(), profiles.items, {}


def _integer(seed: int, purpose: str) -> int:
    return int(generator(seed, purpose).integers(2**31))
