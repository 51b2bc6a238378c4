"""Single items and users to look at, chosen by a rule and not by hand, and drawings of the spaces.

Titles are strangers' data: they reach a page as text only, every one escaped.
"""

from __future__ import annotations

import html
import importlib.metadata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from IPython.display import HTML
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits
from torch.nn.functional import normalize

from lib import cache
from lib.core import InputError, generator, unit
from lib.dataset import Dataset
from lib.diagnostics import jaccard, neighbours
from lib.encoders import text
from lib.metrics import Bools, Floats, Ints, Lists, count, positions, relevant_pairs, users_of
from lib.stats import ratio, summary
from studies.ch10_diversity import NEIGHBOURS, neighbourhood
from studies.context import Run

STRATA = ("hot", "mid", "cold")
LABEL = 60  # characters of a title or text that are shown
SHOWN_GENRES = 6
MARKS = {"both": ("●", "in both", "#0072B2"), "hit": ("✔", "hit", "#009E73")}
"""Symbol, word and colour of what is said of a shown item."""


class Entry(NamedTuple):
    """An item as it stands in a table: its label, and the names of ``MARKS`` that hold for it."""

    label: str
    marks: tuple[str, ...] = ()


class Drawing(NamedTuple):
    """Places of items on a plane (n × 2), and how far neighbours there are neighbours in fact."""

    points: NDArray[np.float32]
    trustworthiness: float


def labels(items: pd.DataFrame) -> list[str]:
    """Return what to call each item: its title, else its text, else its key; cut at 60 characters.

    ``items``: columns ``text``, ``key`` and, where known, ``title``.
    """
    named = items["title"] if "title" in items else items["text"]
    found = []
    for title, words, key in zip(named, items["text"], items["key"], strict=True):
        whole = next((str(s) for s in (title, words) if isinstance(s, str) and s.strip()), "")
        whole = whole.strip() or f"item {key}"
        found.append(whole if len(whole) <= LABEL else whole[: LABEL - 1].rstrip() + "…")
    return found


def strata(train_counts: ArrayLike) -> NDArray[np.str_]:
    """Return each item's stratum (n_items): cold, mid or hot.

    Cold up to the 60 % quantile of the training counts, mid up to the 80 % quantile, hot above:
    the paper's cuts, but counted on training interactions alone.
    """
    counts = np.asarray(train_counts)
    low, high = np.quantile(counts, [0.6, 0.8])
    return np.select([counts <= low, counts <= high], ["cold", "mid"], "hot")


def median_of(values: ArrayLike, among: Bools) -> int | None:
    """Return the smallest id that has the median value among the chosen ids, None without any.

    Of an even number the lower of the two middle values is the median; a NaN is no choice.
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


def agreement(run: Run, **settings: Any) -> Agreement:
    """Return how far items have the same neighbours in two spaces, averaged over the seeds.

    ``settings``: of the trained models.
    """
    k = neighbourhood(run.dataset.n_items)
    near = {
        (model, seed): neighbours(run.view(model, seed, **settings).items, k)
        for model in ("linear", "lightgcn")
        for seed in sorted({*run.seeds, *map(run.other, run.seeds)})
    }
    near |= {("svd", seed): neighbours(run.view("svd", seed).items, k) for seed in run.seeds}
    raw = neighbours(text.encode(run.dataset, run.parameters["encoder"]), k)
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
    """Return a tidy table of values per item, of all items and by stratum, with intervals.

    Columns pair, stratum, mean, low, high, n: the interval is over items.
    """
    rows = []
    for name in ("all", *STRATA):
        chosen = np.ones(len(stratum), dtype=bool) if name == "all" else stratum == name
        for pair, of_items in values.items():
            found = summary(of_items[chosen])
            rows.append({"pair": pair, "stratum": name, **found._asdict()})
    return pd.DataFrame(rows)


def side_by_side(
    left: ArrayLike, right: ArrayLike, names: Sequence[str], *, hits: Sequence[int] = (), most: int
) -> dict[str, list[Entry]]:
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
            Entry(
                names[item],
                ("both",) * (item in other) + ("hit",) * (item in hits),
            )
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


def cold_pairs(relevant: sp.csr_matrix, stratum: NDArray[np.str_]) -> tuple[Ints, Ints, Bools]:
    """Return users, items and which are cold of the relevant pairs, ordered by user and item."""
    pairs = relevant_pairs(relevant)
    return users_of(pairs), pairs.indices.astype(np.intp), stratum[pairs.indices] == "cold"


def cold_recall(
    lists: dict[str, Lists], relevant: sp.csr_matrix, stratum: NDArray[np.str_]
) -> pd.DataFrame:
    """Return the share of cold test items that each list finds, pooled, its interval over users."""
    users, _, cold = cold_pairs(relevant, stratum)
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
) -> dict[str, list[Entry]]:
    """Return the first hits and the first misses of the semantic list among cold test items.

    ``each`` of both, by user id and then item id, as columns of a table: outcome, user, the item
    and its training count, its place in either list, and which item of the user's history is
    closest to it in the raw text.
    """
    data = run.dataset
    users, items, cold = cold_pairs(data.test, stratum)
    ranks = [positions(of, data.test) for of in (semantic, collaborative)]
    counts = data.train.getnnz(axis=0)
    raw = unit(normalize(text.encode(data, run.parameters["encoder"]), dim=1))
    columns: dict[str, list[Entry]] = {
        name: []
        for name in ("semantic view", "user", "test item", "training interactions",
                     "place, semantic", "place, collaborative", "closest in the user's history")
    }  # fmt: skip
    for outcome, chosen in (("hit", ranks[0] >= 0), ("miss", ranks[0] < 0)):
        for pair in np.flatnonzero(cold & chosen)[:each]:
            user, item = int(users[pair]), int(items[pair])
            known = data.train[user].indices
            closest = "–" if not len(known) else names[known[np.argmax(raw[known] @ raw[item])]]
            cells = (
                Entry("" if outcome == "hit" else "miss", ("hit",) * (outcome == "hit")),
                Entry(str(user)),
                Entry(names[item]),
                Entry(str(counts[item])),
                *(Entry(str(of[pair] + 1) if of[pair] >= 0 else "not in it") for of in ranks),
                Entry(closest),
            )
            for column, cell in zip(columns.values(), cells, strict=True):
                column.append(cell)
    return columns


def shown(columns: dict[str, list[Entry]], caption: str) -> HTML:
    """Return columns as a table in which every label is escaped and kept from formulas."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    depth = max(map(len, columns.values()), default=0)
    body = ""
    for row in range(depth):
        cells = (of[row] if row < len(of) else Entry("") for of in columns.values())
        body += f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in cells)}</tr>"
    # MathJax would otherwise take what stands between two dollars for a formula
    return HTML(
        f'<table class="tex2jax_ignore mathjax_ignore"><caption>{html.escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(entry: Entry) -> str:
    said = [html.escape(entry.label)] if entry.label else []
    for mark in entry.marks:
        symbol, word, colour = MARKS[mark]
        style = f"border:1px solid {colour};border-radius:3px;padding:0 .3em;white-space:nowrap"
        said.append(f'<span style="{style}">{symbol} {word}</span>')
    return " ".join(said)


def check_drawn(drawn: int) -> None:
    """Refuse a number of items that cannot be drawn.

    Raises
    ------
    InputError
        It is below 10 or above 3,000.
    """
    if not 10 <= drawn <= 3000:
        raise InputError(f"drawn = {drawn} was given; give 10 to 3000, the items of a drawing")


def sample(n_items: int, drawn: int, seed: int = 0) -> Ints:
    """Return the ids of the items to draw, ascending: all, or ``drawn`` of them by ``seed``."""
    if n_items <= drawn:
        return np.arange(n_items)
    return np.sort(generator(seed, "items drawn").permutation(n_items)[:drawn])


def drawing(vectors: ArrayLike, *, seed: int = 0) -> Drawing:
    """Return a t-SNE of vectors (n × d) by cosine, and its trustworthiness; kept by the store.

    van der Maaten and Hinton (JMLR 9, 2008), from the first two principal components, perplexity
    30 or a third of the vectors; trustworthiness of Venna and Kaski (2001) over the 20 nearest, 1
    where every neighbour in the drawing is one in the space. One thread, so that the same vectors
    give the same drawing.

    Raises
    ------
    InputError
        No finite matrix, or fewer than ten vectors.
    """
    points = unit(vectors).astype(np.float32)
    if len(points) < 10:
        raise InputError(f"{len(points)} vectors were given to be drawn; give at least 10")
    key = {
        "vectors": cache.digest(points),
        "seed": seed,
        "code": cache.code_version(_tsne),
        "scikit-learn": importlib.metadata.version("scikit-learn"),
    }
    value = cache.cached("layout", key, lambda: _tsne(points, seed))
    return Drawing(value["points"], value["trustworthiness"])


def _tsne(points: NDArray[np.float32], seed: int) -> cache.Value:
    from sklearn.manifold import TSNE, trustworthiness

    n = len(points)
    state = int(generator(seed, "t-SNE").integers(2**31))
    with threadpool_limits(1):
        plane = TSNE(
            metric="cosine", init="pca", perplexity=min(30, (n - 1) / 3), random_state=state
        ).fit_transform(points)
        near = min(NEIGHBOURS, (n - 1) // 2)
        kept = trustworthiness(points, plane, n_neighbors=near, metric="cosine")
    return {"points": np.asarray(plane, dtype=np.float32), "trustworthiness": float(kept)}


def kinds(dataset: Dataset, chosen: Ints) -> tuple[str, list[str]]:
    """Return a property of the chosen items that a reader can see, and its value for each.

    The first genre where items have genres (the most frequent six, else "other"), otherwise the
    third of all items by training count.
    """
    if "genres" in dataset.items and dataset.items["genres"].fillna("").str.strip().any():
        genres = dataset.items["genres"].fillna("").astype(str).iloc[chosen]
        first = genres.str.split(",").str[0].str.strip().replace("", "other")
        frequent = first[first != "other"].value_counts().sort_index()
        kept = frequent.sort_values(ascending=False, kind="stable").index[:SHOWN_GENRES]
        return "first genre", [str(g) if g in kept else "other" for g in first]
    counts = dataset.train.getnnz(axis=0)
    low, high = np.quantile(counts, [1 / 3, 2 / 3])
    thirds = np.select(
        [counts <= low, counts <= high], ["least popular third", "middle third"],
        "most popular third",
    )  # fmt: skip
    return "popularity", [str(third) for third in thirds[chosen]]
