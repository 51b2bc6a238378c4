"""Maps from one view's item vectors to another's, from a constant to a deep network.

Every fit takes the source and target vectors of training items, by which it learns, and of
validation items, by which it chooses how strongly (those with nothing to choose ignore them); rows
of source and target are the same items. Shapes: n training items, m validation items, s and t the
widths of source and target.

Unless said otherwise a fit works on the standard vectors of ``lib.probes.maps``: centred, and divided by
one number.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lib.core import Floats, InputError, device_of, generator, matrix
from lib.probes import networks

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Map:
    """A fitted map. ``info`` has ``parameters``, how many numbers were fitted, and what was chosen.

    ``width`` is s, that of the source; ``function`` takes n × s float64 and returns n × t.
    """

    name: str
    info: dict[str, Any]
    width: int
    function: Callable[[Floats], Floats]

    def predict(self, x: ArrayLike) -> Floats:
        """Return the target vectors (n × t float64) predicted for source vectors (n × s).

        Raises
        ------
        InputError
            No finite matrix, or one of another width.
        """
        source = matrix(x)
        if source.shape[1] != self.width:
            raise InputError(
                f"vectors of width {source.shape[1]} were given to the map {self.name!r}; give "
                f"vectors of width {self.width}, as it was fitted on"
            )
        return self.function(source)


class Standard(NamedTuple):
    """How vectors become standard: minus ``mean`` (d), divided by the one number ``scale``."""

    mean: Floats
    scale: float

    def apply(self, x: Floats) -> Floats:
        """Return vectors (n × d) in standard form."""
        return (x - self.mean) / self.scale

    def undo(self, x: Floats) -> Floats:
        """Return standard vectors (n × d) as they were."""
        return x * self.scale + self.mean


def standard(x: Floats) -> Standard:
    """Return what makes vectors (n × d) standard; equal vectors, but for rounding, keep scale 1."""
    mean = x.mean(axis=0)
    scale = float(np.sqrt(np.square(x - mean).mean()))
    return Standard(mean, scale if scale > 1e-12 * np.abs(x).max() else 1.0)


class Pairs(NamedTuple):
    """Standard vectors of training (n × s, n × t) and validation items (m × s, m × t)."""

    x: Floats
    y: Floats
    x_valid: Floats
    y_valid: Floats
    source: Standard
    target: Standard

    def linear(self, name: str, weight: Floats, **info: Any) -> Map:
        """Return the map x → x·weight (s × t) between standard vectors; all s·t + t fitted."""

        def function(x: Floats) -> Floats:
            return self.target.undo(self.source.apply(x) @ weight)

        width, targets = weight.shape
        return Map(name, {"parameters": (width + 1) * targets} | info, width, function)


def paired_vectors(
    source_train: ArrayLike,
    target_train: ArrayLike,
    source_valid: ArrayLike,
    target_valid: ArrayLike,
) -> Pairs:
    """Return the pairs in standard form.

    Raises
    ------
    InputError
        Matrices that are not finite, rows or widths that do not fit together, fewer than two
        training items or no validation item.
    """
    x, y = matrix(source_train), matrix(target_train)
    x_valid, y_valid = matrix(source_valid), matrix(target_valid)
    check_same_items(x, y)
    check_same_items(x_valid, y_valid)
    if x.shape[1] != x_valid.shape[1] or y.shape[1] != y_valid.shape[1]:
        raise InputError(
            f"training vectors of widths {x.shape[1]} and {y.shape[1]} were given with validation "
            f"vectors of widths {x_valid.shape[1]} and {y_valid.shape[1]}; give both from the same "
            "two views"
        )
    if len(x) < 2 or len(x_valid) < 1:
        raise InputError(
            f"{len(x)} training and {len(x_valid)} validation items were given; give at least two "
            "and one"
        )
    source, target = standard(x), standard(y)
    return Pairs(
        source.apply(x), target.apply(y), source.apply(x_valid), target.apply(y_valid),
        source, target,
    )  # fmt: skip


def check_same_items(x: Floats, y: Floats) -> None:
    """Refuse matrices of different numbers of rows.

    Raises
    ------
    InputError
        They differ.
    """
    if len(x) != len(y):
        raise InputError(
            f"source vectors of {len(x)} items were given with target vectors of {len(y)}; give "
            "both for the same items, row by row"
        )


def correlations(source: ArrayLike, target: ArrayLike, *, penalty: float = 0) -> Floats:
    """Return the canonical correlations of two sets of vectors, largest first (min(s, t)).

    ``penalty`` is λ of ``lib.probes.maps.fit_cca``. Without one the items must outnumber either width, and
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
    found = spectra_of(standard(x).apply(x), standard(y).apply(y))
    # below this an eigenvalue is rounding error: the mean one is 1
    least = min(found.source_values.min(), found.target_values.min())
    if penalty + least < 1e-10:
        raise InputError(
            f"{len(x)} items of linearly dependent columns were given with penalty = {penalty}; "
            "give more items than columns or a penalty such as 0.001"
        )
    return canonical_pairs(found, penalty)[1]


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


def spectra_of(x: Floats, y: Floats) -> Spectra:
    """Return the spectra of standard vectors (n × s and n × t)."""
    a, v = eigen(x)
    b, w = eigen(y)
    return Spectra(a, v, b, w, v.T @ (x.T @ y / len(x)) @ w)


def canonical_pairs(of: Spectra, penalty: float) -> tuple[Floats, Floats, Floats]:
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


PENALTIES = np.logspace(6, -6, 25)
"""Ridge penalties per training item on standard vectors, strongest first so that it wins ties."""

HIDDEN = {"MLP-1": (512,), "MLP-2": (2048, 2048), "MLP-3": (2048, 2048, 2048)}
"""Hidden widths of the reference's networks."""


Fit = Callable[..., Map]
"""``fit(source_train, target_train, source_valid, target_valid, *, seed)``."""


def fit_mean(
    source_train: ArrayLike,
    target_train: ArrayLike,
    source_valid: ArrayLike,
    target_valid: ArrayLike,
    *,
    seed: int = 0,
) -> Map:
    """Predict the training items' mean for every item: R² is 0 on them and not above it elsewhere.

    Raises
    ------
    InputError
        As ``fit_ridge``.
    """
    pairs = paired_vectors(source_train, target_train, source_valid, target_valid)
    s, t = pairs.x.shape[1], pairs.y.shape[1]
    return pairs.linear("mean", np.zeros((s, t)), parameters=t)


def fit_ridge(
    source_train: ArrayLike,
    target_train: ArrayLike,
    source_valid: ArrayLike,
    target_valid: ArrayLike,
    *,
    seed: int = 0,
) -> Map:
    """Fit a linear map by ridge regression in closed form.

    B = (XᵀX / n + λ)⁻¹ XᵀY / n on standard vectors (Hoerl and Kennard, 1970). One
    eigendecomposition of XᵀX serves every λ of ``PENALTIES``; the λ of the least squared error on
    the validation items is kept as ``info["penalty"]``. The intercept is not penalised.

    Raises
    ------
    InputError
        Matrices that are not finite, rows or widths that do not fit together, fewer than two
        training items or no validation item.
    """
    pairs = paired_vectors(source_train, target_train, source_valid, target_valid)
    n = len(pairs.x)
    values, vectors = eigen(pairs.x)  # s, s × s
    projected = vectors.T @ (pairs.x.T @ pairs.y) / n  # s × t
    rotated = pairs.x_valid @ vectors  # m × s
    errors = [
        np.square(pairs.y_valid - rotated / (values + penalty) @ projected).mean()
        for penalty in PENALTIES
    ]
    penalty = PENALTIES[np.argmin(errors)]
    weight = vectors @ (projected / (values + penalty)[:, None])
    freedom = float((values / (values + penalty)).sum())
    return pairs.linear("ridge", weight, penalty=float(penalty), degrees_of_freedom=freedom)


def fit_procrustes(
    source_train: ArrayLike,
    target_train: ArrayLike,
    source_valid: ArrayLike,
    target_valid: ArrayLike,
    *,
    seed: int = 0,
) -> Map:
    """Fit a rotation, a scale and a shift (Schönemann, 1966).

    With USVᵀ = XᵀY the rotation is R = UVᵀ, which aligns best (largest trace of RᵀXᵀY); where
    widths differ its rows or columns are orthonormal. The scale is that of least squares,
    trace(S) / ‖XR‖². Reflections are allowed. Nothing is chosen, so validation items are ignored.

    Raises
    ------
    InputError
        As ``fit_ridge``.
    """
    pairs = paired_vectors(source_train, target_train, source_valid, target_valid)
    left, stretch, right = np.linalg.svd(pairs.x.T @ pairs.y, full_matrices=False)
    rotation = left @ right  # s × t
    size = np.square(pairs.x @ rotation).sum()
    scale = float(stretch.sum() / size) if size > 0 else 0.0
    wide, narrow = max(rotation.shape), min(rotation.shape)
    # an orthonormal frame of `narrow` vectors in `wide` dimensions, the scale and the shift
    parameters = wide * narrow - narrow * (narrow + 1) // 2 + 1 + rotation.shape[1]
    scaled = scale * pairs.target.scale / pairs.source.scale
    return pairs.linear("procrustes", scale * rotation, scale=scaled, parameters=parameters)


def fit_cca(
    source_train: ArrayLike,
    target_train: ArrayLike,
    source_valid: ArrayLike,
    target_valid: ArrayLike,
    *,
    seed: int = 0,
) -> Map:
    """Predict the target through the leading pairs of regularised canonical correlation analysis.

    With C the covariances of standard vectors and USVᵀ = (Cxx + λ)^−½ Cxy (Cyy + λ)^−½, the map of
    k pairs is (Cxx + λ)^−½ U_k S_k V_kᵀ (Cyy + λ)^½: ridge cut to rank k, and ridge itself with
    all pairs (Hotelling, 1936; Vinod, 1976, for λ). Validation items choose k and λ together;
    ``info`` has both as ``components`` and ``penalty``, and S as ``correlations``.

    Raises
    ------
    InputError
        As ``fit_ridge``.
    """
    pairs = paired_vectors(source_train, target_train, source_valid, target_valid)
    spectra = spectra_of(pairs.x, pairs.y)
    errors = []  # penalties × number of components, from none
    for penalty in PENALTIES:
        into, strength, out = canonical_pairs(spectra, penalty)
        errors.append(errors_by_rank(pairs.x_valid @ into * strength, out, pairs.y_valid))
    best, k = np.unravel_index(np.argmin(errors), np.shape(errors))
    into, strength, out = canonical_pairs(spectra, PENALTIES[best])
    s, t = pairs.x.shape[1], pairs.y.shape[1]
    return pairs.linear(
        "cca",
        into[:, :k] * strength[:k] @ out[:k],
        penalty=float(PENALTIES[best]),
        components=int(k),
        correlations=strength.tolist(),
        parameters=int(k * (s + t - k) + t),  # of an s × t matrix of rank k, and the shift
    )


def fit_mlp(
    source_train: ArrayLike,
    target_train: ArrayLike,
    source_valid: ArrayLike,
    target_valid: ArrayLike,
    *,
    seed: int = 0,
    hidden: tuple[int, ...] = HIDDEN["MLP-3"],
    patience: int = 20,
    epochs: int = networks.EPOCHS,
    device: str = "auto",
) -> Map:
    """Fit a network with ReLU between layers, stopped early on the validation items.

    Trained as ``fit_mlp_reference``, but on standard vectors, and until the squared error on the
    validation items has not fallen for ``patience`` epochs (at most ``epochs``); the weights of the
    best epoch are kept. ``info`` has that epoch as ``epochs``, the validation error of every epoch
    (in standard units, where the training mean has about 1) as ``validation``, and ``seconds``.

    Raises
    ------
    InputError
        As ``fit_ridge``, an unknown device, or a width, patience or epochs below 1.
    """
    pairs = paired_vectors(source_train, target_train, source_valid, target_valid)
    _check_at_least_one(*hidden, patience, epochs)
    start, where = time.perf_counter(), device_of(device)
    x, y, x_valid, y_valid = (
        networks.on(where, z) for z in (pairs.x, pairs.y, pairs.x_valid, pairs.y_valid)
    )
    layers = networks.initial((x.shape[1], *hidden, y.shape[1]), seed=seed, device=where)
    errors: list[float] = []
    best, kept = 0, layers
    for epoch in networks.epochs(layers, x, y, seed=seed, name=_name(hidden), most=epochs):
        errors.append(networks.error(layers, x_valid, y_valid))
        if errors[-1] == min(errors):
            best, kept = epoch, networks.copied(layers)
        elif epoch - best >= patience:
            break
    info = _network_info(layers, where, start) | {"epochs": best, "validation": errors}

    def function(x: Floats) -> Floats:
        return pairs.target.undo(networks.predict(kept, pairs.source.apply(x)))

    return Map(_name(hidden), info, pairs.x.shape[1], function)


def fit_mlp_reference(
    source_train: ArrayLike,
    target_train: ArrayLike,
    source_valid: ArrayLike,
    target_valid: ArrayLike,
    *,
    seed: int = 0,
    hidden: tuple[int, ...] = HIDDEN["MLP-3"],
    epochs: int = networks.EPOCHS,
    device: str = "auto",
) -> Map:
    """Fit a network as the paper's reference does; ``hidden=()`` is its linear map.

    Mean squared error on the vectors as they are, ReLU between layers, Adam at 1e-3, batches of
    1,024, 400 ``epochs`` and nothing to stop before: validation items are ignored. Initial weights
    and biases are uniform within ±1/√(inputs of the layer).

    Raises
    ------
    InputError
        As ``fit_ridge``, an unknown device, or a width or epochs below 1.
    """
    paired_vectors(source_train, target_train, source_valid, target_valid)
    _check_at_least_one(*hidden, epochs)
    start, where, name = time.perf_counter(), device_of(device), f"{_name(hidden)}, reference"
    x, y = (networks.on(where, matrix(z)) for z in (source_train, target_train))
    layers = networks.initial((x.shape[1], *hidden, y.shape[1]), seed=seed, device=where)
    for _ in networks.epochs(layers, x, y, seed=seed, name=name, most=epochs):
        pass
    info = _network_info(layers, where, start) | {"epochs": epochs}
    return Map(name, info, x.shape[1], partial(networks.predict, layers))


def _name(hidden: tuple[int, ...]) -> str:
    return f"MLP-{len(hidden)}" if hidden else "linear"


def _check_at_least_one(*numbers: int) -> None:
    if min(numbers, default=1) < 1:
        raise InputError(
            f"{min(numbers)} was given for a layer's width, the patience or the epochs; give at "
            "least 1"
        )


def _network_info(layers: networks.Layers, where: torch.device, start: float) -> dict[str, Any]:
    seconds = time.perf_counter() - start
    return {"parameters": networks.size(layers), "seconds": seconds, "device": where.type}


def permuted(fit: Fit) -> Fit:
    """Return the fit on pairs that do not belong together: what it learns from no relation.

    Target vectors are permuted among the training and among the validation items.
    """

    def fit_permuted(
        source_train: ArrayLike,
        target_train: ArrayLike,
        source_valid: ArrayLike,
        target_valid: ArrayLike,
        *,
        seed: int = 0,
    ) -> Map:
        draw = generator(seed, "permuted pairs")
        train, valid = (draw.permutation(matrix(y)) for y in (target_train, target_valid))
        return fit(source_train, train, source_valid, valid, seed=seed)

    return fit_permuted


CLOSED: dict[str, Fit] = {
    "mean": fit_mean,
    "procrustes": fit_procrustes,
    "cca": fit_cca,
    "ridge": fit_ridge,
}
"""Maps in closed form by their names."""

NETWORKS: dict[str, Fit] = {
    **{name: partial(fit_mlp, hidden=hidden) for name, hidden in HIDDEN.items()},
    "linear, reference": partial(fit_mlp_reference, hidden=()),
    **{
        f"{name}, reference": partial(fit_mlp_reference, hidden=hidden)
        for name, hidden in HIDDEN.items()
    },
}
"""Trained maps by their names: those with validation, and those of the reference."""

MAPS = CLOSED | NETWORKS
"""Every map by its name."""


def named(name: str, *, epochs: int = networks.EPOCHS, device: str = "auto") -> Fit:
    """Return the map of that name; ``epochs`` and ``device`` are for those that are trained.

    Raises
    ------
    InputError
        No map has that name.
    """
    if name not in MAPS:
        raise InputError(f"map {name!r} is not known; choose one of {', '.join(map(repr, MAPS))}")
    if name in CLOSED:
        return CLOSED[name]
    return partial(NETWORKS[name], epochs=epochs, device=device)
