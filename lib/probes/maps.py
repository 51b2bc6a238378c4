"""Maps from one view's item vectors to another's, fitted in closed form.

A fit learns from ``PairedVectors`` of training items, centred and divided by one number, and
chooses by those of validation items. Trained maps are in ``lib.probes.networks``.

Shapes: n training items, m validation items, s and t the dimensions of source and target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from lib.core import Floats, InputError, generator, matrix, same_number

PENALTIES = np.logspace(6, -6, 25)
"""Ridge penalties per training item on standard vectors, strongest first so that it wins ties."""


@dataclass(frozen=True)
class Map:
    """A fitted map."""

    name: str
    info: dict[str, Any]  # ``parameters``, how many numbers were fitted, and what was chosen
    dimension: int  # s
    function: Callable[[Floats], Floats]  # from n × s to n × t

    def predict(self, x: ArrayLike) -> Floats:
        """Return the target vectors (n × t) predicted for source vectors (n × s)."""
        source = matrix(x)
        if source.shape[1] != self.dimension:
            told = f"vectors of {source.shape[1]} dimensions were given to the map {self.name!r}"
            raise InputError(f"{told}; give vectors of {self.dimension}, as it was fitted on")
        return self.function(source)


class Standard(NamedTuple):
    """How vectors become standard: minus ``mean`` (d), divided by the one number ``scale``."""

    mean: Floats
    scale: float

    @classmethod
    def of(cls, x: Floats) -> Standard:
        """Return what makes vectors (n × d) standard; all equal, but for rounding, keep scale 1."""
        mean = x.mean(axis=0)
        scale = float(np.sqrt(np.square(x - mean).mean()))
        return cls(mean, scale if scale > 1e-12 * np.abs(x).max() else 1.0)

    def apply(self, x: Floats) -> Floats:
        """Return vectors (n × d) in standard form."""
        return (x - self.mean) / self.scale

    def undo(self, x: Floats) -> Floats:
        """Return the vectors (n × d) of which ``x`` is the standard form."""
        return x * self.scale + self.mean


@dataclass(frozen=True, eq=False)
class PairedVectors:
    """Source and target vectors of the same items, row by row; see ``of``."""

    x: Floats  # n × s
    y: Floats  # n × t
    x_valid: Floats  # m × s
    y_valid: Floats  # m × t

    @classmethod
    def of(
        cls, source: ArrayLike, target: ArrayLike, train: ArrayLike, valid: ArrayLike
    ) -> PairedVectors:
        """Return the vectors of the items ``train`` and ``valid`` in two views of all items."""
        x, y = matrix(source), matrix(target)
        same_number("items", len(x), len(y))
        train, valid = np.asarray(train), np.asarray(valid)
        if len(train) < 2 or len(valid) < 1:
            given = f"{len(train)} training and {len(valid)} validation items were given"
            raise InputError(f"{given}; give at least two and one")
        return cls(x[train], y[train], x[valid], y[valid])

    @cached_property
    def source(self) -> Standard:
        """How source vectors become standard, by those of the training items."""
        return Standard.of(self.x)

    @cached_property
    def target(self) -> Standard:
        """How target vectors become standard, by those of the training items."""
        return Standard.of(self.y)

    def standard(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return x, y, x_valid and y_valid in standard form."""
        source, target = self.source.apply, self.target.apply
        return source(self.x), target(self.y), source(self.x_valid), target(self.y_valid)

    def linear(self, name: str, weight: Floats, **info: Any) -> Map:
        """Return the map x → x·weight (s × t) between standard vectors; all s·t + t fitted."""

        def function(x: Floats) -> Floats:
            return self.target.undo(self.source.apply(x) @ weight)

        s, t = weight.shape
        return Map(name, {"parameters": (s + 1) * t} | info, s, function)


class Fit(Protocol):
    """A way to fit a map; ``seed`` is for those that draw."""

    def __call__(self, pairs: PairedVectors, *, seed: int = 0) -> Map:
        """Return the fitted map."""


def fit_ridge(pairs: PairedVectors, *, seed: int = 0) -> Map:
    """Fit a linear map by ridge regression: B = (XᵀX / n + λ)⁻¹ XᵀY / n (Hoerl and Kennard, 1970).

    Of ``PENALTIES`` λ is that of the least squared error on the validation items; ``info`` has it
    as ``penalty``. The intercept is not penalised.
    """
    x, y, x_valid, y_valid = pairs.standard()
    values, vectors = _eigen(x)  # s, s × s
    projected = vectors.T @ (x.T @ y) / len(x)  # s × t
    rotated = x_valid @ vectors  # m × s
    errors = [
        np.square(y_valid - rotated / (values + penalty) @ projected).mean()
        for penalty in PENALTIES
    ]
    penalty = PENALTIES[np.argmin(errors)]
    weight = vectors @ (projected / (values + penalty)[:, None])
    return pairs.linear("ridge", weight, penalty=float(penalty))


def fit_procrustes(pairs: PairedVectors, *, seed: int = 0) -> Map:
    """Fit a rotation, a scale and a shift (Schönemann, 1966); validation items are ignored.

    With USVᵀ = XᵀY the rotation is R = UVᵀ, reflections allowed; where the dimensions differ its
    rows or columns are orthonormal. The scale is that of least squares, trace(S) / ‖XR‖².
    """
    x, y, _, _ = pairs.standard()
    left, stretch, right = np.linalg.svd(x.T @ y, full_matrices=False)
    rotation = left @ right  # s × t
    size = np.square(x @ rotation).sum()
    scale = float(stretch.sum() / size) if size > 0 else 0.0
    larger, smaller = max(rotation.shape), min(rotation.shape)
    # an orthonormal frame of `smaller` vectors in `larger` dimensions, the scale and the shift
    parameters = larger * smaller - smaller * (smaller + 1) // 2 + 1 + rotation.shape[1]
    scaled = scale * pairs.target.scale / pairs.source.scale
    return pairs.linear("procrustes", scale * rotation, scale=scaled, parameters=parameters)


def fit_cca(pairs: PairedVectors, *, seed: int = 0) -> Map:
    """Predict the target through the leading pairs of regularised canonical correlation analysis.

    With C the covariances of standard vectors and USVᵀ = (Cxx + λ)^−½ Cxy (Cyy + λ)^−½, the map of
    k pairs is (Cxx + λ)^−½ U_k S_k V_kᵀ (Cyy + λ)^½: ridge cut to rank k, and ridge itself with
    all pairs (Hotelling, 1936; Vinod, 1976, for λ). Validation items choose k and λ together;
    ``info`` has both as ``components`` and ``penalty``, and S as ``correlations``.
    """
    x, y, x_valid, y_valid = pairs.standard()
    factors = _canonical(x, y)
    errors = []  # penalties × number of components, from none
    for penalty in PENALTIES:
        into, strength, out = factors(penalty)
        errors.append(_errors_by_rank(x_valid @ into * strength, out, y_valid))
    best, k = np.unravel_index(np.argmin(errors), np.shape(errors))
    into, strength, out = factors(PENALTIES[best])
    s, t = x.shape[1], y.shape[1]
    return pairs.linear(
        "cca",
        into[:, :k] * strength[:k] @ out[:k],
        penalty=float(PENALTIES[best]),
        components=int(k),
        correlations=strength.tolist(),
        parameters=int(k * (s + t - k) + t),  # of an s × t matrix of rank k, and the shift
    )


def permuted(fit: Fit) -> Fit:
    """Return the fit on target vectors permuted among training and among validation items."""

    def fit_permuted(pairs: PairedVectors, *, seed: int = 0) -> Map:
        rng = generator(seed, "permuted pairs")
        y, y_valid = rng.permutation(pairs.y), rng.permutation(pairs.y_valid)
        return fit(replace(pairs, y=y, y_valid=y_valid), seed=seed)

    return fit_permuted


def _eigen(x: Floats) -> tuple[Floats, Floats]:
    """Return eigenvalues (d, none below 0) and eigenvectors (d × d) of XᵀX / n."""
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    return np.maximum(values, 0.0), vectors


def _canonical(x: Floats, y: Floats) -> Callable[[float], tuple[Floats, Floats, Floats]]:
    """Return the function from λ to (Cxx + λ)^−½ U (s × r), S (r) and Vᵀ (Cyy + λ)^½ (r × t)."""
    x_values, x_vectors = _eigen(x)
    y_values, y_vectors = _eigen(y)
    cross = x_vectors.T @ (x.T @ y / len(x)) @ y_vectors  # s × t

    def factors(penalty: float) -> tuple[Floats, Floats, Floats]:
        into, out = 1 / np.sqrt(x_values + penalty), np.sqrt(y_values + penalty)
        left, strength, right = np.linalg.svd(into[:, None] * cross / out, full_matrices=False)
        return x_vectors @ (into[:, None] * left), strength, right * out @ y_vectors.T

    return factors


def _errors_by_rank(a: Floats, b: Floats, y: Floats) -> Floats:
    """Return ‖y − a b‖² (y m × t) by the first k columns of a and rows of b, for k = 0 to all r."""
    # the square is expanded, so that no prediction is formed
    linear = np.einsum("mr,mt,rt->r", a, y, b, optimize=True).cumsum()
    square = ((a.T @ a) * (b @ b.T)).cumsum(axis=0).cumsum(axis=1).diagonal()
    return np.square(y).sum() + np.append(0.0, square - 2 * linear)
