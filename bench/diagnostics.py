"""The paper's diagnostics beside per-user Python sets, at the size of games-2018's test part."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from bench.measure import Machine, Row, Work, equal, floor, race
from lib.diagnostics import composition, jaccard, oracle

USERS, ITEMS, RELEVANT = 50_546, 16_859, 56_468
CUTS = (5, 10, 20)
K = max(CUTS)


def rows(machine: Machine, repeats: int) -> list[Row]:
    """Time each diagnostic of two lists for every user, at one length after the other."""
    a, b, relevant = _data(0)
    cuts = [(a[:, :k].copy(), b[:, :k].copy()) for k in CUTS]
    plain = [(one.tolist(), other.tolist()) for one, other in cuts]
    wanted = [relevant.indices[s:e].tolist() for s, e in pairwise(relevant.indptr)]
    contestants: dict[str, tuple[Work, Work]] = {
        "Jaccard": (
            lambda: [jaccard(*cut) for cut in cuts],
            lambda: [_jaccard_by_sets(*cut) for cut in plain],
        ),
        "composition": (
            lambda: [composition(*cut, relevant) for cut in cuts],
            lambda: [_composition_by_sets(*cut, wanted) for cut in plain],
        ),
        "oracle": (
            lambda: [oracle(cut, relevant) for cut in cuts],
            lambda: [_oracle_by_sets(*cut, wanted) for cut in plain],
        ),
    }
    listed = sum(one.nbytes + other.nbytes for one, other in cuts)
    size = f"{USERS:,} users, k={', '.join(map(str, CUTS))}"
    table = []
    for what, (ours, sets) in contestants.items():
        for found, expected in zip(ours(), sets(), strict=True):
            equal(f"diagnostics: {what}", found, expected)
        times = race({"ours": ours, "sets": sets}, repeats)
        pairs = 0 if what == "Jaccard" else len(CUTS) * relevant.indices.nbytes
        written = len(CUTS) * 8 * USERS * (4 if what == "composition" else 1)
        least = floor(machine, 0, listed + pairs + written)
        table.append(Row(what, size, times["ours"], "sets per user", times["sets"], least))
    return table


def _jaccard_by_sets(a: list[list[int]], b: list[list[int]]) -> np.ndarray:
    """Compare a user at a time by Python sets, as scripts commonly do."""
    sets = ((set(first), set(second)) for first, second in zip(a, b, strict=True))
    return np.array([len(one & other) / len(one | other) for one, other in sets])


def _composition_by_sets(
    a: list[list[int]], b: list[list[int]], relevant: list[list[int]]
) -> np.ndarray:
    counts = np.empty((len(a), 4), dtype=np.int64)
    for user, (first, second, liked) in enumerate(zip(a, b, relevant, strict=True)):
        wanted = set(liked)
        one, other = wanted & set(first), wanted & set(second)
        both = len(one & other)
        counts[user] = both, len(one) - both, len(other) - both, len(wanted)
    return counts


def _oracle_by_sets(
    a: list[list[int]], b: list[list[int]], relevant: list[list[int]]
) -> np.ndarray:
    found = np.full(len(a), np.nan)
    for user, (first, second, liked) in enumerate(zip(a, b, relevant, strict=True)):
        if wanted := set(liked):
            found[user] = len((set(first) | set(second)) & wanted) / len(wanted)
    return found


def _data(seed: int) -> tuple[np.ndarray, np.ndarray, sp.csr_matrix]:
    """Two lists that share about half their items, and one or two relevant items a user."""
    rng = np.random.default_rng(seed)
    even = 2 * rng.integers(1, ITEMS // (2 * K), (USERS, K)).cumsum(1)  # distinct in a row
    a = rng.permuted(even, axis=1).astype(np.int32)
    b = rng.permuted(even + rng.integers(0, 2, even.shape), axis=1).astype(np.int32)
    extra = rng.permutation(np.arange(USERS) < RELEVANT - USERS)
    users = np.repeat(np.arange(USERS), 1 + extra)
    ranks = rng.integers(0, K, len(users))
    listed = np.where(rng.random(len(users)) < 0.5, a[users, ranks], b[users, ranks])
    items = np.where(rng.random(len(users)) < 0.3, listed, rng.integers(0, ITEMS, len(users)))
    relevant = sp.csr_matrix((np.ones(len(users), np.float32), (users, items)), (USERS, ITEMS))
    return a, b, relevant
