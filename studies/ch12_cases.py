"""Single items and users to look at, chosen by a rule and not by hand, and the mean over all items.

Titles are untrusted text: they reach a page escaped.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from IPython.display import HTML
from numpy.typing import ArrayLike, NDArray
from torch.nn.functional import normalize

from lib import metrics
from lib.core import Floats, Lists, unit
from lib.dataset import Dataset
from lib.diagnostics import neighbours
from lib.encoders import text
from lib.metrics import Bools, positions, restricted, users_of
from lib.stats import summary
from studies.context import Run
from studies.measures import mean_jaccard, n_neighbours

STRATA = metrics.ITEM_STRATA[::-1]
VIEWS = ("semantic view", "collaborative view")
LABEL_LENGTH = 60
BOTH, HIT, MISS = "● in both", "✔ hit", "miss"
"""What is said of an item in a table."""


def labels(items: pd.DataFrame) -> list[str]:
    """Return what to call each item: its title, else its text, else its key; cut to fit a table."""
    named = items["title"] if "title" in items else items["text"]
    found = []
    for title, words, key in zip(named, items["text"], items["key"], strict=True):
        said = (s.strip() for s in (title, words) if isinstance(s, str) and s.strip())
        whole = next(said, f"item {key}")
        short = whole[: LABEL_LENGTH - 1].rstrip() + "…"
        found.append(whole if len(whole) <= LABEL_LENGTH else short)
    return found


def strata(dataset: Dataset) -> NDArray[np.str_]:
    """Return each item's stratum by training count in words (n_items): cold, mid or hot."""
    return np.array(metrics.ITEM_STRATA)[metrics.by_count(dataset.train.getnnz(axis=0))]


def median_case(values: ArrayLike, among: Bools) -> int | None:
    """Return the smallest chosen id of (lower) median value that is not NaN, None without any."""
    column = np.asarray(values, dtype=np.float64)
    able = np.flatnonzero(among & ~np.isnan(column))
    if not len(able):
        return None
    middle = np.quantile(column[able], 0.5, method="lower")
    return int(able[column[able] == middle][0])


class Agreement(NamedTuple):
    """How far items have the same nearest others in two spaces."""

    values: dict[str, Floats]  # by pair of spaces, the Jaccard of each item's (n_items)
    near: tuple[Lists, Lists]  # in the semantic and the collaborative view of the first seed


def agreement(run: Run) -> Agreement:
    """Return how far items have the same neighbours in two spaces, averaged over the seeds."""
    k = n_neighbours(run.dataset.n_items)

    def near(model: str, *, second: bool = False) -> list[Lists]:
        return [neighbours(view.items, k) for view in run.views(model, second=second)]

    semantic, collaborative = near("linear"), near("lightgcn")
    raw = neighbours(text.encode(run.dataset, run.encoder), k)
    pairs = {
        "semantic and collaborative": (semantic, collaborative),
        "collaborative, two seeds": (near("lightgcn", second=True), collaborative),
        "SVD and collaborative": (near("svd"), collaborative),
        "semantic, two seeds": (near("linear", second=True), semantic),
        "raw text and collaborative": ([raw] * len(run.seeds), collaborative),
    }
    values = {name: mean_jaccard(zip(*of, strict=True)) for name, of in pairs.items()}
    return Agreement(values, (semantic[0], collaborative[0]))


def by_stratum(values: dict[str, Floats], stratum: NDArray[np.str_]) -> pd.DataFrame:
    """Return means over all items and by stratum: pair, stratum, mean, low, high, n (items).

    ``values`` are by pair n_seeds × n_items.
    """
    chosen = {"all": slice(None)} | {name: stratum == name for name in STRATA}
    return pd.DataFrame(
        {"pair": pair, "stratum": name, **summary(of_items[:, items])._asdict()}
        for name, items in chosen.items()
        for pair, of_items in values.items()
    )


def side_by_side(
    left: ArrayLike, right: ArrayLike, names: Sequence[str], *, hits: Sequence[int] = (), most: int
) -> dict[str, list[str]]:
    """Return the first ``most`` items of two lists as columns, each item with what is said of it.

    An item is in both if the other *whole* list holds it, and a hit if it is one of ``hits``.
    """
    whole = [[int(i) for i in np.asarray(one) if i >= 0] for one in (left, right)]
    return {
        title: [
            " ".join([names[item], *[BOTH] * (item in other), *[HIT] * (item in hits)])
            for item in own[:most]
        ]
        for title, own, other in zip(VIEWS, whole, whole[::-1], strict=True)
    }


def history(dataset: Dataset, user: int, most: int = 15) -> list[int]:
    """Return at most ``most`` of a user's training items: the latest first, by id without times."""
    items = dataset.train[user].indices
    if dataset.times is not None:
        items = items[np.argsort(-dataset.times[user].data, kind="stable")]
    return [int(item) for item in items[:most]]


def cold_cases(
    run: Run, semantic: Lists, collaborative: Lists, stratum: NDArray[np.str_],
    names: Sequence[str], each: int = 3,
) -> dict[str, list[str]]:  # fmt: skip
    """Return the first hits and the first misses of the semantic list among cold test items.

    ``each`` of both, by user id and then item id; "closest" is by the raw text.
    """
    train, cold = run.dataset.train, restricted(run.dataset.test, stratum == "cold")
    users, counts = users_of(cold), train.getnnz(axis=0)
    ranks = [positions(of, cold) for of in (semantic, collaborative)]
    raw = unit(normalize(text.encode(run.dataset, run.encoder), dim=1))
    hit = ranks[0] >= 0
    rows = []
    for pair in [*np.flatnonzero(hit)[:each], *np.flatnonzero(~hit)[:each]]:
        item, known = cold.indices[pair], train[users[pair]].indices
        own, other = (str(of[pair] + 1) if of[pair] >= 0 else "not in it" for of in ranks)
        closest = names[known[np.argmax(raw[known] @ raw[item])]] if len(known) else "–"
        rows.append((HIT if hit[pair] else MISS, str(users[pair]), names[item], str(counts[item]),
                     own, other, closest))  # fmt: skip
    columns = ("semantic view", "user", "test item", "training interactions", "rank, semantic",
               "rank, collaborative", "closest in the user's history")  # fmt: skip
    return {name: [row[at] for row in rows] for at, name in enumerate(columns)}


def as_table(columns: dict[str, list[str]], caption: str) -> HTML:
    """Return columns as a table in which every label is escaped and kept from formulas."""
    shown = pd.DataFrame({name: pd.Series(cells, dtype="str") for name, cells in columns.items()})
    # MathJax would otherwise take what stands between two dollars for a formula
    body = shown.fillna("").to_html(index=False, classes="tex2jax_ignore mathjax_ignore")
    head = f"<caption>{html.escape(caption)}</caption>"
    return HTML(body.replace("<thead>", f"{head}<thead>", 1))
