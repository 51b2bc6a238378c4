"""Cold start, made by taking interactions away: users with few training items, items with none.

Every view is trained again on the altered dataset, so that nothing but what is left decides it.
The test items of users stay as they were. What is taken from a user is known to be liked, so no
list is ever charged with it: it is left out of every model's lists at the test, as training items
are. Counts and shares out of bounds raise InputError.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from lib import views
from lib.core import InputError, generator
from lib.dataset import Dataset, only
from lib.metrics import Bools, Floats, Ints, recall, restricted, users_of
from lib.topk import topk
from lib.views import View
from studies.concatenation import even_concat
from studies.context import Run

COUNTS = (1, 2, 3, 5)
UNCUT = "uncut"
UNSEEN, ALL = "unseen items", "all items"
MOVES = ("rises", "stays", "falls")
CHANCE, ONE_LIST = "chance", "one semantic list for all"


@dataclass(frozen=True, eq=False)
class Cut:
    """A dataset some of whose users keep few training items, and who they are.

    ``groups``: user ids in ascending order by the number of items kept, as a word, "uncut" last.
    """

    dataset: Dataset
    groups: dict[str, Ints]


@dataclass(frozen=True, eq=False)
class Unseen:
    """A dataset some of whose items nobody has in training or validation, and who wants them.

    ``items``: their ids in ascending order. ``relevant``: who interacted with them in any part of
    the original dataset (n_users × n_items CSR), users without a training item left out.
    """

    dataset: Dataset
    items: Ints
    relevant: sp.csr_matrix


def cut_users(
    dataset: Dataset, counts: Sequence[int] = COUNTS, share: float = 0.1, *, seed: int = 0
) -> Cut:
    """Cut disjoint random groups of users to few training items each; one more group stays whole.

    All groups are drawn from the users with more training items than the largest count, so that
    they differ in nothing but what is taken away. A group has ``share`` of all users, or, where
    there are too few such users, an equal part of those there are, which may be nobody. Which
    items a user keeps is drawn too. Cut users lose their validation items, so that nothing but
    the kept items is known of them, and no model is selected on them. Test items stay.
    """
    if not counts or len(set(counts)) < len(counts) or min(counts) < 1:
        raise InputError(f"counts {list(counts)} were given; give different whole numbers from 1")
    n_groups = len(counts) + 1
    _check_share(share, n_groups)
    n_train = dataset.train.getnnz(axis=1)
    able = np.flatnonzero(n_train > max(counts))
    size = min(round(share * dataset.n_users), len(able) // n_groups)
    order = generator(seed, "cold users").permutation(able)
    names = [*map(str, counts), UNCUT]
    groups = {n: np.sort(order[g * size : (g + 1) * size]) for g, n in enumerate(names)}
    kept = n_train.astype(np.intp)
    for count in counts:
        kept[groups[str(count)]] = count
    stays = _positions(dataset.train, seed) < kept[users_of(dataset.train)]
    whole = (kept == n_train)[users_of(dataset.valid)]
    altered = _altered(dataset, stays, whole, f"{size} users each cut to {', '.join(names[:-1])}")
    return Cut(altered, groups)


def _positions(train: sp.csr_matrix, seed: int) -> Ints:
    """Return a random position of each pair among its user's, from 0 (n_pairs)."""
    users = users_of(train)
    order = np.lexsort((generator(seed, "cold users: kept items").random(train.nnz), users))
    position = np.empty(train.nnz, dtype=np.intp)
    position[order] = np.arange(train.nnz) - train.indptr[users]
    return position


def unseen_items(dataset: Dataset, share: float = 0.1, *, seed: int = 0) -> Unseen:
    """Take all training and validation interactions from a random share of the items.

    What users had of them, in any part, is what there is to find. A user who is left without a
    training item has nothing to find: no model knows anything of such a user. The test part of
    the altered dataset is untouched.
    """
    _check_share(share, 1)
    n = max(1, round(share * dataset.n_items))
    items = np.sort(generator(seed, "unseen items").permutation(dataset.n_items)[:n])
    mask = np.zeros(dataset.n_items, dtype=np.bool_)
    mask[items] = True
    train, valid = (~mask[part.indices] for part in (dataset.train, dataset.valid))
    altered = _altered(dataset, train, valid, f"{n} items without training interactions")
    wanted = restricted(sp.csr_matrix(dataset.seen + dataset.test), mask)
    known = altered.train.getnnz(axis=1) > 0
    relevant = only(wanted, known[users_of(wanted)], wanted.data)
    return Unseen(altered, items, relevant)


def _check_share(share: float, n_groups: int) -> None:
    if not 0 < share <= 1 / n_groups:
        raise InputError(
            f"share = {share} was given; give more than 0 and at most {1 / n_groups:.3g}"
        )


def _altered(dataset: Dataset, train: Bools, valid: Bools, words: str) -> Dataset:
    """Return the dataset with only the chosen pairs of its training and validation part."""
    times = dataset.times
    return replace(
        dataset,
        name=f"{dataset.name}, {words}",
        train=only(dataset.train, train, dataset.train.data),
        valid=only(dataset.valid, valid, dataset.valid.data),
        times=None if times is None else only(times, train, times.data),
        card={**dataset.card, "altered": words},
    )


def expected_recall(k: int, candidates: ArrayLike) -> Floats:
    """Return the expected recall of ``k`` items drawn at random from so many candidates.

    The hits of a random list are hypergeometric with mean k · relevant / candidates, so that its
    recall is expected to be k / candidates whatever is relevant. NaN where the list holds every
    candidate: such a list measures nothing.
    """
    among = np.asarray(candidates, dtype=np.float64)
    return np.where(among > k, k / np.maximum(among, 1), np.nan)


def lists_among(view: View, items: Ints, k: int) -> NDArray[np.int32]:
    """Return every user's best ``k`` of the given items alone (n_users × k), as ids of all items.

    Fewer than ``k`` items give lists of as many.
    """
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
"""By row and group: each user's recalls added over the seeds, and how many (2 × n_users)."""


def recall_by_history(run: Run) -> Pooled:
    """Return the test recall of each view by the number of training items that users keep.

    Each seed draws its own groups and trains its own views. Lists leave out all that the user had
    in the *original* training and validation parts. ``lib.stats.ratio`` of the two rows is the
    mean recall over users and seeds; of the first rows of two views, their ratio.
    """
    found: dict[tuple[str, str], list[Floats]] = {}
    for seed in run.seeds:
        cut = cut_users(run.dataset, seed=seed)
        candidates = run.dataset.n_items - run.dataset.seen.getnnz(axis=1)
        values = {
            name: recall(run.lists_of(view), run.dataset.test)
            for name, view in retrained(run, cut.dataset, seed).items()
        }
        values[CHANCE] = _where(values["semantic"], expected_recall(run.k, candidates))
        for name, of_users in values.items():
            for group, users in cut.groups.items():
                alone = np.full(run.dataset.n_users, np.nan)
                alone[users] = of_users[users]
                found.setdefault((name, group), []).append(alone)
    return {key: pooled(of) for key, of in found.items()}


def recall_of_unseen(run: Run) -> Pooled:
    """Return each view's recall of items that nobody has in training.

    Once among the unseen items alone, where popularity knows nothing and is left out, and once
    among all items but those that the model knew of the user.
    """
    found: dict[tuple[str, str], list[Floats]] = {}
    for seed in run.seeds:
        unseen = unseen_items(run.dataset, seed=seed)
        n_all = run.dataset.n_items - unseen.dataset.seen.getnnz(axis=1)
        made = retrained(run, unseen.dataset, seed)
        made[ONE_LIST] = one_list(made["semantic"])
        for name, view in made.items():
            every = views.lists(view, unseen.dataset, run.k)
            found.setdefault((name, ALL), []).append(recall(every, unseen.relevant))
            if name != "popularity":
                alone = lists_among(view, unseen.items, run.k)
                found.setdefault((name, UNSEEN), []).append(recall(alone, unseen.relevant))
        defined = found["semantic", ALL][-1]
        for among, n in ((UNSEEN, len(unseen.items)), (ALL, n_all)):
            found.setdefault((CHANCE, among), []).append(_where(defined, expected_recall(run.k, n)))
    return {key: pooled(of) for key, of in found.items()}


def _where(defined: Floats, values: Floats) -> Floats:
    """Return the values of users whose recall is defined, NaN elsewhere (n_users)."""
    return np.where(np.isnan(defined), np.nan, values)


def pooled(values: Sequence[Floats]) -> Floats:
    """Return each user's sum and number of values that are not NaN (2 × n_users).

    Both are NaN for a user who has none. A user whom several seeds draw counts once as a sampled
    unit and with all its values.
    """
    every = np.stack(values)
    n = (~np.isnan(every)).sum(axis=0)
    return np.where(n > 0, np.stack([np.nansum(every, axis=0), n]), np.nan)


def moves(found: ArrayLike, base: ArrayLike) -> Floats:
    """Return whether each user's recall rises, stays or falls from ``base`` (3 × n_users, 0 or 1).

    Rows as in ``MOVES``; NaN where either recall is. Recalls of one list each: averages over seeds
    would hardly ever stay.
    """
    change = np.asarray(found, dtype=np.float64) - np.asarray(base, dtype=np.float64)
    found_moves = np.stack([change > 0, change == 0, change < 0]).astype(np.float64)
    found_moves[:, np.isnan(change)] = np.nan
    return found_moves
