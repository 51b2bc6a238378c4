"""Small random lists and relevant items, as arrays and as plain Python to compare with."""

import os
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import strategies as st


@dataclass(frozen=True)
class Tiny:
    """Three sets of lists of the same users, relevant items, and both as plain Python."""

    lists: list[np.ndarray]
    relevant: sp.csr_matrix
    n_items: int

    @property
    def n_users(self) -> int:
        return self.relevant.shape[0]

    def items(self, which: int, user: int) -> list[int]:
        return [int(item) for item in self.lists[which][user] if item >= 0]

    def liked(self, user: int) -> set[int]:
        return {int(item) for item in self.relevant[user].indices}


def random_lists(rng: np.random.Generator, n_users: int, n_items: int, k: int) -> np.ndarray:
    """Return lists without duplicates, some of them short (n_users × k int32)."""
    order = np.argsort(rng.random((n_users, max(k, n_items))), axis=1)[:, :k]
    length = rng.integers(0, k + 1, (n_users, 1))
    length[rng.random((n_users, 1)) < 0.5] = k
    # an item beyond the catalogue is a missing one; missing ones come last
    found = np.where((order < n_items) & (np.arange(k) < length), order, -1)
    last = np.argsort(found < 0, axis=1, kind="stable")
    return np.take_along_axis(found, last, axis=1).astype(np.int32)


def tiny(seed: int, n_users: int, n_items: int, ks: tuple[int, ...]) -> Tiny:
    rng = np.random.default_rng(seed)
    relevant = sp.csr_matrix((rng.random((n_users, n_items)) < 0.3).astype(np.float32))
    lists = [random_lists(rng, n_users, n_items, k) for k in ks]
    return Tiny(lists, relevant, n_items)


def worlds(equal: bool = False) -> st.SearchStrategy[Tiny]:
    """Return a strategy for ``Tiny``, all lists of one length if ``equal``."""
    k = st.integers(1, 14)
    ks = k.map(lambda n: (n, n, n)) if equal else st.tuples(k, k, k)
    return st.builds(tiny, st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 12), ks)


def ranx(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return ranx as plain Python: compiling it takes a minute, running it uncompiled does not.

    Numba reads the variable once, at its first import, which no other test needs.
    """
    monkeypatch.setitem(os.environ, "NUMBA_DISABLE_JIT", "1")
    return pytest.importorskip("ranx")
