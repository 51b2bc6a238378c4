"""The paper's diagnostics beside per-user Python sets, at the size of games-2018."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from bench.measure import Machine, Row, equal, floor, race
from lib.diagnostics import composition, jaccard, oracle

USERS, ITEMS, K = 50_546, 16_859, 20

Result = tuple[Any, Any, Any]  # Jaccard, hit counts of each part, recall of the union: per user


def rows(machine: Machine, repeats: int) -> list[Row]:
    """Time overlap, composition and oracle of two lists for every user."""
    a, b, relevant = _data(0)
    ours, peer = _ours(a, b, relevant), _sets(a, b, relevant)
    equal("diagnostics: Jaccard", ours[0], peer[0])
    equal("diagnostics: composition", ours[1], peer[1])
    equal("diagnostics: oracle", ours[2], peer[2])
    contestants = {
        "ours": lambda: _ours(a, b, relevant),
        "sets": lambda: _sets(a, b, relevant),
    }
    times = race(contestants, repeats)
    moved = a.nbytes + b.nbytes + relevant.indices.nbytes + 8 * 6 * USERS
    what, size = "Jaccard, composition, oracle", f"{USERS:,} users, k={K}"
    least = floor(machine, 0, moved)
    return [Row(what, size, times["ours"], "sets per user", times["sets"], least)]


def _ours(a: np.ndarray, b: np.ndarray, relevant: sp.csr_matrix) -> Result:
    return jaccard(a, b), composition(a, b, relevant), oracle([a, b], relevant)


def _sets(a: np.ndarray, b: np.ndarray, relevant: sp.csr_matrix) -> Result:
    """The same by Python sets, a user at a time, as scripts commonly do it."""
    overlap, union, counts = np.empty(USERS), np.full(USERS, np.nan), np.empty((USERS, 4), int)
    starts = relevant.indptr
    wanted = relevant.indices.tolist()
    for u, (first, second) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        one, other, want = set(first), set(second), set(wanted[starts[u] : starts[u + 1]])
        overlap[u] = len(one & other) / len(one | other)
        both = len(one & other & want)
        counts[u] = both, len(one & want) - both, len(other & want) - both, len(want)
        if want:
            union[u] = len((one | other) & want) / len(want)
    return overlap, counts, union


def _data(seed: int) -> tuple[np.ndarray, np.ndarray, sp.csr_matrix]:
    """Two lists that share about half their items, and up to nine relevant items a user."""
    rng = np.random.default_rng(seed)
    even = 2 * rng.integers(1, ITEMS // (2 * K), (USERS, K)).cumsum(1)  # distinct in a row
    a = rng.permuted(even, axis=1).astype(np.int32)
    b = rng.permuted(even + rng.integers(0, 2, even.shape), axis=1).astype(np.int32)
    users = np.repeat(np.arange(USERS), rng.integers(0, 10, USERS))
    places = rng.integers(0, K, len(users))
    listed = np.where(rng.random(len(users)) < 0.5, a[users, places], b[users, places])
    items = np.where(rng.random(len(users)) < 0.3, listed, rng.integers(0, ITEMS, len(users)))
    relevant = sp.csr_matrix((np.ones(len(users), np.float32), (users, items)), (USERS, ITEMS))
    return a, b, relevant
