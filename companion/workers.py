"""Many fits in one process, whose start they share, and beside others that are given the same."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from companion.execute import slug, variant
from companion.plan import recorded
from companion.site import BUILD
from lib import cache, views
from lib.core import InputError, first_line
from lib.dataset import Dataset


def share(dataset: Dataset, fits: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Make all fits, ``MODEL@seed=0,NAME=VALUE`` each, but for those that another process makes.

    A process claims a fit by a lock, and at the end waits for what others hold; the operating
    system frees the locks of a killed one, whose fits another then makes. The longest come first:
    those that took longest here, after those that never ran. A fit that fails stops no other: one
    InputError at the end names all that failed, and why.
    """
    took = recorded(slug(dataset.name))
    waiting = sorted(fits, key=lambda fit: -took.get(fit, (float("inf"), 0))[0])
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
    """Make one fit, and record its seconds and peak MiB unless it was cached."""
    model, own = variant(fit)
    with contextlib.suppress(OSError):  # only Linux forgets an earlier peak
        Path("/proc/self/clear_refs").write_text("5")
    started = time.perf_counter()
    view = views.fit(dataset, model, **{**settings, **own})
    seconds = time.perf_counter() - started
    if seconds < view.info.get("seconds", float("inf")):
        return  # it was read in less time than its training took
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    path = Path(BUILD, "costs", slug(dataset.name), "fits", f"{fit.replace('/', '-')}.tsv")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")  # one at a time: the fit is claimed
    part.write_text(f"s\tmax_rss\n{seconds:.2f}\t{peak:.0f}\n", encoding="utf-8")
    part.replace(path)
    print(f"{dataset.name}: {fit}, {seconds:.0f} s", file=sys.stderr)
