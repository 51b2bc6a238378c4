"""What the book takes, said before anything runs, and its fits, which processes share."""

import math
import os
import shutil
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from companion import data
from companion.execute import variant
from companion.site import BUILD
from lib import cache, views
from lib.core import InputError, first_line
from lib.dataset import Dataset

PUBLISHED = Path(__file__).with_name("costs.csv")
"""Of each dataset that was measured: the mean seconds of a fit and of a chapter, the peak MiB of a
job, and what ``calibrate`` returned on that machine."""


LEAST_CHAPTER = 15.0
"""Seconds that a chapter takes on the smallest data: its kernel, its imports and its figures."""


def calibrate() -> float:
    """Return the CPU seconds of a fixed product and fixed sums of embeddings, the best of 20."""
    import torch

    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    matrix, table = torch.randn(1024, 1024, generator=rng), torch.randn(50_000, 64, generator=rng)
    bags = torch.randint(len(table), (20_000, 20), generator=rng)
    took = []
    for _ in range(20):
        started = time.process_time()
        matrix @ matrix
        torch.nn.functional.embedding_bag(bags, table, mode="sum")
        took.append(time.process_time() - started)
    return min(took)


def _expected(name: str, seconds: float) -> tuple[dict[Any, float], str]:
    """Return a dataset's published costs, or those of the one nearest in size, and which these are.

    Times are in proportion to ``seconds``, what ``calibrate`` returned, and to the interactions.
    What would have to be fetched to know its size has none.
    """
    published = pd.read_csv(PUBLISHED, index_col="dataset")
    sizes = [data.DATASETS[one].size for one in published.index]
    published[["users", "items", "interactions"]] = sizes
    published[["fit_s", "chapter_s"]] *= seconds / published[["calibration_s"]].to_numpy()
    if name in published.index:
        return published.loc[name].to_dict(), "as published"
    known = data.DATASETS.get(name)
    if known and known.size:
        users, items, count = known.size
    elif os.path.isdir(name) or name in set(cache.entries().query("kind == 'dataset'")["of"]):
        dataset = data.load(name)
        users, items, count = dataset.n_users, dataset.n_items, dataset.seen.nnz + dataset.test.nnz
    else:
        return {}, "unknown, for it was neither measured nor fetched"
    costs = published.loc[(published.interactions - count).abs().idxmin()].copy()
    costs[["fit_s", "chapter_s"]] *= count / costs.interactions
    costs["chapter_s"] = max(costs["chapter_s"], LEAST_CHAPTER)
    costs[["users", "items"]] = users, items
    return costs.to_dict(), f"as {costs.name} by interactions"


def report(jobs: Mapping[str, Mapping[str, Any]], workers: int) -> str:
    """Return what each part of the book will take, by the published costs (``costs.csv``).

    ``jobs`` has of each part its ``dataset``, ``fits`` and ``chapters``; ``workers`` run at a time.
    """
    seconds = calibrate()
    rows = [_row(part, of, workers, seconds) for part, of in jobs.items()]
    return (
        f"{pd.DataFrame(rows).to_string(index=False)}\n\nOn this machine, by {workers} at a time, "
        f"from an empty cache, without a GPU. {shutil.disk_usage('.').free / 2**30:.0f} GiB of "
        f"disk are free. Calibration: {seconds:.3f} s (costs.csv has those of others)."
    )


def _row(part: str, of: Mapping[str, Any], workers: int, seconds: float) -> dict[str, object]:
    """Return a part's line; unknown is what cannot be expected."""
    costs, source = _expected(of["dataset"], seconds)
    fits, chapters = len(of["fits"]), len(of["chapters"])
    row: dict[str, object] = {"part": part, "fits": fits, "chapters": chapters}
    row |= dict.fromkeys(["minutes", "GiB a job", "GiB of disk"], "unknown")
    if costs:
        minutes = (fits * costs["fit_s"] + chapters * costs["chapter_s"]) / 60 / workers
        # vectors of 64 dimensions twice: as they are and what is made of them
        vectors = 512 * fits * (costs["users"] + costs["items"])
        row["minutes"], row["GiB a job"] = f"{math.ceil(minutes)}", f"{costs['MiB'] / 1024:.1f}"
        row["GiB of disk"] = f"{vectors / 2**30 + 0.02 * chapters:.1f}"
    return row | {"costs": source}


def fit_shared(dataset: Dataset, fits: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Make all fits, ``MODEL@seed=0,NAME=VALUE`` each, but for those that another process makes.

    A process claims a fit by a lock, and at the end waits for what others hold; the operating
    system frees the locks of a killed one, whose fits another then makes. A fit that fails stops no
    other: one InputError at the end names all that failed, and why.
    """
    waiting = list(fits)
    folder = Path(BUILD, "fits")
    folder.mkdir(parents=True, exist_ok=True)
    failed: dict[str, list[str]] = {}  # by the reason
    for blocking in (False, True):
        held = []
        for fit in waiting:
            claim = cache.digest(dataset.digest, dict(settings), fit)[:32]
            try:
                with FileLock(folder / f".{claim}.lock").acquire(blocking=blocking):
                    _make(dataset, fit, settings)
            except Timeout:
                held.append(fit)
            except InputError as error:
                failed.setdefault(str(error), []).append(fit)
            except Exception as error:  # ours, or the machine's: another fit may need less of it
                traceback.print_exc()
                why = f"{type(error).__name__}: {first_line(error)}"
                failed.setdefault(why, []).append(fit)
        waiting = held
    if failed:
        told = [f"{', '.join(of)} on {dataset.name}: {why}" for why, of in failed.items()]
        raise InputError("\n".join(told))


def _make(dataset: Dataset, fit: str, settings: Mapping[str, Any]) -> None:
    """Make one fit, and say how long it took unless it was cached."""
    model, own = variant(fit)
    started = time.perf_counter()
    view = views.fit(dataset, model, **{**settings, **own})
    seconds = time.perf_counter() - started
    if seconds >= view.info.get("seconds", math.inf):  # else it was read in less than it trained
        print(f"{dataset.name}: {fit}, {seconds:.0f} s", file=sys.stderr)
