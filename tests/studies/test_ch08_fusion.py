"""Chapter 8: how its methods are made, scored, chosen on validation and reported."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lib import cache, claims, views
from lib.core import InputError
from lib.dataset import Dataset
from lib.encoders.training import Recipe
from lib.metrics import recall
from studies import ch08_methods, ch08_scores, ch08_tables
from studies.ch08_methods import Method, MethodLists, ViewSpec
from studies.ch08_scores import MethodScores
from studies.context import Run

EPOCHS = 1
GIVEN = {
    "dataset": "synthetic", "split": "random", "seed": 0, "seeds": 1, "k": 5,
    "encoder": "minilm", "device": "cpu",
}  # fmt: skip


def run_of(dataset: Dataset, **change: object) -> Run:
    return Run(dataset, GIVEN | change, epochs=EPOCHS)


@pytest.fixture(scope="module", autouse=True)
def one_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Let all tests here share the views that the first of them trains."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("COMPANION_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def run(small: Dataset) -> Run:
    return run_of(small)


@pytest.fixture(scope="module")
def scored(run: Run, one_cache: Path) -> dict[str, MethodScores]:
    return {one.method.name: one for one in ch08_scores.score(run, ch08_methods.methods())}


def test_every_method_gives_lists_that_mask_what_was_seen(run: Run) -> None:
    for method in ch08_methods.methods():
        made = method.make(run, 0)
        for part, seen in (("valid", run.dataset.train), ("test", run.dataset.seen)):
            lists = made.lists(part, 5)  # type: ignore[arg-type]
            assert lists.shape == (run.dataset.n_users, 5), method.name
            assert np.nansum(recall(lists, seen)) == 0, method.name
            longer = made.lists(part, 10)  # type: ignore[arg-type]
            # a shorter list is the start of a longer one: one evaluation serves all lengths
            np.testing.assert_array_equal(longer[:, :5], lists, err_msg=method.name)


def test_methods_have_names_of_their_own_and_stand_in_every_family() -> None:
    every = ch08_methods.methods()
    assert len({method.name for method in every}) == len(every)
    assert {method.family for method in every} == set(ch08_methods.FAMILIES)


def test_test_items_decide_nothing(
    run: Run, small_with_other_test: Dataset, scored: dict[str, MethodScores]
) -> None:
    names = [name for name, one in scored.items() if one.trials > 1]
    able = [method for method in ch08_methods.methods() if method.name in names]
    again = ch08_scores.score(run_of(small_with_other_test), able)
    for one in again:
        first = scored[one.method.name]
        assert (one.validation, one.chosen) == (first.validation, first.chosen), one.method.name
    for method in able:
        lists = [method.make(r, 0).lists("test", 5) for r in (run, run_of(small_with_other_test))]
        np.testing.assert_array_equal(*lists, err_msg=method.name)


def test_trials_are_counted(scored: dict[str, MethodScores]) -> None:
    trials = {name: one.trials for name, one in scored.items()}
    svd, ease = trials["truncated SVD"], trials["EASE"]
    assert trials["LightGCN"] == trials["norm-concat, equal weights"] == 1
    assert trials["norm-concat, weight on validation"] == 11
    assert trials["norm-concat, a weight per user"] == 11
    assert trials["norm-concat with SVD, weights on validation"] == 66 + svd - 1
    assert trials["weighted sum of scores"] == 44
    assert trials["RLMRec-Con"] == trials["SimGCL"] == trials["shared and private parts"] == 5
    views_own = svd - 1 + ease - 1 + trials["SimGCL"] - 1
    forward = trials["N views, chosen on validation"] - views_own
    assert forward > 0 and forward % len(ch08_methods.SINGLES) == 0


def test_dimensions_seconds_and_parameters_are_those_of_the_views(
    run: Run, scored: dict[str, MethodScores]
) -> None:
    assert scored["norm-concat, equal weights"].dimensions == (128,)
    assert scored["Borda count"].dimensions == (64, 64)
    assert scored["joint norm-concat-norm"].dimensions == (64,)
    assert scored["two LightGCN seeds, 32 + 32"].dimensions == (64,)
    assert scored["EASE"].parameters == run.dataset.n_items**2
    assert np.isnan(scored["EASE"].seconds) and scored["popularity"].parameters == 0
    parts = (scored["text, projected"], scored["LightGCN"])
    both = scored["Borda count"]
    assert both.parameters == sum(one.parameters for one in parts)
    assert both.seconds == pytest.approx(sum(one.seconds for one in parts))


def test_values_are_means_over_seeds(small: Dataset) -> None:
    method = next(method for method in ch08_methods.methods() if method.name == "random")
    two = ch08_scores.score(run_of(small, seeds=2), [method])[0]
    each = [ch08_scores.score(run_of(small, seed=s), [method])[0] for s in (0, 1)]
    np.testing.assert_allclose(two.recall_at(5), (each[0].recall_at(5) + each[1].recall_at(5)) / 2)
    assert two.seeds == 2 and each[0].seeds == 1
    assert sorted(two.recall) == [5, 10, 20]


def test_other_methods_may_have_fewer_seeds(small: Dataset) -> None:
    names = ("LightGCN", "norm-concat, equal weights", "popularity", "joint norm-concat-norm",
             "LightGCN, 128 dimensions", "RLMRec-Con", "two LightGCN seeds, 64 + 64")  # fmt: skip
    able = [method for method in ch08_methods.methods() if method.name in names]
    two = run_of(small, seeds=2)
    found = ch08_scores.score(two, able, others=two.fewer(1).seeds)
    assert {one.method.name for one in found if one.seeds == 1} == {
        "LightGCN, 128 dimensions", "RLMRec-Con",
    }  # fmt: skip
    with pytest.raises(InputError, match="others = 0"):
        two.fewer(0)


def test_an_auxiliary_weight_is_chosen_on_the_first_seed(small: Dataset) -> None:
    run, spec = run_of(small, seeds=2), ch08_methods.ALIGNED["RLMRec-Con"]
    at_first = [
        run.view("rlmrec", 0, weight=w).info["validation"] for w in ch08_methods.AUXILIARY_WEIGHTS
    ]
    best = ch08_methods.AUXILIARY_WEIGHTS[int(np.argmax(at_first))]
    for seed in (0, 1):
        assert ch08_methods.auxiliary_weight(run, spec) == best
        view = ch08_methods.fitted(run, seed, spec)
        assert view.info["parameters"]["weight"] == best and view.info["seed"] == seed


def test_n_views_are_at_least_as_good_on_validation_as_any_of_them(
    scored: dict[str, MethodScores],
) -> None:
    alone = max(scored[name].validation for name in ch08_methods.SINGLES)
    assert scored["N views, chosen on validation"].validation >= alone - 1e-9


def test_a_method_too_large_is_not_run_and_nothing_else_breaks(
    small: Dataset, monkeypatch: pytest.MonkeyPatch, scored: dict[str, MethodScores]
) -> None:
    monkeypatch.setattr(ch08_methods, "MAX_BYTES", 1)
    wanted = ("EASE", "L3AE style", "LightGCN", "N views, chosen on validation")
    able = [method for method in ch08_methods.methods() if method.name in wanted]
    found = {one.method.name: one for one in ch08_scores.score(run_of(small), able)}
    for name in ("EASE", "L3AE style"):
        assert "GiB" in found[name].reason and not found[name].recall
        with pytest.raises(InputError, match="has no recall"):
            found[name].recall_at(5)
    np.testing.assert_array_equal(found["LightGCN"].recall_at(5), scored["LightGCN"].recall_at(5))
    all_but_ease = sum(
        scored[name].dimensions[0] for name in ch08_methods.SINGLES if name != "EASE"
    )
    assert found["N views, chosen on validation"].dimensions == (all_but_ease,)
    every = list(found.values())
    table = ch08_tables.tidy_table(every, ch08_tables.best_method(every), 5)
    assert table["mean"].isna().sum() == 2
    page = ch08_tables.accuracy_html(table, [5, 10, 20])
    assert page.count("not run: ") == 2
    assert ch08_tables.costs_html(table, 5) and ch08_tables.leader_text(every, 5)


def test_the_reference_methods_are_recipes() -> None:
    for method in ch08_methods.reference_methods():
        (spec,) = method.views
        defaults = dict(views.TRAINED[spec.model].defaults)
        Recipe(**(defaults | dict(spec.settings))).checked()
    joint = dict(ch08_methods.REFERENCE["joint norm-concat-norm, 128 dimensions"][1].settings)
    assert joint["dimension"] == 128 and (joint["hardest"], joint["negatives"]) == (256, 512)


def stand_in(
    name: str, family: str, validation: float, mean: float, *dimensions: int, views: int = 1
) -> MethodScores:
    """Return a method of 60 users whose recall is about ``mean``."""
    values = mean + 0.01 * np.random.default_rng(len(name)).standard_normal(60)
    made = MethodLists(lambda part, k: np.zeros((60, k), dtype=np.int32), (1,))
    method = Method(name, family, (ViewSpec("x"),) * views, lambda *of: made)
    by_length = {5: values, 10: values}
    return MethodScores(method, 1, validation, by_length, by_length, dimensions, trials=1)


@pytest.fixture
def few() -> list[MethodScores]:
    return [
        stand_in("a", ch08_methods.FUSION, 0.3, 0.2, 128),
        stand_in("bb", ch08_methods.FUSION, 0.2, 0.9, 64, 64),
        stand_in("wide", ch08_methods.FUSION, 0.5, 0.4, 192),
        stand_in("one wide view", ch08_methods.FUSION, 0.5, 0.4, 64, 1349),
        stand_in("aligned", ch08_methods.ALIGNMENT, 0.1, 0.1, 64),
        stand_in("aligned, wide", ch08_methods.ALIGNMENT, 0.4, 0.5, 1349),
        stand_in("alone", ch08_methods.SINGLE, 0.1, 0.1, 64),
        stand_in("seeds, 64", ch08_methods.NULL, 0.6, 0.15, 64, views=2),
        stand_in("seeds, 128", ch08_methods.NULL, 0.1, 0.15, 128, views=2),
        stand_in("popular", ch08_methods.NULL, 0.1, 0.15, 128),
    ]


def test_methods_are_chosen_on_validation_among_those_of_the_claims_dimension(
    few: list[MethodScores],
) -> None:
    picked = {what: one.method.name for what, one in ch08_tables.f8_methods(few).items()}
    assert picked == {
        "fusion": "a", "alignment": "aligned", "single": "alone", "seeds": "seeds, 128",
    }  # fmt: skip
    narrow = [replace(few[0], dimensions=(64,)), *few[1:]]
    assert ch08_tables.f8_methods(narrow)["seeds"].method.name == "seeds, 64"
    lists = [replace(few[1], validation=0.45), *few[2:]]
    assert ch08_tables.f8_methods(lists)["fusion"].method.name == "bb"
    assert ch08_tables.f8_methods(lists)["seeds"].method.name == "seeds, 128"
    assert ch08_tables.best_method(few, ch08_methods.FUSION).method.name == "wide"
    with pytest.raises(InputError, match="at most 8 dimensions"):
        ch08_tables.best_method(few, ch08_methods.FUSION, max_dimension=8)


def test_measures_are_those_of_the_claim(few: list[MethodScores]) -> None:
    found = ch08_tables.f8_measures(ch08_tables.f8_methods(few), 5)
    assert set(found) == set(claims.load()["F8"].measures)
    assert found["advantage"].mean == pytest.approx(1.0, abs=0.1)
    assert claims.judge("F8", found).word == claims.HOLDS


def test_who_leads_is_said_plainly(few: list[MethodScores]) -> None:
    behind = ch08_tables.leader_text(few, 5)
    assert "**wide**" in behind and "the leader, **bb**" in behind and "chose" not in behind
    assert re.search(r"has rank [34] of 10 .*is -\d", behind)
    ahead = replace(few[1], validation=0.9, chosen=("linear 1", "svd 1"))
    clear = ch08_tables.leader_text([ahead, *few[2:]], 5)
    assert "has rank 1 of 9" in clear and "the next, **" in clear and "linear 1; svd 1" in clear
    assert re.search(r"is \+\d", clear)


def test_the_table_tests_every_method_against_the_leader(few: list[MethodScores]) -> None:
    table = ch08_tables.tidy_table(few, few[0], 5).set_index("what")
    assert np.isnan(table.loc["a", "p"]) and table.loc["a", "difference"] == 0
    assert table.loc["bb", "difference"] == pytest.approx(0.7, abs=0.01)
    assert table.loc["bb", "difference_low"] < table.loc["bb", "difference"]
    corrected = table["p_holm"].dropna()
    assert len(corrected) == 9 and (corrected >= table["p"].dropna()).all()
    families = list(table["family"])
    assert families == sorted(families, key=ch08_methods.FAMILIES.index)
    fusions = table.loc[table["family"] == ch08_methods.FUSION, "validation"]
    assert fusions.is_monotonic_decreasing
    assert table.loc["bb", "dimension"] == "64 + 64" and table.loc["a", "dimension"] == "128"


def test_pages_show_intervals_and_choices(few: list[MethodScores]) -> None:
    few[0] = replace(few[0], chosen=("linear 0.3", "linear 0.4"))
    table = ch08_tables.tidy_table(few, few[0], 5)
    page = ch08_tables.accuracy_html(table, [5, 10])
    assert all(name in page for name in ("Recall@5", "NDCG@10", "<small>["))
    assert "d_z" in ch08_tables.costs_html(table, 5)
    shown = ch08_tables.choices_html(table)
    assert "linear 0.3<br>linear 0.4" in shown and "aligned" not in shown


def test_the_bound_is_no_lower_than_either_view_or_interleaving(
    run: Run, scored: dict[str, MethodScores]
) -> None:
    most = np.nanmean(ch08_scores.best_of_union_recall(run))
    for name in ("text, projected", "LightGCN", "interleaving"):
        assert most >= np.nanmean(scored[name].recall_at(run.k)), name


def test_how_results_are_shown_is_part_of_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    read, source = set(), cache._source
    monkeypatch.setattr(cache, "_source", lambda path: read.add(path.name) or source(path))
    cache.code_version.cache_clear()
    cache.code_version(ch08_scores)
    cache.code_version.cache_clear()
    assert "topk.py" in read and not read & {"chapter.py", "figures.py", "ch08_tables.py"}
