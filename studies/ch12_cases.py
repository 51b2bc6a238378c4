"""Single items and users to look at, chosen by a rule and not by hand, and the mean over all items.

Titles are untrusted text: they reach a page escaped.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from IPython.display import HTML
from numpy.typing import ArrayLike, NDArray
from torch.nn.functional import normalize

from lib.core import unit
from lib.dataset import Dataset
from lib.diagnostics import jaccard, neighbours
from lib.encoders import text
from lib.metrics import (
    ITEM_STRATA,
    Bools,
    Floats,
    Ints,
    Lists,
    by_count,
    count,
    positions,
    relevant_pairs,
    users_of,
)
from lib.stats import ratio, summary
from studies.ch10_diversity import n_neighbours
from studies.context import Run

STRATA = ITEM_STRATA[::-1]
LABEL_LENGTH = 60
BADGES = {"both": ("●", "in both", "#0072B2"), "hit": ("✔", "hit", "#009E73")}
"""Symbol, word and colour of what is said of an item in a table."""


class Cell(NamedTuple):
    """What stands in a table: a label, and the names of its ``BADGES``."""

    label: str
    badges: tuple[str, ...] = ()


Columns = dict[str, list[Cell]]


def labels(items: pd.DataFrame) -> list[str]:
    """Return what to call each item: its title, else its text, else its key; cut at 60 characters.

    ``items``: columns ``text``, ``key`` and, where known, ``title``.
    """
    named = items["title"] if "title" in items else items["text"]
    found = []
    for title, words, key in zip(named, items["text"], items["key"], strict=True):
        whole = next((str(s) for s in (title, words) if isinstance(s, str) and s.strip()), "")
        whole = whole.strip() or f"item {key}"
        short = whole[: LABEL_LENGTH - 1].rstrip() + "…"
        found.append(whole if len(whole) <= LABEL_LENGTH else short)
    return found


def strata(dataset: Dataset) -> NDArray[np.str_]:
    """Return each item's stratum by training count in words (n_items): cold, mid or hot."""
    return np.array(ITEM_STRATA)[by_count(dataset.train.getnnz(axis=0))]


def median_case(values: ArrayLike, among: Bools) -> int | None:
    """Return the smallest id of median value among the chosen ids, None where there is none.

    Of an even number the lower of the two middle values is the median; NaN is left out.
    """
    column = np.asarray(values, dtype=np.float64)
    able = np.flatnonzero(among & ~np.isnan(column))
    if not len(able):
        return None
    middle = np.quantile(column[able], 0.5, method="lower")
    return int(able[column[able] == middle][0])


class Agreement(NamedTuple):
    """Per item, the Jaccard of its nearest others in two spaces (n_items), by pair of spaces.

    ``near``: the nearest others in the semantic and the collaborative view of the first seed.
    """

    values: dict[str, Floats]
    near: tuple[Lists, Lists]


def agreement(run: Run) -> Agreement:
    """Return how far items have the same neighbours in two spaces, averaged over the seeds."""
    k = n_neighbours(run.dataset.n_items)
    near = {
        (model, seed): neighbours(run.view(model, seed).items, k)
        for model in ("linear", "lightgcn")
        for seed in sorted({*run.seeds, *map(run.other, run.seeds)})
    }
    near |= {("svd", seed): neighbours(run.view("svd", seed).items, k) for seed in run.seeds}
    raw = neighbours(text.encode(run.dataset, run.encoder), k)
    pairs = {
        "semantic and collaborative": [(near["linear", s], near["lightgcn", s]) for s in run.seeds],
        "collaborative, two seeds": [
            (near["lightgcn", run.other(s)], near["lightgcn", s]) for s in run.seeds
        ],
        "SVD and collaborative": [(near["svd", s], near["lightgcn", s]) for s in run.seeds],
        "semantic, two seeds": [
            (near["linear", run.other(s)], near["linear", s]) for s in run.seeds
        ],
        "raw text and collaborative": [(raw, near["lightgcn", s]) for s in run.seeds],
    }
    values = {name: np.mean([jaccard(*pair) for pair in of], axis=0) for name, of in pairs.items()}
    first = run.seeds[0]
    return Agreement(values, (near["linear", first], near["lightgcn", first]))


def by_stratum(values: dict[str, Floats], stratum: NDArray[np.str_]) -> pd.DataFrame:
    """Return means over all items and by stratum: pair, stratum, mean, low, high, n (items)."""
    rows = []
    for name in ("all", *STRATA):
        chosen = np.ones(len(stratum), dtype=bool) if name == "all" else stratum == name
        for pair, of_items in values.items():
            found = summary(of_items[chosen])
            rows.append({"pair": pair, "stratum": name, **found._asdict()})
    return pd.DataFrame(rows)


def side_by_side(
    left: ArrayLike, right: ArrayLike, names: Sequence[str], *, hits: Sequence[int] = (), most: int
) -> Columns:
    """Return the first ``most`` items of two lists as columns, with what holds for each item.

    An item is marked as in both when the other *whole* list holds it, and as a hit where it is
    one of ``hits``.
    """
    whole = [[int(i) for i in np.asarray(one) if i >= 0] for one in (left, right)]
    columns = {}
    for title, own, other in (
        ("semantic view", whole[0], set(whole[1])),
        ("collaborative view", whole[1], set(whole[0])),
    ):
        columns[title] = [
            Cell(names[item], ("both",) * (item in other) + ("hit",) * (item in hits))
            for item in own[:most]
        ]
    return columns


def history(dataset: Dataset, user: int, most: int = 15) -> list[int]:
    """Return at most ``most`` of a user's training items: the latest first, by id without times."""
    items = dataset.train[user].indices
    if dataset.times is None:
        return [int(item) for item in items[:most]]
    when = dataset.times[user].toarray().ravel()[items]
    return [int(item) for item in items[np.lexsort((items, -when))][:most]]


def _cold_pairs(relevant: sp.csr_matrix, stratum: NDArray[np.str_]) -> tuple[Ints, Ints, Bools]:
    """Return users, items and which are cold of the relevant pairs, ordered by user and item."""
    pairs = relevant_pairs(relevant)
    return users_of(pairs), pairs.indices.astype(np.intp), stratum[pairs.indices] == "cold"


def cold_recall(
    lists: dict[str, Lists], relevant: sp.csr_matrix, stratum: NDArray[np.str_]
) -> pd.DataFrame:
    """Return the share of cold test items that each list finds, pooled, its interval over users."""
    users, _, cold = _cold_pairs(relevant, stratum)
    pairs = relevant_pairs(relevant)
    rows = []
    for what, of in lists.items():
        found = (positions(of, relevant) >= 0) & cold
        whole = count(cold, users, pairs)
        share = ratio(count(found, users, pairs)[whole > 0], whole[whole > 0])
        rows.append({"what": what, **share._asdict()})
    return pd.DataFrame(rows)


def cold_cases(
    run: Run,
    semantic: Lists,
    collaborative: Lists,
    stratum: NDArray[np.str_],
    names: Sequence[str],
    each: int = 3,
) -> Columns:
    """Return the first hits and the first misses of the semantic list among cold test items.

    ``each`` of both, by user id and then item id, as columns of a table: outcome, user, the item
    and its training count, its rank in either list, and which item of the user's history is
    closest to it in the raw text.
    """
    data = run.dataset
    users, items, cold = _cold_pairs(data.test, stratum)
    ranks = [positions(of, data.test) for of in (semantic, collaborative)]
    counts = data.train.getnnz(axis=0)
    raw = unit(normalize(text.encode(data, run.encoder), dim=1))
    columns: Columns = {
        name: []
        for name in ("semantic view", "user", "test item", "training interactions",
                     "rank, semantic", "rank, collaborative", "closest in the user's history")
    }  # fmt: skip
    for outcome, chosen in (("hit", ranks[0] >= 0), ("miss", ranks[0] < 0)):
        for pair in np.flatnonzero(cold & chosen)[:each]:
            user, item = int(users[pair]), int(items[pair])
            known = data.train[user].indices
            closest = "–" if not len(known) else names[known[np.argmax(raw[known] @ raw[item])]]
            cells = (
                Cell("" if outcome == "hit" else "miss", ("hit",) * (outcome == "hit")),
                Cell(str(user)),
                Cell(names[item]),
                Cell(str(counts[item])),
                *(Cell(str(of[pair] + 1) if of[pair] >= 0 else "not in it") for of in ranks),
                Cell(closest),
            )
            for column, cell in zip(columns.values(), cells, strict=True):
                column.append(cell)
    return columns


def as_table(columns: Columns, caption: str) -> HTML:
    """Return columns as a table in which every label is escaped and kept from formulas."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    depth = max(map(len, columns.values()), default=0)
    body = ""
    for row in range(depth):
        cells = (of[row] if row < len(of) else Cell("") for of in columns.values())
        body += f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in cells)}</tr>"
    # MathJax would otherwise take what stands between two dollars for a formula
    return HTML(
        f'<table class="tex2jax_ignore mathjax_ignore"><caption>{html.escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(cell: Cell) -> str:
    said = [html.escape(cell.label)] if cell.label else []
    for badge in cell.badges:
        symbol, word, colour = BADGES[badge]
        style = f"border:1px solid {colour};border-radius:3px;padding:0 .3em;white-space:nowrap"
        said.append(f'<span style="{style}">{symbol} {word}</span>')
    return " ".join(said)
