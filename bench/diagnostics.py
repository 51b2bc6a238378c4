"""The paper's diagnostics beside per-user Python sets, at the size of games-2018's test part."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from bench.measure import Machine, Row, equal, floor, race
from lib.cuts import at_cuts

USERS, ITEMS, RELEVANT = 50_546, 16_859, 56_468
CUTS = (5, 10, 20)
K = max(CUTS)

WHAT = ("Jaccard", "composition", "oracle")
Result = tuple[Any, Any, Any]  # Jaccard, hit counts of each part, recall of the union: per user


def rows(machine: Machine, repeats: int) -> list[Row]:
    """Time overlap, composition and oracle of two lists for every user."""
    a, b, relevant = _data(0)
    cuts = [(a[:, :k].copy(), b[:, :k].copy(), relevant) for k in CUTS]
    for cut, table in zip(cuts, at_cuts(a, b, relevant, CUTS).values(), strict=True):
        ours = table["jaccard"], table[["both", "a_only", "b_only", "relevant"]], table["oracle"]
        for what, one, peer in zip(WHAT, ours, _sets(*cut), strict=True):
            equal(f"diagnostics: {what}", one, peer)
    contestants = {
        "ours": lambda: at_cuts(a, b, relevant, CUTS),
        "sets": lambda: [_sets(*cut) for cut in cuts],
    }
    times = race(contestants, repeats)
    moved = a.nbytes + b.nbytes + relevant.indices.nbytes + len(CUTS) * 8 * 6 * USERS
    size = f"{USERS:,} users, k={', '.join(map(str, CUTS))}"
    least = floor(machine, 0, moved)
    return [Row(", ".join(WHAT), size, times["ours"], "sets per user", times["sets"], least)]


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
    """Two lists that share about half their items, and one or two relevant items a user."""
    rng = np.random.default_rng(seed)
    even = 2 * rng.integers(1, ITEMS // (2 * K), (USERS, K)).cumsum(1)  # distinct in a row
    a = rng.permuted(even, axis=1).astype(np.int32)
    b = rng.permuted(even + rng.integers(0, 2, even.shape), axis=1).astype(np.int32)
    extra = rng.permutation(np.arange(USERS) < RELEVANT - USERS)
    users = np.repeat(np.arange(USERS), 1 + extra)
    places = rng.integers(0, K, len(users))
    listed = np.where(rng.random(len(users)) < 0.5, a[users, places], b[users, places])
    items = np.where(rng.random(len(users)) < 0.3, listed, rng.integers(0, ITEMS, len(users)))
    relevant = sp.csr_matrix((np.ones(len(users), np.float32), (users, items)), (USERS, ITEMS))
    return a, b, relevant
