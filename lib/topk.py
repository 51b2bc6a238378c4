"""Exact maximum inner product: every user's k best items, for any size and any memory.

The catalogue is cut into tiles of consecutive items. A user's k tiles of largest maximum, equal
maxima broken by the smaller tile, hold that user's k best items, equal scores broken by the
smaller id: an item outside them is beaten by at least one item in each. So one pass finds the
maxima and only k tiles a user are ranked. On the CPU a block of scores stays in cache between the
product and its maxima; on CUDA the scores are never written at all (``lib.topk_triton``).

The CPU result is the same bit for bit for any memory budget and any number of threads, as far as
we could measure (oneDNN on x86-64, dimensions 1 to 1,024). CPU and CUDA sum in different orders and
may differ where two scores differ by float32 rounding alone.
"""

import math
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.functional import conv2d, pad

from lib.core import InputError, Relevant, array, device_of, relevant_pairs, whole_number

CPU_TILE = 16  # items a tile: ranking maxima costs n_items / 16, ranking tiles 16 k
CUDA_TILE = 32  # one exclusion word of 32 bits a tile
DEFAULT_MEMORY = {"cpu": 2**28, "cuda": 2**30}
_SHARED = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.int64)


class TopK(NamedTuple):
    """Lists on the CPU, best item first."""

    items: Tensor  # int32 (n_users × k), −1 where a user has no further item
    scores: Tensor  # float32 (n_users × k), −inf there


def topk(
    users: Tensor | ArrayLike, items: Tensor | ArrayLike, k: int, *,
    exclude: Relevant | None = None, device: str | torch.device | None = None,
    memory: int | None = None,
) -> TopK:  # fmt: skip
    """Return the k items of largest inner product for every user, exactly, in float32.

    ``users`` (n_users × d) and ``items`` (n_items × d): finite real numbers, used as float32.
    ``exclude`` (n_users × n_items): its non-zeros are never returned; copied unless canonical CSR.
    ``k`` may exceed n_items. ``device``: "cpu", "cuda" (or one CUDA device) or "auto"; by default
    where ``users`` are. ``memory``: bytes that may be allocated at once on that device beside the
    inputs, the result and an integer a user; 256 MiB on the CPU and 1 GiB on CUDA by default.
    """
    from tqdm import tqdm  # here, so that the module needs NumPy, SciPy and torch alone

    users, items = checked_vectors(users, items)
    where = device_of(users.device if device is None else device)
    n, m = len(users), len(items)
    whole_number("k", k)
    k, none = int(k), sp.csr_matrix((n, m), dtype=np.int8)
    seen = none if exclude is None else relevant_pairs(exclude, "items to exclude")
    if seen.shape != (n, m):
        raise InputError(f"exclude is shape {seen.shape}; give {n} users × {m} items")
    fused = where.type == "cuda" and find_spec("triton") is not None
    rank, limits = (rank_fused, FUSED) if fused else (rank_tiles, TILES)
    budget = DEFAULT_MEMORY[where.type] if memory is None else memory
    whole_number("memory", budget, most=2**63 - 1)
    sizes = Sizes(n, m, users.shape[1], k, int(np.diff(seen.indptr).max()))
    threads = torch.get_num_threads() if where.type == "cpu" else 1
    blocks = plan_blocks(sizes, limits, budget, threads)
    nothing = torch.full((n, k), -torch.inf, dtype=torch.float32)
    found = TopK(torch.full((n, k), -1, dtype=torch.int32), nothing)
    steps = math.ceil(n / blocks.users) * math.ceil(m / blocks.items)
    with tqdm(total=steps, desc="top-K", unit="block", delay=3, disable=None) as bar:
        for start in range(0, m, blocks.items):
            of = slice(start, min(start + blocks.items, m))
            catalogue = items[of].to(where, torch.float32)
            short = start + blocks.items - of.stop
            catalogue = pad(catalogue, (0, 0, 0, short)) if short else catalogue.contiguous()
            rank_block = partial(_rank_block, found, users, seen, rank, catalogue, of, blocks, bar)
            in_threads(range(0, n, blocks.users), rank_block, blocks.workers)
    return found


# the plan of blocks and their memory


class Sizes(NamedTuple):
    """What is to be ranked, and the most items excluded for one user."""

    users: int
    items: int
    dimension: int
    k: int
    excluded: int = 0


class Blocks(NamedTuple):
    """How many users and items are ranked at a time, by how many threads, each its own users."""

    users: int
    items: int
    workers: int


class Limits(NamedTuple):
    """What suits a way of ranking."""

    tile: int  # blocks hold whole tiles
    most: Blocks  # larger blocks gain nothing
    scores: int  # users × items of a block that is fast
    need: Callable[[Blocks, Sizes], int]  # bytes that a block allocates


def plan_blocks(sizes: Sizes, limits: Limits, memory: int, threads: int = 1) -> Blocks:
    """Return the largest useful blocks that fit in ``memory`` bytes."""
    tile, most = limits.tile, limits.most
    items = min(_round_up(sizes.items, tile), max(most.items, _round_up(4 * sizes.k, tile)))
    workers = min(threads, most.workers, math.ceil(sizes.users / 32))
    users = max(32, min(most.users, limits.scores // items))
    if users > 64:  # oneDNN's products are slower by a fifth between the multiples
        users -= users % 64
    users = min(users, math.ceil(sizes.users / workers))
    while (need := limits.need(Blocks(users, items, workers), sizes)) > memory:
        # short catalogues cost a merge of k items each, few users a pass over the items
        if items >= max(2 * tile, 64 * users, 4 * sizes.k):
            items = _round_up(items // 2, tile)
        elif users > 1:
            users //= 2
        elif workers > 1:
            workers //= 2
        elif items > tile:
            items = _round_up(items // 2, tile)
        else:
            of = f"vectors of dimension {sizes.dimension} and k = {sizes.k:,}"
            told = f"memory = {memory:,} bytes is too little for {of}"
            raise InputError(f"{told}; give at least {need:,}")
    even = _round_up(math.ceil(sizes.items / math.ceil(sizes.items / items)), tile)
    return Blocks(users, even, workers)


def _round_up(number: int, step: int) -> int:
    """Return the smallest multiple of ``step`` that is not below ``number``."""
    return -(-number // step) * step


def tiles_bytes(blocks: Blocks, sizes: Sizes) -> int:
    """Bytes that ``rank_tiles`` and the merge allocate at most, every row tied included."""
    ranked = min(sizes.k * CPU_TILE, blocks.items)
    kept = sizes.k + min(sizes.k, blocks.items)
    scores = 4 * blocks.items + 24 * blocks.items // CPU_TILE
    one = scores + 48 * ranked + 40 * kept + 40 * sizes.excluded + 8 * sizes.dimension
    return 4 * blocks.items * sizes.dimension + blocks.workers * (blocks.users * one + 4096)


def fused_bytes(blocks: Blocks, sizes: Sizes) -> int:
    """Bytes that ``rank_fused`` and the merge allocate at most, every row tied included."""
    tiles = blocks.items // CUDA_TILE
    ranked = min(sizes.k, tiles) * CUDA_TILE
    kept = sizes.k + min(sizes.k, blocks.items)
    one = 32 * tiles + (8 * sizes.dimension + 64) * ranked + 40 * kept + 64 * sizes.excluded
    return 4 * (blocks.items + blocks.users) * sizes.dimension + blocks.users * one + 4096


# 2**22 scores are 16 MiB: those of two threads stay in a third-level cache of 32 MiB from their
# product to their ranking, and the allocations are small enough for malloc to keep
TILES = Limits(CPU_TILE, Blocks(users=512, items=2**16, workers=8), 2**22, tiles_bytes)
FUSED = Limits(CUDA_TILE, Blocks(users=1024, items=2**20, workers=1), 2**30, fused_bytes)


# the threads


def in_threads(starts: range, work: Callable[[int], None], workers: int) -> None:
    """Call ``work`` once with every number from ``workers`` threads, which share torch's own."""
    if workers == 1:
        for start in starts:
            work(start)
        return
    from threadpoolctl import ThreadpoolController

    share = max(1, torch.get_num_threads() // workers)  # with more, operations wait for a core
    controller = ThreadpoolController().select(user_api="openmp")
    left = iter(starts)  # next() on it is one step to Python's threads

    def run() -> None:
        torch.get_num_threads()  # makes torch set this thread's number first, not after us
        controller.limit(limits=share)  # OpenMP keeps the number for each thread that asks
        for start in left:
            work(start)

    with ThreadPoolExecutor(workers, "top-K") as pool:
        try:
            for finished in [pool.submit(run) for _ in range(workers)]:
                finished.result()
        finally:
            deque(left, maxlen=0)  # after an error or an interrupt no further block is begun


# ranking a block


@torch.no_grad()
def _rank_block(
    found: TopK, users: Tensor, seen: sp.csr_matrix, rank: Callable[..., tuple[Tensor, Tensor]],
    catalogue: Tensor, of: slice, blocks: Blocks, bar: Any, start: int,
) -> None:  # fmt: skip
    """Rank the items ``of`` for a block of users and merge the best into their lists so far."""
    at = slice(start, min(start + blocks.users, len(users)))
    where, k = catalogue.device, found.items.shape[1]
    vectors = users[at].to(where, torch.float32).contiguous()
    rows, columns = (x.to(where) for x in _excluded_pairs(seen, at, of))
    scores, ids = rank(vectors, catalogue, of.stop - of.start, k, rows, columns)
    ids = (ids + of.start).int().masked_fill_(scores == -torch.inf, -1).cpu()
    scores = scores.cpu()
    if of.start:  # items of smaller ids are in the lists already
        scores = torch.cat([found.scores[at], scores], 1)
        scores, ids = _pick(scores, torch.cat([found.items[at], ids], 1), k)
    found.scores[at, : scores.shape[1]], found.items[at, : ids.shape[1]] = scores, ids
    bar.update()


def rank_tiles(
    users: Tensor, items: Tensor, n: int, k: int, rows: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor]:
    """Return scores and ids (both u × min(k, i)) of the best of a block's items, by plain torch.

    ``users`` (u × d), ``items`` (i × d) of which the first ``n`` are real and i is a multiple of
    ``CPU_TILE``; (``rows``, ``columns``) are the excluded pairs. A missing item's score is −inf.
    """
    scores = _product(items, users)  # i × u: users innermost, so that maxima are vector operations
    scores[n:] = -torch.inf
    scores[columns, rows] = -torch.inf
    if k * CPU_TILE >= len(items):  # the tiles to rank would be the whole block
        values = scores.T.contiguous()
        ids = best(values, k)
        return values.gather(1, ids), ids
    tiled = scores.view(-1, CPU_TILE, len(users))
    tiles = best_set(tiled.amax(1).T.contiguous(), k)  # u × k, ascending as the ids
    values = tiled[tiles, :, torch.arange(len(users), device=users.device)[:, None]].flatten(1)
    chosen = best(values, k)
    ids = tiles.gather(1, chosen // CPU_TILE) * CPU_TILE + chosen % CPU_TILE
    return values.gather(1, chosen), ids


def rank_fused(
    users: Tensor, items: Tensor, n: int, k: int, rows: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what ``rank_tiles`` does, by tiles of ``CUDA_TILE``, without the block's scores.

    A kernel gives the tile maxima; the scores of the k best tiles are then computed again.
    """
    from lib.topk_triton import exclusion_words, tile_maxima

    words = exclusion_words(len(users), len(items), n, rows, columns)
    tiles = best_set(tile_maxima(users, items, words), k)
    bits = torch.arange(CUDA_TILE, device=users.device)
    ids = (tiles[:, :, None] * CUDA_TILE + bits).flatten(1)  # u × k · CUDA_TILE
    values = (items[ids] * users[:, None]).sum(2)
    gone = ((words.gather(1, tiles)[:, :, None] >> bits) & 1).bool().flatten(1)
    return _pick(values.masked_fill_(gone, -torch.inf), ids, k)


def _product(items: Tensor, users: Tensor) -> Tensor:
    """Return the scores (i × u); i is a multiple of 16 on the CPU.

    On the CPU as a 1×1 convolution over 16 "images" of i / 16 pixels, which torch gives to oneDNN
    at any thread count; products go to MKL, which uses the vector units of one maker only (2.3
    times slower here). On CUDA torch's TF32 switch must be off, as it is by default.
    """
    with torch.autocast(items.device.type, enabled=False):  # a caller's would give bfloat16
        if items.device.type != "cpu":
            return items @ users.T
        pixels = items.view(16, -1, 1, items.shape[1]).permute(0, 3, 1, 2)  # 16 × d × 1 × i/16
        scores = conv2d(pixels, users[:, :, None, None])  # 16 × u × 1 × i/16
    return scores.permute(0, 2, 3, 1).reshape(len(items), len(users))


def _excluded_pairs(seen: sp.csr_matrix, at: slice, of: slice) -> tuple[Tensor, Tensor]:
    """Return the excluded (user, item) pairs of two blocks, counted from the blocks' starts."""
    starts = seen.indptr[at.start : at.stop + 1]
    columns = seen.indices[starts[0] : starts[-1]]
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    if of.stop - of.start < seen.shape[1]:
        inside = (columns >= of.start) & (columns < of.stop)
        rows, columns = rows[inside], columns[inside] - of.start
    return torch.from_numpy(rows), torch.from_numpy(columns.astype(np.int64))


# the largest values of a row


def best(values: Tensor, k: int) -> Tensor:
    """Return where each row's k largest values are, best first, ties by position (n × min(k, w)).

    ``values`` (n × w) are without NaN.
    """
    at = best_set(values, k)
    order = values.gather(1, at).sort(dim=1, descending=True, stable=True).indices
    return at.gather(1, order)


def best_set(values: Tensor, k: int) -> Tensor:
    """Return the positions that ``best`` returns in ascending order, which costs less."""
    n, length = values.shape
    if k >= length:
        return torch.arange(length, device=values.device).expand(n, length)
    return _by_partition(values, k) if values.device.type == "cpu" else _by_topk(values, k)


def _by_partition(values: Tensor, k: int) -> Tensor:
    """Return ``best_set`` for k below the length of a row, by NumPy, in the memory of the CPU."""
    array = values.detach().numpy()
    n, length = array.shape
    least = np.partition(array, length - k, axis=1)[:, length - k, None].copy()  # frees the rest
    chosen = array >= least
    if np.count_nonzero(chosen) > n * k:  # of those that equal the least, the first are in
        rows = np.flatnonzero(np.count_nonzero(chosen, axis=1) > k)
        equal = array[rows] == least[rows]
        above = chosen[rows] & ~equal
        room = k - np.count_nonzero(above, axis=1, keepdims=True)
        chosen[rows] = above | (equal & (equal.cumsum(axis=1, dtype=np.int32) <= room))
    at = np.flatnonzero(chosen).reshape(n, k)  # positions in the whole array, row after row
    return torch.from_numpy(at - np.arange(0, array.size, length)[:, None])


def _by_topk(values: Tensor, k: int) -> Tensor:
    """Return ``best_set`` for k below the length of a row, by torch, on any device."""
    top, positions = values.topk(k + 1)
    tied = (top[:, k] == top[:, k - 1]).nonzero()[:, 0]  # torch may have taken any of the equal
    positions = positions[:, :k]
    if len(tied):
        positions[tied] = values[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    return positions.sort(1).values


def _pick(values: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k best values of each row and their ids; ids must ascend along a row."""
    chosen = best(values, k)
    return values.gather(1, chosen), ids.gather(1, chosen)


# the checks


def _vectors(given: Any, name: str) -> Tensor:
    tensor = isinstance(given, Tensor) and given.layout == torch.strided
    if tensor and given.dtype in _SHARED and given.device.type in DEFAULT_MEMORY:
        vectors = given.detach()
    else:
        numbers = array(given, name)
        if numbers.dtype.str not in ("<f4", "<f8", "<i8") or min(numbers.strides, default=0) < 0:
            numbers = numbers.astype(np.float32)  # torch has no such type, order or stride
        with warnings.catch_warnings():  # nothing is written to, so read-only arrays are fine
            warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
            vectors = torch.from_numpy(numbers)
    if vectors.ndim != 2 or 0 in vectors.shape:
        shape = tuple(vectors.shape)
        raise InputError(f"{name} has shape {shape}; give a table, not empty, one row per vector")
    return vectors


def checked_vectors(users: Tensor | ArrayLike, items: Tensor | ArrayLike) -> tuple[Tensor, Tensor]:
    """Return vectors as tensors, shared where they can be; refuse what cannot be ranked."""
    users, items = _vectors(users, "users"), _vectors(items, "items")
    if users.shape[1] != items.shape[1]:
        given = f"users have dimension {users.shape[1]} and items {items.shape[1]}"
        raise InputError(f"{given}; give vectors of one dimension, from one view")
    if len(items) > np.iinfo(np.int32).max:
        raise InputError(f"{len(items):,} items were given; give at most 2,147,483,647 (int32)")
    sizes = []
    for vectors, name in ((users, "users"), (items, "items")):
        # no temporary: aminmax passes NaN on, and an infinity is an extreme
        sizes.append(max(abs(float(x)) for x in torch.aminmax(vectors)))
        if not math.isfinite(sizes[-1]):
            raise InputError(f"{name} hold NaN or infinite numbers; give finite vectors")
    if max(*sizes, math.prod(sizes) * users.shape[1]) >= torch.finfo(torch.float32).max:
        raise InputError("users and items are so large that scores may overflow; scale them down")
    return users, items
