"""Maps from one view's item vectors to another's, from a constant to a deep network.

Every fit takes the source and target vectors of training items, by which it learns, and of
validation items, by which it chooses how strongly (those with nothing to choose ignore them); rows
of source and target are the same items. Shapes: n training items, m validation items, s and t the
widths of source and target.

Unless said otherwise a fit works on the standard vectors of ``lib.pairs``: centred, and divided by
one number.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lib import canonical, network
from lib.encoders.training import device_of
from lib.errors import InputError
from lib.pairs import Map, paired_vectors
from lib.seeds import generator
from lib.vectors import Floats, matrix

if TYPE_CHECKING:
    import torch

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
    values, vectors = canonical.eigen(pairs.x)  # s, s × s
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
    spectra = canonical.spectra(pairs.x, pairs.y)
    errors = []  # penalties × number of components, from none
    for penalty in PENALTIES:
        into, strength, out = canonical.pairs(spectra, penalty)
        errors.append(canonical.errors_by_rank(pairs.x_valid @ into * strength, out, pairs.y_valid))
    best, k = np.unravel_index(np.argmin(errors), np.shape(errors))
    into, strength, out = canonical.pairs(spectra, PENALTIES[best])
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
    epochs: int = network.EPOCHS,
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
        network.on(where, z) for z in (pairs.x, pairs.y, pairs.x_valid, pairs.y_valid)
    )
    layers = network.initial((x.shape[1], *hidden, y.shape[1]), seed=seed, device=where)
    errors: list[float] = []
    best, kept = 0, layers
    for epoch in network.epochs(layers, x, y, seed=seed, name=_name(hidden), most=epochs):
        errors.append(network.error(layers, x_valid, y_valid))
        if errors[-1] == min(errors):
            best, kept = epoch, network.copied(layers)
        elif epoch - best >= patience:
            break
    info = _network_info(layers, where, start) | {"epochs": best, "validation": errors}

    def function(x: Floats) -> Floats:
        return pairs.target.undo(network.predict(kept, pairs.source.apply(x)))

    return Map(_name(hidden), info, pairs.x.shape[1], function)


def fit_mlp_reference(
    source_train: ArrayLike,
    target_train: ArrayLike,
    source_valid: ArrayLike,
    target_valid: ArrayLike,
    *,
    seed: int = 0,
    hidden: tuple[int, ...] = HIDDEN["MLP-3"],
    epochs: int = network.EPOCHS,
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
    x, y = (network.on(where, matrix(z)) for z in (source_train, target_train))
    layers = network.initial((x.shape[1], *hidden, y.shape[1]), seed=seed, device=where)
    for _ in network.epochs(layers, x, y, seed=seed, name=name, most=epochs):
        pass
    info = _network_info(layers, where, start) | {"epochs": epochs}
    return Map(name, info, x.shape[1], partial(network.predict, layers))


def _name(hidden: tuple[int, ...]) -> str:
    return f"MLP-{len(hidden)}" if hidden else "linear"


def _check_at_least_one(*numbers: int) -> None:
    if min(numbers, default=1) < 1:
        raise InputError(
            f"{min(numbers)} was given for a layer's width, the patience or the epochs; give at "
            "least 1"
        )


def _network_info(layers: network.Layers, where: torch.device, start: float) -> dict[str, Any]:
    seconds = time.perf_counter() - start
    return {"parameters": network.size(layers), "seconds": seconds, "device": where.type}


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


def named(name: str, *, epochs: int = network.EPOCHS, device: str = "auto") -> Fit:
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
