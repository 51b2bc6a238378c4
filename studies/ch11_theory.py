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
from numpy.typing import ArrayLike
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
    "jaccard": "mean Jaccard of two lists", "oracle": "gain of the union over the better list",
    "fusion": "gain of the fusion over the better list",
    "over_seeds": "gain of fusing two views over fusing two seeds",
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
    """What two views, and two replicates of the collaborative one (``…_seeds``), should show.

    Jaccard of their lists; recall of the union over that of the better, minus one (``oracle``);
    recall of the sum of their standard scores over that of the better, minus one (``fusion``); and
    recall of the views' sum over that of the replicates', minus one (``over_seeds``).
    """

    jaccard: float
    jaccard_seeds: float
    oracle: float
    oracle_seeds: float
    fusion: float
    fusion_seeds: float
    over_seeds: float


def variances(shared: float) -> tuple[float, float]:
    """Return the variance of a shared and of a private factor of an item.

    A product of two factors has its square, and their sum over d the d-fold of that.
    """
    return float(np.sqrt(shared / FACTORS)), float(np.sqrt((1 - shared) / 2 / FACTORS))


def both_above(first: ArrayLike, second: ArrayLike, rho: ArrayLike) -> Floats:
    """Return P(X > first and Y > second) of standard normals with correlation ``rho``.

    Φ(−h) Φ(−k) + 1/2π ∫ exp(−(h² + k² − 2 h k sin θ) / 2 cos² θ) dθ from 0 to asin ρ (Drezner and
    Wesolowsky, 1990), by 32 Gauss-Legendre points: six digits for |ρ| up to 0.99. Shapes broadcast.
    """
    h, k, r = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (first, second, rho)))
    nodes, weights = np.polynomial.legendre.leggauss(32)
    half = np.arcsin(r) / 2
    total = np.zeros(h.shape)
    for node, weight in zip(nodes, weights, strict=True):
        sine = np.sin(half * (1 + node))
        total += weight * np.exp(-(h**2 + k**2 - 2 * h * k * sine) / (2 * (1 - sine**2)))
    found: Floats = ndtr(-h) * ndtr(-k) + half * total / (2 * np.pi)
    return found


@cache
def predict(setting: Setting) -> Prediction:
    """Return what the world predicts of two views and of two replicates."""
    user = _users(setting)
    seen, drawn = _interactions(user.spread)
    semantic, collaborative = (
        _ranked(setting, rho, seen, drawn) for rho in (user.semantic, user.collaborative)
    )
    alone = float(collaborative.recall.mean())
    better = max(float(semantic.recall.mean()), alone)
    jaccard, union, fused = _pair(setting, semantic, collaborative, user.between, seen, drawn)
    jaccard_seeds, union_seeds, fused_seeds = _pair(
        setting, collaborative, collaborative, user.replicates, seen, drawn
    )
    return Prediction(
        jaccard, jaccard_seeds, union / better - 1, union_seeds / alone - 1,
        fused / better - 1, fused_seeds / alone - 1, fused / fused_seeds - 1,
    )  # fmt: skip


class _Users(NamedTuple):
    """What the distribution of each user's scores over the items depends on (m values each)."""

    spread: Floats  # standard deviation of the utility
    semantic: Floats  # correlation of the semantic score with the utility
    collaborative: Floats
    between: Floats  # of the two views' scores
    replicates: Floats  # of the collaborative score with its replicate's


def _users(setting: Setting) -> _Users:
    common, own = variances(setting.shared)
    points = qmc.Sobol(3, scramble=False).random(USERS) + 0.5 / USERS  # never 0
    per_item = np.array([[common], [own], [own]])
    squares = chi2.ppf(points, FACTORS).T * per_item  # of a user's factors, 3 × m
    s, a, b = squares * per_item  # variances of the three parts of their utility
    per_factor = setting.noise**2 * (common + own) / 2
    noise_a, noise_b = (per_factor * (squares[0] + private) for private in squares[1:])
    whole, known_a, known_b = s + a + b, s + a, s + b
    var_a, var_b = known_a + noise_a, known_b + noise_b
    return _Users(
        spread=STRENGTH * np.sqrt(whole),
        semantic=known_a / np.sqrt(var_a * whole),
        collaborative=known_b / np.sqrt(var_b * whole),
        between=s / np.sqrt(var_a * var_b),
        replicates=(known_b + setting.common * noise_b) / var_b,
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


class _Ranked(NamedTuple):
    """A score's list: correlation with the utility (m), edge (m), recall (m)."""

    rho: Floats
    edge: Floats
    recall: Floats


def _given_utility(rho: Floats, edge: Floats) -> Floats:
    """Return a list's edge in standard units of the score that is left at each utility (m × g)."""
    found: Floats = (edge[:, None] - rho[:, None] * GRID) / np.sqrt(1 - rho**2)[:, None]
    return found


def _ranked(setting: Setting, rho: Floats, seen: Floats, drawn: Floats) -> _Ranked:
    def listed(edge: Floats) -> Floats:
        return ndtr(-_given_utility(rho, edge))

    wanted = setting.k / N_ITEMS
    edge = _root(lambda x: ((1 - seen) * listed(x)) @ WEIGHTS - wanted, 8)
    return _Ranked(rho, edge, (drawn * listed(edge)) @ WEIGHTS / (drawn @ WEIGHTS))


def _pair(
    setting: Setting, one: _Ranked, other: _Ranked, between: Floats, seen: Floats, drawn: Floats
) -> tuple[float, float, float]:
    """Return Jaccard, recall of the union by inclusion and exclusion, and recall of the sum."""
    first, second = (_given_utility(x.rho, x.edge) for x in (one, other))
    # the correlation that is left given the utility
    residual = np.sqrt(1 - one.rho**2) * np.sqrt(1 - other.rho**2)
    partial = np.clip((between - one.rho * other.rho) / residual, -0.999, 0.999)
    both = both_above(first, second, partial[:, None])  # m × g
    overlap = ((1 - seen) * both) @ WEIGHTS * N_ITEMS / setting.k
    found = (drawn * both) @ WEIGHTS / (drawn @ WEIGHTS)
    # a sum of two standard scores correlates with the utility by (r₁ + r₂) / √(2 + 2ρ)
    fused = _ranked(setting, (one.rho + other.rho) / np.sqrt(2 + 2 * between), seen, drawn)
    return (
        float(np.mean(overlap / (2 - overlap))),
        float(np.mean(one.recall + other.recall - found)),
        float(fused.recall.mean()),
    )


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
