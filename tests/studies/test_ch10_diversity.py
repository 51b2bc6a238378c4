"""The dose curve: hits kept and equal recall by hand and by plain loops, and what a sweep finds."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import random_lists

from lib import claims
from lib.core import Floats, InputError
from lib.dataset import Dataset
from lib.diagnostics import neighbourhood_preservation
from lib.encoders import text
from lib.metrics import recall
from studies import ch10_diversity as study
from studies.context import Run
from studies.measures import percent


def test_hits_of_one_list_alone_are_kept_or_not_by_hand() -> None:
    relevant = sp.csr_matrix([[1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]])
    one, other = np.array([[0, 1, 4], [0, 1, -1]]), np.array([[1, 2, 3], [4, 2, 3]])
    lists = np.array([[0, 2, 5], [3, 2, 1]])
    # user 0: of one alone {0}, of the other {2, 3}; user 1: none, and {4}
    found = study.kept_hits(lists, one, other, relevant=relevant)
    assert found.tolist() == [[1, 0], [1, 0], [1, 0], [2, 1]]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 7))
def test_intra_list_distance_over_all_pairs(seed: int, n_items: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    lists = random_lists(rng, 5, n_items, k)
    items = rng.standard_normal((n_items, 3)) * (rng.random((n_items, 1)) < 0.8)
    got = study.intra_list_distance(lists, items)
    for user, listed in enumerate(lists):
        vectors = [items[i] / (np.linalg.norm(items[i]) or 1) for i in listed if i >= 0]
        distances = [1 - v @ w for v, w in combinations(vectors, 2)]
        expected = np.mean(distances) if distances else math.nan
        assert got[user] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_effective_rank_of_known_spectra() -> None:
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.standard_normal((40, 5)))[0]
    assert study.effective_rank(rotation) == pytest.approx(5)
    assert study.effective_rank(rotation.T * 1e-6) == pytest.approx(5)
    assert study.effective_rank(np.outer(np.arange(6.0), np.ones(4))) == pytest.approx(1)
    # singular values 3/4 and 1/4 of their sum
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    spectrum = study.effective_rank(rotation[:, :2] * [3, 1])
    assert spectrum == pytest.approx(math.exp(entropy))
    assert math.isnan(study.effective_rank(np.zeros((3, 2))))


def test_blocks_of_users_change_no_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    lists, items = random_lists(rng, 50, 30, 6), rng.standard_normal((30, 4))
    whole = study.intra_list_distance(lists, items)
    monkeypatch.setattr(study, "_USERS", 7)
    np.testing.assert_allclose(study.intra_list_distance(lists, items), whole, rtol=1e-12)
    with pytest.raises(InputError, match="not finite"):
        study.intra_list_distance(lists, np.full((30, 2), np.nan))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_hits_kept_are_those_of_sets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lists, one, other = (random_lists(rng, 7, 9, 4) for _ in range(3))
    relevant = rng.random((7, 9)) < 0.3
    expected = []
    for user in range(7):
        wanted = set(np.flatnonzero(relevant[user]))
        kept, a, b = ({*of[user]} & wanted for of in (lists, one, other))
        expected.append([len(kept & (a - b)), len(kept & (b - a)), len(a - b), len(b - a)])
    found = study.kept_hits(lists, one, other, relevant=sp.csr_matrix(relevant))
    assert found.T.tolist() == expected


def test_only_users_of_equal_recall_are_compared() -> None:
    nan = np.nan
    new, old = np.array([[0.5, 0.5, nan], [0, 1, nan]]), np.array([[0.5, 0, nan], [0, 1, nan]])
    distances = (
        np.array([[0.2, 0.9, 0.7], [0.3, 0.1, 0.7]]),
        np.array([[0.4, 0.1, 0], [0.6, 0.1, 0]]),
    )
    one, other = study.at_equal_recall(new, old, *distances)
    np.testing.assert_array_equal(one, [[0.2, 0, nan], [0.3, 0.1, nan]])
    np.testing.assert_array_equal(other, [[0.4, 0, nan], [0.6, 0.1, nan]])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_change_at_equal_recall_ignores_all_other_users(seed: int) -> None:
    rng = np.random.default_rng(seed)
    new, old = rng.integers(0, 3, (2, 2, 20)) / 2
    first, second = rng.uniform(0.1, 1, (2, 2, 20))
    found = study.measure("F10", chosen=study.at_equal_recall(new, old, first, second))
    same = [(s, u) for s in range(2) for u in range(20) if new[s, u] == old[s, u]]
    expected = sum(first[at] for at in same) / sum(second[at] for at in same) - 1
    assert found["chosen"].mean == pytest.approx(expected)
    spoiled = np.where(new == old, first, 9e9)
    again = study.measure("F10", chosen=study.at_equal_recall(new, old, spoiled, second))
    assert again == found


def make(
    dataset: Dataset, seeds: int = 2, weights: tuple[float, ...] = study.COARSE
) -> study.Sweep:
    given = {"seed": 0, "seeds": seeds, "k": 5, "encoder": "minilm", "device": "cpu"}
    return study.Sweep(Run(dataset, given, epochs=2), weights)


@pytest.fixture
def sweep(small: Dataset, cache_folder: object) -> study.Sweep:
    return make(small)


def test_both_grids_hold_none_the_models_own_and_ten_times_it() -> None:
    for grid in (study.COARSE, study.FINE):
        assert grid[0] == 0 and list(grid) == sorted(grid)
        assert {0.1, study.HEAVY, 10} <= set(grid)
    assert set(study.COARSE) < set(study.FINE)


def test_curves_and_tables_of_a_small_world(sweep: study.Sweep) -> None:
    curves = study.dose(sweep).set_index(["panel", "what", "weight"]).sort_index()
    assert set(curves.index.unique("panel")) == set(study.UNITS)
    assert curves.index.is_unique and (curves["low"] <= curves["high"]).all()
    at = curves["mean"]
    for panel, value in ((study.RECALL, 0), (study.DISTANCE, 0)):
        assert at[panel, study.ALIGNED, 0] == pytest.approx(value)
    seeds = at[study.NEAR, study.SECOND, 0]  # weight 0 of another seed is the second seed
    assert at[study.NEAR, study.ALIGNED, 0] == pytest.approx(seeds)
    for panel in study.UNITS:
        whats = set(curves.loc[panel].index.unique("what"))
        others = {"CARec style", "shared and private parts"}
        compared = {study.ALIGNED, study.SECOND, study.FUSED}
        assert whats == compared | (others if panel == study.RECALL else set())
        assert at[panel, study.SECOND].nunique() == 1  # level
        assert all(len(at[panel, what]) == len(sweep.weights) for what in whats)

    shown = study.details(sweep)
    assert shown.index.tolist() == [*sweep.weights, study.SECOND, study.FUSED, study.TEXT]
    kept = shown[["hits of the text alone kept", "hits of weight 0 alone kept"]]
    assert kept.loc[0].tolist() == [0, 1] and kept.loc[study.TEXT].tolist() == [1, 0]
    assert shown.loc[0, "users of equal recall"] == 1
    assert shown.loc[study.FUSED, "effective rank"] > 0

    scores = shown["validation recall, first seed"]
    assert scores[list(sweep.weights)].astype(float).idxmax() == sweep.chosen()


def test_measures_are_those_of_the_views_and_lists(
    sweep: study.Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "chosen_settings", lambda run, spec: {"weight": 0.1})
    run, test = sweep.run, sweep.run.dataset.test

    def lists(weight: float, seed: int, **more: int) -> np.ndarray:
        return run.lists_of(run.view("rlmrec", seed, weight=weight, **more))

    def total(weight: float) -> float:
        return sum(np.nansum(recall(lists(weight, seed), test)) for seed in (0, 1))

    a1 = study.stronger(sweep)
    assert a1["rlmrec"].mean == pytest.approx(total(10) / total(0.1) - 1)
    assert a1["rlmrec_none"].mean == pytest.approx(total(10) / total(0) - 1)
    assert a1["best"].mean == pytest.approx(total(0.1) / total(0) - 1)
    assert len(sweep.lists(0, model="carec")) == 1 and len(sweep.lists(0)) == 2

    def same(a: tuple[float, int], b: tuple[float, int]) -> float:
        one, other = (run.view("rlmrec", seed, weight=weight).items for weight, seed in (a, b))
        return float(neighbourhood_preservation(one, other, 3).mean())

    a2 = study.distorted(sweep)
    seeds = same((0, 0), (0, 1))
    assert a2["seeds"].mean == pytest.approx(seeds)
    kept = (same((0.1, 1), (0, 0)) + same((0.1, 0), (0, 1))) / 2
    assert a2["kept"].mean == pytest.approx(kept - seeds)
    assert a2["across"].mean == pytest.approx(kept - same((0.1, 0), (0.1, 1)))

    def share(of: str | float, **more: int) -> float:
        found = sum(
            study.kept_hits(one, run.lists("linear", seed), lists(0, seed), relevant=test).sum(
                axis=1
            )
            for seed, one in enumerate(sweep.lists(of, **more))
        )
        return (found[0] + found[1]) / (found[2] + found[3])

    a3 = study.lost(sweep)
    fused, again = share(study.FUSED), share(study.FUSED, second=True)
    assert a3["narrow"].mean == pytest.approx(share(0.1) - fused)
    assert a3["wide"].mean == pytest.approx(share(0.1, dimension=128) - fused)
    assert a3["apart"].mean == pytest.approx(share(0.1, dimension=128, second=True) - again)
    assert a3["seeds"].mean == pytest.approx(share(0, second=True) - again)

    def equal(weight: float, other: float, seed: int, beside: int) -> tuple[Floats, Floats]:
        both = lists(weight, seed), lists(other, beside)
        users = recall(both[0], test) == recall(both[1], test)
        items = text.encode(run.dataset, run.encoder).numpy()
        first, second = (study.intra_list_distance(one, items)[users].sum() for one in both)
        return first, second

    f10 = study.closer(sweep)
    (a, b), (c, d) = equal(0.1, 0, 0, 0), equal(0.1, 0, 1, 1)
    assert f10["chosen"].mean == pytest.approx((a + c) / (b + d) - 1)
    (a, b), (c, d) = equal(0, 0, 1, 0), equal(0, 0, 0, 1)
    assert f10["seeds"].mean == pytest.approx((abs(a / b - 1) + abs(c / d - 1)) / 2)
    for claim, found in {"A1": a1, "A2": a2, "A3": a3, "F10": f10}.items():
        assert claims.judge(claim, found).word in claims.VERDICTS
    said = study.answer(sweep, f10)
    assert "is 0.1 for RLMRec-Con" in said and f"by {percent(f10['fused'])} from that of" in said


def test_where_validation_chooses_no_alignment_nothing_of_it_is_judged(
    sweep: study.Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "chosen_settings", lambda run, spec: {"weight": 0})
    found = {
        "F10": study.closer(sweep), "A1": study.stronger(sweep),
        "A2": study.distorted(sweep), "A3": study.lost(sweep),
    }  # fmt: skip
    for claim in ("A2", "A3", "F10"):
        assert claims.judge(claim, found[claim]).word == claims.UNTESTABLE
    assert found["A1"]["best"].mean == 0 and not np.isnan(found["A2"]["heavy"].mean)


def test_a_model_that_validation_gives_the_largest_weight_shows_no_fall(
    sweep: study.Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = {"weight": max(sweep.weights)}
    monkeypatch.setattr(study, "chosen_settings", lambda run, spec: largest)
    found = study.stronger(sweep)
    assert found["rlmrec"][:3] == found["carec"][:3] == (0, 0, 0)
    assert claims.judge("A1", found).word == claims.FAILS


@pytest.mark.usefixtures("cache_folder")
def test_other_test_items_change_what_is_said_of_test_items_alone(
    small: Dataset, small_with_other_test: Dataset
) -> None:
    # the users that are compared at equal recall, and the hits, are those of test items
    given = [make(one, 1, (0, 0.1, 1)) for one in (small, small_with_other_test)]
    columns = ["validation recall, first seed", "coverage", "effective rank"]
    one, other = (study.details(of)[columns] for of in given)
    pd.testing.assert_frame_equal(one, other)
    one, other = (study.distorted(of) for of in given)
    assert one == other
