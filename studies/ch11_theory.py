"""What a shared-plus-private world predicts for overlap, oracle and fusion.

The world is that of ``companion.data.synthetic``: an item has factors s (shared), a (semantic) and
b (collaborative), and the variance of a user's utility is split into ``shared`` and twice
(1 − shared) / 2. An ideal view knows s and its own private factors. A *noisy ideal view* is a
user's own factors beside item factors with normal noise added: what these show is predicted for
trained views, and measured in the same worlds by the same functions. Nothing is fitted.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import sem, t

from companion.data import synthetic
from lib.core import generator
from lib.stats import Estimate
from studies import ch11_worlds
from studies.concatenation import Vectors
from studies.context import check_bounds

LEVELS = tuple(round(0.1 * step, 1) for step in range(11))
"""The shared fractions of the simulated worlds."""

HALF, WHOLE = 0.5, 1.0
"""The two that the claims are about."""

PREDICTED, COMMON = "predicted", "predicted, half of two seeds' noise common"
TRAINED, SEEDS = "trained views", "two seeds, trained"
PANELS = {
    "jaccard": "Jaccard index of the lists", "oracle": "relative gain of the union",
    "fusion": "relative gain of the fusion", "over_seeds": "relative gain over two seeds",
}  # fmt: skip
"""What the figures show of ``ch11_worlds.measures_of``."""

WORLDS = 5  # of each shared fraction, in which noisy ideal views are measured
MOST = 199  # items in a list: of more than half of a world's 400, any two have many in common


def noisy_table(shared: float, index: int, k: int, common: float = 0.0) -> pd.DataFrame:
    """Return the table of ``ch11_worlds`` for noisy ideal views of the world of seed ``index``.

    The noise has the variance of the view's factors: a reliability of one half. ``common`` is the
    fraction of the collaborative noise (variance) that a replicate repeats, as two seeds on the
    same interactions do; the rest is drawn anew.
    """
    world = synthetic.world(shared=shared, seed=index)
    text, data = world.ideal("semantic"), world.ideal("collaborative")
    rng = generator(index, "noisy views")
    noises = data.items.std() * rng.standard_normal((4, *data.items.shape))
    known = data.items + np.sqrt(common) * noises[1]
    vectors = {
        "semantic": (text.users, text.items + noises[0]),
        "collaborative": (data.users, known + np.sqrt(1 - common) * noises[2]),
        "replicate": (data.users, known + np.sqrt(1 - common) * noises[3]),
    }
    return ch11_worlds.world_table(world.dataset, vectors, k, sum_of_standard_scores)


def sum_of_standard_scores(vectors: Sequence[Vectors]) -> Vectors:
    """Return vectors whose scores sum each user's, in units of their standard deviation."""
    users = [u / (u @ i.T).std(axis=1, keepdims=True) for u, i in vectors]
    return np.hstack(users), np.hstack([items for _, items in vectors])


def worlds_per_level(worlds: int) -> dict[float, int]:
    """Return how many worlds to draw by shared fraction: all for the claims' two, else a fifth."""
    check_bounds("worlds", worlds, 2, 200)
    counts = {level: worlds if level in (HALF, WHOLE) else worlds // 5 for level in LEVELS}
    return {level: count for level, count in counts.items() if count}


def predicted(k: int, common: float = 0.0) -> dict[float, dict[str, Estimate]]:
    """Return the measures of noisy ideal views by shared fraction (``noisy_table``)."""
    check_bounds("k", k, 1, MOST)
    tables = {of: [noisy_table(of, n, k, common) for n in range(WORLDS)] for of in LEVELS}
    return {level: ch11_worlds.pooled(of_worlds) for level, of_worlds in tables.items()}


def points(found: Mapping[float, Mapping[str, Estimate]], k: int) -> pd.DataFrame:
    """Return what is predicted and what is found by shared fraction, for a figure.

    Columns what, panel, shared, mean, low, high, n. ``found`` has the measures of trained views.
    """
    names = {panel: panel for panel in PANELS}
    of_seeds = {panel: f"{panel}_seeds" for panel in ("jaccard", "oracle", "fusion")}
    series = [
        (PREDICTED, predicted(k), names),
        (COMMON, predicted(k, common=0.5), {"over_seeds": "over_seeds"}),
        (TRAINED, found, names),
        (SEEDS, found, of_seeds),
    ]
    return pd.DataFrame(
        {"what": what, "panel": PANELS[panel], "shared": level, **of[name]._asdict()}
        for what, levels, shown in series
        for level, of in levels.items()
        for panel, name in shown.items()
    )


def over_worlds(tables: Sequence[pd.DataFrame], measure: str) -> Estimate:
    """Return the mean of one of ``measures_of`` over worlds, with Student's interval (n: worlds).

    It covers the differences between worlds too, which an interval over pooled users leaves out.
    """
    values = [ch11_worlds.measures_of(table)[measure].value for table in tables]
    mean, half = float(np.mean(values)), float(t.ppf(0.975, len(values) - 1) * sem(values))
    return Estimate(mean, mean - half, mean + half, len(values))
