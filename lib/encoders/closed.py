"""Models in closed form: nulls, text and matrix baselines, EASE, TextGCN and L3AE.

Each takes the dataset, a seed and, where it reads text, the text vectors (n_items × w), and
returns users (n_users × d), items (n_items × d) and what it chose by validation Recall@20.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import product
from typing import Any, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.linalg import inv
from torch import Tensor

from lib.core import InputError, generator
from lib.dataset import Dataset
from lib.encoders.lightgcn import Graph, normalised, propagate
from lib.encoders.linear import TextProfiles
from lib.encoders.training import validation_score, validation_users

Solution = tuple[Tensor, Tensor, dict[str, Any]]
Floats = NDArray[np.floating]

CPU = torch.device("cpu")
LAYERS = (1, 2, 3, 4)  # of TextGCN
MOST = 2**32  # bytes of the largest matrix of L3AE: 4 GiB
RIDGES = (10.0, 40.0, 160.0, 640.0, 2560.0)  # λ_X of L3AE: every second of EASE's
PULLS = (0.25, 1.0, 4.0, 16.0)  # λ_E in multiples of λ_X
TEXT_RIDGES = (1.0, 10.0)  # λ_F


def popularity(dataset: Dataset, seed: int) -> Solution:
    """Rank every user's items by training count."""
    counts = torch.from_numpy(np.asarray(dataset.train.sum(0), dtype=np.float32).T.copy())
    return torch.ones(dataset.n_users, 1), counts, {}


def random(dataset: Dataset, seed: int) -> Solution:
    """Rank at random: the scores of independent Gaussian vectors of 64 dimensions."""
    rng = generator(seed, "chance")
    users = rng.standard_normal((dataset.n_users, 64), dtype=np.float32)
    items = rng.standard_normal((dataset.n_items, 64), dtype=np.float32)
    return torch.from_numpy(users), torch.from_numpy(items), {}


def text_mean(dataset: Dataset, seed: int, text: Tensor) -> Solution:
    """Rank by the cosine of an item's text with the user's mean text: nothing is trained."""
    profiles = TextProfiles(dataset, text, CPU)
    return profiles.users(), profiles.items, {}


def _first_best(
    dataset: Dataset, name: str, grid: Sequence[Any], solve: Callable[[Any], tuple[Tensor, Tensor]]
) -> Solution:
    """Return the first best of a grid by validation Recall@20, the chosen setting as ``name``."""
    subset, scores = validation_users(dataset), []
    best = (torch.empty(0), torch.empty(0))
    for setting in grid:
        vectors = solve(setting)
        scores.append(validation_score(dataset, *vectors, subset))
        if int(np.argmax(scores)) == len(scores) - 1:
            best = vectors
    chosen = grid[int(np.argmax(scores))]
    return *best, {name: chosen, "validation": max(scores), "trials": len(scores)}


def truncated_svd(dataset: Dataset, seed: int, dimension: int = 64) -> Solution:
    """Rank by the truncated SVD of the normalised training matrix.

    Validation chooses among the leading 4, 8, … ``dimension`` factors; the item's degree is
    multiplied back so that scores are on the scale of the interactions.
    """
    from sklearn.utils.extmath import randomized_svd  # takes a second, also where views are cached

    most = min(dimension, dataset.n_users - 1, dataset.n_items - 1)
    state = int(generator(seed, "truncated svd").integers(2**31))
    train = normalised(dataset.train)
    left, values, right = randomized_svd(train, most, n_iter=8, random_state=state)
    degree = np.sqrt(np.asarray(dataset.train.sum(0)).ravel())  # n_items
    users = torch.from_numpy((left * values).astype(np.float32))  # n_users × d
    items = torch.from_numpy((right.T * degree[:, None]).astype(np.float32))  # n_items × d
    grid = sorted({min(4 * 2**power, most) for power in range(16)})

    def leading(d: int) -> tuple[Tensor, Tensor]:
        return users[:, :d].contiguous(), items[:, :d].contiguous()

    return _first_best(dataset, "dimension", grid, leading)


def ease(dataset: Dataset, seed: int) -> Solution:
    """Rank by EASE (Steck 2019, eq. 8), λ from a grid by validation.

    Users are their training rows, items the columns of the n_items × n_items weights.
    """
    users = torch.from_numpy(dataset.train.toarray())  # n_users × n_items
    gram = (dataset.train.T @ dataset.train).toarray().astype(np.float64)

    def solve(ridge: float) -> tuple[Tensor, Tensor]:
        inverse = np.linalg.inv(gram + ridge * np.eye(len(gram)))
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0)
        return users, torch.from_numpy(np.ascontiguousarray(weights.T, dtype=np.float32))

    return _first_best(dataset, "ridge", [10.0 * 2**power for power in range(9)], solve)


def textgcn(dataset: Dataset, seed: int, text: Tensor) -> Solution:
    """Rank by the cosine of text vectors averaged over the layers of LightGCN's propagation.

    As in TextGCN, layer 0 is an item's text vector, and a user's is the mean of those of its
    training items. Ours are the text encoder, its vectors taken at unit length, the number of
    layers (1 to 4, by validation) and the cosine, which TextGCN's code leaves to a switch.
    """
    profiles, graph = TextProfiles(dataset, text, CPU), Graph.of(dataset.train, CPU)
    counts = torch.from_numpy(np.diff(dataset.train.indptr)).clamp(min=1)  # n_users
    start = profiles.sums / counts.unsqueeze(1), profiles.items

    def solve(layers: int) -> tuple[Tensor, Tensor]:
        users, items = (F.normalize(x, dim=1) for x in propagate(graph, *start, layers))
        return users, items

    return _first_best(dataset, "layers", LAYERS, solve)


def l3ae(dataset: Dataset, seed: int, text: Tensor) -> Solution:
    """Rank by L3AE: EASE regularised towards the item-item weights of text (Moon et al. 2025).

    With n items, F the unit text vectors (n × w) and X the training matrix (n_users × n), both
    steps are least squares with a diagonal of zeros::

        C = argmin ‖Fᵀ − FᵀC‖² + λ_F ‖C‖²
          = H / (1 − diag H) off the diagonal,  H = F (FᵀF + λ_F I)⁻¹ Fᵀ
        B = argmin ‖X − XB‖² + λ_X ‖B‖² + λ_E ‖B − C‖²
          = I + λ_E P C − P diag((1 + λ_E diag(PC)) / diag P),  P = (XᵀX + (λ_X + λ_E) I)⁻¹

    of which EASE is the case λ_E = 0. Validation chooses λ_X without text first, then, at that
    λ_X, among the eight pairs of λ_E and λ_F, or none where no pair is better than no text. Users
    are their training rows and items the columns of B, at up to 4 GiB a matrix.
    """
    _check_size(dataset)
    users, subset = torch.from_numpy(dataset.train.toarray()), validation_users(dataset)
    vectors = F.normalize(text.double(), dim=1).numpy()  # n × w
    semantics = {ridge: Semantic.of(vectors, ridge) for ridge in TEXT_RIDGES}
    inverse = lru_cache(maxsize=1)(partial(_inverse, dataset))  # trials of one sum share it

    def solve(ridge: float, pull: float, text_ridge: float) -> Tensor:
        found = weights(inverse(ridge + pull), pull, semantics[text_ridge])
        return torch.from_numpy(np.ascontiguousarray(found.T))  # n × n, a row for each item

    def score(*trial: float) -> float:
        return validation_score(dataset, users, solve(*trial), subset)

    alone = {(ridge, 0.0, TEXT_RIDGES[0]): score(ridge, 0.0, TEXT_RIDGES[0]) for ridge in RIDGES}
    ridge = max(alone, key=alone.__getitem__)[0]
    pairs = product(PULLS, TEXT_RIDGES)
    scores = alone | {(ridge, ridge * p, t): score(ridge, ridge * p, t) for p, t in pairs}
    chosen = max(scores, key=scores.__getitem__)
    info = dict(zip(("ridge", "pull", "text_ridge"), chosen, strict=True))
    return users, solve(*chosen), info | {"validation": scores[chosen], "trials": len(scores)}


def _check_size(dataset: Dataset) -> None:
    """Refuse a dataset whose item-item or user-item matrix exceeds 4 GiB."""
    largest = max(8 * dataset.n_items**2, 4 * dataset.n_users * dataset.n_items)
    if largest > MOST:
        raise InputError(
            f"dataset {dataset.name!r} has {dataset.n_users:,} users and {dataset.n_items:,} "
            f"items, for which a linear autoencoder needs a matrix of {largest / 2**30:.1f} GiB, "
            f"above the limit of {MOST / 2**30:.0f} GiB; give a smaller dataset or another model"
        )


def _inverse(dataset: Dataset, ridge: float) -> Floats:
    """Return (XᵀX + ridge I)⁻¹, solved in float64 and stored in float32 (n × n)."""
    gram = (dataset.train.T @ dataset.train).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += ridge
    solved: Floats = inv(gram.T, overwrite_a=True)  # symmetric: its transpose lies as LAPACK's
    return solved.astype(np.float32)


class Semantic(NamedTuple):
    """The weights C = (left · right − diag own) / (1 − own) of text alone, columns divided."""

    left: Floats  # n × w
    right: Floats  # w × n
    own: Floats  # n leverages h

    @classmethod
    def of(cls, text: Floats, ridge: float) -> Self:
        """Fit them to unit text vectors (n × w) with λ_F = ``ridge``."""
        kernel = inv(text.T @ text + ridge * np.eye(text.shape[1]))  # w × w
        right = kernel @ text.T
        return cls(text, right, (text.T * right).sum(0))

    def after(self, matrix: Floats) -> Floats:
        """Return ``matrix`` · C (n × n) in the type of ``matrix``."""
        left, right, own = (part.astype(matrix.dtype) for part in self)
        result: Floats = (matrix @ left) @ right
        result -= matrix * own
        return np.divide(result, 1 - own, out=result)


def weights(inverse: Floats, pull: float, semantic: Semantic) -> Floats:
    """Return the weights B (n × n) of the ``inverse`` P (n × n) and the ``pull`` λ_E."""
    pulled = semantic.after(inverse) * pull
    scale = (1 + np.diag(pulled)) / np.diag(inverse)  # n
    pulled -= inverse * scale
    np.fill_diagonal(pulled, 0)
    return pulled
