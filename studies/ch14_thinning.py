"""The same dataset with fewer training interactions: how findings fare as data get sparse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lib.core import InputError, generator
from lib.dataset import Dataset, only


def thinned(dataset: Dataset, share: float, seed: int = 0) -> Dataset:
    """Return the dataset with a random share of its training interactions.

    Interactions are put in random order, but one of every user before all others, and the first
    round(share · n) are kept: each user keeps at least one, so that where users have few, more than
    the share is left. One seed's draws are nested: what a smaller share keeps, a larger one does.

    Validation and test items are untouched. What was removed is no new item to its user: rank with
    the mask of the whole dataset, ``lib.views.lists(view, whole, k)``, so that the candidates, and
    with them the difficulty, are the same at every share.

    Parameters
    ----------
    dataset
        What to thin. Its items, texts and vectors stay.
    share
        Of the training interactions, above 0 and at most 1; 1 keeps all of them.
    seed
        Of the draw.

    Raises
    ------
    InputError
        A share outside these bounds.
    """
    if not 0 < share <= 1:
        raise InputError(f"share = {share} was given; give one above 0 and at most 1, such as 0.1")
    whole = dataset.train
    users = np.repeat(np.arange(dataset.n_users), np.diff(whole.indptr))
    draw = generator(seed, "thinning").random(whole.nnz)
    order = np.lexsort((draw, users))  # by user, then at random
    first = order[np.diff(users[order], prepend=-1) > 0]  # one of every user who has any
    draw[first] -= 1
    n = max(round(share * whole.nnz), len(first))
    kept = np.zeros(whole.nnz, dtype=np.bool_)
    kept[np.argsort(draw, kind="stable")[:n]] = True
    times = dataset.times
    return replace(
        dataset,
        train=only(whole, kept, whole.data),
        times=None if times is None else only(times, kept, times.data),
        card=dataset.card | {"training interactions kept": f"{n:,} of {whole.nnz:,}"},
    )
