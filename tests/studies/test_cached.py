"""What is kept: asked again nothing is computed, the answer is equal, another key is made anew."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lib import fusion, probes
from lib.core import Floats
from lib.dataset import Dataset
from lib.probes import Recovery, maps
from lib.probes import splits as item_splits
from lib.views import View
from studies import (
    ch06_probes,
    ch08_methods,
    ch08_scores,
    ch08_tables,
    concatenation,
)
from studies.context import Run

pytestmark = pytest.mark.usefixtures("cache_folder")

GIVEN = {"dataset": "small", "split": "random", "seed": 0, "seeds": 1, "k": 5,
         "encoder": "dataset", "device": "cpu"}  # fmt: skip


def run_of(dataset: Dataset, **change: object) -> Run:
    return Run(dataset, GIVEN | change)


@pytest.fixture
def run(small: Dataset) -> Run:
    return run_of(small)


def counted(monkeypatch: pytest.MonkeyPatch, place: object, name: str) -> list[int]:
    """Return a list that gets longer with every call of a function."""
    calls: list[int] = []
    whole: Callable[..., object] = getattr(place, name)

    def call(*arguments: object, **more: object) -> object:
        calls.append(1)
        return whole(*arguments, **more)

    monkeypatch.setattr(place, name, call)
    return calls


def test_a_map_is_fitted_once_for_each_name_seed_and_vectors(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = replace(run, parameters=run.parameters | {"epochs": 1}, epochs=1)
    x, y = (run.view(model, 0).items.double().numpy() for model in ("linear", "lightgcn"))
    split = item_splits.random(run.dataset.n_items)

    def fit(name: str, source: Floats = x, seed: int = 0, *, shuffled: bool = False) -> Recovery:
        return ch06_probes.recovery(run, name, source, y, split, seed, shuffled=shuffled)

    fitted = counted(monkeypatch, probes, "recover")
    first, again = (fit("ridge") for _ in range(2))
    assert len(fitted) == 1
    np.testing.assert_array_equal(first.predicted, again.predicted)
    ridge = maps.fit_ridge(maps.PairedVectors.of(x, y, split.train, split.valid))
    np.testing.assert_allclose(first.predicted, ridge.predict(x))
    fit("procrustes")
    fit("ridge", shuffled=True)
    fit("ridge", seed=1)
    fit("ridge", y)
    assert len(fitted) == 5


def test_methods_of_the_fusion_chapter_are_ranked_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("LightGCN", "Borda count", "RLMRec-Con", "norm-concat, weight on validation")
    able = [method for method in ch08_methods.methods() if method.name in names]
    made = counted(monkeypatch, ch08_scores, "_list_scores")
    run = replace(run, epochs=1)
    first, again = (ch08_scores.score(run, able) for _ in range(2))
    assert len(made) == len(able)
    for one, other in zip(first, again, strict=True):
        assert ch08_tables.tidy_table([one], one).equals(ch08_tables.tidy_table([other], other))
        assert (one.method, one.dimensions, one.trials) == (
            other.method,
            other.dimensions,
            other.trials,
        )
    ch08_scores.score(replace(run_of(run.dataset, k=6), epochs=1), able)
    ch08_scores.score(replace(run_of(run.dataset, seed=1), epochs=1), able)  # other views
    assert len(made) == 3 * len(able)


def test_weights_are_chosen_once_for_each_views_grid_and_data(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = [run.view(model, 0, epochs=1) for model in ("linear", "lightgcn")]
    chosen = counted(monkeypatch, fusion, "choose_weights")
    first, again = (concatenation.best_concat(run.dataset, views) for _ in range(2))
    assert len(chosen) == 1 and first.info == again.info
    assert first.users.equal(again.users) and first.items.equal(again.items)
    even = concatenation.best_concat(run.dataset, views, [[0.5, 0.5]])
    assert len(chosen) == 2 and even.info["weights"] == [0.5, 0.5]
    concatenation.best_concat(run.dataset, views[::-1])
    concatenation.best_concat(run.dataset, [View(views[0].users, -views[0].items, {}), views[1]])
    assert len(chosen) == 4
    concatenation.best_concat(replace(run.dataset, valid=run.dataset.test), views)
    assert len(chosen) == 5
