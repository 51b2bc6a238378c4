"""What chapter 11 says of its simulated worlds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile

import numpy as np
import pandas as pd
from scipy.stats import t

from lib.stats import Estimate
from studies.ch11_worlds import LEVELS, measures_of
from studies.context import check_bounds

HALF, WHOLE = 0.5, 1.0
"""The two shared fractions that the claims are about."""


def worlds_per_level(worlds: int) -> dict[float, int]:
    """Return how many worlds to draw by shared fraction: all for the claims' two, else a fifth."""
    check_bounds("worlds", worlds, 2, 200)
    counts = {level: worlds if level in (HALF, WHOLE) else worlds // 5 for level in LEVELS}
    return {level: count for level, count in counts.items() if count}


def mean_over_worlds(tables: Sequence[pd.DataFrame], measure: str) -> Estimate:
    """Return the mean of one of ``measures_of`` over worlds, with Student's interval (n: worlds).

    It covers the differences between worlds too, which an interval over pooled users leaves out;
    NaN for a single world.
    """
    values = [measures_of(table)[measure].value for table in tables]
    n = len(values)
    if n < 2:
        return Estimate(values[0], np.nan, np.nan, n)
    half = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    mean = float(np.mean(values))
    return Estimate(mean, mean - half, mean + half, n)


def break_even(gains: Mapping[float, Estimate]) -> float:
    """Return the shared fraction from which on no gain's interval is above 0, NaN if there is none.

    ``gains`` has the gain by shared fraction.
    """
    idle = takewhile(lambda level: not gains[level].low > 0, sorted(gains, reverse=True))
    return min(idle, default=np.nan)
