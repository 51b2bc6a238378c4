"""Maps from one view's item vectors to another's, fitted in closed form.

Every fit takes ``PairedVectors``: of training items, from which it learns, and of validation items,
by which it chooses how strongly; those with nothing to choose ignore them. It works on standard
vectors, which are centred and divided by one number. ``lib.probes.networks`` has the trained maps.

Shapes: n training items, m validation items, s and t the dimensions of source and target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from lib.core import Floats, InputError, generator, matrix

PENALTIES = np.logspace(6, -6, 25)
"""Ridge penalties per training item on standard vectors, strongest first so that it wins ties."""


@dataclass(frozen=True)
class Map:
    """A fitted map. ``info`` has ``parameters``, how many numbers were fitted, and what was chosen.

    ``dimension`` is s, that of the source; ``function`` takes n × s float64 and returns n × t.
    """

    name: str
    info: dict[str, Any]
    dimension: int
    function: Callable[[Floats], Floats]

    def predict(self, x: ArrayLike) -> Floats:
        """Return the target vectors (n × t float64) predicted for source vectors (n × s)."""
        source = matrix(x)
        if source.shape[1] != self.dimension:
            raise InputError(
                f"vectors of {source.shape[1]} dimensions were given to the map {self.name!r}; "
                f"give vectors of {self.dimension}, as it was fitted on"
            )
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
        """Return the vectors of the items ``train`` and ``valid`` (ids) in two views of all items.

        Raises
        ------
        InputError
            Matrices that are not finite or not of the same items, fewer than two training items or
            no validation item.
        """
        x, y = matrix(source), matrix(target)
        check_same_items(x, y)
        train, valid = np.asarray(train), np.asarray(valid)
        if len(train) < 2 or len(valid) < 1:
            raise InputError(
                f"{len(train)} training and {len(valid)} validation items were given; give at "
                "least two and one"
            )
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


def fit_mean(pairs: PairedVectors, *, seed: int = 0) -> Map:
    """Predict the training items' mean for every item: R² is 0 on them and at most 0 elsewhere."""
    s, t = pairs.x.shape[1], pairs.y.shape[1]
    return pairs.linear("mean", np.zeros((s, t)), parameters=t)


def fit_ridge(pairs: PairedVectors, *, seed: int = 0) -> Map:
    """Fit a linear map by ridge regression.

    B = (XᵀX / n + λ)⁻¹ XᵀY / n on standard vectors (Hoerl and Kennard, 1970). One
    eigendecomposition of XᵀX serves every λ of ``PENALTIES``; the λ of the least squared error on
    the validation items is kept as ``info["penalty"]``. The intercept is not penalised.
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
    freedom = float((values / (values + penalty)).sum())
    return pairs.linear("ridge", weight, penalty=float(penalty), degrees_of_freedom=freedom)


def fit_procrustes(pairs: PairedVectors, *, seed: int = 0) -> Map:
    """Fit a rotation, a scale and a shift (Schönemann, 1966).

    With USVᵀ = XᵀY the rotation is R = UVᵀ, which aligns best (largest trace of RᵀXᵀY); where the
    dimensions differ its rows or columns are orthonormal. The scale is that of least squares,
    trace(S) / ‖XR‖². Reflections are allowed. Validation items are ignored.
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
    """Return the fit on pairs that do not belong together: what it learns from no relation.

    Target vectors are permuted among the training and among the validation items.
    """

    def fit_permuted(pairs: PairedVectors, *, seed: int = 0) -> Map:
        rng = generator(seed, "permuted pairs")
        y, y_valid = rng.permutation(pairs.y), rng.permutation(pairs.y_valid)
        return fit(replace(pairs, y=y, y_valid=y_valid), seed=seed)

    return fit_permuted


def check_same_items(x: Floats, y: Floats) -> None:
    """Refuse matrices of different numbers of rows."""
    if len(x) != len(y):
        raise InputError(
            f"source vectors of {len(x)} items were given with target vectors of {len(y)}; give "
            "both for the same items, row by row"
        )


def _eigen(x: Floats) -> tuple[Floats, Floats]:
    """Return eigenvalues (d, none below 0) and eigenvectors (d × d) of XᵀX / n."""
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    return np.maximum(values, 0.0), vectors


def _canonical(x: Floats, y: Floats) -> Callable[[float], tuple[Floats, Floats, Floats]]:
    """Return the function from λ to the factors of ``fit_cca``.

    These are (Cxx + λ)^−½ U (s × r), S (r) and Vᵀ (Cyy + λ)^½ (r × t), r = min(s, t).
    """
    x_values, x_vectors = _eigen(x)
    y_values, y_vectors = _eigen(y)
    cross = x_vectors.T @ (x.T @ y / len(x)) @ y_vectors  # s × t

    def factors(penalty: float) -> tuple[Floats, Floats, Floats]:
        into, out = 1 / np.sqrt(x_values + penalty), np.sqrt(y_values + penalty)
        left, strength, right = np.linalg.svd(into[:, None] * cross / out, full_matrices=False)
        return x_vectors @ (into[:, None] * left), strength, right * out @ y_vectors.T

    return factors


def _errors_by_rank(a: Floats, b: Floats, y: Floats) -> Floats:
    """Return the squared error of y (m × t) by the first k columns of a and rows of b, for all k.

    a (m × r), b (r × t), from k = 0 (predict 0) to r: ‖y − Σ a_i b_iᵀ‖² opened up, so that no
    prediction is formed.
    """
    linear = np.einsum("mr,mt,rt->r", a, y, b, optimize=True).cumsum()
    square = ((a.T @ a) * (b @ b.T)).cumsum(axis=0).cumsum(axis=1).diagonal()
    return np.square(y).sum() + np.append(0.0, square - 2 * linear)
