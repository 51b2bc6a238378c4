"""Gains by stratum against recall by hand, the rule on tiny tables, and what is left out."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from runs import run_of

from lib import metrics
from lib.core import InputError
from lib.dataset import Dataset
from lib.stats import relative_gain
from studies import ch08_methods, decide

GIVEN = {"seed": 0, "seeds": 2, "k": 5, "encoder": "minilm", "device": "cpu"}
SMALL = GIVEN | {"epochs": 1, "others": 1}


def test_the_methods_are_chapter_8s_and_alignment_and_text_are_single_models() -> None:
    known = {method.name: method for method in ch08_methods.methods()}
    views = {what: known[name].views for what, name in decide.METHODS.items()}
    single = [what for what, of in views.items() if len(of) == 1]
    assert decide.SITUATIONS["one model only, nothing beside it"][2] == single
    assert sum(spec.second for spec in views["two seeds"]) == 1


def test_gains_are_those_of_recall_in_a_stratum(
    small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decide, "LEAST", 12)
    run = run_of(small, epochs=1)
    lists = [run.lists(model, seed) for model in ("svd", "random") for seed in run.seeds]
    of = dict.fromkeys(decide.METHODS, lists[:1]) | {decide.BASE: lists[2:]}
    found = decide.gains(run, of).set_index(["items", "users", "metric", "what"])
    assert len(found) == 4 * 4 * 2 * 4
    cold, light = (metrics.by_count(small.train.getnnz(axis=axis)) == 0 for axis in (0, 1))
    inside = metrics.restricted(small.test, cold)
    for users, mask in {"all": light | True, "light": light}.items():
        top, base = (metrics.recall(one, inside) for one in (lists[0], lists[2]))
        cell = found.loc["cold", users, "recall", "fuse"]
        assert cell["n"] == (inside[mask].getnnz(axis=1) > 0).sum() >= decide.LEAST
        assert tuple(cell[["mean", "low", "high"]]) == relative_gain(top[mask], base[mask])[:3]
    few = found["n"] < decide.LEAST
    assert 0 < few.sum() < len(found) and found["mean"][few].isna().all()


def tables(**low: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return gains of one set whose lower ends are given by method in every cell, and costs."""
    rows = [
        {"what": what, "metric": "recall", "items": items, "users": users, "n": 200}
        | {"mean": end + 0.1, "low": end, "high": end + 0.2, "ratio": 1.0, "set": "one"}
        for items in ("all", *metrics.ITEM_STRATA)
        for users in ("all", *metrics.USER_STRATA)
        for what, end in low.items()
    ]
    names = [decide.BASE, *decide.METHODS]
    costs = pd.DataFrame({"set": "one", "what": names, "seconds": [10.0, 20, 30, 40, 50]})
    return pd.DataFrame(rows), costs


def lower_ends(fuse: float, align: float, seeds: float, text: float) -> dict[str, float]:
    return dict(zip(decide.METHODS, (fuse, align, seeds, text), strict=True))


def test_the_largest_lower_end_above_nothing_is_recommended() -> None:
    found = decide.choices(*tables(**lower_ends(0.2, 0.1, 0.15, -0.3))).set_index("situation")
    assert list(found["do"]) == ["fuse", "fuse", "fuse", "align"]
    assert list(found["slower"]) == [2.0, 2.0, 2.0, 3.0]
    assert set(found["text"]) == {"about as strong"}


@pytest.mark.parametrize("low", [0.0, -0.1, np.nan])
def test_without_a_gain_above_nothing_lightgcn_stays_alone(low: float) -> None:
    found = decide.choices(*tables(**lower_ends(low, -0.2, -0.2, -0.2)))
    assert set(found["do"]) == {decide.BASE} and set(found["slower"]) == {1.0}
    best = "two seeds" if np.isnan(low) else "fuse"
    assert np.isnan(low) or found["best"][0] == best


def test_a_stratum_decides_for_itself() -> None:
    gained, costs = tables(**lower_ends(0.2, 0.1, 0.0, -0.3))
    gained.loc[(gained["items"] == "cold") & (gained["what"] == "text alone"), "low"] = 0.4
    found = decide.choices(gained, costs).set_index("situation")
    assert found["do"]["most items cold"] == "text alone"
    assert found["do"]["all items and users"] == "fuse"


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0.79, "weaker"), (0.8, "about as strong"), (1.24, "about as strong"), (1.25, "stronger")],
)
def test_texts_are_told_apart_by_the_ratio_of_f1(ratio: float, text: str) -> None:
    gained, costs = tables(**lower_ends(0.2, 0.1, 0.0, -0.3))
    assert set(decide.choices(gained.assign(ratio=ratio), costs)["text"]) == {text}


def test_a_set_is_measured_once_and_its_costs_are_those_of_its_views(
    small: Dataset, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decide, "load", lambda name: small)
    first = decide.of_set("one", SMALL)
    costs = first["costs"].set_index("what")
    assert list(costs["dimensions"]) == [128, 128, 128, 128, 64]
    assert list(costs["new"]) == [0, 64, 0, 0, 64]
    assert list(costs["trainings"]) == [1, 2, len(ch08_methods.AUXILIARY[0][1]), 2, 1]
    assert list(costs["seeds"]) == [2, 2, 1, 2, 2]
    assert (costs["seconds"] > 0).all() and (first["gains"][["ratio", "density"]] > 0).all(
        axis=None
    )
    monkeypatch.setattr(decide, "gains", None)  # it would fail if it were called
    again = decide.of_set("one", SMALL)
    for name, table in first.items():
        pd.testing.assert_frame_equal(again[name], table)


def test_sets_are_ordered_by_their_text_and_those_that_cannot_tell_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def of_set(name: str, given: Any) -> dict[str, pd.DataFrame]:
        if name == "bare":
            raise InputError("all items have an empty text")
        ratio = {"weak": 0.5, "strong": 1.5}[name]
        return {of: pd.DataFrame({"set": [name], "ratio": [ratio]}) for of in ("gains", "costs")}

    monkeypatch.setattr(decide, "of_set", of_set)
    gained, costs, lacking = decide.of_sets(["weak", "bare", "strong"], SMALL)
    assert list(gained["set"]) == list(costs["set"]) == ["strong", "weak"]
    assert lacking == ["bare (all items have an empty text)"]
    with pytest.raises(InputError, match="no dataset could be measured: bare"):
        decide.of_sets(["bare"], SMALL)
