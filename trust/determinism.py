"""The same answer in one process or many, cold or cached, whatever order, batches or threads."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from companion.data import synthetic
from lib import cache, views
from lib.dataset import Dataset
from lib.encoders import text
from lib.topk import topk
from trust.figures import Figure
from trust.laws import quick
from trust.processes import forked

FOUND = "digests.json"
BATCHES = (1, 7, 16, 64, 80)
THREADS = (1, 2, 4)
TOLERANCE = 1e-4  # of the largest score, between thread counts
TITLES = [f"The {first} of the {second}" for first in ("quest", "castle", "night", "tower", "race")
          for second in ("island", "dragon", "ocean", "space")]  # fmt: skip


def figures(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield a line per circumstance that must change nothing."""
    with tempfile.TemporaryDirectory(prefix="trust-") as name:
        os.environ |= {"COMPANION_CACHE": f"{name}/cache", "OMP_NUM_THREADS": "1"}
        os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
        yield from in_processes(Path(name))
        yield whatever_the_batch()
        yield from whatever_the_threads()
        yield whatever_the_memory()


def small() -> Dataset:
    """Return the little world that models are fitted on."""
    return synthetic.world(n_users=60, n_items=40, seed=3).dataset


def fit_all(folder: Path, models: list[str]) -> None:
    """Fit models and write the digest of each one's lists of test items."""
    dataset = small()
    found = {model: cache.digest(views.lists(quick(dataset, model), dataset, 10))
             for model in models}  # fmt: skip
    (folder / FOUND).write_text(json.dumps(found))


def in_processes(folder: Path) -> Iterator[Figure]:
    """Fit every model in several processes, and hold the lists against those of the first."""
    every = views.models()
    first = digests(folder / "first", every)
    parts = [digests(folder / f"part{part}", every[part::4]) for part in range(4)]
    for what, found in (
        ("lists of another process with an empty cache", digests(folder / "cold", every)),
        ("lists read from the cache", digests(folder / "first", every)),
        ("lists of models fitted in another order", digests(folder / "order", every[::-1])),
        ("lists of models fitted in four processes", {m: d for p in parts for m, d in p.items()}),
    ):
        yield Figure(what, len(first), sum(found[model] == first[model] for model in first))


def digests(folder: Path, models: list[str]) -> dict[str, str]:
    """Return the digests of lists that a process of its own makes."""
    folder.mkdir(exist_ok=True)
    if forked(partial(fit_all, models=models))(folder).finished() != 0:
        raise RuntimeError((folder / "log").read_text())
    found: dict[str, str] = json.loads((folder / FOUND).read_text())
    return found


def whatever_the_batch() -> Figure:
    """Encode titles in batches of several sizes: the neighbours of each title stay."""
    usual, right, furthest = text._vectors("minilm", TITLES), 0, 0.0
    for batch in BATCHES:
        kept, text.BATCH = text.BATCH, batch
        try:
            vectors = text._vectors("minilm", TITLES)
        finally:
            text.BATCH = kept
        furthest = max(furthest, float(np.abs(vectors - usual).max()))
        right += torch.equal(topk(vectors, vectors, 5).items, topk(usual, usual, 5).items)
    words = f"vectors differ by {furthest:.1g} at most; the size is fixed at {text.BATCH}"
    return Figure("neighbours of titles encoded in batches of 1 to 80", len(BATCHES), right, words)


def whatever_the_threads() -> Iterator[Figure]:
    """Rank and train with one, two and four threads."""
    dataset = synthetic.world(n_users=400, n_items=300, seed=5).dataset
    usual = torch.get_num_threads()
    lists, made, scores = [], [], []
    try:
        for threads in THREADS:
            torch.set_num_threads(threads)
            os.environ["COMPANION_CACHE"] += f"-{threads}"
            view = views.fit(dataset, "lightgcn", device="cpu", epochs=8, batch=1024)
            made.append(views.lists(view, dataset, 10))
            scores.append(view.users @ view.items.T)
            fixed = views.fit(dataset, "random", device="cpu")
            lists.append(views.lists(fixed, dataset, 10))
    finally:
        torch.set_num_threads(usual)
    yield Figure("lists ranked with 1, 2 and 4 threads, byte by byte", len(THREADS),
                 sum(np.array_equal(one, lists[0]) for one in lists))  # fmt: skip
    largest = float(scores[0].abs().max())
    apart = [float((one - scores[0]).abs().max()) / largest for one in scores]
    same = np.mean([(one == made[0]).mean() for one in made[1:]])
    yield Figure(
        f"views trained with 1, 2 and 4 threads, within {TOLERANCE:g}",
        len(THREADS),
        sum(one <= TOLERANCE for one in apart),
        f"scores differ by {max(apart):.1g} of the largest; {same:.2%} of places same",
    )


def whatever_the_memory() -> Figure:
    """Rank within several budgets of memory."""
    dataset = synthetic.world(n_users=400, n_items=300, seed=5).dataset
    view = views.fit(dataset, "random", device="cpu")
    budgets = [2**power for power in range(18, 28)]
    found = [topk(view.users, view.items, 10, exclude=dataset.seen, memory=b) for b in budgets]
    right = sum(torch.equal(one.items, found[0].items) and torch.equal(one.scores, found[0].scores)
                for one in found)  # fmt: skip
    return Figure("lists and scores within 256 KiB to 128 MiB, byte by byte", len(budgets), right)
