"""Predictions meet closed forms, scipy and simulation; the estimator's intervals hold the truth."""

from inspect import signature

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from companion.data import synthetic
from lib import cache
from lib.core import InputError
from lib.stats import Estimate
from studies import ch11_shared_fraction, ch11_summaries, ch11_theory, ch11_worlds
from studies.ch11_theory import Setting


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


def test_the_half_shared_world_by_hand() -> None:
    # with σ = 1/2 and d = 8 factors of each kind: v_s = √(1/16) = 1/4, v_a = √(1/32)
    common, own = ch11_theory.variances(0.5)
    assert (common, own) == (0.25, pytest.approx(0.1767767))
    square = 0.25 * 8 * 0.4267767 / 64
    share = 2 * (0.25 / (0.25 + square)) / (8 * 0.4267767)
    assert ch11_theory.reachable_share(0.5) == pytest.approx(share, rel=1e-6)
    assert ch11_theory.reachable_share(0.0) == 0
    assert ch11_theory.reachable_share(0.0, noise=0, all_seen=True) == pytest.approx(0.5)


def test_the_theory_speaks_of_the_worlds_that_are_drawn() -> None:
    world = {name: of.default for name, of in signature(synthetic.world).parameters.items()}
    assert (
        world["d_shared"] == world["d_semantic"] == world["d_collaborative"] == ch11_theory.FACTORS
    )
    assert world["n_items"] == ch11_theory.N_ITEMS
    assert world["dimension"] == ch11_theory.TEXT_DIMENSION
    assert world["strength"] == ch11_theory.STRENGTH
    assert world["interactions"] == Setting().interactions


def test_reachable_share_is_the_r2_of_the_best_map_on_many_items() -> None:
    world = synthetic.world(n_users=10, n_items=20_000, shared=0.4, interactions=5, noise=1.5)
    x, y = world.vectors.astype(float), world.ideal("collaborative").items
    left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    r2 = 1 - np.square(left).sum() / np.square(y).sum()
    assert r2 == pytest.approx(ch11_theory.reachable_share(0.4, noise=1.5), abs=0.02)


@pytest.mark.parametrize("setting", [Setting(0.5), Setting(0.5, 1.0, 0.5), Setting(1.0, 1.0)])
def test_predictions_meet_simulated_views(setting: Setting) -> None:
    predicted = ch11_theory.predict(setting)._asdict()
    found = ch11_worlds.pooled([ch11_worlds.noisy_table(setting, seed) for seed in range(5)])
    for name, tolerance in {
        "jaccard": 0.012, "jaccard_seeds": 0.012, "oracle": 0.1, "oracle_seeds": 0.1,
        "fusion": 0.1, "fusion_seeds": 0.08, "over_seeds": 0.08,
    }.items():  # fmt: skip
        assert found[name].mean == pytest.approx(predicted[name], abs=tolerance), name


def test_predictions_move_as_the_model_says() -> None:
    by_level = [ch11_theory.predict(Setting(level, 1.0)) for level in (0.1, 0.5, 0.9, 1.0)]
    for name in ("jaccard", "oracle", "fusion", "over_seeds"):
        values = [getattr(one, name) for one in by_level]
        assert values == sorted(values, reverse=name != "jaccard"), name
    # nothing private, and as noisy: two views are two replicates
    alike = by_level[-1]
    assert alike.jaccard == pytest.approx(alike.jaccard_seeds, abs=1e-6)
    assert alike.over_seeds == pytest.approx(0, abs=1e-6)
    # noise that replicates have in common makes them alike and their fusion worth less
    common = ch11_theory.predict(Setting(1.0, 1.0, 0.5))
    assert common.jaccard_seeds > alike.jaccard_seeds
    assert common.over_seeds > 0.05


@pytest.mark.parametrize(
    "wrong", [{"shared": 1.2}, {"noise": 0.0}, {"common": 1.0}, {"k": 200}, {"k": 0}]
)
def test_settings_out_of_bounds_are_one_sentence(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Setting(**wrong)  # type: ignore[arg-type]


def test_95_percent_intervals_hold_the_truth_in_at_least_90_of_100_draws(
    cache_folder: object,
) -> None:
    draws = ch11_worlds.calibration(100)
    assert len(draws) == 100
    assert draws["covered"].sum() >= 90
    np.testing.assert_array_equal(
        draws["covered"], (draws["low"] <= draws["truth"]) & (draws["truth"] <= draws["high"])
    )
    # not by being wide: at most a tenth of the range, and centred
    assert (draws["high"] - draws["low"]).max() < 0.1
    assert abs((draws["mean"] - draws["truth"]).mean()) < 0.005


def replicates(seed: int = 0, n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return text, view and replicate; half of the view's two factors is in the text."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n, 2))
    view, other = (factors + 0.5 * rng.standard_normal((n, 2)) for _ in range(2))
    return (
        factors[:, :1] @ rng.standard_normal((1, 5)) + 1e-6 * rng.standard_normal((n, 5)),
        view,
        other @ np.array([[0.6, 0.8], [-0.8, 0.6]]),
    )


def test_the_estimate_of_half_a_view() -> None:
    found = ch11_shared_fraction.estimate(*replicates(n=2000), permutations=39)
    assert found.share.low < 0.5 < found.share.high
    assert found.share.high - found.share.low < 0.12
    assert found.explained == pytest.approx(0.4, abs=0.04)  # 1 of 2 · 1.25
    assert found.reproducible == pytest.approx(0.8, abs=0.04)
    assert found.p == pytest.approx(1 / 40)
    assert np.abs(found.null).max() < 0.02


def test_left_out_predictions_are_those_of_a_fit_without_the_item() -> None:
    rng = np.random.default_rng(2)
    text, view = rng.standard_normal((60, 5)), rng.standard_normal((60, 2))
    text, view = text - text.mean(axis=0), view - view.mean(axis=0)
    found = ch11_shared_fraction._left_out(ch11_shared_fraction._basis(text), view)
    for item in (0, 17):
        rest = np.arange(60) != item
        x = np.column_stack([np.ones(60), text])
        weights = np.linalg.lstsq(x[rest], view[rest], rcond=None)[0]
        plain = x[item] @ weights - view[rest].mean(axis=0)
        np.testing.assert_allclose(found[item], plain, atol=1e-6)


def test_numbering_and_rotation_of_the_views_change_nothing() -> None:
    text, view, other = replicates()
    one = ch11_shared_fraction.estimate(text, view, other, permutations=5)
    order = np.random.default_rng(3).permutation(len(text))
    two = ch11_shared_fraction.estimate(text[order], view[order], other[order], permutations=5)
    np.testing.assert_allclose(one.share, two.share)
    np.testing.assert_allclose(one.null, two.null)
    turned = ch11_shared_fraction.estimate(text, view, other[:, ::-1], permutations=5)
    np.testing.assert_allclose(one.share, turned.share)


def test_text_of_nothing_and_text_of_all() -> None:
    _, view, other = replicates()
    rng = np.random.default_rng(5)
    nothing = ch11_shared_fraction.estimate(rng.standard_normal((300, 5)), view, other)
    assert nothing.share.low < 0 < nothing.share.high
    assert nothing.p > 0.05
    constant = ch11_shared_fraction.estimate(np.ones((300, 5)), view, other)
    assert constant.share.mean == pytest.approx(0)
    assert constant.components == 0
    wide = ch11_shared_fraction.estimate(rng.standard_normal((300, 400)), view, other)
    assert wide.components == 75


def test_where_there_is_nothing_to_estimate() -> None:
    text, view, other = replicates(n=30)
    assert np.isnan(ch11_shared_fraction.estimate(text, view, other).share.mean)
    with pytest.raises(InputError, match="replicate of 1"):
        ch11_shared_fraction.estimate(text, view, other[:, :1])
    with pytest.raises(InputError, match="vectors of 30, 30 and 29 items"):
        ch11_shared_fraction.estimate(text, view, other[1:])
    with pytest.raises(InputError, match="permutations = -1"):
        ch11_shared_fraction.estimate(text, view, other, permutations=-1)


def test_pooled_measures_by_hand() -> None:
    table = ch11_worlds.pd.DataFrame(
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
    assert ch11_summaries.mean_over_worlds([table, table], "gain") == pytest.approx(
        (0.25, 0.25, 0.25, 2)
    )
    assert np.isnan(ch11_summaries.mean_over_worlds([table], "gain").low)


def test_a_union_is_never_below_its_better_list() -> None:
    table = ch11_worlds.noisy_table(Setting(0.5), 0)
    for mark in ("", "_seeds"):
        assert (table[f"union{mark}"].dropna() >= table[f"better{mark}"].dropna()).all()


def test_trained_worlds_are_cached(cache_folder: object, monkeypatch: pytest.MonkeyPatch) -> None:
    size = {"n_users": 60, "n_items": 60, "interactions": 8.0}
    one = ch11_worlds.trained_world(0.5, 1, k=5, **size)
    assert len(one.table) == 60
    assert one.share.n == 60
    monkeypatch.setattr(ch11_worlds.views, "fit", None)
    two = ch11_worlds.trained_world(0.5, 1, k=5, **size)
    ch11_worlds.pd.testing.assert_frame_equal(one.table, two.table)
    assert one.share == two.share


def test_the_shared_fraction_from_which_on_nothing_is_gained() -> None:
    pays, not_yet = Estimate(0.1, 0.05, 0.2, 9), Estimate(0.0, -0.1, 0.1, 9)
    assert ch11_summaries.break_even({0.0: not_yet, 0.5: pays, 0.9: not_yet, 1.0: not_yet}) == 0.9
    assert np.isnan(ch11_summaries.break_even({0.0: not_yet, 1.0: pays}))


def test_number_of_worlds() -> None:
    assert ch11_summaries.worlds_per_level(2) == {0.5: 2, 1.0: 2}
    assert ch11_summaries.worlds_per_level(10)[0.3] == 2
    for wrong in (1, 201):
        with pytest.raises(InputError, match=f"worlds = {wrong}"):
            ch11_summaries.worlds_per_level(wrong)


def test_how_results_are_shown_is_part_of_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    read, source = set(), cache._source
    monkeypatch.setattr(cache, "_source", lambda path: read.add(path.name) or source(path))
    cache.code_version.cache_clear()
    cache.code_version(ch11_worlds, ch11_shared_fraction)
    cache.code_version.cache_clear()
    assert "topk.py" in read and not read & {"chapter.py", "figures.py", "ch11_summaries.py"}
