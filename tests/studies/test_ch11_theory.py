"""Predictions meet closed forms, scipy and simulation."""

from collections.abc import Sequence
from inspect import signature

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from companion.data import synthetic
from lib import cache
from lib.core import InputError, generator
from lib.stats import Estimate
from studies import ch11_theory, ch11_worlds
from studies.ch11_theory import Setting
from studies.concatenation import Vectors


@settings(max_examples=60, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-0.99, 0.99))
def test_both_above_is_scipys_orthant(h: float, k: float, rho: float) -> None:
    plain = multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([-h, -k])
    assert float(ch11_theory.both_above(h, k, rho)) == pytest.approx(plain, abs=2e-5)


def test_both_above_by_hand() -> None:
    # a quarter, and asin(1/2) / 2π = 1/12 more
    assert float(ch11_theory.both_above(0, 0, 0.5)) == pytest.approx(1 / 3)
    edge = norm.isf(0.05)
    assert float(ch11_theory.both_above(edge, edge, 0)) == pytest.approx(0.0025)


def test_variances_of_the_half_shared_world_by_hand() -> None:
    # with σ = 1/2 and d = 8 factors of each kind: v_s = √(1/16) = 1/4, v_a = √(1/32)
    common, own = ch11_theory.variances(0.5)
    assert (common, own) == (0.25, pytest.approx(0.1767767))


def test_the_theory_speaks_of_the_worlds_that_are_drawn() -> None:
    world = {name: of.default for name, of in signature(synthetic.world).parameters.items()}
    assert (
        world["d_shared"] == world["d_semantic"] == world["d_collaborative"] == ch11_theory.FACTORS
    )
    assert world["n_items"] == ch11_theory.N_ITEMS
    assert world["strength"] == ch11_theory.STRENGTH
    assert world["interactions"] == ch11_theory.INTERACTIONS


def sum_of_standard_scores(vectors: Sequence[Vectors]) -> Vectors:
    """Return vectors that rank by the sum of each user's scores over their standard deviation."""
    users = [u / (u @ i.T).std(axis=1, keepdims=True) for u, i in vectors]
    return np.hstack(users), np.hstack([items for _, items in vectors])


def noisy_table(setting: Setting, seed: int) -> pd.DataFrame:
    """Return the table of simulated noisy ideal views of one world."""
    world = synthetic.world(n_users=500, shared=setting.shared, seed=seed)
    semantic, collaborative = world.ideal("semantic"), world.ideal("collaborative")
    rng = generator(seed, "noisy views")
    scale = setting.noise * np.sqrt(np.mean(ch11_theory.variances(setting.shared)))
    text, data, first, second = scale * rng.standard_normal((4, *semantic.items.shape))
    fresh = np.sqrt(1 - setting.common)
    users, items = collaborative.users, collaborative.items + np.sqrt(setting.common) * data
    vectors = {
        "semantic": (semantic.users, semantic.items + text),
        "collaborative": (users, items + fresh * first),
        "replicate": (users, items + fresh * second),
    }
    return ch11_worlds.world_table(world.dataset, vectors, setting.k, sum_of_standard_scores)


@pytest.mark.parametrize("setting", [Setting(0.5), Setting(0.5, 1.0, 0.5), Setting(1.0, 1.0)])
def test_predictions_meet_simulated_views(setting: Setting) -> None:
    predicted = ch11_theory.predict(setting)._asdict()
    found = ch11_worlds.pooled([noisy_table(setting, seed) for seed in range(5)])
    for name, tolerance in {
        "jaccard": 0.012, "oracle": 0.1, "fusion": 0.1, "over_seeds": 0.08,
    }.items():  # fmt: skip
        assert found[name].mean == pytest.approx(predicted[name], abs=tolerance), name


def test_predictions_move_as_the_model_says() -> None:
    by_level = [ch11_theory.predict(Setting(level, 1.0)) for level in (0.1, 0.5, 0.9, 1.0)]
    for name in ("jaccard", "oracle", "fusion", "over_seeds"):
        values = [getattr(one, name) for one in by_level]
        assert values == sorted(values, reverse=name != "jaccard"), name
    # nothing private, and as noisy: two views are two replicates
    alike = by_level[-1]
    assert alike.over_seeds == pytest.approx(0, abs=1e-6)
    # noise that replicates have in common makes them alike and their fusion worth less
    common = ch11_theory.predict(Setting(1.0, 1.0, 0.5))
    assert common.over_seeds > 0.05


@pytest.mark.parametrize("k", [0, 200])
def test_lists_out_of_bounds_are_one_sentence(k: int) -> None:
    with pytest.raises(InputError, match=f"k = {k} was given; give 1 to 199"):
        Setting(k=k)


def test_pooled_measures_by_hand() -> None:
    table = pd.DataFrame(
        {
            "jaccard": [0.1, 0.3], "jaccard_seeds": [0.4, 0.6],
            "better": [0.4, 0.6], "better_seeds": [0.5, 0.3],
            "union": [0.8, 0.7], "union_seeds": [0.5, 0.5],
            "fused": [0.6, 0.6], "fused_seeds": [0.5, 0.5],
        }
    )  # fmt: skip
    found = {name: value.mean for name, value in ch11_worlds.pooled([table]).items()}
    assert found == pytest.approx(
        {
            "jaccard": 0.2, "jaccard_seeds": 0.5, "oracle": 0.5, "oracle_seeds": 0.25,
            "fusion": 0.2, "fusion_seeds": 0.25, "overlap": 0.3, "gain": 0.25, "benefit": -0.05,
            "over_seeds": 0.2,
        }
    )  # fmt: skip
    assert ch11_theory.over_worlds([table, table], "gain") == pytest.approx((0.25, 0.25, 0.25, 2))


NAMES = [f"{name}{mark}" for name in ("jaccard", "better", "union", "fused")
         for mark in ("", "_seeds")]  # fmt: skip


def test_a_union_is_never_below_its_better_list() -> None:
    table = noisy_table(Setting(0.5), 0)
    for mark in ("", "_seeds"):
        assert (table[f"union{mark}"].dropna() >= table[f"better{mark}"].dropna()).all()


def test_trained_worlds_are_cached(cache_folder: object, monkeypatch: pytest.MonkeyPatch) -> None:
    size = {"n_users": 60, "n_items": 60, "interactions": 8.0}
    one = ch11_worlds.trained_world(0.5, 1, k=5, **size)
    assert len(one) == 60
    monkeypatch.setattr(ch11_worlds.views, "fit", None)
    two = ch11_worlds.trained_world(0.5, 1, k=5, **size)
    pd.testing.assert_frame_equal(one, two)


def test_an_interval_over_worlds_is_students() -> None:
    tables = [pd.DataFrame({name: [value] for name in NAMES}) for value in (0.1, 0.2, 0.6)]
    found = ch11_theory.over_worlds(tables, "jaccard")
    half = 4.302653 * np.sqrt(0.07) / np.sqrt(3)  # t of two degrees of freedom, 97.5 %
    assert found == pytest.approx((0.3, 0.3 - half, 0.3 + half, 3))


def test_the_answer_says_from_which_shared_fraction_on_nothing_is_gained() -> None:
    pays, not_yet = Estimate(0.1, 0.05, 0.2, 9), Estimate(0.0, -0.1, 0.1, 9)

    def said(*over: tuple[float, Estimate]) -> str:
        return ch11_theory.answer(
            {level: {"over_seeds": of, "gain": pays, "benefit": not_yet} for level, of in over}
        )

    some = said((0.0, not_yet), (0.5, pays), (0.9, not_yet), (1.0, not_yet))
    assert "no longer pays from a shared fraction of 0.9 on" in some and "+10.0 %" in some
    assert "pays also where all is shared" in said((0.5, not_yet), (1.0, pays))


def test_the_figure_has_what_is_predicted_beside_what_is_found() -> None:
    names = [*ch11_theory.PANELS, "jaccard_seeds", "oracle_seeds", "fusion_seeds"]
    of = dict.fromkeys(names, Estimate(0.2, 0.1, 0.3, 9))
    table = ch11_theory.points({0.5: of, 1.0: of}, 20).groupby(["panel", "what"]).size()
    panels = list(ch11_theory.PANELS.values())
    assert (table[:, ch11_theory.PREDICTED] == 11).all()
    assert list(table[:, ch11_theory.COMMON].index) == panels[-1:]
    assert table[panels[0]].to_dict() == {
        ch11_theory.PREDICTED: 11, ch11_theory.TRAINED: 2, ch11_theory.SEEDS: 2,
    }  # fmt: skip
    assert table[panels[-1], ch11_theory.TRAINED] == 2


def test_number_of_worlds() -> None:
    assert ch11_theory.worlds_per_level(2) == {0.5: 2, 1.0: 2}
    assert ch11_theory.worlds_per_level(10)[0.3] == 2
    for wrong in (1, 201):
        with pytest.raises(InputError, match=f"worlds = {wrong}"):
            ch11_theory.worlds_per_level(wrong)


def test_how_results_are_shown_is_part_of_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    read, source = set(), cache._source
    monkeypatch.setattr(cache, "_source", lambda path: read.add(path.name) or source(path))
    cache.code_version.cache_clear()
    cache.code_version(ch11_worlds)
    cache.code_version.cache_clear()
    assert "topk.py" in read and not read & {"chapter.py", "figures.py", "ch11_theory.py"}
