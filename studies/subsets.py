"""Datasets that keep only some of their training and validation interactions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from lib.core import Floats
from lib.dataset import Dataset, only
from lib.metrics import Bools, Ints, users_of


def order_within_users(train: sp.csr_matrix, draws: Floats) -> Ints:
    """Return each pair's position, from 0, among its user's in the order of ``draws`` (n_pairs)."""
    users = users_of(train)
    position = np.empty(train.nnz, dtype=np.intp)
    position[np.lexsort((draws, users))] = np.arange(train.nnz) - train.indptr[users]
    return position


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
