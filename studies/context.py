"""The run context: a dataset, its seeds and settings, and every view and list made once.

A study asks the run for views and lists, which stay as long as the run does; views stay on disk as
well (``lib.cache``). This module imports ``lib`` alone, so that a chapter's wording never enters a
cache key.

Shapes: lists are n_users × k item ids, best first, −1 where there are fewer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np

from lib import views
from lib.core import InputError, Lists, whole_number
from lib.dataset import Dataset
from lib.encoders.training import VALIDATION_K, Recipe
from lib.metrics import recall
from lib.views import View

Part = Literal["valid", "test"]
T = TypeVar("T")


def check_bounds(name: str, given: int, least: int, most: float = np.inf) -> None:
    """Refuse a chapter's parameter that is below ``least`` or above ``most``."""
    if not least <= given <= most:
        accepted = f"{least} to {most}" if most < np.inf else f"at least {least}"
        raise InputError(f"{name} = {given} was given; give {accepted}")


@dataclass(frozen=True, eq=False)
class Run:
    """What one execution of a chapter computes with.

    ``parameters`` are the chapter's (``companion.chapter.begin``). ``epochs`` is the most that a
    view is trained for; None leaves it to the model. ``learned``, if given, is the dataset that
    views are trained on instead of ``dataset`` (``learning_from``).
    """

    dataset: Dataset
    parameters: Mapping[str, Any]
    epochs: int | None = None
    learned: Dataset | None = None

    def __post_init__(self) -> None:
        if self.epochs is not None:
            Recipe(epochs=self.epochs).checked()

    @property
    def k(self) -> int:
        """Length of the lists that the verdict is about."""
        return int(self.parameters["k"])

    @property
    def ks(self) -> list[int]:
        """The lengths that figures show: the paper's 5, 10, 20 and the run's own."""
        return sorted({k for k in (5, 10, 20, self.k) if k <= self.dataset.n_items})

    @property
    def seeds(self) -> list[int]:
        """The training seeds."""
        first = self.parameters["seed"]
        return list(range(first, first + self.parameters["seeds"]))

    @property
    def encoder(self) -> str:
        """The text encoder."""
        return str(self.parameters["encoder"])

    @property
    def device(self) -> str:
        """The device that models are trained on: auto, cpu or cuda."""
        return str(self.parameters["device"])

    def second(self, seed: int) -> int:
        """Return the seed that is the null of ``seed``: the next, or of the last the first."""
        return seed + 1 if seed != self.seeds[-1] or len(self.seeds) == 1 else self.seeds[0]

    def fewer(self, most: int) -> Run:
        """Return this run limited to at most ``most`` training seeds."""
        whole_number("others", most)
        return replace(self, parameters={**self.parameters, "seeds": min(most, len(self.seeds))})

    def learning_from(self, dataset: Dataset) -> Run:
        """Return the same run whose views learn from another dataset of the same users and items.

        Lists still leave out what this run's dataset has as training and, at test, validation
        items: candidates stay the same.
        """
        return replace(self, learned=dataset)

    def view(self, model: str, seed: int, **settings: Any) -> View:
        """Return a view of this run's encoder, device and epochs, unless ``settings`` differ."""
        given = {"encoder": self.encoder} | settings
        if self.epochs is not None and model in views.TRAINED:
            given = {"epochs": self.epochs} | given
        source = self.learned or self.dataset

        def make() -> View:
            return views.fit(source, model, seed=seed, device=self.device, **given)

        return self.once(("view", model, seed, *sorted(given.items())), make)

    def views(self, model: str, *, second: bool = False, **settings: Any) -> list[View]:
        """Return a model's view of every seed, or of every seed's ``second``."""
        seeds = map(self.second, self.seeds) if second else self.seeds
        return [self.view(model, seed, **settings) for seed in seeds]

    def lists(
        self, model: str, seed: int, k: int | None = None, *, part: Part = "test", **settings: Any
    ) -> Lists:
        """Return a model's lists of length ``k``, by default the run's.

        Shorter lists are prefixes of longer ones, so that a view is ranked once for all lengths.
        """
        length = self.k if k is None else k
        key = ("lists", model, seed, part, *sorted(settings.items()))
        made: Lists | None = self._made.get(key)
        if made is None or made.shape[1] < length:
            made = self.lists_of(self.view(model, seed, **settings), max(length, *self.ks), part)
            self._made[key] = made
        return made[:, :length]

    def lists_by_seed(
        self, model: str, k: int | None = None, *, second: bool = False
    ) -> list[Lists]:
        """Return a model's lists of every seed, or of every seed's ``second``."""
        seeds = map(self.second, self.seeds) if second else self.seeds
        return [self.lists(model, seed, k) for seed in seeds]

    def lists_of(self, view: View, k: int | None = None, part: Part = "test") -> Lists:
        """Return the lists of a view that no single model gives, such as a concatenation."""
        return views.lists(view, self.dataset, self.k if k is None else k, part=part)

    def validation(self, view: View) -> float:
        """Return Recall@20 on validation items, the mean over users."""
        found = self.lists_of(view, min(VALIDATION_K, self.dataset.n_items), "valid")
        return float(np.nanmean(recall(found, self.dataset.valid)))

    def pairs(self, k: int | None = None) -> dict[str, list[tuple[Lists, Lists]]]:
        """Return the lists to compare, one pair a seed: the two views first, then the nulls."""
        every = self.lists_by_seed
        semantic, collaborative = every("linear", k), every("lightgcn", k)
        popular = [self.lists("popularity", 0, k)] * len(self.seeds)
        sides = {
            "semantic and collaborative": (semantic, collaborative),
            "collaborative, two seeds": (every("lightgcn", k, second=True), collaborative),
            "semantic, two seeds": (every("linear", k, second=True), semantic),
            "SVD and collaborative": (every("svd", k), collaborative),
            "popularity and collaborative": (popular, collaborative),
            "random and collaborative": (every("random", k), collaborative),
        }
        return {name: list(zip(*of, strict=True)) for name, of in sides.items()}

    def once(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Return what ``make`` gives, made at the first call for ``key`` and kept with the run."""
        if key not in self._made:
            self._made[key] = make()
        found: T = self._made[key]
        return found

    @cached_property
    def _made(self) -> dict[tuple[Any, ...], Any]:
        return {}
