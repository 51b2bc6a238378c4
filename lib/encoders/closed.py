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
from scipy.linalg.lapack import spotrf, spotri
from torch import Tensor

from lib.core import InputError, generator
from lib.dataset import Dataset
from lib.encoders.lightgcn import Graph, normalised, propagate
from lib.encoders.linear import TextProfiles
from lib.encoders.training import VALIDATION_K, validation_score, validation_users
from lib.metrics import recall
from lib.topk import best

Solution = tuple[Tensor, Tensor, dict[str, Any]]
Floats = NDArray[np.floating]

CPU = torch.device("cpu")
LAYERS = (1, 2, 3, 4)  # of TextGCN
MOST = 2**33  # bytes of a linear autoencoder's matrices: 8 GiB
ROWS = 1024  # rows of its matrices that are worked on at a time
EASE_RIDGES = tuple(10.0 * 2**power for power in range(9))
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
    names: Sequence[str], scores: dict[Any, float], solve: Callable[..., Any]
) -> tuple[Any, dict[str, Any]]:
    """Return what solves the first trial of the best validation score, its settings by name."""
    chosen = max(scores, key=scores.__getitem__)
    info = dict(zip(names, chosen, strict=True))
    return solve(*chosen), info | {"validation": scores[chosen], "trials": len(scores)}


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

    subset = validation_users(dataset)
    scores = {(d,): validation_score(dataset, *leading(d), subset) for d in grid}
    chosen, info = _first_best(["dimension"], scores, leading)
    return *chosen, info


def ease(dataset: Dataset, seed: int) -> Solution:
    """Rank by EASE (Steck 2019, eq. 8), λ from a grid by validation, in float32.

    Users are their training rows, items the columns of the n_items × n_items weights.
    """

    def solve(ridge: float) -> Floats:
        found = _inverse(dataset, ridge)
        found /= -np.diag(found)
        np.fill_diagonal(found, 0)
        return found

    scores = {(ridge,): _recall(dataset, solve(ridge)) for ridge in EASE_RIDGES}
    return _autoencoder(dataset, ["ridge"], scores, solve)


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

    subset = validation_users(dataset)
    scores = {(n,): validation_score(dataset, *solve(n), subset) for n in LAYERS}
    chosen, info = _first_best(["layers"], scores, solve)
    return *chosen, info


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
    are their training rows and items the columns of B, all in float32.
    """
    vectors = F.normalize(text.double(), dim=1).numpy()  # n × w
    semantics = {ridge: Semantic.of(vectors, ridge) for ridge in TEXT_RIDGES}
    inverse = lru_cache(maxsize=1)(partial(_inverse, dataset))  # trials of one sum share it

    def solve(ridge: float, pull: float, text_ridge: float) -> Floats:
        return weights(inverse(ridge + pull), pull, semantics[text_ridge])

    alone = [(ridge, 0.0, TEXT_RIDGES[0]) for ridge in RIDGES]
    scores = {trial: _recall(dataset, solve(*trial)) for trial in alone}
    ridge = max(scores, key=scores.__getitem__)[0]
    pulled = [(ridge, ridge * pull, text_ridge) for pull, text_ridge in product(PULLS, TEXT_RIDGES)]
    scores |= {trial: _recall(dataset, solve(*trial)) for trial in pulled}
    return _autoencoder(dataset, ["ridge", "pull", "text_ridge"], scores, solve)


def _autoencoder(dataset: Dataset, *search: Any) -> Solution:
    """Return the training rows and the columns of the weights (n × n) that are ``_first_best``."""
    found, info = _first_best(*search)
    columns = torch.from_numpy(np.ascontiguousarray(found.T))
    return torch.from_numpy(dataset.train.toarray()), columns, info


def _recall(dataset: Dataset, weights: Floats) -> float:
    """Return the validation Recall@20 of training rows · ``weights`` (n × n), rows kept sparse."""
    subset, lists = validation_users(dataset), []
    for start in range(0, len(subset), ROWS):
        seen = dataset.train[subset[start : start + ROWS]]
        scores = seen @ weights  # users × n
        scores[seen.nonzero()] = -np.inf
        found = best(torch.from_numpy(scores), min(VALIDATION_K, dataset.n_items)).numpy()
        lists.append(np.where(np.isinf(np.take_along_axis(scores, found, 1)), -1, found))
    return float(np.nanmean(recall(np.concatenate(lists), dataset.valid[subset])))


def _inverse(dataset: Dataset, ridge: float) -> Floats:
    """Return (XᵀX + ridge I)⁻¹ in float32, by Cholesky within one n × n matrix."""
    matrix, rows = 4 * dataset.n_items**2, 4 * dataset.n_users * dataset.n_items
    need = max(3 * matrix, 2 * matrix + rows)  # while it is solved, and at the end
    if need > MOST:
        told = f"dataset {dataset.name!r} has {dataset.n_users:,} users and {dataset.n_items:,}"
        told += f" items, for which a linear autoencoder needs {need / 2**30:.1f} GiB, above the"
        limit = f"limit of {MOST / 2**30:.0f} GiB"
        raise InputError(f"{told} {limit}; give a smaller dataset or another model")
    gram = (dataset.train.T @ dataset.train).astype(np.float32).toarray(order="F")
    gram[np.diag_indices_from(gram)] += ridge
    factor, failed = spotrf(gram, lower=1, overwrite_a=1)
    found: Floats
    found, _ = spotri(factor, lower=1, overwrite_c=1)
    if failed:
        told = f"the item-item matrix of dataset {dataset.name!r} is singular in float32"
        raise InputError(f"{told} at ridge {ridge:g}; choose another model")
    for row in range(len(found)):  # LAPACK leaves the upper triangle as it was
        found[row, row + 1 :] = found[row + 1 :, row]
    return found


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
