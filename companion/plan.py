"""What will it take? Fits, chapters, minutes, memory and disk, said before anything runs."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from companion.execute import slug
from companion.site import BUILD

PUBLISHED = Path(__file__).with_name("costs.csv")
"""Of each dataset that was measured: the mean seconds of a fit and of a chapter, the peak MiB of a
job, and what ``calibrate`` returned on that machine."""


def recorded(part: str) -> dict[str, tuple[float, float]]:
    """Return the seconds and the peak MiB of each fit and chapter of a part that ran here.

    A file that is being written, or was left by a killed job, counts as none.
    """
    costs = {}
    for path in Path(BUILD, "costs", part).rglob("*.tsv"):
        try:
            row = pd.read_csv(path, sep="\t").iloc[0]
            seconds, peak = float(row["s"]), float(row["max_rss"])
        except (OSError, ValueError, LookupError):
            continue
        if math.isfinite(seconds) and math.isfinite(peak):
            costs[path.stem] = seconds, peak
    return costs


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
    What would have to be fetched has none.
    """
    published = pd.read_csv(PUBLISHED, index_col="dataset")
    published[["fit_s", "chapter_s"]] *= seconds / published[["calibration_s"]].to_numpy()
    if name in published.index:
        return published.loc[name].to_dict(), "as published"
    from companion import data
    from lib import cache

    entries = cache.entries()
    if not os.path.isdir(name) and name not in set(entries.loc[entries.kind == "dataset", "of"]):
        return {}, "unknown, for it was neither measured nor fetched"
    dataset = data.load(name)
    count = sum(part.nnz for part in (dataset.train, dataset.valid, dataset.test))
    costs = published.loc[(published.interactions - count).abs().idxmin()].copy()
    costs[["fit_s", "chapter_s"]] *= count / costs.interactions
    costs[["users", "items"]] = dataset.n_users, dataset.n_items
    return costs.to_dict(), f"as {costs.name} by interactions"


def report(jobs: Mapping[str, Mapping[str, Any]], workers: int) -> str:
    """Return what each part of the book will take, from what ran here and from ``costs.csv``.

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
    """Return a part's line; unknown is what neither ran here nor can be expected."""
    ran = recorded(slug(of["dataset"])) | recorded(part)
    costs, source = _expected(of["dataset"], seconds)
    kinds = dict.fromkeys(of["fits"], "fit_s") | dict.fromkeys(of["chapters"], "chapter_s")
    known = [ran[name] for name in kinds if name in ran]
    lacking = [kind for name, kind in kinds.items() if name not in ran]
    row = {"part": part, "fits": len(of["fits"]), "chapters": len(of["chapters"])}
    row |= dict.fromkeys(["minutes", "GiB a job", "GiB of disk"], "unknown")
    if costs or not lacking:
        took = sum(s for s, _ in known) + sum(costs[kind] for kind in lacking)
        peaks = [mib for _, mib in known] + [costs["MiB"] for _ in lacking[:1]]
        row["minutes"], row["GiB a job"] = f"{took / 60 / workers:.0f}", f"{max(peaks) / 1024:.1f}"
    if costs:  # vectors of 64 dimensions twice: as they are and what is made of them
        vectors = 512 * len(of["fits"]) * (costs["users"] + costs["items"])
        row["GiB of disk"] = f"{vectors / 2**30 + 0.02 * len(of['chapters']):.1f}"
    return row | {"from": f"{len(known)} of {len(kinds)} recorded here; the rest {source}"}
