"""What the tests of the chapters on probes share: a run, and vectors as if of trained views."""

from typing import Any

import numpy as np
import runs

from lib.dataset import Dataset
from studies import ch06_probes
from studies.context import Run

GIVEN = runs.GIVEN | {"epochs": 2, "wide_items": 0, "sample_items": 100}


def run_of(dataset: Dataset, **change: Any) -> Run:
    return Run(dataset, GIVEN | change)


def random_vectors(n: int = 40, seed: int = 0) -> ch06_probes.ProbeVectors:
    """Return vectors that stand for those of trained views."""
    draw = np.random.default_rng(seed)
    factors = draw.normal(size=(n, 4))
    projected, raw = (factors @ draw.normal(size=(4, d)) + draw.normal(size=(n, d)) for d in (4, 6))
    second = factors @ np.linalg.qr(draw.normal(size=(4, 4)))[0]
    sources = {ch06_probes.PROJECTED: projected, ch06_probes.RAW: raw}
    return ch06_probes.ProbeVectors(seed, sources, factors, second, draw.normal(size=(60, 4)))
