"""What a shared-plus-private world predicts for overlap, oracle and fusion.

The world is that of ``companion.data.synthetic``: an item has factors s (shared), a (semantic) and
b (collaborative), and the variance of a user's utility is split into ``shared`` and twice
(1 − shared) / 2. An ideal view knows s and its own private factors. A *noisy ideal view* is a
user's own factors beside item factors with normal noise added.

For one user all scores, and the utility, are linear in normal item vectors. Over the items they
are therefore exactly jointly normal, with variances that depend on the user's factors through
three sums of squares alone. For many items a list is the best fraction K / n_items, and what two
lists have in common is an orthant probability. Interactions are integrated over the utility, and
users averaged over a fixed Sobol sequence. Nothing is fitted.

Shapes: m users of the sequence, g points of the grid of utilities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtr
from scipy.stats import chi2, poisson, qmc, sem, t

from lib.core import Floats
from lib.dataset import part_sizes
from lib.stats import Estimate
from studies.ch11_worlds import measures_of
from studies.context import check_bounds
from studies.measures import percent

LEVELS = tuple(round(0.1 * step, 1) for step in range(11))
"""The shared fractions of the simulated worlds."""

HALF, WHOLE = 0.5, 1.0
"""The two that the claims are about."""

PREDICTED, COMMON = "predicted", "predicted, half of two seeds' noise common"
TRAINED, SEEDS = "trained views", "two seeds, trained"
PANELS = {
    "jaccard": "Jaccard of two lists", "oracle": "gain of the union",
    "fusion": "gain of the fusion", "over_seeds": "fusion over that of seeds",
}  # fmt: skip
"""What the figure shows of each ``Prediction`` and of ``measures_of``."""

# the defaults of synthetic.world
FACTORS, STRENGTH, N_ITEMS, INTERACTIONS = 8, 3.0, 400, 20.0
USERS = 64  # of the Sobol sequence, a power of two: 1,024 move no prediction by 0.002
GRID = np.linspace(-6, 6, 121)  # standard utilities; the trapezoid rule is exact to many digits
WEIGHTS = np.exp(-(GRID**2) / 2) / np.exp(-(GRID**2) / 2).sum()


@dataclass(frozen=True)
class Setting:
    """A world and two noisy ideal views of it, each with a list of ``k`` items.

    ``noise`` is the standard deviation of the noise in an item's factor, in units of the root mean
    square of the view's factors: reliability 1 / (1 + noise²). ``common`` is the fraction of the
    collaborative noise (variance) that a replicate repeats, as two seeds on the same interactions
    do; the rest is drawn anew. All else is as in ``companion.data.synthetic.world`` by default.
    """

    shared: float = 0.5
    noise: float = 0.5
    common: float = 0.0
    k: int = 20

    def __post_init__(self) -> None:
        check_bounds("k", self.k, 1, N_ITEMS // 2 - 1)


class Prediction(NamedTuple):
    """What two views should show.

    Jaccard of their lists; recall of the union over that of the better, minus one (``oracle``);
    recall of the sum of their standard scores over that of the better, minus one (``fusion``), and
    over that of the sum of two replicates of the collaborative view, minus one (``over_seeds``).
    """

    jaccard: float
    oracle: float
    fusion: float
    over_seeds: float


def variances(shared: float) -> tuple[float, float]:
    """Return the variance of a shared and of a private factor of an item.

    A product of two factors has its square, and their sum over d the d-fold of that.
    """
    return float(np.sqrt(shared / FACTORS)), float(np.sqrt((1 - shared) / 2 / FACTORS))


def both_above(first: Floats, second: Floats, rho: Floats) -> Floats:
    """Return P(X > first and Y > second) of standard normals with correlation ``rho``.

    Φ(−h) Φ(−k) + 1/2π ∫ exp(−(h² + k² − 2 h k sin θ) / 2 cos² θ) dθ from 0 to asin ρ (Drezner and
    Wesolowsky, 1990), by 32 Gauss-Legendre points: six digits for |ρ| up to 0.99. Shapes broadcast.
    """
    half, total = np.arcsin(rho) / 2, np.zeros(np.broadcast(first, second, rho).shape)
    for node, weight in zip(*np.polynomial.legendre.leggauss(32), strict=True):
        sine = np.sin(half * (1 + node))
        square = first**2 + second**2 - 2 * first * second * sine
        total += weight * np.exp(-square / (2 * (1 - sine**2)))
    return np.asarray(ndtr(-first) * ndtr(-second) + half * total / (2 * np.pi))


@cache
def predict(setting: Setting) -> Prediction:
    """Return what the world predicts of two views and of two replicates."""
    spread, semantic, collaborative, between, replicates = _correlations(setting)
    seen, drawn = _interactions(spread)

    def listed(rho: Floats) -> tuple[Floats, float]:
        """Return the edge of a score's list at each utility (m × g), and the list's mean recall.

        The edge is in standard units of what is left of the score, given the utility.
        """

        def at(edge: Floats) -> Floats:
            left: Floats = (edge[:, None] - rho[:, None] * GRID) / np.sqrt(1 - rho**2)[:, None]
            return left

        share = setting.k / N_ITEMS
        edge = at(_root(lambda x: ((1 - seen) * ndtr(-at(x))) @ WEIGHTS - share, 8))
        return edge, float(found_of(ndtr(-edge)).mean())

    def found_of(chance: Floats) -> Floats:
        """Return recall (m) of lists that hold an item with this chance, by utility (m × g)."""
        return np.asarray((drawn * chance) @ WEIGHTS / (drawn @ WEIGHTS))

    def summed(one: Floats, other: Floats, rho: Floats) -> float:
        """Return recall of the sum of two standard scores that correlate by ``rho``."""
        return listed((one + other) / np.sqrt(2 + 2 * rho))[1]

    (first, text), (second, data) = listed(semantic), listed(collaborative)
    # the correlation that is left given the utility
    left = np.sqrt(1 - semantic**2) * np.sqrt(1 - collaborative**2)
    partial = np.clip((between - semantic * collaborative) / left, -0.999, 0.999)
    both = both_above(first, second, partial[:, None])
    overlap = ((1 - seen) * both) @ WEIGHTS * N_ITEMS / setting.k
    union = text + data - float(found_of(both).mean())
    fused, better = summed(semantic, collaborative, between), max(text, data)
    over = fused / summed(collaborative, collaborative, replicates)
    jaccard = float(np.mean(overlap / (2 - overlap)))
    return Prediction(jaccard, union / better - 1, fused / better - 1, over - 1)


def _correlations(setting: Setting) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return what the distribution of each user's scores over the items depends on (m each).

    The standard deviation of the utility; its correlation with the semantic and the collaborative
    score; and that of the two scores, and of the collaborative score with its replicate's.
    """
    common, own = variances(setting.shared)
    points = qmc.Sobol(3, scramble=False).random(USERS) + 0.5 / USERS  # never 0
    per_item = np.array([[common], [own], [own]])
    squares = chi2.ppf(points, FACTORS).T * per_item  # of a user's factors, 3 × m
    s, a, b = squares * per_item  # variances of the three parts of their utility
    per_factor = setting.noise**2 * (common + own) / 2
    noise_a, noise_b = (per_factor * (squares[0] + private) for private in squares[1:])
    whole, known_a, known_b = s + a + b, s + a, s + b
    var_a, var_b = known_a + noise_a, known_b + noise_b
    return (
        STRENGTH * np.sqrt(whole),
        known_a / np.sqrt(var_a * whole),
        known_b / np.sqrt(var_b * whole),
        s / np.sqrt(var_a * var_b),
        (known_b + setting.common * noise_b) / var_b,
    )


def _interactions(spread: Floats) -> tuple[Floats, Floats]:
    """Return, by utility (m × g), P(training or validation item) and P(any interaction).

    For many items, drawing n by utility plus Gumbel noise takes all above an edge:
    P = 1 − exp(−exp(utility − edge)), the edge being where the mean over items is n / n_items.
    """
    counts = np.arange(5, N_ITEMS + 1)
    chance = poisson.pmf(counts - 5, INTERACTIONS - 5)
    tests = part_sizes(counts)[:, 2] @ chance / (counts @ chance)  # share of the interactions

    def chosen(edge: Floats) -> Floats:
        return np.asarray(-np.expm1(-np.exp(spread[:, None] * GRID - edge[:, None])))

    wanted = INTERACTIONS / N_ITEMS
    drawn = chosen(_root(lambda x: chosen(x) @ WEIGHTS - wanted, 60))
    return drawn * (1 - tests), drawn


def _root(function: Callable[[Floats], Floats], bound: float) -> Floats:
    """Return each user's root of a falling function within ± ``bound``, by bisection (m)."""
    low, width = np.full(USERS, -bound), 2 * bound
    for _ in range(45):
        width /= 2
        low = np.where(function(low + width) > 0, low + width, low)
    return low + width / 2


def worlds_per_level(worlds: int) -> dict[float, int]:
    """Return how many worlds to draw by shared fraction: all for the claims' two, else a fifth."""
    check_bounds("worlds", worlds, 2, 200)
    counts = {level: worlds if level in (HALF, WHOLE) else worlds // 5 for level in LEVELS}
    return {level: count for level, count in counts.items() if count}


def points(found: Mapping[float, Mapping[str, Estimate]], k: int) -> pd.DataFrame:
    """Return what is predicted and what is found by shared fraction, for a figure.

    Columns what, panel, shared, mean, low, high. Predicted are views with as much noise as signal.
    """
    rows: list[dict[str, Any]] = []
    for level in LEVELS:
        for what, common in ((PREDICTED, 0.0), (COMMON, 0.5)):
            of = predict(Setting(level, 1.0, common, k))._asdict()
            names = PANELS if what == PREDICTED else ["over_seeds"]
            rows += [{"what": what, "panel": n, "shared": level, "mean": of[n]} for n in names]
    for what, names in (
        (TRAINED, {name: name for name in PANELS}),
        (SEEDS, {name: f"{name}_seeds" for name in ("jaccard", "oracle", "fusion")}),
    ):
        rows += [
            {"what": what, "panel": panel, "shared": level, **of[name]._asdict()}
            for level, of in found.items()
            for panel, name in names.items()
        ]
    table = pd.DataFrame(rows)
    return table.assign(panel=table["panel"].map(PANELS))


def over_worlds(tables: Sequence[pd.DataFrame], measure: str) -> Estimate:
    """Return the mean of one of ``measures_of`` over worlds, with Student's interval (n: worlds).

    It covers the differences between worlds too, which an interval over pooled users leaves out.
    """
    values = [measures_of(table)[measure].value for table in tables]
    mean, half = float(np.mean(values)), float(t.ppf(0.975, len(values) - 1) * sem(values))
    return Estimate(mean, mean - half, mean + half, len(values))


def answer(found: Mapping[float, Mapping[str, Estimate]]) -> str:
    """Return in words what views gain beyond two seeds, and from what shared fraction on nothing.

    ``found`` has the measures of the worlds by shared fraction.
    """
    gains = {level: of["over_seeds"] for level, of in found.items()}
    idle = takewhile(lambda level: not gains[level].low > 0, sorted(gains, reverse=True))
    stop = min(idle, default=np.nan)
    half, whole = (found[level] for level in (HALF, WHOLE))
    told = "pays also where all is shared"
    if not np.isnan(stop):
        told = f"no longer pays from a shared fraction of {stop:g} on"
    return (
        f"Where half is shared, the union of two views gains {percent(half['gain'])} more than "
        f"that of two seeds, and fusion {percent(half['benefit'])}; where nothing is private, "
        f"{percent(whole['gain'])} and {percent(whole['benefit'])}. Against fusing two seeds, "
        f"fusing two views {told}."
    )
