"""A world whose shared and private parts are known, to test claims and diagnostics against truth.

Users u and items i have three kinds of factors: shared (s), private to the semantic view (a), and
private to the collaborative view (b). All entries are independent standard normals, scaled so
that one user's utility over all items is split into known parts::

    utility(u, i) = strength · ( s_u·s_i + a_u·a_i + b_u·b_i )

    Var(s_u·s_i) = shared,   Var(a_u·a_i) = semantic,   Var(b_u·b_i) = 1 − shared − semantic

so that ``shared`` is the fraction of the utility's variance that both views can know. A popularity
of each item may be added, the same for all users. What is observed::

    interactions of u:  n_u = 5 + Poisson(interactions − 5) items drawn without replacement from
                        softmax(utility(u, ·)), by its largest utilities plus Gumbel noise
    text vector of i:   M [s_i ; a_i] / sd + noise · ε_i

with M having orthonormal columns, sd the standard deviation of an entry of M [s_i ; a_i], and ε_i
standard normal. Text knows nothing of b; interactions depend on all three.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from companion.data.cleaning import counted, split_dataset
from lib import core
from lib.core import InputError
from lib.dataset import Dataset

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Factors:
    """``users`` (n_users × d) and ``items`` (n_items × d): their inner products are utilities."""

    users: Floats
    items: Floats


@dataclass(frozen=True, eq=False)
class World:
    """What is true (factors by kind, and their utility, n_users × n_items), and what is seen of it.

    ``vectors`` (n_items × dimension, float32) are the text vectors, also as ``dataset.vectors``.
    """

    common: Factors
    semantic: Factors
    collaborative: Factors
    utility: Floats
    vectors: NDArray[np.float32]
    dataset: Dataset

    def ideal(self, view: str) -> Factors:
        """Return all that a view, "semantic" or "collaborative", can know of the utility."""
        if view not in ("semantic", "collaborative"):
            raise InputError(f"view {view!r} is unknown: give 'semantic' or 'collaborative'")
        private = self.semantic if view == "semantic" else self.collaborative
        return _joined(self.common, private)


def world(
    *, n_users: int = 500, n_items: int = 400, d_shared: int = 8, d_semantic: int = 8,
    d_collaborative: int = 8, shared: float = 0.5, semantic: float | None = None,
    popularity: float = 0.0, strength: float = 3.0, noise: float = 0.5, interactions: float = 20.0,
    dimension: int = 64, seed: int = 0, split: str = "random", split_seed: int = 2020,
) -> World:  # fmt: skip
    """Return a world of the model at the top of this module.

    It has ``d_shared`` shared factors, and private ones of each view. ``semantic`` is the share of
    the utility's variance that is private to the text, by default half of what is not shared.
    ``strength`` is the standard deviation of the utility, at 0 interactions are random (by default
    a linear map of the text and LightGCN rank about equally well); ``popularity`` that of an item's
    popularity, which text does not know; ``noise`` that of the noise in a text vector, whose signal
    has 1; ``interactions`` the mean number of a user, at least 5. ``split`` and ``split_seed`` are
    those of the dataset; the world has no times for a temporal one.
    """
    own = (1 - shared) / 2 if semantic is None else semantic
    _check_ranges(
        n_users=(n_users, 1), n_items=(n_items, 6), d_shared=(d_shared, 1),
        d_semantic=(d_semantic, 1), d_collaborative=(d_collaborative, 1), shared=(shared, 0, 1),
        semantic=(own, 0, 1 - shared), popularity=(popularity, 0), strength=(strength, 0),
        noise=(noise, 0), interactions=(interactions, 5, n_items),
        dimension=(dimension, d_shared + d_semantic),
    )  # fmt: skip

    def factors(purpose: str, d: int, variance: float) -> Factors:
        # the product of two standard normals has variance 1, a sum over d of them d
        scale = (variance / d) ** 0.25
        normal = core.generator(seed, f"world {purpose}").standard_normal
        return Factors(scale * normal((n_users, d)), scale * normal((n_items, d)))

    common = factors("shared", d_shared, shared)
    in_text = factors("semantic", d_semantic, own)
    in_data = factors("collaborative", d_collaborative, 1 - shared - own)
    vectors = _text_vectors(np.hstack([common.items, in_text.items]), dimension, noise, seed)
    known = _joined(common, in_text, in_data)
    utility = np.asarray(strength * (known.users @ known.items.T))
    if popularity:
        utility += popularity * core.generator(seed, "world popularity").standard_normal(n_items)
    drawn = _drawn(utility, interactions, seed)
    keys = pd.Series(np.arange(n_items)).astype(str)
    items = pd.DataFrame({"key": keys, "text": pd.Series("", index=keys.index, dtype="str")})
    facts = {
        "name": "synthetic",
        "origin": f"a shared-plus-private world drawn from seed {seed} (companion.data.synthetic)",
        "licence": "MIT, as this project",
        "text": "none: vectors come from the world",
        "stand_in": False,
        "vectors": True,
        "shared": shared,
    }
    cleaned = counted(drawn.indptr, drawn.indices, items)
    dataset = split_dataset(cleaned, facts, split=split, seed=split_seed, vectors=vectors)
    return World(common, in_text, in_data, utility, vectors, dataset)


def _check_ranges(**ranges: tuple[float, ...]) -> None:
    """Refuse a value outside its range; each is a value, the lowest and maybe the highest."""
    for name, (given, low, *highest) in ranges.items():
        high = highest[0] if highest else np.finfo(float).max
        if not low <= given <= high:
            accepted = f"from {low} to {high}" if highest else f"finite and at least {low}"
            raise InputError(f"{name} must be {accepted}, got {given!r}")


def _joined(*kinds: Factors) -> Factors:
    """Return factors side by side, whose inner products are the sum of the kinds'."""
    return Factors(np.hstack([k.users for k in kinds]), np.hstack([k.items for k in kinds]))


def _drawn(utility: Floats, interactions: float, seed: int) -> sp.csr_matrix:
    """Draw each user's items without replacement from the softmax of its utilities.

    The n largest of utility plus Gumbel noise are such a draw (Vieira 2014; Kool et al. 2019).
    """
    n_users, n_items = utility.shape
    rng = core.generator(seed, "world interactions")
    counts = np.minimum(5 + rng.poisson(interactions - 5, n_users), n_items)
    order = np.argsort(-(utility + rng.gumbel(size=utility.shape)), axis=1)
    chosen = np.arange(n_items) < counts[:, None]
    users = np.repeat(np.arange(n_users), counts)
    matrix = sp.csr_matrix((np.ones(len(users)), (users, order[chosen])), shape=utility.shape)
    matrix.sort_indices()
    return matrix


def _text_vectors(signal: Floats, dimension: int, noise: float, seed: int) -> NDArray[np.float32]:
    rng = core.generator(seed, "world text")
    mixing = np.linalg.qr(rng.standard_normal((dimension, signal.shape[1])))[0]
    mixed = signal @ mixing.T
    mixed /= mixed.std() or 1.0
    return (mixed + noise * rng.standard_normal(mixed.shape)).astype(np.float32)
