"""The run context: seeds, views and lists made once, and what a key may depend on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lib import cache, views
from lib.core import InputError
from lib.dataset import Dataset
from lib.metrics import recall
from lib.views import View
from studies import context
from studies.context import Run

pytestmark = pytest.mark.usefixtures("cache_folder")
GIVEN = {"split": "random", "seed": 0, "seeds": 2, "k": 5, "encoder": "minilm", "device": "cpu"}


@pytest.fixture
def run(small: Dataset) -> Run:
    return Run(small, GIVEN, epochs=2)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Every fit that was asked for: dataset, model, seed, settings."""
    asked: list[tuple[Any, ...]] = []
    fit: Callable[..., View] = views.fit

    def counted(dataset: Dataset, model: str, *, seed: int, **settings: Any) -> View:
        asked.append((dataset, model, seed, settings))
        return fit(dataset, model, seed=seed, **settings)

    monkeypatch.setattr(views, "fit", counted)
    return asked


def test_every_seed_has_another_as_its_null(small: Dataset, run: Run) -> None:
    assert run.seeds == [0, 1] and [run.second(s) for s in run.seeds] == [1, 0]
    alone = Run(small, GIVEN | {"seeds": 1, "seed": 4})
    assert alone.seeds == [4] and alone.second(4) == 5
    assert run.fewer(1).seeds == [0] and run.fewer(9).seeds == [0, 1]
    with pytest.raises(InputError, match="at least 1"):
        run.fewer(0)


def test_wrong_parameters_are_one_sentence(small: Dataset) -> None:
    with pytest.raises(InputError, match="epochs = 0 was given"):
        Run(small, GIVEN, epochs=0)
    for wrong in (1, 5):
        with pytest.raises(InputError, match=f"shares = {wrong} was given; give 2 to 4"):
            context.check_bounds("shares", wrong, 2, 4)


def test_views_and_lists_are_made_once(run: Run, fits: list[tuple[Any, ...]]) -> None:
    first, again = (run.view("lightgcn", 0, dimension=8) for _ in range(2))
    assert first is again and len(fits) == 1
    for k in (3, 5, 20):
        found = run.lists("lightgcn", 0, k, dimension=8)
        np.testing.assert_array_equal(found, run.lists_of(first, k))
    run.lists("lightgcn", 0, 4, part="valid", dimension=8)
    assert len(fits) == 1
    assert run.lists("popularity", 0).shape == (run.dataset.n_users, run.k)


def test_epochs_are_those_of_trained_models(run: Run, fits: list[tuple[Any, ...]]) -> None:
    assert run.views("linear")[0].info["parameters"]["epochs"] == 2
    assert [seed for _, _, seed, _ in fits] == [0, 1]
    run.view("svd", 0), run.view("linear", 0, epochs=1)
    assert [of.get("epochs") for *_, of in fits] == [2, 2, None, 1]
    assert [view.info["seed"] for view in run.views("linear", second=True)] == [1, 0]


def test_what_views_learn_from_changes_no_candidates(
    small: Dataset, small_with_other_test: Dataset, fits: list[tuple[Any, ...]]
) -> None:
    run = Run(small, GIVEN, epochs=1).learning_from(small_with_other_test)
    lists = run.lists("linear", 0)
    assert fits[0][0] is small_with_other_test
    assert np.nansum(recall(lists, small.seen)) == 0


def test_validation_is_recall_at_20_on_validation_items(run: Run) -> None:
    view = run.view("linear", 0)
    lists = run.lists("linear", 0, min(20, run.dataset.n_items), part="valid")
    assert run.validation(view) == pytest.approx(np.nanmean(recall(lists, run.dataset.valid)))


def test_pairs_have_one_pair_a_seed(run: Run) -> None:
    pairs = run.pairs(3)
    assert {len(of) for of in pairs.values()} == {2}
    a, b = pairs["semantic and collaborative"][0]
    assert a.shape == b.shape == (run.dataset.n_users, 3)
    np.testing.assert_array_equal(a, run.lists("linear", 0, 3))
    for name, model in (("collaborative", "lightgcn"), ("semantic", "linear")):
        first, second = pairs[f"{name}, two seeds"]
        np.testing.assert_array_equal(first[0], second[1])
        np.testing.assert_array_equal(first[1], run.lists(model, 0, 3))


def test_how_a_page_is_worded_is_part_of_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.code_version.cache_clear()
    source = cache._source
    read = []
    monkeypatch.setattr(cache, "_source", lambda path: read.append(path) or source(path))
    cache.code_version(context)
    cache.code_version.cache_clear()
    assert read and not [path for path in read if "companion" in path.parts[-3:]]
