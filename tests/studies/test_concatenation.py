"""Views side by side: what they rank by, and that the test decides no weight."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from companion.data import synthetic
from lib.core import InputError
from lib.metrics import recall
from lib.views import View, lists
from studies import concatenation
from studies.context import Run

GIVEN = {
    "dataset": "synthetic", "split": "random", "seed": 0, "seeds": 2, "k": 3,
    "encoder": "minilm", "device": "cpu",
}  # fmt: skip


@pytest.fixture
def run() -> Run:
    world = synthetic.world(n_users=70, n_items=50, interactions=15, seed=5)
    return Run(world.dataset, GIVEN, epochs=2)


@pytest.mark.usefixtures("cache_folder")
def test_concats_rank_by_the_weighted_mean_of_the_cosines(run: Run) -> None:
    views = [run.view(model, 0, epochs=2) for model in ("linear", "lightgcn")]
    unit = torch.nn.functional.normalize
    cosines = [unit(v.users) @ unit(v.items).T for v in views]
    even, best = concatenation.even_concat(views), concatenation.best_concat(run.dataset, views)
    for view in (even, best):
        w = view.info["weights"]
        mean = sum(a * c for a, c in zip(w, cosines, strict=True))
        torch.testing.assert_close(view.users @ view.items.T, mean, atol=1e-5, rtol=0)
    assert even.info["weights"] == [0.5, 0.5] and sum(best.info["weights"]) == pytest.approx(1)

    def validation(view: View) -> float:
        found = lists(view, run.dataset, 20, part="valid")
        return float(np.nanmean(recall(found, run.dataset.valid)))

    assert best.info["validation"] == pytest.approx(validation(best))
    assert validation(best) >= max(map(validation, [even, *views]))


@pytest.mark.usefixtures("cache_folder")
def test_the_weight_and_the_better_view_do_not_look_at_the_test(run: Run) -> None:
    order = np.random.default_rng(1).permutation(run.dataset.n_users)
    other = replace(run.dataset, test=run.dataset.test[order])
    views = [run.view(model, 0, epochs=2) for model in ("linear", "lightgcn")]
    assert (
        concatenation.best_concat(run.dataset, views).info
        == concatenation.best_concat(other, views).info
    )


def test_the_better_view_has_the_better_mean_validation() -> None:
    def scored(*values: float) -> list[View]:
        return [View(torch.ones(1, 1), torch.ones(1, 1), {"validation": v}) for v in values]

    assert concatenation.better({"a": scored(0.1, 0.6), "b": scored(0.3, 0.3)}) == "a"
    with pytest.raises(InputError, match="validation"):
        concatenation.better({"a": [View(torch.ones(1, 1), torch.ones(1, 1), {})]})
    with pytest.raises(InputError, match="no views"):
        concatenation.better({})
