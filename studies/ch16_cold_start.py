"""Cold start, made by taking interactions away: users with few training items, items with none.

Every view is trained again on the altered dataset, so that nothing but what is left decides it.
Test items stay as they were. What is taken from a user is known to be liked, so no list is ever
charged with it: like training items, it is left out of every model's lists at the test. An item
that nobody has in training is no negative there. Each seed draws its own users and items.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike, NDArray

from lib import fusion, views
from lib.core import Floats, generator
from lib.dataset import Dataset, only
from lib.encoders.training import validation_score, validation_users
from lib.metrics import Ints, recall, restricted, users_of
from lib.topk import topk
from lib.views import View
from studies.concatenation import even_concat
from studies.context import Run
from studies.subsets import altered, order_within_users

COUNTS = (1, 2, 3, 5)
SHARE = 0.1  # of the users, in each group; of the items, that are unseen
ONE, UNCUT = "1", "uncut"
UNSEEN, ALL, KNOWN = "unseen items alone", "all items", "test items that are not unseen"
TEXT, COLLABORATIVE, SEEDS = "semantic", "collaborative", "two seeds"
FUSION, BY_COUNT = "fusion", "fusion, weight by item count"
POPULAR, CHANCE, ONE_LIST = "popularity", "chance", "one semantic list for all"
LEVELS = (0.5, 0.25, 0.75, 0.0, 1.0)
GRID = [(none, many) for none in LEVELS for many in LEVELS]  # of equally good ones the first

Found = tuple[dict[tuple[str, str], Floats], list[tuple[float, float]]]
"""Recalls by view and group, each of the form of ``by_seed``, and the ``weights`` of each seed."""


def cut_users(
    dataset: Dataset, counts: Sequence[int] = COUNTS, share: float = SHARE, *, seed: int = 0
) -> tuple[Dataset, dict[str, Ints]]:
    """Cut disjoint random groups of users to few random training items; one more stays whole.

    Returned with the user ids by number kept. All are drawn from users with more training items
    than the largest count: ``share`` of all users each, or an equal part of these where they are
    too few. Cut users lose their validation items, so that no model is selected on them.
    """
    n_train = dataset.train.getnnz(axis=1)
    able = np.flatnonzero(n_train > max(counts))
    names = [*map(str, counts), UNCUT]
    size = min(round(share * dataset.n_users), len(able) // len(names))
    order = generator(seed, "cold users").permutation(able)
    groups = {n: np.sort(order[g * size : (g + 1) * size]) for g, n in enumerate(names)}
    kept = n_train.astype(np.intp)
    for count in counts:
        kept[groups[str(count)]] = count
    draws = generator(seed, "cold users: kept items").random(dataset.train.nnz)
    stays = order_within_users(dataset.train, draws) < kept[users_of(dataset.train)]
    whole = (kept == n_train)[users_of(dataset.valid)]
    words = f"{size} users each cut to {', '.join(names[:-1])}"
    return altered(dataset, stays, whole, words), groups


def unseen_items(
    dataset: Dataset, share: float = SHARE, *, seed: int = 0
) -> tuple[Dataset, Ints, sp.csr_matrix]:
    """Take all training and validation interactions from a random share of the items.

    Returned with the items and what there is to find (n_users × n_items): all that users had of
    them, in any part, but for users left without a training item, of whom no model knows anything.
    """
    n = max(1, round(share * dataset.n_items))
    items = np.sort(generator(seed, "unseen items").permutation(dataset.n_items)[:n])
    mask = np.isin(np.arange(dataset.n_items), items)
    train, valid = (~mask[part.indices] for part in (dataset.train, dataset.valid))
    left = altered(dataset, train, valid, f"{n} items without training interactions")
    wanted = restricted(sp.csr_matrix(dataset.seen + dataset.test), mask)
    known = left.train.getnnz(axis=1) > 0
    return left, items, only(wanted, known[users_of(wanted)], wanted.data)


def expected_recall(k: int, candidates: ArrayLike) -> Floats:
    """Return the expected recall of ``k`` random items of so many candidates: k / candidates.

    NaN where the list holds every candidate: such a list measures nothing.
    """
    among = np.asarray(candidates, dtype=np.float64)
    return np.where(among > k, k / np.maximum(among, 1), np.nan)


def lists_among(view: View, items: Ints, k: int) -> NDArray[np.int32]:
    """Return every user's best ``k`` of the given items, or all of them (n_users × k)."""
    found = topk(view.users, view.items[items], min(k, len(items))).items.numpy()
    return items[found].astype(np.int32)


def one_list(view: View) -> View:
    """Return the view with the mean user in place of each: items rank by their mean score."""
    return View(view.users.mean(dim=0).repeat(len(view.users), 1), view.items, {})


def weighted(semantic: View, collaborative: View, counts: Ints, none: float, many: float) -> View:
    """Return a fusion in which an item's training count (n_items) decides its text's weight w.

    The score is (1 − w) · collaborative + w · semantic cosine, with w on the item's side. From
    ``none`` at count 0 it goes towards ``many``, halfway at the median count of items that have
    any. A collaborative vector without interactions is only where training began, and nought here.
    """
    middle = np.median(counts[counts > 0])
    w = (many + (none - many) * middle / (middle + counts))[:, None]
    both = [(view.users.numpy(), view.items.numpy()) for view in (collaborative, semantic)]
    users, (known, text) = fusion.unit_views(both)
    items = [(1 - w) * np.where(counts[:, None] > 0, known, 0), w * text]
    u, i = (torch.from_numpy(np.hstack(of).astype(np.float32)) for of in (users, items))
    return View(u, i, {"weights": (none, many)})


def by_count(dataset: Dataset, semantic: View, collaborative: View, seed: int) -> View:
    """Return ``weighted`` with the two weights of ``GRID`` that find most validation items.

    Validation has no unseen item, so a random share of the items is treated as unseen there.
    """
    counts = dataset.train.getnnz(axis=0)
    blind = counts * (generator(seed, "items treated as unseen").random(len(counts)) >= SHARE)
    subset = validation_users(dataset)

    def score(pair: tuple[float, float]) -> float:
        tried = weighted(semantic, collaborative, blind, *pair)
        return validation_score(dataset, tried.users, tried.items, subset)

    return weighted(semantic, collaborative, counts, *max(GRID, key=score))


def retrained(run: Run, dataset: Dataset, seed: int) -> dict[str, View]:
    """Return the compared views by name, made from an altered dataset."""
    source = run.learning_from(dataset)
    semantic = source.view("linear", seed)
    first, second = (source.view("lightgcn", s) for s in (seed, run.second(seed)))
    return {
        TEXT: semantic,
        COLLABORATIVE: first,
        FUSION: even_concat([semantic, first]),
        BY_COUNT: by_count(dataset, semantic, first, seed),
        SEEDS: even_concat([first, second]),
        POPULAR: source.view("popularity", seed),
    }


def recall_by_history(run: Run) -> Found:
    """Return the test recall of each view by the number of training items that users keep.

    Lists leave out all that the user had in the *original* training and validation parts.
    """
    data, weights = run.dataset, []
    found: defaultdict[tuple[str, str], list[Floats]] = defaultdict(list)
    chance = expected_recall(run.k, data.n_items - data.seen.getnnz(axis=1))
    chance[data.test.getnnz(axis=1) == 0] = np.nan
    for seed in run.seeds:
        cut, groups = cut_users(data, seed=seed)
        made = retrained(run, cut, seed)
        weights.append(made[BY_COUNT].info["weights"])
        values = {name: recall(run.lists_of(view), data.test) for name, view in made.items()}
        for name, of_users in (values | {CHANCE: chance}).items():
            for group, users in groups.items():
                inside = np.isin(np.arange(data.n_users), users)
                found[name, group].append(np.where(inside, of_users, np.nan))
    return {key: by_seed(of) for key, of in found.items()}, weights


def recall_of_unseen(run: Run) -> Found:
    """Return each view's recall of unseen items, among these and among all, and of the others.

    Popularity cannot tell unseen items apart. All are those that the model did not see of the user.
    """
    data, weights = run.dataset, []
    found: defaultdict[tuple[str, str], list[Floats]] = defaultdict(list)
    for seed in run.seeds:
        left, items, relevant = unseen_items(data, seed=seed)
        made = retrained(run, left, seed)
        weights.append(made[BY_COUNT].info["weights"])
        known = restricted(data.test, ~np.isin(np.arange(data.n_items), items))
        for name, view in (made | {ONE_LIST: one_list(made[TEXT])}).items():
            every = views.lists(view, left, run.k)
            found[name, ALL].append(recall(every, relevant))
            if name != POPULAR:
                found[name, UNSEEN].append(recall(lists_among(view, items, run.k), relevant))
            found[name, KNOWN].append(recall(every, known))
        able = relevant.getnnz(axis=1) > 0
        n_all = data.n_items - left.seen.getnnz(axis=1)
        for among, n in ((UNSEEN, len(items)), (ALL, n_all)):
            found[CHANCE, among].append(np.where(able, expected_recall(run.k, n), np.nan))
    return {key: by_seed(of) for key, of in found.items()}, weights


def by_seed(values: Sequence[Floats]) -> Floats:
    """Return values by seed and user, and 1 where there is one (2 × n_seeds × n_users).

    Both are 0 where a seed has no value of a user, and NaN where none has: ``lib.stats.ratio``.
    """
    every = np.stack(values)
    there = ~np.isnan(every)
    return np.where(there.any(axis=0), np.stack([np.nan_to_num(every), there]), np.nan)
