"""Gains by stratum are those that F9 is judged by, and recalls those of the lists."""

import numpy as np
import pandas as pd
import pytest
from runs import run_of

from companion.data import synthetic
from lib import metrics
from lib.core import Lists
from lib.metrics import recall
from lib.stats import relative_gain
from studies import ch09_long_tail, measures
from studies.context import Run
from studies.measures import Rankings


@pytest.fixture(scope="module")
def run() -> Run:
    dataset = synthetic.world(n_users=120, n_items=60, interactions=12, seed=5).dataset
    return run_of(dataset, epochs=2)


@pytest.fixture(scope="module")
def ranked(run: Run) -> tuple[Rankings, list[Lists], list[float]]:
    return ch09_long_tail.rankings(run)


def test_two_seeds_are_as_many_lists_as_the_fusion(
    ranked: tuple[Rankings, list[Lists], list[float]],
) -> None:
    found, even, weights = ranked
    assert len(found.fused) == len(found.control) == len(even) == len(weights) == 2
    assert all(0 <= weight <= 1 for weight in weights)


def test_gains_are_those_of_the_lists(
    run: Run, ranked: tuple[Rankings, list[Lists], list[float]]
) -> None:
    found, _, _ = ranked
    table = ch09_long_tail.gains(found).set_index(["what", "level"])
    of = measures.estimates(measures.tail_gain(found))
    for name in metrics.ITEM_STRATA:
        assert tuple(table.loc["fusion over the collaborative view", name]) == of[name]
        assert tuple(table.loc["fusion over the text", name]) == of[f"{name}_text"]
        assert tuple(table.loc["fusion over two seeds", name]) == of[f"{name}_seeds"]
    cold = metrics.restricted(run.dataset.test, found.strata == 0)
    top, base = (
        np.stack([recall(one, cold) for one in lists])
        for lists in (found.control, found.collaborative)
    )
    assert tuple(table.loc[ch09_long_tail.CONTROL, "cold"]) == relative_gain(top, base)


def test_recalls_are_those_of_the_lists_and_none_is_above_the_oracle(
    run: Run, ranked: tuple[Rankings, list[Lists], list[float]]
) -> None:
    found, even, _ = ranked
    table = ch09_long_tail.recalls(found, even)
    means = table.pivot(index="what", columns="level", values="mean")
    assert list(table["level"].unique()) == ["all", *metrics.ITEM_STRATA]
    every = np.mean([np.nanmean(recall(one, run.dataset.test)) for one in found.fused])
    assert means.loc["fusion", "all"] == pytest.approx(every)
    hot = metrics.restricted(run.dataset.test, found.strata == 2)
    popular = np.nanmean(recall(run.lists("popularity", 0), hot))
    assert means.loc["popularity", "hot"] == pytest.approx(popular)
    views = means.loc[["semantic", "collaborative"]]
    assert (views <= means.loc["oracle, best K"] + 1e-12).all(axis=None)
    assert isinstance(means, pd.DataFrame)
