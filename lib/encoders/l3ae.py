"""L3AE: EASE held towards the item-item weights that text alone gives (Moon et al. 2025).

Shapes: n items, w dimensions of text. F is the unit text vectors (n × w), X the training matrix
(n_users × n). Both steps are least squares with a diagonal of zeros::

    C = argmin ‖Fᵀ − FᵀC‖² + λ_F ‖C‖²                          diag C = 0
    B = argmin ‖X − XB‖² + λ_X ‖B‖² + λ_E ‖B − C‖²             diag B = 0

First step: with the hat matrix H = F (FᵀF + λ_F I)⁻¹ Fᵀ and h its diagonal, the well-known
leave-one-out form of ridge regression gives C_ij = H_ij / (1 − h_j) off the diagonal.

Second step: with P = (XᵀX + (λ_X + λ_E) I)⁻¹ and a multiplier for each zero of the diagonal, a
vanishing gradient means P⁻¹B = XᵀX + λ_E C − diag(μ), hence::

    B = I + λ_E P C − P diag((1 + λ_E diag(PC)) / diag P)

of which EASE is the case λ_E = 0.
"""

from __future__ import annotations

from functools import lru_cache, partial
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.linalg import inv
from torch import Tensor

from lib.data import Dataset
from lib.encoders.closed import Solution
from lib.encoders.training import validation_score, validation_users
from lib.errors import InputError

Floats = NDArray[np.floating]

MOST = 2**32  # bytes of the largest matrix: 4 GiB
RIDGES = (10.0, 40.0, 160.0, 640.0, 2560.0)  # λ_X: every second of EASE's
PULLS = (0.25, 1.0, 4.0, 16.0)  # λ_E in multiples of λ_X
TEXT_RIDGES = (1.0, 10.0)  # λ_F


class Semantic(NamedTuple):
    """The weights C that text alone gives, as what they are made of: never n × n.

    C = (``left`` ``right`` − diag ``own``) / (1 − ``own``), columns divided; ``left`` is n × w,
    ``right`` w × n, and ``own`` the n leverages h.
    """

    left: Floats
    right: Floats
    own: Floats

    @classmethod
    def of(cls, text: Floats, ridge: float) -> Semantic:
        """Fit them to unit text vectors (n × w) with λ_F = ``ridge``."""
        kernel = inv(text.T @ text + ridge * np.eye(text.shape[1]))  # w × w
        right = kernel @ text.T
        return cls(text, right, (text.T * right).sum(0))

    def after(self, matrix: Floats) -> Floats:
        """Return ``matrix`` · C (n × n) in the type of ``matrix``."""
        left, right, own = (part.astype(matrix.dtype) for part in self)
        result: Floats = (matrix @ left) @ right
        result -= matrix * own
        result /= 1 - own
        return result


def weights(inverse: Floats, pull: float, semantic: Semantic) -> Floats:
    """Return the weights B (n × n), row from, column to, with zeros on the diagonal.

    ``inverse`` is P (n × n) and ``pull`` λ_E.
    """
    pulled = semantic.after(inverse) * pull
    scale = (1 + np.diag(pulled)) / np.diag(inverse)  # n
    pulled -= inverse * scale
    np.fill_diagonal(pulled, 0)
    return pulled


def l3ae(dataset: Dataset, seed: int, text: Tensor) -> Solution:
    """Rank by L3AE, its three strengths by validation Recall@20 in two steps.

    First λ_X without text, then, at that λ_X, the eight pairs of λ_E and λ_F; where no pair is
    better than no text, λ_E stays 0 and the view is EASE's. Users are their training rows and
    items the columns of B, as ``ease`` has them, so memory is several times n_items² floats
    beside n_users × n_items.

    Raises
    ------
    InputError
        A matrix of this dataset would be larger than 4 GiB.
    """
    check_size(dataset)
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


def check_size(dataset: Dataset) -> None:
    """Refuse a dataset for which one matrix of a linear autoencoder is larger than 4 GiB.

    Raises
    ------
    InputError
        n_items² of eight bytes, or n_users × n_items of four, is more than that.
    """
    largest = max(8 * dataset.n_items**2, 4 * dataset.n_users * dataset.n_items)
    if largest > MOST:
        raise InputError(
            f"dataset {dataset.name!r} has {dataset.n_users:,} users and {dataset.n_items:,} "
            f"items, for which a linear autoencoder needs a matrix of {largest / 2**30:.1f} GiB; "
            f"up to {MOST / 2**30:.0f} GiB are accepted, so choose another model or a smaller "
            "dataset"
        )


def _inverse(dataset: Dataset, ridge: float) -> Floats:
    """Return (XᵀX + ridge I)⁻¹, solved in float64 and kept in float32 (n × n)."""
    gram = (dataset.train.T @ dataset.train).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += ridge
    solved: Floats = inv(gram.T, overwrite_a=True)  # symmetric: its transpose lies as LAPACK's
    return solved.astype(np.float32)
