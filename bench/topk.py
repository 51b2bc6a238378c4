"""Exact top-K beside the bare product, torch's own topk and faiss, and a million by a million."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from bench.measure import Machine, Row, Work, equal, floor, peak_bytes, race
from lib.topk import DEFAULT_MEMORY, topk

USERS, ITEMS, D, K, SEEN = 8192, 24_608, 64, 20, 20  # the paper's Movies, by 8,192 of its users
MILLION, SLICE = 1_000_000, 256


def rows(machine: Machine, repeats: int) -> list[Row]:
    """Time the paper's Movies catalogue, then a slice of a million users by a million items."""
    return [*_movies(machine, repeats), *_million(machine, max(1, repeats // 3))]


def _movies(machine: Machine, repeats: int) -> list[Row]:
    users, items = _vectors(USERS, 0), _vectors(ITEMS, 1)
    seen = _random_seen(2)
    contestants: dict[str, Work] = {
        "ours": lambda: topk(users, items, K).items,
        "ours, excluding": lambda: topk(users, items, K, exclude=seen),
        "bare product, 256 × all": _bare(users, items, (256, ITEMS)),
        "bare product, 1,024 × 1,024": _bare(users, items, (1024, 1024)),
        "torch matmul + topk": lambda: _matmul_topk(users, items),
    }
    if find_spec("faiss"):
        contestants["faiss-cpu flat"] = _faiss(users, items, machine.threads)
    _check(users, items, seen, contestants)
    times = race(contestants, repeats)
    moved = 4 * D * (USERS + ITEMS) + 8 * K * USERS
    least = floor(machine, 2 * USERS * ITEMS * D, moved)
    size = f"{USERS:,} × {ITEMS:,} × {D}, k={K}"
    peers = [name for name in times if not name.startswith("ours")]
    table = [Row("top-K", size, times["ours"], name, times[name], least) for name in peers]
    what = f"top-K excluding {SEEN} a user"
    excluding = Row(what, size, times["ours, excluding"], "excluding none", times["ours"], least)
    return [*table, excluding]


def _million(machine: Machine, repeats: int) -> list[Row]:
    """A slice of the users against every item: cost is linear in users, so it extrapolates."""
    users, items = _vectors(SLICE, 3), _vectors(MILLION, 4)
    memory = DEFAULT_MEMORY["cpu"]
    bare = _bare(users, items, (SLICE, 4096))
    times = race({"ours": lambda: topk(users, items, K, memory=memory), "bare": bare}, repeats)
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        extra = fresh.submit(_million_bytes, memory).result()
    times = {name: seconds * MILLION / SLICE for name, seconds in times.items()}
    least = floor(machine, 2 * MILLION**2 * D, 4 * D * 2 * MILLION + 8 * K * MILLION)
    size = f"1M × 1M × {D}, k={K}"
    what = f"top-K, extrapolated from {SLICE} users"
    return [
        Row(what, size, times["ours"], f"bare product, {SLICE} × 4,096", times["bare"], least),
        Row(
            "top-K, memory beside the inputs", size, extra / 1e6, "budget", memory / 1e6, None, "MB"
        ),
    ]


def _million_bytes(memory: int) -> int:
    users, items = _vectors(SLICE, 3), _vectors(MILLION, 4)
    topk(users[:1], items[:16], 1)  # what torch loads on first use is not the list's
    return peak_bytes(lambda: topk(users, items, K, memory=memory))


def _vectors(n: int, seed: int) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed))


def _random_seen(seed: int) -> sp.csr_matrix:
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(USERS), SEEN)
    items = rng.integers(0, ITEMS, len(users))
    return sp.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape=(USERS, ITEMS))


def _bare(users: Tensor, items: Tensor, block: tuple[int, int]) -> Work:
    """The product alone in blocks, each written over the last: what ranking comes on top of."""
    height, width = block
    scratch = torch.empty(height, width)

    def work() -> None:
        for u in range(0, len(users), height):
            for i in range(0, len(items), width):
                some, of = users[u : u + height], items[i : i + width]
                torch.mm(some, of.T, out=scratch[: len(some), : len(of)])

    return work


def _matmul_topk(users: Tensor, items: Tensor) -> Tensor:
    return torch.cat(
        [(users[u : u + 1024] @ items.T).topk(K).indices for u in range(0, USERS, 1024)]
    )


def _faiss(users: Tensor, items: Tensor, threads: int) -> Work:
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(D)
    index.add(items.numpy())
    return lambda: index.search(users.numpy(), K)[1]


def _check(users: Tensor, items: Tensor, seen: sp.csr_matrix, contestants: dict[str, Work]) -> None:
    """Compare the scores of what each found in float64: ids may part where rounding does."""
    ranked = [
        name for name in contestants if name in ("ours", "torch matmul + topk") or "faiss" in name
    ]
    wide_users, wide_items = users.double(), items.double()

    def scores(ids: Tensor) -> Tensor:
        vectors = wide_items[ids.long()]
        return torch.einsum("ud,ukd->uk", wide_users[: len(ids)], vectors).sort(1).values

    some = [scores(torch.as_tensor(contestants[name]())[:1024]) for name in ranked]
    equal("top-K", *[(x - some[0]).abs().max() < 1e-4 for x in some], True)
    found = topk(users, items, K, exclude=seen).items.numpy()
    listed = sp.csr_matrix((np.ones(found.size), found.ravel(), np.arange(0, found.size + 1, K)))
    listed.resize(seen.shape)
    equal("top-K excluding", listed.multiply(seen).nnz, 0)
