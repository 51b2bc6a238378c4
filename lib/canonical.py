"""Canonical pairs of two sets of standard vectors, for every penalty from one decomposition each.

Shapes: n items, s and t the widths of source and target, r = min(s, t) pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lib.errors import InputError
from lib.pairs import check_same_items, standard
from lib.vectors import Floats, matrix


def correlations(source: ArrayLike, target: ArrayLike, *, penalty: float = 0) -> Floats:
    """Return the canonical correlations of two sets of vectors, largest first (min(s, t)).

    ``penalty`` is λ of ``lib.maps.fit_cca``. Without one the items must outnumber either width, and
    no column may be a combination of others.

    Raises
    ------
    InputError
        Matrices that are not finite or not of the same items, a penalty below 0, or none where one
        is needed.
    """
    x, y = matrix(source), matrix(target)
    check_same_items(x, y)
    if penalty < 0:
        raise InputError(f"penalty = {penalty} was given; give 0 or more")
    found = spectra(standard(x).apply(x), standard(y).apply(y))
    # below this an eigenvalue is rounding error: the mean one is 1
    least = min(found.source_values.min(), found.target_values.min())
    if penalty + least < 1e-10:
        raise InputError(
            f"{len(x)} items of linearly dependent columns were given with penalty = {penalty}; "
            "give more items than columns or a penalty such as 0.001"
        )
    return pairs(found, penalty)[1]


def eigen(x: Floats) -> tuple[Floats, Floats]:
    """Return eigenvalues (d, none below 0) and eigenvectors (d × d) of XᵀX / n."""
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    return np.maximum(values, 0.0), vectors


class Spectra(NamedTuple):
    """Eigenvalues and eigenvectors of both covariances, and the cross-covariance in their axes."""

    source_values: Floats  # s
    source_vectors: Floats  # s × s
    target_values: Floats  # t
    target_vectors: Floats  # t × t
    cross: Floats  # s × t


def spectra(x: Floats, y: Floats) -> Spectra:
    """Return the spectra of standard vectors (n × s and n × t)."""
    a, v = eigen(x)
    b, w = eigen(y)
    return Spectra(a, v, b, w, v.T @ (x.T @ y / len(x)) @ w)


def pairs(of: Spectra, penalty: float) -> tuple[Floats, Floats, Floats]:
    """Return (Cxx + λ)^−½ U (s × r), S (r) and Vᵀ (Cyy + λ)^½ (r × t), r = min(s, t)."""
    into = 1 / np.sqrt(of.source_values + penalty)
    out = np.sqrt(of.target_values + penalty)
    left, strength, right = np.linalg.svd(into[:, None] * of.cross / out, full_matrices=False)
    source = of.source_vectors @ (into[:, None] * left)
    return source, strength, right * out @ of.target_vectors.T


def errors_by_rank(a: Floats, b: Floats, y: Floats) -> Floats:
    """Return the squared error of y (m × t) by the first k columns of a and rows of b, for all k.

    a (m × r), b (r × t), from k = 0 (predict 0) to r: ‖y − Σ a_i b_iᵀ‖² opened up, so that no
    prediction is formed.
    """
    linear = np.einsum("mr,mt,rt->r", a, y, b, optimize=True).cumsum()
    square = ((a.T @ a) * (b @ b.T)).cumsum(axis=0).cumsum(axis=1).diagonal()
    return np.square(y).sum() + np.append(0.0, square - 2 * linear)
