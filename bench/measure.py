"""How things are measured: contestants in turn in one run, medians, and what the machine can do."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

Work = Callable[[], Any]


class Machine(NamedTuple):
    """The processor, the threads used and its two speeds: the best seen now, being limits."""

    processor: str
    threads: int
    python: str
    torch: str
    flops: float  # float32 operations per second of the fastest product torch has
    bandwidth: float  # bytes per second, read and written, of a copy larger than the caches


@dataclass(frozen=True)
class Row:
    """One line of the table; ``ours``, ``peer`` and ``floor`` are in ``unit``, lower is better.

    ``floor`` is the least that arithmetic (operations at the machine's rate) and memory (bytes at
    its bandwidth) allow, whichever is more; None where neither bounds the work.
    """

    what: str
    size: str
    ours: float
    peer_name: str
    peer: float
    floor: float | None = None
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """Ours ÷ peer: below 1 is better than the peer."""
        return self.ours / self.peer


def race(contestants: dict[str, Work], repeats: int) -> dict[str, float]:
    """Return each contestant's median seconds, taken in turn so that noise falls on all alike."""
    return {name: statistics.median(times) for name, times in _times(contestants, repeats).items()}


def machine(threads: int) -> Machine:
    """Set torch's threads and measure what they can do."""
    torch.set_num_threads(threads)
    return Machine(
        _processor(), threads, platform.python_version(), torch.__version__, _flops(), _bandwidth()
    )


def floor(machine: Machine, operations: float, moved: float) -> float:
    """Return the seconds that the operations and the bytes moved take at least."""
    return max(operations / machine.flops, moved / machine.bandwidth)


def peak_bytes(work: Work) -> int:
    """Return by how much this process grew while ``work`` ran, sampled every 2 ms (Linux).

    Memory that an earlier allocation left to the process is not seen: call in a fresh one.
    """
    page, done, seen = os.sysconf("SC_PAGE_SIZE"), threading.Event(), [_resident_pages()]

    def watch() -> None:
        while not done.wait(0.002):
            seen.append(_resident_pages())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return (max(seen) - seen[0]) * page


def equal(what: str, *same: Any) -> None:
    """Stop unless all are equal: no time is reported for a wrong result."""
    if not all(np.array_equal(np.asarray(same[0]), np.asarray(x), equal_nan=True) for x in same):
        sys.exit(f"{what}: the contestants' results differ, so nothing was timed.")


def _times(contestants: dict[str, Work], repeats: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for work in contestants.values():
        work()  # warm-up: first allocations, kernels chosen
    for _ in range(repeats):
        for name, work in contestants.items():
            time.sleep(0.02)  # another library's threads spin for a while after their work
            start = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - start)
    return taken


def _flops() -> float:
    """Operations per second of the faster of torch's two routes to a float32 product."""
    side, d = 1024, 256
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(side, d, generator=rng), torch.randn(side, d, generator=rng)
    pixels, filters = x.view(16, -1, 1, d).permute(0, 3, 1, 2), y[:, :, None, None]
    routes = {
        "MKL": lambda: torch.mm(x, y.T),
        "oneDNN": lambda: torch.nn.functional.conv2d(pixels, filters),
    }
    with torch.no_grad():
        return 2 * side * side * d / min(map(min, _times(routes, 25).values()))


def _bandwidth() -> float:
    source = torch.randn(2**25, generator=torch.Generator().manual_seed(0))
    target = torch.empty_like(source)
    return 2 * source.nbytes / min(_times({"copy": lambda: target.copy_(source)}, 9)["copy"])


def _resident_pages() -> int:
    with open("/proc/self/statm") as status:
        return int(status.read().split()[1])


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        return f"{names[0]} ({len(names)} CPUs)"
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
