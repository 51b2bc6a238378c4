"""Cold start, made by taking interactions away: users with few training items, items with none.

Every view is trained again on the altered dataset, so that nothing but what is left decides it.
Test items stay as they were. What is taken from a user is known to be liked, so no list is ever
charged with it: like training items, it is left out of every model's lists at the test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from lib import views
from lib.core import Floats, generator
from lib.dataset import Dataset, only
from lib.metrics import Bools, Ints, recall, restricted, users_of
from lib.topk import topk
from lib.views import View
from studies.concatenation import even_concat
from studies.context import Run

COUNTS = (1, 2, 3, 5)
UNCUT = "uncut"
UNSEEN, ALL = "unseen items", "all items"
MOVES = ("rises", "stays", "falls")
CHANCE, ONE_LIST = "chance", "one semantic list for all"


class Cut(NamedTuple):
    """A dataset some of whose users keep few training items."""

    dataset: Dataset
    groups: dict[str, Ints]  # user ids, ascending, by the number of items kept; ``UNCUT`` last


class Unseen(NamedTuple):
    """A dataset some of whose items nobody has in training or validation."""

    dataset: Dataset
    items: Ints  # their ids, ascending
    relevant: sp.csr_matrix  # n_users × n_items: who had them in any part of the original dataset


def positions(train: sp.csr_matrix, draws: Floats) -> Ints:
    """Return each pair's position, from 0, among its user's in the order of ``draws`` (n_pairs)."""
    users = users_of(train)
    position = np.empty(train.nnz, dtype=np.intp)
    position[np.lexsort((draws, users))] = np.arange(train.nnz) - train.indptr[users]
    return position


def cut_users(
    dataset: Dataset, counts: Sequence[int] = COUNTS, share: float = 0.1, *, seed: int = 0
) -> Cut:
    """Cut disjoint random groups of users to few random training items; one more stays whole.

    All groups are drawn from the users with more training items than the largest count, so that
    they differ in nothing but what is taken away: ``share`` of all users each, or an equal part of
    such users where they are too few. Cut users lose their validation items, so that nothing but
    the kept items is known of them, and no model is selected on them.
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
    stays = positions(dataset.train, draws) < kept[users_of(dataset.train)]
    whole = (kept == n_train)[users_of(dataset.valid)]
    words = f"{size} users each cut to {', '.join(names[:-1])}"
    return Cut(altered(dataset, stays, whole, words), groups)


def unseen_items(dataset: Dataset, share: float = 0.1, *, seed: int = 0) -> Unseen:
    """Take all training and validation interactions from a random share of the items.

    What users had of them, in any part, is what there is to find. A user who is left without a
    training item has nothing to find: no model knows anything of such a user.
    """
    n = max(1, round(share * dataset.n_items))
    items = np.sort(generator(seed, "unseen items").permutation(dataset.n_items)[:n])
    mask = np.zeros(dataset.n_items, dtype=np.bool_)
    mask[items] = True
    train, valid = (~mask[part.indices] for part in (dataset.train, dataset.valid))
    left = altered(dataset, train, valid, f"{n} items without training interactions")
    wanted = restricted(sp.csr_matrix(dataset.seen + dataset.test), mask)
    known = left.train.getnnz(axis=1) > 0
    relevant = only(wanted, known[users_of(wanted)], wanted.data)
    return Unseen(left, items, relevant)


def altered(dataset: Dataset, train: Bools, valid: Bools | None, words: str) -> Dataset:
    """Return the dataset with only the chosen pairs of training and validation (None: all)."""
    times = dataset.times
    return replace(
        dataset,
        name=f"{dataset.name}, {words}",
        train=only(dataset.train, train, dataset.train.data),
        valid=dataset.valid if valid is None else only(dataset.valid, valid, dataset.valid.data),
        times=None if times is None else only(times, train, times.data),
        card={**dataset.card, "altered": words},
    )


def expected_recall(k: int, candidates: ArrayLike) -> Floats:
    """Return the expected recall of ``k`` items drawn at random from so many candidates.

    That is k / candidates whatever is relevant: hits are hypergeometric with mean k · relevant /
    candidates. NaN where the list holds every candidate: such a list measures nothing.
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


def retrained(run: Run, dataset: Dataset, seed: int) -> dict[str, View]:
    """Return the compared views by name, made from an altered dataset."""
    altered = run.learning_from(dataset)
    semantic, collaborative = altered.view("linear", seed), altered.view("lightgcn", seed)
    return {
        "semantic": semantic,
        "collaborative": collaborative,
        "fusion": even_concat([semantic, collaborative]),
        "text mean": altered.view("text-mean", seed),
        "popularity": altered.view("popularity", seed),
    }


Pooled = dict[tuple[str, str], Floats]
"""By view and group: each user's recalls added over the seeds, and how many (2 × n_users)."""


def recall_by_history(run: Run) -> Pooled:
    """Return the test recall of each view by the number of training items that users keep.

    Each seed draws its own groups and trains its own views. Lists leave out all that the user had
    in the *original* training and validation parts. ``lib.stats.ratio`` of both rows is the mean.
    """
    data = run.dataset
    found: defaultdict[tuple[str, str], list[Floats]] = defaultdict(list)
    chance = expected_recall(run.k, data.n_items - data.seen.getnnz(axis=1))
    chance[data.test.getnnz(axis=1) == 0] = np.nan
    for seed in run.seeds:
        cut = cut_users(data, seed=seed)
        views_of = retrained(run, cut.dataset, seed)
        values = {n: recall(run.lists_of(view), data.test) for n, view in views_of.items()}
        for name, of_users in (values | {CHANCE: chance}).items():
            for group, users in cut.groups.items():
                alone = np.full(data.n_users, np.nan)
                alone[users] = of_users[users]
                found[name, group].append(alone)
    return {key: pooled(of) for key, of in found.items()}


def recall_of_unseen(run: Run) -> Pooled:
    """Return each view's recall of unseen items, among these alone and among all items.

    Among these popularity knows nothing and is left out; all items are without those that the model
    knew of the user.
    """
    found: defaultdict[tuple[str, str], list[Floats]] = defaultdict(list)
    for seed in run.seeds:
        unseen = unseen_items(run.dataset, seed=seed)
        made = retrained(run, unseen.dataset, seed)
        made[ONE_LIST] = one_list(made["semantic"])
        for name, view in made.items():
            every = views.lists(view, unseen.dataset, run.k)
            found[name, ALL].append(recall(every, unseen.relevant))
            if name != "popularity":
                alone = lists_among(view, unseen.items, run.k)
                found[name, UNSEEN].append(recall(alone, unseen.relevant))
        able = unseen.relevant.getnnz(axis=1) > 0
        n_all = run.dataset.n_items - unseen.dataset.seen.getnnz(axis=1)
        for among, n in ((UNSEEN, len(unseen.items)), (ALL, n_all)):
            found[CHANCE, among].append(np.where(able, expected_recall(run.k, n), np.nan))
    return {key: pooled(of) for key, of in found.items()}


def pooled(values: Sequence[Floats]) -> Floats:
    """Return each user's sum and number of values that are not NaN (2 × n_users).

    Both are NaN for a user who has none. A user whom several seeds draw is one sampled unit.
    """
    every = np.stack(values)
    n = (~np.isnan(every)).sum(axis=0)
    return np.where(n > 0, np.stack([np.nansum(every, axis=0), n]), np.nan)


def moves(found: ArrayLike, base: ArrayLike) -> Floats:
    """Return whether each user's recall rises, stays or falls from ``base`` (3 × n_users, 0 or 1).

    NaN where either recall is. Recalls are of one list: averages over seeds would hardly ever stay.
    """
    change = np.asarray(found, dtype=np.float64) - np.asarray(base, dtype=np.float64)
    return np.where(np.isnan(change), np.nan, [change > 0, change == 0, change < 0])
