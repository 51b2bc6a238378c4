"""How much ``lib.topk`` ranks at a time, within a memory budget, and by how many threads."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from threadpoolctl import ThreadpoolController

from lib.errors import InputError


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
