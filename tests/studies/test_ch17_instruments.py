"""Nulls that learn from other interactions, and the error rates of the rules."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

from companion.consistency import INSTRUMENTS
from companion.data import synthetic
from lib import claims
from lib.diagnostics import composition
from studies import ch17_instruments as instruments
from studies import ch17_worlds, nulls
from studies.context import Run

QUICK = {"epochs": 1, "batch": 512, "negatives": 32}


@pytest.fixture(scope="module")
def run() -> Run:
    dataset = synthetic.world(n_users=80, n_items=60, interactions=8.0).dataset
    parameters = {"k": 5, "seed": 0, "seeds": 1, "encoder": "", "device": "cpu"}
    return Run(dataset, parameters)


def test_halves_part_every_users_training_interactions(run: Run) -> None:
    first, second = nulls.halves(run.dataset, 3)
    assert not first.train.multiply(second.train).nnz
    assert (first.train + second.train != run.dataset.train).nnz == 0
    sizes = first.train.getnnz(axis=1) - second.train.getnnz(axis=1)
    assert set(np.unique(sizes)) == {-1, 0, 1}
    for part in (first, second):
        assert (part.valid != run.dataset.valid).nnz == (part.test != run.dataset.test).nnz == 0


def test_bootstrap_samples_overlap_as_draws_with_replacement_do() -> None:
    dataset = synthetic.world(n_users=400, interactions=30.0).dataset
    first, second = nulls.bootstraps(dataset, 0)
    kept = 1 - np.exp(-1)
    n = dataset.train.nnz
    assert first.train.nnz / n == pytest.approx(kept, abs=0.02)
    assert first.train.multiply(second.train).nnz / n == pytest.approx(kept**2, abs=0.02)


def test_matching_leaves_the_weaker_view_and_lowers_the_stronger_to_it(run: Run) -> None:
    strong, weak = run.view("svd", 0), run.view("random", 0)
    for given in ((strong, weak), (weak, strong)):
        found = nulls.matched(run, *given, seed=0)
        assert any(view is weak for view in found)
        assert run.validation(next(v for v in found if v is not weak)) <= run.validation(weak)
    assert nulls.matched(run, strong, strong, seed=0)[0] is strong


@pytest.mark.parametrize("null", nulls.KINDS)
def test_a_null_in_the_texts_place_has_no_excess(run: Run, null: str) -> None:
    found = nulls.views(run, null, **QUICK)
    same = nulls.Views(found.base, found.null, found.null)
    for finding, excess in nulls.excesses(run, same).items():
        assert excess[:3] == (0, 0, 0) or (finding == "F4" and np.isnan(excess.mean))


def test_excesses_are_positive_where_the_text_shows_more_than_the_null(run: Run) -> None:
    base, other = run.view("svd", 0), run.view("random", 0)
    found = nulls.excesses(run, nulls.Views([base], [other], [base]))
    assert found["F2"].mean > 0.5 and found["F13"].mean > 0.5
    assert found["F3"].mean >= 0 and found["F5"].mean >= 0
    mirrored = nulls.excesses(run, nulls.Views([base], [base], [other]))
    assert mirrored["F2"].mean == -found["F2"].mean


def test_the_placebos_of_a_page_are_random_and_popular_lists_beside_the_claims_nulls(
    run: Run,
) -> None:
    found = nulls.placebos(replace(run, epochs=1)).set_index(["finding", "list"])
    asked = {claim.id for claim in claims.load().values() if claim.instrument} - {"F3b"}
    assert set(found.index) == {(a, b) for a in asked for b in ("text", *nulls.PLACEBOS)}
    assert not found["passes"].xs("random items", level="list").any()
    row = found.loc[("F3", "text")]
    # by hand: hits that only the text's list finds, and those that only another seed's does
    base, text, seed = (
        replace(run, epochs=1).lists(model, s)
        for model, s in (("lightgcn", 0), ("linear", 0), ("lightgcn", 1))
    )
    shares = []
    for one in (text, seed):
        hits = composition(one, base, run.dataset.test)[["both", "a_only", "b_only"]].sum()
        shares.append(hits["a_only"] / hits.sum())
    assert row["mean"] == pytest.approx(shares[0] - shares[1])
    assert nulls.excess(run, "F4") == {}
    for finding in ("F2", "F13"):  # even a text that shares nothing exceeds by the null's overlap
        of = nulls.excess(replace(run, epochs=1), finding)
        assert 0 <= of["reach"].mean <= 1 and of["excess"].mean <= of["reach"].mean


def table(
    lows: Sequence[float], private: float, seeds: Sequence[int], text: str = "linear"
) -> pd.DataFrame:
    return pd.DataFrame(
        {"null": "second seed", "finding": "F3", "private": private, "number": seeds, "low": lows,
         "text": text,
         "noise": 1.0, "gap": [0.0, *[0.5] * (len(lows) - 1)],
         "mean": np.array(lows) + 0.01}
    )  # fmt: skip


def test_rates_by_hand() -> None:
    nothing = table([0.04, 0.01, 0.06, -0.02, -0.01], 0.0, [0, 1, 2, 3, 4])
    half = table([0.04, 0.2], 0.5, [0, 3])
    without_text = table([0.03, -0.1, 0.04, 0.02], 0.0, [0] * 4, "random")
    made = pd.concat([nothing, half, without_text])
    found = instruments.rates(made).set_index(["private", "rule"])
    # seeds 0 and 3 set the margin, 0.05; worlds 1, 2 and 4 are counted
    assert found.loc[(0.0, "above 0"), ["passes", "n"]].tolist() == [2, 3]
    assert found.loc[(0.0, "above the margin"), ["passes", "n"]].tolist() == [1, 3]
    assert found.loc[(0.5, "above the margin"), ["passes", "n"]].tolist() == [1, 2]
    assert found.loc[(0.0, "above the margin"), "margin"] == pytest.approx(0.05)
    # three of four random lists are above 0, none above the margin
    assert found["placebo"].tolist() == [0.75, 0, 0.75, 0]
    # Clopper and Pearson (1934) by the quantiles of a beta distribution
    assert found.loc[(0.0, "above 0"), "low"] == pytest.approx(beta.ppf(0.025, 2, 2))
    assert found.loc[(0.0, "above 0"), "high"] == pytest.approx(beta.ppf(0.975, 3, 1))


def test_a_rule_is_usable_only_if_it_seldom_errs_and_tells_the_worlds_apart() -> None:
    margins = [-0.1] * 4  # seeds 0, 3, 6, 9
    seeds = [0, 3, 6, 9, *(s for s in range(1, 200) if s % 3)]
    quiet = table([*margins, *[-0.1] * (len(seeds) - 4)], 0.0, seeds)
    loud = table([*margins, *[0.1] * (len(seeds) - 4)], 0.0, seeds)
    strong, blind = table([0.5] * 20, 0.5, range(20)), table([-0.5] * 20, 0.5, range(20))
    random, fooling = (table([low], 0.0, [0], "random") for low in (-0.1, 0.1))
    usable = {
        name: len(instruments.usable(instruments.rates(pd.concat(worlds))))
        for name, worlds in {
            "good": (quiet, strong, random), "wrong": (loud, strong, random),
            "blind": (quiet, blind, random), "fooled": (quiet, strong, fooling),
        }.items()
    }  # fmt: skip
    assert [name for name, n in usable.items() if n] == ["good"]
    said = instruments.answer(instruments.rates(pd.concat([quiet, blind, random])))
    assert "For F3, no null that was tried" in said
    few = instruments.rates(pd.concat([table([0.0] * 9, 0.0, range(9)), strong, random]))
    assert "too few" in instruments.answer(few) and len(instruments.record(few)) == 1


def test_of_usable_rules_the_one_of_largest_power_is_chosen_and_its_margin_rounded_up() -> None:
    seeds = [0, 3, *(s for s in range(1, 200) if s % 3)]
    # a mean of 0.0601 sets the margin; a fifth of the counted worlds are above 0
    nothing = [0.0501, 0.0501, *([0.02, -0.1, -0.1, -0.1, -0.1] * 30)[: len(seeds) - 2]]
    made = []
    for null, n in (("second seed", 10), ("matched seed", 15), ("bootstrap", 15)):
        half = table([0.5] * n + [-0.5] * (20 - n), 0.5, range(20))
        random = table([-0.1], 0.0, [0], "random")
        made += [one.assign(null=null) for one in (table(nothing, 0.0, seeds), half, random)]
    rates = instruments.rates(pd.concat(made))
    (rule,) = instruments.chosen(rates).values()
    assert (rule["null"], rule["power"]) == ("matched seed", 0.75)
    assert rule["beyond"] == "excess.low > 0.061" and rule["rule"] == "above the margin"
    record = instruments.record(rates)[INSTRUMENTS]
    assert record["F3"] == record["F3b"] == rule and not record["F2"]


def test_a_conformal_quantile_is_passed_at_its_rate_and_needs_enough_worlds() -> None:
    values = pd.Series(range(19, 0, -1))  # the 19th of 19: ⌈0.95 · 20⌉
    assert instruments.conformal(values, 0.95) == 19
    assert instruments.conformal(values, 0.9) == 18
    assert instruments.conformal(values[1:], 0.95) == math.inf
    rng = np.random.default_rng(5)
    passed = [rng.random() > instruments.conformal(pd.Series(rng.random(39)), 0.9)
              for _ in range(4000)]  # fmt: skip
    assert np.mean(passed) == pytest.approx(0.1, abs=0.015)  # 36 of 39: exactly a tenth


def test_less_strict_margins_are_of_the_rules_in_use_alone() -> None:
    lows = [*np.arange(39) / 1000, 0.03, 0.5]  # 39 worlds set margins, two are counted
    seeds = [*range(0, 117, 3), 1, 2]
    made = [table(lows, 0.0, seeds), table([0.0375, 0.2], 0.5, [0, 3]),
            table([0.0], 0.0, [0], "random")]  # fmt: skip
    both = pd.concat(
        [one.assign(null=null) for null in ("second seed", "bootstrap") for one in made]
    )
    found = instruments.less_strict(both, {"F3": {"null": "bootstrap"}})
    assert set(found.index.get_level_values("null")) == {"bootstrap"}
    # the largest of 39 lower ends, and the third of them from above
    assert found.xs("F3", level="finding")["margin"].tolist() == [0.037, 0.038]
    assert found[0.0].str[:4].tolist() == ["0.50"] * 2
    assert found[0.5].str[:4].tolist() == ["1.00", "0.50"]
    assert instruments.less_strict(both, {}).empty


def test_rounds_have_every_world_once_and_private_ones_every_third() -> None:
    plan = ch17_worlds.plan(10)
    assert len(plan) == len(set(plan)) == 10 * 12 + 4 * 12
    assert sum(not setting.private for setting, _ in plan) == 120
    assert len({setting.seed(number) for setting, number in plan}) == len(plan)
    noises: dict[tuple[float, float], set[float]] = {}
    for setting, _ in plan:
        noises.setdefault((setting.private, setting.gap), set()).add(setting.noise)
    assert all(found == set(ch17_worlds.NOISES) for found in noises.values())


@pytest.mark.parametrize(("private", "gap"), [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5)])
def test_a_world_has_the_private_share_and_the_noise_that_its_setting_says(
    private: float, gap: float
) -> None:
    setting = ch17_worlds.Setting("scientific-2018", private, gap, 1.0)
    made = setting.world(0, 1500)
    parts = (made.semantic, made.common, made.collaborative)
    variance = np.array([np.var(part.users @ part.items.T) for part in parts])
    expected = (private, (1 - private) * (1 - gap), (1 - private) * gap)
    np.testing.assert_allclose(variance / variance.sum(), expected, atol=0.05)
    # a map from text to a shared factor explains half of it: as much noise as signal
    known = np.linalg.lstsq(made.vectors, made.common.items, rcond=None)[0]
    left = made.common.items - made.vectors @ known
    assert 1 - left.var() / made.common.items.var() == pytest.approx(0.5, abs=0.12)


def test_a_small_world_has_every_null_and_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ch17_worlds, "SETTINGS", QUICK)
    found = ch17_worlds.tested(ch17_worlds.Setting("toys-2014", 0.0, 0.0, 1.0), 0, 60, k=5)
    every = len(nulls.KINDS) * len(instruments.FINDINGS)
    assert len(found) == every + 1  # F5 beside a longer list
    assert set(found["finding"]) == set(instruments.FINDINGS)


def test_the_union_is_held_against_the_better_list_of_its_own_length(run: Run) -> None:
    base, other = run.view("svd", 0), run.view("random", 0)
    assert nulls.over_longer_list(run, nulls.Views([base], [base], [base])).mean == 0
    found = nulls.over_longer_list(run, nulls.Views([base], [other], [base]))
    assert found.mean < 0  # a random list adds less than the next items of the better one
