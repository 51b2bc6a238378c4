"""Exact maximum inner product: every user's k best items, whatever the sizes and the memory.

The catalogue is cut into tiles of consecutive items. A user's k tiles of largest maximum, equal
maxima broken by the smaller tile, hold that user's k best items, equal scores broken by the
smaller id: an item outside them is beaten by at least one item in each. So one pass finds the
maxima and only k tiles a user are ranked. On the CPU a block of scores stays in cache between the
product and its maxima; on CUDA the scores are never written at all (``lib.topk_triton``).

The CPU result is the same bit for bit whatever the memory budget and the number of threads, as
far as we could measure (oneDNN on x86-64, widths 1 to 1,024): one inner product is summed in the
same order in a block of any shape. CPU and CUDA sum in different orders and may part where two
scores differ by float32 rounding alone.
"""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor
from tqdm import tqdm

from lib.core import InputError


def best(values: Tensor, k: int) -> Tensor:
    """Return the positions of each row's k largest values, best first, ties by smaller position.

    ``values`` (n × w), without NaN, to int64 (n × min(k, w)).
    """
    at = members(values, k)
    order = values.gather(1, at).sort(dim=1, descending=True, stable=True).indices
    return at.gather(1, order)


def members(values: Tensor, k: int) -> Tensor:
    """Return the positions that ``best`` returns in ascending order, which costs less."""
    n, width = values.shape
    if k >= width:
        return torch.arange(width, device=values.device).expand(n, width)
    return by_partition(values, k) if values.device.type == "cpu" else by_topk(values, k)


def by_partition(values: Tensor, k: int) -> Tensor:
    """Do what ``members`` does where k is below the width, in the memory of the CPU."""
    array = values.detach().numpy()
    n, width = array.shape
    least = np.partition(array, width - k, axis=1)[:, width - k, None].copy()  # lets the rest go
    chosen = array >= least
    if np.count_nonzero(chosen) > n * k:  # of those that equal the least, the first are in
        rows = np.flatnonzero(np.count_nonzero(chosen, axis=1) > k)
        equal = array[rows] == least[rows]
        above = chosen[rows] & ~equal
        room = k - np.count_nonzero(above, axis=1, keepdims=True)
        chosen[rows] = above | (equal & (equal.cumsum(axis=1, dtype=np.int32) <= room))
    at = np.flatnonzero(chosen).reshape(n, k)  # the rows of the whole, one after the other
    return torch.from_numpy(at - np.arange(0, array.size, width)[:, None])


def by_topk(values: Tensor, k: int) -> Tensor:
    """Do what ``members`` does where k is below the width, by torch alone, on any device."""
    top, positions = values.topk(k + 1)
    tied = (top[:, k] == top[:, k - 1]).nonzero()[:, 0]  # who of the equal ones is in is open
    positions = positions[:, :k]
    if len(tied):
        positions[tied] = values[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    return positions.sort(1).values


class Blocks(NamedTuple):
    """How many users and items are ranked at a time, by how many threads, each its own users."""

    users: int
    items: int
    workers: int


class Work(NamedTuple):
    """What is to be ranked: the sizes, and the most items excluded for one user."""

    users: int
    items: int
    width: int
    k: int
    excluded: int = 0


class Limits(NamedTuple):
    """What suits a way of ranking: blocks hold whole tiles, and gain nothing beyond ``most``.

    ``scores``: users × items of a block that is fast. ``need(blocks, work)``: bytes it allocates.
    """

    tile: int
    most: Blocks
    scores: int
    need: Callable[[Blocks, Work], int]


def plan(work: Work, limits: Limits, memory: int, threads: int = 1) -> Blocks:
    """Return the largest useful blocks that fit in ``memory`` bytes.

    Raises InputError if one user and one tile of items do not fit.
    """
    tile, most = limits.tile, limits.most
    items = min(up(work.items, tile), max(most.items, up(4 * work.k, tile)))
    workers = min(threads, most.workers, math.ceil(work.users / 32))
    users = max(32, min(most.users, limits.scores // items))
    if users > 64:  # oneDNN's products are slower by a fifth between the multiples
        users -= users % 64
    users = min(users, math.ceil(work.users / workers))
    while (need := limits.need(Blocks(users, items, workers), work)) > memory:
        # short catalogues cost a merge of k items each, few users a pass over the items
        if items >= max(2 * tile, 64 * users, 4 * work.k):
            items = up(items // 2, tile)
        elif users > 1:
            users //= 2
        elif workers > 1:
            workers //= 2
        elif items > tile:
            items = up(items // 2, tile)
        else:
            raise InputError(
                f"memory={memory:,} bytes is too little for vectors of width {work.width} and "
                f"k={work.k:,}: give at least {need:,}."
            )
    even = up(math.ceil(work.items / math.ceil(work.items / items)), tile)
    return Blocks(users, even, workers)


def each(
    starts: range, work: Callable[[int], None], workers: int, done: Callable[[], object] = bool
) -> None:
    """Call ``work`` once with every number, from ``workers`` threads that share out torch's own.

    ``done`` is called after each.

    A thread that takes the next block when it is done with one never waits for another, as the
    threads inside a torch operation do for the slowest of them: on a busy machine that is most of
    the time (8 times as long with two cores and six runnable threads).
    """
    if workers == 1:
        for start in starts:
            work(start)
            done()
        return
    share = max(1, torch.get_num_threads() // workers)
    controller = ThreadpoolController().select(user_api="openmp")
    left = iter(starts)  # next() on it is one step to Python's threads

    def run() -> None:
        torch.get_num_threads()  # makes torch set this thread's number first, not after us
        controller.limit(limits=share)  # OpenMP keeps the number for each thread that asks
        for start in left:
            work(start)
            done()

    with ThreadPoolExecutor(workers, "top-K") as pool:
        try:
            for finished in [pool.submit(run) for _ in range(workers)]:
                finished.result()
        finally:
            deque(left, maxlen=0)  # after an error or an interrupt nothing more is begun


def up(number: int, step: int) -> int:
    """Return the smallest multiple of ``step`` that is not below ``number``."""
    return -(-number // step) * step


ArrayLike = Tensor | np.ndarray
Rank = Callable[[Tensor, Tensor, int, int, Tensor, Tensor], tuple[Tensor, Tensor]]
Maxima = Callable[[Tensor, Tensor, Tensor], Tensor]

TILE = 16  # items a tile on the CPU: ranking maxima costs n_items / 16, ranking tiles 16 k
FUSED_TILE = 32  # on CUDA: one exclusion word of 32 bits a tile
DEFAULT_MEMORY = {"cpu": 2**28, "cuda": 2**30}


class TopK(NamedTuple):
    """Lists on the CPU, best item first.

    ``items``: int32 (n_users × k), −1 where a user has no further item.
    ``scores``: float32 (n_users × k), −inf there.
    """

    items: Tensor
    scores: Tensor


def topk(
    users: ArrayLike,
    items: ArrayLike,
    k: int,
    *,
    exclude: sp.spmatrix | sp.sparray | None = None,
    device: str | torch.device | None = None,
    memory: int | None = None,
) -> TopK:
    """Return the k items of largest inner product for every user, exactly, in float32.

    ``users`` (n_users × d) and ``items`` (n_items × d): finite tensors or arrays of real numbers,
    used as float32. ``exclude``: sparse (n_users × n_items); items stored with a value other than
    0 are never returned. ``k`` may exceed n_items. ``device``: "cpu", "cuda" (or one CUDA device)
    or "auto" (CUDA if there is one); by default where ``users`` lies. ``memory``: bytes that may
    be allocated at once on that device beside the inputs, the result and an integer a user; 256 MiB
    on the CPU and 1 GiB on CUDA by default (an ``exclude`` that is not canonical CSR is copied).
    Costs n_users · n_items · d multiplications.

    Raises InputError for NaN, infinite, empty or mismatched inputs, for vectors so large that
    their products could overflow, for k < 1, for a device that is not there and for a budget
    that not even one user and one tile of items fit in.
    """
    users, items = _vectors(users, "users"), _vectors(items, "items")
    _check_pair(users, items)
    n, m = len(users), len(items)
    k, seen = _whole(k, "k"), _exclusions(exclude, n, m)
    where = _device(device, users)
    rank, limits = (rank_fused, FUSED) if _has_kernel(where) else (rank_tiles, TILES)
    budget = DEFAULT_MEMORY[where.type] if memory is None else _whole(memory, "memory")
    work = Work(n, m, users.shape[1], k, int(np.diff(seen.indptr).max()))
    threads = torch.get_num_threads() if where.type == "cpu" else 1
    blocks = plan(work, limits, budget, threads)
    nothing = torch.full((n, k), -torch.inf, dtype=torch.float32)
    found = TopK(torch.full((n, k), -1, dtype=torch.int32), nothing)
    steps = math.ceil(n / blocks.users) * math.ceil(m / blocks.items)
    with tqdm(total=steps, desc="top-K", unit="block", delay=3, disable=None) as bar:
        for start in range(0, m, blocks.items):
            of = slice(start, min(start + blocks.items, m))
            catalogue = _padded(items[of].to(where, torch.float32), blocks.items)
            rank_users = partial(_rank_block, found, users, seen, rank, catalogue, of, blocks.users)
            each(range(0, n, blocks.users), rank_users, blocks.workers, bar.update)
    return found


def tiles_bytes(blocks: Blocks, work: Work) -> int:
    """Bytes that ``rank_tiles`` and the merge allocate at most, every row tied included."""
    ranked = min(work.k * TILE, blocks.items)
    kept = work.k + min(work.k, blocks.items)
    scores = 4 * blocks.items + 24 * blocks.items // TILE
    one = scores + 48 * ranked + 40 * kept + 40 * work.excluded + 8 * work.width
    return 4 * blocks.items * work.width + blocks.workers * (blocks.users * one + 4096)


def fused_bytes(blocks: Blocks, work: Work) -> int:
    """Bytes that ``rank_fused`` and the merge allocate at most, every row tied included."""
    tiles = blocks.items // FUSED_TILE
    ranked = min(work.k, tiles) * FUSED_TILE
    kept = work.k + min(work.k, blocks.items)
    one = 32 * tiles + (8 * work.width + 64) * ranked + 40 * kept + 64 * work.excluded
    return 4 * (blocks.items + blocks.users) * work.width + blocks.users * one + 4096


# 2**22 scores are 16 MiB: those of two threads stay in a third-level cache of 32 MiB from their
# product to their ranking, and the allocations are small enough for malloc to keep
TILES = Limits(TILE, Blocks(users=512, items=2**16, workers=8), 2**22, tiles_bytes)
FUSED = Limits(FUSED_TILE, Blocks(users=1024, items=2**20, workers=1), 2**30, fused_bytes)


def rank_tiles(
    users: Tensor, items: Tensor, n: int, k: int, rows: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor]:
    """Return scores and ids (both u × min(k, i)) of the best of a block's items, by plain torch.

    ``users`` (u × d), ``items`` (i × d) of which the first ``n`` are real and i is a multiple of
    ``TILE``; (``rows``, ``columns``) are the excluded pairs. Ids count from the block's first
    item; a score of −inf marks a place without an item.
    """
    scores = _product(items, users)  # i × u: users innermost, so that maxima are vector operations
    scores[n:] = -torch.inf
    scores[columns, rows] = -torch.inf
    if k * TILE >= len(items):  # the tiles to rank would be the whole block
        values = scores.T.contiguous()
        ids = best(values, k)
        return values.gather(1, ids), ids
    tiled = scores.view(-1, TILE, len(users))
    tiles = members(tiled.amax(1).T.contiguous(), k)  # u × k, ascending as the ids
    values = tiled[tiles, :, torch.arange(len(users), device=users.device)[:, None]].flatten(1)
    chosen = best(values, k)
    return values.gather(1, chosen), tiles.gather(1, chosen // TILE) * TILE + chosen % TILE


def rank_fused(
    users: Tensor,
    items: Tensor,
    n: int,
    k: int,
    rows: Tensor,
    columns: Tensor,
    maxima: Maxima | None = None,
) -> tuple[Tensor, Tensor]:
    """Do what ``rank_tiles`` does, of tiles of ``FUSED_TILE``, without the block's scores.

    ``maxima(users, items, words)`` gives the tile maxima, by default ``lib.topk_triton``'s kernel;
    the k best tiles' scores are then computed again.
    """
    if maxima is None:
        from lib.topk_triton import tile_maxima

        maxima = tile_maxima
    words = _exclusion_words(len(users), len(items), n, rows, columns)
    tiles = members(maxima(users, items, words), k)
    ids = _item_ids(tiles, FUSED_TILE)
    values = (items[ids] * users[:, None]).sum(2)
    bits = torch.arange(FUSED_TILE, device=users.device)
    gone = ((words.gather(1, tiles)[:, :, None] >> bits) & 1).bool().flatten(1)
    return _pick(values.masked_fill_(gone, -torch.inf), ids, k)


def _product(items: Tensor, users: Tensor) -> Tensor:
    """Return the scores (i × u); i is a multiple of 16 on the CPU.

    On the CPU as a 1×1 convolution over 16 "images" of i / 16 pixels: torch gives those to
    oneDNN, which uses the vector units of every maker's processor, and products to MKL, which
    does not (2.3 times slower here). 16 images make torch choose oneDNN at any thread count.
    On CUDA torch's TF32 switch must be off, as it is by default, for the scores to be float32.
    """
    with torch.autocast(items.device.type, enabled=False):  # a caller's would give bfloat16
        if items.device.type != "cpu":
            return items @ users.T
        pixels = items.view(16, -1, 1, items.shape[1]).permute(0, 3, 1, 2)  # 16 × d × 1 × i/16
        scores = torch.nn.functional.conv2d(pixels, users[:, :, None, None])  # 16 × u × 1 × i/16
    return scores.permute(0, 2, 3, 1).reshape(len(items), len(users))


def _exclusion_words(n_users: int, n_items: int, n: int, rows: Tensor, columns: Tensor) -> Tensor:
    """Return int32 words (u × tiles): bit j is set where the tile's j-th item does not count."""
    words = torch.zeros(n_users, n_items // FUSED_TILE, dtype=torch.int32, device=rows.device)
    bits = (1 << columns % FUSED_TILE).int()  # bit 31 wraps to the sign, as it should
    words.index_put_((rows, columns // FUSED_TILE), bits, accumulate=True)  # pairs are unique
    if n < n_items:  # the padding
        words[:, n // FUSED_TILE] |= -1 << n % FUSED_TILE
        words[:, n // FUSED_TILE + 1 :] = -1
    return words


def _item_ids(tiles: Tensor, tile: int) -> Tensor:
    """Return the ids (u × k·tile) of the items of tiles (u × k)."""
    return (tiles[:, :, None] * tile + torch.arange(tile, device=tiles.device)).flatten(1)


def _pick(values: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k best values of each row and their ids; ids must ascend along a row."""
    chosen = best(values, k)
    return values.gather(1, chosen), ids.gather(1, chosen)


@torch.no_grad()
def _rank_block(
    found: TopK,
    users: Tensor,
    seen: sp.csr_matrix,
    rank: Rank,
    catalogue: Tensor,
    of: slice,
    block: int,
    start: int,
) -> None:
    """Rank the items ``of`` for a block of users and merge what is found into their lists.

    Earlier items, which have smaller ids, are merged already.
    """
    at = slice(start, min(start + block, len(users)))
    where, k = catalogue.device, found.items.shape[1]
    vectors = users[at].to(where, torch.float32).contiguous()
    rows, columns = (x.to(where) for x in _excluded_pairs(seen, at, of))
    scores, ids = rank(vectors, catalogue, of.stop - of.start, k, rows, columns)
    ids = (ids + of.start).int().masked_fill_(scores == -torch.inf, -1).cpu()
    scores = scores.cpu()
    if of.start:
        scores = torch.cat([found.scores[at], scores], 1)
        scores, ids = _pick(scores, torch.cat([found.items[at], ids], 1), k)
    found.scores[at, : scores.shape[1]], found.items[at, : ids.shape[1]] = scores, ids


def _padded(items: Tensor, length: int) -> Tensor:
    if len(items) < length:
        return torch.nn.functional.pad(items, (0, 0, 0, length - len(items)))
    return items.contiguous()


def _excluded_pairs(seen: sp.csr_matrix, at: slice, of: slice) -> tuple[Tensor, Tensor]:
    """Return the excluded (user, item) pairs of two blocks, counted from the blocks' starts."""
    starts = seen.indptr[at.start : at.stop + 1]
    columns = seen.indices[starts[0] : starts[-1]]
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    if of.stop - of.start < seen.shape[1]:
        inside = (columns >= of.start) & (columns < of.stop)
        rows, columns = rows[inside], columns[inside] - of.start
    return torch.from_numpy(rows), torch.from_numpy(columns.astype(np.int64))


def _whole(number: int, name: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
        raise InputError(f"{name}={number!r} was given: give a whole number of at least 1.")
    return int(number)


def _vectors(given: ArrayLike, name: str) -> Tensor:
    """Return ``given`` as a tensor without copying where torch can share the memory."""
    try:
        with warnings.catch_warnings():  # nothing is written to, so read-only arrays are fine
            warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
            vectors = torch.as_tensor(given).detach()
        real = not vectors.is_complex() and vectors.layout == torch.strided
    except (TypeError, ValueError, RuntimeError):
        real = False
    if not real:
        raise InputError(f"{name} is no table of real numbers: give a tensor or array, rows × d.")
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise InputError(
            f"{name} has shape {tuple(vectors.shape)}: give a table of at least one row and "
            f"one column, a row for each vector."
        )
    return vectors


def _check_pair(users: Tensor, items: Tensor) -> None:
    """Raise InputError unless the widths match and no inner product can overflow float32."""
    if users.shape[1] != items.shape[1]:
        raise InputError(
            f"users have width {users.shape[1]} and items {items.shape[1]}: give vectors of one "
            f"width, from one view."
        )
    largest = 1.0
    for vectors, name in ((users, "users"), (items, "items")):
        # no temporary: aminmax passes NaN on, and an infinity is an extreme
        size = max(abs(float(x)) for x in torch.aminmax(vectors))
        if not math.isfinite(size):
            raise InputError(f"{name} hold NaN or infinite numbers: give finite vectors.")
        largest *= size
    if largest * users.shape[1] >= torch.finfo(torch.float32).max:
        raise InputError("users and items are so large that scores may overflow: scale them down.")


def _exclusions(exclude: sp.spmatrix | sp.sparray | None, n: int, m: int) -> sp.csr_matrix:
    """Return ``exclude`` as CSR without duplicates or stored zeros; empty for None."""
    if exclude is None:
        return sp.csr_matrix((n, m), dtype=np.int8)
    if not sp.issparse(exclude) or exclude.shape != (n, m):
        given = f"shape {exclude.shape}" if sp.issparse(exclude) else type(exclude).__name__
        raise InputError(
            f"exclude is {given}: give a SciPy sparse matrix of {n} users × {m} items."
        )
    seen = sp.csr_matrix(exclude)
    if not seen.has_canonical_format or not seen.data.all():
        seen = seen.copy()
        seen.sum_duplicates()
        seen.eliminate_zeros()
    return seen


def _has_kernel(where: torch.device) -> bool:
    return where.type == "cuda" and find_spec("triton") is not None


def _device(device: str | torch.device | None, users: Tensor) -> torch.device:
    if device is None:
        device = users.device
    elif device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        where = torch.device(device)
    except (RuntimeError, TypeError):
        where = torch.device("meta")
    if where.type not in DEFAULT_MEMORY:
        raise InputError(f"device={device!r} is not one to rank on: give cpu, cuda or auto.")
    if where.type == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"device={str(device)!r} needs a GPU and torch sees none: give cpu or auto."
        )
    return where
