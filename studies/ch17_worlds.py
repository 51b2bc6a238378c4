"""Worlds that are known to have, or not to have, a part private to text, and what they show.

Worlds have the shape of two of the book's sets with fewer users; views are trained by the models
that chapters use. Results are cached by the code of this module and all that it imports: nothing
belongs here that does not decide a result.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import cycle, product
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from companion.data import synthetic
from lib import cache
from lib.core import generator
from studies import nulls
from studies.context import Run, check_bounds

SHAPES = {
    "scientific-2018": (0.522, 7.0),
    "toys-2014": (0.615, 8.6),
}
"""Items and interactions per user of the two sets."""

SETTINGS: dict[str, Any] = {"batch": 1024, "negatives": 256}
"""The recipe's batch and negatives, an eighth each as the worlds are smaller."""

FACTORS, OWN, DIMENSION = 8, 64, 128
"""Factors that are shared, as many private to interactions, those private to text; of the text."""

NOISES, GAPS, PRIVATE = (0.25, 0.5, 1.0), (0.0, 0.5), (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Setting:
    """A kind of world: its shape, what is private to text, the gap between the views, the noise.

    ``private`` is the share of the utility's variance that text knows and that interactions are too
    few to reveal (64 factors), ``gap`` the share of the rest that only interactions know, ``noise``
    the standard deviation of the text's noise in units of a shared factor's.
    """

    shape: str
    private: float
    gap: float
    noise: float

    def seed(self, number: int) -> int:
        """Return the seed of the setting's world ``number``: no two settings share one."""
        return int(generator(number, repr(self)).integers(2**31))

    def world(self, number: int, users: int) -> synthetic.World:
        """Return the setting's world ``number``."""
        items, interactions = SHAPES[self.shape]
        shared = (1 - self.private) * (1 - self.gap)
        # an item's factor has variance √(share / factors); an entry of the text has 1 in all
        of_shared, of_own = np.sqrt(shared / FACTORS), np.sqrt(self.private / OWN)
        whole = (FACTORS * of_shared + OWN * of_own) / DIMENSION
        return synthetic.world(
            n_users=users, n_items=round(items * users), interactions=interactions, shared=shared,
            semantic=self.private, noise=self.noise * float(np.sqrt(of_shared / whole)),
            seed=self.seed(number), d_semantic=OWN, dimension=DIMENSION, popularity=1.0,
            strength=2.5,
        )  # fmt: skip


def plan(n: int) -> list[tuple[Setting, int]]:
    """Return the worlds of ``n`` rounds: settings with the numbers of their worlds.

    A round has a world of every noise, gap and shape without a private part. Every third, from the
    first, sets the margins, and has twelve worlds with a private part as well, in which the noises
    take turns.
    """
    made, noises = [], cycle(NOISES)
    for number in range(n):
        made += [(Setting(*of), number) for of in product(SHAPES, (0.0,), GAPS, NOISES)]
        if number % 3 == 0:
            of_private = product(SHAPES, PRIVATE, GAPS)
            made += [(Setting(*of, next(noises)), number) for of in of_private]
            next(noises)  # 12 worlds are four turns: without this, a setting had one noise
    return made


def tested(
    setting: Setting, number: int, users: int, k: int, text: str = nulls.TEXT
) -> pd.DataFrame:
    """Return every rule's excess in one world: null, finding, mean, low, high.

    ``text`` is the model of the text, or of the list that takes its place.
    """

    def make() -> cache.Value:
        seed = setting.seed(number)
        parameters = {"k": k, "seed": seed, "seeds": 1, "encoder": "", "device": "cpu"}
        run = Run(setting.world(number, users).dataset, parameters)
        made = {null: nulls.views(run, null, text=text, **SETTINGS) for null in nulls.KINDS}
        found = {null: nulls.excesses(run, views) for null, views in made.items()}
        found[nulls.LONGER] = {"F5": nulls.over_longer_list(run, made["second seed"])}
        rows = [
            {"null": null, "finding": finding, **excess._asdict()}
            for null, of in found.items()
            for finding, excess in of.items()
        ]
        return {"table": pd.DataFrame(rows)}

    key = {"setting": asdict(setting), "number": number, "users": users, "k": k, "text": text}
    key |= {"code": cache.code_version(tested)}
    return pd.DataFrame(cache.cached("instruments", key, make)["table"])


def excesses(n: int, users: int, k: int) -> pd.DataFrame:
    """Return ``tested`` of the worlds of ``plan``, with the columns of ``Setting``, number, text.

    In those of the first round without a private part also of ``nulls.PLACEBOS`` in its place.
    Neighbours by popularity alone are the order of the ids, so F13 has none.
    """
    check_bounds("worlds", n, 2)  # the first round sets the margins
    asked = [(*world, nulls.TEXT) for world in plan(n)]
    asked += [
        (s, 0, text) for s, number in plan(1) if not s.private for text in nulls.PLACEBOS.values()
    ]
    made = [
        tested(setting, number, users, k, text).assign(**asdict(setting), number=number, text=text)
        for setting, number, text in tqdm(asked, desc="worlds", unit="world", disable=None)
    ]
    table = pd.concat(made, ignore_index=True)
    popular = (table["null"] == "popularity") | (table["text"] == "popularity")
    return table[(table["finding"] != "F13") | ~popular]
