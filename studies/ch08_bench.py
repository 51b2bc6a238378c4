"""What the rows of the fusion chapter are made of: a seed's views, fitted and ranked once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from lib import cache, views
from lib.core import InputError
from lib.topk import TopK, topk
from lib.views import View
from studies.context import Run

Part = Literal["valid", "test"]
Vectors = tuple[torch.Tensor, torch.Tensor]
ListsOf = Callable[[Part, int], np.ndarray]

DEPTH = 100  # candidates of each view that fusions of lists see
WEIGHTS = (0.01, 0.1, 1.0)  # of an auxiliary loss: one grid for every model that has one
DENSE = ("ease", "l3ae")  # models with a users × items and an items × items matrix
MOST = 2**31  # bytes of the former; inverting the latter may take twice as much


class TooLargeError(InputError):
    """A row that this dataset is too large for; the comparison goes on without it."""


class Source(NamedTuple):
    """A view that rows rest on: a model, its settings, and whether of the other seed.

    ``tuned``: the weight of its auxiliary loss is chosen from ``WEIGHTS``.
    """

    model: str
    settings: tuple[tuple[str, Any], ...] = ()
    other: bool = False
    tuned: bool = False


class Made(NamedTuple):
    """A row made for one seed.

    ``lists(part, k)`` gives n_users × k item ids. ``widths`` has the width of the vectors that
    rank, or, where lists are fused, that of each view. ``trials`` says how many alternatives were
    compared on validation (1: nothing was chosen), and ``chosen`` what was chosen, in words.
    """

    lists: ListsOf
    widths: tuple[int, ...]
    trials: int = 1
    chosen: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the comparison: its name, its family, its views, and how it is made of them."""

    name: str
    family: str
    sources: tuple[Source, ...]
    make: Callable[[Bench], Made]


class Bench:
    """The views of one seed, each fitted and ranked once for all rows that rest on it."""

    def __init__(self, run: Run, seed: int, *, epochs: int) -> None:
        self.run, self.seed, self.epochs = run, seed, epochs
        self.dataset = run.dataset
        self.view = functools.cache(self._view)
        self.digest = functools.cache(self._digest)
        self.ranked = functools.cache(self._ranked)

    def _fit(self, source: Source, seed: int, **more: Any) -> View:
        settings = dict(source.settings) | more
        if source.model in views.TRAINED:
            settings = {"epochs": self.epochs} | settings
        return self.run.view(source.model, seed, **settings)

    def _view(self, source: Source) -> View:
        if reason := self.too_large(source):
            raise TooLargeError(reason)
        seed = self.run.other(self.seed) if source.other else self.seed
        more = {"weight": self.weight(source)} if source.tuned else {}
        return self._fit(source, seed, **more)

    def _digest(self, source: Source) -> str:
        view = self.view(source)
        return cache.digest(view.users.numpy(), view.items.numpy())

    def too_large(self, source: Source) -> str:
        """Return why this dataset is too large for a view's matrices; nothing where it is not."""
        n_users, n_items = self.dataset.n_users, self.dataset.n_items
        matrix, work = 4 * n_users * n_items, 40 * n_items**2
        if source.model not in DENSE or (matrix <= MOST and work <= 2 * MOST):
            return ""
        return (
            f"{source.model} needs {matrix / 2**30:.1f} GiB for a users × items matrix and "
            f"{work / 2**30:.1f} GiB to invert an items × items one; at most {MOST / 2**30:.0f} "
            f"and {2 * MOST / 2**30:.0f} are given"
        )

    def weight(self, source: Source) -> float:
        """Return the auxiliary weight that validates best on the run's first seed."""
        first = self.run.seeds[0]
        scores = [self._fit(source, first, weight=w).info["validation"] for w in WEIGHTS]
        return WEIGHTS[int(np.argmax(scores))]

    def seen(self, part: Part) -> Any:
        """Return what the lists of ``part`` leave out."""
        return self.dataset.seen if part == "test" else self.dataset.train

    def _ranked(self, source: Source, part: Part) -> TopK:
        depth = min(max(DEPTH, self.run.k), self.dataset.n_items)
        view = self.view(source)
        return topk(view.users, view.items, depth, exclude=self.seen(part))

    def lists_of(self, vectors: Vectors) -> ListsOf:
        """Return what ranks all items by vectors, for a part and a length."""

        def lists(part: Part, k: int) -> np.ndarray:
            return views.lists(View(*vectors, {}), self.dataset, k, part=part)

        return lists
